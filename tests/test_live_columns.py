"""Closed events of a live run name the columns that drive them, as the batch does."""

from __future__ import annotations

import io
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("sklearn", "skops", "matplotlib", "rich", "jinja2"):
    pytest.importorskip(_module)

import slidecell as sc  # noqa: E402
from slidecell.detect import (  # noqa: E402
    Detector,
    Ensemble,
    ForecastDetector,
    KMeansDetector,
    RidgeDetector,
    SklearnDetector,
    WindowPCADetector,
    ZScoreDetector,
    load_detector,
)
from slidecell.detect.loading import load_saved  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.live import LiveOptions, run_live  # noqa: E402
from slidecell.live.entities import Entities  # noqa: E402
from slidecell.live.event_rows import EventRows  # noqa: E402
from slidecell.live.explainer import Explainer  # noqa: E402
from slidecell.live.live_detector import LiveDetector  # noqa: E402
from slidecell.live.observers import Observers  # noqa: E402
from slidecell.live.options import EVENT_COLUMNS  # noqa: E402
from slidecell.live.rows import Row, RowBlock  # noqa: E402
from slidecell.live.web.event_book import EventBook  # noqa: E402
from slidecell.thresholds import PercentileThreshold, PerEntityThreshold  # noqa: E402
from slidecell.thresholds.smoothing import EWMA  # noqa: E402
from tests.live_lines import KEYS, live, save_model  # noqa: E402
from tests.test_live_together import slow  # noqa: E402

NAMES = ["load", "heat", "mail"]
ROWS = 180  # of each of two hosts
COMMON: dict[str, Any] = {"entity": "host", "time": "t"}


def table(seed: int, faults: bool = False) -> Any:
    """Rows of two hosts by turns; with faults in one column each, of some rows."""
    rng, time = np.random.default_rng(seed), np.arange(ROWS)[:, None]
    frames = []
    for host in "ab":
        values = np.sin(time / [3.0, 4.0, 5.0]) + rng.normal(0, 0.1, (ROWS, 3))
        if faults:
            column = "ab".index(host)
            values[60:64, column] += 3.0
            values[62, 2] -= 2.0
            values[118:124, 2] += [2.0, 3.0, 0.0, 4.0, 1.0, 3.0]
        frame = pd.DataFrame(np.round(values, 3), columns=NAMES)
        frames.append(frame.assign(host=host, t=time[:, 0]))
    return pd.concat(frames).sort_values(["t", "host"], ignore_index=True)


def _ensemble(**options: Any) -> Detector:
    return Ensemble.default(
        network=False, random_state=0, num_threads=1, contamination=0.02, **COMMON, **options
    )


def _filled() -> Detector:
    detector = _ensemble()
    names = [name for name in detector.get_params() if name.endswith("__missing")]
    return detector.set_params(**dict.fromkeys(names, "ffill"))


KINDS: dict[str, Callable[[], Detector]] = {
    "ensemble": _ensemble,
    "ensemble that fills": _filled,
    "kmeans": lambda: KMeansDetector(6, random_state=0, contamination=0.02, **COMMON),
    "window_pca": lambda: WindowPCADetector(8, contamination=0.02, **COMMON),
    "ridge": lambda: RidgeDetector(6, smoothing=4, contamination=0.02, **COMMON),
    "zscore": lambda: ZScoreDetector(contamination=0.02, **COMMON),
    "forecast": lambda: ForecastDetector(
        6,
        hidden_size=8,
        epochs=20,
        lr=0.02,
        smoothing=3,
        random_state=0,
        num_threads=1,
        contamination=0.02,
        **COMMON,
    ),
}


