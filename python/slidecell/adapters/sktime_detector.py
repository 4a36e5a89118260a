"""A detector of slidecell as one of sktime."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sktime.detection.base import BaseDetector

from slidecell.adapters.wrapped import fit_copy
from slidecell.detect.base import Detector

__all__ = ["SktimeDetector"]


class SktimeDetector(BaseDetector):  # type: ignore[misc]
    """Use any detector of `slidecell.detect` where sktime takes an anomaly detector.

    ``predict`` returns the places (``ilocs``) of the flagged rows, ``transform`` a label 0 or 1 for
    each row, ``transform_scores`` each row's score, NaN where it has none, and ``predict_scores``
    the scores of the flagged rows.

    Parameters
    ----------
    detector : Detector
        It is copied, and stays as it is. Its ``contamination`` sets the threshold.

    Attributes
    ----------
    detector_ : Detector
        The fitted one.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from slidecell.adapters import SktimeDetector
    >>> from slidecell.detect import ZScoreDetector
    >>> X = pd.DataFrame({"x": np.sin(np.arange(100.0))})
    >>> X.loc[70, "x"] = 9.0
    >>> SktimeDetector(ZScoreDetector(contamination=0.01)).fit(X).predict(X)
       ilocs
    0     70
    """

    _tags: ClassVar[dict[str, Any]] = {
        "task": "anomaly_detection",
        "learning_type": "unsupervised",
        "capability:multivariate": True,
        "capability:missing_values": True,
        # sktime fits again on all rows that it has seen.
        "capability:update": False,
        "X_inner_mtype": "pd.DataFrame",
        "fit_is_empty": False,
    }

    detector_: Detector

    def __init__(self, detector: Any) -> None:
        self.detector = detector
        super().__init__()

    def _fit(self, X: pd.DataFrame, y: object = None) -> SktimeDetector:
        del y
        self.detector_ = fit_copy(self.detector, _rows(X))
        return self

    def _predict(self, X: Any) -> pd.DataFrame:
        return pd.DataFrame({"ilocs": self._flagged(X)})

    def _transform_scores(self, X: Any) -> pd.DataFrame:
        scores = self.detector_.score_samples(_rows(X))
        return pd.DataFrame({"scores": scores}, index=X.index)

    def _predict_scores(self, X: Any) -> pd.Series[float]:
        scores = self.detector_.score_samples(_rows(X))
        return pd.Series(scores[self._flagged(X)], name="scores")

    def _flagged(self, X: Any) -> Any:
        return np.flatnonzero(self.detector_.predict(_rows(X))).astype(np.int64)

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return what sktime's tests make instances of."""
        del parameter_set
        from slidecell.detect import KMeansDetector, ZScoreDetector

        windows = KMeansDetector(window=3, n_clusters=2, random_state=0)
        return [{"detector": ZScoreDetector()}, {"detector": windows}]


def _rows(X: Any) -> pd.DataFrame:
    """Return rows without sktime's index: they are in the order of time, and counted through."""
    return pd.DataFrame(X).reset_index(drop=True)
