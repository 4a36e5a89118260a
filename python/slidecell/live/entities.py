"""Entities of a live run: their places in the stream, last times and values, and open events."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell.entities import without_repeats
from slidecell.live.answers import Answers
from slidecell.live.entity_events import EntityEvents, EventLine
from slidecell.live.event_rows import EventRows
from slidecell.live.last_rows import LastRow, read_last_rows, saved_last_rows
from slidecell.live.monitor import Monitor
from slidecell.live.options import DEFAULT_ENTITIES
from slidecell.live.ready_rows import ReadyRows
from slidecell.live.rows import Row, RowBlock
from slidecell.live.scored import ScoredBlock
from slidecell.live.times import Clock
from slidecell.stream import Stream
from slidecell.thresholds.state_values import whole

if TYPE_CHECKING:
    from slidecell.live.explainer import Explainer
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = ["Entities", "OutOfOrderError", "RefusedRow"]

Floats = npt.NDArray[np.float64]

_FIRST_ROOM = 4  # entities
_FIRST_TOGETHER, _MOST_TOGETHER = 64, 1024  # rows that are scored and answered at once
_SOON, _LATE = 0.01, 0.04  # seconds: rows that are done sooner come with more, later with fewer
_LONGEST_NAME = 1024  # characters: names are kept, and saved, as long as the run


class OutOfOrderError(ValueError):
    """A row that is not later than the one before it."""


class RefusedRow(NamedTuple):
    """A row that could not be used.

    Attributes
    ----------
    number : int
        Of its line.
    row : Row
    error : Exception
        Why.
    """

    number: int
    row: Row
    error: Exception


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
    explainer : Explainer, optional
        Names the columns that drive an event. Default: nobody does.
    """

    def __init__(
        self,
        model: SequenceModel | LiveDetector,
        options: LiveOptions,
        *,
        event_gap: int = 0,
        explainer: Explainer | None = None,
    ) -> None:
        self._options, self._explainer = options, explainer
        self._gap = event_gap if options.event_gap is None else options.event_gap
        self._rows = 0  # that were scored
        self._nanoseconds = 0  # since the last answers
        self._together = _FIRST_TOGETHER
        self._lines: list[EventLine] = []
        self._clock = Clock(options.max_gap, hint=options.time_format)
        self._known: dict[str, LastRow] = {}
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

    def score(self, block: RowBlock) -> Iterator[ScoredBlock | RefusedRow]:
        """Score rows in their order, as one after the other would be.

        Whoever takes a refused row has done about it what is to be done before asking for the next.

        Yields
        ------
        ScoredBlock or RefusedRow
            In the order of the rows. Of a refused row nothing is changed.
        """
        # Until a first time has been read they are read one by one, as that of one row is.
        several = self._options.time is not None and len(block) > 1
        times = self._clock.read_block(block.times) if several else []
        start = 0
        untold: dict[int, list[EventLine]] = {}
        while start < len(block):
            ready = ReadyRows(changes=untold)
            self._prepare(ready, block, start, times)
            end = start + len(ready.places)
            done = 0
            if end > start:
                done = yield from self._score_ready(block[start:end], ready)
            # Rows behind a refused one are made ready anew: what comes of it may change them.
            untold = {at - done: told for at, told in ready.changes.items() if at >= done}
            start += done
            if start == end and ready.refused is not None:
                self._lines += untold.pop(0, [])
                yield RefusedRow(block.numbers[end], block.row(end), ready.refused)
                start += 1

    def _prepare(
        self, ready: ReadyRows, block: RowBlock, start: int, times: Sequence[float | int]
    ) -> None:
        """Make everything ready for the rows from a place on, for as many as can be taken at once.

        They end before an entity's row that something has to precede, if the entity has another row
        among them, and before a row that cannot be used. The times of the block's rows are read
        here, unless they have been.
        """
        known, clock = self._known, self._clock
        latest: dict[str, float | int] = {}  # times of the entities' last rows among the ready ones
        has_times, names = self._options.time is not None, block.entities
        time: float | int = 0
        stop = min(start + self._together, len(names))
        for at in range(start, stop):
            name = names[at]
            before = latest.get(name)
            try:
                if before is None:
                    last = known.get(name) or self._last_of(name)
                if has_times:
                    time = times[at] if times else clock.read(block.times[at])
                    ready.times.append(time)
                if before is None:
                    anew = has_times and self._begins_anew(last.time, time, block.times[at])
                    if anew or last.missed or name not in known:
                        self._enter_first(name, last, anew, ready, at - start)
                    ready.entities[last.place] = last
                elif has_times and (
                    not 0 < time - before <= clock.gap
                    and self._begins_anew(before, time, block.times[at])
                ):
                    break
            except Exception as error:  # no row may end the run, whatever it leads to
                ready.refused = error
                break
            latest[name] = time
        else:
            at = stop
        ready.places = [known[name].place for name in names[start:at]]
        del ready.times[at - start :]

    def _enter_first(self, name: str, last: LastRow, anew: bool, ready: ReadyRows, at: int) -> None:
        """Make an entity ready for its row, and keep what that does to events."""
        told, self._lines = self._lines, []
        try:
            self._enter(name, last, anew)
        finally:
            changes, self._lines = self._lines, told
        if changes:
            ready.changes[at] = ready.changes.get(at, []) + changes

    def _score_ready(
        self, block: RowBlock, ready: ReadyRows
    ) -> Generator[ScoredBlock | RefusedRow, None, int]:
        """Score rows for which everything is ready, up to one that is refused; return how many."""
        start = time.monotonic()
        values = ready.filled(block.values) if self._fills else block.values
        places = np.array(ready.places, np.int64)
        parts = [slice(0, len(places))] if self._takes_all else without_repeats(places)
        parts.reverse()
        found: list[Answers] = []
        while parts:
            part = parts.pop()
            try:
                answers = self._scored(places[part], values[part])
            except Exception as error:
                if self._takes_all and part.stop - part.start > 1:  # which has changed nothing
                    parts += [slice(at, at + 1) for at in range(part.stop - 1, part.start - 1, -1)]
                    continue
                self._together = 1
                if found:
                    yield self._answered(block[: part.start], ready, found, values)
                for at in range(part.start, part.stop):
                    self._lines += ready.changes.get(at, [])
                    yield RefusedRow(block.numbers[at], block.row(at), error)
                return part.stop
            found.append(answers)
        yield self._answered(block, ready, found, values)
        self._pace(len(places), time.monotonic() - start)
        return len(places)

    def _pace(self, rows: int, seconds: float) -> None:
        """Take more rows together where they are done soon, fewer where answers have to wait."""
        if seconds > _LATE:
            self._together = max(self._together // 2, 1)
        elif rows == self._together and seconds < _SOON:
            self._together = min(2 * self._together, _MOST_TOGETHER)

    def _scored(self, places: npt.NDArray[np.int64], values: Floats) -> Answers:
        start = time.perf_counter_ns()
        try:
            return self._monitor.push_block(places, values, num_threads=1)
        finally:
            self._nanoseconds += time.perf_counter_ns() - start

    def _answered(
        self, block: RowBlock, ready: ReadyRows, found: Sequence[Answers], values: Floats
    ) -> ScoredBlock:
        """Return the first rows, which were scored, with their answers, once events are known."""
        answers, places = Answers.joined(found), ready.places[: len(block)]
        each, self._nanoseconds = self._nanoseconds // len(answers), 0
        numbers = range(self._rows + 1, self._rows + 1 + len(answers))
        self._rows = numbers[-1]
        has_times = self._options.time is not None
        moments: list[float | int] = ready.times[: len(block)] if has_times else list(numbers)
        wheres = block.times if has_times else numbers
        kept = None if self._explainer is None else _as_bytes(values[: len(block)])
        changes = ready.take_events(answers, wheres, kept)
        for at, place in enumerate(places):
            last = ready.entities[place]
            last.time = moments[at] if has_times else None
        if self._fills:
            for place, at in {place: at for at, place in enumerate(places)}.items():
                ready.entities[place].values = [
                    None if value != value else value  # noqa: PLR0124
                    for value in values[at].tolist()
                ]
        return ScoredBlock(block, answers, moments, each, changes)

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
            anew = self._begins_anew(last.time, time, row.time)
        except OutOfOrderError:
            return False
        self._enter(row.entity, last, anew)
        self._miss(last)
        last.time = last.time if time is None else time
        return True

    @property
    def named_columns(self) -> int:
        """How many columns a closed event names at most."""
        return 0 if self._explainer is None else self._explainer.columns

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

    def _last_of(self, name: str) -> LastRow:
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
        return LastRow(place, self._new_events(name))

    def _new_events(self, name: str) -> EntityEvents:
        rule = self._monitor.rule_for(name)
        value = rule.threshold if rule is not None and rule.is_constant else None
        rows = None if self._explainer is None else EventRows(self._explainer)
        return EntityEvents(name, gap=self._gap, threshold=value, rows=rows)

    def _miss(self, last: LastRow) -> None:
        """Push a missing row."""
        event = self._monitor.miss(last.place)
        self._lines += last.events.push(False, event.smoothed, None)

    def _begins_anew(
        self, before: float | int | None, time: float | int | None, given: object
    ) -> bool:
        """Return whether the step to a time is a gap; OutOfOrderError if it is none forward."""
        if time is None or before is None:
            return False
        step = time - before
        if step < 0 or (step == 0 and not self._options.equal_times):
            raise OutOfOrderError(
                f"expected a time after {self._clock.text(before)}, got {given!r}"
            )
        return step > self._clock.gap

    def _enter(self, name: str, last: LastRow, anew: bool) -> None:
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
            self._lines += last.events.begin_anew()
        elif last.missed:
            self._miss(last)
        last.missed = False

    @property
    def _takes_all(self) -> bool:
        """Whether the stream takes rows of an entity together; if it refuses them, it is as before.

        A detector's stream takes one of each entity at a time, and may fail within them.
        """
        return isinstance(self._monitor.stream, Stream)

    @property
    def _fills(self) -> bool:
        return self._options.missing == "ffill"

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
            "entities": saved_last_rows(self._known),
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

    def _read(self, extra: Mapping[str, Any]) -> tuple[Clock, int, dict[str, LastRow]]:
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
        known = read_last_rows(
            extra.get("entities"),
            clock,
            most=most,
            features=self._input_size,
            new_events=self._new_events,
        )
        return clock, most, known


def _as_bytes(values: Floats) -> list[bytes]:
    """Return rows [n, F] each as bytes, which keep nothing of the others."""
    size = 8 * values.shape[1]
    raw = values.tobytes()
    return [raw[at : at + size] for at in range(0, len(raw), size)]


@contextlib.contextmanager
def _memory_by_its_flag() -> Iterator[None]:
    """Let an error about `max_bytes` name the command's option instead."""
    try:
        yield
    except ValueError as error:
        raise ValueError(str(error).replace("max_bytes", "--max-memory")) from None