@pytest.fixture(scope="module", params=list(KINDS))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a detector of each kind."""
    if request.param == "forecast":
        pytest.importorskip("torch")
    folder: Path = tmp_path_factory.mktemp(request.param.replace(" ", "_")) / "detector"
    KINDS[request.param]().fit(table(0)).save(folder)
    return folder


def closed_events(tmp_path: Path, text: str, **options: Any) -> list[dict[str, Any]]:
    """Run on lines of CSV: the lines of closed events, by their columns."""
    out, _ = live(tmp_path, text, output="events", **options)
    header, *lines = out.splitlines()
    found = [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]
    assert all(event["column_1"] == "" for event in found if event["event"] == "opened")
    return [event for event in found if event["event"] == "closed"]


def batch(tmp_path: Path, model: Path, frame: Any, **options: Any) -> dict[Any, list[Any]]:
    """Score a file: columns and shares of its events by host and start."""
    frame.to_csv(tmp_path / "in.csv", index=False)
    result = run_score(ScoreOptions(model, tmp_path / "in.csv", tmp_path / "out", **options))
    worst = result.report["events"]["worst"]
    assert len(worst) == len(result.events) <= 50
    return {
        (event["entity"], event["start"]): [(c["column"], c["share"]) for c in event["columns"]]
        for event in worst
    }


def named(event: dict[str, Any]) -> list[tuple[str, float]]:
    cells = [(event[f"column_{n}"], event[f"share_{n}"]) for n in (1, 2, 3)]
    return [(name, float(share)) for name, share in cells if name]


def check(events: list[dict[str, Any]], expected: dict[Any, list[Any]]) -> None:
    assert {(event["entity"], event["start"]) for event in events} == set(expected)
    for event in events:
        own, theirs = named(event), expected[event["entity"], event["start"]]
        assert [name for name, _ in own] == [name for name, _ in theirs]
        assert [s for _, s in own] == pytest.approx([s for _, s in theirs], rel=1e-6)


def test_columns_and_shares_are_those_of_the_batch(tmp_path: Path, saved: Path) -> None:
    frame = table(1, faults=True)
    expected = batch(tmp_path, saved, frame, event_gap=3)
    assert len(expected) >= 3
    assert len({columns[0][0] for columns in expected.values()}) >= 2
    text = frame.to_csv(index=False)
    check(closed_events(tmp_path, text, model=saved, event_gap=3), expected)


@pytest.mark.parametrize("options", [{}, {"event_gap": 3}])
def test_lines_one_by_one_and_runs_that_go_on_name_the_same(
    tmp_path: Path, saved: Path, options: dict[str, Any]
) -> None:
    frame = table(1, faults=True)
    text = frame.to_csv(index=False)
    apart, whole = both_ways(tmp_path, saved, text, **options)
    assert apart == whole
    events = closed_events(tmp_path, text, model=saved, **options)
    parts = []
    cuts = [0, 2 * 62 + 1, 2 * 63, 2 * 121 + 1, len(frame)]  # within events
    for first, last in itertools.pairwise(cuts):
        piece = frame[first:last].to_csv(index=False)
        run = {**options, "model": saved, "state": tmp_path / "state"}
        parts += closed_events(tmp_path, piece, **run)
    # What is open at the end of the last part a gap in time ends.
    late = frame[:2].assign(t=9999)
    run = {**options, "model": saved, "state": tmp_path / "state", "max_gap": "1000"}
    parts += closed_events(tmp_path, late.to_csv(index=False), **run)
    assert sorted(map(str, parts)) == sorted(map(str, events))


def both_ways(tmp_path: Path, model: Path, text: str, **options: Any) -> list[str]:
    """Run on lines that come one by one, and on all at once: what is written of events."""
    source, sink = os.pipe()
    slow(sink, text)
    out = io.BytesIO()
    settings = {"output": "events", **KEYS, **options}
    try:
        run_live(LiveOptions(model, **settings), stdin=source, stdout=out, stderr=io.StringIO())
    finally:
        os.close(source)
    return [out.getvalue().decode(), live(tmp_path, text, model=model, **settings)[0]]


def save(folder: Path, detector: Detector) -> Path:
    detector.fit(table(0)).save(folder / "detector")
    return folder / "detector"


def test_the_highest_hundred_rows_of_a_long_event_count(tmp_path: Path) -> None:
    saved = save(tmp_path, KMeansDetector(6, random_state=0, threshold=0.0, **COMMON))
    frame = table(1, faults=True)
    expected = batch(tmp_path, saved, frame)
    events = closed_events(tmp_path, frame.to_csv(index=False), model=saved)
    assert [event["flagged"] for event in events] == [str(ROWS - 5)] * 2
    check(events, expected)


def test_a_rule_without_a_value_weighs_rows_alike(tmp_path: Path) -> None:
    rule = PerEntityThreshold(PercentileThreshold(97.0), least=20)
    saved = save(tmp_path, WindowPCADetector(8, threshold=rule, **COMMON))
    frame = table(1, faults=True)
    expected = batch(tmp_path, saved, frame, event_gap=3)
    events = closed_events(tmp_path, frame.to_csv(index=False), model=saved, event_gap=3)
    check(events, expected)


def test_missing_and_too_large_values_change_nothing(tmp_path: Path, saved: Path) -> None:
    """Also before an entity has a window, and where lines are lost."""
    frame = table(1, faults=True)
    frame.loc[[1, 130], "mail"] = 1e300
    frame.loc[[20, 126, 240], "load"] = np.nan
    frame.loc[128, NAMES] = np.nan
    fills = "ffill" if "fills" in saved.parent.name else "skip"
    expected = batch(tmp_path, saved, frame, event_gap=3, missing=fills)
    assert expected["b", "0"] == [("mail", 1.0)]
    text = frame.to_csv(index=False)
    check(closed_events(tmp_path, text, model=saved, event_gap=3, missing=fills), expected)
    if fills == "ffill":  # a line that is lost is never filled
        return
    lines = text.splitlines(keepends=True)
    lines[129] = lines[129].replace(",", ",x", 1)  # what was all missing cannot be read
    check(
        closed_events(tmp_path, "".join(lines), model=saved, event_gap=3),
        batch(tmp_path, saved, frame, event_gap=3),
    )


def test_a_state_that_knows_no_rows_names_columns_by_those_that_come(tmp_path: Path) -> None:
    saved = save(tmp_path, KINDS["kmeans"]())
    frame, state = table(1, faults=True), tmp_path / "state"
    run = {"model": saved, "event_gap": 3}
    whole = closed_events(tmp_path, frame.to_csv(index=False), **run)
    cut = 64  # in events that end before the first window of what follows
    live(tmp_path, frame[: 2 * cut].to_csv(index=False), state=state, **run)
    events = closed_events(tmp_path, frame[2 * cut :].to_csv(index=False), state=state, **run)
    needed = load_detector(saved).rows_needed()
    assert needed == 6
    unknown = 0
    for event in events:
        (full,) = (
            e for e in whole if (e["entity"], e["start"]) == (event["entity"], event["start"])
        )
        assert [event[name] for name in EVENT_COLUMNS] == [full[name] for name in EVENT_COLUMNS]
        if int(event["end"]) < cut + needed - 1:
            unknown += 1
            assert named(event) == []
        elif int(event["start"]) >= cut + needed - 1:
            assert named(event) == named(full)
    assert 0 < unknown < len(events)


def test_json_has_a_list_of_columns(tmp_path: Path) -> None:
    saved = save(tmp_path, KINDS["zscore"]())
    frame = table(1, faults=True)
    (first, *_) = closed_events(tmp_path, frame.to_csv(index=False), model=saved)
    text = "".join(json.dumps(row) + "\n" for row in frame.to_dict("records"))
    out, _ = live(tmp_path, text, model=saved, output="events", format="jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line for line in lines if line["event"] == "opened" and "columns" in line] == []
    closed = next(line for line in lines if line["event"] == "closed")
    assert [(c["column"], c["share"]) for c in closed["columns"]] == named(first)


@pytest.mark.parametrize("kind", ["a forest", "a smoothed model"])
def test_a_detector_that_cannot_tell_has_no_columns(tmp_path: Path, kind: str) -> None:
    if kind == "a forest":
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(n_estimators=5, random_state=0)
        saved = save(tmp_path, SklearnDetector(forest, contamination=0.1, **COMMON))
        frame = table(1, faults=True)
    else:
        save_model(tmp_path / "model.safetensors", smoothing=EWMA(0.25).state())
        saved = tmp_path
        frame = table(1, faults=True)[["load", "heat", "host", "t"]]
    assert Explainer.of(load_saved(saved)) is None
    out, _ = live(tmp_path, frame.to_csv(index=False), model=saved, output="events")
    assert out.splitlines()[0] == "event,entity,start,end,rows,flagged,peak,area"
    assert "closed" in out


def test_a_key_column_with_the_name_of_what_events_say_is_refused(tmp_path: Path) -> None:
    saved = save(tmp_path, KINDS["zscore"]())
    frame = table(1).rename(columns={"host": "share_2"})
    with pytest.raises(ValueError, match="--entity: column 'share_2' has the name of a column of"):
        live(tmp_path, frame.to_csv(index=False), model=saved, output="both", entity="share_2")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", "AAAA"),
        ("rows", "no base 64"),
        ("rows", None),
        ("count", -1),
        ("last", 10**9),
        ("whole", 1),
        ("numbers", None),
        ("highest", [[1.0, 10**6, 1]]),
        ("highest", [[1.0]]),
        ("highest", 5),
    ],
)
def test_damaged_rows_of_a_state_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    saved, state = save(tmp_path, KINDS["kmeans"]()), tmp_path / "state"
    text = table(1, faults=True)[:125].to_csv(index=False)
    live(tmp_path, text, model=saved, output="events", state=state)
    monitor = sc.Monitor.load(load_detector(saved), state)
    monitor.extra["entities"][0]["events"]["rows"][key] = value
    monitor.save(state)
    with pytest.raises(ValueError, match=f"{state}: .*(expected|rows)"):
        live(tmp_path, text, model=saved, output="events", state=state)


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Of an event that does not end, and of the rows after it."""
    saved = save(tmp_path, KMeansDetector(6, random_state=0, threshold=0.0, **COMMON))
    explainer = Explainer.of(load_detector(saved))
    assert explainer is not None
    rows = EventRows(explainer)
    sizes = []
    for n in range(2000):
        rows.add(np.full(3, float(n)).tobytes())
        rows.flagged(float(n))
        sizes.append(len(rows.state()["numbers"]))
    assert max(sizes) == 100 + explainer.rows - 1
    columns = rows.close()
    assert len(columns) == 3
    assert len(rows.state()["numbers"]) == explainer.rows


