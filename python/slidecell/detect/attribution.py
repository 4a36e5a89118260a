"""What a score is made of: each detector's part in a fused score, each feature's in an error.

For chosen rows only the windows that end there are scored, with the compiled kernels, so that an
explanation costs what the scores of these rows cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._arrays import real_array
from slidecell.model import SequenceModel
from slidecell.thresholds.scores import Floats

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.detect.ensemble import Ensemble

__all__ = ["feature_attribution", "feature_baseline", "member_attribution"]


def member_attribution(
    ensemble: Ensemble,
    X: Any,
    rows: npt.ArrayLike | None = None,
    offsets: npt.ArrayLike | None = None,
) -> Floats:
    """Each member's centred part in the fused scores of chosen rows: [n, M].

    The part is ``weights_[m] * (s_m - baselines_[m])`` with the member's normalised score s_m and
    its mean over the training rows: what a linear model's SHAP values are. A row's parts add up to
    its fused score less the ensemble's mean training score. NaN where a row has no fused score; 0
    for members with weight 0.

    Parameters
    ----------
    ensemble : Ensemble
        Fitted.
    X : array_like, [S, F], or DataFrame
        The series that the rows lie in.
    rows : array_like of int, [n], optional
        Rows of X, in any order, also repeatedly. Default: all.
    offsets : array_like of int, [G+1], optional
        Entity g owns rows ``offsets[g]:offsets[g+1]`` of X.

    Returns
    -------
    ndarray of float64, [n, M]

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import RollingVarianceDetector, ZScoreDetector
    >>> from slidecell.detect.attribution import member_attribution
    >>> from slidecell.detect.ensemble import Ensemble
    >>> X = np.random.default_rng(0).normal(size=(500, 2))
    >>> X[400, 1] = 9
    >>> members = [("level", ZScoreDetector()), ("burst", RollingVarianceDetector(window=30))]
    >>> ensemble = Ensemble(members).fit(X[:300])
    >>> parts = member_attribution(ensemble, X, [400, 402])  # the spike, and two rows later
    >>> (parts > 0).tolist()
    [[True, True], [False, True]]
    >>> scores = ensemble.score_samples(X)[[400, 402]]
    >>> bool(np.allclose(parts.sum(axis=1), scores - ensemble.decision_scores_[29:].mean()))
    True
    """
    return ensemble.attribution(X, rows, offsets=offsets)


def feature_attribution(
    detector: Detector | SequenceModel,
    X: Any,
    rows: npt.ArrayLike | None = None,
    offsets: npt.ArrayLike | None = None,
    *,
    baseline: npt.ArrayLike | None = None,
) -> Floats:
    """Each feature's part in the scores of chosen rows: [n, F].

    Where the score is the mean of the features' errors, the part is the score times the feature's
    share of the error. A `PCADetector` shares by what each feature could take from the error
    (`slidecell.detect.principal.contributions`), because one that is off leaves errors in others.
    Where it is their maximum, the part is the feature's Shapley value: equal
    shares of what the least error reaches, the rest to the features above it, and so on. A row's
    parts add up to its score, with a baseline to the score less the baseline's sum. Of an ensemble
    each member's part (see `member_attribution`) is shared out as the member's score is: they add
    up to the fused score less the mean training score.

    Parameters
    ----------
    detector : Detector or SequenceModel
        A fitted detector with `feature_scores`; an ensemble whose weighted members all have them;
        or a model, whose score is its mean squared error.
    X : array_like, [S, F], or DataFrame
        The series that the rows lie in.
    rows : array_like of int, [n], optional
        Rows of X, in any order, also repeatedly. Default: all.
    offsets : array_like of int, [G+1], optional
        Entity g owns rows ``offsets[g]:offsets[g+1]`` of X.
    baseline : array_like, [F], optional
        What is usual, of `feature_baseline` on training rows; it is subtracted. Default: 0.

    Returns
    -------
    ndarray of float64, [n, F]
        NaN where a row has no score. Features that a model does not predict have no part in it.

    Raises
    ------
    ValueError
        If the detector, or a weighted member, has no score per feature.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.attribution import feature_attribution, feature_baseline
    >>> X = np.random.default_rng(0).normal(size=(500, 3))
    >>> X[400, 1] = 9
    >>> detector = ZScoreDetector().fit(X[:300])
    >>> feature_attribution(detector, X, [400]).argmax(axis=1)
    array([1])
    >>> usual = feature_baseline(detector, X[:300])
    >>> parts = feature_attribution(detector, X, [400], baseline=usual)
    >>> bool(np.isclose(parts.sum(), detector.score_samples(X)[400] - usual.sum()))
    True
    """
    parts = _as_detector(detector).feature_parts(X, rows, offsets=offsets)
    if baseline is None:
        return parts
    usual = real_array(baseline, name="baseline").astype(np.float64)
    if usual.shape != parts.shape[1:]:
        raise ValueError(f"baseline: expected [{parts.shape[1]}], got {list(usual.shape)}")
    return np.asarray(parts - usual)


def feature_baseline(
    detector: Detector | SequenceModel, X: Any, offsets: npt.ArrayLike | None = None
) -> Floats:
    """Return the mean part of each feature in the scores of training rows [S, F]: [F].

    Their sum is the mean training score.

    Raises
    ------
    ValueError
        If no row has a score.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.attribution import feature_baseline
    >>> X = np.random.default_rng(0).normal(size=(500, 3))
    >>> detector = ZScoreDetector().fit(X)
    >>> bool(np.isclose(feature_baseline(detector, X).sum(), detector.decision_scores_.mean()))
    True
    """
    parts = _as_detector(detector).feature_parts(X, offsets=offsets)
    scored = np.isfinite(parts).all(axis=1)
    if not scored.any():
        raise ValueError(f"X: expected at least one row with a score, got none of {len(parts)}")
    return np.asarray(parts[scored].mean(axis=0))


def _as_detector(given: Detector | SequenceModel) -> Detector:
    """Return a model as the detector that scores by its mean squared error."""
    if not isinstance(given, SequenceModel):
        return given
    from slidecell.detect.model_detector import ModelDetector

    return ModelDetector.of(given.with_metadata(smoothing=None))
