"""Lines in any pieces: the same answers, reports and states as line by line."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.live import LiveOptions, run_live, signals
from slidecell.live import entities as live_entities
from slidecell.live.answers import Answers
from slidecell.live.csv_format import CsvFormat
from slidecell.live.entities import Entities
from slidecell.live.formats import make_format
from slidecell.live.monitor import Monitor
from slidecell.live.observers import Observer
from slidecell.live.reading import MOST_ROWS, BadLine, NoRow, read_lines
from slidecell.live.rows import Row, RowBlock
from slidecell.live.scored import ScoredBlock
from slidecell.live.times import Clock
from slidecell.live.web.counts import Counts
from slidecell.live.web.traces import Traces
from slidecell.thresholds import EventTracker
from slidecell.thresholds.smoothing import EWMA, MovingAverage, Smoothing, TrailingMean
from tests.live_lines import KEYS, live_in_pieces, save_model
from tests.models import layer, random_model

SMOOTHING = {"kind": "trailing_mean", "n": 5}
RULE = {"kind": "rolling_quantile", "quantile": 0.9, "window": 30, "min_scores": 5}
CELLS = ["", "nan", "NA", "inf", "1e400", " 0.5 ", "1_0", "hot", "0x1", "\uff19.5", "true"]
LINES = ["", "   ", "only,three", '"open', "a\0b", ",,,,", ",,,,,,", "\t\t", "caf\udcff"]


def hard_text(seed: int, rows: int = 700, *, form: str = "csv", newline: str = "\n") -> bytes:
    """Interleaved entities, bad cells, times and lines of every kind, gaps, events."""
    rng = random.Random(seed)
    lines = ["note,t,heat,host,load"] if form == "csv" else []
    t = 0
    for n in range(rows):
        t += rng.choice([0, 1, 1, 1, 1, 60 if rng.random() < 0.1 else 1])
        size = 9.0 if n // 40 % 4 == 2 else 1.0
        cells = [str(round(rng.random() * size, 3)) for _ in range(2)]
        if rng.random() < 0.04:
            cells[rng.randrange(2)] = rng.choice(CELLS)
        when = str(t) if rng.random() > 0.02 else rng.choice(["", "x", "3", "2024-01-01"])
        host = f"h{rng.randrange(5)}" if rng.random() > 0.02 else rng.choice(["", "é", "x" * 1100])
        if form == "csv":
            quoted = [f'"{cell}"' if rng.random() < 0.01 else cell for cell in (cells[0], host)]
            lines.append(f"x,{when},{quoted[0]},{quoted[1]},{cells[1]}")
        else:
            lines.append(json.dumps({"t": when, "host": host, "load": 0.5, "heat": n / rows}))
            if rng.random() < 0.02:
                lines[-1] = rng.choice([lines[-1] + " ", lines[-1][:-1], "[1]", 2 * lines[-1]])
        if rng.random() < 0.01:
            lines.append(rng.choice(LINES))
    return (newline.join(lines) + newline).encode("utf-8", "surrogateescape")


class Heard(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def scored(self, rows: ScoredBlock) -> None:
        for row, answer, _, moment in rows:
            values = [repr(value) for value in row.values]
            self.heard.append((row.entity, row.time, values, repr(answer.smoothed), moment))

    def missed(self, row: Row) -> None:
        self.heard.append(("missed", row.entity, row.time))

    def doubted(self, entities: Any) -> None:
        self.heard.append(("doubted", sorted(entities)))

    def skipped(self, reason: str) -> None:
        self.heard.append(reason)

    def event(self, line: Any) -> None:
        self.heard.append(tuple(map(repr, line)))


def run(folder: Path, text: bytes, cuts: Sequence[int], **options: Any) -> tuple[Any, ...]:
    """Give a run its text in pieces: what came out, reports, state, what observers heard."""
    heard = Heard()
    settings = {**KEYS, "output": "both", "event_gap": 1, "state": folder / "state", **options}
    (folder / "state").unlink(missing_ok=True)
    model = folder / "model.safetensors"
    out, reports = live_in_pieces(text, cuts, observers=[heard], model=model, **settings)
    with zipfile.ZipFile(folder / "state") as saved:
        state = json.loads(saved.read("monitor.json"))
    return out, reports, state, heard.heard


@pytest.mark.parametrize(
    ("options", "metadata"),
    [
        ({}, {}),
        ({"missing": "ffill", "max_gap": "50"}, {"smoothing": SMOOTHING}),
        ({"duplicates": "keep"}, {"smoothing": {"kind": "ewma", "alpha": 0.25}}),
        ({"time": "", "entity": ""}, {}),
        ({"format": "jsonl"}, {}),
    ],
)
def test_any_pieces_of_the_input_give_the_same(
    tmp_path: Path, options: dict[str, Any], metadata: dict[str, Any]
) -> None:
    model = save_model(tmp_path / "model.safetensors", **metadata)
    if options.get("duplicates"):
        model.with_metadata(threshold=RULE).save(tmp_path / "model.safetensors")
    form = options.get("format", "csv")
    text = hard_text(3, form=form, newline="\r\n" if "max_gap" in options else "\n")
    whole = run(tmp_path, text, [], **options)
    rng = random.Random(1)
    for count in (3, 40, 300):
        cuts = sorted(rng.sample(range(1, len(text)), count))
        assert run(tmp_path, text, cuts, **options) == whole
    heard = whole[3]
    told = " ".join(whole[1])
    assert sum(len(one) == 5 and one[0].startswith(("h", "")) for one in heard) > 400
    for words in ("expected a number", "skipped", "a missing row"):
        assert words in told
    if form == "csv":
        assert "missed" in {one[0] for one in heard}
        assert heard.count("malformed") > 10
        assert any(one[0] == "'opened'" for one in heard)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_lines_read_at_once_are_those_read_one_by_one(tmp_path: Path, form: str) -> None:
    model = save_model(tmp_path / "model.safetensors")
    options = LiveOptions(tmp_path, format=form, **KEYS).with_model(model)
    lines = list(enumerate(hard_text(5, 1500, form=form).splitlines(), 1))

    def pieces(size: int) -> Iterator[Any]:
        reader = make_format(options, model)
        for first in range(0, len(lines), size):
            for piece in read_lines(reader, lines[first : first + size]):
                if isinstance(piece, BadLine):
                    yield piece.number, type(piece.error), str(piece.error), repr(piece.row)
                elif isinstance(piece, RowBlock):
                    assert len(piece) <= MOST_ROWS
                    rows = map(piece.row, range(len(piece)))
                    yield from zip(piece.numbers, map(repr, rows), strict=True)
                else:
                    assert isinstance(piece, NoRow)

    one_by_one = list(pieces(1))
    assert len(one_by_one) > 1400
    assert sum(len(one) == 4 for one in one_by_one) > 20
    for size in (7, 100, len(lines)):
        assert list(pieces(size)) == one_by_one


def test_plain_lines_are_read_by_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that is not plain leaves the others to the block's way."""
    model = save_model(tmp_path / "model.safetensors")
    options = LiveOptions(tmp_path, **KEYS).with_model(model)
    reader = make_format(options, model)
    assert reader.read("t,host,load,heat") is None
    read = []
    one = CsvFormat.read
    monkeypatch.setattr(CsvFormat, "read", lambda self, line: read.append(line) or one(self, line))
    lines = [(n, f"{n},a_1,0.5,{n}".encode()) for n in range(1, 1001)]
    lines[400] = (401, b'401,"a,b",0.5,')  # quoted, and a missing value
    lines[500] = (501, b"501,a,hot,2")
    found = list(read_lines(reader, lines))
    assert [len(one) if isinstance(one, RowBlock) else one.number for one in found] == [
        500,
        501,
        499,
    ]
    assert len(read) < 16
    assert found[0].entities[400] == "a,b"
    assert np.isnan(found[0].values[400, 1])


