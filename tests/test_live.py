"""Live scoring of lines: the scores of a batch, states that go on, bad lines."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.live.latency import Latencies
from slidecell.live.lines import LONGEST_LINE
from slidecell.thresholds import find_events
from tests.live_lines import KEYS, as_csv, as_lines, live, save_model, table
from tests.models import layer, random_model


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    save_model(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def expected(model: sc.SequenceModel, rows: list[dict[str, Any]]) -> np.ndarray:
    """Score of each row, its entity's rows scored as one series."""
    hosts = np.array([row["host"] for row in rows])
    series = np.array([[row["load"], row["heat"]] for row in rows], np.float64)
    scores = np.empty(len(rows), np.float32)
    for host in np.unique(hosts):
        scores[hosts == host] = model.score(series[hosts == host], kernel="fma")
    return scores


def scores_of(lines: str, delimiter: str = ",") -> np.ndarray:
    rows = csv.DictReader(io.StringIO(lines), delimiter=delimiter)
    return np.array([row["score"] or "nan" for row in rows]).astype(np.float32)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_live_csv_has_the_scores_of_the_batch(
    model_file: Path, tmp_path: Path, delimiter: str
) -> None:
    model, rows = sc.SequenceModel.load(model_file), table()
    text = "\ufeff" + as_csv(rows, delimiter).replace("\n", "\n\n", 3)  # blank lines are no rows
    out, err = live(tmp_path, text, max_entities=3)
    want = expected(model, rows)
    np.testing.assert_array_equal(scores_of(out, delimiter), want)
    assert 10 < np.isfinite(want).sum() < 90
    found = list(csv.DictReader(io.StringIO(out), delimiter=delimiter))
    assert list(found[0]) == ["t", "host", "score", "alarm"]
    assert [(row["t"], row["host"]) for row in found] == [(str(r["t"]), r["host"]) for r in rows]
    np.testing.assert_array_equal([row["alarm"] == "1" for row in found], want > 0.45)
    scored = np.isfinite(want).sum()
    alarms = (want > 0.45).sum()
    of_host = [np.array([row["host"] == host for row in rows]) for host in ("h0", "h1", "h2")]
    gap = model.window + model.horizon - 1
    began = sum(len(find_events(want[own] > 0.45, want[own], gap=gap)) for own in of_host)
    assert began > 3
    counts = f"90 rows, {scored} scores, {alarms} alarms, {began} events, 3 entities"
    assert f"{counts}; unused lines: 0 mal" in err


def test_live_json_has_the_scores_of_the_batch(model_file: Path, tmp_path: Path) -> None:
    model, rows = sc.SequenceModel.load(model_file), table()
    out, _ = live(tmp_path, as_lines(rows), format="jsonl")
    want = expected(model, rows)
    found = [json.loads(line) for line in out.splitlines()]
    assert list(found[0]) == ["t", "host", "score", "alarm"]
    got = [np.nan if row["score"] is None else row["score"] for row in found]
    np.testing.assert_array_equal(np.array(got, np.float32), want)
    assert [(row["t"], row["host"]) for row in found] == [(r["t"], r["host"]) for r in rows]
    assert [row["alarm"] for row in found] == (want > 0.45).tolist()


