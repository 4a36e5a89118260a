"""Events: flagged rows that lie near each other, as one thing that happened."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_number, whole_number
from slidecell._arrays import one_number
from slidecell._html import figure, html_table
from slidecell.evaluate.inputs import Floats, Ints, as_labels, as_offsets, one_dimensional
from slidecell.thresholds.scores import as_scores
from slidecell.thresholds.state_values import mapping, whole

__all__ = ["Event", "EventChange", "EventTracker", "find_events", "worst_first"]

_INFINITE = ("Infinity", "-Infinity")


class Event(NamedTuple):
    """Flagged rows of one entity with at most ``gap`` other rows between two of them.

    Parameters
    ----------
    start, end : int
        The first and the last flagged row, both part of the event.
    rows : int
        From the first to the last flagged row, these included.
    flagged : int
        How many of them are flagged.
    peak : float
        The highest score of the flagged rows; infinity where one is infinite.
    peak_row : int
        The first row with it.
    entity : int
        Number of the entity.
    area : float, optional
        Sum over the flagged rows of ``score - threshold``, where this is above 0; None without a
        threshold.
    """

    start: int
    end: int
    rows: int
    flagged: int
    peak: float
    peak_row: int
    entity: int
    area: float | None

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the fields as a table."""
        rows = [
            (name, figure(value) if name in {"peak", "area"} else value)
            for name, value in self._asdict().items()
        ]
        return html_table("Event", rows)


class EventChange(NamedTuple):
    """What a row did to an event, and the event as it is since then."""

    change: Literal["opened", "updated", "closed"]
    event: Event


def find_events(
    flags: npt.ArrayLike,
    scores: npt.ArrayLike,
    offsets: npt.ArrayLike | None = None,
    *,
    gap: int = 0,
    threshold: npt.ArrayLike | None = None,
) -> list[Event]:
    """Return the events of flagged rows [S], in the order of the rows.

    Flags that touch, or have at most ``gap`` rows between them in one entity, are one event. A row
    without a score (NaN) counts as one of the rows between, and adds nothing to the area.

    Parameters
    ----------
    flags : array_like of bool, [S]
        As `Threshold.apply` returns them.
    scores : array_like, [S]
    offsets : array_like of int, [G+1], optional
        Entity g owns rows ``offsets[g]:offsets[g+1]``. Default: one entity. Those of
        `slidecell.entity_offsets` with ``max_gap`` also end an event at a step in time.
    gap : int
        Rows that are not flagged between two flags of one event, at most.
    threshold : float or array_like of float [G], optional
        What the scores were compared with, or those of each entity, for the area. Default: no event
        has one.

    Returns
    -------
    list of Event

    Raises
    ------
    ValueError
        If lengths differ, ``gap`` is negative, or a flagged row has no score.

    Examples
    --------
    >>> from slidecell.thresholds import find_events
    >>> scores = [1.0, 4.0, 2.0, 6.0, 1.0, 1.0, 1.0, 5.0]
    >>> flags = [score > 3.0 for score in scores]
    >>> [(e.start, e.end, e.peak, e.area) for e in find_events(flags, scores, threshold=3.0)]
    [(1, 1, 4.0, 1.0), (3, 3, 6.0, 3.0), (7, 7, 5.0, 2.0)]
    >>> find_events(flags, scores, gap=1, threshold=3.0)[0]
    Event(start=1, end=3, rows=3, flagged=2, peak=6.0, peak_row=3, entity=0, area=4.0)
    """
    values = as_scores(scores)
    flagged = as_labels(flags, len(values), name="flags")
    bounds = as_offsets(offsets, len(values))
    gap = _as_gap(gap)
    limits = _limits(threshold, len(bounds) - 1)
    if (flagged & np.isnan(values)).any():
        row = int((flagged & np.isnan(values)).argmax())
        raise ValueError(f"flags: expected no flag on a row without a score, got one in row {row}")
    return _events(np.flatnonzero(flagged), values[flagged], bounds, gap, limits)


