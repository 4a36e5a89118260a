"""How far a window is from the nearest of the usual ones: centroids of the training windows."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from slidecell import _core
from slidecell._arguments import whole_number
from slidecell.detect.flat_windows import Align, FlatWindowsDetector
from slidecell.detect.random_states import seed_of
from slidecell.detect.scales import ScalerKind
from slidecell.tables.rows import Floats, Rows

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.thresholds import Threshold

__all__ = ["KMeansDetector"]

_MOST_WINDOWS = 4000  # that centroids are fitted on, evenly spaced


class KMeansDetector(FlatWindowsDetector):
    """Score a window by its Euclidean distance to the nearest of the centroids of k-means.

    Centroids are fitted (scikit-learn) on at most 4,000 evenly spaced training windows.

    Parameters
    ----------
    window : int
        W rows.
    n_clusters : int
        Centroids; as many training windows are needed at least.
    align : {"end", "cover"}
        Whether a window's score stands at its last row, or a row's score is the mean over all
        windows that cover it: see `FlatWindowsDetector`.
    scaler : {"minmax", "standard", "robust"}, optional
    random_state : int, RandomState or None
        Of k-means. The same one: the same scores.
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
    centers_ : ndarray, [n_clusters, W * V]
        Scaled, of the V columns that vary.
    scaler_ : dict

    Notes
    -----
    k-means on the windows of a series, as in Yairi, Kato and Hori (2001), "Fault detection by
    mining association rules from house-keeping data", i-SAIRAS; its windows are not normalised one
    by one.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import KMeansDetector
    >>> X = np.sin(np.arange(800) / 5)[:, None]
    >>> X[700:720] = 0.2
    >>> detector = KMeansDetector(n_clusters=20, random_state=0).fit(X[:600])
    >>> int(np.nanargmax(detector.score_samples(X))) in range(700, 740)
    True
    """

    centers_: Floats

    def __init__(
        self,
        window: int = 20,
        n_clusters: int = 50,
        *,
        align: Align = "end",
        scaler: ScalerKind | None = "minmax",
        random_state: Any = None,
        contamination: float | None = None,
        threshold: Threshold | str | float | None = None,
        missing: Literal["skip", "ffill"] = "skip",
        entity: Hashable | None = None,
        time: Hashable | None = None,
        num_threads: int | None = None,
    ) -> None:
        self.window = window
        self.n_clusters = n_clusters
        self.align = align
        self.scaler = scaler
        self.random_state = random_state
        self.contamination = contamination
        self.threshold = threshold
        self.missing = missing
        self.entity = entity
        self.time = time
        self.num_threads = num_threads

    def _check_parameters(self) -> None:
        super()._check_parameters()
        whole_number("n_clusters", self.n_clusters, least=1)

    def _fit_windows(self, rows: Rows) -> None:
        starts = self._starts(rows, _MOST_WINDOWS, least=self.n_clusters)
        means = KMeans(self.n_clusters, n_init=1, random_state=seed_of(self.random_state))
        with warnings.catch_warnings():
            # Of fewer distinct windows than centroids some centroids are equal: that is all right.
            warnings.simplefilter("ignore", ConvergenceWarning)
            found = means.fit(self._windows(rows, starts)).cluster_centers_
        self.centers_ = np.array(found, np.float64)

    def _make_scorer(self) -> Any:
        return _core.WindowScorer.nearest(self._flat(), self.centers_, 1)

    def _parts(self) -> Parts:
        parts = super()._parts()
        parts.arrays["centers"] = self.centers_
        return parts

    def _restore_windows(self, parts: Parts) -> None:
        self.centers_ = parts.array("centers", None, self.window * len(self._varying()))
