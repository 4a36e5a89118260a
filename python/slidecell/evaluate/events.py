"""Metrics by event: an anomaly is found if any of its rows is flagged."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slidecell.evaluate.inputs import Bools, Ints, as_flags, as_labels, as_offsets, runs_of
from slidecell.evaluate.points import harmonic, point_scores

__all__ = ["event_f1", "event_recall", "point_adjust", "point_adjusted_f1"]


def event_recall(
    labels: npt.ArrayLike, flags: npt.ArrayLike, offsets: npt.ArrayLike | None = None
) -> float | None:
    """Share of the anomalies (runs of labels [S]) with a flag [S] in them; None without one.

    Examples
    --------
    >>> from slidecell.evaluate import event_recall
    >>> event_recall([1, 1, 0, 1], [0, 1, 0, 0])
    0.5
    """
    truth, flagged, bounds = _checked(labels, flags, offsets)
    found = _events_found(truth, flagged, bounds)[2]
    return float(found.mean()) if len(found) else None


def event_f1(
    labels: npt.ArrayLike, flags: npt.ArrayLike, offsets: npt.ArrayLike | None = None
) -> float | None:
    """Composite F1 [1]_ of labels [S] and flags [S]: anomalies found against rows flagged.

    The harmonic mean of the share of anomalies with a flag in them and of the share of flagged
    rows that are anomalous (the paper's Fc1). None without an anomaly, 0 without a hit.

    Parameters
    ----------
    labels : array_like, [S]
    flags : array_like, [S]
    offsets : array_like of int, [G+1], optional
        An anomaly ends where its entity does.

    References
    ----------
    .. [1] A. Garg, W. Zhang, J. Samaran, R. Savitha, C.-S. Foo (2021), "An Evaluation of Anomaly
       Detection and Diagnosis in Multivariate Time Series", IEEE TNNLS 33 (6).

    Examples
    --------
    >>> from slidecell.evaluate import event_f1
    >>> event_f1([1, 1, 0, 1], [0, 1, 0, 0])  # one of two anomalies, no false alarm
    0.6666666666666666
    """
    recall = event_recall(labels, flags, offsets)
    if recall is None:
        return None
    return harmonic(point_scores(labels, flags).precision or 0.0, recall)


def point_adjust(
    labels: npt.ArrayLike, flags: npt.ArrayLike, offsets: npt.ArrayLike | None = None
) -> Bools:
    """Flag each anomaly (of labels [S]) with a flag [S] in it all over: bool [S].

    Examples
    --------
    >>> from slidecell.evaluate import point_adjust
    >>> point_adjust([1, 1, 0, 1], [0, 1, 1, 0]).tolist()
    [True, True, True, False]
    """
    truth, flagged, bounds = _checked(labels, flags, offsets)
    first, end, found = _events_found(truth, flagged, bounds)
    steps = np.zeros(len(truth) + 1, np.int64)
    steps[first[found]] += 1
    steps[end[found]] -= 1  # where the next one begins, in another entity, they cancel out
    return flagged | (np.cumsum(steps[:-1]) > 0)


def point_adjusted_f1(
    labels: npt.ArrayLike, flags: npt.ArrayLike, offsets: npt.ArrayLike | None = None
) -> float | None:
    """Point-wise F1 after `point_adjust` [1]_: **inflated**, for comparison with papers only.

    One lucky flag in a long anomaly counts as all of its rows, so that random scores reach what is
    published as the state of the art [2]_: never show it without a random score's beside it, as
    `evaluate` does. None without an anomaly.

    References
    ----------
    .. [1] H. Xu et al. (2018), "Unsupervised Anomaly Detection via Variational Auto-Encoder for
       Seasonal KPIs in Web Applications", WWW, 187-196.
    .. [2] S. Kim, K. Choi, H.-S. Choi, B. Lee, S. Yoon (2022), "Towards a Rigorous Evaluation of
       Time-Series Anomaly Detection", AAAI.

    Examples
    --------
    >>> from slidecell.evaluate import point_adjusted_f1
    >>> point_adjusted_f1([1, 1, 1, 1, 0], [0, 0, 1, 0, 0])
    1.0
    """
    adjusted = point_adjust(labels, flags, offsets)
    return point_scores(labels, adjusted).f1 if as_labels(labels).any() else None


def _checked(
    labels: npt.ArrayLike, flags: npt.ArrayLike, offsets: npt.ArrayLike | None
) -> tuple[Bools, Bools, Ints]:
    truth = as_labels(labels)
    return truth, as_flags(flags, len(truth)), as_offsets(offsets, len(truth))


def _events_found(truth: Bools, flagged: Bools, bounds: Ints) -> tuple[Ints, Ints, Bools]:
    """Anomalies: first rows, rows after the last, and whether a flag is in them; [M] each."""
    first, end = runs_of(truth, bounds)
    before = np.concatenate(([0], np.cumsum(flagged)))
    return first, end, before[end] > before[first]
