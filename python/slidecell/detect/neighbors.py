"""How far a window is from the training windows that are most like it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slidecell import _core
from slidecell._arguments import whole_number
from slidecell.detect.flat_windows import Align, FlatWindowsDetector
from slidecell.detect.scales import ScalerKind
from slidecell.tables.rows import Floats, Rows

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.thresholds import Threshold

__all__ = ["NeighborDetector"]


class NeighborDetector(FlatWindowsDetector):
    """Score a window by its mean Euclidean distance to the nearest training windows.

    The training windows are a sample, evenly spaced. For the scores of the rows that are fitted,
    those of them that overlap a window do not count: it would find itself.

    Parameters
    ----------
    window : int
        W rows.
    n_neighbors : int
        Nearest windows, whose distances are averaged.
    n_points : int
        Training windows kept, at most.
    align : {"end", "cover"}
        Whether a window's score stands at its last row, or a row's score is the mean over all
        windows that cover it: see `FlatWindowsDetector`.
    scaler : {"minmax", "standard", "robust"}, optional
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
    points_ : ndarray, [P, W * V]
        Scaled windows of the V columns that vary.
    scaler_ : dict

    Notes
    -----
    The mean distance to the k nearest as a score: Angiulli and Pizzuti (2002), "Fast outlier
    detection in high dimensional spaces", PKDD.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import NeighborDetector
    >>> X = np.sin(np.arange(900) / 5)[:, None]
    >>> X[800:820] = 0.2
    >>> detector = NeighborDetector(window=20).fit(X[:600])
    >>> int(np.nanargmax(detector.score_samples(X))) in range(800, 840)
    True
    """

    points_: Floats

    def __init__(
        self,
        window: int = 100,
        n_neighbors: int = 3,
        n_points: int = 1500,
        *,
        align: Align = "end",
        scaler: ScalerKind | None = "minmax",
        contamination: float | None = None,
        threshold: Threshold | str | float | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.window = window
        self.n_neighbors = n_neighbors
        self.n_points = n_points
        self.align = align
        self.scaler = scaler
        self.contamination = contamination
        self.threshold = threshold
        self.missing = missing
        self.entity = entity
        self.time = time
        self.num_threads = num_threads

    def _check_parameters(self) -> None:
        super()._check_parameters()
        whole_number("n_neighbors", self.n_neighbors, least=1)
        whole_number("n_points", self.n_points, least=1)
        if self.n_points < self.n_neighbors:
            raise ValueError(
                f"n_points: expected at least n_neighbors={self.n_neighbors}, got {self.n_points}"
            )

    def _fit_windows(self, rows: Rows) -> None:
        # Of windows a row apart, so many more than neighbors leave a window's own ones out.
        least = self.n_neighbors + 2 * self.window
        starts = self._starts(rows, self.n_points, least=least)
        self.points_ = self._windows(rows, starts)
        self._own_starts = starts

    def _make_scorer(self) -> Any:
        return _core.WindowScorer.nearest(self._flat(), self.points_, self.n_neighbors)

    def _fitted_scores(self, rows: Rows, held: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        own_starts = np.flatnonzero(~held)[self._own_starts]
        own = self._scorer.score_own(
            rows.features, rows.offsets, own_starts, num_threads=self.num_threads
        )
        del self._own_starts
        return self._aligned(rows, np.where(np.isinf(own), np.float32(np.nan), own))

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.arrays["points"] = self.points_
        return parts

    def _restore_windows(self, parts: Parts) -> None:
        self.points_ = parts.array("points", None, self.window * len(self._varying()))
