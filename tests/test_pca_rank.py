"""PCADetector on columns that depend on each other, on constant ones, and on few rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from slidecell.detect import PCADetector, RandomGRUDetector, load_detector
from slidecell.detect.principal import numerical_rank
from tests.detectors import series

A, B = np.random.default_rng(0).normal(size=(2, 500))
THREE = np.full(500, 3.0)

# Columns, rows that are far out, rows that break what always held, and a usual row.
CASES: dict[str, tuple[list[np.ndarray], list[list[float]], list[list[float]], list[float]]] = {
    "constant": ([A, THREE], [[50, 3]], [[0, 3.01], [0, -3]], [0.5, 3]),
    "constant of zeros": ([A, B, 0 * A], [[50, 50, 0]], [[0, 0, 0.01]], [0.5, 0.5, 0]),
    "large constant": ([A, B, 1e6 * THREE], [[50, 50, 3e6]], [[0, 0, 3.1e6]], [0.5, 0.5, 3e6]),
    "two constants": ([A, THREE, 2 * THREE], [[50, 3, 6]], [[0, 3, 6.1]], [0.5, 3, 6]),
    "doubled": ([A, 2 * A], [[50, 100]], [[1, -2], [1, 2.01]], [0.5, 1]),
    "same twice": ([A, B, A], [[50, -50, 50]], [[1, 0, -1]], [0.5, 0.5, 0.5]),
    "sum": ([A, B, A + B], [[50, -50, 0]], [[1, 1, 0], [1, 1, 2.01]], [0.5, 0.5, 1]),
    "one": ([A], [[50]], [], [0.5]),
}


@pytest.mark.parametrize("scaler", ["standard", "minmax", "robust", None])
@pytest.mark.parametrize("case", list(CASES))
def test_far_rows_and_broken_rules_are_flagged(case: str, scaler: Any, tmp_path: Path) -> None:
    columns, far, broken, usual = CASES[case]
    X = np.stack(columns, axis=1)
    detector = PCADetector(contamination=0.01, scaler=scaler).fit(X)
    assert detector.threshold_ > 1e-3  # of the spread of the rows, not of rounding
    assert detector.predict(far).all()
    assert not broken or detector.predict(broken).all()
    assert detector.predict([usual]).tolist() == [0]
    assert detector.predict(X).sum() == 5
    assert detector.predict(X.astype(np.float32)).sum() <= 6  # rounding is no news
    np.testing.assert_allclose(detector.feature_scores(X).mean(axis=1), detector.score_samples(X))
    detector.save(tmp_path / "pca")
    again = load_detector(tmp_path / "pca")
    every = np.concatenate([X, far])
    np.testing.assert_array_equal(again.score_samples(every), detector.score_samples(every))


def test_dependent_columns_of_float32_are_dependent() -> None:
    X = np.stack([A, B, A + B], axis=1).astype(np.float32)
    detector = PCADetector(contamination=0.01).fit(X)
    assert len(detector.components_) == 1
    assert detector.predict([[50.0, -50.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.5, 1.0]]).tolist() == [
        1,
        1,
        0,
    ]


def test_full_rank_keeps_its_scores() -> None:
    X = series(200, 4)
    detector = PCADetector(2, 0.05).fit(X)
    center, scale = (np.array(detector.scaler_[name]) for name in ("center", "scale"))
    scaled = (X - center) / scale
    values = np.linalg.svd(scaled - scaled.mean(axis=0), full_matrices=False)[2][:2]
    rest = scaled - scaled.mean(axis=0)
    rest = rest - rest @ values.T @ values
    np.testing.assert_allclose(detector.score_samples(X), (rest**2).mean(axis=1), rtol=1e-9)


def test_fewer_rows_than_columns_leave_a_direction_and_fix_none() -> None:
    rows = np.random.default_rng(1).normal(size=(5, 10))
    detector = PCADetector(0.99, 0.05).fit(rows)
    assert len(detector.components_) == 3
    assert detector.threshold_ > 1e-3
    assert detector.score_samples(rows + 0.1).max() < 1.0


def test_rank_is_that_of_numpy() -> None:
    X = np.stack([A, B, A - 2 * B, THREE], axis=1)
    X -= X.mean(axis=0)
    singular = np.linalg.svd(X, compute_uv=False)
    assert numerical_rank(singular, X.shape, X.dtype) == np.linalg.matrix_rank(X) == 2


def test_codes_of_a_series_that_stands_still_leave_a_direction() -> None:
    X = np.zeros((60, 2))
    X[::20, 0] = 1.0  # three kinds of windows, and few codes
    detector = RandomGRUDetector(window=2, hidden_size=6, n_components=5, random_state=0).fit(X)
    assert len(detector.components_) < 5
    assert detector.decision_scores_[np.isfinite(detector.decision_scores_)].max() > 1e-9