def test_the_page_lists_the_columns_of_the_closing_line(tmp_path: Path) -> None:
    detector = load_detector(save(tmp_path, KINDS["kmeans"]()))
    model = LiveDetector(detector)
    options = LiveOptions(tmp_path, **KEYS, output="events", page=0).with_model(model)
    entities = Entities(model, options, event_gap=3, explainer=Explainer.of(detector))
    book, told = EventBook(entities, NAMES), []
    observers = Observers([book], told.append)
    for row in table(1, faults=True).to_dict("records"):
        values = [row[name] for name in NAMES]
        for scored in entities.score(RowBlock.of([Row(row["host"], row["t"], values, [])])):
            observers.scored(scored)
            told += [line for _, lines in scored.changes for line in lines]
    closed = [line for line in told if line.change == "closed"]
    shown = [event for event in book.events() if event["state"] == "closed"]
    assert len(shown) == len(closed) > 2
    for line, event in zip(reversed(closed), shown, strict=True):
        assert line.columns
        assert event["columns"] == [
            [NAMES[c], round(share, 4)] for c, share in line.columns if share >= 0.005
        ]


def test_where_nobody_is_told_no_row_is_kept(tmp_path: Path) -> None:
    saved, state = save(tmp_path, KINDS["zscore"]()), tmp_path / "state"
    text = table(1, faults=True).to_csv(index=False)
    live(tmp_path, text, model=saved, state=state)
    monitor = sc.Monitor.load(load_detector(saved), state)
    assert all("rows" not in entity["events"] for entity in monitor.extra["entities"])
