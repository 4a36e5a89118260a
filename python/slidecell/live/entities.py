"""Entities of a live run: their places in the stream, last times and values, and open events."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slidecell.live.entity_events import EntityEvents, EventLine
from slidecell.live.monitor import Event, Monitor
from slidecell.live.options import DEFAULT_ENTITIES
from slidecell.live.times import Clock
from slidecell.thresholds.state_values import mapping, whole

if TYPE_CHECKING:
    from slidecell.live.formats import Row
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = ["Begun", "Entities", "OutOfOrderError", "Scored"]


_FIRST_ROOM = 4  # entities
_FEW = 3  # rows that are not worth a call for many
_LONGEST_NAME = 1024  # characters: names are kept, and saved, as long as the run


class OutOfOrderError(ValueError):
    """A row that is not later than the one before it."""


@dataclass
class _Last:
    """The time and the values of an entity's last row, and its events."""

    place: int
    events: EntityEvents
    time: float | int | None = None
    values: list[float | None] = field(default_factory=list)  # [F]: None before a value was seen
    missed: bool = False  # a row may have been lost since


class Begun(NamedTuple):
    """A row that is ready to be scored: see `Entities.begin`."""

    row: Row
    last: _Last
    time: float | int | None
    values: list[float]  # filled, if asked
    changes: list[EventLine]  # what its coming has done to events


class Scored(NamedTuple):
    """What has become of a row.

    Attributes
    ----------
    answer : Event
    changes : list of EventLine
        What has happened to events by it.
    moment : float or int
        Its time as a number; without times the number of the row, from 1.
    """

    answer: Event
    changes: list[EventLine]
    moment: float | int


