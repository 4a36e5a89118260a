"""The loop of ``slidecell stream``: it reads lines, scores rows, writes events and counts."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, TextIO

from slidecell._extras import require
from slidecell.live.drift_watch import DriftWatch
from slidecell.live.entities import Begun, Entities, OutOfOrderError
from slidecell.live.formats import Format, HeaderError, Row, UnreadableRowError, make_format
from slidecell.live.latency import Latencies
from slidecell.live.lines import LONGEST_LINE, Lines, drop_longest
from slidecell.live.load_live import load_live
from slidecell.live.observers import Observer, Observers, Reason
from slidecell.live.outlet import Outlet
from slidecell.live.own_observers import own_observers
from slidecell.live.reports import Reports
from slidecell.live.signals import Signals
from slidecell.live.sources import Chunk, Sources

if TYPE_CHECKING:
    from slidecell.live.entity_events import EventLine
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.options import LiveOptions
    from slidecell.live.web.service import WebService
    from slidecell.model import SequenceModel

__all__ = ["run_live"]

_LONGEST_REPORT = 500  # characters
_TOGETHER = 64  # rows of different entities that are scored at once
_LAST_WORDS = 2.0  # seconds for what is still unwritten once the state is saved


def run_live(
    options: LiveOptions,
    *,
    stdin: int | None = None,
    stdout: BinaryIO | None = None,
    stderr: TextIO | None = None,
    observers: Sequence[Observer] = (),
) -> None:
    """Score lines until their end, SIGINT, SIGTERM or SIGHUP; then save the state.

    The scores, alarms and events are those of ``slidecell score`` on the same rows. SIGUSR1 prints
    the counters. Events that are open at the end stay open where a state is saved, and are closed
    where none is.

    Parameters
    ----------
    options : LiveOptions
    stdin : int, optional
        File descriptor to read from. Default: standard input.
    stdout, stderr : file, optional
        For scores, and for reports. Default: the standard ones.
    observers : sequence of Observer
        Are told what happens. One that fails is dropped, and the run goes on.

    Raises
    ------
    ValueError, OSError
        A bad line with ``on_error="fail"`` (the rows before it are in the saved state), a bad
        header, model or state file; a state that cannot be written; a port that cannot be had.

    Notes
    -----
    With ``on_error="skip"`` a line that cannot be used is reported, and what it held stays a
    missing row, so that no window bridges it: of its entity, where that can be read; else of all
    entities whose last row came from the same source, as it may be any of theirs. A row that is
    not later than the one before it is skipped alone: its place has been scored.

    Nobody outside can keep the run from its end. It waits in one place, for input, for signals, and
    for room in the queue of 64 KiB in front of standard output: while that is full, all input
    waits. Reports beyond 64 KiB that nobody reads are dropped and counted. After a signal there is
    one second for the lines that were read; then the state is saved.
    """
    model, event_gap, detector = load_live(options.model)
    asked, options = options, options.with_model(model)
    _check_writable(options)
    own = own_observers(asked, options, model, detector)
    entities = Entities(model, options, event_gap=event_gap)
    if stdout is None:
        if sys.stdout is None:
            raise OSError("standard output: it is closed")
        stdout = sys.stdout.buffer
    if stdin is None and options.listen is None and sys.stdin is not None:
        stdin = sys.stdin.fileno()
    with (
        contextlib.closing(Sources(stdin, options.listen)) as sources,
        Signals() as signals,
        _web(options) as web,
    ):
        drift = next((one for one in own if isinstance(one, DriftWatch)), None)
        served = [] if web is None else web.watch(model, entities, drift)
        run = _Run(
            options,
            model,
            entities,
            signals,
            stdout=stdout,
            stderr=sys.stderr if stderr is None else stderr,
            observers=[*own, *observers, *served],
        )
        if web is not None:
            web.start(run.why_not_ready, run.say)
        try:
            run.until_the_end(sources)
        finally:
            try:
                entities.save()
            finally:
                run.close()


def _web(options: LiveOptions) -> contextlib.AbstractContextManager[WebService | None]:
    """Return what serves metrics and page, its ports open, or None; it is closed at the end."""
    if options.metrics is None and options.page is None:
        return contextlib.nullcontext()
    require("starlette", "uvicorn", "prometheus_client", extra="live")
    from slidecell.live.web.service import WebService

    return contextlib.closing(WebService(options))


def _check_writable(options: LiveOptions) -> None:
    """Raise OSError at the start, not after days, if a file cannot be written at the end."""
    for flag, path in (("--state", options.state), ("--shadow-report", options.shadow_report)):
        if path is None:
            continue
        try:
            with tempfile.TemporaryFile(dir=path.absolute().parent):
                pass
        except OSError as error:
            raise OSError(f"{flag} {path}: {error.strerror or error}") from None


class _OverdueError(Exception):
    """A signal has asked for the end, and the time for the lines that were read is over."""


class _Run:
    """One run: its counters and where it writes."""

    def __init__(
        self,
        options: LiveOptions,
        model: SequenceModel | LiveDetector,
        entities: Entities,
        signals: Signals,
        *,
        stdout: BinaryIO,
        stderr: TextIO | None,
        observers: Sequence[Observer],
    ) -> None:
        self._options, self._model, self._entities = options, model, entities
        self._signals = signals
        self._answers = Outlet(stdout, signals.wake)
        self._reports = Reports(stderr, signals.wake, as_json=options.log == "json")
        self.say = self._reports.say
        self._latencies = Latencies()
        self._rows = self._scores = self._alarms = self._events = 0
        self._malformed = self._out_of_order = 0
        self._writer: Format | None = None  # the first source's: all lines out have one form
        self._feeds: dict[int, Lines] = {}
        self._held = 0  # bytes of unfinished lines
        self._observers = Observers(observers, self.say)

    def until_the_end(self, sources: Sources) -> None:
        """Read, score and write until a source, a reader of the scores or a signal ends it."""
        if sources.port is not None:
            text = f"listening on 127.0.0.1:{sources.port}"
            self.say(text, kind="listening", port=sources.port)
        try:
            for chunk in sources.chunks(self._signals, self.say):
                self._attend()
                if chunk is not None and not self._take_chunk(chunk):
                    sources.drop(chunk.source)
                self._observers.attend()
                # All whole lines that were read are scored: none is lost.
                if self._signals.stop:
                    self._end_events()
                    return
            self._end_events()
            while self._answers.held and self._answers.error is None:
                self._wait()
        except BrokenPipeError:
            self.say("the reader of the scores has gone")
        except _OverdueError:
            pass

    def close(self) -> None:
        """Write what its readers take, and say at the end what was done and what was not taken."""
        self._observers.close()
        left = self._answers.close(_LAST_WORDS)
        if left and not isinstance(self._answers.error, BrokenPipeError):
            text = f"{left} bytes of scores were not taken by their reader"
            self.say(text, kind="not taken", level="warning", bytes=left)
        self.report(at_the_end=True)
        self._reports.close(_LAST_WORDS)

    def report(self, *, at_the_end: bool = False) -> None:
        """Print the counters and the percentiles of a push."""
        p50, p99 = (self._latencies.percentile(p) / 1000 for p in (50, 99))
        self.say(
            f"{self._rows} rows, {self._scores} scores, {self._alarms} alarms, "
            f"{self._events} events, {len(self._entities)} entities; "
            f"unused lines: {self._malformed} malformed, "
            f"{self._out_of_order} out of order; push p50 {p50:.1f} us, p99 {p99:.1f} us, "
            f"max {self._latencies.max / 1000:.1f} us",
            kind="counters",
            always=at_the_end,
            rows=self._rows,
            scores=self._scores,
            alarms=self._alarms,
            events=self._events,
            entities=len(self._entities),
            malformed=self._malformed,
            out_of_order=self._out_of_order,
            p50_us=p50,
            p99_us=p99,
            max_us=self._latencies.max / 1000,
        )
        for line in self._observers.summary():
            self.say(line, always=at_the_end)

    def why_not_ready(self) -> str | None:
        """Return why no row is taken now; None where rows are taken. For any thread."""
        if self._signals.stop:
            return "the run is ending"
        if self._answers.full:
            return "the reader of the scores does not read: all input waits"
        return None

    def _attend(self) -> None:
        """Do what a signal, or the thread that writes, has asked for."""
        if self._signals.report:
            self._signals.report = False
            self.report()
        error = self._answers.error
        if isinstance(error, BrokenPipeError):
            raise error
        if error is not None:
            raise OSError(f"standard output: cannot be written: {error.strerror or error}")

    def _wait(self) -> None:
        """Wait for a signal or the thread that writes; _OverdueError if a stop is overdue."""
        if self._signals.overdue:
            raise _OverdueError
        self._signals.wait()
        self._attend()

    def _take_chunk(self, chunk: Chunk) -> bool:
        """Score the lines that a chunk completes; False if its source is of no use any more."""
        if self._signals.stop and not chunk.data:
            return False  # a signal ends the run: what is unfinished then is no line
        lines = self._feeds.get(chunk.source)
        if lines is None:
            lines = self._feeds[chunk.source] = Lines(make_format(self._options, self._model))
        before = lines.held
        if chunk.broken and lines.unfinished:
            lines.give_up()
        whole = lines.cut(chunk.data)
        goes_on = self._take(lines, whole, chunk.broken) and bool(chunk.data)
        if not goes_on:
            lines.give_up()
            del self._feeds[chunk.source]
        self._held = drop_longest(self._feeds, self._held + lines.held - before)
        return goes_on

    def _take(self, lines: Lines, whole: list[tuple[int, bytes | None]], broken: bool) -> bool:
        """Score lines with their numbers; False after a header that is of no use.

        Rows of different entities are scored together, which is several times as fast. What happens
        is what would happen one line after the other.
        """
        batch = _Batch()
        try:
            for number, line in whole:
                if self._signals.overdue:
                    raise _OverdueError
                row = None
                try:
                    row = lines.reader.read(_text_of(line, broken))
                except Exception as error:  # no line may end the run, whatever it leads to
                    self._score(batch, lines)
                    if isinstance(error, UnreadableRowError):
                        row = error.row
                    if not self._refuse(number, error, row, lines):
                        return False
                    batch.done += 1
                    continue
                if row is None:
                    batch.done += 1
                    if self._writer is None:
                        self._begin(lines.reader)
                    continue
                if row.entity in batch.names or len(batch.rows) == _TOGETHER:
                    self._score(batch, lines)
                batch.rows.append((number, row))
                batch.names.add(row.entity)
            self._score(batch, lines)
        except _OverdueError:
            left = len(whole) - batch.done
            text = f"{left} lines that were read were not scored"
            self.say(text, kind="not scored", level="warning", lines=left)
            raise
        return True

    def _refuse(self, number: int, error: Exception, row: Row | None, lines: Lines) -> bool:
        """Report a line that cannot be used; False if it is a header, without which none can be."""
        if isinstance(error, HeaderError):
            text = _shortened(f"line {number}: {error}")
            if self._options.listen is None or self._options.on_error == "fail":
                raise ValueError(text) from None
            self._malformed += 1
            self._observers.skipped("malformed")
            self._say_skipped(number, "malformed", f"{text}; connection closed")
            return False
        if isinstance(error, OutOfOrderError):
            self._out_of_order += 1
            self._observers.skipped("out of order")
            text = f"{self._refused(number, error)}; skipped"
            self._say_skipped(number, "out of order", text)
            return True
        self._malformed += 1
        self._observers.skipped("malformed")
        text = f"{self._refused(number, error)}; skipped"
        self._say_skipped(number, "malformed", f"{text}{self._miss(row, lines)}")
        return True

    def _say_skipped(self, number: int, reason: Reason, text: str) -> None:
        self.say(text, kind="skipped", level="warning", line=number, reason=reason)

    def _refused(self, number: int, error: Exception) -> str:
        """Return the report of a line that cannot be used; raise it with ``on_error="fail"``."""
        known = isinstance(error, ValueError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        text = _shortened(f"line {number}: {text}")
        if self._options.on_error == "fail":
            raise ValueError(text) from None
        return text

    def _miss(self, row: Row | None, lines: Lines) -> str:
        """Let what a line held be a missing row; return what to say about it."""
        if row is None and self._options.entity is None:
            row = Row("", None, [], [])  # at an unknown time, of the only series
        if row is None:
            names, lines.fed = lines.fed, set()
            self._entities.doubt(names)
            self._observers.doubted(names)
            return (
                f": its entity is unknown, a missing row for each of {len(names)} from this source"
            )
        try:
            taken = self._entities.push_missing(row)
        except Exception:  # what the line itself has led to, perhaps
            self._entities.doubt([row.entity])
            taken = True
        if taken:
            self._observers.missed(row)
        self._write_events(self._writer or self._begin(lines.reader))
        return ": a missing row" if taken else ""

    def _score(self, batch: _Batch, lines: Lines) -> None:
        """Score the rows of a batch, as one after the other would be, and empty it."""
        # Answers need room before their rows change the state.
        while self._answers.full:
            self._wait()
        rows = batch.take()
        ready: list[tuple[int, Begun]] = []
        for number, row in rows:
            try:
                ready.append((number, self._entities.begin(row)))
            except Exception as error:
                self._finish(ready, lines)
                ready = []
                self._refuse(number, error, row, lines)
        self._finish(ready, lines)
        batch.done += len(rows)

    def _finish(self, ready: list[tuple[int, Begun]], lines: Lines) -> None:
        """Score rows that were begun; write and tell their answers."""
        if not ready:
            return
        start = time.perf_counter_ns()
        try:
            answers = self._entities.finish([begun for _, begun in ready])
        except Exception as error:
            for number, begun in ready:
                self._refuse(number, error, begun.row, lines)
            return
        each = (time.perf_counter_ns() - start) // len(ready)
        self._latencies.add(each, len(ready))
        writer = self._writer or self._begin(lines.reader)
        texts = []
        for (_, begun), (answer, changes, moment) in zip(ready, answers, strict=True):
            row = begun.row
            self._observers.scored(row, answer, each, moment)
            lines.fed.add(row.entity)
            self._rows += 1
            self._scores += answer.score == answer.score  # NaN is none
            self._alarms += answer.alarm
            if self._options.output != "events":
                texts.append(writer.write(row, answer))
            if changes:
                texts += self._told(changes, writer)
        self._answers.put("".join(texts).encode())

    def _told(self, changes: list[EventLine], writer: Format) -> list[str]:
        """Count and tell what has happened to events; return its lines, if they are asked for."""
        for line in changes:
            self._events += line.change == "opened"
            self._observers.event(line)
        if self._options.output == "scores":
            return []
        return [writer.write_event(line) for line in changes]

    def _write_events(self, writer: Format) -> None:
        """Tell what has happened to events beside the rows."""
        texts = self._told(self._entities.take_lines(), writer)
        if texts:
            self._answers.put("".join(texts).encode())

    def _end_events(self) -> None:
        """Close the events that no later run goes on with."""
        if self._options.state is None and self._writer is not None:
            self._entities.close_events()
            self._write_events(self._writer)

    def _begin(self, reader: Format) -> Format:
        """Write what comes before all scores, in the form of the first source."""
        if reader.has_begun:
            self._writer = reader
            self._answers.put(reader.header.encode())
        return reader


@dataclass
class _Batch:
    """Rows of different entities that were read and not yet scored, with their lines' numbers."""

    rows: list[tuple[int, Row]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    done: int = 0
    """Lines that nothing is left to do about."""

    def take(self) -> list[tuple[int, Row]]:
        """Return the rows, and be empty."""
        rows, self.rows, self.names = self.rows, [], set()
        return rows


def _text_of(line: bytes | None, broken: bool) -> str:
    if line is None and broken:
        raise ValueError("the connection was closed by force before the end of the line")
    if line is None:
        raise ValueError(f"longer than {LONGEST_LINE} bytes")
    try:
        return line.decode("utf-8").strip("\r")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {line[error.start]:#04x} is not UTF-8 text") from None


def _shortened(text: str) -> str:
    """Return a report that is no longer than a few lines and does nothing to a terminal."""
    if len(text) > _LONGEST_REPORT:
        text = text[:_LONGEST_REPORT] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
