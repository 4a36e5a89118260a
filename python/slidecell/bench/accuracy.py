"""Check an answer against the truth, by the bound that each precision promises."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BOUNDS", "Verdict", "equal_within", "flat", "largest", "rank_auc", "within"]

Doubles = npt.NDArray[np.float64]

# What the report says of each precision, in the words of `within`.
BOUNDS = {
    "highest": "2e-7 + 1e-6 of the score",
    "high": "1e-6",
    "medium": "1 % of the 95th-percentile score, and the same ROC-AUC to 1e-4",
    "low": "3 % of the 95th-percentile score for 99 of 100, and the same ROC-AUC to 1e-4",
}


@dataclass(frozen=True)
class Verdict:
    """The result of comparing an answer with the truth."""

    right: bool
    max_error: float  # inf if the shape is wrong
    relative_error: float | None = None  # in units of the 95th-percentile score; "low": of 99 %
    auc_difference: float | None = None  # from the ROC-AUC of the true scores


def flat(answer: Any) -> Doubles:
    """Return one or several arrays as one, float64 [n], without rows that have no score (NaN).

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.accuracy import flat
    >>> flat((np.array([np.nan, 1.0]), np.array([[2.0]]))).tolist()
    [1.0, 2.0]
    """
    parts = answer if isinstance(answer, tuple) else (answer,)
    joined = np.concatenate([np.asarray(part, np.float64).ravel() for part in parts])
    kept: Doubles = joined[~np.isnan(joined)]
    return kept


def largest(difference: Doubles) -> float:
    """Return the largest absolute difference, 0 if the arrays are empty.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.accuracy import largest
    >>> largest(np.array([1.0, -2.0])), largest(np.zeros(0))
    (2.0, 0.0)
    """
    return float(np.abs(difference).max(initial=0.0))


def equal_within(answer: Any, truth: Any, *, rtol: float, atol: float) -> Verdict:
    """Return a verdict: right if |answer - truth| <= atol + rtol |truth| everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.accuracy import equal_within
    >>> equal_within(np.array([1.0, 2.5]), np.array([1.0, 2.0]), rtol=0.0, atol=0.1)
    Verdict(right=False, max_error=0.5, relative_error=None, auc_difference=None)
    """
    answer, truth = flat(answer), flat(truth)
    if answer.shape != truth.shape:
        return Verdict(right=False, max_error=math.inf)
    error = np.abs(answer - truth)
    return Verdict(bool((error <= atol + rtol * np.abs(truth)).all()), largest(error))


def rank_auc(labels: npt.NDArray[np.bool_], scores: Doubles) -> float:
    """ROC-AUC by ranks, without scikit-learn; 0.5 where there is one class only.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.accuracy import rank_auc
    >>> rank_auc(np.array([False, False, True, True]), np.array([0.1, 0.8, 0.4, 0.9]))
    0.75
    """
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return 0.5
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2  # equal scores share the mean of their ranks
    won = float(ranks[place][labels].sum()) - positive * (positive + 1) / 2
    return won / (positive * negative)


def _auc_bound(labels: npt.NDArray[np.bool_]) -> float:
    """Return 1e-4, or the share of ten pairs, which is more where there are few windows."""
    positive = int(labels.sum())
    return max(1e-4, 10 / max(1, positive * (len(labels) - positive)))


def within(answer: Any, truth: Any, precision: str, labels: npt.NDArray[np.bool_]) -> Verdict:
    """Hold scores [N] to the bound of a precision; `labels` [N] are for the ROC-AUC.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.accuracy import within
    >>> truth, labels = np.array([1.0, 2.0, 3.0]), np.array([False, False, True])
    >>> [within(truth + 1e-3, truth, name, labels).right for name in ("highest", "medium")]
    [False, True]
    """
    # Float32 accuracy: what the tests promise of `score`, with room for the largest of a million
    # windows.
    verdict = equal_within(answer, truth, rtol=1e-6, atol=2e-7)
    if precision == "highest" or not math.isfinite(verdict.max_error):
        return verdict
    percentile = float(np.percentile(truth, 95)) if len(truth) else 1.0
    relative = verdict.max_error / percentile
    difference = abs(rank_auc(labels, flat(answer)) - rank_auc(labels, truth))
    right = verdict.max_error <= 1e-6
    if precision == "medium":
        right = relative <= 0.01 and difference <= _auc_bound(labels)
    if precision == "low":
        relative = float(np.percentile(np.abs(flat(answer) - truth), 99)) / percentile
        right = relative <= 0.03 and difference <= _auc_bound(labels)
    return Verdict(right, verdict.max_error, relative, difference)
