"""What a reproduced system reports: its figures beside those of its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slidecell.jobs.report import Figure, Table

__all__ = ["Comparison", "Outcome", "SystemOptions", "UsedThreshold"]


@dataclass(frozen=True)
class SystemOptions:
    """What every system takes.

    Parameters
    ----------
    out : Path
        Folder of the results.
    data : Path, optional
        The source's own data: a file or a folder, as the system says. Default: generated data,
        where the system has a generator.
    full : bool
        The source's size; otherwise a part that takes a few minutes on two cores.
    seed : int
    num_threads : int, optional
    progress : bool
        Show progress bars.
    """

    out: Path
    data: Path | None = None
    full: bool = False
    seed: int = 0
    num_threads: int | None = None
    progress: bool = True


@dataclass(frozen=True)
class Comparison:
    """One figure of the source beside ours.

    Parameters
    ----------
    name : str
        What is compared, with its conditions.
    source : str
        The source's figure; empty where it gives none.
    ours : str
    note : str
        Why they differ, or how ours was measured.
    """

    name: str
    source: str
    ours: str
    note: str = ""


@dataclass(frozen=True)
class UsedThreshold:
    """A threshold that rows were flagged by.

    Parameters
    ----------
    name : str
        Which score or protocol it belongs to.
    value : float
    rule : str
        How it came about.
    fitted_on : str
        Which rows decided it.
    """

    name: str
    value: float
    rule: str
    fitted_on: str


@dataclass(frozen=True)
class Outcome:
    """Everything that a system has to tell.

    Parameters
    ----------
    name, title : str
        The command's name of the system; a line for people.
    summary : str
        A paragraph: what was run on what.
    comparisons : list of Comparison
    tables : list of slidecell.jobs.report.Table
        Further tables, in the order in which they are shown.
    thresholds : list of UsedThreshold
    highest : slidecell.jobs.report.Table, optional
        Rows with the highest scores and what these are made of.
    plan : dict, optional
        Of `slidecell.SequenceModel.plan`: which kernel scored.
    figures : list of slidecell.jobs.report.Figure
        In the order in which they are shown; each has the name of its file.
    report : dict
        All figures and settings, ready for JSON.
    """

    name: str
    title: str
    summary: str
    comparisons: list[Comparison]
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    thresholds: list[UsedThreshold] = field(default_factory=list)
    highest: Table | None = None
    plan: Mapping[str, Any] | None = None

    def comparison_table(self) -> Table:
        """Return the comparisons as a table; its last column only where there are notes."""
        columns = ["figure", "source", "slidecell", "note"]
        rows = [[c.name, c.source, c.ours, c.note] for c in self.comparisons]
        if not any(c.note for c in self.comparisons):
            columns, rows = columns[:3], [row[:3] for row in rows]
        return Table(columns, rows, "beside the source's figures")
