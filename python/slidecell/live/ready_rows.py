"""Rows of a block that can be scored at once: nothing has to happen between them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.live.answers import Answers
from slidecell.live.entity_events import EventLine
from slidecell.live.last_rows import LastRow

__all__ = ["ReadyRows"]

Floats = npt.NDArray[np.float64]


@dataclass
class ReadyRows:
    """Rows for which everything is ready, and what their coming has done.

    Attributes
    ----------
    places : list of int, [n]
        Of their entities.
    times : list of numbers, [n]
        Empty without a column.
    entities : dict of LastRow
        By their places.
    changes : dict of lists of EventLine
        What happened to events before a row was scored, by its number from 0; of rows behind these
        too, where they were made ready before.
    refused : Exception or None
        Why the row after them cannot be used.
    """

    places: list[int] = field(default_factory=list)
    times: list[float | int] = field(default_factory=list)
    entities: dict[int, LastRow] = field(default_factory=dict)
    changes: dict[int, list[EventLine]] = field(default_factory=dict)
    refused: Exception | None = None

    def filled(self, values: Floats) -> Floats:
        """Return rows [n, F] with their entities' last values where they are missing."""
        missing = np.asarray(~np.isfinite(values))
        if not missing.any():
            return values
        filled, lacking = values.copy(), np.any(missing, axis=1).tolist()
        latest: dict[int, Floats] = {}
        for at, place in enumerate(self.places):
            if lacking[at]:
                before = latest.get(place)
                if before is None:
                    known = self.entities[place].values or [None] * values.shape[1]
                    before = np.array(known, np.float64)  # NaN for None
                filled[at] = np.where(missing[at], before, filled[at])
            latest[place] = filled[at]
        return filled

    def take_events(
        self,
        answers: Answers,
        wheres: Sequence[Any],
        values: Sequence[bytes] | None = None,
    ) -> list[tuple[int, list[EventLine]]]:
        """Give the flags of the first rows to the events of their entities.

        Parameters
        ----------
        answers : Answers
            Of these rows.
        wheres : sequence
            What stands for them in lines.
        values : sequence of bytes, optional
            Of the rows, where events name the columns that drive them.

        Returns
        -------
        list of (int, list of EventLine)
            Numbers of rows, and what happened by them.
        """
        places = self.places[: len(answers)]
        found = {at: told for at, told in self.changes.items() if at < len(answers)}
        alarms = answers.alarms.tolist()
        flagged = set(itertools.compress(places, alarms))
        busy = {
            place
            for place, count in Counter(places).items()
            if place in flagged or not self.entities[place].events.pass_by(count)
        }
        if busy or values is not None:
            kept: Sequence[bytes | None] = [None] * len(places) if values is None else values
            scores = answers.smoothed.tolist()
            for at, place in enumerate(places):
                if place in busy:
                    events = self.entities[place].events
                    lines = events.push(alarms[at], scores[at], wheres[at], kept[at])
                    if lines:
                        found[at] = found.get(at, []) + lines
                elif values is not None:
                    self.entities[place].events.keep(kept[at])
        return sorted(found.items())
