"""Events of entities whose flagged rows come in batches: those that go on, and those that end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell.scale.arrivals import Arranged
from slidecell.tables.rows import Ints
from slidecell.thresholds.events import Event, EventTracker
from slidecell.thresholds.state_values import mapping, whole

__all__ = ["Closed", "OpenEvents"]

Floats = npt.NDArray[np.float64]


class Closed(NamedTuple):
    """An event that has ended: its entity, what stands for its first and last flagged rows."""

    entity: int
    start: Any
    end: Any
    event: Event


class _Open(NamedTuple):
    segment: int
    event: Event
    start: Any
    end: Any


class OpenEvents:
    """The event of each entity that the next rows may belong to.

    Events are those of `slidecell.thresholds.EventTracker` on each entity's rows, bit for bit.

    Parameters
    ----------
    gap : int
    limit : callable
        From an entity's number to what its scores are compared with; None: no event has an area.

    Examples
    --------
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> from slidecell.scale.arrivals import Arrivals
    >>> from slidecell.scale.open_events import OpenEvents
    >>> from slidecell.scale.sources import Batch
    >>> from slidecell.tables.options import TableOptions
    >>> arrivals = Arrivals(TableOptions(), {})
    >>> events, batch = OpenEvents(0, lambda entity: 1.0), Batch(pa.table({"x": [0, 0]}), "", 0, 0)
    >>> for scores in ([0.5, 2.0], [4.0, 0.5]):
    ...     rows = arrivals.arrange(batch, sort=False)
    ...     values = np.array(scores)
    ...     events.follow(rows, values, values > 1.0, places=lambda rows: rows.tolist())
    []
    []
    >>> [(one.event.start, one.event.end, one.event.area) for one in events.close()]
    [(1, 2, 4.0)]
    """

    def __init__(self, gap: int, limit: Callable[[int], float | None]) -> None:
        self._gap, self._limit = gap, limit
        self._open: dict[int, _Open] = {}

    def follow(
        self,
        arranged: Arranged,
        scores: npt.NDArray[Any],
        flags: npt.NDArray[np.bool_],
        *,
        places: Callable[[Ints], list[Any]],
    ) -> list[Closed]:
        """Take the flagged rows of a batch; return the events that can take no other row.

        Parameters
        ----------
        arranged : Arranged
        scores : ndarray, [B]
        flags : ndarray of bool, [B]
        places : callable
            From rows of the batch to what stands for each.
        """
        rows = np.flatnonzero(flags)
        if len(rows) == 0:
            return []
        codes, numbers = arranged.codes[rows], arranged.numbers(rows)
        segments = arranged.segments(rows)
        changes = np.diff(codes, prepend=-1) != 0
        begins = changes.copy()
        begins[1:] |= (np.diff(numbers) - 1 > self._gap) | (np.diff(segments) != 0)
        first = np.flatnonzero(begins)
        # What has gone on until now is of the first event of its entity, or has ended.
        goes_on: list[_Open | None] = [None] * len(first)
        closed: list[Closed] = []
        for number, row in enumerate(first.tolist()):
            if not changes[row]:
                continue
            entity = int(codes[row])
            known = self._open.pop(entity, None)
            if known is None:
                continue
            near = int(numbers[row]) - known.event.end - 1 <= self._gap
            if near and known.segment == segments[row]:
                goes_on[number] = known
            else:
                closed.append(_closed(entity, known))
        made = self._made(first, codes, numbers, scores[rows], goes_on)
        ends = np.append(first[1:], len(rows)) - 1
        last = np.append(changes[first[1:]], True)
        named = (segments[first].tolist(), places(rows[first]), places(rows[ends]))
        for segment, start, end, stays, event, known in zip(
            *named, last.tolist(), made, goes_on, strict=True
        ):
            found = _Open(segment, event, start if known is None else known.start, end)
            if stays:
                self._open[event.entity] = found
            else:
                closed.append(_closed(event.entity, found))
        return closed

    def _made(
        self,
        first: Ints,  # [n], of the flagged rows
        codes: Ints,
        numbers: Ints,
        scores: npt.NDArray[Any],
        goes_on: Sequence[_Open | None],  # [n]
    ) -> list[Event]:
        """Return the events as they are behind the flagged rows."""
        values = scores.astype(np.float64)
        peaks = np.maximum.reduceat(values, first)
        lengths = np.diff(first, append=len(codes))
        of = np.repeat(np.arange(len(first)), lengths)
        # The first row of each event that has its peak: of a repeated index the last value stays.
        tops = np.empty(len(first), np.int64)
        highest = np.flatnonzero(values == peaks[of])[::-1]
        tops[of[highest]] = numbers[highest]
        areas = self._areas(of, codes, values, goes_on)
        ends = numbers[np.append(first[1:], len(codes)) - 1].tolist()
        listed = (numbers[first].tolist(), ends, lengths.tolist(), peaks.tolist(), tops.tolist())
        found = (
            Event(start, end, end - start + 1, flagged, peak, top, entity, area)
            for start, end, flagged, peak, top, entity, area in zip(
                *listed, codes[first].tolist(), areas, strict=True
            )
        )
        return [
            event if known is None else _joined(known.event, event)
            for event, known in zip(found, goes_on, strict=True)
        ]

    def _areas(
        self, of: Ints, codes: Ints, values: Floats, goes_on: Sequence[_Open | None]
    ) -> list[float | None]:
        limits = {entity: self._limit(entity) for entity in set(codes.tolist())}
        if None in limits.values():
            return [None] * len(goes_on)
        with np.errstate(over="ignore"):  # the least float64 below the greatest one: infinity
            above = values - np.array([limits[entity] for entity in codes.tolist()])
        above = np.maximum(above, 0.0)
        old = [0.0 if known is None else known.event.area or 0.0 for known in goes_on]
        # Added one by one, in order, as a tracker does; a sum by halves would differ in bits.
        every = np.concatenate([np.arange(len(old)), of])
        sums = np.bincount(every, weights=np.concatenate([old, above]), minlength=len(old))
        return list(sums.tolist())

    def close(self) -> list[Closed]:
        """End all events that are open, as the end of the rows does."""
        closed = [_closed(entity, known) for entity, known in sorted(self._open.items())]
        self._open.clear()
        return closed

    def state(self) -> tuple[dict[str, Any], list[tuple[Any, Any]]]:
        """Return the state as JSON has it, and what stands for open events' first and last rows."""
        places, events = [], {}
        for entity, known in sorted(self._open.items()):
            places.append((known.start, known.end))
            tracker = EventTracker(self._gap, threshold=self._limit(entity), entity=entity)
            tracker.go_on(known.event)
            events[str(entity)] = {"segment": known.segment, "tracker": tracker.state()}
        return events, places

    def load_state(self, events: Mapping[str, Any], places: Sequence[tuple[Any, Any]]) -> None:
        """Go on from what `state` returned; ValueError if it is damaged."""
        for (key, own), (start, end) in zip(events.items(), places, strict=True):
            entity = int(key)
            tracker = EventTracker(self._gap, threshold=self._limit(entity), entity=entity)
            tracker.load_state(mapping(own["tracker"], "events: 'tracker'"))
            if tracker.event is None:
                raise ValueError(f"events: {key!r}: expected an event that is open, got none")
            self._open[entity] = _Open(whole(own, "segment"), tracker.event, start, end)


def _joined(event: Event, more: Event) -> Event:
    """Return an event with its next rows; their area is that of all."""
    first = event if more.peak <= event.peak else more
    return Event(
        event.start,
        more.end,
        more.end - event.start + 1,
        event.flagged + more.flagged,
        first.peak,
        first.peak_row,
        event.entity,
        more.area,
    )


def _closed(entity: int, known: _Open) -> Closed:
    return Closed(entity, known.start, known.end, known.event)
