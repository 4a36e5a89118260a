"""Streams that carry their states: the bits of score(windows="carried") and their audit."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests.carried_reference import block_rows
from tests.models import FORECASTERS, MODELS, layer, random_model
from tests.test_carried import CARRIED, unforgetting


def make(name: str, **options: Any) -> sc.SequenceModel:
    rng = np.random.default_rng(1)
    return sc.SequenceModel(*random_model(rng, **(MODELS[name] | {"error": True} | options)))


def rows_for(model: sc.SequenceModel, S: int) -> np.ndarray:
    """Return rows of which some are missing, one of them the first of a block, one its last."""
    series = np.random.default_rng(2).random((S, model.input_size), dtype=np.float32)
    B = block_rows(model.window)
    for row in (S // 3, S // 2, 3 * B - 1, 5 * B, 6 * B - model.window - 1):
        if row < S:
            series[row, 0] = np.nan
    return series


def batch(model: sc.SequenceModel, series: Any, **options: Any) -> np.ndarray:
    return model.score(series, windows="carried", kernel="fma", **options)


def same(got: Any, want: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(got, np.float32), want)


@pytest.mark.parametrize("name", CARRIED)
@pytest.mark.parametrize("num_entities", [1, 20])
def test_carried_stream_push_equals_score(isa: str, name: str, num_entities: int) -> None:
    model = make(name)
    B = block_rows(model.window)
    series = rows_for(model, 7 * B + 9)
    stream = model.stream(num_entities, mode="carried")
    entity = num_entities - 1
    same([stream.push(row, entity) for row in series], batch(model, series))


@pytest.mark.parametrize("reduction", ["mae", "mahalanobis", "nll", "calibrated"])
def test_carried_stream_reductions(isa: str, reduction: str) -> None:
    scaler = {"kind": "standard", "center": [3.0] * 3, "scale": [2.0] * 3, "constant": []}
    model = make("lstm_horizon3", scaler=scaler, gaussian=reduction == "nll")
    series = rows_for(model, 60).astype(float)
    series[31] = 1e300
    stream = model.stream(mode="carried", reduction=reduction)
    same([stream.push(row) for row in series], batch(model, series, reduction=reduction))


@pytest.mark.parametrize("name", ["lstm", "gru_before", "lstm_projected", "mixed", "rnn"])
@pytest.mark.parametrize("num_entities", [3, 37, 150])
def test_carried_stream_push_many(isa: str, name: str, num_entities: int) -> None:
    """Random subsets, repeated entities and lock-step rounds: each entity as if it were alone."""
    model = make(name)
    rng = np.random.default_rng(3)
    stream = model.stream(num_entities, mode="carried")
    given: list[list[np.ndarray]] = [[] for _ in range(num_entities)]
    scored: list[list[float]] = [[] for _ in range(num_entities)]
    for turn in range(60):
        ids = np.arange(num_entities)
        if turn % 3 == 1:
            ids = rng.integers(0, num_entities, num_entities + 5)
        elif turn % 3 == 2:
            ids = rng.permutation(num_entities)[: max(1, num_entities // 3)]
        rows = rng.random((len(ids), model.input_size), dtype=np.float32)
        rows[rng.random(len(ids)) < 0.01] = np.nan
        scores = stream.push_many(ids, rows, num_threads=1 + turn % 2)
        assert scores.dtype == np.float32
        for e, row, score in zip(ids, rows, scores, strict=True):
            given[e].append(row)
            scored[e].append(score)
    for e in range(num_entities):
        if given[e]:
            same(scored[e], batch(model, np.stack(given[e])))


@pytest.mark.parametrize("name", [name for name in CARRIED if name != "lstm_window1"])
def test_carried_stream_predict_next_is_what_the_next_scores_compare(name: str) -> None:
    model = make(name)
    K, B = model.horizon, block_rows(model.window)
    series = np.random.default_rng(4).random((2 * B + 3, model.input_size), dtype=np.float32)
    stream = model.stream(mode="carried")
    ahead = []
    for row in series:
        stream.push(row)
        ahead.append(stream.predict_next())
    assert np.isnan(ahead[model.window - 2]).all()
    targets = model.metadata["targets"] or list(range(model.input_size))
    want = batch(model, series)
    for t in range(model.window, len(series) - K + 1):
        error = ahead[t - 1] - series[t : t + K][:, targets]
        np.testing.assert_allclose(np.mean(error**2), want[t + K - 1], rtol=1e-5)


def seams_of(model: sc.SequenceModel, series: np.ndarray) -> list[tuple[float, float]]:
    """Return the carried and the exact score of every seam.

    The carried one is an exact score of a model with the same weights, whose window is all that the
    block's chain has taken.
    """
    W, K, B = model.window, model.horizon, block_rows(model.window)
    exact = model.score(series, kernel="fma")
    found = []
    for end in range(B, len(series) - K + 1, B):
        start = max(0, end - B - W)
        metadata = model.metadata | {"window": end - start}
        longer = sc.SequenceModel(metadata, model.tensors)
        score = longer.score(series[start : end + K], kernel="fma")[-1]
        found.append((score, exact[end + K - 1]))
    return found


@pytest.mark.parametrize("num_entities", [1, 40])
@pytest.mark.parametrize("horizon", [1, 3, 22, 23, 30])
def test_carried_stream_audit(isa: str, num_entities: int, horizon: int) -> None:
    """A block's chain stands still for 22 rows: forecasts of more rows ahead are kept beside it."""
    rng = np.random.default_rng(5)
    metadata, tensors = unforgetting(rng, horizon=horizon)  # windows of 7, blocks of 29 rows
    model = sc.SequenceModel(metadata, tensors)
    stream = model.stream(num_entities, mode="carried")
    series = rng.normal(size=(150, 3)).astype(np.float32)
    assert stream.audit() == pytest.approx(
        {"seams": 0, "carried": np.nan, "exact": np.nan}, nan_ok=True
    )
    want = seams_of(model, series)
    for n, row in enumerate(series):
        stream.push(row, num_entities - 1)
        due = want[: max(0, n + 1 - horizon) // 29]
        found = stream.audit(num_entities - 1)
        assert found["seams"] == len(due)
        if due:
            carried, exact = max(due, key=lambda pair: abs(pair[0] - pair[1]))
            assert found["carried"] == pytest.approx(carried, rel=1e-6)
            assert found["exact"] == exact
    assert stream.audit() == stream.audit(num_entities - 1)
    if num_entities > 1:
        assert stream.audit(0)["seams"] == 0
        stream.push_many(np.zeros(150, int), series[::-1])
        other = stream.audit(0)
        both = stream.audit()
        assert other["seams"] == len(want)
        assert both["seams"] == 2 * len(want)
        far = max(other, found, key=lambda one: abs(one["carried"] - one["exact"]))
        assert (both["carried"], both["exact"]) == (far["carried"], far["exact"])
    stream.reset(num_entities - 1)
    assert stream.audit(num_entities - 1)["seams"] == 0
    with pytest.raises(ValueError, match=f"entity: expected 0 to {num_entities - 1}, got 99"):
        stream.audit(99)


def test_carried_stream_audit_leaves_out_missing_rows() -> None:
    rng = np.random.default_rng(6)
    model = sc.SequenceModel(*unforgetting(rng))
    series = rng.normal(size=(100, 3)).astype(np.float32)
    series[29] = np.nan  # the seam's target
    series[57] = np.nan  # in the window of the second seam
    stream = model.stream(mode="carried")
    stream.push_many(np.zeros(100, int), series)
    assert stream.audit()["seams"] == 1
    assert model.stream().audit()["seams"] == 0


@pytest.mark.parametrize("num_entities", [2, 40])
def test_carried_stream_reset_and_resize(num_entities: int) -> None:
    model = make("gru_stack3")
    B = block_rows(model.window)
    series = rows_for(model, 3 * B)
    want = batch(model, series)
    stream = model.stream(num_entities, mode="carried")
    for row in series[: 2 * B - 2]:
        stream.push(row, 1)
    stream.reset(1)
    same([stream.push(row, 1) for row in series[:B]], want[:B])
    stream.resize(42 - num_entities)
    same([stream.push(row, 1) for row in series[B:]], want[B:])
    same([stream.push(row, 0) for row in series], want)


@pytest.mark.parametrize("name", ["lstm_horizon3", "gru_before", "lstm_projected", "rnn"])
@pytest.mark.parametrize("num_entities", [1, 30])
def test_carried_stream_saved_state_goes_on(
    isa: str, name: str, num_entities: int, tmp_path: Path
) -> None:
    model = make(name)
    B = block_rows(model.window)
    series = rows_for(model, 3 * B)
    want = batch(model, series)
    stream = model.stream(num_entities, mode="carried")
    cuts = [0, B - 2, B, B + 3, 2 * B - 1, 3 * B]
    for n, (first, end) in enumerate(itertools.pairwise(cuts)):
        same([stream.push(row) for row in series[first:end]], want[first:end])
        before = stream.audit()
        if n % 3 == 0:
            stream.save(tmp_path / "state")
            stream = model.stream(state=tmp_path / "state")
        elif n % 3 == 1:
            stream = pickle.loads(pickle.dumps(stream))
        else:
            other = model.stream(31 - num_entities, mode="carried")
            state = stream.state_bytes()
            assert len(state) == stream.state_bytes_size
            other.restore(0, state)
            stream, num_entities = other, 31 - num_entities
        assert stream.audit() == pytest.approx(before, nan_ok=True)
        assert stream.rows_seen() == end


def test_carried_stream_states_are_not_those_of_exact_streams(tmp_path: Path) -> None:
    model = make("lstm")
    exact, carried = model.stream(), model.stream(mode="carried")
    for stream in (exact, carried):
        stream.push_many(np.zeros(9, int), rows_for(model, 9))
    with pytest.raises(ValueError, match="mode: expected the stream's, got another one"):
        exact.restore(0, carried.state_bytes())
    with pytest.raises(ValueError, match="mode: expected the stream's, got another one"):
        carried.restore(0, exact.state_bytes())
    assert exact.state_bytes()[16:20] == (1).to_bytes(4, "little")  # as version 0.1 writes it
    assert carried.state_bytes()[16:20] == (3).to_bytes(4, "little")
    early = carried.state_bytes()
    early = early[:16] + (2).to_bytes(4, "little") + early[20:]
    with pytest.raises(ValueError, match="state: version: expected 1 or 3, got 2"):
        carried.restore(0, early)
    carried.save(tmp_path / "state")
    whole = (tmp_path / "state").read_bytes()
    for cut in (whole[:-1], whole[:70], whole[:3], whole + b"x"):
        (tmp_path / "state").write_bytes(cut)
        with pytest.raises(ValueError, match="state: "):
            model.stream(state=tmp_path / "state")


def test_carried_stream_is_small() -> None:
    model = make("lstm16", window=50, encoder=[layer("lstm", 64)])
    for num_entities in (1, 100):
        carried = model.stream(num_entities, mode="carried")
        assert carried.bytes_per_entity <= 1.1 * 1024
        assert model.stream(num_entities).bytes_per_entity > 20 * carried.bytes_per_entity
        assert carried.plan()["kernel"] == "carried states"
    least = 1000 * carried.bytes_per_entity
    with pytest.raises(ValueError, match=r"max_bytes: expected at least \d+ "):
        model.stream(1000, mode="carried", max_bytes=least // 2)
    assert model.stream(1000, mode="carried", max_bytes=2 * least).num_entities == 1000


def test_carried_stream_medium_is_near_highest() -> None:
    model = make("lstm_64_32")
    series = rows_for(model, 200)
    want = batch(model, series)
    for num_entities in (1, 40):
        stream = model.stream(num_entities, mode="carried", precision="medium")
        got = np.float32([stream.push(row) for row in series])
        np.testing.assert_allclose(got, want, rtol=0, atol=0.02 * np.nanmax(want))
        medium = num_entities == 1
        assert stream.plan()["precision"] == ("medium" if medium else "highest")
        assert (got != want)[np.isfinite(want)].any() == medium


@pytest.mark.parametrize("name", ["lstm_64_32", "gru_before", "gru_stack3", "rnn"])
@pytest.mark.parametrize("num_entities", [1, 40])
def test_carried_stream_low_equals_score(isa: str, name: str, num_entities: int) -> None:
    model = make(name)
    series = rows_for(model, 5 * block_rows(model.window))
    stream = model.stream(num_entities, mode="carried", precision="low")
    assert stream.plan()["precision"] == "low"
    want = model.score(series, windows="carried", precision="low")
    same([stream.push(row, num_entities - 1) for row in series], want)


def test_carried_monitor_raises_the_alarms_of_carried_scores() -> None:
    rng = np.random.default_rng(7)
    model = sc.SequenceModel(*unforgetting(rng))
    series = rng.normal(size=(120, 3)).astype(np.float32)
    scores = batch(model, series)
    threshold = float(np.nanquantile(scores, 0.9))
    monitor = sc.Monitor(model.stream(mode="carried"), threshold=threshold)
    events = [monitor.push(row) for row in series]
    same([event.score for event in events], scores)
    np.testing.assert_array_equal([event.alarm for event in events], scores > threshold)
    assert (scores > threshold).any()


@pytest.mark.parametrize("name", [name for name in MODELS if name not in CARRIED])
def test_carried_stream_refuses_models_whose_windows_share_no_state(name: str) -> None:
    text = "bidirectional layer" if name in FORECASTERS else "autoencoder"
    with pytest.raises(sc.UnsupportedError, match=rf"mode: expected 'exact' for .*{text}"):
        make(name).stream(mode="carried")


def test_carried_stream_refuses_other_modes() -> None:
    with pytest.raises(ValueError, match="mode: expected one of 'exact', 'carried', got 'both'"):
        make("lstm").stream(mode="both")  # type: ignore[arg-type]
