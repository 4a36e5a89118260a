"""A linear baseline: what the principal components of the training rows leave over of a row."""

from __future__ import annotations

import numbers
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.decomposition import PCA

from slidecell.detect.base import Detector, FeatureReduction
from slidecell.detect.fitted_values import read_scaler
from slidecell.detect.principal import mean_squared_residual, squared_residuals
from slidecell.detect.scales import ScalerKind, fit_rows_scaler, scale
from slidecell.tables.rows import Floats, Rows

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts

__all__ = ["PCADetector"]


class PCADetector(Detector):
    """Score a row by the mean squared error of its reconstruction from principal components.

    Components and scaler are fitted on the complete training rows; a row with a missing value
    scores NaN.

    Parameters
    ----------
    n_components : int or float
        Components kept; below 1: as many as explain this share of the variance. At most F - 1 are
        kept, because all F leave nothing over.
    contamination : float
        Share of the training scores above the threshold.
    scaler : {"standard", "minmax", "robust"}, optional
    missing : {"skip", "ffill"}
    entity, time : hashable, optional
        Columns of a DataFrame: see `Detector`.

    Attributes
    ----------
    components_ : ndarray, [k, F]
    mean_ : ndarray, [F]
        Of the scaled rows.
    scaler_ : dict or None

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import PCADetector
    >>> x = np.random.default_rng(0).normal(size=500)
    >>> detector = PCADetector(1).fit(np.stack([x, 2 * x + 0.01 * np.cos(x)], axis=1))
    >>> detector.predict([[1.0, 2.0], [1.0, -2.0]])
    array([0, 1])
    """

    components_: Floats
    mean_: Floats
    scaler_: dict[str, Any] | None

    def __init__(
        self,
        n_components: float = 0.9,
        contamination: float = 0.05,
        *,
        scaler: ScalerKind | None = "standard",
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
    ) -> None:
        self.n_components = n_components
        self.contamination = contamination
        self.scaler = scaler
        self.missing = missing
        self.entity = entity
        self.time = time

    @property
    def feature_reduction(self) -> FeatureReduction:
        """How `feature_scores` become scores."""
        return "mean"

    def _window_rows(self) -> int:
        return 1

    def _fit(self, rows: Rows) -> None:
        self.scaler_ = fit_rows_scaler(rows, self.scaler)
        values = scale(self.scaler_, rows.floats())[rows.complete()]
        if len(values) < 2:
            raise ValueError(
                f"{rows.source}: expected at least 2 rows without a missing value, "
                f"got {len(values)}"
            )
        pca = PCA(svd_solver="full").fit(values)
        kept = self.n_components
        if kept < 1:
            # The share is reached at the first component that brings the sum to it.
            kept = int(np.searchsorted(np.cumsum(pca.explained_variance_ratio_), kept)) + 1
        kept = min(int(kept), rows.num_features - 1)
        self.components_ = np.array(pca.components_[:kept], np.float64)
        self.mean_ = np.array(pca.mean_, np.float64)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        n = self.n_components
        if isinstance(n, bool) or not isinstance(n, numbers.Real):
            raise TypeError(f"n_components: expected a number, got {n!r}")
        if not n > 0 or (n >= 1 and int(n) != n):
            raise ValueError(
                f"n_components: expected a whole number of components >= 1, or a share of the "
                f"variance between 0 and 1, got {n!r}"
            )

    def _score(self, rows: Rows) -> Floats:
        scaled = scale(self.scaler_, rows.floats())
        return mean_squared_residual(scaled, self.mean_, self.components_)  # NaN where one is

    def _score_features(self, rows: Rows) -> Floats:
        scaled = scale(self.scaler_, rows.floats())
        errors = squared_residuals(scaled, self.mean_, self.components_)
        errors[~rows.complete()] = np.nan
        return errors

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.values["scaler"] = self.scaler_
        parts.arrays |= {"components": self.components_, "mean": self.mean_}
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        self.scaler_ = read_scaler(parts.values, self.n_features_in_)
        self.components_ = parts.array("components", None, self.n_features_in_)
        self.mean_ = parts.array("mean", self.n_features_in_)
