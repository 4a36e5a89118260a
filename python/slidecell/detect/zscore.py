"""The plainest baseline: how many standard deviations a row is away from the training mean."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slidecell.detect.base import Detector, FeatureReduction
from slidecell.detect.fitted_values import read_scaler
from slidecell.detect.scales import fit_rows_scaler, scale
from slidecell.tables.rows import Floats, Rows

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.thresholds import Threshold

__all__ = ["ZScoreDetector"]


class ZScoreDetector(Detector):
    """Score a row by its largest ``|x - mean| / sd`` over the features.

    Mean and standard deviation (ddof 0) are those of the complete training rows. A row with a
    missing value scores NaN.

    Parameters
    ----------
    contamination : float, optional
        Share of the training scores above the threshold.
    threshold : Threshold, str or float, optional
        The rule that flags rows: see `Detector`.
    missing : {"skip", "ffill"}
    entity, time : hashable, optional
        Columns of a DataFrame: see `Detector`.

    Attributes
    ----------
    scaler_ : dict
        ``center`` and ``scale`` of each feature.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ZScoreDetector
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> detector = ZScoreDetector(contamination=0.01).fit(X)
    >>> detector.predict([[0.0, 0.0], [0.0, 9.0]])
    array([0, 1])
    """

    _of_rows = True

    scaler_: dict[str, Any]

    def __init__(
        self,
        contamination: float | None = None,
        *,
        threshold: Threshold | str | float | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
    ) -> None:
        self.contamination = contamination
        self.threshold = threshold
        self.missing = missing
        self.entity = entity
        self.time = time

    @property
    def feature_reduction(self) -> FeatureReduction:
        """How `feature_scores` become scores."""
        return "max"

    def _window_rows(self) -> int:
        return 1

    def _row_scaler(self) -> dict[str, Any] | None:
        return self.scaler_

    def _fit(self, rows: Rows) -> None:
        scaler = fit_rows_scaler(rows, "standard")
        assert scaler is not None
        self.scaler_ = scaler

    def _score(self, rows: Rows) -> Floats:
        scores: Floats = self._score_all(rows).max(axis=1)
        return self._mark_too_large(rows, scores)

    def _score_features(self, rows: Rows) -> Floats:
        return self._mark_too_large(rows, self._score_all(rows))

    def _score_all(self, rows: Rows) -> Floats:
        scores = np.abs(scale(self.scaler_, rows.floats()))
        scores[~rows.complete()] = np.nan
        return scores

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.values["scaler"] = self.scaler_
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        scaler = read_scaler(parts.values, self.n_features_in_)
        if scaler is None:
            raise ValueError("'scaler': missing")
        self.scaler_ = scaler
