"""What a score is made of: each detector's part in a fused score, each feature's in an error.

For chosen rows only the windows that end there are scored, with the compiled kernels, so that an
explanation costs what the scores of these rows cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.thresholds.scores import Floats

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.detect.ensemble import Ensemble
    from slidecell.model import SequenceModel
    from slidecell.tables.rows import Rows

Ints = npt.NDArray[np.int64]

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
    known = ensemble._known_rows(X, offsets)
    return _member_parts(ensemble, known, _chosen(rows, known))


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
    share of the error. Where it is their maximum, the part is the feature's Shapley value: equal
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
    parts = _feature_parts(detector, X, rows, offsets)
    if baseline is None:
        return parts
    usual = np.asarray(baseline, np.float64)
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
    parts = _feature_parts(detector, X, None, offsets)
    scored = np.isfinite(parts).all(axis=1)
    if not scored.any():
        raise ValueError(f"X: expected at least one row with a score, got none of {len(parts)}")
    return np.asarray(parts[scored].mean(axis=0))


def _member_parts(ensemble: Ensemble, known: Rows, chosen: Ints) -> Floats:
    """Parts [n, M] of the members in the fused scores of the chosen rows."""
    parts = np.zeros((len(chosen), len(ensemble.members_)))
    for m, (name, member) in enumerate(ensemble.members_.items()):
        weight = ensemble.weights_[m]
        if weight > 0.0:
            scores = _at(member, known, chosen, member._score)
            normalised = ensemble.normalisers_[name].apply(scores)
            parts[:, m] = weight * (normalised - ensemble.baselines_[m])
    parts[np.isnan(parts).any(axis=1)] = np.nan
    return parts


def _feature_parts(
    detector: Detector | SequenceModel,
    X: Any,
    rows: npt.ArrayLike | None,
    offsets: npt.ArrayLike | None,
) -> Floats:
    """Parts [n, F] that add up to the scores of the chosen rows."""
    from slidecell.detect.base import Detector
    from slidecell.detect.ensemble import Ensemble

    if not isinstance(detector, Detector):
        return _model_parts(detector, X, rows, offsets)
    known = detector._known_rows(X, offsets)
    chosen = _chosen(rows, known)
    if isinstance(detector, Ensemble):
        return _ensemble_parts(detector, known, chosen)
    shares = _feature_shares(detector, known, chosen)
    return _shared_out(_at(detector, known, chosen, detector._score), shares)


def _feature_shares(detector: Detector, known: Rows, chosen: Ints) -> Floats:
    """Shares [n, F] of the features in the scores of the chosen rows."""
    if detector.feature_reduction is None:
        raise ValueError(f"detector: {type(detector).__name__} has no score per feature")
    errors = _at(detector, known, chosen, detector._score_features)
    return _shares(errors) if detector.feature_reduction == "mean" else _shapley_of_maximum(errors)


def _ensemble_parts(ensemble: Ensemble, known: Rows, chosen: Ints) -> Floats:
    """Each weighted member's part, shared out among the features as its own score is."""
    members = _member_parts(ensemble, known, chosen)
    parts = np.zeros((len(chosen), known.features))
    for m, (name, member) in enumerate(ensemble.members_.items()):
        if ensemble.weights_[m] > 0.0:
            try:
                shares = _feature_shares(member, known, chosen)
            except ValueError as error:
                raise ValueError(f"member {name!r}: {error}") from None
            parts += _shared_out(members[:, m], shares)
    return parts


def _model_parts(
    model: SequenceModel, X: Any, rows: npt.ArrayLike | None, offsets: npt.ArrayLike | None
) -> Floats:
    from slidecell.frames import match_features
    from slidecell.tables.rows import Source, take_rows

    known = take_rows(match_features(X, model.features), offsets, Source())
    chosen = _chosen(rows, known)
    needed = model.window + model.horizon

    def score(short: Rows, *, per_feature: bool) -> npt.NDArray[Any]:
        return model.score(short.values, short.offsets, per_feature=per_feature)

    errors = _at_ends(known, chosen, needed, partial(score, per_feature=True))
    scores = _at_ends(known, chosen, needed, partial(score, per_feature=False))
    targets = model.metadata["targets"]
    shares = np.zeros((len(chosen), model.input_size))
    shares[:, slice(None) if targets is None else targets] = _shares(errors)
    return _shared_out(scores, shares)


