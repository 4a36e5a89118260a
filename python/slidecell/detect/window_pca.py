"""What the principal components of the training windows leave over of a window."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from slidecell import _core
from slidecell.detect.base import FeatureReduction
from slidecell.detect.flat_windows import Align, FlatWindowsDetector
from slidecell.detect.principal import check_n_components, components_wanted
from slidecell.detect.scales import ScalerKind
from slidecell.tables.rows import Floats, Rows

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.thresholds import Threshold

__all__ = ["WindowPCADetector"]

_MOST_WINDOWS = 4000  # that components are fitted on, evenly spaced


class WindowPCADetector(FlatWindowsDetector):
    """Score a window by the mean squared error of its reconstruction from principal components.

    Components are fitted on at most 4,000 evenly spaced training windows, flattened to [W * F].

    Parameters
    ----------
    window : int
        W rows.
    n_components : int or float
        Components kept; below 1: as many as explain this share of the variance. At least one
        direction is left over.
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
    components_ : ndarray, [k, W * V]
        Of the V columns that vary, scaled.
    mean_ : ndarray, [W * V]
    scaler_ : dict

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import WindowPCADetector
    >>> X = np.sin(np.arange(800) / 5)[:, None] + 0.01 * np.cos(np.arange(800) ** 2)[:, None]
    >>> X[700:705] += 0.5
    >>> detector = WindowPCADetector(window=30).fit(X[:600])
    >>> int(np.nanargmax(detector.score_samples(X))) in range(700, 735)
    True
    """

    components_: Floats
    mean_: Floats

    def __init__(
        self,
        window: int = 50,
        n_components: float = 0.9,
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
        self.n_components = n_components
        self.align = align
        self.scaler = scaler
        self.contamination = contamination
        self.threshold = threshold
        self.missing = missing
        self.entity = entity
        self.time = time
        self.num_threads = num_threads

    @property
    def feature_reduction(self) -> FeatureReduction:
        """How `feature_scores` become scores."""
        return "mean"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_n_components(self.n_components)

    def _fit_windows(self, rows: Rows) -> None:
        windows = self._windows(rows, self._starts(rows, _MOST_WINDOWS, least=2))
        count, depth = windows.shape
        if depth < 2:
            raise ValueError(
                f"{rows.source}: expected windows of at least 2 values (window {self.window}, "
                f"columns that vary: {depth}); one leaves nothing over"
            )
        pca = PCA(svd_solver="covariance_eigh" if depth <= count else "full").fit(windows)
        kept = components_wanted(self.n_components, pca.explained_variance_ratio_)
        # Directions in which the windows do not vary are rounding: they explain nothing.
        spread = pca.singular_values_
        rank = int((spread > spread[0] * max(windows.shape) * np.finfo(np.float32).eps).sum())
        kept = max(1, min(kept, rank, depth - 1))
        self.components_ = np.array(pca.components_[:kept], np.float64)
        self.mean_ = np.array(pca.mean_, np.float64)

    def _make_scorer(self) -> Any:
        return _core.WindowScorer.subspace(self._flat(), self.mean_, self.components_)

    def _window_rows(self) -> int | None:
        return super()._window_rows()  # of features as well: see `Detector._score_length`

    def _score_features(self, rows: Rows) -> npt.NDArray[Any]:
        return self._column_errors(rows)

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.arrays |= {"components": self.components_, "mean": self.mean_}
        return parts

    def _restore_windows(self, parts: Parts) -> None:
        depth = self.window * len(self._varying())
        self.components_ = parts.array("components", None, depth)
        self.mean_ = parts.array("mean", depth)