def _events(
    rows: Ints,  # [n], flagged
    scores: Floats,  # [n]
    offsets: Ints,  # [G+1]
    gap: int,
    limits: Floats | None,  # [G]
) -> list[Event]:
    if len(rows) == 0:
        return []
    entities = np.searchsorted(offsets, rows, side="right") - 1
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (np.diff(rows) - 1 > gap) | (np.diff(entities) != 0)
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(rows)) - 1
    of = np.cumsum(begins) - 1  # the event of each flagged row
    peaks = np.maximum.reduceat(scores, first)
    # The first row of each event that has its peak: of a repeated index the last value stays.
    tops = np.empty(len(first), np.int64)
    highest = np.flatnonzero(scores == peaks[of])[::-1]
    tops[of[highest]] = rows[highest]
    if limits is None:
        areas: list[float | None] = [None] * len(first)
    else:
        above = _above(scores, limits[entities])
        # It adds one by one, in order, as the tracker does; a sum by halves would differ in bits.
        areas = np.bincount(of, weights=above, minlength=len(first)).tolist()
    columns = (
        *(rows[first], rows[last], rows[last] - rows[first] + 1, last - first + 1),
        *(peaks, tops, entities[first]),
    )
    listed = (column.tolist() for column in columns)
    return [Event(*values) for values in zip(*listed, areas, strict=True)]


def worst_first(events: Iterable[Event]) -> list[Event]:
    """Return events by peak, then by area, the highest first; equal ones in their order.

    Examples
    --------
    >>> from slidecell.thresholds import find_events, worst_first
    >>> events = find_events([1, 0, 1, 0, 1], [2.0, 0.0, 5.0, 0.0, float("inf")])
    >>> [event.start for event in worst_first(events)]
    [4, 2, 0]
    """
    return sorted(events, key=lambda event: (-event.peak, -(event.area or 0.0)))