def test_a_run_goes_on_at_the_row_where_it_was_stopped(tmp_path: Path) -> None:
    """Cut anywhere between lines, with the state saved there, as by a signal."""
    save_model(tmp_path / "model.safetensors", smoothing=SMOOTHING)
    text = hard_text(8, 300)
    lines = text.splitlines(keepends=True)

    def scored(parts: Sequence[bytes], name: str) -> bytes:
        found = b""
        for part in parts:
            source, out = tmp_path / "in", io.BytesIO()
            source.write_bytes(lines[0] + part)
            options = LiveOptions(
                tmp_path / "model.safetensors", state=tmp_path / name, output="both", **KEYS
            )
            with source.open("rb") as file:
                run_live(options, stdin=file.fileno(), stdout=out, stderr=io.StringIO())
            found += out.getvalue().partition(b"\n")[2]
        return found

    # The names of entities whose last row came from this source are not in the state: lines of an
    # unknown entity are left out.
    known = [line for line in lines[1:] if line.count(b",") == 4 and b",," not in line]
    known = [line for line in known if b'"open' not in line and line.count(b'"') % 2 == 0]
    whole = scored([b"".join(known)], "whole")
    for place in (1, 57, 150, len(known) - 1):
        parts = [b"".join(known[:place]), b"".join(known[place:])]
        assert scored(parts, f"cut {place}") == whole


