"""Small detectors of every kind, and series to try them on."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest

from slidecell.detect import (
    AutoencoderDetector,
    Detector,
    ForecastDetector,
    PCADetector,
    RandomGRUDetector,
    RollingVarianceDetector,
    SklearnDetector,
    ZScoreDetector,
)

NETWORKS = ("forecast", "autoencoder")
WINDOWED = (*NETWORKS, "random_gru", "rolling_variance")
ALL = (*WINDOWED, "zscore", "pca", "sklearn")
PER_FEATURE = ("forecast", "autoencoder", "rolling_variance", "zscore", "pca")


def make(kind: str, **options: Any) -> Detector:
    """Return an unfitted detector that fits in some milliseconds."""
    quick = {"epochs": 1, "random_state": 0, "num_threads": 1}
    if kind == "forecast":
        return ForecastDetector(**{"window": 4, "hidden_size": 3, **quick, **options})
    if kind == "autoencoder":
        sizes = {"encoder_sizes": (3, 2), "decoder_sizes": (2, 3)}
        return AutoencoderDetector(**{"window": 4, **sizes, **quick, **options})
    if kind == "random_gru":
        sizes = {"hidden_size": 6, "n_components": 2}
        return RandomGRUDetector(**{"window": 4, "random_state": 0, **sizes, **options})
    if kind == "rolling_variance":
        return RollingVarianceDetector(**{"window": 4, **options})
    if kind == "sklearn":
        forest = IsolationForest(n_estimators=5, random_state=0)
        return SklearnDetector(**{"estimator": forest, **options})
    return {"zscore": ZScoreDetector, "pca": PCADetector}[kind](**options)


def rows_needed(kind: str) -> int:
    """Rows up to the first score of an entity."""
    return {"forecast": 5, "zscore": 1, "pca": 1, "sklearn": 1}.get(kind, 4)


def series(rows: int = 60, features: int = 3, seed: int = 0) -> np.ndarray:
    """Waves with noise, float64 [S, F]."""
    time = np.arange(rows)[:, None] / np.linspace(3, 5, features)
    return np.sin(time) + np.random.default_rng(seed).normal(0, 0.1, (rows, features))


# A prelude for subprocesses. `sys.modules["torch"] = None` would do, but scipy looks there.
WITHOUT_TORCH = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Absent())
"""
