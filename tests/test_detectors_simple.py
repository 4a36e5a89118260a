"""Detectors without training, against plain references."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from slidecell.detect import (
    PCADetector,
    RandomGRUDetector,
    RollingVarianceDetector,
    SklearnDetector,
    ZScoreDetector,
)
from slidecell.detect.random_gru import _xavier
from tests.detectors import series
from tests.reference import encode_reference


def test_zscore_equals_its_formula() -> None:
    train, X = series(200), series(50, seed=1)
    scores = ZScoreDetector(0.05).fit(train).score_samples(X)
    expected = (np.abs(X - train.mean(axis=0)) / train.std(axis=0)).max(axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


@pytest.mark.parametrize("window", [2, 5, 30])
def test_rolling_variance_equals_pandas(window: int) -> None:
    X = series(300) * [1.0, 10.0, 0.1]
    scores = RollingVarianceDetector(window).fit(X).decision_scores_
    expected = pd.DataFrame(X).rolling(window).var().max(axis=1).to_numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_rolling_variance_keeps_its_digits_beside_large_values() -> None:
    X = series(300, features=1)
    expected = RollingVarianceDetector(5).fit(X).score_samples(X)
    X[100] += 1e12  # a running sum would lose the digits of all that follows
    assert np.array_equal(RollingVarianceDetector(5).fit(X).decision_scores_[105:], expected[105:])


def test_rolling_variance_scales_if_asked() -> None:
    X = series(100) * [1.0, 1000.0, 1.0]
    detector = RollingVarianceDetector(10, 0.05, scaler="standard").fit(X)
    expected = pd.DataFrame(StandardScaler().fit_transform(X)).rolling(10).var().max(axis=1)
    np.testing.assert_allclose(detector.decision_scores_, expected, rtol=1e-9)
    with pytest.raises(ValueError, match=r"scaler: expected one of 'minmax', .*, got 'max'"):
        RollingVarianceDetector(10, scaler="max").fit(X)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="window: expected an integer >= 2, got 1"):
        RollingVarianceDetector(1).fit(X)
    with pytest.raises(TypeError, match=r"window: expected an integer, got 2\.5"):
        RollingVarianceDetector(2.5).fit(X)  # type: ignore[arg-type]


@pytest.mark.parametrize(("asked", "kept"), [(2, 2), (0.5, None), (7, 5), (0.9999999, 5)])
def test_pca_equals_sklearn(asked: float, kept: int | None) -> None:
    train = series(300, 6) @ np.random.default_rng(0).normal(size=(6, 6))
    X = series(50, 6, seed=1)
    detector = PCADetector(asked, 0.05).fit(train)
    scaler = StandardScaler().fit(train)
    pca = PCA(kept or asked, svd_solver="full").fit(scaler.transform(train))
    scaled = scaler.transform(X)
    expected = np.square(scaled - pca.inverse_transform(pca.transform(scaled)))
    assert len(detector.components_) == pca.n_components_
    np.testing.assert_allclose(detector.score_samples(X), expected.mean(axis=1), rtol=1e-9)
    np.testing.assert_allclose(detector.feature_scores(X), expected, rtol=1e-7, atol=1e-14)


def test_pca_of_one_feature_is_the_squared_z_score() -> None:
    X = series(100, 1)
    z = ZScoreDetector(0.05).fit(X).decision_scores_
    np.testing.assert_allclose(
        PCADetector(contamination=0.05).fit(X).decision_scores_, z**2, rtol=1e-9
    )


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (0, ValueError),
        (1.5, ValueError),
        (math.inf, ValueError),
        (math.nan, ValueError),
        (True, TypeError),
        ("mle", TypeError),
    ],
)
def test_pca_refuses_impossible_numbers_of_components(asked: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="n_components: expected"):
        PCADetector(asked).fit(series())


def test_pca_needs_two_complete_rows() -> None:
    X = np.array([[1.0, 2.0], [np.nan, 1.0], [3.0, np.nan]])
    with pytest.raises(ValueError, match="X: expected at least 2 rows without a missing value"):
        PCADetector(contamination=0.05).fit(X)


@pytest.mark.parametrize(
    "estimator",
    [
        IsolationForest(n_estimators=20, random_state=0),
        OneClassSVM(nu=0.1),
        LocalOutlierFactor(novelty=True),
    ],
)
def test_sklearn_scores_are_those_of_the_estimator_negated(estimator: Any) -> None:
    train, X = series(200), series(50, seed=1)
    detector = SklearnDetector(estimator, 0.05).fit(train)
    expected = -estimator.__class__(**estimator.get_params()).fit(train).score_samples(X)
    np.testing.assert_allclose(detector.score_samples(X), expected, rtol=1e-12)
    assert not hasattr(estimator, "n_features_in_")  # the one given stays unfitted
    scaled = SklearnDetector(estimator, 0.05, scaler="standard").fit(train)
    scaler = StandardScaler().fit(train)
    expected = -scaled.estimator_.score_samples(scaler.transform(X))
    np.testing.assert_allclose(scaled.score_samples(X), expected, rtol=1e-9)


def test_sklearn_needs_score_samples() -> None:
    for other in (LocalOutlierFactor(), StandardScaler(), BaseEstimator(), IsolationForest, None):
        with pytest.raises(TypeError, match="estimator: expected"):
            SklearnDetector(other).fit(series())
    with pytest.raises(TypeError, match="novelty=True gives it one"):
        SklearnDetector(LocalOutlierFactor()).fit(series())


def true_codes(detector: RandomGRUDetector, X: np.ndarray) -> np.ndarray:
    """Last h of each window [N, H] in float64: the reset gate before the recurrent product."""
    assert detector.model_.metadata["encoder"][0]["reset_after"] is False
    return encode_reference(detector.model_.metadata, detector.model_.tensors, X)


def test_random_gru_equals_the_reference_and_pca() -> None:
    train, X = series(150), series(60, seed=1)
    detector = RandomGRUDetector(
        window=10, hidden_size=8, n_components=3, random_state=0, contamination=0.05
    )
    scores = detector.fit(train).score_samples(X)
    codes = true_codes(detector, X)
    np.testing.assert_allclose(detector.encode(X), codes, atol=1e-6)
    pca = PCA(3, svd_solver="full").fit(true_codes(detector, train))
    expected = np.square(codes - pca.inverse_transform(pca.transform(codes))).mean(axis=1)
    assert np.isnan(scores[:9]).all()
    np.testing.assert_allclose(scores[9:], expected, rtol=1e-3, atol=1e-8)
    assert detector.model_.scaler is not None
    np.testing.assert_allclose(detector.model_.scaler["center"], train.mean(axis=0))
    tensors = detector.model_.tensors
    assert not tensors["encoder.0.bias_ih_l0"].any()
    assert not tensors["encoder.0.bias_hh_l0"].any()


def test_random_gru_draws_as_glorot_scales_each_gate() -> None:
    drawn = _xavier(np.random.default_rng(0), 200, 50)
    assert drawn.shape == (600, 50)
    for gate in np.split(drawn, 3):
        assert abs(gate.std() / np.sqrt(2 / 250) - 1) < 0.02  # of 10,000 numbers


def test_random_gru_repeats_with_its_seed() -> None:
    X = series(100)
    first, again, other = (
        RandomGRUDetector(window=5, random_state=seed).fit(X).decision_scores_ for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again, equal_nan=True)
    assert not np.array_equal(first, other, equal_nan=True)
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    RandomGRUDetector(window=5, random_state=np.random.RandomState(0)).fit(X)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_random_gru_refuses_sizes_that_leave_no_component() -> None:
    X = series(100)
    with pytest.raises(ValueError, match="n_components: expected less than hidden_size=4"):
        RandomGRUDetector(window=5, hidden_size=4, n_components=4).fit(X)
    with pytest.raises(ValueError, match="X: expected at least 5 windows without a missing value"):
        RandomGRUDetector(window=97, contamination=0.05).fit(X)
    with pytest.raises(ValueError, match="random_state: expected an integer >= 0, got -1"):
        RandomGRUDetector(window=5, random_state=-1).fit(X)
