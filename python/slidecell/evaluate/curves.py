"""Metrics of ranking, which depend on no threshold: ROC, precision-recall, top k."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.evaluate.inputs import scored_part

__all__ = ["pr_auc", "precision_at_k", "recall_at_k", "roc_auc"]


def roc_auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    """Area under the ROC curve of scores [S] for labels [S]; 0.5 for random scores.

    Rows without a score are left out. None if all labels are equal.

    Examples
    --------
    >>> from slidecell.evaluate import roc_auc
    >>> roc_auc([0, 0, 1, 1], [0.1, 0.8, 0.4, 0.9])
    0.75
    """
    require("sklearn", extra="detect")
    from sklearn.metrics import roc_auc_score

    part = scored_part(labels, scores)
    return float(roc_auc_score(part.labels, part.scores)) if part.both_classes else None


def pr_auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float | None:
    """Average precision of scores [S] for labels [S]: the area under the precision-recall curve.

    Random scores reach the share of anomalies. Rows without a score are left out. None if all
    labels are equal.

    Examples
    --------
    >>> from slidecell.evaluate import pr_auc
    >>> pr_auc([0, 0, 0, 1], [0.1, 0.8, 0.4, 0.5])
    0.5
    """
    require("sklearn", extra="detect")
    from sklearn.metrics import average_precision_score

    part = scored_part(labels, scores)
    return float(average_precision_score(part.labels, part.scores)) if part.both_classes else None


def precision_at_k(labels: npt.ArrayLike, scores: npt.ArrayLike, k: int) -> float:
    """Share of anomalies (labels [S]) among the k highest scores [S].

    Rows without a score are left out. Where the k-th and the next score are equal, each of the
    equal ones counts in part: the mean over all orders of them.

    Parameters
    ----------
    labels : array_like, [S]
    scores : array_like, [S]
    k : int
        1 to the number of scored rows.

    Examples
    --------
    >>> from slidecell.evaluate import precision_at_k
    >>> precision_at_k([1, 0, 1, 0], [0.9, 0.8, 0.5, 0.5], 2)
    0.5
    >>> precision_at_k([1, 0, 1, 0], [0.9, 0.8, 0.5, 0.5], 3)
    0.5
    """
    return _hits_at_k(labels, scores, k)[0] / k


def recall_at_k(labels: npt.ArrayLike, scores: npt.ArrayLike, k: int) -> float | None:
    """Share of the anomalies (labels [S]) that are among the k highest scores [S].

    As `precision_at_k`; None without an anomaly.

    Examples
    --------
    >>> from slidecell.evaluate import recall_at_k
    >>> recall_at_k([1, 0, 1, 0], [0.9, 0.8, 0.5, 0.4], 2)
    0.5
    """
    hits, positives = _hits_at_k(labels, scores, k)
    return hits / positives if positives else None


def _hits_at_k(labels: npt.ArrayLike, scores: npt.ArrayLike, k: int) -> tuple[float, int]:
    """Anomalies among the k highest, and among all."""
    part = scored_part(labels, scores)
    n = len(part.scores)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= n:
        raise ValueError(f"k: expected a whole number of 1 to {n} (scored rows), got {k!r}")
    cut = np.partition(part.scores, n - k)[n - k]
    above, level = part.scores > cut, part.scores == cut
    share = (k - int(above.sum())) / int(level.sum())
    hits = int(part.labels[above].sum()) + share * int(part.labels[level].sum())
    return hits, int(part.labels.sum())
