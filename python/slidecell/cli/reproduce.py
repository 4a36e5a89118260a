"""The commands ``slidecell reproduce ...``: each runs one of the four source systems whole."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from slidecell.cli import options as o
from slidecell.cli.guard import guarded

__all__ = ["app"]

app = typer.Typer(
    help="Run a published system whole: data, training, figures beside the source's own.",
    no_args_is_help=True,
)

_FILE_WIDTH = 120  # of tables that do not go to a terminal


def _data(text: str) -> Any:
    return typer.Option("--data", help=text)


OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", help="Folder of the results (default: slidecell-reproduce-SYSTEM)."
    ),
]
FullOption = Annotated[
    bool,
    typer.Option(
        "--full", help="Run at the source's size. Without it, a few minutes on two cores."
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of data, splits and training.")]


@app.command("insider-threat")
@guarded
def insider_threat(
    *,
    out: OutOption = None,
    data: Annotated[
        Path | None, _data("CSV or Parquet of user-days (default: generated users)")
    ] = None,
    full: FullOption = False,
    seed: SeedOption = 0,
    threads: o.ThreadsOption = None,
) -> None:
    """Forecast users' daily activity: five architectures, threshold, flagged user-days."""
    _run("insider_threat", out=out, data=data, full=full, seed=seed, num_threads=threads)


@app.command("stacked-lstm")
@guarded
def stacked_lstm(
    *,
    out: OutOption = None,
    data: Annotated[
        Path | None,
        _data("CSV or Parquet of numbers, with or without a time column (default: generated)"),
    ] = None,
    full: FullOption = False,
    seed: SeedOption = 0,
    threads: o.ThreadsOption = None,
) -> None:
    """Forecast a numeric table by a stacked LSTM with dropout, flag rows by their error."""
    _run("stacked_lstm", out=out, data=data, full=full, seed=seed, num_threads=threads)


@app.command("card-fraud")
@guarded
def card_fraud(
    *,
    out: OutOption = None,
    data: Annotated[
        Path | None, _data("creditcard.csv or .parquet, or its folder (needed: a public data set)")
    ] = None,
    full: FullOption = False,
    seed: SeedOption = 0,
    threads: o.ThreadsOption = None,
) -> None:
    """Reconstruct normal card transactions by an LSTM autoencoder, flag what it cannot."""
    _run("card_fraud", out=out, data=data, full=full, seed=seed, num_threads=threads)


@app.command("ensemble")
@guarded
def ensemble(
    *,
    out: OutOption = None,
    data: Annotated[
        Path | None, _data("CSV or Parquet with a column 'label' (default: generated series)")
    ] = None,
    full: FullOption = False,
    seed: SeedOption = 0,
    threads: o.ThreadsOption = None,
) -> None:
    """Fuse four detectors, explain and watch their score: points, periods, variance, rows."""
    _run("ensemble", out=out, data=data, full=full, seed=seed, num_threads=threads)


def _run(module: str, **settings: Any) -> None:
    """Run the system in `slidecell.reproduce` of that name, print and write what came of it."""
    from slidecell.jobs.outputs import OutputFolder, refuse_standard_output
    from slidecell.jobs.terminal import print_report
    from slidecell.reproduce import SystemOptions
    from slidecell.reproduce.report import add_files, system_report

    threads = settings["num_threads"]
    if threads is not None and threads < 1:
        raise ValueError(f"--threads: expected a whole number >= 1, got {threads}")
    refuse_standard_output(settings["out"], "reproduce", "several files")
    if settings["out"] is None:
        settings["out"] = Path(f"slidecell-reproduce-{module.replace('_', '-')}")
    options = SystemOptions(**settings)
    # Minutes of work must not end at a folder that is read-only: it is tried before them.
    with OutputFolder(options.out) as folder:
        outcome = import_module(f"slidecell.reproduce.{module}").run(options)
        report = system_report(outcome, options)
        add_files(folder, report)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    print_report(console, report)
