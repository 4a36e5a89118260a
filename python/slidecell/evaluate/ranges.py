"""Range-based precision and recall: how much of each anomaly is flagged, in how many pieces."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slidecell.evaluate.inputs import Bools, Ints, as_flags, as_labels, as_offsets, runs_of
from slidecell.evaluate.points import harmonic

__all__ = ["range_f1", "range_reward"]


def range_f1(
    labels: npt.ArrayLike,
    flags: npt.ArrayLike,
    offsets: npt.ArrayLike | None = None,
    *,
    existence: float = 0.2,
) -> float | None:
    """Range-based F1 [1]_ of labels [S] and flags [S].

    Recall of an anomaly: ``existence`` for being touched at all, the rest for the share of its
    rows that are flagged, divided by the number of runs of flags that touch it (the paper's
    flat positional bias and cardinality factor 1/x). Precision of a run of flags: the
    same with labels and flags exchanged, without reward for existence. Runs end
    where their entity does.

    Parameters
    ----------
    labels : array_like, [S]
    flags : array_like, [S]
    offsets : array_like of int, [G+1], optional
    existence : float
        Weight alpha of existence in recall, 0 to 1. TSB-AD [2]_ has 0.2.

    Returns
    -------
    float
        None without an anomaly, 0 without a flag.

    Notes
    -----
    TSB-AD's program prints other figures for the same rows (0.051 where this is 0.122): it hands
    flags as bool to code that looks for changes of +1 and of -1, and numpy's difference of bools
    knows no -1. So it sees a single range of flags, from the first change to the last row. Here
    every run of flags is a range, as in the paper.

    References
    ----------
    .. [1] N. Tatbul, T. J. Lee, S. Zdonik, M. Alam, J. Gottschlich (2018), "Precision and Recall
       for Time Series", NeurIPS.
    .. [2] Q. Liu, J. Paparrizos (2024), "The Elephant in the Room: Towards A Reliable Time-Series
       Anomaly Detection Benchmark", NeurIPS, Datasets and Benchmarks.

    Examples
    --------
    >>> from slidecell.evaluate import range_f1
    >>> round(range_f1([0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0]), 3)
    0.75
    """
    if not 0.0 <= existence <= 1.0:
        raise ValueError(f"existence: expected 0 to 1, got {existence!r}")
    truth = as_labels(labels)
    flagged = as_flags(flags, len(truth))
    bounds = as_offsets(offsets, len(truth))
    anomalies, alarms = runs_of(truth, bounds), runs_of(flagged, bounds)
    if len(anomalies[0]) == 0:
        return None
    if len(alarms[0]) == 0:
        return 0.0
    recall = range_reward(anomalies, flagged, alarms, existence)
    precision = range_reward(alarms, truth, anomalies, 0.0)
    return harmonic(precision, recall)


def range_reward(
    ranges: tuple[Ints, Ints], rows: Bools, others: tuple[Ints, Ints], existence: float
) -> float:
    """Mean reward of ranges: of which rows [S] count, and which other ranges break them up.

    Ranges are first rows and rows after the last; neither list overlaps itself.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.evaluate.ranges import range_reward
    >>> one, two = (np.array([0]), np.array([4])), (np.array([0, 2]), np.array([1, 4]))
    >>> range_reward(one, np.array([1, 0, 1, 1], bool), two, 0.2)  # 0.2 + 0.8 * 3/4 / 2
    0.5
    """
    first, end = ranges
    before = np.concatenate(([0], np.cumsum(rows)))
    covered = (before[end] - before[first]) / (end - first)
    pieces = np.searchsorted(others[0], end, side="left") - np.searchsorted(
        others[1], first, side="right"
    )
    overlap = covered / np.maximum(pieces, 1)
    return float((existence * (covered > 0) + (1 - existence) * overlap).mean())
