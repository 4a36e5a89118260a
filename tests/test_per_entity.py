"""A threshold for each entity: the same flags in Python, on the command line and in streams."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("sklearn", "matplotlib", "typer", "skops"):
    pytest.importorskip(_module)

from typer.testing import CliRunner  # noqa: E402

from slidecell import Monitor  # noqa: E402
from slidecell.cli.main import app  # noqa: E402
from slidecell.detect import Ensemble, KMeansDetector, ZScoreDetector, load_detector  # noqa: E402
from slidecell.live import LiveOptions, run_live  # noqa: E402
from slidecell.thresholds import (  # noqa: E402
    BestFThreshold,
    ContaminationThreshold,
    CusumThreshold,
    DynamicThreshold,
    FixedThreshold,
    PercentileThreshold,
    PerEntityThreshold,
    RateThreshold,
    RollingQuantileThreshold,
    SpotThreshold,
    find_events,
    threshold_from_state,
)

KEYS = ["--entity", "host", "--time", "minute"]
HOSTS = {"web": (1.0, 800), "db": (8.0, 800), "new": (2.0, 30)}  # spread, rows


def hosts(seed: int = 0) -> Any:
    """Hosts of different spreads; one has too few rows for a threshold of its own."""
    rng = np.random.default_rng(seed)
    frames = [
        pd.DataFrame(
            {
                "host": name,
                "minute": np.arange(rows),
                "load": rng.normal(0.0, spread, rows),
                "mail": rng.normal(0.0, spread, rows),
            }
        )
        for name, (spread, rows) in HOSTS.items()
    ]
    return pd.concat(frames).sample(frac=1.0, random_state=0).sort_values("minute", kind="stable")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    hosts().to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


def invoke(*arguments: object) -> Any:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.stderr
    return done


def of(frame: Any, name: str, scores: Any) -> np.ndarray:
    return np.asarray(scores)[(frame["host"] == name).to_numpy()]


# The rule by itself.


def test_each_entity_has_the_percentile_of_its_own_scores() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.random(200), 10.0 * rng.random(300), rng.random(99)])
    offsets, names = [0, 100, 400, 500, 599], ["a", "b", "a", "c"]  # "a" is cut at a gap
    rule = PerEntityThreshold(PercentileThreshold(90.0)).fit(scores, offsets, entities=names)
    own = {"a": np.concatenate([scores[:100], scores[400:500]]), "b": scores[100:400]}
    for name, of_entity in own.items():
        assert rule.for_entity(name).threshold == np.percentile(of_entity, 90.0)
    pooled = np.percentile(scores, 90.0)
    assert rule.threshold == rule.for_entity("c").threshold == pooled
    assert rule.for_entity("never seen").threshold == pooled
    limits = np.repeat([rule.for_entity(name).threshold for name in names], np.diff(offsets))
    np.testing.assert_array_equal(rule.apply(scores, offsets, entities=names), scores > limits)
    assert rule.notes(["a", "d"]) == [
        "1 of 3 entities has fewer than 100 rows for a threshold of its own, and takes that of "
        "all: c (99 rows)",
        "training did not see 1 entity, which takes the threshold of all entities: d",
    ]


@pytest.mark.parametrize(
    "inner",
    [
        RateThreshold("5%"),
        RateThreshold(gap=3),
        PercentileThreshold(90.0),
        ContaminationThreshold(0.1),
        CusumThreshold(),
        SpotThreshold(q=1e-2),
    ],
    ids=lambda rule: rule.kind,
)
def test_own_rules_are_those_of_the_entity_alone_and_come_back_from_json(inner: Any) -> None:
    if inner.kind == "spot":
        pytest.importorskip("libspot")
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.exponential(size=400), rng.exponential(5.0, size=400)])
    rule = PerEntityThreshold(inner).fit(scores, [0, 400, 800], entities=["a", "b"])
    again = threshold_from_state(json.loads(json.dumps(rule.state())))
    new = np.concatenate([rng.exponential(2.0, size=300), rng.exponential(9.0, size=300)])
    flags = rule.apply(new, [0, 300, 600], entities=["a", "b"])
    alone = [
        type(inner)(**inner._settings()).fit(scores[part]).apply(new[of_new])
        for part, of_new in ((slice(400), slice(300)), (slice(400, 800), slice(300, 600)))
    ]
    np.testing.assert_array_equal(flags, np.concatenate(alone))
    assert 0 < flags.sum() < 600
    np.testing.assert_array_equal(flags, again.apply(new, [0, 300, 600], entities=["a", "b"]))
    for name, part in (("a", new[:300]), ("b", new[300:])):
        live = again.for_entity(name)
        one_by_one = [live.update(score) for score in part]
        np.testing.assert_array_equal(one_by_one, flags[:300] if name == "a" else flags[300:])


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        (FixedThreshold(1.0), "a FixedThreshold is none: its value is given"),
        (BestFThreshold(), "a BestFThreshold is none: it is chosen on labels"),
        (DynamicThreshold(), "a DynamicThreshold is none: it follows the scores of each entity"),
        (RollingQuantileThreshold(), "a RollingQuantileThreshold is none: it follows"),
        (CusumThreshold(first=10), "a CusumThreshold is none: it follows"),
        (PerEntityThreshold(RateThreshold()), "is none: it is per entity already"),
    ],
    ids=lambda given: getattr(given, "kind", ""),
)
def test_rules_that_would_be_the_same_for_each_entity_are_refused(inner: Any, why: str) -> None:
    with pytest.raises(ValueError, match=f"^rule: expected one that is fitted on scores.*{why}"):
        PerEntityThreshold(inner)


def test_events_in_time_of_all_entities_are_shared_out_and_their_number_is_kept() -> None:
    rng = np.random.default_rng(2)
    hours = np.datetime64("2024-01-01T00") + np.arange(2400)  # 100 days
    times = np.tile(hours, 4)
    spread = np.repeat([1.0, 2.0, 4.0, 8.0], 2400)
    scores = spread * rng.exponential(size=9600)
    offsets = np.arange(0, 9601, 2400)
    rule = PerEntityThreshold(RateThreshold("2/day")).fit(scores, offsets, times=times)
    assert sorted(rule.own) == ["0", "1", "2", "3"]
    flags = rule.apply(scores, offsets)
    counts = [len(find_events(flags[part], scores[part])) for part in np.split(np.r_[:9600], 4)]
    assert counts == [50, 50, 50, 50]  # 2 a day in 100 days, a quarter of them in each
    seen = rule.seen(scores, offsets, times=times)
    assert seen is not None
    assert (seen.asked, seen.expected, seen.seen) == ("2/day", pytest.approx(200.0), 200)
    # Without thresholds of their own the widest has nearly all of them.
    pooled = rule.pooled.apply(scores, offsets)
    assert pooled[-2400:].sum() > 5 * pooled[:-2400].sum()


def test_entities_whose_rows_do_not_support_the_rate_take_that_of_all_and_say_why() -> None:
    scores = np.random.default_rng(3).random(4000)
    rule = PerEntityThreshold(RateThreshold("5/1000rows")).fit(scores, [0, 3000, 4000])
    assert list(rule.own) == ["0"]
    assert rule.for_entity("1").threshold == rule.pooled.threshold
    (note,) = rule.notes()
    assert note.startswith("1 of 2 entities takes the threshold of all entities: 1 (rate: the rows")
    assert "a rate of at least '10/1000rows'" in note


def test_a_damaged_state_is_refused() -> None:
    rule = PerEntityThreshold(PercentileThreshold(), least=1).fit([1.0, 2.0], [0, 1, 2])
    for change, text in (
        ({"fitted": 3}, "'fitted': expected an object"),
        ({"fitted": {**rule.state()["fitted"], "few": {"a": -1}}}, "'a': expected a whole number"),
        ({"rule": {"kind": "fixed", "value": 1.0}}, "expected a kind of .*, got 'fixed'"),
        (
            {"fitted": {**rule.state()["fitted"], "pooled": {"kind": "cusum"}}},
            "'pooled': expected a fitted rule 'percentile'",
        ),
    ):
        with pytest.raises(ValueError, match=text):
            threshold_from_state({**rule.state(), **change})


# In detectors.


def test_a_rate_is_calibrated_on_the_last_fifth_of_each_entity_of_an_ensemble_too() -> None:
    frame = hosts()
    rule = PerEntityThreshold(RateThreshold("2%"), least=50)
    members = [("level", ZScoreDetector()), ("shape", KMeansDetector(5, random_state=0))]
    ensemble = Ensemble(members, "z", threshold=rule, entity="host", time="minute").fit(frame)
    fitted = ensemble.rule_
    assert isinstance(fitted, PerEntityThreshold)
    assert sorted(fitted.own) == ["db", "web"]
    for name in ("web", "db"):
        held = of(frame, name, ensemble.calibration_rows_)
        np.testing.assert_array_equal(held, np.arange(800) >= 640)
        scores = of(frame, name, ensemble.decision_scores_)
        assert fitted.for_entity(name).threshold == np.sort(scores[held])[157]  # rank 161 * 0.98
    assert ensemble.score_notes() == [
        "1 of 3 entities has fewer than 50 rows for a threshold of its own, and takes that of all: "
        "new (6 rows)"
    ]


# On the command line.


@pytest.fixture
def saved(file: Path, tmp_path: Path) -> Path:
    options = ("--detector", "kmeans", "--window", 5, "--rate", "3%", "--per-entity")
    done = invoke("detect", file, *KEYS, *options, "--threads", 1, "--out", tmp_path / "out")
    text = " ".join(done.stdout.split())
    assert (
        "Each entity has a threshold of its own, fitted by the rule 'rate' for a rate of 3%."
        in text
    )
    assert "2 of 3 entities have a threshold of their own. Most flagged rows of the test" in text
    assert "fewer than 100 rows for a threshold of its own, and takes that of all: new (4" in text
    return tmp_path / "out"


def test_detect_reports_the_thresholds_of_entities(saved: Path) -> None:
    report = json.loads((saved / "report.json").read_text())
    facts = report["entity_thresholds"]
    assert (facts["entities"], facts["own"], facts["pooled"]) == (3, 2, 1)
    flags = [line["flagged"] for line in facts["worst"]]
    assert flags == sorted(flags, reverse=True)
    lines = {line["entity"]: line for line in facts["worst"]}
    assert lines["new"]["from"] == "all entities: 4 rows"
    assert lines["db"]["from"] == lines["web"]["from"] == "its own"
    rule = load_detector(saved / "detector").rule_
    assert isinstance(rule, PerEntityThreshold)
    frame = pd.read_csv(saved / "scores.csv")
    test = frame["part"] == "test"
    for name, line in lines.items():
        limit = rule.for_entity(name).threshold
        assert line["threshold"] == limit
        here = frame["host"] == name
        np.testing.assert_array_equal(frame["flagged"][here] == 1, frame["score"][here] > limit)
        assert line["flagged"] == frame["flagged"][here & test].sum()
        assert line["scored"] == frame["score"][here & test].notna().sum()
    # A host of wide values has a threshold above the one of narrow values.
    assert lines["db"]["threshold"] > 2.0 * lines["web"]["threshold"]
    rate = report["rate"]
    assert rate["asked"] == "3%"
    assert rate["seen"] == frame["flagged"][test].sum()
    assert rate["expected"] == pytest.approx(0.03 * frame["score"][test].notna().sum())


def lines_of(model: Path, file: Path, **options: Any) -> Any:
    out = io.BytesIO()
    with file.open("rb") as rows:
        live = LiveOptions(model, **options)
        run_live(live, stdin=rows.fileno(), stdout=out, stderr=io.StringIO())
    return pd.read_csv(io.BytesIO(out.getvalue()))


def test_score_python_and_stream_flag_the_same_rows(
    saved: Path, file: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(file)
    detector = load_detector(saved / "detector")
    flags, scores = detector.predict(frame), detector.score_samples(frame)
    assert 0 < flags.sum() < 200
    invoke("score", saved, file, "--out", tmp_path / "again")
    again = pd.read_csv(tmp_path / "again" / "scores.csv")
    np.testing.assert_array_equal(again["flagged"], flags)
    lines = lines_of(saved, file)
    np.testing.assert_array_equal(lines["score"], scores)
    np.testing.assert_array_equal(lines["alarm"], flags)
    batch = pd.read_csv(tmp_path / "again" / "events.csv").sort_values(["entity", "start"])
    events = lines_of(saved, file, output="events")
    closed = events[events["event"] == "closed"].sort_values(["entity", "start"])
    columns = ["entity", "start", "end", "rows", "flagged", "peak", "area"]
    assert len(batch) > 5
    assert (batch["area"] > 0.0).all()
    assert closed[columns].to_numpy().tolist() == batch[columns].to_numpy().tolist()


def test_a_stream_that_is_saved_keeps_whose_threshold_is_whose(
    saved: Path, file: Path, tmp_path: Path
) -> None:
    whole = lines_of(saved, file)
    frame = pd.read_csv(file)
    parts = []
    for number, part in enumerate((frame[:900], frame[900:])):
        part.to_csv(tmp_path / f"{number}.csv", index=False)
        parts.append(lines_of(saved, tmp_path / f"{number}.csv", state=tmp_path / "state"))
    np.testing.assert_array_equal(pd.concat(parts)["alarm"], whole["alarm"])


def test_a_monitor_takes_the_keys_of_its_entities(saved: Path, tmp_path: Path) -> None:
    detector = load_detector(saved / "detector")
    rule = detector.rule_
    assert isinstance(rule, PerEntityThreshold)
    monitor = Monitor.from_model(detector, 2)
    monitor.name_entity(1, "db")
    row = [0.0, 0.0]
    assert monitor.push(row, 1).threshold == rule.for_entity("db").threshold
    assert monitor.push(row, 0).threshold == rule.pooled.threshold
    monitor.save(tmp_path / "state")
    again = Monitor.load(detector, tmp_path / "state")
    again.reset(1)
    assert again.push(row, 1).threshold == rule.for_entity("db").threshold
    with pytest.raises(ValueError, match="entity: 1 has had rows: reset it before it gets another"):
        again.name_entity(1, "web")


def test_score_notes_an_entity_that_training_did_not_see(saved: Path, tmp_path: Path) -> None:
    frame = hosts().replace({"host": {"web": "unknown"}})
    frame.to_csv(tmp_path / "other.csv", index=False)
    done = invoke("score", saved, tmp_path / "other.csv", "--out", tmp_path / "again")
    note = "training did not see 1 entity, which takes the threshold of all entities: unknown"
    assert note in " ".join(done.stdout.split())
    report = json.loads((tmp_path / "again" / "report.json").read_text())
    assert note in report["notes"]
    lines = {line["entity"]: line for line in report["entity_thresholds"]["worst"]}
    assert lines["unknown"]["from"] == "all entities: not in training"


def test_retrain_fits_the_thresholds_of_entities_again(
    saved: Path, file: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(file).replace({"host": {"web": "other"}})
    frame.to_csv(tmp_path / "other.csv", index=False)
    invoke("retrain", saved, tmp_path / "other.csv", "--out", tmp_path / "new")
    rule = load_detector(tmp_path / "new" / "detector").rule_
    assert isinstance(rule, PerEntityThreshold)
    assert sorted(rule.own) == ["db", "other"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "--per-entity: needs --entity, the column that tells whose a row is"),
        ([*KEYS, "--value", "2"], "--per-entity: no option of --threshold fixed: its value is giv"),
        ([*KEYS, "--threshold", "dynamic"], "--per-entity: no option of --threshold dynamic: it f"),
    ],
)
def test_per_entity_is_refused_where_it_says_nothing(
    file: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    words = ["detect", file, *arguments, "--per-entity", "--out", tmp_path / "out"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 1
    assert f"error: {text}" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_percentile_per_entity_takes_all_fitted_rows(file: Path, tmp_path: Path) -> None:
    options = ("--detector", "zscore", "--percentile", 99, "--per-entity")
    invoke("detect", file, *KEYS, *options, "--out", tmp_path / "out")
    detector = load_detector(tmp_path / "out" / "detector")
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    fitted = scores[scores["part"] != "test"]
    for name in ("web", "db"):
        own = fitted["score"][fitted["host"] == name]
        assert detector.rule_.for_entity(name).threshold == np.percentile(own, 99.0)


def test_a_network_stops_and_calibrates_by_the_last_rows_of_each_entity(
    file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    options = ("--detector", "forecast", "--window", 5, "--hidden-size", 4, "--epochs", 1)
    rate = ("--rate", "5%", "--per-entity", "--threads", 1)
    invoke("detect", file, *KEYS, *options, *rate, "--out", tmp_path / "out")
    detector = load_detector(tmp_path / "out" / "detector")
    assert sorted(detector.rule_.own) == ["db", "web"]
    flags = detector.predict(pd.read_csv(file))
    for model in (tmp_path / "out", tmp_path / "out" / "model.safetensors"):
        np.testing.assert_array_equal(lines_of(model, file)["alarm"], flags)
    invoke("score", tmp_path / "out" / "model.safetensors", file, "--out", tmp_path / "again")
    again = pd.read_csv(tmp_path / "again" / "scores.csv")
    np.testing.assert_array_equal(again["flagged"], flags)
