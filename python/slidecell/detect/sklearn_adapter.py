"""Any outlier detector of scikit-learn or PyOD, with the signs and rows of the other detectors."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from sklearn.base import clone

from slidecell._arguments import whole_number
from slidecell.detect.base import Alignment, Detector
from slidecell.detect.estimator_scores import check_estimator_scores, estimator_scores
from slidecell.detect.fitted_values import read_scaler
from slidecell.detect.scales import ScalerKind, fit_rows_scaler, scale
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.tables.window_split import usable_windows
from slidecell.tables.windowed import refuse_no_window
from slidecell.thresholds.state_values import whole

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.thresholds import Threshold

__all__ = ["SklearnDetector"]

S = TypeVar("S", bound="SklearnDetector")

_WINDOWS_AT_ONCE = 8192  # that are copied to be scored


class SklearnDetector(Detector):
    """Score rows, or whole windows, with an outlier detector of scikit-learn or PyOD.

    The score is ``-estimator.score_samples(X)`` of scikit-learn, where higher is more normal, and
    ``estimator.decision_function(X)`` of PyOD, where higher is more anomalous.

    The estimator is fitted on the complete training rows; a row with a missing value scores NaN.
    With a window of W rows it sees each of the complete windows as one vector [W * F], row after
    row, and a window's score stands at its last row: nothing later is used.

    Parameters
    ----------
    estimator : estimator
        ``IsolationForest``, ``OneClassSVM``, ``LocalOutlierFactor(novelty=True)`` or another one
        of scikit-learn with ``score_samples``; or a detector of PyOD, such as
        ``pyod.models.ecod.ECOD``; or a pipeline that ends in one. It is cloned, and stays as it is.
    contamination : float, optional
        Share of the training scores above the threshold; the estimator's own has no part in it.
    threshold : Threshold, str or float, optional
        The rule that flags rows: see `Detector`.
    scaler : {"standard", "minmax", "robust"}, optional
        Fitted on the training rows.
    window : int
        W rows that one score is of. 1: rows by themselves.
    missing : {"skip", "ffill"}
    entity, time : hashable, optional
        Columns of a DataFrame: see `Detector`.

    Attributes
    ----------
    estimator_ : estimator
        The fitted one.
    scaler_ : dict or None

    Notes
    -----
    All training windows are copied for the fit: W * F * 8 bytes each.

    `save` writes those classes of scikit-learn that can be read again without running code of the
    file; it refuses others, PyOD's among them, with their names.

    See Also
    --------
    slidecell.adapters.PyODDetector : The other way: a detector of slidecell as one of PyOD.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from slidecell.detect import SklearnDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> detector = SklearnDetector(IsolationForest(n_estimators=20, random_state=0)).fit(X)
    >>> detector.predict([[0.0, 0.0], [9.0, 9.0]])
    array([0, 1])

    A pause in a wave is no unusual row, but an unusual window:

    >>> X = np.sin(np.arange(800) / 5)[:, None]
    >>> X[700:720] = 0.2
    >>> forest = IsolationForest(random_state=0)
    >>> detector = SklearnDetector(forest, window=20).fit(X[:600])
    >>> int(np.nanargmax(detector.score_samples(X))) in range(700, 740)
    True
    """

    _scoring_parameters: ClassVar[tuple[str, ...]] = ("missing", "window")

    estimator_: Any
    scaler_: dict[str, Any] | None

    def __init__(
        self,
        estimator: Any,
        contamination: float | None = None,
        *,
        scaler: ScalerKind | None = None,
        window: int = 1,
        threshold: Threshold | str | float | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
    ) -> None:
        self.estimator = estimator
        self.contamination = contamination
        self.threshold = threshold
        self.scaler = scaler
        self.window = window
        self.missing = missing
        self.entity = entity
        self.time = time

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> SklearnDetector:
        """Return an isolation forest by the settings of the command line."""
        from sklearn.ensemble import IsolationForest

        forest = IsolationForest(n_estimators=300, random_state=settings.get("random_state"))
        return super().from_settings({"estimator": forest, **settings})

    def _check_parameters(self) -> None:
        super()._check_parameters()
        whole_number("window", self.window, least=1)

    @property
    def alignment(self) -> Alignment:
        """Which rows a score depends on: see `Detector.alignment`."""
        return None if self._window_rows() == 1 else "end"

    def fingerprint(self) -> str:
        """Return a text that this detector, saved and loaded or not, shares with no other one.

        An estimator is no plain data: what counts is what it says of some rows.
        """
        said = estimator_scores(
            self.estimator_, _spread_rows(self.n_features_in_ * self._window_rows())
        )
        text = " ".join(f"{score:.6g}" for score in said.tolist())  # no last bits: machines differ
        return hashlib.sha256(f"{super().fingerprint()} {text}".encode()).hexdigest()

    def _window_rows(self) -> int:
        return int(self._at_fit("window"))

    def _row_scaler(self) -> dict[str, Any] | None:
        return self.scaler_

    def _fit(self, rows: Rows) -> None:
        check_estimator_scores(self.estimator)
        refuse_no_window(rows, window=self.window, horizon=0)
        if not rows.complete().any():
            raise ValueError(
                f"{rows.source}: expected at least one row without a missing value, got none"
            )
        self.scaler_ = fit_rows_scaler(rows, self.scaler)
        if not self._usable_rows(rows).any():
            raise ValueError(f"{rows.source}: every row has a value that float32 cannot hold")
        starts = self._starts(rows)
        if len(starts) == 0:
            raise ValueError(
                f"{rows.source}: expected at least one window of {self.window} rows without a "
                "missing value, got none"
            )
        values = scale(self.scaler_, rows.floats())
        self.estimator_ = clone(self.estimator).fit(self._flat(values, starts))

    def _score(self, rows: Rows) -> Floats:
        window = self._window_rows()
        refuse_no_window(rows, window=window, horizon=0)
        values = scale(self.scaler_, rows.floats())
        starts = self._starts(rows)
        scores = np.full(len(rows), np.nan)
        size = max(len(starts), 1) if window == 1 else _WINDOWS_AT_ONCE
        for at in range(0, len(starts), size):
            some = starts[at : at + size]
            scores[some + window - 1] = estimator_scores(self.estimator_, self._flat(values, some))
        return self._mark_too_large(rows, scores)

    def _starts(self, rows: Rows) -> Ints:
        """Return the first rows of the windows without a missing or too large value."""
        return usable_windows(
            self._usable_rows(rows),
            rows.offsets,
            window=self._window_rows(),
            horizon=0,
            stride=1,
        ).starts

    def _flat(self, values: Floats, starts: Ints) -> Floats:
        """Return windows of scaled rows [S, F] as vectors: [n, W * F]."""
        window = self._window_rows()
        flat: Floats = values[starts[:, None] + np.arange(window)].reshape(len(starts), -1)
        return flat

    @classmethod
    def _saved_names(cls) -> set[str]:
        # The window lies with what `fit` found: folders of version 0.1 have none.
        return super()._saved_names() - {"estimator", "window"}

    @classmethod
    def _make(cls: type[S], parts: Parts) -> S:
        if parts.estimator is None:
            raise ValueError("estimator.skops: missing")
        window = whole(parts.values, "window") if "window" in parts.values else 1
        return cls(clone(parts.estimator), window=window, **parts.params)

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.values["scaler"] = self.scaler_
        parts.values["window"] = self._at_fit("window")
        parts.estimator = self.estimator_
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        self.scaler_ = read_scaler(parts.values, self.n_features_in_)
        expected = self.n_features_in_ * self.window
        if getattr(parts.estimator, "n_features_in_", None) != expected:
            each = f" ({self.n_features_in_} in each of {self.window} rows)"
            raise ValueError(
                f"estimator.skops: expected one of {expected} features" + each * (self.window > 1)
            )
        self.estimator_ = parts.estimator


def _spread_rows(features: int) -> Floats:
    """Return 256 rows [256, F] whose cells lie between 1e-6 and 1e9, of both signs."""
    steps = np.arange(1.0, 256 * features + 1.0)
    # Multiples of irrational numbers fill an interval evenly.
    power, side = (steps * 0.6180339887498949) % 1.0, (steps * 0.4142135623730951) % 1.0
    cells = np.where(side < 0.5, -1.0, 1.0) * 10.0 ** (15.0 * power - 6.0)
    return cells.reshape(256, features)
