"""Metrics of ranking, which depend on no threshold: ROC, precision-recall, top k."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.evaluate.inputs import Floats, scored_part

__all__ = ["Cut", "Ranking", "pr_auc", "precision_at_k", "recall_at_k", "roc_auc"]


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


class Cut(NamedTuple):
    """A threshold and what it reaches."""

    threshold: float
    percentile: float  # of the same scores
    f1: float


class Ranking:
    """Scores [n] in descending order with what lies above each cut between different ones.

    Parameters
    ----------
    scores : ndarray of float64, [n]
        Finite.
    labels : ndarray of int64, [n]
        1 = anomaly; at least one.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.evaluate.curves import Ranking
    >>> ranking = Ranking(np.array([1.0, 2.0, 6.0, 8.0]), np.array([0, 0, 1, 1]))
    >>> ranking.average_precision(), ranking.best_cut(0.0, 100.0)
    (1.0, Cut(threshold=4.0, percentile=50.0, f1=1.0))
    """

    def __init__(self, scores: Floats, labels: npt.NDArray[np.int64]) -> None:
        order = np.argsort(-scores)  # how ties are ordered makes no difference below
        self._ranked = scores[order]
        changes = np.flatnonzero(self._ranked[:-1] != self._ranked[1:])
        last = np.append(changes, len(scores) - 1)  # of each group of equal scores
        self._flagged = last + 1
        self._hits = np.cumsum(labels[order])[last]
        self._positives = int(self._hits[-1])

    def average_precision(self) -> float:
        """Sum of precision times the recall gained, from the highest score down."""
        gained = np.diff(self._hits, prepend=0)
        return float((gained * (self._hits / self._flagged)).sum() / self._positives)

    def percentile_cut(self, percentile: float) -> Cut:
        """Return the cut at a percentile of the scores, interpolated linearly."""
        threshold = self._percentile(percentile)
        flagged = self._flagged_above(threshold)
        if flagged == 0:
            return Cut(threshold, float(percentile), 0.0)
        hits = self._hits[np.searchsorted(self._flagged, flagged)]
        return Cut(threshold, float(percentile), self._f1(hits, flagged))

    def best_threshold(self, beta: float = 1.0) -> float:
        """Return the threshold of greatest F-beta; it lies as those of `best_cut` do.

        F-beta = (1 + beta^2) TP / (beta^2 (TP + FN) + TP + FP).
        """
        f = self._hits / (beta * beta * self._positives + self._flagged)
        return self._between(int(self._flagged[f.argmax()]))

    def best_cut(self, least: float, most: float) -> Cut:
        """Return the cut of greatest F1 among all from percentile `least` to percentile `most`.

        The threshold lies midway between the lowest flagged score and the highest one that is not.
        Of equal F1 the highest threshold wins: the fewest alarms.
        """
        fewest = self._flagged_above(self._percentile(most))
        greatest = self._flagged_above(self._percentile(least))
        inside = (self._flagged >= fewest) & (self._flagged <= greatest)
        if not inside.any():  # the top score fills both percentiles
            return self.percentile_cut(most)
        flagged, hits = self._flagged[inside], self._hits[inside]
        best = int((hits / (flagged + self._positives)).argmax())
        n = int(flagged[best])
        percentile = 100.0 * (1.0 - n / len(self._ranked))
        return Cut(self._between(n), percentile, self._f1(hits[best], n))

    def _percentile(self, percentile: float) -> float:
        """Do as np.percentile, which does not know that the scores are sorted."""
        place = (percentile / 100.0) * (len(self._ranked) - 1)
        below = int(place)
        low, high = (
            self._ranked[-1 - below],
            self._ranked[-1 - min(below + 1, len(self._ranked) - 1)],
        )
        part = place - below
        # From the nearer side, as numpy interpolates.
        return float(low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part))

    def _flagged_above(self, threshold: float) -> int:
        return int(np.searchsorted(-self._ranked, -threshold, side="left"))

    def _f1(self, hits: int, flagged: int) -> float:
        return float(2 * hits / (flagged + self._positives))

    def _between(self, flagged: int) -> float:
        """Return a threshold below the first `flagged` scores, above the next one if there is."""
        lowest = self._ranked[flagged - 1]
        if flagged == len(self._ranked):
            return float(np.nextafter(lowest, -np.inf))
        below = self._ranked[flagged]
        midway = below + (lowest - below) / 2
        return float(midway if midway < lowest else below)
