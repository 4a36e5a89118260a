"""A linear baseline: what the principal components of the training rows leave over of a row."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.decomposition import PCA

from slidecell.detect.base import Detector, FeatureReduction
from slidecell.detect.fitted_values import read_scaler
from slidecell.detect.principal import (
    Fixed,
    check_n_components,
    components_wanted,
    contributions,
    mean_squared_residual,
    numerical_rank,
    squared_residuals,
)
from slidecell.detect.scales import ScalerKind, fit_rows_scaler, scale
from slidecell.detect.shares import shares_of_sum
from slidecell.tables.rows import Floats, Ints, Rows

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.thresholds import Threshold

__all__ = ["PCADetector"]

_ROUNDING = 2.0**-20


class PCADetector(Detector):
    """Score a row by the mean squared error of its reconstruction from principal components.

    Components and scaler are fitted on the complete training rows; a row with a missing value
    scores NaN.

    Parameters
    ----------
    n_components : int or float
        Components kept; below 1: as many as explain this share of the variance. Of the r
        directions in which the training rows vary (their numerical rank, at most F) r - 1 are kept
        at most, because all of them leave nothing over.
    contamination : float, optional
        Share of the training scores above the threshold.
    threshold : Threshold, str or float, optional
        The rule that flags rows: see `Detector`.
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

    Notes
    -----
    Columns that are constant, or sums of others, in training leave directions in which no training
    row varies. What a row has there counts in units of 2**-20 of the column's largest value, some
    16 times what float32 rounds: a constant column that moves is flagged.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import PCADetector
    >>> x = np.random.default_rng(0).normal(size=500)
    >>> detector = PCADetector(1).fit(np.stack([x, 2 * x + 0.01 * np.cos(x)], axis=1))
    >>> detector.predict([[1.0, 2.0], [1.0, -2.0]])
    array([0, 1])
    """

    _of_rows = True

    components_: Floats
    mean_: Floats
    scaler_: dict[str, Any] | None
    _fixed: Fixed | None

    def __init__(
        self,
        n_components: float = 0.9,
        contamination: float | None = None,
        *,
        scaler: ScalerKind | None = "standard",
        threshold: Threshold | str | float | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
    ) -> None:
        self.n_components = n_components
        self.contamination = contamination
        self.threshold = threshold
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

    def _row_scaler(self) -> dict[str, Any] | None:
        return self.scaler_

    def _fit(self, rows: Rows) -> None:
        self.scaler_ = fit_rows_scaler(rows, self.scaler)
        values = scale(self.scaler_, rows.floats())[self._usable_rows(rows)]
        if len(values) < 2:
            raise ValueError(
                f"{rows.source}: expected at least 2 rows without a missing value, "
                f"got {len(values)}"
            )
        pca = PCA(svd_solver="full").fit(values)
        kept = components_wanted(self.n_components, pca.explained_variance_ratio_)
        rank = numerical_rank(pca.singular_values_, values.shape, rows.features.dtype)
        kept = max(min(kept, rank - 1), 0)
        self.components_ = np.array(pca.components_[:kept], np.float64)
        self.mean_ = np.array(pca.mean_, np.float64)
        # Few rows span few directions; what they leave over is unknown, not fixed.
        few = rank == len(values) - 1
        self._fixed = None
        if rank < rows.num_features and not few:
            varying = np.array(pca.components_[kept:rank], np.float64)
            self._fixed = Fixed(varying, self._units(rows))

    def _units(self, rows: Rows) -> Floats:
        """Return how far rounding may move each column, in scaled units: [F], above 0."""
        largest = np.abs(rows.floats()[self._usable_rows(rows)]).max(axis=0)
        scale = np.ones(len(largest)) if self.scaler_ is None else np.abs(self.scaler_["scale"])
        return np.asarray(np.where(largest > 0.0, largest, 1.0) / scale * _ROUNDING)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_n_components(self.n_components)

    def _score(self, rows: Rows) -> Floats:
        scaled = scale(self.scaler_, rows.floats())
        scores = mean_squared_residual(
            scaled, self.mean_, self.components_, self._fixed
        )  # NaN where one is
        return self._mark_too_large(rows, scores)

    def _score_features(self, rows: Rows) -> Floats:
        scaled = scale(self.scaler_, rows.floats())
        errors = squared_residuals(scaled, self.mean_, self.components_, self._fixed)
        errors[~rows.complete()] = np.nan
        return self._mark_too_large(rows, errors)

    def shares_at(self, rows: Rows, chosen: Ints) -> Floats:
        """Return each feature's share of the scores of ``chosen`` rows of a table: [n, F].

        It is the share of what each could take from the score: see
        `slidecell.detect.principal.contributions`.
        """
        shares = shares_of_sum(self._scores_at(rows, chosen, self._contributions))
        return self._too_large_shares(rows, chosen, shares)

    def _contributions(self, rows: Rows) -> Floats:
        scaled = scale(self.scaler_, rows.floats())
        found = contributions(scaled, self.mean_, self.components_, self._fixed)
        found[~rows.complete()] = np.nan
        return found

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.values["scaler"] = self.scaler_
        parts.arrays |= {"components": self.components_, "mean": self.mean_}
        if self._fixed is not None:
            parts.arrays |= {"varying": self._fixed.varying, "units": self._fixed.units}
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        self.scaler_ = read_scaler(parts.values, self.n_features_in_)
        self.components_ = parts.finite_array("components", None, self.n_features_in_)
        self.mean_ = parts.finite_array("mean", self.n_features_in_)
        self._fixed = None  # as in folders of version 0.1
        if "units" in parts.arrays:
            units = parts.finite_array("units", self.n_features_in_)
            if not (units > 0.0).all():
                raise ValueError(f"'units': expected numbers above 0, got {units.min()}")
            self._fixed = Fixed(parts.finite_array("varying", None, self.n_features_in_), units)
