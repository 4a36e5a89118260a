"""Stream: the same bits as the batch, whatever the layout, the ISA and the interruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests.models import AUTOENCODERS, FORECASTERS, MODELS, layer, random_model


def make(name: str, **options: Any) -> sc.SequenceModel:
    rng = np.random.default_rng(1)
    return sc.SequenceModel(*random_model(rng, **(MODELS[name] | {"error": True} | options)))


def rows_for(model: sc.SequenceModel, S: int, *, missing: bool = True) -> np.ndarray:
    series = np.random.default_rng(2).random((S, model.input_size), dtype=np.float32)
    if missing:
        series[S // 3, 0] = np.nan
        series[S // 2, -1] = np.inf
    return series


def same(got: Any, want: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(got, np.float32), want)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("num_entities", [1, 20])
def test_stream_push_equals_score(isa: str, name: str, num_entities: int) -> None:
    """Few entities are columns of windows, many are columns of entities: one result."""
    model = make(name)
    series = rows_for(model, 40)
    stream = model.stream(num_entities)
    entity = num_entities - 1
    same([stream.push(row, entity) for row in series], model.score(series, kernel="fma"))


@pytest.mark.parametrize("name", ["lstm_horizon3", "gru_before", "lstm_targets", "ae_relu_stack"])
@pytest.mark.parametrize("reduction", ["mae", "mahalanobis"])
def test_stream_reductions(isa: str, name: str, reduction: str) -> None:
    model = make(name)
    series = rows_for(model, 30)
    stream = model.stream(reduction=reduction)
    same(
        [stream.push(row) for row in series], model.score(series, kernel="fma", reduction=reduction)
    )


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_stream_aggregate_last(isa: str, name: str) -> None:
    model = make(name)
    series = rows_for(model, 30)
    stream = model.stream(aggregate="last")
    same([stream.push(row) for row in series], model.score(series, kernel="fma", aggregate="last"))


@pytest.mark.parametrize("name", FORECASTERS)
def test_stream_predict_next_equals_predict(isa: str, name: str) -> None:
    scaler = None
    if name == "lstm16":
        scaler = {"kind": "standard", "center": [3.0] * 7, "scale": [2.0] * 7, "constant": []}
    model = make(name, scaler=scaler)
    series = rows_for(model, 25, missing=False)
    predicted = model.predict(series)
    stream = model.stream()
    for n, row in enumerate(series):
        stream.push(row)
        if n % 3 == 0:
            stream.advance()
        ahead = stream.predict_next()
        window = n + 1 - model.window
        if 0 <= window < len(predicted):
            same(ahead, predicted[window])
        elif window < 0:
            assert np.isnan(ahead).all()


@pytest.mark.parametrize("name", ["lstm", "gru_before", "lstm_projected", "mixed", "ae_lstm"])
@pytest.mark.parametrize("num_entities", [3, 37, 100])
def test_stream_push_many(isa: str, name: str, num_entities: int) -> None:
    """Random subsets, repeated entities and lock-step rounds: each entity as if it were alone."""
    model = make(name)
    rng = np.random.default_rng(3)
    stream = model.stream(num_entities)
    given: list[list[np.ndarray]] = [[] for _ in range(num_entities)]
    scored: list[list[float]] = [[] for _ in range(num_entities)]
    for turn in range(16):
        ids = np.arange(num_entities)
        if turn % 3 == 1:
            ids = rng.integers(0, num_entities, num_entities + 5)
        elif turn % 3 == 2:
            ids = rng.permutation(num_entities)[: max(1, num_entities // 3)]
        rows = rng.random((len(ids), model.input_size), dtype=np.float32)
        rows[rng.random(len(ids)) < 0.02] = np.nan
        scores = stream.push_many(ids, rows, num_threads=1 + turn % 2)
        assert scores.dtype == np.float32
        for e, row, score in zip(ids, rows, scores, strict=True):
            given[e].append(row)
            scored[e].append(score)
    for e in range(num_entities):
        if given[e]:
            same(scored[e], model.score(np.stack(given[e]), kernel="fma"))


@pytest.mark.parametrize("mode", ["exact", "carried"])
@pytest.mark.parametrize("num_entities", [1, 3, 37])
def test_stream_push_many_ahead_gives_what_predict_next_gives_before_each_row(
    isa: str, num_entities: int, mode: str
) -> None:
    model = make("lstm16")
    rng = np.random.default_rng(5)
    single, many = (model.stream(num_entities, mode=mode) for _ in range(2))
    for _ in range(4):
        ids = rng.integers(0, num_entities, 3 * num_entities + 20)
        rows = rng.random((len(ids), model.input_size), dtype=np.float32)
        rows[rng.random(len(ids)) < 0.02] = np.nan
        want, ahead = [], []
        for e, row in zip(ids.tolist(), rows, strict=True):
            ahead.append(single.predict_next(e))
            want.append(single.push(row, e))
        scores, forecasts = many.push_many_ahead(ids, rows, num_threads=2)
        same(scores, np.float32(want))
        same(forecasts, np.stack(ahead))
    assert np.isfinite(forecasts).any()


def test_stream_push_many_ahead_needs_a_forecaster() -> None:
    model = make("ae_lstm")
    stream = model.stream()
    row = rows_for(model, 1)
    with pytest.raises(ValueError, match="the model is not a forecaster"):
        stream.push_many_ahead([0], row)
    assert stream.rows_seen() == 0


@pytest.mark.parametrize("num_entities", [1, 3, 40])
def test_stream_background_keeps_the_bits(num_entities: int, tmp_path: Path) -> None:
    model = make("gru_before")
    series = rows_for(model, 60)
    want = model.score(series, kernel="fma")
    stream = model.stream(num_entities)
    got = [stream.push(row) for row in series[:7]]
    stream.set_background(True)
    stream.set_background(True)
    got += [stream.push(row) for row in series[7:20]]
    stream.save(tmp_path / "state")
    got += list(stream.push_many(np.zeros(15, int), series[20:35]))
    stream.advance()
    got += [stream.push(row) for row in series[35:50]]
    stream.set_background(False)
    got += [stream.push(row) for row in series[50:]]
    same(got, want)
    again = model.stream(state=tmp_path / "state")
    same([again.push(row) for row in series[20:]], want[20:])
    stream.set_background(True)
    stream.push(series[0])
    stream.reset()
    same([stream.push(row) for row in series], want)


@pytest.mark.parametrize("num_entities", [2, 40])
def test_stream_reset(num_entities: int) -> None:
    model = make("lstm")
    series = rows_for(model, 20)
    stream = model.stream(num_entities)
    for row in series[::-1]:
        stream.push(row, 1)
    stream.push(series[0], 0)
    stream.reset(1)
    assert stream.rows_seen(1) == 0
    assert stream.rows_seen(0) == 1
    same([stream.push(row, 1) for row in series], model.score(series, kernel="fma"))
    stream.reset()
    assert stream.rows_seen(0) == 0


@pytest.mark.parametrize(
    "name", ["lstm_horizon3", "gru_before", "ae_relu_stack", "lstm_bidirectional"]
)
@pytest.mark.parametrize("num_entities", [1, 40])
def test_stream_save_and_go_on(isa: str, name: str, num_entities: int, tmp_path: Path) -> None:
    model = make(name)
    series = rows_for(model, 30)
    path = tmp_path / "state"
    for stop in (0, 1, model.window - 1, model.window, 17):
        stream = model.stream(num_entities)
        scores = [stream.push(row, num_entities - 1) for row in series[:stop]]
        stream.save(path)
        again = model.stream(state=path)
        assert again.num_entities == num_entities
        scores += [again.push(row, num_entities - 1) for row in series[stop:]]
        same(scores, model.score(series, kernel="fma"))
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    "name", ["lstm_horizon3", "gru_before", "ae_relu_stack", "lstm_bidirectional"]
)
def test_stream_resize_keeps_the_bits(isa: str, name: str) -> None:
    model = make(name)
    series = rows_for(model, 40)
    want = model.score(series, kernel="fma")
    stream = model.stream(1)
    stream.set_background(True)
    rooms = {1: 2, 6: 40, 13: 3, 20: 500, 21: 4}
    scores, others = [], []
    for n, row in enumerate(series):
        if n in rooms:
            stream.resize(rooms[n])
            assert stream.num_entities == rooms[n]
            assert stream.plan() == model.stream(rooms[n]).plan()
        scores.append(stream.push(row))
        if n >= 6:
            others.append(stream.push(series[n - 6], 2))
    same(scores, want)
    same(others, want[:34])
    with pytest.raises(ValueError, match="num_entities: expected at least 1, got 0"):
        stream.resize(0)
    assert stream.rows_seen() == 40


def test_stream_state_is_checked(tmp_path: Path) -> None:
    model = make("lstm")
    stream = model.stream(5, reduction="mae")
    for row in rows_for(model, 12):
        stream.push(row, 3)
    path = tmp_path / "state"
    stream.save(path)
    data = path.read_bytes()
    with pytest.raises(ValueError, match="the state of another model"):
        make("gru").stream(state=path)
    # Names and thresholds do not change what a model computes.
    model.with_metadata(extra={"note": 1}).stream(state=path)
    for length in [0, 1, 60, len(data) // 2, len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"truncated|not a stream|damaged"):
            model.stream(state=path)
    path.write_bytes(data + b"x")
    with pytest.raises(ValueError, match="more data than expected"):
        model.stream(state=path)
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 200):
        changed = bytearray(data)
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with pytest.raises((ValueError, sc.UnsupportedError)):
            model.stream(state=path)
    with pytest.raises(OSError, match="cannot be read"):
        model.stream(state=tmp_path / "absent")
    with pytest.raises(OSError, match="cannot be written"):
        stream.save(tmp_path / "no" / "folder")


@pytest.mark.parametrize(
    "name",
    ["lstm", "gru_before", "lstm_projected", "lstm_bidirectional", "ae_lstm", "lstm_horizon3"],
)
@pytest.mark.parametrize(("before", "after"), [(1, 40), (40, 1), (3, 5), (40, 37)])
def test_stream_entity_goes_on_from_its_bytes(isa: str, name: str, before: int, after: int) -> None:
    """Whatever the two layouts, and whatever rows the entity has seen there."""
    model = make(name)
    series, noise = rows_for(model, 40), rows_for(model, 9, missing=False)
    want = model.score(series, kernel="fma")
    first, second = model.stream(before), model.stream(after)
    for cut in (0, 1, 5, 25):
        first.reset(before - 1)
        for row in series[:cut]:
            first.push(row, before - 1)
        for place in {0, after - 1}:
            second.reset(place)
            for row in noise:
                second.push(row, place)
        state = first.state_bytes(before - 1)
        assert len(state) == first.state_bytes_size == second.state_bytes_size
        second.restore(after - 1, state)
        assert second.rows_seen(after - 1) == cut
        same([second.push(row, after - 1) for row in series[cut:]], want[cut:])
        if after > 1:  # the others have kept their own
            assert second.rows_seen(0) == len(noise)
            same(second.push(series[0], 0), model.score(np.vstack([noise, series[:1]]))[-1])


def test_stream_entity_state_is_that_of_a_stream_of_its_own() -> None:
    model = make("lstm")
    alone, many = model.stream(), model.stream(20)
    for row in rows_for(model, 12):
        alone.push(row)
        many.push(row, 13)
    assert many.state_bytes(13) == alone.state_bytes() == alone._core.saved_bytes()


def test_stream_entity_state_is_checked() -> None:
    model = make("lstm")
    stream = model.stream(3)
    rows = rows_for(model, 12, missing=False)
    for row in rows:
        stream.push(row, 1)
    good, kept = stream.state_bytes(1), stream._core.saved_bytes()
    cases = [
        (good[:-1], "state: truncated"),
        (good + b"x", "state: more data than expected"),
        (b"", "state: truncated"),
        (kept, "state: expected the state of 1 entity, got 3"),
        (make("lstm_relu").stream().state_bytes(), "state: the state of another model"),
        (model.stream(reduction="mae").state_bytes(), "state: reduction: expected the stream's"),
        (model.stream(precision="medium").state_bytes(), "state: precision: expected the stream"),
    ]
    for bad, text in cases:
        with pytest.raises(ValueError, match=text):
            stream.restore(1, bad)
    for place in (*range(0, len(good), 7), len(good) - 1):
        bad = bytearray(good)
        bad[place] ^= 0x40
        with pytest.raises((ValueError, NotImplementedError, RuntimeError)):
            stream.restore(1, bytes(bad))
    for entity in (-1, 3):
        with pytest.raises(ValueError, match=f"entity: expected 0 to 2, got {entity}"):
            stream.restore(entity, good)
        with pytest.raises(ValueError, match=f"entity: expected 0 to 2, got {entity}"):
            stream.state_bytes(entity)
    with pytest.raises(TypeError):
        stream.restore(1, "text")  # type: ignore[arg-type]
    assert stream._core.saved_bytes() == kept


def test_stream_entity_state_of_another_isa_is_refused() -> None:
    model = make("lstm")
    isas = sc.available_isas()
    if len(isas) < 2:
        pytest.skip("this CPU has one ISA")
    before = sc.active_isa()
    try:
        sc.set_isa(isas[0])
        stream = model.stream()
        sc.set_isa(isas[1])
        other = model.stream()
    finally:
        sc.set_isa(before)
    text = f"state: isa: expected the stream's, {isas[1]}, got {isas[0]}"
    with pytest.raises(ValueError, match=text):
        other.restore(0, stream.state_bytes())


def test_stream_row_dtypes() -> None:
    model = make(
        "lstm", scaler={"kind": "minmax", "center": [0.5] * 3, "scale": [2.0] * 3, "constant": []}
    )
    series = np.random.default_rng(5).integers(0, 9, (12, 3))
    want = model.score(series, kernel="fma")
    for convert in (np.float64, np.float32, np.int8, list, lambda r: np.repeat(r, 2)[::2]):
        stream = model.stream()
        same([stream.push(convert(row)) for row in series], want)


@pytest.mark.parametrize("num_entities", [2, 40])
def test_stream_bad_input_changes_nothing(num_entities: int) -> None:
    model = make("lstm")
    series = rows_for(model, 20)
    stream = model.stream(num_entities)
    scores = []
    for row in series:
        with pytest.raises(
            ValueError, match=r"row: expected \[3\] \(model input_size\), got \[2\]"
        ):
            stream.push(row[:2], 1)
        with pytest.raises(ValueError, match=r"row: expected \[3\] .* got \[1, 3\]"):
            stream.push(row[None], 1)
        with pytest.raises(TypeError, match="row: expected real numbers"):
            stream.push(row.astype(complex), 1)
        for entity in (-1, num_entities):
            with pytest.raises(ValueError, match=f"entity: expected 0 to {num_entities - 1}"):
                stream.push(row, entity)
            with pytest.raises(ValueError, match=f"entity: expected 0 to {num_entities - 1}"):
                stream.push_many([1, entity], np.stack([row, row]))
        with pytest.raises(ValueError, match=r"rows: expected \[1, 3\]"):
            stream.push_many([1], row[None, :2])
        with pytest.raises(TypeError, match="entity_ids: expected"):
            stream.push_many([1.0], row[None])
        scores.append(stream.push(row, 1))
    same(scores, model.score(series, kernel="fma"))


def test_stream_refused_options() -> None:
    model = make("ae_lstm")
    with pytest.raises(ValueError, match="aggregate: 'mean' needs rows of the future"):
        model.stream(aggregate="mean")
    with pytest.raises(ValueError, match="num_entities: expected at least 1, got 0"):
        model.stream(0)
    with pytest.raises(ValueError, match="not a forecaster"):
        model.stream().predict_next()
    with pytest.raises(ValueError, match="aggregate: expected 'window'"):
        make("lstm").stream(aggregate="last")
    plain = sc.SequenceModel(*random_model(np.random.default_rng(0), [layer("lstm", 4)]))
    with pytest.raises(ValueError, match="mahalanobis"):
        plain.stream(reduction="mahalanobis")


def test_stream_keeps_its_isa(isa: str) -> None:
    model = make("lstm")
    series = rows_for(model, 20)
    stream = model.stream()
    want = model.score(series, kernel="fma")
    got = []
    for n, row in enumerate(series):
        sc.set_isa(sc.available_isas()[n % len(sc.available_isas())])
        got.append(stream.push(row))
    same(got, want)


def test_stream_memory_is_stated() -> None:
    model = make("lstm16")
    for num_entities in (1, 1000):
        stated = model.stream(num_entities).bytes_per_entity
        assert 4 * 6 * 32 <= stated <= 4 * (16 * 32 + 7 + 7) + 17


@pytest.mark.parametrize("name", ["lstm_64_32", "gru", "gru_before", "lstm_relu"])
def test_stream_medium_answers_from_bf16_weights(isa: str, name: str) -> None:
    """The answer's products take weights of 8 bits' precision: near, and not the same numbers."""
    model = make(name)
    series = rows_for(model, 30, missing=False)
    ahead = {}
    for precision in ("highest", "high", "medium"):
        stream = model.stream(precision=precision)
        assert stream.plan()["isa"] == isa
        assert stream.plan()["precision"] == ("medium" if precision == "medium" else "highest")
        ahead[precision] = []
        for row in series:
            stream.push(row)
            ahead[precision].append(stream.predict_next())
    got, want = np.stack(ahead["medium"]), np.stack(ahead["highest"])
    np.testing.assert_array_equal(np.stack(ahead["high"]), want)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    known = ~np.isnan(want)
    difference = np.abs(got - want)[known].max()
    assert 1e-6 < difference < 4e-3
