"""Bursts of variance: the spread of each feature over the last W rows."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from slidecell._arguments import whole_number
from slidecell.detect.base import Detector, FeatureReduction
from slidecell.detect.fitted_values import read_scaler
from slidecell.detect.scales import ScalerKind, fit_rows_scaler, scale
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.tables.windowed import refuse_no_window, window_ends

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.thresholds import Threshold

__all__ = ["RollingVarianceDetector", "rolling_variance"]

# Rows at a time, so that the numbers of a pass stay in a core's cache at a few features.
_CHUNK = 4096


class RollingVarianceDetector(Detector):
    """Score a row by the largest variance of a feature over the window that ends there.

    The variance is the unbiased one (ddof 1). A window never crosses an entity; one with a
    missing value scores NaN.

    Parameters
    ----------
    window : int
        W >= 2 rows.
    contamination : float, optional
        Share of the training scores above the threshold.
    threshold : Threshold, str or float, optional
        The rule that flags rows: see `Detector`.
    scaler : {"minmax", "standard", "robust"}, optional
        Of the features, fitted on the training rows: without one, the feature of the largest
        numbers decides.
    missing : {"skip", "ffill"}
    entity, time : hashable, optional
        Columns of a DataFrame: see `Detector`.

    Attributes
    ----------
    scaler_ : dict or None

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import RollingVarianceDetector
    >>> X = np.cos(np.arange(200) * np.pi)[:, None]
    >>> X[150] += 5
    >>> detector = RollingVarianceDetector(window=4, contamination=0.01).fit(X[:140])
    >>> np.flatnonzero(detector.predict(X[140:])) + 140
    array([150, 151, 152, 153])
    """

    _scoring_parameters: ClassVar[tuple[str, ...]] = ("missing", "window")

    scaler_: dict[str, Any] | None

    def __init__(
        self,
        window: int = 30,
        contamination: float | None = None,
        *,
        scaler: ScalerKind | None = None,
        threshold: Threshold | str | float | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
    ) -> None:
        self.window = window
        self.contamination = contamination
        self.threshold = threshold
        self.scaler = scaler
        self.missing = missing
        self.entity = entity
        self.time = time

    @property
    def feature_reduction(self) -> FeatureReduction:
        """How `feature_scores` become scores."""
        return "max"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        whole_number("window", self.window, least=2)

    def _window_rows(self) -> int:
        return int(self._at_fit("window"))

    def _row_scaler(self) -> dict[str, Any] | None:
        return self.scaler_

    def _fit(self, rows: Rows) -> None:
        refuse_no_window(rows, window=self.window, horizon=0)
        self.scaler_ = fit_rows_scaler(rows, self.scaler)

    def _score(self, rows: Rows) -> Floats:
        scores: Floats = self._score_windows(rows).max(axis=1)
        return self._mark_too_large(rows, scores)

    def _score_features(self, rows: Rows) -> Floats:
        return self._mark_too_large(rows, self._score_windows(rows))

    def _score_windows(self, rows: Rows) -> Floats:
        window = self._at_fit("window")
        refuse_no_window(rows, window=window, horizon=0)
        scores = rolling_variance(scale(self.scaler_, rows.floats()), window)
        usable = self._usable_rows(rows)
        scores[~window_ends(rows, window=window, horizon=0, usable=usable)] = np.nan
        return scores

    def score_last(self, windows: Floats, seen: Ints, *, num_threads: int | None = None) -> Floats:
        """Score the last row of windows [n, W, F]: [n]."""
        del seen, num_threads  # a row that never came is a missing one
        n, window, features = windows.shape
        usable = self._usable_rows(Rows(windows.reshape(n * window, features), np.array([0, n])))
        scores = _last_variance(scale(self.scaler_, windows)).max(axis=1)
        scores[~usable.reshape(n, window).all(axis=1)] = np.nan
        return self._mark_too_large(Rows(windows[:, -1], np.array([0, n])), scores)

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.values["scaler"] = self.scaler_
        return parts

    def _restore(self, parts: Parts) -> None:
        super()._restore(parts)
        self.scaler_ = read_scaler(parts.values, self.n_features_in_)


def rolling_variance(values: Floats, window: int) -> Floats:
    """Variance (ddof 1) of the last `window` rows at each row: [S, F] -> [S, F].

    Two passes over each window, the mean and then the squares around it, always in the order of
    the rows: a running sum would carry the rounding of all that came before.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.rolling_variance import rolling_variance
    >>> rolling_variance(np.array([[1.0], [2.0], [6.0]]), 2)[:, 0]
    array([nan, 0.5, 8. ])
    """
    result = np.full(values.shape, np.nan)
    for first in range(window - 1, len(values), _CHUNK):
        last = min(first + _CHUNK, len(values))
        # Rows that are j from the beginning of their window.
        parts = [values[first - window + 1 + j : last - window + 1 + j] for j in range(window)]
        with np.errstate(over="ignore", invalid="ignore"):
            mean = np.zeros_like(parts[0])
            for part in parts:
                mean += part
            mean /= window
            squares = np.zeros_like(mean)
            for part in parts:
                squares += np.square(part - mean)
        result[first:last] = squares / (window - 1)
    return result


def _last_variance(windows: Floats) -> Floats:
    """Do as `rolling_variance` at the last row of windows, with the same bits: [n, W, F] -> [n, F].

    An accumulated sum is one in the order of the rows, which a plain one need not be.
    """
    count = windows.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.add.accumulate(windows, axis=1)[:, -1:] / count
        squares = np.add.accumulate(np.square(windows - mean), axis=1)[:, -1]
        return np.asarray(squares / (count - 1))
