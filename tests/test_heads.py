"""Heads of several layers, and of means and variances: float64, streams, files, refusals."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import slidecell as sc
from tests.models import HEADS, Model, dense, layer, random_model
from tests.reference import encode_reference, head_activation, predict_reference, score_reference
from tests.score_cases import ATOL, RTOL, awkward_offsets

GAUSSIAN = [name for name in HEADS if "gaussian" in name]
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "gelu", "gelu_tanh", "leaky_relu")


def parts(name: str, seed: int = 3, **options: Any) -> Model:
    return random_model(np.random.default_rng(seed), **(HEADS[name] | {"error": True} | options))


def rows_for(metadata: dict[str, Any], S: int, *, missing: bool = False) -> np.ndarray:
    rng = np.random.default_rng(4)
    series = rng.random((S, metadata["encoder"][0]["input_size"]), dtype=np.float32)
    if missing:
        series[S // 3, 0] = np.nan
        series[S // 2, -1] = np.inf
    return series


def reductions(metadata: dict[str, Any]) -> list[str]:
    return ["mse", "mae", "mahalanobis", *(["nll"] if metadata.get("distribution") else [])]


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


# --- means and variances --------------------------------------------------------------------------


@pytest.mark.parametrize("name", GAUSSIAN)
def test_log_variances_equal_reference(isa: str, name: str) -> None:
    metadata, tensors = parts(name)
    model = sc.SequenceModel(metadata, tensors)
    series = rows_for(metadata, 40, missing=True)
    got = model.predict_log_variance(series)
    want = predict_reference(metadata, tensors, series, variances=True)
    assert got.shape == (len(want), model.horizon, model.num_targets)
    assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    assert_array_equal(np.isnan(got), np.isnan(model.predict(series)))


@pytest.mark.parametrize("shift", [0.0, -30.0, 30.0])
def test_nll_is_torchs_gaussian_nll_loss(isa: str, shift: float) -> None:
    """With its default eps, which takes over where the variance is smaller: log variance -30."""
    torch = pytest.importorskip("torch")
    metadata, tensors = parts("gaussian")
    tensors["head.bias"][9:] += shift
    model = sc.SequenceModel(metadata, tensors)
    series = rows_for(metadata, 30)
    scores = model.score(series, reduction="nll")
    mean = torch.from_numpy(model.predict(series).astype(np.float64))
    variance = torch.from_numpy(np.exp(model.predict_log_variance(series).astype(np.float64)))
    loss = torch.nn.GaussianNLLLoss()
    W, K = model.window, model.horizon
    for n in range(len(mean)):
        target = torch.from_numpy(series[n + W : n + W + K].astype(np.float64))
        want = float(loss(mean[n], target, variance[n]))
        assert_allclose(scores[n + W + K - 1], want, rtol=2e-6, atol=5e-7)


def test_nll_of_large_errors_and_variances(isa: str) -> None:
    """Neither the error's square nor the variance need be a float32 number for the score to be."""
    metadata, tensors = parts("gaussian", features=1, horizon=1, window=1)
    tensors["head.weight"][:] = 0
    for log_variance, error in ((100.0, 1e21), (160.0, 1e30), (2.0, 1e15), (-50.0, 1e10)):
        tensors["head.bias"][:] = [0.0, log_variance]
        model = sc.SequenceModel(metadata, tensors)
        got = model.score(np.array([[0.0], [error]]), reduction="nll")[1]
        v = max(log_variance, np.log(1e-6))
        x = float(np.float32(error))
        assert_allclose(got, 0.5 * (v + x * x / np.exp(v)), rtol=1e-5)


def test_other_reductions_and_predict_take_the_means_alone(isa: str) -> None:
    metadata, tensors = parts("gaussian")
    model = sc.SequenceModel(metadata, tensors)
    means = {**tensors, "head.weight": tensors["head.weight"][:9]}
    means["head.bias"] = tensors["head.bias"][:9]
    plain = sc.SequenceModel({**metadata, "distribution": None, "format": 1}, means)
    series = rows_for(metadata, 40)
    assert_array_equal(model.predict(series), plain.predict(series))
    for reduction in ("mse", "mae", "mahalanobis"):
        assert_array_equal(
            model.score(series, reduction=reduction), plain.score(series, reduction=reduction)
        )
    assert not np.array_equal(model.score(series, reduction="nll"), plain.score(series))


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


