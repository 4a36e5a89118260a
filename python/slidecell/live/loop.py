"""The loop of ``slidecell stream``: it reads lines, scores rows, writes events and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, TextIO

from slidecell.live.counters import Counters
from slidecell.live.entities import Entities, OutOfOrderError, RefusedRow
from slidecell.live.formats import Format, HeaderError, make_format
from slidecell.live.lines import Lines, drop_longest
from slidecell.live.observers import Observer, Observers, Reason
from slidecell.live.outlet import Outlet
from slidecell.live.reading import BadLine, NumberedLine, read_lines
from slidecell.live.reports import Reports, shortened
from slidecell.live.rows import Row, RowBlock
from slidecell.live.scored import ScoredBlock
from slidecell.live.signals import Signals
from slidecell.live.sources import Chunk, Sources

if TYPE_CHECKING:
    from slidecell.live.entity_events import EventLine
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = ["Loop", "OverdueError"]

_LAST_WORDS = 2.0  # seconds for what is still unwritten once the state is saved


class OverdueError(Exception):
    """A signal has asked for the end, and the time for the lines that were read is over."""


class Loop:
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
        self._counters = Counters()
        self._done = 0  # the number of the last line that nothing is left to do about
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
        except OverdueError:
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
        text, facts = self._counters.told(len(self._entities))
        self.say(text, kind="counters", always=at_the_end, **facts)
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
        """Wait for a signal or the thread that writes; OverdueError if a stop is overdue."""
        if self._signals.overdue:
            raise OverdueError
        self._signals.wait()
        self._attend()

    def _take_chunk(self, chunk: Chunk) -> bool:
        """Score the lines that a chunk completes; False if its source is of no use any more."""
        if self._signals.stop and not chunk.data:
            return False  # a signal ends the run: what is unfinished then is no line
        lines = self._feeds.get(chunk.source)
        if lines is None:
            lines = self._feeds[chunk.source] = self._new_lines()
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

    def _new_lines(self) -> Lines:
        columns = self._entities.named_columns
        return Lines(make_format(self._options, self._model, columns=columns))

    def _take(self, lines: Lines, whole: list[NumberedLine], broken: bool) -> bool:
        """Score lines with their numbers; False after a header that is of no use.

        What happens is what would happen one line after the other.
        """
        self._done = whole[0][0] - 1 if whole else 0
        try:
            for piece in read_lines(lines.reader, whole, broken=broken):
                if self._signals.overdue:
                    raise OverdueError
                if isinstance(piece, RowBlock):
                    self._score(piece, lines)
                elif isinstance(piece, BadLine):
                    if not self._refuse(piece.number, piece.error, piece.row, lines):
                        return False
                else:
                    self._done = piece.number
                    if self._writer is None:
                        self._begin(lines.reader)
        except OverdueError:
            left = whole[-1][0] - self._done
            text = f"{left} lines that were read were not scored"
            self.say(text, kind="not scored", level="warning", lines=left)
            raise
        return True

    def _score(self, block: RowBlock, lines: Lines) -> None:
        """Score rows; write and tell their answers."""
        self._make_room()
        for part in self._entities.score(block):
            if isinstance(part, RefusedRow):
                self._write_events(self._writer or self._begin(lines.reader))
                self._refuse(part.number, part.error, part.row, lines)
            else:
                self._answer(part, lines)
                self._done = part.rows.numbers[-1]
            if self._done < block.numbers[-1]:
                self._make_room()

    def _make_room(self) -> None:
        """Wait until answers have room, which they need before their rows change the state."""
        if self._signals.overdue:
            raise OverdueError
        while self._answers.full:
            self._wait()

    def _answer(self, scored: ScoredBlock, lines: Lines) -> None:
        """Write and tell the answers of rows."""
        answers = scored.answers
        writer = self._writer or self._begin(lines.reader)
        lines.fed.update(scored.rows.entities)
        self._counters.add(scored)
        self._observers.scored(scored)
        texts, first = [], 0
        for place, changes in scored.changes:
            told = self._told(changes, writer)
            if told and self._options.output == "both":
                texts.append(
                    writer.write_block(scored.rows[first : place + 1], answers[first : place + 1])
                )
                first = place + 1
            texts += told
        if self._options.output != "events" and first < len(scored):
            rest = slice(first, len(scored))
            texts.append(writer.write_block(scored.rows[rest], answers[rest]))
        self._answers.put("".join(texts).encode())

    def _refuse(self, number: int, error: Exception, row: Row | None, lines: Lines) -> bool:
        """Report a line that cannot be used; False if it is a header, without which none can be."""
        self._done = number
        if isinstance(error, HeaderError):
            text = shortened(f"line {number}: {error}")
            if self._options.listen is None or self._options.on_error == "fail":
                raise ValueError(text) from None
            self._counters.malformed += 1
            self._observers.skipped("malformed")
            self._say_skipped(number, "malformed", f"{text}; connection closed")
            return False
        if isinstance(error, OutOfOrderError):
            self._counters.out_of_order += 1
            self._observers.skipped("out of order")
            text = f"{self._refused(number, error)}; skipped"
            self._say_skipped(number, "out of order", text)
            return True
        self._counters.malformed += 1
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
        text = shortened(f"line {number}: {text}")
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

    def _told(self, changes: list[EventLine], writer: Format) -> list[str]:
        """Count what has happened to events; return its lines, if they are asked for."""
        self._counters.events += sum(line.change == "opened" for line in changes)
        if self._options.output == "scores":
            return []
        return [writer.write_event(line) for line in changes]

    def _write_events(self, writer: Format) -> None:
        """Tell what has happened to events beside the rows."""
        changes = self._entities.take_lines()
        for line in changes:
            self._observers.event(line)
        texts = self._told(changes, writer)
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