class EventTracker:
    """The events of one entity while its rows come: opened, updated and closed.

    The events that it closes are those of `find_events` on the same rows, bit for bit. An event is
    closed by the first row after which no flag could belong to it any more.

    Parameters
    ----------
    gap : int
        As of `find_events`.
    threshold : float, optional
        As of `find_events`.
    entity : int
        Number of the entity, for its events.

    Examples
    --------
    >>> from slidecell.thresholds import EventTracker
    >>> tracker = EventTracker(gap=1, threshold=3.0)
    >>> for score in (1.0, 4.0, 2.0, 6.0, 1.0, 1.0):
    ...     for change, event in tracker.push(score > 3.0, score):
    ...         print(change, event.start, event.end, event.peak, event.area)
    opened 1 1 4.0 1.0
    updated 1 3 6.0 4.0
    closed 1 3 6.0 4.0
    """

    def __init__(self, gap: int = 0, *, threshold: float | None = None, entity: int = 0) -> None:
        self.gap, self.threshold = _as_gap(gap), _as_threshold(threshold)
        self.entity = whole_number("entity", entity, least=0)
        self._next = 0  # the least number that a row may have
        self._event: Event | None = None

    @property
    def event(self) -> Event | None:
        """The event that is open; None if none is."""
        return self._event

    def push(self, flag: bool, score: float, row: int | None = None) -> list[EventChange]:
        """Take the next row; return what it closed, opened or updated.

        Parameters
        ----------
        flag : bool
        score : float
            NaN where the row has none.
        row : int, optional
            Number of the row, above those before. Numbers that are left out count as rows that are
            not flagged. Default: the one after the last.

        Returns
        -------
        list of EventChange
            Empty for most rows.

        Raises
        ------
        ValueError
            If the row is not above the last one, or it is flagged and has no score; nothing is
            changed then.
        """
        if not isinstance(flag, (bool, np.bool_)) and flag not in (0, 1):
            raise ValueError(f"flag: expected True or False, got {flag!r}")
        value = one_number(score, name="score")
        row = self._next if row is None else whole_number("row", row)
        if row < self._next:
            raise ValueError(f"row: expected at least {self._next}, after the last row, got {row}")
        if flag and math.isnan(value):
            raise ValueError(f"flag: expected none on a row without a score, got one in row {row}")
        self._next = row + 1
        changes = []
        # The next flag could be this row, or else the one after it.
        if self._event is not None and row - self._event.end > self.gap + bool(flag):
            changes += self.close()
        if flag:
            changes.append(self._take(value, row))
        return changes

    def pass_by(self, rows: int = 1) -> bool:
        """Take the next rows, none of them flagged, if no event is open; return whether it was."""
        if self._event is not None:
            return False
        self._next += rows
        return True

    def close(self) -> list[EventChange]:
        """End the event that is open, as the end of the rows does; return it as closed, if any."""
        event, self._event = self._event, None
        return [] if event is None else [EventChange("closed", event)]

    def go_on(self, event: Event) -> None:
        """Be as behind the last flagged row of an event of this entity, which is open."""
        self._event, self._next = event, event.end + 1

    def _take(self, score: float, row: int) -> EventChange:
        above = None if self.threshold is None else float(_above(score, self.threshold))
        event = self._event
        if event is None:
            self._event = Event(row, row, 1, 1, score, row, self.entity, above)
            return EventChange("opened", self._event)
        higher = score > event.peak
        self._event = event._replace(
            end=row,
            rows=row - event.start + 1,
            flagged=event.flagged + 1,
            peak=score if higher else event.peak,
            peak_row=row if higher else event.peak_row,
            area=None if event.area is None or above is None else event.area + above,
        )
        return EventChange("updated", self._event)

    def state(self) -> dict[str, Any]:
        """Return settings, the number of the next row and the open event, ready for JSON."""
        event = None if self._event is None else self._event._asdict()
        return {
            "gap": self.gap,
            "threshold": self.threshold,
            "entity": self.entity,
            "next_row": self._next,
            "event": None if event is None else {k: _to_plain(v) for k, v in event.items()},
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned, bit for bit.

        Raises
        ------
        ValueError
            If it is damaged or of other settings; nothing is changed then.
        """
        given = mapping(state, "state")
        for name in ("gap", "threshold", "entity"):
            if name not in given or given[name] != getattr(self, name):
                raise ValueError(
                    f"state: {name!r}: expected {getattr(self, name)!r} as in this tracker, "
                    f"got {given.get(name)!r}"
                )
        row = whole(given, "next_row")
        event = None if given.get("event") is None else self._event_of(given["event"], row)
        self._next, self._event = row, event

    def _event_of(self, found: object, row: int) -> Event:
        """Return the open event of a state in which ``row`` is the next."""
        plain = mapping(found, "state: 'event'")
        start, end, rows, flagged, peak_row = (
            whole(plain, name) for name in ("start", "end", "rows", "flagged", "peak_row")
        )
        peak = _from_plain(plain, "peak")
        area = None if self.threshold is None else _from_plain(plain, "area")
        if not (
            start <= peak_row <= end < row
            and rows == end - start + 1
            and 1 <= flagged <= rows
            and (area is None) == (plain.get("area") is None)
            and (area is None or area >= 0.0)
            and plain.get("entity") == self.entity
            and row - 1 - end <= self.gap
        ):
            raise ValueError(f"state: 'event': expected an event that can be, got {dict(plain)!r}")
        return Event(start, end, rows, flagged, peak, peak_row, self.entity, area)


def _limits(threshold: npt.ArrayLike | None, count: int) -> Floats | None:
    """Return the threshold of each entity, [G]."""
    if threshold is None:
        return None
    if np.ndim(threshold) == 0:
        return np.full(count, _as_threshold(cast(float, threshold)))
    limits = one_dimensional(threshold, "threshold").astype(np.float64)
    if len(limits) != count:
        raise ValueError(f"threshold: expected {count}, one per entity, got {len(limits)}")
    if not np.isfinite(limits).all():
        raise ValueError(
            f"threshold: expected finite numbers, got {limits[~np.isfinite(limits)][0]}"
        )
    return limits


def _above(scores: Any, threshold: Any) -> Any:
    """Return by how much scores lie above the threshold: 0 for those that do not."""
    with np.errstate(over="ignore"):  # the least float64 below the greatest one: infinity
        return np.maximum(np.float64(scores) - threshold, 0.0)


def _as_gap(gap: int) -> int:
    return whole_number("gap", gap, least=0)


def _as_threshold(threshold: float | None) -> float | None:
    if threshold is None:
        return None
    number = as_number("threshold", threshold)
    if not math.isfinite(number):
        raise ValueError(f"threshold: expected a finite number, got {threshold!r}")
    return number


def _to_plain(value: float | None) -> float | str | None:
    """Return a value as JSON can hold it, which has no infinity."""
    infinite = isinstance(value, float) and math.isinf(value)
    return _INFINITE[value < 0.0] if infinite and value is not None else value


def _from_plain(state: Mapping[str, Any], key: str) -> float:
    value = state.get(key)
    if value in _INFINITE:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"state: {key!r}: expected a number, got {value!r}")
    return float(value)
