"""SklearnDetector: rows and windows, and the signs of scikit-learn's and PyOD's estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slidecell.detect import SklearnDetector, ZScoreDetector, load_detector, sklearn_adapter
from tests.detectors import series

W, F = 4, 3
X = series(120)
X[70] += 5.0
FOREST = IsolationForest(n_estimators=10, random_state=0)


def flat(rows: np.ndarray, window: int = W) -> np.ndarray:
    """Windows as vectors, made one by one: [n, W * F]."""
    return np.array([rows[i : i + window].ravel() for i in range(len(rows) - window + 1)])


@pytest.mark.parametrize(
    "estimator", [FOREST, GaussianMixture(2, random_state=0), PCA(3, random_state=0)]
)
def test_windows_score_as_their_vectors(estimator: Any) -> None:
    train, test = X[:60], X[60:]
    expected = (
        -estimator.__class__(**estimator.get_params()).fit(flat(train)).score_samples(flat(test))
    )
    scores = SklearnDetector(estimator, 0.05, window=W).fit(train).score_samples(test)
    assert np.isnan(scores[: W - 1]).all()
    np.testing.assert_allclose(scores[W - 1 :], expected, rtol=1e-9)
    usual, odd = scores[W - 1 : 10], scores[10 : 10 + W]
    assert odd.max() > usual.max()


def test_windows_are_scaled_row_by_row() -> None:
    train, test = X[:60], X[60:]
    low, span = train.min(axis=0), np.ptp(train, axis=0)
    expected = SklearnDetector(FOREST, 0.05, window=W).fit((train - low) / span)
    scaled = SklearnDetector(FOREST, 0.05, window=W, scaler="minmax").fit(train)
    np.testing.assert_allclose(
        scaled.score_samples(test), expected.score_samples((test - low) / span), rtol=1e-6
    )


def test_windows_cross_no_entity_and_touch_no_missing_value() -> None:
    rows = X.copy()
    rows[20, 1] = np.nan
    rows[100, 0] = 1e300
    detector = SklearnDetector(FOREST, 0.05, window=W).fit(rows, offsets=[0, 50, 120])
    scores = detector.decision_scores_
    bare = {0, 1, 2, 50, 51, 52, 20, 21, 22, 23, 101, 102, 103}
    assert set(np.flatnonzero(np.isnan(scores))) == bare
    assert scores[100] == np.inf
    kept = [i for i in range(117) if not {i + 3} & (bare | {100})]
    model = IsolationForest(n_estimators=10, random_state=0).fit(flat(rows)[kept])
    np.testing.assert_allclose(
        scores[np.array(kept) + 3], -model.score_samples(flat(rows)[kept]), rtol=1e-12
    )
    assert detector.rows_needed() == detector.shortest_series() == W


def test_windows_are_scored_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = SklearnDetector(FOREST, 0.05, window=W).fit(X)
    whole = detector.score_samples(X)
    monkeypatch.setattr(sklearn_adapter, "_WINDOWS_AT_ONCE", 7)
    assert np.array_equal(detector.score_samples(X), whole, equal_nan=True)


def test_windows_at_chosen_rows_and_after_loading(tmp_path: Any) -> None:
    detector = SklearnDetector(FOREST, 0.05, window=W, scaler="robust").fit(X)
    detector.save(tmp_path / "saved")
    again = load_detector(tmp_path / "saved")
    assert again.window == W
    assert again.get_params()["estimator"].get_params() == FOREST.get_params()
    scores = again.score_samples(X)
    assert np.array_equal(scores, detector.score_samples(X), equal_nan=True)
    # A piece with W - 1 rows of history scores as the whole series does.
    assert np.array_equal(again.score_samples(X[40:80])[W - 1 :], scores[40 + W - 1 : 80])


def test_windows_keep_the_length_that_was_fitted(tmp_path: Any) -> None:
    detector = SklearnDetector(FOREST, 0.05, window=W).fit(X)
    before = detector.score_samples(X)
    detector.set_params(window=9)
    assert np.array_equal(detector.score_samples(X), before, equal_nan=True)
    with pytest.raises(ValueError, match="window: fitted with 4, and set to 9 since"):
        detector.save(tmp_path / "saved")


@pytest.mark.parametrize(
    ("window", "error", "message"),
    [
        (0, ValueError, "window: expected an integer >= 1, got 0"),
        (2.5, TypeError, "window: expected"),
        (121, ValueError, "X: no window: one takes 121 rows"),
    ],
)
def test_windows_of_no_length_are_refused(window: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        SklearnDetector(FOREST, 0.05, window=window).fit(X)


def test_windows_that_all_lack_a_value_are_refused() -> None:
    rows = X.copy()
    rows[2::3] = np.nan
    with pytest.raises(
        ValueError, match="expected at least one window of 4 rows without a missing value, got none"
    ):
        SklearnDetector(FOREST, 0.05, window=W).fit(rows)
    assert SklearnDetector(FOREST, 0.05, window=2).fit(rows).scored_share_ == pytest.approx(1 / 3)


class BaseDetector(BaseEstimator):
    """What makes an estimator PyOD's: this name, in this module."""

    __module__ = "pyod.models.base"

    def __init__(self, column: int = 0) -> None:
        self.column = column

    def fit(self, X: np.ndarray, y: object = None) -> BaseDetector:
        self.center_ = X[:, self.column].mean()
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return abs(X[:, [self.column]] - self.center_)

    def score_samples(self, X: np.ndarray) -> np.ndarray:
        raise AssertionError("not what PyOD scores with")


class Derived(BaseDetector):
    """A detector of PyOD's kind."""


class OfSeries(BaseDetector):
    """A detector of PyOD's kind that makes windows itself."""

    __module__ = "pyod.models.ts_od"


@pytest.mark.parametrize("pipeline", [False, True])
def test_scores_of_pyod_keep_their_sign(pipeline: bool) -> None:
    estimator = make_pipeline(StandardScaler(), Derived(1)) if pipeline else Derived(1)
    detector = SklearnDetector(estimator, 0.05).fit(X[:60])
    column = X[:, 1]
    expected = abs(column - column[:60].mean()) / (column[:60].std() if pipeline else 1.0)
    np.testing.assert_allclose(detector.score_samples(X), expected, rtol=1e-12)
    assert int(detector.score_samples(X).argmax()) == 70
    windows = SklearnDetector(estimator, 0.05, window=2).fit(X[:60])
    assert int(np.nanargmax(windows.score_samples(X))) == 71  # column 1 of the first of two rows


class Unsigned(BaseEstimator):
    """An estimator with a decision_function and no known kind."""

    def fit(self, X: np.ndarray, y: object = None) -> Unsigned:
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        return X[:, 0]


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Unsigned(), r"decision_function alone, whose sign nobody knows$"),
        (make_pipeline(StandardScaler(), Unsigned()), "whose sign nobody knows"),
        (StandardScaler(), r"expected one with score_samples, which StandardScaler\(\) lacks$"),
        (OfSeries(), "OfSeries makes windows of a series itself: give a detector of rows"),
        (ZScoreDetector(), "is a detector of slidecell already: use that one"),
        (Derived, "expected an estimator of scikit-learn or PyOD, got <class"),
    ],
)
def test_estimators_without_a_score_are_refused(estimator: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^estimator: .*{message}"):
        SklearnDetector(estimator, 0.05).fit(X)


def test_estimators_of_pyod_are_not_saved(tmp_path: Any) -> None:
    detector = SklearnDetector(Derived(), 0.05).fit(X)
    with pytest.raises(ValueError, match=r"estimator: expected one of .*IsolationForest.*, got "):
        detector.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
