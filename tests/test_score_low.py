"""`precision="low"`: 8-bit recurrent products, in scores and streams, on every instruction set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import slidecell as sc
from slidecell import cuda
from tests.models import MODELS, layer, random_model
from tests.score_cases import DETERMINISTIC, all_scores, case

SERVED = sorted(
    name
    for name, given in MODELS.items()
    if all(
        spec["activation"] in ("tanh", "sigmoid") and not spec["proj_size"]
        for spec in [*given["encoder"], *(given.get("decoder") or [])]
    )
)
OTHERS = sorted(set(MODELS) - set(SERVED))


def model_of(name: str) -> tuple[sc.SequenceModel, np.ndarray, np.ndarray]:
    metadata, tensors, series, offsets = case(name)
    return sc.SequenceModel(metadata, tensors), series, offsets


def random_forecaster(cell: str, units: int, **options: Any) -> sc.SequenceModel:
    given = {"features": 4, "window": 6} | options
    encoder = [layer(cell, units)]
    return sc.SequenceModel(*random_model(np.random.default_rng(3), encoder, **given))


def pushed(stream: sc.Stream, series: np.ndarray) -> np.ndarray:
    return np.array([stream.push(row) for row in series], np.float32)


@pytest.mark.parametrize("name", SERVED)
def test_models_of_tanh_and_sigmoid_are_served(isa: str, name: str) -> None:
    model, series, offsets = model_of(name)
    plan = model.plan("low")
    assert plan["precision"] == "low"
    assert plan["kernel"].startswith("int8 ")
    exact = model.score(series, offsets)
    low = model.score(series, offsets, precision="low")
    scored = np.isfinite(exact)
    np.testing.assert_array_equal(np.isfinite(low), scored)
    error = np.abs(low - exact)[scored]
    assert 0.0 < np.percentile(error, 99) <= 0.03 * np.percentile(exact[scored], 95)


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_run_as_at_medium(isa: str, name: str) -> None:
    model, series, offsets = model_of(name)
    assert model.plan("low") == model.plan("medium")
    for low, medium in zip(
        all_scores(model, series, offsets, precision="low"),
        all_scores(model, series, offsets, precision="medium"),
        strict=True,
    ):
        np.testing.assert_array_equal(low, medium)
    assert model.stream(precision="low").plan() == model.stream(precision="medium").plan()


def test_a_named_kernel_takes_no_8_bit_products() -> None:
    model = random_forecaster("lstm", 20)
    assert model.plan("low", kernel="fma") == model.plan("medium", kernel="fma")
    series = np.random.default_rng(0).random((60, 4), dtype=np.float32)
    np.testing.assert_array_equal(
        model.score(series, precision="low", kernel="fma"), model.score(series, kernel="fma")
    )


@pytest.mark.parametrize("name", [name for name in DETERMINISTIC if name in SERVED])
def test_bits_depend_on_no_thread_and_no_neighbour(isa: str, name: str) -> None:
    model, series, offsets = model_of(name)
    whole = all_scores(model, series, offsets, precision="low", num_threads=1)
    for one, three in zip(
        whole, all_scores(model, series, offsets, precision="low", num_threads=3), strict=True
    ):
        np.testing.assert_array_equal(one, three)
    last = series[offsets[-2] :]
    np.testing.assert_array_equal(model.score(last, precision="low"), whole[0][offsets[-2] :])


@pytest.mark.parametrize("name", SERVED)
@pytest.mark.parametrize("num_entities", [1, 20])
def test_streams_have_the_bits_of_scores(isa: str, name: str, num_entities: int) -> None:
    model, series, _ = model_of(name)
    series = series[:60]
    stream = model.stream(num_entities, precision="low")
    assert stream.plan()["precision"] == "low"
    ids = np.arange(num_entities)
    got = [stream.push_many(ids, np.repeat(row[None], num_entities, 0)) for row in series]
    expected = model.score(series, precision="low")
    np.testing.assert_array_equal(np.array(got)[:, num_entities - 1], expected)


@pytest.mark.parametrize("window", [6, 40])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("windows", ["exact", "carried"])
def test_streams_have_the_bits_of_wide_layers(
    isa: str, cell: str, window: int, windows: Any
) -> None:
    """AMX's tiles score layers of 32 units or more, and dot products serve their streams."""
    model = random_forecaster(cell, 37, window=window)
    tiles = model.plan("low")["kernel"] == "int8 amx 32x32"
    assert tiles == (isa == "amx")
    series = np.random.default_rng(6).random((500, 4), dtype=np.float32)
    low = model.score(series, precision="low", windows=windows)
    stream = model.stream(precision="low", mode=windows)
    np.testing.assert_array_equal(pushed(stream, series), low)
    if isa == "amx":
        sc.set_isa("avx512")
        np.testing.assert_array_equal(model.score(series, precision="low", windows=windows), low)


