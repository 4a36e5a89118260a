"""The loop of ``slidecell stream``: it reads lines, scores rows, writes events and counts."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from slidecell.live.entities import Entities, OutOfOrderError
from slidecell.live.formats import Format, HeaderError, make_format
from slidecell.live.latency import Latencies
from slidecell.live.sources import Signals, Sources

if TYPE_CHECKING:
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = ["run_live"]

_LONGEST_LINE = 1 << 20  # bytes; what has no end is not kept


def run_live(
    options: LiveOptions,
    *,
    stdin: int | None = None,
    stdout: BinaryIO | None = None,
    stderr: TextIO | None = None,
) -> None:
    """Score lines until their end, SIGINT or SIGTERM; then save the state.

    The scores are those of ``slidecell score`` on the same rows. SIGUSR1 prints the counters.

    Parameters
    ----------
    options : LiveOptions
    stdin : int, optional
        File descriptor to read from. Default: standard input.
    stdout, stderr : file, optional
        For scores, and for reports. Default: the standard ones.

    Raises
    ------
    ValueError, OSError
        A bad line with ``on_error="fail"`` (the rows before it are in the saved state), a bad
        header, model or state file; a state that cannot be written.
    """
    model = _load(options.model)
    options = options.with_model(model)
    _check_writable(options)
    entities = Entities(model, options)
    sources = Sources(sys.stdin.fileno() if stdin is None else stdin, options.listen)
    run = _Run(options, model, entities, stdout or sys.stdout.buffer, stderr or sys.stderr)
    try:
        with Signals() as signals:
            try:
                run.until_the_end(sources, signals)
            finally:
                entities.save()
                run.report()
    finally:
        sources.close()


def _load(path: Path) -> SequenceModel:
    """Return the model that was saved, by itself or as a detector's network."""
    if path.is_dir():
        from slidecell.detect.loading import load_saved

        return load_saved(path).live_model()
    from slidecell.model import SequenceModel

    return SequenceModel.load(path)


def _check_writable(options: LiveOptions) -> None:
    """Raise OSError at the start, not after days, if the state cannot be written at the end."""
    if options.state is None:
        return
    try:
        with tempfile.TemporaryFile(dir=options.state.absolute().parent):
            pass
    except OSError as error:
        raise OSError(f"--state {options.state}: {error.strerror or error}") from None


class _Lines:
    """Cuts the chunks of one source into lines and numbers them from 1."""

    def __init__(self, reader: Format) -> None:
        self.reader = reader
        self.number = 0
        self._rest = b""
        self._too_long = False

    def cut(self, data: bytes) -> Iterator[bytes | None]:
        """Yield whole lines, None for one that is too long; ``b""`` ends the last line."""
        *whole, rest = (self._rest + data).split(b"\n")
        if not data and (rest or self._too_long):
            whole, rest = [rest], b""
        for line in whole:
            self.number += 1
            yield None if self._too_long or len(line) > _LONGEST_LINE else line
            self._too_long = False
        if len(rest) > _LONGEST_LINE:
            self._too_long, rest = True, b""
        self._rest = rest


class _Run:
    """One run: its counters and where it writes."""

    def __init__(
        self,
        options: LiveOptions,
        model: SequenceModel,
        entities: Entities,
        stdout: BinaryIO,
        stderr: TextIO,
    ) -> None:
        self._options, self._model, self._entities = options, model, entities
        self._stdout, self._stderr = stdout, stderr
        self._latencies = Latencies()
        self._rows = self._scores = self._alarms = 0
        self._malformed = self._out_of_order = 0
        self._has_header = False

    def until_the_end(self, sources: Sources, signals: Signals) -> None:
        """Read, score and write until a source, a reader of the scores or a signal ends it."""
        if sources.port is not None:
            self._say(f"listening on 127.0.0.1:{sources.port}")
        feeds: dict[int, _Lines] = {}
        for chunk in sources.chunks(signals):
            if signals.report:
                signals.report = False
                self.report()
            if chunk is not None:
                lines = feeds.get(chunk.source)
                if lines is None:
                    lines = feeds[chunk.source] = _Lines(make_format(self._options, self._model))
                try:
                    goes_on = self._take(lines, chunk.data)
                except BrokenPipeError:
                    self._say("the reader of the scores has gone")
                    _point_to_nothing(self._stdout)
                    return
                if not chunk.data or not goes_on:
                    sources.drop(chunk.source)
                    del feeds[chunk.source]
            # All whole lines that were read are scored: none is lost.
            if signals.stop:
                return

    def report(self) -> None:
        """Print the counters and the percentiles of a push."""
        p50, p99 = (self._latencies.percentile(p) / 1000 for p in (50, 99))
        self._say(
            f"{self._rows} rows, {self._scores} scores, {self._alarms} alarms, "
            f"{len(self._entities)} entities; unused lines: {self._malformed} malformed, "
            f"{self._out_of_order} out of order; push p50 {p50:.1f} us, p99 {p99:.1f} us, "
            f"max {self._latencies.max / 1000:.1f} us"
        )

    def _say(self, text: str) -> None:
        try:
            self._stderr.write(f"slidecell stream: {text}\n")
            self._stderr.flush()
        except OSError:  # nobody listens any more: no reason to lose the state
            pass

    def _take(self, lines: _Lines, data: bytes) -> bool:
        """Score the lines that a chunk completes; False if its source is of no use."""
        for line in lines.cut(data):
            try:
                self._line(lines.reader, line)
            except HeaderError as error:
                text = f"line {lines.number}: {error}"
                if self._options.listen is None or self._options.on_error == "fail":
                    raise ValueError(text) from None
                self._malformed += 1
                self._say(f"{text}; connection closed")
                return False
            except ValueError as error:
                if isinstance(error, OutOfOrderError):
                    self._out_of_order += 1
                else:
                    self._malformed += 1
                text = f"line {lines.number}: {error}"
                if self._options.on_error == "fail":
                    raise ValueError(text) from None
                self._say(f"{text}; skipped")
        return True

    def _line(self, reader: Format, line: bytes | None) -> None:
        if line is None:
            raise ValueError(f"longer than {_LONGEST_LINE} bytes")
        try:
            text = line.decode("utf-8").strip("\r")
        except UnicodeDecodeError as error:
            raise ValueError(f"byte {line[error.start]:#04x} is not UTF-8 text") from None
        if not text.strip():
            return
        row = reader.read(text)
        if not self._has_header:
            self._has_header = True
            self._write(reader.header)
        if row is None:
            return
        start = time.perf_counter_ns()
        event = self._entities.push(row)
        self._latencies.add(time.perf_counter_ns() - start)
        self._rows += 1
        self._scores += event.score == event.score  # NaN is none
        self._alarms += event.alarm
        self._write(reader.write(row, event))

    def _write(self, text: str) -> None:
        self._stdout.write(text.encode("utf-8"))
        self._stdout.flush()


def _point_to_nothing(file: BinaryIO) -> None:
    """Keep the interpreter's last flush of a closed pipe from being an error."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, file.fileno())
    os.close(nothing)
