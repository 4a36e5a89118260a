"""Reports on a terminal: the sections, and of their tables the rows, that are meant for one."""

from __future__ import annotations

from pathlib import PurePath

from rich import table as rich_table
from rich.console import Console
from rich.text import Text

from slidecell.jobs.report import Report, Section, Table

__all__ = ["print_report", "print_section"]

_PAGE = "report.html"


def print_report(console: Console, report: Report) -> None:
    """Print a report's title, the sections for a terminal, and the files.

    Examples
    --------
    >>> from rich.console import Console
    >>> from slidecell.jobs.report import Report, Section
    >>> from slidecell.jobs.terminal import print_report
    >>> report = Report("Hosts", "", [Section("Scores", "One host.")], ["out/report.html"])
    >>> print_report(Console(width=60), report)
    Hosts
    Scores
    One host.
    further tables, figures and settings: out/report.html
    """
    if report.title:
        console.print(Text(report.title, style="bold"))
    for section in report.sections:
        print_section(console, section)
    for path in report.files:
        before = "further tables, figures and settings: " * (PurePath(path).name == _PAGE)
        console.print(Text.assemble(before, (path, "cyan")), soft_wrap=True)


def print_section(console: Console, section: Section) -> None:
    """Print a section if a terminal shows it and there is something to show below its title."""
    tables = [table for table in section.tables if table.terminal_rows]
    if not section.terminal or not (section.text or section.notes or tables):
        return
    console.print(Text(section.title, style="bold"))
    for paragraph in section.paragraphs:
        # A terminal breaks lines between words; in a file they stay whole.
        console.print(Text(paragraph), soft_wrap=not console.is_terminal)
    for note in section.notes:
        console.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)
    for table in tables:
        console.print(_as_rich(table))


def _as_rich(table: Table) -> rich_table.Table:
    if any(table.columns):
        made = rich_table.Table(
            title=Text(table.caption) if table.caption else None,
            title_justify="left",
            show_edge=False,
        )
        for name, numeric in zip(table.columns, table.numeric, strict=True):
            made.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    else:
        made = rich_table.Table.grid(padding=(0, 2))
        made.add_column(style="dim")
        made.add_column(overflow="fold")
    for row in table.terminal_rows:
        made.add_row(*map(Text, row))
    return made