class Entities:
    """A monitor whose entities have names and times; saved and gone on from with them.

    Memory is taken for few entities at first, and for twice as many whenever it is full: a push is
    dearer where there is room for many.

    Parameters
    ----------
    model : SequenceModel or LiveDetector
    options : LiveOptions
        With the model's own filled in.
    event_gap : int
        Of events, where the options name none.
    """

    def __init__(
        self, model: SequenceModel | LiveDetector, options: LiveOptions, *, event_gap: int = 0
    ) -> None:
        self._options = options
        self._gap = event_gap if options.event_gap is None else options.event_gap
        self._rows = 0  # that were scored, this one included
        self._lines: list[EventLine] = []
        self._clock = Clock(options.max_gap, hint=options.time_format)
        self._known: dict[str, _Last] = {}
        self._input_size = model.input_size
        path = options.state
        if path is None or not path.exists():
            default = 1 if options.entity is None else DEFAULT_ENTITIES
            self._most = options.max_entities or default
            room = min(_FIRST_ROOM, self._most)
            with _memory_by_its_flag():
                self._monitor = Monitor.from_model(model, room, **options.stream_bytes())
            return
        self._monitor = Monitor.load(model, path)
        try:
            self._load(self._monitor.extra)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None
        if options.max_entities not in {None, self._most}:
            raise ValueError(
                f"--max-entities: expected {self._most}, as in the state {path}, or none, got "
                f"{options.max_entities}"
            )
        room = _FIRST_ROOM
        while room < len(self._known):
            room *= 2
        self._monitor.resize(min(room, self._most))

    def __len__(self) -> int:
        return len(self._known)

    def push(self, row: Row) -> Event:
        """Take a row; ValueError, with nothing changed, if it cannot be used."""
        scored = self.finish([self.begin(row)])[0]
        self._lines += scored.changes
        return scored.answer

    def begin(self, row: Row) -> Begun:
        """Make everything ready for a row, which `finish` takes before its entity has another one.

        Raises
        ------
        ValueError
            If it cannot be used. Nothing is changed then.
        """
        last = self._last_of(row.entity)
        time = None if self._options.time is None else self._clock.read(row.time)
        anew = self._begins_anew(last, time, row.time)
        filled = self._filled(row.values, [] if anew else last.values) if self._fills else None
        told, self._lines = self._lines, []
        self._enter(row.entity, last, anew)
        changes, self._lines = self._lines, told
        return Begun(row, last, time, row.values if filled is None else filled, changes)

    def finish(self, begun: Sequence[Begun]) -> list[Scored]:
        """Score rows of different entities, in this order."""
        if len(begun) < _FEW:
            answers = [
                self._monitor.push(np.array(one.values, np.float64), one.last.place)
                for one in begun
            ]
        else:
            places = np.array([one.last.place for one in begun], np.int64)
            table = np.array([one.values for one in begun], np.float64)
            answers = self._monitor.push_many(places, table, num_threads=1)
        scored = []
        fills, has_times = self._fills, self._options.time is not None
        for (row, last, time, values, changes), answer in zip(begun, answers, strict=True):
            self._rows += 1
            place = row.time if has_times else self._rows
            changes.extend(last.events.push(answer.alarm, answer.smoothed, place))
            last.time = time
            if fills:
                last.values = [None if value != value else value for value in values]  # noqa: PLR0124
            scored.append(Scored(answer, changes, self._rows if time is None else time))
        return scored

    def push_missing(self, row: Row) -> bool:
        """Take a row that could not be read: all missing, never filled.

        Returns
        -------
        bool
            Whether it was taken. Not where there is no room for its entity, nor where its time says
            that its place is among rows that have been scored.
        """
        try:
            last = self._last_of(row.entity)
        except ValueError:
            return False
        time = None
        # A bad line does not decide what all times look like.
        if self._options.time is not None and self._clock.kind is not None:
            with contextlib.suppress(ValueError):  # unknown: the row is the next one
                time = self._clock.read(row.time)
        try:
            anew = self._begins_anew(last, time, row.time)
        except OutOfOrderError:
            return False
        self._enter(row.entity, last, anew)
        self._miss(last)
        last.time = last.time if time is None else time
        return True

    @property
    def time_kind(self) -> str | None:
        """What the moments of rows are: "date", "number", or "row" without a time column.

        None before the first time.
        """
        return "row" if self._options.time is None else self._clock.kind

    def open_event(self, name: str) -> EventLine | None:
        """Return the event of an entity that is open, as it is now."""
        last = self._known.get(name)
        return None if last is None else last.events.open_event

    def open_events(self) -> list[EventLine]:
        """Return the events of all entities that are open, as they are now."""
        found = (last.events.open_event for last in self._known.values())
        return [line for line in found if line is not None]

    def take_lines(self) -> list[EventLine]:
        """Return what has happened to events since this was called last, in order."""
        lines, self._lines = self._lines, []
        return lines

    def close_events(self) -> None:
        """End all open events, as the end of the rows does."""
        for last in self._known.values():
            self._lines += last.events.close()

    def doubt(self, names: Iterable[str]) -> None:
        """Let a missing row precede the next row of each of these entities.

        One of them has lost a row, and nobody knows which. One missing row is enough for any number
        of lost ones: no window bridges it.
        """
        for name in names:
            last = self._known.get(name)
            if last is not None:
                last.missed = True

    def _last_of(self, name: str) -> _Last:
        """Return what is known of an entity; of a new one, without entering it, nothing."""
        last = self._known.get(name)
        if last is not None:
            return last
        if len(name) > _LONGEST_NAME:
            raise ValueError(
                f"entity {name[:20]!r}...: expected a name of at most {_LONGEST_NAME} characters, "
                f"got {len(name)}"
            )
        place = len(self._known)
        if place == self._most:
            raise ValueError(
                f"entity {name!r}: there is room for {self._most} (--max-entities) and all are "
                "taken"
            )
        return _Last(place, self._new_events(name))

    def _new_events(self, name: str) -> EntityEvents:
        rule = self._monitor.rule_for(name)
        value = rule.threshold if rule is not None and rule.is_constant else None
        return EntityEvents(name, gap=self._gap, threshold=value)

    def _miss(self, last: _Last) -> None:
        """Push a missing row."""
        event = self._monitor.miss(last.place)
        self._lines += last.events.push(False, event.smoothed, None)

    def _begins_anew(self, last: _Last, time: float | int | None, given: object) -> bool:
        """Return whether the step to a time is a gap; OutOfOrderError if it is none forward."""
        if time is None or last.time is None:
            return False
        step = time - last.time
        if step < 0 or (step == 0 and not self._options.equal_times):
            raise OutOfOrderError(
                f"expected a time after {self._clock.text(last.time)}, got {given!r}"
            )
        return step > self._clock.gap

    def _enter(self, name: str, last: _Last, anew: bool) -> None:
        """Make the entity ready for its row."""
        room = self._monitor.stream.num_entities
        if last.place >= room:
            with _memory_by_its_flag():
                self._monitor.resize(min(2 * room, self._most))
        if name not in self._known:
            self._monitor.name_entity(last.place, name)
        self._known[name] = last
        if anew:
            self._monitor.reset(last.place)
            last.values = []
            self._lines += last.events.close()
        elif last.missed:
            self._miss(last)
        last.missed = False

    @property
    def _fills(self) -> bool:
        return self._options.missing == "ffill"

    @staticmethod
    def _filled(values: list[float], before: list[float | None]) -> list[float]:
        """Return the values with the entity's last ones where they are missing."""
        filled = []
        for new, old in zip(values, before or [None] * len(values), strict=True):
            kept = math.nan if old is None else old
            filled.append(new if math.isfinite(new) else kept)
        return filled

    def save(self, path: Path | None = None) -> None:
        """Write the state file, whole or not at all, if there is to be one.

        Parameters
        ----------
        path : Path, optional
            Default: as the options say.

        Raises
        ------
        OSError
            If it cannot be written.
        ValueError
            If it could not be read again; an old one stays.
        """
        path = self._options.state if path is None else path
        if path is None:
            return
        extra = {
            "time": self._clock.kind,
            "time_format": self._clock.format,
            "columns": [self._options.time, self._options.entity],
            "max_entities": self._most,
            "event_gap": self._gap,
            "rows": self._rows,
            "entities": [
                {
                    "id": name,
                    "time": last.time,
                    "values": last.values,
                    "events": last.events.state(),
                    **({"missed": True} if last.missed else {}),
                }
                for name, last in self._known.items()
            ],
        }
        self._monitor.extra = extra
        self._monitor.save(path, check=self._read)

    def _load(self, extra: dict[str, Any]) -> None:
        # Without events, as version 0.1 wrote it: they begin now.
        if "event_gap" in extra:
            gap = whole(extra, "event_gap")
            if self._options.event_gap not in {None, gap}:
                raise ValueError(
                    f"--event-gap: expected {gap}, as in the state, or none, got "
                    f"{self._options.event_gap}"
                )
            self._gap = gap
        self._rows = whole(extra, "rows") if "rows" in extra else 0
        self._clock, self._most, self._known = self._read(extra)

    def _read(self, extra: Mapping[str, Any]) -> tuple[Clock, int, dict[str, _Last]]:
        """Return what `save` wrote: the clock, the most entities, the entities."""
        columns = [self._options.time, self._options.entity]
        if extra.get("columns") != columns:
            raise ValueError(
                f"the state of a run whose columns of time and entity are {extra.get('columns')}, "
                f"expected {columns}"
            )
        clock = Clock(
            self._options.max_gap,
            extra.get("time"),
            format=extra.get("time_format"),
            hint=self._options.time_format,
        )
        # 0.1 made room for all at once.
        most = extra.get("max_entities", self._monitor.stream.num_entities)
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise ValueError(f"max_entities: expected a whole number >= 1, got {most!r}")
        entities = extra.get("entities")
        if not isinstance(entities, list) or len(entities) > most:
            raise ValueError("entities: expected a list, at most as long as the stream has room")
        known: dict[str, _Last] = {}
        for place, item in enumerate(entities):
            found = mapping(item, "entities")
            name, time, values = found.get("id"), found.get("time"), found.get("values")
            missed = found.get("missed", False)
            if not isinstance(name, str) or name in known:
                raise ValueError(f"entities: expected different names, got {name!r}")
            try:
                time = None if time is None else clock.read_saved(time)
            except ValueError as error:
                raise ValueError(f"entity {name!r}: {error}") from None
            if not isinstance(values, list) or len(values) not in {0, self._input_size}:
                raise ValueError(
                    f"entity {name!r}: expected {self._input_size} values, got {values!r:.60}"
                )
            if not all(map(_is_number, values)):
                raise ValueError(f"entity {name!r}: expected numbers or null, got {values!r:.60}")
            if not isinstance(missed, bool):
                raise ValueError(f"entity {name!r}: missed: expected true or false")
            events = self._new_events(name)
            if "events" in found:
                events.load_state(found["events"])
            known[name] = _Last(place, events, time, values, missed)
        return clock, most, known


def _is_number(value: object) -> bool:
    """Tell whether it is a finite number, or null."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


@contextlib.contextmanager
def _memory_by_its_flag() -> Iterator[None]:
    """Let an error about `max_bytes` name the command's option instead."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace("max_bytes", "--max-memory")) from None
