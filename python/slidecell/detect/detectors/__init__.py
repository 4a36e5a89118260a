"""Estimators that score the rows of series: see `slidecell.detect`."""

from __future__ import annotations

from slidecell._extras import require

require("sklearn", extra="detect")

from slidecell.detect.detectors.autoencoder import AutoencoderDetector  # noqa: E402
from slidecell.detect.detectors.base import Detector  # noqa: E402
from slidecell.detect.detectors.forecast import ForecastDetector  # noqa: E402
from slidecell.detect.detectors.pca import PCADetector  # noqa: E402
from slidecell.detect.detectors.random_gru import RandomGRUDetector  # noqa: E402
from slidecell.detect.detectors.rolling_variance import RollingVarianceDetector  # noqa: E402
from slidecell.detect.detectors.sklearn_adapter import SklearnDetector  # noqa: E402
from slidecell.detect.detectors.storage import load_detector  # noqa: E402
from slidecell.detect.detectors.zscore import ZScoreDetector  # noqa: E402

__all__ = [
    "AutoencoderDetector",
    "Detector",
    "ForecastDetector",
    "PCADetector",
    "RandomGRUDetector",
    "RollingVarianceDetector",
    "SklearnDetector",
    "ZScoreDetector",
    "load_detector",
]