def _at(
    detector: Detector, rows: Rows, chosen: Ints, score: Callable[[Rows], npt.NDArray[Any]]
) -> Floats:
    """Scores [n] or [n, F] of the chosen rows."""
    if detector._fills():
        rows = rows.filled()
    return _at_ends(rows, chosen, _rows_needed(detector), score)


def _at_ends(
    rows: Rows, chosen: Ints, needed: int | None, score: Callable[[Rows], npt.NDArray[Any]]
) -> Floats:
    """Score the `needed` rows that end at each chosen one; all rows where that is less work."""
    if needed is None or len(chosen) * needed >= len(rows):
        return np.asarray(score(rows)[chosen], np.float64)
    starts = rows.offsets[np.searchsorted(rows.offsets, chosen, side="right") - 1]
    enough = chosen - starts >= needed - 1
    if not enough.any():  # NaN, or a refusal: as of all rows
        return np.asarray(score(rows)[chosen], np.float64)
    windows = rows.values[chosen[enough][:, None] + np.arange(1 - needed, 1)]
    short = replace(
        rows,
        values=windows.reshape(-1, rows.features),
        offsets=np.arange(len(windows) + 1) * needed,
        order=None,
    )
    scores = np.asarray(score(short), np.float64)[needed - 1 :: needed]
    result = np.full((len(chosen), *scores.shape[1:]), np.nan)
    result[enough] = scores
    return result


def _rows_needed(detector: Detector) -> int | None:
    """Return how many rows a score depends on, its own the last; None: nobody knows."""
    from slidecell.detect.ensemble import Ensemble

    if isinstance(detector, Ensemble):
        needed = [
            None if member._fills() else _rows_needed(member)
            for member in detector.members_.values()
        ]
        known = [n for n in needed if n is not None]
        return max(known) if len(known) == len(needed) else None
    averaged = getattr(detector, "aggregate", None) == "mean"  # over later windows too
    if averaged or not type(detector).__module__.startswith("slidecell."):
        return None
    fitted = getattr(detector, "model_", detector)  # of a network, where parameters may change
    return int(getattr(fitted, "window", 1)) + int(getattr(fitted, "horizon", 0))


def _chosen(rows: npt.ArrayLike | None, known: Rows) -> Ints:
    """Places [n] of the chosen input rows among the rows in order."""
    S = len(known)
    places = np.arange(S)
    if known.order is not None:
        places[known.order] = np.arange(S)
    if rows is None:
        return places
    chosen = np.asarray(rows)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise ValueError(
            f"rows: expected [n] integers, got {list(chosen.shape)} of dtype {chosen.dtype}"
        )
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < S):
        raise ValueError(
            f"rows: expected 0 to {S - 1} (rows of X), got {chosen.min()} to {chosen.max()}"
        )
    return places[chosen.astype(np.int64)]


def _shared_out(scores: Floats, shares: Floats) -> Floats:
    """Parts [n, F] of scores [n]; without a share of an infinite one a feature has 0."""
    given = (shares != 0.0) | ~np.isinf(scores[:, None])
    return np.multiply(scores[:, None], shares, out=np.zeros_like(shares), where=given)


def _finite(errors: Floats) -> Floats:
    """Errors [n, F] with 1 for infinite ones, which leave nothing to the others: 0."""
    infinite = np.isinf(errors)
    return np.where(infinite.any(axis=1, keepdims=True), infinite, errors)


def _shares(errors: Floats) -> Floats:
    """Shares [n, F] of errors of at least 0; equal ones where there is no error."""
    errors = _finite(errors)
    total = errors.sum(axis=1, keepdims=True)
    shares = errors / np.where(total == 0.0, 1.0, total)
    return np.where(total == 0.0, 1.0 / errors.shape[1], shares)


def _shapley_of_maximum(errors: Floats) -> Floats:
    """Shares [n, F] of the maximum: Shapley values, in closed form [1]_, over their sum.

    The least error is reached by all F features, which share it; what the next one adds is shared
    by the F - 1 others, and so on.

    References
    ----------
    .. [1] S. Littlechild, G. Owen (1973), "A simple expression for the Shapley value in a special
       case", Management Science 20(3).
    """
    F = errors.shape[1]
    errors = _finite(errors)
    order = np.argsort(errors, axis=1, kind="stable")
    rising = np.take_along_axis(errors, order, axis=1)
    steps = np.diff(rising, axis=1, prepend=0.0) / np.arange(F, 0, -1)
    values = np.empty_like(errors)
    np.put_along_axis(values, order, np.cumsum(steps, axis=1), axis=1)
    return _shares(values)
