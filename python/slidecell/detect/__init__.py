"""Anomaly detection: estimators for arrays and DataFrames, and whole jobs from files.

A detector learns from rows what is normal, scores rows on the compiled kernels (higher = more
anomalous) and flags those above a threshold taken from the training scores:

>>> import numpy as np
>>> from slidecell.detect import ForecastDetector, load_detector
>>> X = np.sin(np.arange(600) / 5)[:, None]  # [S, F]: or a DataFrame, with entity= and time=
>>> X[550] += 1.0
>>> detector = ForecastDetector(window=8, hidden_size=8, epochs=5, lr=0.02, random_state=0)
>>> flags = detector.fit(X[:500]).predict(X)
>>> int(flags[550]), bool(detector.score_samples(X)[550] > detector.threshold_)
(1, True)
>>> detector.save("detector")  # a folder, without pickle
>>> bool((load_detector("detector").predict(X) == flags).all())
True

`AutoencoderDetector`, `RandomGRUDetector`, `ZScoreDetector`, `RollingVarianceDetector`,
`PCADetector` and `SklearnDetector` work alike: see `Detector`. `Ensemble` makes one detector of
several, and `slidecell.detect.attribution` tells what a score is made of.

`run_detect` is the command ``slidecell detect`` as a function, `run_score` is ``slidecell score``,
`run_retrain` is ``slidecell retrain``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from slidecell.detect.architectures import (
    INSIDER_THREAT_ARCHITECTURES,
    ArchitectureResult,
    ArchitectureSearch,
    search_architectures,
)
from slidecell.detect.job import DetectOptions, run_detect
from slidecell.detect.rescore import ScoreOptions, run_score
from slidecell.detect.results import Result
from slidecell.detect.retrain import RetrainOptions, run_retrain
from slidecell.tables.table import Table, TableOptions, read_table

if TYPE_CHECKING:
    from slidecell.detect.detectors.autoencoder import AutoencoderDetector
    from slidecell.detect.detectors.base import Detector
    from slidecell.detect.detectors.forecast import ForecastDetector
    from slidecell.detect.detectors.pca import PCADetector
    from slidecell.detect.detectors.random_gru import RandomGRUDetector
    from slidecell.detect.detectors.rolling_variance import RollingVarianceDetector
    from slidecell.detect.detectors.sklearn_adapter import SklearnDetector
    from slidecell.detect.detectors.storage import load_detector
    from slidecell.detect.detectors.zscore import ZScoreDetector
    from slidecell.detect.ensemble import Ensemble
    from slidecell.tables.ordering import time_order

# What needs scikit-learn is imported when it is asked for: thresholds and smoothing, which live
# streams use, do without.
_LAZY = {
    "AutoencoderDetector": "slidecell.detect.detectors",
    "Detector": "slidecell.detect.detectors",
    "Ensemble": "slidecell.detect.ensemble",
    "ForecastDetector": "slidecell.detect.detectors",
    "PCADetector": "slidecell.detect.detectors",
    "RandomGRUDetector": "slidecell.detect.detectors",
    "RollingVarianceDetector": "slidecell.detect.detectors",
    "SklearnDetector": "slidecell.detect.detectors",
    "ZScoreDetector": "slidecell.detect.detectors",
    "load_detector": "slidecell.detect.detectors",
    "time_order": "slidecell.tables.ordering",
}

__all__ = [
    "INSIDER_THREAT_ARCHITECTURES",
    "ArchitectureResult",
    "ArchitectureSearch",
    "AutoencoderDetector",
    "DetectOptions",
    "Detector",
    "Ensemble",
    "ForecastDetector",
    "PCADetector",
    "RandomGRUDetector",
    "Result",
    "RetrainOptions",
    "RollingVarianceDetector",
    "ScoreOptions",
    "SklearnDetector",
    "Table",
    "TableOptions",
    "ZScoreDetector",
    "load_detector",
    "read_table",
    "run_detect",
    "run_retrain",
    "run_score",
    "search_architectures",
    "time_order",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