def test_a_window_of_many_steps_has_exact_memory_gates(isa: str) -> None:
    """Beyond 32 rows the gates that say how much of a state stays are good to float32."""
    model = random_forecaster("gru", 16, window=40)
    series = np.random.default_rng(1).random((120, 4), dtype=np.float32)
    exact, low = model.score(series), model.score(series, precision="low")
    np.testing.assert_array_equal(pushed(model.stream(precision="low"), series), low)
    assert np.nanpercentile(np.abs(low - exact), 99) <= 0.03 * np.nanpercentile(exact, 95)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_carried_states_are_coded_too(isa: str, cell: str) -> None:
    model = random_forecaster(cell, 12)
    series = np.random.default_rng(8).random((300, 4), dtype=np.float32)
    offsets = [0, 7, 30, 300]
    exact = model.score(series, offsets, windows="carried")
    low = model.score(series, offsets, windows="carried", precision="low")
    scored = np.isfinite(exact)
    np.testing.assert_array_equal(np.isfinite(low), scored)
    error = np.abs(low - exact)[scored]
    assert 0.0 < np.percentile(error, 99) <= 0.03 * np.percentile(exact[scored], 95)
    threads = model.score(series, offsets, windows="carried", precision="low", num_threads=3)
    np.testing.assert_array_equal(threads, low)


def test_a_saved_stream_goes_on_bit_for_bit(isa: str, tmp_path: Path) -> None:
    model = random_forecaster("lstm", 10)
    series = np.random.default_rng(2).random((40, 4), dtype=np.float32)
    stream = model.stream(precision="low")
    first = pushed(stream, series[:17])
    stream.save(tmp_path / "state")
    loaded = model.stream(state=tmp_path / "state")
    assert loaded.plan()["precision"] == "low"
    got = np.concatenate([first, pushed(loaded, series[17:])])
    np.testing.assert_array_equal(got, model.score(series, precision="low"))


@pytest.mark.parametrize(
    ("cell", "weight"), [("lstm", 4.0), ("gru", 4.0), ("rnn", 4.0), ("rnn", -4.0)]
)
def test_saturated_states_at_the_largest_codes(isa: str, cell: str, weight: float) -> None:
    """All weights alike drive h to 1 or, by turns, to -1: products of the largest codes."""
    metadata, tensors = random_model(
        np.random.default_rng(4), [layer(cell, 37)], features=2, window=9
    )
    for name, weights in tensors.items():
        if name.startswith("encoder"):
            value = weight if "weight_hh" in name else 1.0
            tensors[name] = np.full_like(weights, value)
        if cell == "gru" and "weight_hh" in name:
            tensors[name][37:74] = -weight  # the gate that would keep the state
    model = sc.SequenceModel(metadata, tensors)
    assert np.abs(model.encode(np.ones((10, 2)))).min() > 0.99
    series = np.random.default_rng(4).random((80, 2), dtype=np.float32)
    exact, low = model.score(series), model.score(series, precision="low")
    np.testing.assert_allclose(low, exact, atol=1e-3 * np.nanmax(exact))
    np.testing.assert_array_equal(pushed(model.stream(precision="low"), series), low)


def test_rows_that_are_missing_or_too_large_are_treated_as_at_highest(isa: str) -> None:
    model = random_forecaster("gru", 11)
    series = np.random.default_rng(5).random((70, 4), dtype=np.float32)
    series[20, 1], series[45, 2] = np.nan, 1e30
    exact, low = model.score(series), model.score(series, precision="low")
    for state in (np.isnan, np.isposinf):
        np.testing.assert_array_equal(state(low), state(exact))
        assert state(low).any()


def labelled_series() -> tuple[np.ndarray, np.ndarray]:
    """Three waves with noise, [S, 3], in whose second half some events are louder; labels [S]."""
    rng = np.random.default_rng(6)
    time = np.arange(2400)[:, None]
    series = np.sin(time * [0.11, 0.17, 0.29] + [0.0, 1.0, 2.0]) + rng.normal(0, 0.05, (2400, 3))
    labels = np.zeros(len(series), int)
    for start in rng.integers(1200, 2380, 20):
        labels[start : start + 8] = 1
    series[labels == 1] += rng.normal(0, 0.8, (labels.sum(), 3))
    return series.astype(np.float32), labels


@pytest.fixture(scope="module", params=["lstm", "gru"])
def trained_model(request: pytest.FixtureRequest) -> sc.SequenceModel:
    pytest.importorskip("torch")
    from slidecell.training import Forecaster, fit

    network = Forecaster(3, 16, window=8, cell=request.param)
    series = labelled_series()[0][:1200]
    fit(network, series, epochs=4, batch_size=64, lr=1e-2, progress=False, seed=0)
    return sc.SequenceModel.from_torch(network)


def test_trained_networks_keep_the_documented_bound(
    trained_model: sc.SequenceModel, isa: str
) -> None:
    series, labels = labelled_series()
    exact, low = trained_model.score(series), trained_model.score(series, precision="low")
    scored = np.isfinite(exact)
    error = np.abs(low - exact)[scored]
    assert np.percentile(error, 99) <= 0.03 * np.percentile(exact[scored], 95)
    exact_auc, auc = (roc_auc_score(labels[scored], s[scored]) for s in (exact, low))
    assert 0.8 < exact_auc < 1.0
    assert auc == pytest.approx(exact_auc, abs=1e-4)
    highest = exact[scored] >= np.percentile(exact[scored], 99)
    assert roc_auc_score(highest, low[scored]) >= 0.9999


def test_cuda_score_on_the_cpu_knows_it() -> None:
    model = random_forecaster("lstm", 8)
    series = np.random.default_rng(7).random((30, 4), dtype=np.float32)
    np.testing.assert_array_equal(
        cuda.score(model, series, backend="cpu", precision="low"),
        model.score(series, precision="low"),
    )
