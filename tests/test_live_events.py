"""Events of a live run: opened and closed as rows come, the same as in a batch."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skops")

import slidecell as sc
from slidecell.detect import Ensemble, KMeansDetector, ZScoreDetector, load_detector
from slidecell.detect.model_detector import ModelDetector
from slidecell.thresholds import CusumThreshold, find_events
from slidecell.thresholds.smoothing import EWMA
from tests.detectors import series
from tests.live_lines import KEYS, as_csv, as_lines, live


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """Save a detector whose score is the value's size; above 1 it is flagged."""
    path = tmp_path / "detector"
    ZScoreDetector(contamination=0.05).fit(_frame([-1.0, 1.0] * 10)).save(path)
    return path


def _frame(values: list[float]) -> Any:
    return pytest.importorskip("pandas").DataFrame({"load": values})


def _rows(values: list[float | None], host: str = "a", first: int = 1) -> list[dict[str, Any]]:
    return [{"t": first + n, "host": host, "load": value} for n, value in enumerate(values)]


def events_of(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> list[list[str]]:
    """Run on rows: the lines of events, without the header."""
    out, _ = live(tmp_path, as_csv(rows), output="events", **options)
    header, *lines = csv.reader(io.StringIO(out))
    own = ["event", "entity", "start", "end", "rows", "flagged", "peak", "area"]
    assert header == [*own, "column_1", "share_1"]
    return lines


def test_events_as_csv(tmp_path: Path, detector: Path) -> None:
    values = [0.5, 3.0, -2.0, 0.0, 5.0, None]
    lines = events_of(tmp_path, _rows(values), model=detector)
    assert lines == [
        ["opened", "a", "2", "2", "1", "1", "3.0", "2.0", "", ""],
        ["closed", "a", "2", "3", "2", "2", "3.0", "3.0", "load", "1.0"],
        ["opened", "a", "5", "5", "1", "1", "5.0", "4.0", "", ""],
        ["closed", "a", "5", "5", "1", "1", "5.0", "4.0", "load", "1.0"],
    ]


def test_an_event_opens_and_closes_with_the_row_that_decides_it(
    tmp_path: Path, detector: Path
) -> None:
    rows = _rows([3.0, 0.0, 0.0, 2.0, 0.0])
    out, _ = live(tmp_path, as_csv(rows), model=detector, output="both", event_gap=1)
    assert out.splitlines() == [
        "t,host,score,alarm,event,start,end,rows,flagged,peak,area,column_1,share_1",
        "1,a,3.0,1,,,,,,,,,",
        ",a,,,opened,1,1,1,1,3.0,2.0,,",
        "2,a,0.0,0,,,,,,,,,",
        "3,a,0.0,0,,,,,,,,,",
        ",a,,,closed,1,1,1,1,3.0,2.0,load,1.0",
        "4,a,2.0,1,,,,,,,,,",
        ",a,,,opened,4,4,1,1,2.0,1.0,,",
        "5,a,0.0,0,,,,,,,,,",
        ",a,,,closed,4,4,1,1,2.0,1.0,load,1.0",
    ]


def test_events_as_json(tmp_path: Path, detector: Path) -> None:
    rows = [*_rows([3.0, 0.0]), *_rows([1e300], host="b")]
    options = {"model": detector, "format": "jsonl"}
    out, _ = live(tmp_path, as_lines(rows), output="both", **options)
    opened = {"event": "opened", "entity": "a", "start": 1, "end": 1, "rows": 1, "flagged": 1}
    high = {"peak": 3.0, "area": 2.0}
    large = {**opened, "entity": "b", "peak": "Infinity", "area": "Infinity"}
    closed = {"event": "closed", "columns": [{"column": "load", "share": 1.0}]}
    found = [json.loads(line) for line in out.splitlines()]
    assert found == [
        {"t": 1, "host": "a", "score": 3.0, "alarm": True},
        {**opened, **high},
        {"t": 2, "host": "a", "score": 0.0, "alarm": False},
        {**opened, **high, **closed},
        {"t": 1, "host": "b", "score": "Infinity", "alarm": True},
        large,
        {**large, **closed},
    ]
    alone, _ = live(tmp_path, as_lines(rows), output="events", **options)
    assert [json.loads(line) for line in alone.splitlines()] == [e for e in found if "event" in e]
    scores, _ = live(tmp_path, as_lines(rows), **options)
    assert [json.loads(line) for line in scores.splitlines()] == [e for e in found if "score" in e]


def test_without_time_and_entity_rows_are_numbered_as_lines_of_scores(
    tmp_path: Path, detector: Path
) -> None:
    text = "load\n0\n3\n2\nx\n2\n0\n"  # the bad line has no line of scores
    out, _ = live(tmp_path, text, model=detector, output="events", time="", entity="", event_gap=1)
    assert out.splitlines() == [
        "event,start,end,rows,flagged,peak,area,column_1,share_1",
        "opened,2,2,1,1,3.0,2.0,,",
        "closed,2,4,4,3,3.0,4.0,load,1.0",
    ]


def test_a_gap_in_time_ends_an_event(tmp_path: Path, detector: Path) -> None:
    rows = [*_rows([3.0, 2.0]), *_rows([4.0, 0.0], first=9)]
    apart = events_of(tmp_path, rows, model=detector, max_gap="2")
    assert [line[:4] for line in apart] == [
        ["opened", "a", "1", "1"],
        ["closed", "a", "1", "2"],
        ["opened", "a", "9", "9"],
        ["closed", "a", "9", "9"],
    ]
    together = events_of(tmp_path, rows, model=detector)
    assert [line[:5] for line in together] == [
        ["opened", "a", "1", "1", "1"],
        ["closed", "a", "1", "9", "3"],
    ]


@pytest.mark.parametrize("cut", range(1, 12))
def test_an_event_that_is_open_goes_on_in_the_next_run(
    tmp_path: Path, detector: Path, cut: int
) -> None:
    rows = _rows([0.0, 3.0, 0.0, 2.0, 4.0, 0.0, 0.0, 0.0, 2.0, 1e300, 2.0, 0.0])
    rows[7]["host"] = "b"
    options = {"model": detector, "event_gap": 1}
    whole = events_of(tmp_path, rows, state=tmp_path / "whole", **options)
    assert [line[0] for line in whole] == ["opened", "closed", "opened"]  # one is open
    parts = events_of(tmp_path, rows[:cut], state=tmp_path / "state", **options)
    # Without the option the gap is that of the state.
    parts += events_of(tmp_path, rows[cut:], state=tmp_path / "state", model=detector)
    assert parts == whole
    closed = events_of(
        tmp_path, _rows([0.0, 0.0], first=20), state=tmp_path / "state", model=detector
    )
    assert closed == [["closed", "a", "9", "11", "3", "3", "inf", "inf", "load", "1.0"]]


def test_a_state_of_another_gap_is_refused(tmp_path: Path, detector: Path) -> None:
    state = tmp_path / "state"
    rows = as_csv(_rows([0.0, 3.0]))
    live(tmp_path, rows, model=detector, state=state, event_gap=3)
    with pytest.raises(
        ValueError, match="--event-gap: expected 3, as in the state, or none, got 2"
    ):
        live(tmp_path, rows, model=detector, state=state, event_gap=2)


@pytest.mark.parametrize(
    ("key", "value"),
    [("tracker", {}), ("tracker", None), ("start", []), ("end", {"a": 1})],
)
def test_a_damaged_state_of_events_is_refused(
    tmp_path: Path, detector: Path, key: str, value: Any
) -> None:
    state = tmp_path / "state"
    live(tmp_path, as_csv(_rows([0.0, 3.0])), model=detector, state=state)
    monitor = sc.Monitor.load(load_detector(detector), state)
    monitor.extra["entities"][0]["events"][key] = value
    monitor.save(state)
    with pytest.raises(ValueError, match=f"{state}: .*expected"):
        live(tmp_path, as_csv(_rows([0.0], first=9)), model=detector, state=state)


def test_what_is_not_an_option_is_refused(tmp_path: Path, detector: Path) -> None:
    text = as_csv([{"start": 1, "host": "a", "load": 3.0}])
    with pytest.raises(
        ValueError, match="--time: column 'start' has the name of a column of event"
    ):
        live(tmp_path, text, model=detector, output="both", time="start")
    assert live(tmp_path, text, model=detector, output="events", time="start")[0]
    with pytest.raises(ValueError, match="--output: expected scores, events, both, got 'all'"):
        live(tmp_path, text, model=detector, output="all")
    with pytest.raises(ValueError, match="--event-gap: expected at least 0, got -1"):
        live(tmp_path, text, model=detector, event_gap=-1)


def test_a_state_of_another_detector_is_refused(tmp_path: Path, detector: Path) -> None:
    state = tmp_path / "state"
    live(tmp_path, as_csv(_rows([0.0, 3.0])), model=detector, state=state)
    ZScoreDetector().fit(_frame([-2.0, 1.0] * 10)).save(detector)
    with pytest.raises(
        ValueError, match="the state of another ZScoreDetector: it was fitted other"
    ):
        live(tmp_path, as_csv(_rows([0.0], first=9)), model=detector, state=state)


def test_events_of_a_rule_with_a_state_are_those_of_the_batch(tmp_path: Path) -> None:
    """CUSUM on the fused scores of an ensemble, with windows of many rows."""
    X = series(90, seed=1)
    members = [("shape", KMeansDetector(4, random_state=0)), ("level", ZScoreDetector())]
    detector = Ensemble(members, "z").fit(X)
    rule = CusumThreshold(0.5, 3.0).fit(detector.decision_scores_)
    Y = np.concatenate([series(40, seed=2), series(60, seed=3) * 1.6])
    flags = rule.apply(detector.score_samples(Y))
    monitor = sc.Monitor(detector.stream(), threshold=rule)
    got = [monitor.push(row) for row in Y[:50]]
    monitor.save(tmp_path / "state")
    monitor = sc.Monitor.load(detector, tmp_path / "state")
    got += [monitor.push(row) for row in Y[50:]]
    assert [event.alarm for event in got] == flags.tolist()
    assert find_events(flags, [event.smoothed for event in got])
    assert all(event.attribution is None for event in got)


@pytest.mark.parametrize("many", [False, True])
def test_alarms_of_a_monitor_are_the_flags_of_its_detector(many: bool) -> None:
    X = series(90, seed=1)
    detector = KMeansDetector(4, contamination=0.1, random_state=0, missing="ffill").fit(X)
    Y = series(60, seed=2)
    Y[20, 1] = np.nan
    monitor = sc.Monitor.from_model(detector, 2)
    if many:
        events = [monitor.push_many([1], Y[n : n + 1])[0] for n in range(60)]
    else:
        events = [monitor.push(row, 1) for row in Y]
    scores = detector.score_samples(Y)
    assert np.array_equal([event.score for event in events], scores, equal_nan=True)
    assert [event.alarm for event in events] == detector.predict(Y).astype(bool).tolist()
    assert {event.threshold for event in events} == {float(detector.threshold_)}
    assert 0 < sum(event.alarm for event in events) < 60


def test_scores_of_a_smoothed_model_are_those_of_score(tmp_path: Path) -> None:
    from tests.live_lines import save_model, table

    model = save_model(tmp_path / "model.safetensors", smoothing=EWMA(0.25).state())
    rows = [row for row in table() if row["host"] == "h1"]
    out, _ = live(tmp_path, as_csv(rows))
    found = [line["score"] for line in csv.DictReader(io.StringIO(out))]
    values = np.array([[row["load"], row["heat"]] for row in rows], np.float64)
    want = ModelDetector.of(model).score_samples(values)
    assert np.array_equal([float(text or "nan") for text in found], want, equal_nan=True)
    assert KEYS["entity"] == "host"


def test_missing_cells_are_filled_as_in_a_batch(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    names = ["a", "b", "c"]
    frame = pd.DataFrame(series(120, seed=1), columns=names)
    detector = KMeansDetector(4, contamination=0.05, missing="ffill", random_state=0).fit(frame)
    detector.save(tmp_path / "detector")
    Y = series(60, seed=2)
    Y[20:23, 1] = np.nan
    Y[40] = np.nan
    rows = [{"t": n, "host": "x", **dict(zip(names, row, strict=True))} for n, row in enumerate(Y)]
    for state in (None, tmp_path / "state"):
        found = []
        for part in (rows[:21], rows[21:]) if state else (rows,):
            out, _ = live(tmp_path, as_csv(part), model=tmp_path / "detector", state=state)
            found += [line["score"] for line in csv.DictReader(io.StringIO(out))]
        want = detector.score_samples(Y)
        assert np.array_equal([float(text or "nan") for text in found], want, equal_nan=True)
    assert np.isfinite(want[3:]).all()


def test_a_detector_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    KMeansDetector(4, align="cover").fit(series(80)).save(tmp_path / "detector")
    with pytest.raises(ValueError, match="align='cover': a KMeansDetector scores a row by later"):
        live(tmp_path, "a,b,c\n", model=tmp_path / "detector", time="", entity="")


def test_a_line_that_cannot_be_read_is_never_filled(tmp_path: Path) -> None:
    """Members of an ensemble fill missing cells themselves; a lost row has none to fill."""
    pd = pytest.importorskip("pandas")
    names = ["a", "b", "c"]
    frame = pd.DataFrame(series(120, seed=1), columns=names)
    shape = KMeansDetector(4, missing="ffill", random_state=0)
    members = [("shape", shape), ("level", ZScoreDetector(missing="ffill"))]
    detector = Ensemble(members, "z").fit(frame)
    detector.save(tmp_path / "detector")
    Y = series(30, seed=2)
    Y[8, 1] = np.nan  # filled
    lines = ["a,b,c", *(",".join(map(repr, row.tolist())) for row in Y)]
    lines[1 + 20] = "1,x,2"
    text = "\n".join(lines) + "\n"
    out, _ = live(tmp_path, text, model=tmp_path / "detector", time="", entity="")
    found = [float(line["score"] or "nan") for line in csv.DictReader(io.StringIO(out))]
    want = np.concatenate([detector.score_samples(Y[:20]), detector.score_samples(Y[21:])])
    assert np.array_equal(found, want, equal_nan=True)
    assert np.isnan(want).tolist() == [n in {0, 1, 2, 20, 21, 22} for n in range(29)]


@pytest.mark.parametrize("precision", ["high", "medium"])
@pytest.mark.parametrize("smoothing", [1, 20])
def test_networks_of_every_precision_have_the_scores_of_score(
    isa: str, precision: str, smoothing: int, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from slidecell.detect import ForecastDetector

    sizes: dict[str, Any] = {"window": 4, "hidden_size": 32, "epochs": 1, "random_state": 0}
    detector = ForecastDetector(**sizes, smoothing=smoothing, precision=precision, num_threads=1)
    detector.fit(series(60)).save(tmp_path / "detector")
    Y = series(30, seed=2)
    text = "".join(json.dumps(dict(zip("abc", row, strict=True))) + "\n" for row in Y.tolist())
    options = {"format": "jsonl", "time": "", "entity": ""}
    out, _ = live(tmp_path, text, model=tmp_path / "detector", **options)
    found = [json.loads(line)["score"] for line in out.splitlines()]
    want = detector.score_samples(Y)
    got = np.array([np.nan if score is None else score for score in found])
    # Float32 texts where the network's own stream scores and nothing is smoothed.
    model = detector.stream_model
    if model is not None and model.metadata["smoothing"] is None:
        got = got.astype(np.float32).astype(np.float64)
    assert np.array_equal(got, want, equal_nan=True)
