"""The events of a live run: opened and closed while rows come, named by their rows' times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from slidecell.thresholds.events import Event, EventTracker
from slidecell.thresholds.state_values import mapping

if TYPE_CHECKING:
    from slidecell.live.event_rows import EventRows

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
    columns : tuple of (int, float), optional
        Of a closed event: the numbers of the columns that drive it, and their shares, the largest
        first. None where nobody looks for them.
    """

    change: Literal["opened", "closed"]
    entity: str
    start: Any
    end: Any
    event: Event
    columns: tuple[tuple[int, float], ...] | None = None


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
    rows : EventRows, optional
        Says which columns drive an event; then every row has to come with its values. Default:
        nobody does.

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

    def __init__(
        self, entity: str, *, gap: int, threshold: float | None, rows: EventRows | None = None
    ) -> None:
        self._entity = entity
        self._tracker = EventTracker(gap, threshold=threshold)
        self._rows = rows
        self._start: Any = None
        self._end: Any = None

    @property
    def open_event(self) -> EventLine | None:
        """What is told of the event that is open, as it is now; None if none is."""
        event = self._tracker.event
        if event is None:
            return None
        return EventLine("opened", self._entity, self._start, self._end, event)

    def push(
        self, flag: bool, score: float, place: Any, row: bytes | None = None
    ) -> list[EventLine]:
        """Take the next row, with what stands for it in lines; return what it closed or opened.

        ``row`` are its values, float64 [F]; None where nothing is known of it.
        """
        self.keep(row)
        if not flag and self._tracker.pass_by():
            return []
        lines = []
        for change, event in self._tracker.push(flag, score):
            if change == "opened":
                self._start = place
            if change != "closed":
                self._end = place
            if change != "updated":
                lines.append(self._line(change, event))
            if change != "closed" and self._rows is not None:
                self._rows.flagged(score)
        return lines

    def keep(self, row: bytes | None) -> None:
        """Take the values of a row that `pass_by` has counted."""
        if self._rows is not None:
            self._rows.add(row)

    def pass_by(self, rows: int) -> bool:
        """Take so many rows that are not flagged, if no event is open; return whether it was."""
        return self._tracker.pass_by(rows)

    def close(self) -> list[EventLine]:
        """End the event that is open, as the end of the rows does."""
        return [self._line("closed", event) for _, event in self._tracker.close()]

    def begin_anew(self) -> list[EventLine]:
        """Do as `close`, and forget the rows: none of them counts for the next one."""
        lines = self.close()
        if self._rows is not None:
            self._rows.forget()
        return lines

    def _line(self, change: Literal["opened", "closed"], event: Event) -> EventLine:
        rows = self._rows if change == "closed" else None
        columns = None if rows is None else rows.close()
        return EventLine(change, self._entity, self._start, self._end, event, columns)

    def state(self) -> dict[str, Any]:
        """Return the state, ready for JSON."""
        rows = {} if self._rows is None else {"rows": self._rows.state()}
        return {"tracker": self._tracker.state(), "start": self._start, "end": self._end, **rows}

    def load_state(self, state: object) -> None:
        """Go on from what `state` returned; ValueError if it is damaged or of other settings."""
        found: Mapping[str, Any] = mapping(state, "events")
        for key in ("start", "end"):
            if not isinstance(found.get(key), (str, int, float, type(None))):
                raise ValueError(f"events: {key!r}: expected a time or a number")
        self._tracker.load_state(mapping(found.get("tracker"), "events: 'tracker'"))
        self.load_rows(found.get("rows"))
        self._start, self._end = found.get("start"), found.get("end")

    def load_rows(self, state: object) -> None:
        """Go on from the rows of a state; from None where it knows of none, though some came."""
        if self._rows is not None:
            self._rows.load_state(state)
