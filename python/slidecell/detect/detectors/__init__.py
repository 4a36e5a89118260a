"""Estimators that score the rows of series: see `slidecell.detect`."""

from __future__ import annotations

from slidecell._extras import require

require("sklearn", extra="detect")

from slidecell.detect.detectors.base import Detector  # noqa: E402
from slidecell.detect.detectors.pca import PCADetector  # noqa: E402
from slidecell.detect.detectors.rolling_variance import RollingVarianceDetector  # noqa: E402
from slidecell.detect.detectors.sklearn_adapter import SklearnDetector  # noqa: E402
from slidecell.detect.detectors.zscore import ZScoreDetector  # noqa: E402

__all__ = [
    "Detector",
    "PCADetector",
    "RollingVarianceDetector",
    "SklearnDetector",
    "ZScoreDetector",
]
