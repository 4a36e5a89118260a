"""Forecasters that predict means and log variances, and their score: reduction="nll"."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import slidecell as sc
from tests.head_cases import parts, rows_for
from tests.models import HEADS, dense
from tests.reference import predict_reference

GAUSSIAN = [name for name in HEADS if "gaussian" in name]


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
