"""Where the command line prints: reports for people, and with ``--out -`` scores for a pipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from slidecell.tables.source import is_standard

if TYPE_CHECKING:
    from slidecell.jobs.results import Result

__all__ = ["print_scores", "report_console", "require_standard_output"]


def require_standard_output() -> None:
    """Raise OSError where a command's result would go to a standard output that is closed."""
    if sys.stdout is None:
        raise OSError("standard output: it is closed")


def report_console(out: Path) -> Console:
    """Return the console of tables and notes: stderr where the scores go to stdout."""
    if is_standard(out):
        require_standard_output()
    return Console(highlight=False, stderr=is_standard(out))


def print_scores(result: Result, out: Path) -> None:
    """Print the scores as CSV if ``--out -`` asks for it: what scores.csv holds, byte by byte."""
    if not is_standard(out):
        return
    from slidecell.jobs.write_result import scores_frame

    stream = typer.get_binary_stream("stdout")
    # In UTF-8 whatever the locale is: names of entities must survive.
    scores_frame(result).to_csv(stream, index=False, mode="wb", encoding="utf-8")
    stream.flush()
