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

`AutoencoderDetector`, `KMeansDetector`, `WindowPCADetector`, `RidgeDetector`, `NeighborDetector`,
`RandomGRUDetector`, `PCADetector`, `ZScoreDetector`, `RollingVarianceDetector` and
`SklearnDetector` work alike: see `Detector`. Each scores live rows with the same bits: see
`Detector.stream`. `Ensemble` makes one detector of
several, and `slidecell.detect.attribution` tells what a score is made of.

`run_detect` is the command ``slidecell detect`` as a function, `run_score` is ``slidecell score``,
`run_retrain` is ``slidecell retrain``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slidecell._extras import home_of
from slidecell.detect.registry import DETECTORS

if TYPE_CHECKING:
    from slidecell.detect.architectures import (
        INSIDER_THREAT_ARCHITECTURES,
        ArchitectureResult,
        ArchitectureSearch,
        search_architectures,
    )
    from slidecell.detect.autoencoder import AutoencoderDetector
    from slidecell.detect.base import Detector
    from slidecell.detect.ensemble import Ensemble
    from slidecell.detect.forecast import ForecastDetector
    from slidecell.detect.kmeans import KMeansDetector
    from slidecell.detect.loading import load_detector
    from slidecell.detect.neighbors import NeighborDetector
    from slidecell.detect.pca import PCADetector
    from slidecell.detect.random_gru import RandomGRUDetector
    from slidecell.detect.ridge import RidgeDetector
    from slidecell.detect.rolling_variance import RollingVarianceDetector
    from slidecell.detect.sklearn_adapter import SklearnDetector
    from slidecell.detect.streams.base import DetectorStream
    from slidecell.detect.window_pca import WindowPCADetector
    from slidecell.detect.zscore import ZScoreDetector
    from slidecell.jobs.detect import DetectOptions, run_detect
    from slidecell.jobs.results import Result
    from slidecell.jobs.retrain import RetrainOptions, run_retrain
    from slidecell.jobs.score import ScoreOptions, run_score
    from slidecell.tables.options import TableOptions
    from slidecell.tables.rows import Rows as Table
    from slidecell.tables.sorting import time_order
    from slidecell.tables.table import read_table

# Where each name lives: imported when it is asked for, so that what a program does without costs
# nothing. Jobs and tables stand here because version 0.1 had them here.
_HOMES = {
    **{entry.kind: entry.module for entry in DETECTORS},
    "ArchitectureResult": "slidecell.detect.architectures",
    "ArchitectureSearch": "slidecell.detect.architectures",
    "DetectOptions": "slidecell.jobs.detect",
    "Detector": "slidecell.detect.base",
    "DetectorStream": "slidecell.detect.streams.base",
    "INSIDER_THREAT_ARCHITECTURES": "slidecell.detect.architectures",
    "Result": "slidecell.jobs.results",
    "RetrainOptions": "slidecell.jobs.retrain",
    "ScoreOptions": "slidecell.jobs.score",
    "Table": "slidecell.tables.rows",
    "TableOptions": "slidecell.tables.options",
    "load_detector": "slidecell.detect.loading",
    "read_table": "slidecell.tables.table",
    "run_detect": "slidecell.jobs.detect",
    "run_retrain": "slidecell.jobs.retrain",
    "run_score": "slidecell.jobs.score",
    "search_architectures": "slidecell.detect.architectures",
    "time_order": "slidecell.tables.sorting",
}
_NAMES_OF_0_1 = {"Table": "Rows"}  # renamed where they live now

__all__ = [
    "INSIDER_THREAT_ARCHITECTURES",
    "ArchitectureResult",
    "ArchitectureSearch",
    "AutoencoderDetector",
    "DetectOptions",
    "Detector",
    "DetectorStream",
    "Ensemble",
    "ForecastDetector",
    "KMeansDetector",
    "NeighborDetector",
    "PCADetector",
    "RandomGRUDetector",
    "Result",
    "RetrainOptions",
    "RidgeDetector",
    "RollingVarianceDetector",
    "ScoreOptions",
    "SklearnDetector",
    "Table",
    "TableOptions",
    "WindowPCADetector",
    "ZScoreDetector",
    "load_detector",
    "read_table",
    "run_detect",
    "run_retrain",
    "run_score",
    "search_architectures",
    "time_order",
]
__all__.extend(sorted(set(_HOMES) - set(__all__)))  # a detector that is new in the registry


def __getattr__(name: str) -> Any:
    home = home_of(name, _HOMES, room=__name__, needs="sklearn", extra="detect")
    return getattr(home, _NAMES_OF_0_1.get(name, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