def test_live_has_the_text_of_the_command_score(tmp_path: Path) -> None:
    """With what the model remembers of its training: holes filled, gaps that begin anew, dates."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    from slidecell.detect import ScoreOptions, run_score

    kept = {**KEYS, "max_gap": "3h", "missing": "ffill", "duplicates": "error"}
    save_model(tmp_path / "model.safetensors", extra={"detect": kept})
    rows = table()
    for row in rows:
        hour = row["t"] + (10 if row["t"] > 60 else 0)
        row["t"] = str(np.datetime64("2024-03-01T00:00") + np.timedelta64(hour, "h"))
        row["t"] = row["t"].replace("T", " ")
    (tmp_path / "in.csv").write_text(as_csv(rows))
    run_score(ScoreOptions(tmp_path / "model.safetensors", tmp_path / "in.csv", tmp_path / "out"))
    want = pd.read_csv(tmp_path / "out" / "scores.csv", dtype=str)
    for state in (None, tmp_path / "state"):
        out, _ = live(tmp_path, as_csv(rows[:50]), time=None, entity=None, state=state)
        if state is not None:
            more, _ = live(tmp_path, as_csv(rows[50:]), time=None, entity=None, state=state)
            out += more.partition("\n")[2]
            got = pd.read_csv(io.StringIO(out), dtype=str)
            assert got["score"].equals(want["score"])
            assert got["alarm"].equals(want["flagged"])
    assert want["score"].notna().sum() > 20


@pytest.mark.parametrize("missing", ["skip", "ffill"])
def test_live_resumed_run_equals_an_uninterrupted_one(
    model_file: Path, tmp_path: Path, missing: str
) -> None:
    rows = table()
    for row in rows:
        row["t"] *= 10
    rows[70]["t"] += 8
    options = {"missing": missing, "max_gap": "150", "format": "jsonl"}
    whole, _ = live(tmp_path, as_lines(rows), **options)
    state = tmp_path / "state"
    for stop in (0, 1, 45, 46):
        state.unlink(missing_ok=True)
        first, _ = live(tmp_path, as_lines(rows[:stop]), state=state, **options)
        second, _ = live(tmp_path, as_lines(rows[stop:]), state=state, **options)
        assert first + second == whole
    with pytest.raises(ValueError, match="line 1: expected a time after 890, got 0"):
        live(tmp_path, as_lines(rows[:1]), state=state, on_error="fail", **options)


@pytest.mark.parametrize(
    ("line", "text", "missing"),
    [
        ("1,2,3", "expected 4 cells, got 3", "ab"),
        ("1,2,a,5,6", "expected 4 cells, got 5", "ab"),
        ('"1,2,a,5', "not readable as CSV", "ab"),
        ("x,2,a,3.5", "column 'load': expected a number, got 'x'", "a"),
        ("1_0,2,a,3.5", "column 'load': expected a number, got '1_0'", "a"),
        ("1,2,,5", "column 'host': expected the row's entity, got nothing", "ab"),
        ("1,2,a,noon", "expected a number or a date such as 2024-01-31 12:00:00, got 'noon'", "a"),
        ("1,2,a,", "expected a number or a date such as", "a"),
        ("1,2,a,nan", "expected a number or a date such as", "a"),
        ("1,2,a,2024-01-31", "expected a number as before, got '2024-01-31'", "a"),
        ("1,2,a,3", "expected a time after 3, got '3'", ""),
        ("1,2,a,2.5", "expected a time after 3, got '2.5'", ""),
        ("x,2,a,2.5", "column 'load': expected a number, got 'x'", ""),
        ("1,2,c,4", r"entity 'c': there is room for 2 \(--max-entities\) and all are taken", ""),
        (b"1,2,\xff,4", "byte 0xff is not UTF-8 text", "ab"),
        (b"1,2,a," + b"4" * LONGEST_LINE, "longer than 1048576 bytes", "ab"),
    ],
)
def test_live_bad_lines(
    model_file: Path, tmp_path: Path, line: str | bytes, text: str, missing: str
) -> None:
    """A bad line is a missing row of its entity, or of all where it could be any of theirs."""
    bad = line.encode() if isinstance(line, str) else line
    before = b"load,heat,host,t\n" + b"".join(
        b"%d,1,a,%d\n1,2,b,%d\n" % (t, t, t) for t in range(4)
    )
    after = b"".join(b"1,%d,a,%d\n2,1,b,%d\n" % (t, t, t) for t in range(4, 9))
    holes = "".join(f",,{host},3.5\n" for host in missing).encode()
    answers, _ = live(tmp_path, before + holes + after, max_entities=2)
    want = "".join(line for line in answers.splitlines(True) if not line.startswith("3.5,"))
    assert all(f"8,{host},," not in want for host in "ab")  # the last windows hold no hole
    assert want.count(",,") == 6 + 3 * len(missing)
    out, err = live(tmp_path, before + bad + b"\n" + after, max_entities=2)
    assert out == want
    late = "time after" in text
    kind = "0 malformed, 1 out of order" if late else "1 malformed, 0 out of order"
    assert f"unused lines: {kind}" in err
    reports = [line for line in err.splitlines() if "skipped" in line]
    assert len(reports) == 1
    assert reports[0].startswith("slidecell stream: line 10: ")
    said = {
        "": "skipped",
        "a": "skipped: a missing row",
        "ab": "skipped: its entity is unknown, a missing row for each of 2 from this source",
    }
    assert reports[0].endswith(said[missing])
    # In between, a state remembers it.
    state = tmp_path / "state"
    first, _ = live(tmp_path, before + bad, max_entities=2, state=state)
    more, _ = live(tmp_path, b"load,heat,host,t\n" + after, state=state)
    assert first + more.partition("\n")[2] == want
    # Fatal, the rows before it are in the state, and the line is there to be mended.
    state.unlink()
    with pytest.raises(ValueError, match=f"line 10: {text}") as caught:
        live(tmp_path, before + bad, max_entities=2, state=state, on_error="fail")
    more, _ = live(tmp_path, b"load,heat,host,t\n" + after, state=state)
    whole, _ = live(tmp_path, before + after, max_entities=2)
    assert caught.value.args[1] + more.partition("\n")[2] == whole


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", "not readable as JSON: "),
        ("[1]", "expected a JSON object, got list"),
        ("[" * 100_000, "not readable as JSON: "),
        ('{"t": 1, "host": "a", "load": 1}', "no key 'heat', a feature of the model"),
        ('{"host": "a", "load": 1, "heat": 2}', "--time: no key 't'"),
        ('{"t": 1, "host": "a", "load": "1", "heat": 2}', "key 'load': expected a number or null"),
        ('{"t": 1, "host": "a", "load": [], "heat": 2}', "key 'load': expected a number or null"),
        ('{"t": 1, "host": null, "load": 1, "heat": 2}', "key 'host': expected text or a whole nu"),
        ('{"t": 1, "host": 1.5, "load": 1, "heat": 2}', "key 'host': expected text or a whole num"),
        ('{"t": null, "host": "a", "load": 1, "heat": 2}', "expected a number or a date"),
        ('{"t": true, "host": "a", "load": 1, "heat": 2}', "expected a number or a date"),
    ],
)
def test_live_bad_json_lines(model_file: Path, tmp_path: Path, line: str, text: str) -> None:
    rows = as_lines(table(10))
    want, _ = live(tmp_path, rows, format="jsonl")
    out, err = live(tmp_path, rows + line + "\n", format="jsonl")
    assert out == want
    assert f"line 11: {text}" in err
    assert "1 malformed" in err


def test_live_unusual_json_lines(model_file: Path, tmp_path: Path) -> None:
    rows = [
        {"t": 0, "host": 7, "load": True, "heat": 10**400},
        {"t": 0, "host": "\ud800", "load": None, "heat": float("nan")},
    ]
    out, err = live(tmp_path, as_lines(rows), format="jsonl")
    assert [json.loads(line)["host"] for line in out.splitlines()] == [7, "\ud800"]
    assert "2 rows, 1 scores" in err
    assert json.loads(out.splitlines()[0])["score"] == "Infinity"  # too large, and not missing


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("5,6,7,0", r"line 1: expected the names of the columns, got a row of numbers"),
        ("0.5,2024-01-01,3,0", r"line 1: expected the names of the columns, got a row of numbers"),
        ("load,host,t", "line 1: no column 'heat', a feature of the model"),
        ("load,heat,host", "line 1: --time: no column 't'"),
        ("load,heat,host,t,load", "line 1: two columns are called 'load'"),
    ],
)
def test_live_bad_headers(model_file: Path, tmp_path: Path, header: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        live(tmp_path, header + "\n1,2,3\n")


def test_live_model_without_names_or_keys(tmp_path: Path) -> None:
    parts = random_model(np.random.default_rng(0), [layer("gru", 4)], features=2, window=3)
    model = sc.SequenceModel(*parts)
    model.save(tmp_path / "model.safetensors")
    series = np.round(np.random.default_rng(1).random((20, 2)), 3)
    want = model.score(series, kernel="fma")
    rows = [{"a": a, "b": b} for a, b in series.tolist()]
    options = {"time": None, "entity": None}
    out, _ = live(tmp_path, as_csv(rows), **options)
    np.testing.assert_array_equal(scores_of(out), want)
    out, _ = live(tmp_path, as_lines(rows), format="jsonl", **options)
    got = [json.loads(line)["score"] for line in out.splitlines()]
    np.testing.assert_array_equal(np.array(got, np.float32), want)
    assert '"alarm": false' in out
    with pytest.raises(ValueError, match=r"expected 2 feature columns .* got 3: a, b, c"):
        live(tmp_path, "a,b,c\n1,2,3\n", **options)


def test_live_options(model_file: Path, tmp_path: Path) -> None:
    for options, text in (
        ({"format": "xml"}, "--format: expected csv, jsonl, got 'xml'"),
        ({"on_error": "stop"}, "--on-error: expected skip, fail"),
        ({"max_entities": 0}, "--max-entities: expected at least 1, got 0"),
        ({"listen": 70000}, "--listen: expected a port"),
        ({"time": "", "max_gap": "3"}, "--max-gap: name the time column"),
        ({"time": "host"}, "--time and --entity both name column 'host'"),
    ):
        with pytest.raises(ValueError, match=text):
            live(tmp_path, "load,heat,host,t\n", **options)
    with pytest.raises(OSError, match=r"--state .*: No such file"):
        live(tmp_path, "", state=tmp_path / "no" / "state")
    assert live(tmp_path, "")[0] == ""


def test_live_state_is_checked(model_file: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    text = as_csv(table(30))
    live(tmp_path, text, state=state, max_entities=5)
    with pytest.raises(ValueError, match="--max-entities: expected 5, as in the state"):
        live(tmp_path, text, state=state, max_entities=6)
    with pytest.raises(ValueError, match=r"columns of time and entity are \['t', 'host'\]"):
        live(tmp_path, text, state=state, time="")
    good = state.read_bytes()
    state.write_bytes(good[:-30])
    with pytest.raises(ValueError, match="damaged"):
        live(tmp_path, text, state=state)
    model = sc.SequenceModel.load(model_file)
    state.write_bytes(good)
    for change in (
        {"time": "noon"},
        {"entities": {}},
        {"entities": [{"id": "a"}] * 6},
        {"entities": [{"id": "a"}, {"id": "a"}]},
        {"entities": [{"id": "a", "time": "x", "values": []}]},
        {"entities": [{"id": "a", "time": 1, "values": [1.0]}]},
        {"entities": [{"id": "a", "time": 1, "values": ["x", 1.0]}]},
    ):
        state.write_bytes(good)
        monitor = sc.Monitor.load(model, state)
        monitor.extra.update(change)
        monitor.save(state)
        with pytest.raises(ValueError, match=f"{state}: "):
            live(tmp_path, text, state=state)


def test_latency_percentiles_are_near_the_true_ones() -> None:
    rng = np.random.default_rng(0)
    durations = rng.lognormal(9, 2, 5000).astype(int)
    latencies = Latencies()
    assert latencies.percentile(50) == 0
    for ns in durations.tolist():
        latencies.add(ns)
    for percent in (1, 50, 99):
        want = np.percentile(durations, percent, method="inverted_cdf")
        assert want <= latencies.percentile(percent) <= want * (1 + 1 / 32)
    assert latencies.percentile(100) == latencies.max == durations.max()
