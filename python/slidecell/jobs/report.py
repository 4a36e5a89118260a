"""What a job reports, as data: sections of text, tables and figures, for any renderer."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Section", "Table"]

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
        Their heads.
    rows : list of list of str
        As many cells as columns in each.
    caption : str

    Examples
    --------
    >>> from slidecell.jobs.report import Table
    >>> Table(["host", "score"], [["a", "0.25"], ["b", "-"]]).numeric
    [False, True]
    """

    columns: list[str]
    rows: list[list[str]]
    caption: str = ""

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


@dataclass(frozen=True)
class Section:
    r"""A part of a page: its title, then text, tables and figures in this order.

    Parameters
    ----------
    title : str
    text : str, optional
        Paragraphs, an empty line between them.
    tables : list of Table
    figures : list of (caption, Figure)

    Examples
    --------
    >>> from slidecell.jobs.report import Section
    >>> Section("Data", "One file.\n\nNo gaps.").paragraphs
    ['One file.', 'No gaps.']
    """

    title: str
    text: str | None = None
    tables: list[Table] = field(default_factory=list)
    figures: list[tuple[str, Figure]] = field(default_factory=list)

    @property
    def paragraphs(self) -> list[str]:
        """The text cut at empty lines."""
        return [part.strip() for part in re.split(r"\n\s*\n", self.text or "") if part.strip()]


def _is_numeric(cells: list[str]) -> bool:
    said = [cell.strip() for cell in cells if cell.strip().lower() not in _ABSENT]
    return bool(said) and all(_NUMBER.fullmatch(cell) for cell in said)
