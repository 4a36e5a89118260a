"""Series and members of small ensembles, for tests."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.ensemble import IsolationForest

from slidecell.detect import Detector, RollingVarianceDetector, SklearnDetector, ZScoreDetector

W = 6


def series(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows [n, 3] and labels [n]: spikes and a burst."""
    rng = np.random.default_rng(seed)
    X = np.sin(np.arange(n) / 9)[:, None] + rng.normal(0, 0.1, (n, 3))
    y = np.zeros(n, int)
    spikes = rng.choice(np.arange(20, n), 8, replace=False)
    X[spikes, rng.integers(0, 3, 8)] += 3.0
    burst = slice(n // 2, n // 2 + 15)
    X[burst, 1] += rng.normal(0, 2.0, 15)
    y[spikes] = y[burst] = 1
    return X, y


def forest() -> SklearnDetector:
    return SklearnDetector(IsolationForest(n_estimators=10, random_state=0), 0.05)


def members() -> list[tuple[str, Detector]]:
    return [
        ("z", ZScoreDetector(0.05)),
        ("forest", forest()),
        ("burst", RollingVarianceDetector(W, 0.05)),
    ]
