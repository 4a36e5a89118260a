"""Rows with their answers, as those that look on at a live run are given them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from slidecell.live.answers import Answers, Event
from slidecell.live.rows import Row, RowBlock

if TYPE_CHECKING:
    from slidecell.live.entity_events import EventLine

__all__ = ["ScoredBlock", "ScoredRow"]


class ScoredRow(NamedTuple):
    """A row as it was read, its answer, and what the answer took.

    Attributes
    ----------
    row : Row
        Entity, time and values as they came, the values in the model's order.
    answer : Event
        Score, threshold and alarm.
    nanoseconds : int
        Of its block, shared by the block's rows.
    moment : float or int
        The row's time as a number, nanoseconds since 1970 for dates; without a time column the
        number of the row, from 1.
    """

    row: Row
    answer: Event
    nanoseconds: int
    moment: float | int


@dataclass
class ScoredBlock(Sequence[ScoredRow]):
    """Rows that were scored together: a sequence of `ScoredRow`, kept as columns.

    Attributes
    ----------
    rows : RowBlock
    answers : Answers
    moments : list of numbers, [n]
    nanoseconds : int
        That scoring took, of each row: those of the block divided by its rows.
    changes : list of (int, list of EventLine)
        Places of rows in the block, ascending, and what happened to events by them.
    """

    rows: RowBlock
    answers: Answers
    moments: list[float | int]
    nanoseconds: int
    changes: list[tuple[int, list[EventLine]]] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Sequence[ScoredRow]) -> ScoredBlock:
        """Return one or more single rows as a block; each has the time of the first."""
        return cls(
            RowBlock.of([scored.row for scored in rows]),
            Answers.of([scored.answer for scored in rows]),
            [scored.moment for scored in rows],
            rows[0].nanoseconds,
        )

    def __len__(self) -> int:
        return len(self.moments)

    @overload
    def __getitem__(self, place: int) -> ScoredRow: ...
    @overload
    def __getitem__(self, place: slice) -> ScoredBlock: ...
    def __getitem__(self, place: int | slice) -> ScoredRow | ScoredBlock:
        """Return one row, or some of them as a block without what happened to events."""
        if isinstance(place, slice):
            if place == slice(0, len(self)) and not self.changes:
                return self
            return ScoredBlock(
                self.rows[place], self.answers[place], self.moments[place], self.nanoseconds
            )
        if not -len(self) <= place < len(self):
            raise IndexError(f"place: expected one of {len(self)} rows, got {place}")
        return ScoredRow(
            self.rows.row(place), self.answers.event(place), self.nanoseconds, self.moments[place]
        )

    @cached_property
    def by_entity(self) -> tuple[npt.NDArray[np.int64], list[tuple[str, slice]]]:
        """The places of rows [n] in the order of their entities, and which of them each one has."""
        codes: dict[str, int] = {}
        found = [codes.setdefault(name, len(codes)) for name in self.rows.entities]
        order = np.argsort(np.array(found, np.int64), kind="stable")
        ends = np.bincount(found, minlength=len(codes)).cumsum().tolist()
        slices = [slice(first, end) for first, end in zip([0, *ends], ends, strict=False)]
        return order, list(zip(codes, slices, strict=True))
