"""What a reproduced system found, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from slidecell.jobs import report
    from slidecell.reproduce.outcome import Outcome

__all__ = ["show_outcome"]

_PAGE = "report.html"


def show_outcome(console: Console, outcome: Outcome, files: Sequence[Path] = ()) -> None:
    r"""Print title, summary, the figures beside the source's, the tables to show, and the files.

    Examples
    --------
    >>> import io
    >>> from rich.console import Console
    >>> from slidecell.reproduce import Comparison, Outcome
    >>> from slidecell.reproduce.show import show_outcome
    >>> outcome = Outcome("tiny", "A tiny system", "", [Comparison("windows", "10", "12")])
    >>> console = Console(file=io.StringIO(), width=60)
    >>> show_outcome(console, outcome)
    >>> print(*(line.strip() for line in console.file.getvalue().splitlines()[:3]), sep="\n")
    A tiny system
    beside the source's figures
    figure  ┃ source ┃ slidecell
    """
    console.print(Text(outcome.title, style="bold"))
    if outcome.summary:
        console.print(Text(outcome.summary), soft_wrap=not console.is_terminal)
    for table in (outcome.comparison_table(), *outcome.tables[: outcome.shown]):
        console.print(_as_rich(table))
    for path in sorted(files, key=lambda path: path.name != _PAGE):
        told = "further tables, figures and settings: " if path.name == _PAGE else ""
        console.print(Text.assemble(told, (str(path), "cyan")), soft_wrap=True)


def _as_rich(table: report.Table) -> Table:
    made = Table(title=Text(table.caption), title_justify="left", show_edge=False)
    for name, numeric in zip(table.columns, table.numeric, strict=True):
        made.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in table.rows:
        made.add_row(*map(Text, row))
    return made
