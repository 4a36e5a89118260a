"""Heads of several layers, and of means and variances: float64, streams, threads, bad rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import slidecell as sc
from tests.head_cases import ACTIVATIONS, parts, reductions, rows_for
from tests.models import HEADS, dense, layer, random_model
from tests.reference import encode_reference, head_activation, predict_reference, score_reference
from tests.score_cases import ATOL, RTOL, awkward_offsets


def activated(name: str, x: np.ndarray, **slope: float) -> np.ndarray:
    """What the compiled head makes of each number: its weights are zero and its biases x."""
    head = [dense(len(x), name, **slope)]
    metadata, tensors = random_model(
        np.random.default_rng(0),
        [layer("lstm", 1)],
        features=1,
        window=1,
        horizon=len(x),
        head=head,
    )
    tensors["head.0.weight"][:] = 0
    tensors["head.0.bias"][:] = x
    predicted = sc.SequenceModel(metadata, tensors).predict(np.zeros((1 + len(x), 1)))
    return np.asarray(predicted[0, :, 0])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_equal_float64(isa: str, name: str) -> None:
    """Within 1.5e-7, or of the answer where that is above 1; tails keep their relative error."""
    sizes = np.geomspace(1e-30, 3e38, 120)
    grid = np.linspace(-20, 20, 801)
    x = np.concatenate([grid, sizes, -sizes, [0.0]]).astype(np.float32)
    slope = {"slope": 0.1} if name == "leaky_relu" else {}
    got = activated(name, x, **slope).astype(np.float64)
    want = head_activation(name, x.astype(np.float64), float(np.float32(0.1)))
    assert np.isfinite(got).all()
    assert_allclose(got, want, rtol=1.5e-7, atol=1.5e-7)
    if name.startswith("gelu"):
        tail = (x > -6) & (x < 0)
        assert_allclose(got[tail], want[tail], rtol=4e-6, atol=0)
    assert got[-1] == (0.5 if name == "sigmoid" else 0.0)


def test_gelu_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    x = np.linspace(-8, 8, 201, dtype=np.float32)
    for name, approximate in (("gelu", "none"), ("gelu_tanh", "tanh")):
        want = torch.nn.functional.gelu(torch.from_numpy(x).double(), approximate=approximate)
        assert_allclose(activated(name, x), want.numpy(), rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize("name", HEADS)
def test_scores_equal_reference(isa: str, name: str) -> None:
    metadata, tensors = parts(name)
    model = sc.SequenceModel(metadata, tensors)
    offsets = awkward_offsets(metadata["window"], metadata["horizon"])[:20]
    series = rows_for(metadata, offsets[-1], missing=True)
    aggregates = ("window", "last", "mean") if metadata["horizon"] == 0 else ("window",)
    for reduction in reductions(metadata):
        # The likelihoods' logarithms cancel, so that an answer near 0 has the error of their sum.
        atol = 5e-7 if reduction == "nll" else ATOL
        for aggregate in aggregates:
            for per_feature in (False, True) if reduction != "mahalanobis" else (False,):
                options: dict[str, Any] = {
                    "reduction": reduction,
                    "aggregate": aggregate,
                    "per_feature": per_feature,
                }
                got = model.score(series, offsets, kernel="fma", **options)
                want = score_reference(metadata, tensors, series, offsets, **options)
                assert_allclose(got, want, rtol=RTOL, atol=atol)
    got, want = model.predict(series, offsets), predict_reference(*parts(name), series, offsets)
    assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    code = encode_reference(metadata, tensors, series, offsets)
    assert_allclose(model.encode(series, offsets), code, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 17, 33, 64])
@pytest.mark.parametrize("autoencoder", [False, True])
def test_awkward_sizes(isa: str, size: int, autoencoder: bool) -> None:
    encoder = [layer("lstm", size)]
    for n, activation in enumerate(ACTIVATIONS):
        slope = {"slope": -0.5} if activation == "leaky_relu" else {}
        head = [dense(size, activation, **slope), dense(size)]
        metadata, tensors = random_model(
            np.random.default_rng(n),
            encoder,
            encoder if autoencoder else None,
            features=size,
            window=3,
            head=head,
        )
        series = rows_for(metadata, 70)
        got = sc.SequenceModel(metadata, tensors).score(series, kernel="fma")
        want = score_reference(metadata, tensors, series)
        assert_allclose(got, want, rtol=RTOL, atol=ATOL)


def test_one_linear_layer_is_the_plain_head(isa: str) -> None:
    metadata, tensors = random_model(np.random.default_rng(0), [layer("lstm", 9)])
    plain = sc.SequenceModel(metadata, tensors)
    named = {k.replace("head.", "head.0."): v for k, v in tensors.items()}
    listed = sc.SequenceModel({**metadata, "head": [dense(3)]}, named)
    series = rows_for(metadata, 60)
    assert_array_equal(listed.score(series), plain.score(series))
    assert_array_equal(listed.predict(series), plain.predict(series))


# --- streams, threads and cuts --------------------------------------------------------------------


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("num_entities", [1, 20])
def test_streams_have_the_bits_of_the_batch(isa: str, name: str, num_entities: int) -> None:
    metadata, tensors = parts(name)
    model = sc.SequenceModel(metadata, tensors)
    series = rows_for(metadata, 40, missing=True)
    for reduction in reductions(metadata):
        stream = model.stream(num_entities, reduction=reduction)
        got = [stream.push(row, num_entities - 1) for row in series]
        want = model.score(series, kernel="fma", reduction=reduction)
        assert_array_equal(np.float32(got), want)
        assert np.isfinite(want).any()
    if not model.horizon:
        stream = model.stream(num_entities, aggregate="last")
        got = [stream.push(row, num_entities - 1) for row in series]
        assert_array_equal(np.float32(got), model.score(series, kernel="fma", aggregate="last"))
    else:
        assert_array_equal(stream.predict_next(num_entities - 1), predict_ahead(model, series))


def predict_ahead(model: sc.SequenceModel, series: np.ndarray) -> np.ndarray:
    """The forecast of the rows after the series, whose windows need rows that are not there."""
    more = np.concatenate([series, np.zeros((model.horizon, series.shape[1]), np.float32)])
    return np.asarray(model.predict(more)[-1])


@pytest.mark.parametrize("name", ["four_layers", "ae_per_step", "gaussian_layers"])
def test_many_entities_have_the_bits_of_the_batch(isa: str, name: str, tmp_path: Path) -> None:
    """Rounds of distinct entities, repeated ones, and a stream that was saved between two."""
    metadata, tensors = parts(name)
    model = sc.SequenceModel(metadata, tensors)
    reduction = reductions(metadata)[-1]
    rng, entities = np.random.default_rng(5), 37
    stream = model.stream(entities, reduction=reduction)
    given: list[list[np.ndarray]] = [[] for _ in range(entities)]
    scored: list[list[float]] = [[] for _ in range(entities)]
    for turn in range(14):
        ids = rng.integers(0, entities, entities + 5) if turn % 3 else np.arange(entities)
        rows = rng.random((len(ids), model.input_size), dtype=np.float32)
        for e, row, score in zip(ids, rows, stream.push_many(ids, rows), strict=True):
            given[e].append(row)
            scored[e].append(score)
        if turn == 7:
            stream.save(tmp_path / "state")
            stream = model.stream(state=tmp_path / "state")
    for e in range(entities):
        want = model.score(np.stack(given[e]), kernel="fma", reduction=reduction)
        assert_array_equal(np.float32(scored[e]), want)


@pytest.mark.parametrize("name", HEADS)
def test_threads_and_cuts_keep_the_bits(isa: str, name: str) -> None:
    metadata, tensors = parts(name)
    model = sc.SequenceModel(metadata, tensors)
    reduction = reductions(metadata)[-1]
    series = rows_for(metadata, 400)
    whole = model.score(series, reduction=reduction, num_threads=1)
    assert_array_equal(model.score(series, reduction=reduction, num_threads=3), whole)
    need = model.window + model.horizon
    part = model.score(series[123:301], reduction=reduction)
    assert_array_equal(part[need - 1 :], whole[123 + need - 1 : 301])
    offsets = [0, 150, 400]
    cut = model.score(series, offsets, reduction=reduction)
    assert_array_equal(cut[150 + need - 1 :], whole[150 + need - 1 :])
    strided = model.score(series, reduction=reduction, stride=3)
    assert_array_equal(strided[need - 1 :: 3], whole[need - 1 :: 3])


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_every_precision_scores_within_its_bound(isa: str, precision: str) -> None:
    """The head's own products are float32 at each of them."""
    metadata, tensors = parts("relu_64_32")
    model = sc.SequenceModel(metadata, tensors)
    series = rows_for(metadata, 200)
    want = score_reference(metadata, tensors, series)
    rtol = {"highest": 1e-6, "high": 2e-5, "medium": 1e-2}[precision]
    got = model.score(series, precision=precision)
    assert_allclose(got, want, rtol=rtol, atol=rtol / 10)
    stream = model.stream(precision=precision)
    streamed = np.float32([stream.push(row) for row in series])
    assert_allclose(streamed, want, rtol=1e-2 if precision == "medium" else 1e-6, atol=1e-3)


