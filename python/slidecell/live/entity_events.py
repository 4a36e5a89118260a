"""The events of a live run: opened and closed while rows come, named by their rows' times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from slidecell.thresholds.events import Event, EventTracker
from slidecell.thresholds.state_values import mapping

__all__ = ["EntityEvents", "EventLine"]


class EventLine(NamedTuple):
    """What is told of an event when it opens, and when it closes.

    Attributes
    ----------
    change : {"opened", "closed"}
    entity : str
    start, end : object
        What stands for its first and last flagged rows: their times as they came, or numbers.
    event : Event
        As it is now; its rows are those of the entity.
    """

    change: Literal["opened", "closed"]
    entity: str
    start: Any
    end: Any
    event: Event


class EntityEvents:
    """The events of one entity: those that `find_events` finds in its rows.

    Parameters
    ----------
    entity : str
        Its name.
    gap : int
        As of `find_events`.
    threshold : float, optional
        As of `find_events`.

    Examples
    --------
    >>> from slidecell.live.entity_events import EntityEvents
    >>> events = EntityEvents("pump", gap=0, threshold=1.0)
    >>> for time, score in (("8:00", 0.0), ("8:01", 3.0), ("8:02", 2.0), ("8:03", 0.5)):
    ...     for line in events.push(score > 1.0, score, time):
    ...         print(line.change, line.start, line.end, line.event.peak, line.event.area)
    opened 8:01 8:01 3.0 2.0
    closed 8:01 8:02 3.0 3.0
    """

    def __init__(self, entity: str, *, gap: int, threshold: float | None) -> None:
        self._entity = entity
        self._tracker = EventTracker(gap, threshold=threshold)
        self._start: Any = None
        self._end: Any = None

    @property
    def open_event(self) -> EventLine | None:
        """What is told of the event that is open, as it is now; None if none is."""
        event = self._tracker.event
        if event is None:
            return None
        return EventLine("opened", self._entity, self._start, self._end, event)

    def push(self, flag: bool, score: float, place: Any) -> list[EventLine]:
        """Take the next row, with what stands for it in lines; return what it closed or opened."""
        if not flag and self._tracker.pass_by():
            return []
        lines = []
        for change, event in self._tracker.push(flag, score):
            if change == "opened":
                self._start = place
            if change != "closed":
                self._end = place
            if change != "updated":
                lines.append(EventLine(change, self._entity, self._start, self._end, event))
        return lines

    def pass_by(self, rows: int) -> bool:
        """Take so many rows that are not flagged, if no event is open; return whether it was."""
        return self._tracker.pass_by(rows)

    def close(self) -> list[EventLine]:
        """End the event that is open, as the end of the rows does."""
        return [
            EventLine("closed", self._entity, self._start, self._end, event)
            for _, event in self._tracker.close()
        ]

    def state(self) -> dict[str, Any]:
        """Return the state, ready for JSON."""
        return {"tracker": self._tracker.state(), "start": self._start, "end": self._end}

    def load_state(self, state: object) -> None:
        """Go on from what `state` returned; ValueError if it is damaged or of other settings."""
        found: Mapping[str, Any] = mapping(state, "events")
        for key in ("start", "end"):
            if not isinstance(found.get(key), (str, int, float, type(None))):
                raise ValueError(f"events: {key!r}: expected a time or a number")
        self._tracker.load_state(mapping(found.get("tracker"), "events: 'tracker'"))
        self._start, self._end = found.get("start"), found.get("end")
