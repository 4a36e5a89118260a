"""A detector of slidecell as one of aeon."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from aeon.anomaly_detection.series.base import BaseSeriesAnomalyDetector

from slidecell.adapters.wrapped import fit_copy, nearest_scores
from slidecell.detect.base import Detector

__all__ = ["AeonDetector"]

Floats = npt.NDArray[np.float64]


class AeonDetector(BaseSeriesAnomalyDetector):  # type: ignore[misc]
    """Use any detector of `slidecell.detect` where aeon takes one of series.

    ``predict`` and ``fit_predict`` return scores, higher = more anomalous, of all time points. One
    without a score (where no window ends, or beside a missing value) has the last score before it,
    and in the beginning the first one. An infinite score becomes float32's greatest number.

    Parameters
    ----------
    detector : Detector
        It is copied, and stays as it is.

    Attributes
    ----------
    detector_ : Detector
        The fitted one.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.adapters import AeonDetector
    >>> from slidecell.detect import KMeansDetector
    >>> X = np.sin(np.arange(800) / 5)
    >>> X[700] += 2.0
    >>> detector = AeonDetector(KMeansDetector(window=10, n_clusters=20, random_state=0))
    >>> scores = detector.fit(X[:600]).predict(X)
    >>> int(scores.argmax()) in range(700, 710)
    True
    """

    _tags: ClassVar[dict[str, Any]] = {
        "capability:univariate": True,
        "capability:multivariate": True,
        "capability:missing_values": True,
        "fit_is_empty": False,
        "anomaly_output_type": "anomaly_scores",
        "learning_type:unsupervised": True,
        "learning_type:semi_supervised": True,
    }

    detector_: Detector

    def __init__(self, detector: Any) -> None:
        self.detector = detector
        super().__init__(axis=0)  # [S, F]

    def _fit(self, X: Floats, y: object = None) -> AeonDetector:
        del y
        self.detector_ = fit_copy(self.detector, X, scores_alone=True)
        return self

    def _predict(self, X: Floats) -> Floats:
        return nearest_scores(self.detector_.score_samples(X))

    def _fit_predict(self, X: Floats, y: object = None) -> Floats:
        return nearest_scores(self._fit(X, y).detector_.decision_scores_)

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return what aeon's tests make instances of."""
        del parameter_set
        from slidecell.detect import KMeansDetector, ZScoreDetector

        windows = KMeansDetector(window=3, n_clusters=2, random_state=0)
        return [{"detector": ZScoreDetector()}, {"detector": windows}]
