"""Any outlier detector of scikit-learn, with the signs and the rows of the other detectors."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from sklearn.base import clone

from slidecell.detect.base import Detector
from slidecell.detect.fitted_values import read_scaler
from slidecell.detect.scales import ScalerKind, fit_rows_scaler, scale
from slidecell.tables.rows import Floats, Rows

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.thresholds import Threshold

__all__ = ["SklearnDetector"]

S = TypeVar("S", bound="SklearnDetector")


class SklearnDetector(Detector):
    """Score rows with an outlier detector of scikit-learn: ``-estimator.score_samples(X)``.

    It is fitted on the complete training rows; a row with a missing value scores NaN.

    Parameters
    ----------
    estimator : estimator
        ``IsolationForest``, ``OneClassSVM``, ``LocalOutlierFactor(novelty=True)`` or another one
        with ``score_samples``, higher = more normal. It is cloned, and stays as it is.
    contamination : float, optional
        Share of the training scores above the threshold; the estimator's own has no part in it.
    threshold : Threshold, str or float, optional
        The rule that flags rows: see `Detector`.
    scaler : {"standard", "minmax", "robust"}, optional
        Fitted on the training rows.
    missing : {"skip", "ffill"}
    entity, time : hashable, optional
        Columns of a DataFrame: see `Detector`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted one.
    scaler_ : dict or None

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from slidecell.detect import SklearnDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = SklearnDetector(IsolationForest(n_estimators=20, random_state=0)).fit(X)
    >>> detector.predict([[0.0, 0.0], [9.0, 9.0]])
    array([0, 1])
    """

    _of_rows = True

    estimator_: Any
    scaler_: dict[str, Any] | None

    def __init__(
        self,
        estimator: Any,
        contamination: float | None = None,
        *,
        scaler: ScalerKind | None = None,
        threshold: Threshold | str | float | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
    ) -> None:
        self.estimator = estimator
        self.contamination = contamination
        self.threshold = threshold
        self.scaler = scaler
        self.missing = missing
        self.entity = entity
        self.time = time

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> SklearnDetector:
        """Return an isolation forest by the settings of the command line."""
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(n_estimators=300, random_state=settings.get("random_state"))
        return super().from_settings({"estimator": forest, **settings})

    def _window_rows(self) -> int:
        return 1

    def _row_scaler(self) -> dict[str, Any] | None:
        return self.scaler_

    def _fit(self, rows: Rows) -> None:
        if isinstance(self.estimator, type) or not hasattr(self.estimator, "fit"):
            raise TypeError(f"estimator: expected a scikit-learn estimator, got {self.estimator!r}")
        if not hasattr(self.estimator, "score_samples"):
            hint = ": novelty=True gives it one" if hasattr(self.estimator, "novelty") else ""
            raise TypeError(
                f"estimator: expected one with score_samples, which {self.estimator!r} lacks{hint}"
            )
        if not rows.complete().any():
            raise ValueError(
                f"{rows.source}: expected at least one row without a missing value, got none"
            )
        self.scaler_ = fit_rows_scaler(rows, self.scaler)
        usable = self._usable_rows(rows)
        if not usable.any():
            raise ValueError(f"{rows.source}: every row has a value that float32 cannot hold")
        self.estimator_ = clone(self.estimator).fit(scale(self.scaler_, rows.floats())[usable])

    def _score(self, rows: Rows) -> Floats:
        usable = self._usable_rows(rows)
        scores = np.full(len(rows), np.nan)
        if usable.any():
            values = scale(self.scaler_, rows.floats())[usable]
            scores[usable] = -self.estimator_.score_samples(values)
        return self._mark_too_large(rows, scores)

    @classmethod
    def _saved_names(cls) -> set[str]:
        return super()._saved_names() - {"estimator"}

    @classmethod
    def _make(cls: type[S], parts: Parts) -> S:
        if parts.estimator is None:
            raise ValueError("estimator.skops: missing")
        return cls(clone(parts.estimator), **parts.params)

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.values["scaler"] = self.scaler_
        parts.estimator = self.estimator_
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        self.scaler_ = read_scaler(parts.values, self.n_features_in_)
        if getattr(parts.estimator, "n_features_in_", None) != self.n_features_in_:
            raise ValueError(f"estimator.skops: expected one of {self.n_features_in_} features")
        self.estimator_ = parts.estimator
