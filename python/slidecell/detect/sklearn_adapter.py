"""Any outlier detector of scikit-learn, with the signs and the rows of the other detectors."""

from __future__ import annotations

import hashlib
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
    contamination : float
        Share of the training scores above the threshold; the estimator's own has no part in it.
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

    estimator_: Any
    scaler_: dict[str, Any] | None

    def __init__(
        self,
        estimator: Any,
        contamination: float = 0.05,
        *,
        scaler: ScalerKind | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
    ) -> None:
        self.estimator = estimator
        self.contamination = contamination
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

    def fingerprint(self) -> str:
        """Return a text that this detector, saved and loaded or not, shares with no other one.

        An estimator is no plain data: what counts is what it says of some rows.
        """
        said = self.estimator_.score_samples(_spread_rows(self.n_features_in_))
        text = " ".join(f"{score:.6g}" for score in said.tolist())  # no last bits: machines differ
        return hashlib.sha256(f"{super().fingerprint()} {text}".encode()).hexdigest()

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


def _spread_rows(features: int) -> Floats:
    """Return 256 rows [256, F] whose cells lie between 1e-6 and 1e9, of both signs."""
    steps = np.arange(1.0, 256 * features + 1.0)
    # Multiples of irrational numbers fill an interval evenly.
    power, side = (steps * 0.6180339887498949) % 1.0, (steps * 0.4142135623730951) % 1.0
    cells = np.where(side < 0.5, -1.0, 1.0) * 10.0 ** (15.0 * power - 6.0)
    return cells.reshape(256, features)