# --- files, copies, refusals ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["activation_first", "ae_per_step", "gaussian_layers"])
def test_files_and_copies_keep_the_head(name: str, tmp_path: Path) -> None:
    metadata, tensors = parts(name)
    model = sc.SequenceModel(metadata, tensors)
    series = rows_for(metadata, 50)
    reduction = reductions(metadata)[-1]
    want = model.score(series, reduction=reduction)
    model.save(tmp_path / "model.safetensors")
    loaded = sc.SequenceModel.load(tmp_path / "model.safetensors")
    assert loaded.metadata == model.metadata
    assert loaded.metadata["head"] == HEADS[name].get("head")
    changed = model.with_metadata(threshold={"kind": "fixed", "value": 0.5})
    for other in (loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model), changed):
        assert_array_equal(other.score(series, reduction=reduction), want)


def test_a_file_has_the_oldest_format_that_holds_it(tmp_path: Path) -> None:
    """So that an older reader takes plain heads and refuses the others by number."""
    metadata, tensors = random_model(np.random.default_rng(0), [layer("lstm", 4)])
    del metadata["format"]
    plain = sc.SequenceModel(metadata, tensors)
    assert plain.metadata["format"] == 1
    assert "head" not in plain.metadata
    named = {k.replace("head.", "head.0."): v for k, v in tensors.items()}
    head = [dense(3, "relu")]
    assert sc.SequenceModel({**metadata, "head": head}, named).metadata["format"] == 2
    assert sc.SequenceModel({**plain.metadata, "head": head}, named).metadata["format"] == 2
    with pytest.raises(ValueError, match=r"'format': expected 1 or 2, got 3 \(written by a newer"):
        sc.SequenceModel({**metadata, "format": 3}, tensors)
    core = sc._core.SequenceModel
    text = '"format": 1, "head": [{"output_size": 3, "activation": "relu"}]'
    with pytest.raises(ValueError, match="'format': expected 2 with 'head' or 'distribution'"):
        core(f"{{{text}}}", {})


def test_the_saved_state_of_another_head_is_refused(tmp_path: Path) -> None:
    """The weights are the same; the activation, its slope or the distribution is not."""
    metadata, tensors = parts("leaky")
    stream = sc.SequenceModel(metadata, tensors).stream()
    stream.save(tmp_path / "state")
    for change in ({"slope": 0.5}, {"activation": "relu"}):
        head = copy.deepcopy(metadata["head"])
        head[0].update(change)
        if "activation" in change:
            del head[0]["slope"]
        other = sc.SequenceModel({**metadata, "head": head}, tensors)
        with pytest.raises(ValueError, match="the state of another model"):
            other.stream(state=tmp_path / "state")


@pytest.mark.parametrize(
    ("head", "text"),
    [
        ([dense(3)] * 5, "'head': expected 1 to 4 layers with output_size .* got 5 of 5"),
        ([], "'head': expected 1 to 4 layers with output_size .* got 0 of 0"),
        ([dense(None, "relu")], "'head': expected 1 to 4 layers with output_size .* got 0 of 1"),
        ([dense(None, "relu")] * 8 + [dense(3)], "at most 8 in all, got 1 of 9"),
        ([dense(0), dense(3)], "'output_size': expected 1 to 1048576, got 0"),
        ([dense(-1), dense(3)], "'output_size': expected 1 to 1048576, got -1"),
        ([dense(2**40), dense(3)], "'output_size': expected 1 to 1048576"),
        ([dense(4)], r"last output_size to be 3 \(horizon \* targets\), got 4"),
        ([dense(3, "elu")], "'activation': expected one of linear, relu, .*leaky_relu, got 'elu'"),
        ([{"output_size": 3}], "missing key 'activation'"),
        ([dense(3, "leaky_relu")], "'slope': expected one for 'leaky_relu', and only there"),
        ([dense(3, "relu", slope=1.0)], "'slope': expected one for 'leaky_relu', and only there"),
        ([dense(3, "leaky_relu", slope=1e300)], "'slope': expected numbers that float32 holds"),
        ([7], "missing key|expected 1 to 4 layers"),
        ("relu", "'head': expected an array"),
        ([dense(5), dense(3)], r"tensor 'head.0.weight': expected shape \[5, 4\]"),
        (None, "tensor 'head.0.bias': not expected"),
    ],
)
def test_heads_that_do_not_fit_are_refused(head: Any, text: str) -> None:
    metadata, tensors = random_model(np.random.default_rng(0), [layer("lstm", 4)])
    bound = {k: v for k, v in tensors.items() if not k.startswith("head.")}
    bound |= {"head.0.weight": np.zeros((3, 4)), "head.0.bias": np.zeros(3)}
    if head is None:
        bound |= {"head.weight": np.zeros((3, 4))}
    with pytest.raises(ValueError, match=text):
        sc.SequenceModel({**metadata, "head": head}, bound)


