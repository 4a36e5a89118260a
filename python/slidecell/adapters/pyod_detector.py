"""A detector of slidecell as one of PyOD."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pyod.models.base import BaseDetector
from sklearn.utils.validation import check_is_fitted

from slidecell.adapters.wrapped import finite_scores, fit_copy
from slidecell.detect.base import Detector

__all__ = ["PyODDetector"]

Floats = npt.NDArray[np.float64]


class PyODDetector(BaseDetector):  # type: ignore[misc]
    """Use any detector of `slidecell.detect` where PyOD takes one of its own.

    Signs and labels are the same on both sides: a higher score is more anomalous, and 1 is an
    anomaly. ``predict``, ``predict_proba``, ``predict_confidence``, ``predict_with_rejection`` and
    the thresholds of PyOD are PyOD's own.

    Rows are a series, in the order of time. A row without a score (where no window ends, or beside
    a missing value) has the score ``threshold_``, as in PyOD's `TimeSeriesOD`: it is not flagged,
    and has no part in the threshold. An infinite score becomes float32's greatest number.

    Parameters
    ----------
    detector : Detector
        It is copied, and stays as it is.
    contamination : float or a threshold of PyOD
        Share of the training rows that is flagged, 0 < contamination <= 0.5, or what
        ``pyod.models.thresholds`` has. The detector's own has no part in it.

    Attributes
    ----------
    detector_ : Detector
        The fitted one.
    decision_scores_ : ndarray of float64, [S]
        Scores of the training rows.
    threshold_ : float
    labels_ : ndarray of int, [S]
        1 where the training score is above the threshold.

    See Also
    --------
    slidecell.detect.SklearnDetector : The other way: a detector of PyOD as one of slidecell.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.adapters import PyODDetector
    >>> from slidecell.detect import KMeansDetector
    >>> X = np.sin(np.arange(800) / 5)[:, None]
    >>> X[700] += 2.0
    >>> detector = PyODDetector(KMeansDetector(window=10, n_clusters=20, random_state=0))
    >>> detector = detector.fit(X[:600])
    >>> int(detector.decision_function(X).argmax()) in range(700, 710)
    True
    >>> detector.predict_proba(X)[705].tolist()  # of being normal, of being an anomaly
    [0.0, 1.0]
    """

    detector_: Detector
    decision_scores_: Floats
    threshold_: float
    labels_: npt.NDArray[np.int64]

    def __init__(self, detector: Any, contamination: Any = 0.1) -> None:
        super().__init__(contamination=contamination)
        self.detector = detector

    def fit(self, X: Any, y: object = None) -> PyODDetector:
        """Learn from rows [S, F] what is normal, and set the threshold.

        Parameters
        ----------
        X : array_like, [S, F], or DataFrame
        y : object
            Ignored.

        Returns
        -------
        PyODDetector
            Itself.
        """
        del y
        fitted = fit_copy(self.detector, X, scores_alone=True)
        self._set_n_classes(None)
        scored = ~np.isnan(fitted.decision_scores_)
        # PyOD takes the threshold, and for probabilities mean and deviation, of what stands here.
        self.decision_scores_ = finite_scores(fitted.decision_scores_[scored], np.nan)
        self._process_decision_scores()
        self.detector_ = fitted
        self.decision_scores_ = finite_scores(fitted.decision_scores_, self.threshold_)
        labels = np.zeros(len(scored), np.int64)
        labels[scored] = self.labels_
        self.labels_ = labels
        return self

    def decision_function(self, X: Any) -> Floats:
        """Rows [S, F] -> their scores [S], higher = more anomalous; all are finite."""
        check_is_fitted(self, ["decision_scores_", "threshold_", "labels_"])
        return finite_scores(self.detector_.score_samples(X), self.threshold_)

    def fit_predict(self, X: Any, y: object = None) -> npt.NDArray[np.int64]:
        """Fit to rows [S, F] and return their ``labels_`` [S]: 1 for an anomaly."""
        return self.fit(X, y).labels_
