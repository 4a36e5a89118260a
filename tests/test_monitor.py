"""Monitor: the stream's scores, smoothed and judged as in a batch, per entity; states go on."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.thresholds import (
    CusumThreshold,
    FixedThreshold,
    PercentileThreshold,
    RollingQuantileThreshold,
)
from slidecell.thresholds.smoothing import EWMA, MovingAverage, TrailingMean
from tests.models import MODELS, layer, random_model


def make(name: str = "lstm", **options: Any) -> sc.SequenceModel:
    return sc.SequenceModel(*random_model(np.random.default_rng(1), **(MODELS[name] | options)))


def rows_for(model: sc.SequenceModel, S: int = 60) -> np.ndarray:
    series = np.random.default_rng(2).random((S, model.input_size))
    series[S // 3, 0] = np.nan
    return series


def told(events: list[sc.Event]) -> np.ndarray:
    """[n, 4]: score, smoothed, threshold, alarm."""
    return np.array([[e.score, e.smoothed, e.threshold, e.alarm] for e in events], np.float64)


def monitor_for(model: sc.SequenceModel, num_entities: int = 1, **options: Any) -> sc.Monitor:
    return sc.Monitor(
        model.stream(num_entities),
        threshold=RollingQuantileThreshold(0.8, 12, min_scores=4),
        smoothing=MovingAverage(3),
        **options,
    )


def test_monitor_scores_and_alarms_equal_the_batch() -> None:
    model = make()
    series = rows_for(model)
    events = [monitor.push(row) for monitor in [monitor_for(model)] for row in series]
    scores = model.score(series, kernel="fma")
    smoothed = MovingAverage(3).apply(scores)
    alarms = RollingQuantileThreshold(0.8, 12, min_scores=4).apply(smoothed)
    found = told(events)
    np.testing.assert_array_equal(found[:, 0], scores)
    np.testing.assert_array_equal(found[:, 1], smoothed)
    np.testing.assert_array_equal(found[:, 3], alarms)
    assert 0 < alarms.sum() < 30
    np.testing.assert_array_equal(found[:, 1] > found[:, 2], alarms)


@pytest.mark.parametrize("attribution", [True, False])
@pytest.mark.parametrize("name", ["lstm", "lstm_horizon3", "ae_lstm"])
def test_monitor_keeps_entities_apart(name: str, attribution: bool) -> None:
    model = make(name)
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 4, 150)
    rows = rng.random((150, model.input_size))
    one = monitor_for(model, 4, attribution=attribution)
    many = monitor_for(model, 4, attribution=attribution)
    single = [one.push(row, int(e)) for e, row in zip(ids, rows, strict=True)]
    batches = [many.push_many(ids[i : i + 11], rows[i : i + 11]) for i in range(0, 150, 11)]
    together = [event for batch in batches for event in batch]
    np.testing.assert_array_equal(told(together), told(single))
    for a, b in zip(single, together, strict=True):
        if a.attribution is None:
            assert b.attribution is None
        else:
            np.testing.assert_array_equal(a.attribution, b.attribution)
    for e in range(4):
        alone = monitor_for(model)
        want = told([alone.push(row) for row in rows[ids == e]])
        np.testing.assert_array_equal(told(single)[ids == e], want)


@pytest.mark.parametrize("targets", [None, [2, 0]])
@pytest.mark.parametrize("horizon", [1, 3])
def test_attribution_is_the_share_of_the_squared_error(
    horizon: int, targets: list[int] | None
) -> None:
    scaler = {"kind": "minmax", "center": [0.5] * 3, "scale": [2.0, 0.1, 7.0], "constant": []}
    model = make("lstm_horizon3", horizon=horizon, targets=targets, scaler=scaler)
    series = rows_for(model)
    monitor = sc.Monitor(model.stream())
    events = [monitor.push(row) for row in series]
    each = model.score(series, per_feature=True)  # [S, targets]
    for event, errors in zip(events, each, strict=True):
        if np.isnan(event.score):
            assert event.attribution is None
            continue
        want = np.zeros(3)
        want[targets or [0, 1, 2]] = errors / errors.sum()
        # Forecasts are float32 in raw units: 2^-24 of a value over an error of a fifth of it.
        np.testing.assert_allclose(event.attribution, want, atol=1e-5)
        assert event.attribution.sum() == pytest.approx(1.0, abs=1e-12)


def test_attribution_belongs_to_its_row() -> None:
    model = make()
    monitor = sc.Monitor(model.stream())
    row = np.zeros(model.input_size)
    events = []
    for values in rows_for(model, 12):
        row[:] = values  # one buffer for all rows, as a reader has it
        events.append(monitor.push(row))
    again = sc.Monitor(model.stream())
    for event, values in zip(events, rows_for(model, 12), strict=True):
        want = again.push(values).attribution
        if want is None:
            assert event.attribution is None
        else:
            np.testing.assert_array_equal(event.attribution, want)


def test_attribution_is_none_for_autoencoders_and_on_request() -> None:
    for monitor in (
        sc.Monitor(make("ae_lstm").stream()),
        sc.Monitor(make().stream(), attribution=False),
    ):
        rows = np.random.default_rng(0).random((20, monitor.stream._model.input_size))
        events = [monitor.push(row) for row in rows]
        assert np.isfinite(events[-1].score)
        assert events[-1].attribution is None


def test_monitor_without_rules_and_with_a_number() -> None:
    model = make()
    series = rows_for(model)
    plain = sc.Monitor(model.stream())
    for row in series:
        event = plain.push(row)
        assert event.smoothed == event.score or np.isnan(event.score)
        assert np.isnan(event.threshold)
        assert event.alarm is False
    limit = float(np.nanmedian(model.score(series, kernel="fma")))
    fixed = sc.Monitor(model.stream(), threshold=limit)
    alarms = [fixed.push(row).alarm for row in series]
    np.testing.assert_array_equal(
        alarms, model.score(series, kernel="fma").astype(np.float64) > limit
    )
    assert "alarm=" in repr(event)


def test_monitor_from_model() -> None:
    model = make()
    series = rows_for(model)
    rule = PercentileThreshold(90.0).fit(model.score(series, kernel="fma"))
    carrying = model.with_metadata(threshold=rule.state(), smoothing={"kind": "ewma", "alpha": 0.5})
    monitor = sc.Monitor.from_model(carrying, 3, reduction="mse")
    assert monitor.stream.num_entities == 3
    events = [monitor.push(row, 1) for row in series]
    smoothed = EWMA(0.5).apply(model.score(series, kernel="fma"))
    np.testing.assert_array_equal(told(events)[:, 1], smoothed)
    np.testing.assert_array_equal(told(events)[:, 3], rule.apply(smoothed))
    assert sc.Monitor.from_model(model).push(series[0]).alarm is False
    with pytest.raises(ValueError, match="threshold: expected a kind of"):
        sc.Monitor.from_model(model.with_metadata(threshold={"kind": "magic"}))


@pytest.mark.parametrize("name", ["lstm", "lstm_horizon3", "ae_lstm"])
def test_monitor_continues_after_save_and_load(name: str, tmp_path: Path) -> None:
    model = make(name)
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 3, 120).tolist()
    rows = rng.random((120, model.input_size))
    rows[50, 0] = np.nan
    whole = monitor_for(model, 3)
    want = [whole.push(row, e) for e, row in zip(ids, rows, strict=True)]
    path = tmp_path / "state"
    for stop in (0, 1, 49, 51, 100):
        monitor = monitor_for(model, 3)
        got = [monitor.push(row, e) for e, row in zip(ids[:stop], rows[:stop], strict=True)]
        monitor.extra["note"] = ["a", stop]
        monitor.save(path)
        again = sc.Monitor.load(model, path)
        assert again.extra == {"note": ["a", stop]}
        got += [again.push(row, e) for e, row in zip(ids[stop:], rows[stop:], strict=True)]
        np.testing.assert_array_equal(told(got), told(want))
        for a, b in zip(got, want, strict=True):
            assert (a.attribution is None) == (b.attribution is None)
            if a.attribution is not None:
                np.testing.assert_array_equal(a.attribution, b.attribution)
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_monitor_takes_the_scores_that_the_threshold_is_for() -> None:
    scaler = {"kind": "minmax", "center": [0.0] * 3, "scale": [1.0] * 3, "constant": []}
    model = make(scaler=scaler, error=True)
    series = np.random.default_rng(1).random((50, 3))
    scores = model.score(series, reduction="calibrated", kernel="fma")
    rule = FixedThreshold(float(np.nanmedian(scores)))
    carrying = model.with_metadata(
        reduction="calibrated", threshold=rule.state(), smoothing={"kind": "trailing_mean", "n": 4}
    )
    smoothed = TrailingMean(4).apply(scores)
    monitor = sc.Monitor.from_model(carrying)
    events = [monitor.push(row) for row in series]
    np.testing.assert_array_equal([event.score for event in events], scores)
    np.testing.assert_array_equal([event.smoothed for event in events], smoothed)
    assert [event.alarm for event in events] == (smoothed > rule.threshold).tolist()
    with pytest.raises(
        ValueError, match="reduction: expected 'calibrated', whose scores the model"
    ):
        sc.Monitor.from_model(carrying, reduction="mse")


def test_monitor_reset() -> None:
    model = make()
    series = rows_for(model)
    monitor = monitor_for(model, 2)
    want = told([monitor.push(row, 1) for row in series])
    monitor.reset(1)
    np.testing.assert_array_equal(told([monitor.push(row, 1) for row in series]), want)
    monitor.reset()
    np.testing.assert_array_equal(told([monitor.push(row, 1) for row in series]), want)


def test_monitor_bad_rows_change_nothing() -> None:
    model = make("lstm_horizon3")
    series = rows_for(model)
    monitor, clean = monitor_for(model, 2), monitor_for(model, 2)
    good, bad = series[0], series[0][:-1]
    for row in series:
        for call in (
            lambda row=row: monitor.push(bad, 1),
            lambda row=row: monitor.push(row, 2),
            lambda row=row: monitor.push_many([1, 2], [row, row]),
            lambda row=row: monitor.push_many([1, 1], [bad, bad]),
            lambda row=row: monitor.push_many([1], [row, row]),
        ):
            with pytest.raises(ValueError, match=r"row|entity"):
                call()
        with pytest.raises(TypeError, match="entity_ids: expected"):
            monitor.push_many([1.0], good[None])
        a, b = monitor.push(row, 1), clean.push(row, 1)
        np.testing.assert_array_equal(told([a]), told([b]))


def test_monitor_thresholds_must_be_fitted() -> None:
    with pytest.raises(ValueError, match="PercentileThreshold: call fit before it is used"):
        sc.Monitor(make().stream(), threshold=PercentileThreshold(90))
    sc.Monitor(make().stream(), threshold=CusumThreshold(first=10))


def test_monitor_state_is_checked(tmp_path: Path) -> None:
    model = make()
    monitor = monitor_for(model, 2)
    for row in rows_for(model, 30):
        monitor.push(row, 1)
    path = tmp_path / "state"
    monitor.save(path)
    data = path.read_bytes()
    with pytest.raises(ValueError, match=f"{path}: .*the state of another model"):
        sc.Monitor.load(make("gru"), path)
    for length in range(0, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=str(path)):
            sc.Monitor.load(model, path)
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 150):
        changed = bytearray(data)
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        # A bit of the archive's dates or attributes says nothing: those load.
        with contextlib.suppress(ValueError):
            sc.Monitor.load(model, path)
    with pytest.raises(OSError, match="No such file"):
        sc.Monitor.load(model, tmp_path / "absent")
    with pytest.raises(OSError, match="No such file"):
        monitor.save(tmp_path / "no" / "folder")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 2}, "format: expected 1, got 2"),
        ({"threshold": {"kind": "fixed"}}, "threshold: fixed"),
        ({"entities": []}, "entities: expected an object"),
        ({"entities": {"2": {}}}, "entities: expected 0 to 1, got '2'"),
        ({"entities": {"1": {"threshold": [None], "smoothing": []}}}, "expected a finite number"),
        ({"entities": {"1": {"threshold": [1.0]}}}, "'running': expected a list"),
        ({"extra": 1}, "extra: expected an object"),
        ({"attribution": 1}, "'attribution': expected true or false"),
    ],
)
def test_monitor_state_text_is_checked(change: dict[str, Any], text: str, tmp_path: Path) -> None:
    model = make()
    monitor_for(model, 2).save(tmp_path / "good")
    with zipfile.ZipFile(tmp_path / "good") as archive:
        state, stream = json.loads(archive.read("monitor.json")), archive.read("stream")
    with zipfile.ZipFile(tmp_path / "bad", "w") as archive:
        archive.writestr("monitor.json", json.dumps({**state, **change}))
        archive.writestr("stream", stream)
    with pytest.raises(ValueError, match=text):
        sc.Monitor.load(model, tmp_path / "bad")


def test_monitor_file_with_packed_or_absent_parts(tmp_path: Path) -> None:
    model = sc.SequenceModel(*random_model(np.random.default_rng(0), [layer("lstm", 4)]))
    with zipfile.ZipFile(tmp_path / "packed", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("monitor.json", "{}")
        archive.writestr("stream", b"0" * 10_000_000)
    with pytest.raises(ValueError, match="expected stored, not compressed"):
        sc.Monitor.load(model, tmp_path / "packed")
    with zipfile.ZipFile(tmp_path / "other", "w") as archive:
        archive.writestr("readme", "")
    with pytest.raises(ValueError, match=r"damaged: it has no monitor\.json"):
        sc.Monitor.load(model, tmp_path / "other")


def test_bytes_per_entity_are_those_of_what_is_kept() -> None:
    model = make()
    stream = model.stream(400)
    rule = RollingQuantileThreshold(0.8, 50)
    monitor = sc.Monitor(stream, threshold=rule, smoothing=MovingAverage(5), attribution=False)
    assert monitor.bytes_per_entity == stream.bytes_per_entity
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for row in np.random.default_rng(0).random((70, model.input_size)):
        monitor.push_many(np.arange(400), np.tile(row, (400, 1)))
    taken = (tracemalloc.get_traced_memory()[0] - before) / 400
    tracemalloc.stop()
    kept = monitor.bytes_per_entity - stream.bytes_per_entity
    assert kept == pytest.approx(taken, rel=0.2)


def test_bytes_per_entity_of_a_network_count_its_forecasts() -> None:
    model = make(horizon=2)
    monitors = [sc.Monitor(model.stream(), attribution=told) for told in (True, False)]
    for row in rows_for(model):
        for monitor in monitors:
            monitor.push(row)
    kept = monitors[0].bytes_per_entity - monitors[1].bytes_per_entity
    least = 2 * 2 * model.num_targets * 4 + 2 * model.input_size * 8  # forecasts, rows
    assert least < kept < least + 3000