# --- rows that are missing, too large, or overflow ------------------------------------------------


@pytest.mark.parametrize("name", ["relu_64_32", "ae_per_step", "gaussian"])
def test_missing_and_too_large_rows(isa: str, name: str) -> None:
    metadata, tensors = parts(name)
    model = sc.SequenceModel(metadata, tensors)
    reduction = reductions(metadata)[-1]
    series = rows_for(metadata, 60).astype(np.float64)
    clean = model.score(series, reduction=reduction, kernel="fma")
    series[20, 0], series[45, 1] = np.nan, 1e300
    need = model.window + model.horizon
    want = clean.copy()
    want[20 : 20 + need] = want[45 : 45 + need] = np.nan
    want[45] = np.inf
    assert_array_equal(model.score(series, reduction=reduction, kernel="fma"), want)
    stream = model.stream(reduction=reduction)
    assert_array_equal(np.float32([stream.push(row) for row in series]), want)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_overflow_inside_the_head_scores_no_nan(isa: str, activation: str) -> None:
    """Infinity less infinity in a later layer's sum is the largest error there is."""
    slope = {"slope": 0.5} if activation == "leaky_relu" else {}
    metadata, tensors = random_model(
        np.random.default_rng(6),
        [layer("lstm", 4)],
        features=2,
        window=2,
        head=[dense(8), dense(8, activation, **slope), dense(2)],
    )
    tensors["head.0.bias"][:] = [3e38, -3e38] * 4
    tensors["head.1.weight"][:] = 3.0
    tensors["head.1.weight"][::2] = -3.0
    model = sc.SequenceModel(metadata, tensors)
    series = rows_for(metadata, 20)
    scores = model.score(series, kernel="fma")
    assert not np.isnan(scores[2:]).any()
    if activation not in ("tanh", "sigmoid"):
        assert (scores[2:] == np.inf).all()
    stream = model.stream()
    assert_array_equal(np.float32([stream.push(row) for row in series]), scores)
