"""What the adapters share: the detector inside, and scores without a gap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from slidecell.detect.base import Detector

__all__ = ["finite_scores", "fit_copy", "nearest_scores"]

Floats = npt.NDArray[np.float64]

# In the place of infinity: its square is finite too, which means and deviations need.
_GREATEST = float(np.finfo(np.float32).max)


# PyOD's default. A threshold by it holds no row out of the fit.
_SHARE = 0.1


def fit_copy(detector: Any, X: Any, *, scores_alone: bool = False) -> Detector:
    """Return a fitted copy of the detector; the one given stays as it is.

    Where its scores alone count, all rows train, unless a threshold was asked for: the default one
    would hold some out.

    Examples
    --------
    >>> from slidecell.adapters.wrapped import fit_copy
    >>> from slidecell.detect import ZScoreDetector
    >>> fit_copy(ZScoreDetector(), [[1.0], [2.0], [3.0]]).n_features_in_
    1
    """
    if not isinstance(detector, Detector):
        raise TypeError(f"detector: expected one of slidecell.detect, got {detector!r}")
    copy: Detector = clone(detector)
    if scores_alone and copy.contamination is None and copy.threshold is None:
        copy.set_params(contamination=_SHARE)
    return copy.fit(X)


def finite_scores(scores: Floats, unscored: float) -> Floats:
    """Return scores [S] with ``unscored`` where there is none, and with no infinity.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.adapters.wrapped import finite_scores
    >>> finite_scores(np.array([np.nan, 2.0, np.inf]), 0.5)
    array([5.00000000e-01, 2.00000000e+00, 3.40282347e+38])
    """
    return np.minimum(np.where(np.isnan(scores), unscored, scores), _GREATEST)


def nearest_scores(scores: Floats) -> Floats:
    """Return finite scores [S]: a row without one takes the last before it, or else the first.

    Raises
    ------
    ValueError
        If no row has a score.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.adapters.wrapped import nearest_scores
    >>> nearest_scores(np.array([np.nan, np.nan, 2.0, np.nan, 3.0]))
    array([2., 2., 2., 2., 3.])
    """
    scored = np.flatnonzero(~np.isnan(scores))
    if len(scored) == 0:
        raise ValueError(f"X: no row has a score, of {len(scores)}: every one has a missing value")
    places = np.searchsorted(scored, np.arange(len(scores)), side="right") - 1
    return finite_scores(scores[scored[places.clip(0)]], np.nan)