@pytest.mark.parametrize(
    "smoothing", [MovingAverage(4), TrailingMean(1), TrailingMean(7), EWMA(0.3)]
)
def test_smoothing_by_the_block_has_the_bits_of_one_by_one(smoothing: Smoothing) -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(500)
    scores[rng.random(500) < 0.2] = np.nan
    scores[rng.random(500) < 0.05] = np.inf
    single, block = smoothing.fresh(), smoothing.fresh()
    first = 0
    while first < len(scores):
        many = int(rng.choice([1, 3, 20, 100]))
        part = scores[first : first + many]
        want = [single.update(score) for score in part.tolist()]
        np.testing.assert_array_equal(block.update_block(part), want)
        assert block.running() == single.running()
        first += many


def test_times_are_read_by_the_block_only_where_that_is_the_same() -> None:
    dates = ["31.01.2024 10:00", "01.02.2024 11:00", "13.02.2024 11:00"]
    clock, other = Clock(None), Clock(None)
    assert clock.read_block(dates) == []  # the first decides
    want = [other.read(date) for date in dates]
    assert clock.read(dates[0]) == want[0]
    assert clock.read_block([*dates, dates[0]]) == [*want, want[0]]
    for texts in (["2024-01-31 10:00"], ["7"], ["31.01.2024 10:00Z"], [dates[1], "x"], [7]):
        assert clock.read_block(texts) == []
    numbers = Clock(None)
    numbers.read("1")
    assert numbers.read_block(["2", "2", "-3"]) == [2, 2, -3]
    assert numbers.read_block(["2", "2.5"]) == []


def test_a_monitor_gives_the_same_answers_by_the_block() -> None:
    from slidecell.thresholds import RollingQuantileThreshold

    rng = np.random.default_rng(4)
    for horizon in (1, 3):
        parts = random_model(
            np.random.default_rng(0), [layer("gru", 8)], features=2, window=3, horizon=horizon
        )
        model = sc.SequenceModel(*parts)
        rule = RollingQuantileThreshold(0.8, window=20, min_scores=5)
        single, block = (
            sc.Monitor(model.stream(20), threshold=rule, smoothing=TrailingMean(3))
            for _ in range(2)
        )
        ids, rows = rng.integers(0, 20, 400), rng.random((400, 2))
        rows[rng.random(400) < 0.02] = np.nan
        want = [single.push(row, e) for row, e in zip(rows, ids.tolist(), strict=True)]
        first = 0
        for many in (1, 2, 100, 297):
            answers = block.push_block(ids[first : first + many], rows[first : first + many])
            for found, event in zip(answers, want[first : first + many], strict=True):
                assert repr(found) == repr(event)
                np.testing.assert_array_equal(found.attribution, event.attribution)
            first += many
        assert sum(event.attribution is not None for event in want) > 100


def test_rows_that_pass_by_together_count_for_events() -> None:
    tracker, other = EventTracker(gap=1), EventTracker(gap=1)
    assert tracker.pass_by(3)
    assert all(other.pass_by() for _ in range(3))
    assert tracker.state() == other.state()
    assert [change.event.start for change in tracker.push(True, 2.0)] == [3]
    assert not tracker.pass_by(4)


