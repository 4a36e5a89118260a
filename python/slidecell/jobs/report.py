"""What a job reports, as data: sections of text, tables and figures, for any renderer.

`slidecell.jobs.terminal`, `slidecell.jobs.page` and `slidecell.jobs.json_file` render it. A
terminal shows a part: what it leaves out is said here, by the section or the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib import figure as matplotlib_figure

__all__ = ["Figure", "Report", "Section", "Table", "page_only", "pairs"]

_NUMBER = re.compile(
    r"[-+\u2212]?[\d,]*\.?\d+(e[-+]?\d+)?\s?(%|s|ms|us|min|h|MB|GB|±.*)?", re.IGNORECASE
)
_ABSENT = {"", "-", "\u2013", "nan", "none"}


@dataclass(frozen=True)
class Table:
    """A table of texts; columns of numbers are set to the right.

    Parameters
    ----------
    columns : list of str
        Their heads. A table whose heads are all empty lists names and what they are.
    rows : list of list of str
        As many cells as columns in each.
    caption : str
    terminal : tuple of int, optional
        The rows that a terminal shows, counted from 0. Default: all. If there is none, it does
        not show the table.

    Examples
    --------
    >>> from slidecell.jobs.report import Table
    >>> Table(["host", "score"], [["a", "0.25"], ["b", "-"]]).numeric
    [False, True]
    """

    columns: list[str]
    rows: list[list[str]]
    caption: str = ""
    terminal: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"rows: expected {len(self.columns)} cells (columns), got {len(row)}: {row}"
                )

    @property
    def numeric(self) -> list[bool]:
        """Whether all cells of a column that say something are numbers: one per column."""
        return [_is_numeric([row[c] for row in self.rows]) for c in range(len(self.columns))]

    @property
    def is_pairs(self) -> bool:
        """Whether the table has no heads: it lists names and what they are."""
        return not any(self.columns)

    @property
    def terminal_rows(self) -> list[list[str]]:
        """The rows that a terminal shows."""
        return self.rows if self.terminal is None else [self.rows[r] for r in self.terminal]

    def to_dict(self) -> dict[str, Any]:
        """Return columns, rows and caption, ready for JSON."""
        return {"columns": self.columns, "rows": self.rows, "caption": self.caption}


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn when a renderer first asks for it.

    Parameters
    ----------
    draw : callable
        Returns the matplotlib figure.
    caption : str
    name : str
        Name of the file that it is also saved as, without suffix. Default: it has no file.
    narrow : callable, optional
        Returns the figure as a narrow screen shows it. Default: it shows the other, and scrolls.
    """

    draw: Callable[[], matplotlib_figure.Figure]
    caption: str = ""
    name: str = ""
    narrow: Callable[[], matplotlib_figure.Figure] | None = None

    @cached_property
    def drawn(self) -> matplotlib_figure.Figure:
        """The matplotlib figure, drawn once."""
        return self.draw()

    def save(self, path: str | PathLike[str]) -> None:
        """Write the figure as a PNG file."""
        self.drawn.savefig(path, format="png")


@dataclass(frozen=True)
class Section:
    r"""A part of a report: its title, then text, notes, tables and figures in this order.

    Parameters
    ----------
    title : str
    text : str
        Paragraphs, an empty line between them.
    tables : list of Table
    figures : list of Figure
        A terminal shows none of them.
    notes : list of str
        What a reader may not expect, each without a full stop.
    terminal : bool
        Whether a terminal shows the section.
    main : bool
        Whether it is what a reader looks for: a page begins with it, and a terminal, of which the
        last lines are seen, ends with it.

    Examples
    --------
    >>> from slidecell.jobs.report import Section
    >>> Section("Data", "One file.\n\nNo gaps.").paragraphs
    ['One file.', 'No gaps.']
    """

    title: str
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    terminal: bool = True
    main: bool = False

    @property
    def paragraphs(self) -> list[str]:
        """The text cut at empty lines."""
        return [part.strip() for part in re.split(r"\n\s*\n", self.text) if part.strip()]

    @property
    def empty(self) -> bool:
        """Whether there is nothing below the title."""
        return not (self.text or self.tables or self.figures or self.notes)


@dataclass(frozen=True)
class Report:
    """Everything that a job tells its user.

    Parameters
    ----------
    title : str
    command : str
        The command line that runs the job once more.
    sections : list of Section
    files : list of str
        Paths of the files that were written.
    data : dict
        The facts as numbers and texts: what ``report.json`` holds.
    notes : list of str
        What would surprise a reader, each without a full stop: of the data, of rows without a
        score, of rows unlike those of training. All renderers show them, beside what is main.
    """

    title: str = ""
    command: str = ""
    sections: list[Section] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def noted(self) -> Section:
        """The notes as a section; it is empty where there are none."""
        return Section("To be known", notes=self.notes)

    @property
    def figures(self) -> list[Figure]:
        """The figures of all sections."""
        return [figure for section in self.sections for figure in section.figures]


def pairs(rows: Mapping[str, str], *, terminal: Collection[str] | None = None) -> Table:
    """Return a table of names and what they are; empty ones are left out.

    Parameters
    ----------
    rows : mapping of str to str
    terminal : collection of str, optional
        Names that a terminal shows. Default: all.

    Examples
    --------
    >>> from slidecell.jobs.report import pairs
    >>> table = pairs({"rows": "10", "times": "", "host": "a"}, terminal=["host"])
    >>> table.rows, table.terminal_rows
    ([['rows', '10'], ['host', 'a']], [['host', 'a']])
    """
    given = [[name, text] for name, text in rows.items() if text]
    if terminal is None:
        return Table(["", ""], given)
    return Table(
        ["", ""], given, terminal=tuple(n for n, (name, _) in enumerate(given) if name in terminal)
    )


def page_only(table: Table) -> Table:
    """Return the table as one that a terminal does not show."""
    return replace(table, terminal=())


def _is_numeric(cells: list[str]) -> bool:
    given = [cell.strip() for cell in cells if cell.strip().lower() not in _ABSENT]
    return bool(given) and all(_NUMBER.fullmatch(cell) for cell in given)