def test_distributions_that_do_not_fit_are_refused() -> None:
    metadata, tensors = parts("gaussian")
    with pytest.raises(ValueError, match="'distribution': expected 'gaussian' or null, got 'cauc"):
        sc.SequenceModel({**metadata, "distribution": "cauchy"}, tensors)
    halved = {**tensors, "head.weight": tensors["head.weight"][:9]}
    with pytest.raises(ValueError, match=r"'head.weight': expected shape \[18, 9\]"):
        sc.SequenceModel(metadata, halved)
    metadata, tensors = parts("gaussian_layers")
    halved = {**metadata, "head": [dense(33, "gelu"), dense(4)]}
    with pytest.raises(ValueError, match=r"last output_size to be 8 \(means and log variances of"):
        sc.SequenceModel(halved, tensors)
    metadata, tensors = parts("ae_per_step")
    with pytest.raises(ValueError, match="'distribution': expected null for an autoencoder"):
        sc.SequenceModel({**metadata, "distribution": "gaussian"}, tensors)


def test_models_without_variances_refuse_nll() -> None:
    metadata, tensors = parts("leaky")
    model = sc.SequenceModel(metadata, tensors)
    series = rows_for(metadata, 30)
    for call in (
        lambda: model.score(series, reduction="nll"),
        lambda: model.stream(reduction="nll"),
    ):
        with pytest.raises(ValueError, match="reduction: 'nll' needs predicted variances"):
            call()
    with pytest.raises(ValueError, match="predict_log_variance: the model predicts no variances"):
        model.predict_log_variance(series)


def test_what_knows_plain_heads_alone_refuses_others_by_name(emulated_gpu: Any) -> None:
    pytest.importorskip("torch")
    from slidecell.training import to_module

    for name, key in (("leaky", "head"), ("gaussian", "distribution")):
        metadata, tensors = parts(name)
        model = sc.SequenceModel(metadata, tensors)
        with pytest.raises(ValueError, match=f"one dense layer .* got one with '{key}'"):
            to_module(model)
        with pytest.raises(sc.UnsupportedError, match=f"cuda: heads .*'{key}'"):
            sc.cuda.score(model, rows_for(metadata, 30))
    with pytest.raises(sc.UnsupportedError, match="cuda: reduction 'nll' runs on the CPU only"):
        sc.cuda.score(model, rows_for(metadata, 30), reduction="nll")


def test_monitors_judge_likelihoods(isa: str) -> None:
    """Whose scores may be negative, and so may be the threshold."""
    metadata, tensors = parts("gaussian_scaled")
    model = sc.SequenceModel(metadata, tensors)
    series = rows_for(metadata, 60)
    scores = model.score(series, reduction="nll", kernel="fma")
    limit = float(np.nanmedian(scores))
    monitor = sc.Monitor(model.stream(reduction="nll"), threshold=limit)
    events = [monitor.push(row) for row in series]
    assert_array_equal(np.float32([event.score for event in events]), scores)
    assert [event.alarm for event in events] == list(scores > limit)
    assert any(event.alarm for event in events)