def test_a_block_is_a_sequence_of_its_rows(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model.safetensors")
    options = LiveOptions(tmp_path / "model.safetensors", **KEYS).with_model(model)
    rows = [Row(f"h{n % 3}", n, [n / 10, 0.5], [n, f"h{n % 3}"], label=n % 2) for n in range(9)]
    (scored,) = Entities(model, options).score(RowBlock.of(rows))
    assert isinstance(scored, ScoredBlock)
    assert [found.row for found in scored] == rows
    assert scored[-1].row == rows[-1]
    assert [found.moment for found in scored[2:4]] == [2, 3]
    with pytest.raises(IndexError, match="place: expected one of 9 rows, got 9"):
        scored[9]
    order, parts = scored.by_entity
    assert [(name, order[part].tolist()) for name, part in parts] == [
        ("h0", [0, 3, 6]),
        ("h1", [1, 4, 7]),
        ("h2", [2, 5, 8]),
    ]


def test_a_line_that_comes_alone_is_answered_alone(tmp_path: Path) -> None:
    """Nobody waits for a block to be full."""
    save_model(tmp_path / "model.safetensors")
    source, sink = os.pipe()
    answers, into = os.pipe()
    options = LiveOptions(tmp_path / "model.safetensors", **KEYS)
    with os.fdopen(into, "wb") as stdout, os.fdopen(answers, "rb") as read:
        got: list[bytes] = []

        def send() -> None:
            for n in range(20):
                os.write(sink, f"{n},a,0.1,0.2\n".encode() if n else b"t,host,load,heat\n")
                got.append(read.readline())
            os.close(sink)

        sender = threading.Thread(target=send)
        sender.start()
        run_live(options, stdin=source, stdout=stdout, stderr=io.StringIO())
        sender.join(20)
    os.close(source)
    assert [line.split(b",")[0] for line in got[1:]] == [str(n).encode() for n in range(1, 20)]


def test_rows_that_take_long_are_answered_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_model(tmp_path / "model.safetensors")
    options = LiveOptions(tmp_path / "model.safetensors", **KEYS).with_model(model)
    rows = RowBlock.of([Row("ab"[n % 2], str(n), [0.1, 0.5], []) for n in range(900)])
    now = 0.0

    def later() -> float:
        nonlocal now
        now += step
        return now

    monkeypatch.setattr(time, "monotonic", later)
    entities = Entities(model, options)
    step = 0.5
    parts: list[Any] = list(entities.score(rows[:130]))
    assert [len(part) for part in parts] == [64, 32, 16, 8, 4, 2, 1, 1, 1, 1]
    step = 0.0
    assert [len(part) for part in entities.score(rows[130:])] == [
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
        256,
        259,
    ]


def test_a_signal_within_a_block_ends_the_run_at_the_row_that_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the rest would take too long; the next run goes on behind that row."""
    save_model(tmp_path / "model.safetensors", smoothing=SMOOTHING)
    lines = [f"{n // 2},{'ab'[n % 2]},{9 * (n % 60 < 5)},0.25\n".encode() for n in range(300)]
    settings = {"output": "both", "state": tmp_path / "state", **KEYS}
    settings["model"] = tmp_path / "model.safetensors"

    class Stopping(Observer):
        def scored(self, rows: ScoredBlock) -> None:
            if any(row.moment == 15 for row in rows):
                os.kill(os.getpid(), signal.SIGTERM)

    header = b"t,host,load,heat\n"
    monkeypatch.setattr(live_entities, "_FIRST_TOGETHER", 40)
    monkeypatch.setattr(signals, "_GRACE", -1.0)
    first, reports = live_in_pieces(
        header + b"".join(lines), [], observers=[Stopping()], **settings
    )
    assert first.count(b"\n") - first.count(b"opened") - first.count(b"closed") == 41
    assert "slidecell stream: 260 lines that were read were not scored" in reports
    monkeypatch.undo()
    second, _ = live_in_pieces(header + b"".join(lines[40:]), [], **settings)
    (tmp_path / "state").unlink()
    whole, _ = live_in_pieces(header + b"".join(lines), [], **settings)
    assert first + second.partition(b"\n")[2] == whole
    assert whole.count(b"closed") > 2
    assert whole.count(b"\n") > 300


@pytest.mark.parametrize("missing", ["skip", "ffill"])
def test_what_a_refused_row_leaves_is_what_it_leaves_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """It fills no row, and the end of an event before it is told; of one entity or of another."""
    save_model(tmp_path / "model.safetensors")
    push_block, miss = Monitor.push_block, Monitor.miss
    misses: Counter[int] = Counter()

    def refusing(self: Monitor, ids: Any, rows: Any, **settings: Any) -> Any:
        if (rows == 13.0).any():
            raise RuntimeError("thirteen")
        return push_block(self, ids, rows, **settings)

    def some_missing(self: Monitor, entity: int) -> Any:
        misses[entity] += 1
        if misses[entity] % 3 == 2:
            raise RuntimeError("no missing row either")
        return miss(self, entity)

    monkeypatch.setattr(Monitor, "push_block", refusing)
    monkeypatch.setattr(Monitor, "miss", some_missing)
    rng = random.Random(2)
    lines, t = ["t,host,load,heat"], 0
    for n in range(400):
        t += 100 if n % 25 == 0 else 1
        heat = (
            13.0 if n % 25 in {0, 9} else 9.0 if n % 25 > 15 else rng.choice(["", *[0.5, 0.25] * 4])
        )
        host = "ab"[n % 2] if n % 25 else "a"
        lines.append(f"{t},{host},{rng.choice(['', *[0.125, 0.75] * 4])},{heat}")
    text = "\n".join(lines).encode()
    options = {"missing": missing, "max_gap": "50"}
    whole = run(tmp_path, text, [], **options)
    misses.clear()
    ends = [at + 1 for at, byte in enumerate(text) if byte == ord("\n")]
    assert run(tmp_path, text, ends, **options) == whole
    assert sum("RuntimeError: thirteen; skipped: a missing row" in line for line in whole[1]) == 32
    changes = [one[0] for one in whole[3]]
    still_open = 2 if missing == "ffill" else 1
    assert changes.count("'opened'") == changes.count("'closed'") + still_open > 20


def test_what_is_kept_of_one_row_does_not_keep_its_block() -> None:
    model = sc.SequenceModel(
        *random_model(np.random.default_rng(0), [layer("gru", 8)], features=2, window=3, horizon=3)
    )
    monitor = sc.Monitor(model.stream(50), threshold=1.0)
    monitor.push_block(np.arange(1000) % 50, np.random.default_rng(0).random((1000, 2)))
    answers = monitor.push_block([7, 8, 9], np.ones((3, 2)))
    evidence = answers.event(0)._evidence
    assert evidence is not None
    for kept in (evidence.forecast, *evidence.rows):
        assert kept.base is None or kept.base.nbytes == kept.nbytes
    traces = Traces()
    rows = RowBlock.of([Row(f"h{n % 50}", n, [0.5], []) for n in range(500)])
    numbers = np.random.default_rng(0).random(500)
    traces.scored(
        ScoredBlock(rows, Answers(numbers, numbers, numbers, numbers > 2), list(range(500)), 1)
    )
    for _, trace in traces.now():
        (kept,) = trace._waiting
        assert len(kept) == 10
        assert kept.base is None or kept.base.nbytes == kept.nbytes


def test_metrics_and_traces_are_the_same_however_lines_come(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors", smoothing=SMOOTHING)
    text = hard_text(11)
    ends = [at + 1 for at, byte in enumerate(text) if byte == ord("\n")]
    found = []
    for cuts in ([], ends, [1000, 9001]):
        counts, traces = Counts(per_entity=True), Traces()
        settings = {"model": tmp_path / "model.safetensors", "event_gap": 1, **KEYS}
        live_in_pieces(text, cuts, observers=[counts, traces], **settings)
        totals = counts.totals()
        shown = {
            name: [[repr(column) for column in trace.points(scale)] for scale in range(2)]
            + [trace.rows, trace.last_alarm]
            for name, trace in traces.now()
        }
        last = {
            name: (one.rows, one.alarms, repr(one.score)) for name, one in totals.entities.items()
        }
        told = (totals.rows, totals.scores, totals.alarms, totals.events, totals.open_events)
        told = (*told, totals.missed, dict(totals.skipped), repr(totals.threshold))
        found.append((told, totals.score.counts.tolist(), last, shown))
        assert totals.push.counts.sum() == totals.rows
        assert totals.score.counts.sum() == totals.scores > 300
    assert found[1] == found[0]
    assert found[2] == found[0]
    assert found[0][0][3] > 10
