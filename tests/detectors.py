"""Small detectors of every kind, and series to try them on."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest

from slidecell.detect import (
    AutoencoderDetector,
    Detector,
    ForecastDetector,
    KMeansDetector,
    NeighborDetector,
    PCADetector,
    RandomGRUDetector,
    RidgeDetector,
    RollingVarianceDetector,
    SklearnDetector,
    WindowPCADetector,
    ZScoreDetector,
)

NETWORKS = ("forecast", "autoencoder")
FLAT = ("kmeans", "window_pca", "ridge", "neighbors")
WINDOWED = (*NETWORKS, "random_gru", "rolling_variance", *FLAT, "sklearn_windows")
ALL = (*WINDOWED, "zscore", "pca", "sklearn")
PER_FEATURE = ("forecast", "autoencoder", "rolling_variance", "window_pca", "zscore", "pca")

# A fitted row's own window does not count among the training windows that it is compared with, as
# it does when the same rows are scored again.
LEAVES_ITSELF_OUT = ("neighbors",)


_CLASSES: dict[str, tuple[type[Detector], dict[str, Any]]] = {
    "forecast": (ForecastDetector, {"window": 4, "hidden_size": 3, "smoothing": 1}),
    "autoencoder": (
        AutoencoderDetector,
        {"window": 4, "encoder_sizes": (3, 2), "decoder_sizes": (2, 3)},
    ),
    "random_gru": (RandomGRUDetector, {"window": 4, "hidden_size": 6, "n_components": 2}),
    "kmeans": (KMeansDetector, {"window": 4, "n_clusters": 5, "random_state": 0}),
    "window_pca": (WindowPCADetector, {"window": 4, "n_components": 2}),
    "ridge": (RidgeDetector, {"window": 4, "smoothing": 1}),
    "neighbors": (NeighborDetector, {"window": 4, "n_points": 20}),
    "rolling_variance": (RollingVarianceDetector, {"window": 4}),
    "zscore": (ZScoreDetector, {}),
    "pca": (PCADetector, {}),
}


def make(kind: str, **options: Any) -> Detector:
    """Return an unfitted detector that fits in some milliseconds, on all rows that it is given.

    Its threshold is a percentile of all scores: one that is set by a rate holds rows out.
    """
    if "threshold" not in options:
        options = {"contamination": 0.05, **options}
    if kind in {"sklearn", "sklearn_windows"}:
        forest = IsolationForest(n_estimators=5, random_state=0)
        window = 4 if kind == "sklearn_windows" else 1
        return SklearnDetector(**{"estimator": forest, "window": window, **options})
    detector, small = _CLASSES[kind]
    quick = {"epochs": 1, "random_state": 0, "num_threads": 1} if kind in NETWORKS else {}
    if kind == "random_gru":
        quick = {"random_state": 0}
    return detector(**{**small, **quick, **options})


def rows_needed(kind: str) -> int:
    """Rows up to the first score of an entity."""
    return {"forecast": 5, "ridge": 5, "zscore": 1, "pca": 1, "sklearn": 1}.get(kind, 4)


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
