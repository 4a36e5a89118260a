"""How far the next row is from a linear forecast of it, in units of the forecast's usual error."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from slidecell import _core
from slidecell._arguments import whole_number
from slidecell.detect.flat_windows import Align, FlatWindowsDetector
from slidecell.detect.row_smoothing import smooth_rows
from slidecell.scaling import fit_scaler
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.thresholds.smoothing import TrailingMean
from slidecell.thresholds.state_values import number

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.thresholds import Threshold

__all__ = ["RidgeDetector"]

_PENALTIES = (0.001, 0.01, 0.1, 1.0)  # times the mean of the squares
_FOLDS = 5


class RidgeDetector(FlatWindowsDetector):
    """Score a row by the calibrated errors of a ridge regression on the rows before it.

    All varying columns are forecast from their last W rows. An error counts as
    ``z = max((|error| - m) / s, 0)`` with the mean m and the standard deviation s of the column's
    errors in training, out of fold: on rows that the regression has not seen. A row's score is the
    root mean square of z over columns, averaged over neighbouring rows.

    Parameters
    ----------
    window : int
        W rows (lags) that a forecast sees.
    align : {"end", "cover"}
        Which rows are averaged: ``end`` the last `smoothing` rows, so that nothing later is used;
        ``cover`` as many around a row, which no stream can do.
    smoothing : int
        Rows averaged; 1: none.
    contamination : float, optional
        Share of the training scores above the threshold.
    threshold : Threshold, str or float, optional
        The rule that flags rows: see `Detector`.
    missing : {"skip", "ffill"}
    entity, time : hashable, optional
        Columns of a DataFrame: see `Detector`.
    num_threads : int, optional

    Attributes
    ----------
    coef_ : ndarray, [V, W * V]
        Weights of the V columns that vary, standardised.
    intercept_ : ndarray, [V]
    error_mean_, error_scale_ : ndarray, [V]
        m and s, in standardised units.
    penalty_ : float
        Chosen of 0.001, 0.01, 0.1 and 1 (times the mean square of a lag) by five folds.
    scaler_ : dict

    Notes
    -----
    Hoerl and Kennard (1970), "Ridge regression: biased estimation for nonorthogonal problems",
    Technometrics 12(1). Folds are whole entities where there are five or more, else stretches of
    time; windows that overlap a stretch, or follow it by less than a window, are in neither part.
    Where they leave no window to fit, as in a few dozen rows, the errors are those of the mean.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import RidgeDetector
    >>> X = np.sin(np.arange(800) / 5)[:, None] + 0.1 * np.cos(np.arange(800) ** 2)[:, None]
    >>> X[700] += 2.0
    >>> detector = RidgeDetector().fit(X[:600])
    >>> int(np.nanargmax(detector.score_samples(X))) in range(700, 740)
    True
    """

    _scoring_parameters: ClassVar[tuple[str, ...]] = ("missing", "window", "align", "smoothing")
    _horizon: ClassVar[int] = 1

    scaler = "standard"
    coef_: Floats
    intercept_: Floats
    error_mean_: Floats
    error_scale_: Floats
    penalty_: float

    def __init__(
        self,
        window: int = 20,
        *,
        align: Align = "end",
        smoothing: int = 20,
        contamination: float | None = None,
        threshold: Threshold | str | float | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.window = window
        self.align = align
        self.smoothing = smoothing
        self.contamination = contamination
        self.threshold = threshold
        self.missing = missing
        self.entity = entity
        self.time = time
        self.num_threads = num_threads

    def _check_parameters(self) -> None:
        super()._check_parameters()
        whole_number("smoothing", self.smoothing, least=1)

    def _window_rows(self) -> int | None:
        rows = super()._window_rows()
        return None if rows is None else rows + self._at_fit("smoothing") - 1

    def _stream_smoothing(self) -> TrailingMean | None:
        rows = self._at_fit("smoothing")
        return TrailingMean(rows) if rows > 1 else None

    def _fit_scaler(self, rows: Rows) -> dict[str, Any]:
        """Standardise; a spread below a thousandth of the range counts as the range."""
        scaler = fit_scaler(rows.features, "standard")
        ranges = np.asarray(fit_scaler(rows.features, "minmax")["scale"])
        spread = np.asarray(scaler["scale"])
        scaler["scale"] = np.where(spread < 1e-3 * ranges, ranges, spread).tolist()
        return scaler

    def _fit_windows(self, rows: Rows) -> None:
        starts = self._starts(rows, least=2)
        folds = _Folds(rows, starts, length=self.window + self._horizon)
        sums = [_Sums.of(self._window_chunks(rows, starts[part]), self) for part in folds.parts]
        whole = _Sums.of(self._window_chunks(rows, starts), self)
        targets = len(self._varying())
        losses = np.zeros((len(folds.parts), len(_PENALTIES)))
        maps: dict[tuple[int, int], tuple[Floats, Floats]] = {}
        for k, (part, purged) in enumerate(zip(folds.parts, folds.purged, strict=True)):
            left = whole.minus(sums[k])
            if purged.any():
                left = left.minus(_Sums.of(self._window_chunks(rows, starts[purged]), self))
            for p, penalty in enumerate(_PENALTIES):
                maps[k, p] = left.solve(penalty)
                squares, count = np.zeros(targets), 0
                for error in self._errors(rows, starts[part], *maps[k, p]):
                    squares += np.square(error).sum(axis=0)
                    count += len(error)
                # Of standardised columns: a forecast of the mean has about 1.
                losses[k, p] = np.minimum(squares / max(count, 1), 2.0).mean() * count
        best = int(losses.sum(axis=0).argmin())
        errors = np.concatenate(
            [
                np.abs(error)
                for k, part in enumerate(folds.parts)
                for error in self._errors(rows, starts[part], *maps[k, best])
            ]
        )
        self.penalty_ = _PENALTIES[best]
        self.coef_, self.intercept_ = whole.solve(self.penalty_)
        self.error_mean_ = errors.mean(axis=0)
        spread = errors.std(axis=0)
        self.error_scale_ = spread + 0.01 * spread.mean() + 1e-4

    def _errors(self, rows: Rows, starts: Ints, coef: Floats, intercept: Floats) -> Any:
        """Yield the errors of a map's forecasts, by chunks of windows [n, V]."""
        depth = coef.shape[1]
        for windows in self._window_chunks(rows, starts):
            yield windows[:, :depth] @ coef.T + intercept - windows[:, depth:]

    def _make_scorer(self) -> Any:
        return _core.WindowScorer.forecast(
            self._flat(),
            self.coef_,
            self.intercept_,
            1.0 / self.error_scale_,
            self.error_mean_ / self.error_scale_,
        )

    def _aligned(self, rows: Rows, scores: npt.NDArray[np.float32]) -> Floats:
        """Leave them: a row is forecast once. `align` says which rows smoothing averages."""
        del rows
        return scores.astype(np.float64)

    def _smooth(self, rows: Rows, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return smooth_rows(
            scores,
            rows,
            length=self._at_fit("smoothing"),
            align=self._at_fit("align"),
            num_threads=self.num_threads,
        )

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.values["penalty"] = self.penalty_
        parts.arrays |= {
            "coef": self.coef_,
            "intercept": self.intercept_,
            "error_mean": self.error_mean_,
            "error_scale": self.error_scale_,
        }
        return parts

    def _restore_windows(self, parts: Parts) -> None:
        targets = len(self._varying())
        self.penalty_ = number(parts.values, "penalty")
        self.coef_ = parts.array("coef", targets, self.window * targets)
        for name in ("intercept", "error_mean", "error_scale"):
            setattr(self, f"{name}_", parts.array(name, targets))
        if not (self.error_scale_ > 0).all():
            raise ValueError("'error_scale': expected values above 0")


class _Folds:
    """Five parts of windows, and for each which other windows overlap its rows.

    Attributes
    ----------
    parts, purged : list of ndarray of bool, [n]
    """

    def __init__(self, rows: Rows, starts: Ints, *, length: int) -> None:
        segments = np.searchsorted(rows.offsets, starts, side="right") - 1
        entities = segments if rows.entities is None else rows.entities[starts]
        keys, place = np.unique(entities, return_inverse=True)
        fold = np.arange(len(starts)) * _FOLDS // len(starts)
        whole = len(keys) >= _FOLDS
        if whole:
            # Entities in order, about as many windows in each fold.
            counts = np.bincount(place)
            middle = np.cumsum(counts) - counts / 2
            fold = np.minimum(middle * _FOLDS // counts.sum(), _FOLDS - 1).astype(np.int64)[place]
        self.parts = [fold == k for k in range(_FOLDS)]
        self.parts = [part for part in self.parts if part.any()]
        self.purged = [self._overlapping(starts, part, length, whole) for part in self.parts]

    @staticmethod
    def _overlapping(
        starts: Ints, part: npt.NDArray[np.bool_], length: int, whole: bool
    ) -> npt.NDArray[np.bool_]:
        if whole:
            return np.zeros(len(starts), np.bool_)
        first, last = starts[part][0], starts[part][-1]
        near = (starts > first - length) & (starts < last + length)
        return np.asarray(near & ~part)


class _Sums:
    """Sums of squares and products of windows and the rows after them, in float64."""

    def __init__(self, count: int, sums: Floats, products: Floats, depth: int) -> None:
        self.count, self.sums, self.products, self.depth = count, sums, products, depth

    @classmethod
    def of(cls, chunks: Any, detector: RidgeDetector) -> _Sums:
        """Add up windows [n, (W + 1) * V]."""
        targets = len(detector._varying())
        size = (detector.window + 1) * targets
        total = cls(0, np.zeros(size), np.zeros((size, size)), size - targets)
        for windows in chunks:
            total.count += len(windows)
            total.sums += windows.sum(axis=0)
            total.products += windows.T @ windows
        return total

    def minus(self, other: _Sums) -> _Sums:
        """Return the sums of the windows that are not in ``other``."""
        return _Sums(
            self.count - other.count,
            self.sums - other.sums,
            self.products - other.products,
            self.depth,
        )

    def solve(self, penalty: float) -> tuple[Floats, Floats]:
        """Return weights [V, W * V] and intercept [V]; the intercept is not shrunk.

        Of fewer than two windows, whose differences would be rounding errors alone, the forecast
        is the mean of the columns: 0.
        """
        if self.count < 2:
            targets = len(self.sums) - self.depth
            return np.zeros((targets, self.depth)), np.zeros(targets)
        mean = self.sums / max(self.count, 1)
        centred = self.products - self.count * np.outer(mean, mean)
        square, products = centred[: self.depth, : self.depth], centred[: self.depth, self.depth :]
        shrink = penalty * max(np.trace(square) / self.depth, np.finfo(np.float64).tiny)
        coef = np.linalg.solve(square + shrink * np.eye(self.depth), products).T
        return coef, mean[self.depth :] - coef @ mean[: self.depth]
