"""The command ``slidecell bench`` in the list of commands; its options are its own."""

from __future__ import annotations

import typer

from slidecell.cli.guard import guarded

__all__ = ["SETTINGS", "bench"]

# One parser, slidecell.bench.command's: it runs where typer is not installed.
SETTINGS = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


@guarded
def bench(context: typer.Context) -> None:
    """Time scores on this machine beside torch, ONNX Runtime and OpenVINO, in about a minute."""
    from slidecell.jobs.own_bench import bench as run

    raise typer.Exit(run(context.args))
