"""Reports on a terminal: the sections, and of their tables the rows, that are meant for one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal

from rich import table as rich_table
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from slidecell.jobs.report import Report, Section, Table

__all__ = ["print_report", "print_section"]

_PAGE = "report.html"


def print_report(console: Console, report: Report) -> None:
    """Print a report's title, the sections for a terminal, the notes, and the files.

    Examples
    --------
    >>> from rich.console import Console
    >>> from slidecell.jobs.report import Report, Section
    >>> from slidecell.jobs.terminal import print_report
    >>> report = Report("Hosts", "", [Section("Scores", "One host.")], ["out/report.html"])
    >>> print_report(Console(width=60), report)
    <BLANKLINE>
    Hosts
    <BLANKLINE>
    Scores
    One host.
    <BLANKLINE>
    further tables, figures and settings: out/report.html
    """
    if report.title:
        console.print()
        console.print(Text(report.title, style="bold"))
    main = [section for section in report.sections if section.main]
    others = [section for section in report.sections if not section.main]
    for section in (*others, report.noted, *main):
        print_section(console, section)
    if report.sections:
        console.print()
    for path in report.files:
        before = "further tables, figures and settings: " * (PurePath(path).name == _PAGE)
        console.print(Text.assemble(before, (path, "cyan")), soft_wrap=True)


def print_section(console: Console, section: Section) -> None:
    """Print a section if a terminal shows it and there is something to show below its title."""
    tables = [table for table in section.tables if table.terminal_rows]
    if not section.terminal or not (section.text or section.notes or tables):
        return
    console.print()
    console.print(Text(section.title, style="bold"))
    for paragraph in section.paragraphs:
        # A terminal breaks lines between words; in a file they stay whole.
        console.print(Text(paragraph), soft_wrap=not console.is_terminal)
    for note in section.notes:
        console.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
    for table in tables:
        console.print(_as_grid(table) if table.is_pairs else _as_table(table, console.width))


def _as_grid(table: Table) -> rich_table.Table:
    made = rich_table.Table.grid(padding=(0, 2))
    made.add_column(style="dim")
    made.add_column(overflow="fold")
    for row in table.terminal_rows:
        made.add_row(*map(Text, row))
    return made


def _as_table(table: Table, width: int) -> rich_table.Table:
    made = rich_table.Table(
        title=Text(table.caption) if table.caption else None,
        title_justify="left",
        show_edge=False,
        pad_edge=False,
    )
    widths = _column_widths([table.columns, *table.terminal_rows], width)
    for name, numeric, own in zip(table.columns, table.numeric, widths, strict=True):
        side: Literal["left", "right"] = "right" if numeric else "left"
        made.add_column(Text(name), justify=side, overflow="fold", width=own)
    for row in table.terminal_rows:
        made.add_row(*map(Text, row))
    return made


def _column_widths(rows: Sequence[Sequence[str]], width: int) -> list[int | None]:
    """Return widths that break cells between words, those with most to break the widest.

    Where not even words fit, the longest are broken. None leaves a width to rich: all cells fit.
    """
    columns = list(zip(*rows, strict=True))
    whole = [max(1, *map(cell_len, cells)) for cells in columns]
    widths = [max(cell_len(w) for cell in cells for w in [*cell.split(), "-"]) for cells in columns]
    room = max(width - 3 * (len(columns) - 1), len(columns))  # a line, a space at either side of it
    if sum(whole) <= room:
        return [None] * len(columns)
    while sum(widths) > room:
        widths[widths.index(max(widths))] -= 1
    for _ in range(room - sum(widths)):
        longest = max(range(len(columns)), key=lambda c: whole[c] / widths[c])
        widths[longest] += 1
    return [*widths]
