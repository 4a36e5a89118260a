"""The events of a live run with the columns that drive them: those that are open, and the last."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.live.observers import Observer, ScoredBlock
from slidecell.live.web.plain import json_number

if TYPE_CHECKING:
    from slidecell.live.entities import Entities
    from slidecell.live.entity_events import EventLine
    from slidecell.live.monitor import Event

__all__ = ["EventBook"]

_CLOSED = 100  # that are kept
_OPEN = 200  # that are shown at most
_EXPLAINED = 100  # rows of an event whose columns are found, and every one that is a new peak
_COLUMNS = 3  # named for each event


class _Drivers:
    """The shares of columns over the flagged rows of one event, weighted as a report weighs them.

    The newest row waits: after a gap it is told before the event that it does not belong to ends.
    """

    def __init__(self, newest: Event | None = None) -> None:
        self._total: npt.NDArray[np.float64] | None = None
        self._peak = -math.inf
        self._rows = 0
        self._newest = newest

    def add(self, answer: Event) -> None:
        """Take a flagged row."""
        self._take_newest()
        self._newest = answer

    def end(self, flagged: int) -> _Drivers:
        """End the event, which has so many flagged rows; return those of the next one."""
        if self._rows < flagged:
            self._take_newest()
        return _Drivers(self._newest)

    def _take_newest(self) -> None:
        answer, self._newest = self._newest, None
        if answer is None:
            return
        self._rows += 1
        if self._rows > _EXPLAINED and not answer.smoothed > self._peak:
            return
        self._peak = max(self._peak, answer.smoothed)
        shares = answer.attribution
        if shares is None:
            return
        above = answer.smoothed - answer.threshold
        weight = above if math.isfinite(above) and above > 0.0 else 1.0
        self._total = weight * shares + (0.0 if self._total is None else self._total)

    def named(self, names: Sequence[str]) -> list[list[Any]]:
        """Return the columns with the largest shares and these, the largest first."""
        if self._total is None and self._newest is not None:  # the only row so far
            shares = self._newest.attribution
            return [] if shares is None else _largest(shares, names)
        if self._total is None or not self._total.sum() > 0.0:
            return []
        return _largest(self._total / self._total.sum(), names)


def _largest(shares: npt.NDArray[np.float64], names: Sequence[str]) -> list[list[Any]]:
    columns = np.argsort(-shares, kind="stable")[:_COLUMNS].tolist()
    return _listed([(c, float(shares[c])) for c in columns], names)


def _listed(columns: Iterable[tuple[int, float]], names: Sequence[str]) -> list[list[Any]]:
    return [[names[c], round(share, 4)] for c, share in columns if share >= 0.005]


class EventBook(Observer):
    """Keeps the open events of all entities and the last hundred that were closed.

    The columns of a closed event are those that its line names. Where it names none, and of an open
    event, they are those whose forecasts missed most in its flagged rows, where the model
    forecasts; weighted by how far the rows' scores lie above the threshold.

    Parameters
    ----------
    entities : Entities
        Whose open events are asked for as they are at the moment.
    names : sequence of str
        Of the features.
    """

    name = "page"

    def __init__(self, entities: Entities, names: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._entities, self._names = entities, names
        self._drivers: dict[str, _Drivers] = {}
        self._open = {line.entity: line for line in entities.open_events()}
        self._closed: deque[dict[str, Any]] = deque(maxlen=_CLOSED)
        self.changes = 0
        """Goes up whenever an event opens or closes."""

    def scored(self, rows: ScoredBlock) -> None:
        """Take the columns of flagged rows."""
        for place in np.flatnonzero(rows.answers.alarms).tolist():
            with self._lock:
                drivers = self._drivers.setdefault(rows.rows.entities[place], _Drivers())
                drivers.add(rows.answers.event(place))

    def event(self, line: EventLine) -> None:
        """Take an event that opened or closed."""
        with self._lock:
            self.changes += 1
            if line.change == "opened":
                self._open[line.entity] = line
                return
            self._open.pop(line.entity, None)
            drivers = self._drivers.pop(line.entity, None)
            if drivers is not None:
                self._drivers[line.entity] = drivers.end(line.event.flagged)
            self._closed.appendleft(_told(line, "closed", drivers, self._names))

    def open_entities(self) -> set[str]:
        """Return the entities that have an open event."""
        with self._lock:
            return set(self._open)

    def events(self) -> list[dict[str, Any]]:
        """Return what the page shows: the open ones as they are now, then those closed last."""
        with self._lock:
            lines = [(line, self._entities.open_event(name)) for name, line in self._open.items()]
            # It may have closed, and not been told yet.
            opened = [
                _told(now or line, "open", self._drivers.get(line.entity), self._names)
                for line, now in lines[::-1][:_OPEN]
            ]
            return [*opened, *self._closed]


def _told(
    line: EventLine, state: str, drivers: _Drivers | None, names: Sequence[str]
) -> dict[str, Any]:
    """Return what the page shows of an event."""
    event = line.event
    return {
        "state": state,
        "entity": line.entity,
        "start": line.start,
        "end": line.end,
        "rows": event.rows,
        "flagged": event.flagged,
        "peak": json_number(event.peak),
        "columns": _columns(line, drivers, names),
    }


def _columns(line: EventLine, drivers: _Drivers | None, names: Sequence[str]) -> list[list[Any]]:
    if line.columns is not None:
        return _listed(line.columns, names)
    return [] if drivers is None else drivers.named(names)
