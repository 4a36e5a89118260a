"""Volume under the surface: ranking quality that forgives flags near an anomaly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slidecell.evaluate.inputs import Bools, Floats, Ints, Scored, as_window, runs_of, scored_part

__all__ = ["vus"]

# As in the authors' benchmark TSB-AD: thresholds at so many equally spaced ranks of the scores.
_THRESHOLDS = 250
_NONE = 255  # of no threshold: places are 0 .. 249, and a byte holds them


def vus(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    window: int,
    offsets: npt.ArrayLike | None = None,
) -> tuple[float | None, float | None]:
    """Volumes under the ROC and the precision-recall surface [1]_, as TSB-AD computes them [2]_.

    For each buffer length w = 0 .. window, rows within w // 2 rows of an anomaly count as
    anomalous in part: by sqrt(1 - d / w) at distance d, at most 1 in sum. These soft labels make
    the areas under range-aware curves (the paper's R-AUC), whose recall also has the share of
    anomalies that were touched as a factor; the volumes are their means over w.

    Rows without a score are left out, and buffers stay within their entity.

    Parameters
    ----------
    labels : array_like, [S]
        1 = anomaly.
    scores : array_like, [S]
        Higher = more anomalous.
    window : int
        Greatest buffer length, at least 0. Half of a buffer lies on each side of an anomaly: with
        100, flags up to 50 rows away count in part.
    offsets : array_like of int, [G+1], optional
        Entity g owns rows ``offsets[g]:offsets[g+1]``. Default: one entity.

    Returns
    -------
    vus_roc, vus_pr : float
        None if all labels are equal.

    Notes
    -----
    Two anomalies within w // 2 rows of a row weigh sqrt(1/2) at least each: their sum is cut to 1.
    So a row's weight depends on the distances to the nearest and the second nearest anomaly alone,
    and one table of rows by distance and threshold serves all w. It takes O(S log S) to rank
    and O(window^2) table rows to sum, where a pass over the series for each threshold and w takes
    O(250 window S).

    References
    ----------
    .. [1] J. Paparrizos, P. Boniol, T. Palpanas, R. S. Tsay, A. Elmore, M. J. Franklin (2022),
       "Volume Under the Surface: A New Accuracy Evaluation Measure for Time-Series Anomaly
       Detection", PVLDB 15 (11), 2774-2787.
    .. [2] Q. Liu, J. Paparrizos (2024), "The Elephant in the Room: Towards A Reliable Time-Series
       Anomaly Detection Benchmark", NeurIPS, Datasets and Benchmarks.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.evaluate import vus
    >>> labels = np.zeros(200, int)
    >>> labels[100:110] = 1
    >>> late = np.roll(labels, 5) + np.linspace(0, 0.1, 200)
    >>> [round(volume, 3) for volume in vus(labels, late, 0)]
    [0.75, 0.218]
    >>> [round(volume, 3) for volume in vus(labels, late, 20)]
    [0.854, 0.542]
    """
    window = as_window("window", window)
    part = scored_part(labels, scores, offsets)
    if not part.both_classes:
        return None, None
    return _volumes(part, int(window))


def _volumes(part: Scored, window: int) -> tuple[float, float]:
    place = _places(part.scores)
    first, end = runs_of(part.labels, part.offsets)
    flagged = _reached(place)
    hits = _reached(place[part.labels])  # anomalous rows flagged, at each threshold
    positives = hits[-1]
    near = _near_rows(part, place, first, end, window)  # [window+1, thresholds]
    touched = _touched_share(part, place, first, end, window)
    true_positives = hits + near
    # Midway between the labels given and the soft ones that are flagged, as R-AUC has it: no
    # detector is asked to flag the buffers.
    soft_positives = positives + near / 2
    recall = np.minimum(true_positives / soft_positives, 1.0) * touched
    fall_out = (flagged - true_positives) / (len(place) - soft_positives)
    precision = true_positives / flagged
    pr = (np.diff(recall, axis=1, prepend=0.0) * precision).sum(axis=1)
    x = np.pad(fall_out, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
    y = np.pad(recall, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1)))
    roc = (np.diff(x, axis=1) * (y[:, 1:] + y[:, :-1]) / 2).sum(axis=1)
    return float(roc.mean()), float(pr.mean())


def _places(scores: Floats) -> npt.NDArray[np.uint8]:
    """Find the first threshold that each of scores [n] reaches, 0 (the highest) .. 249: [n]."""
    falling = -np.sort(-scores)
    thresholds = falling[np.linspace(0, len(scores) - 1, _THRESHOLDS).astype(np.int64)]
    place: npt.NDArray[np.uint8] = np.searchsorted(-thresholds, -scores).astype(np.uint8)
    return place


def _reached(place: npt.NDArray[np.uint8]) -> Floats:
    """Count the rows that reach each threshold: [n] -> [thresholds]."""
    return np.cumsum(np.bincount(place, minlength=_THRESHOLDS)).astype(np.float64)


def _near_rows(
    part: Scored, place: npt.NDArray[np.uint8], first: Ints, end: Ints, window: int
) -> Floats:
    """Weight of the flagged rows near anomalies, [window+1, thresholds]."""
    nearest, second, rows = _distances(part, first, end, window // 2)
    height = window // 2 + 1
    cell = nearest * _THRESHOLDS + place[rows]
    table = np.bincount(cell, minlength=height * _THRESHOLDS).astype(np.float64)
    # Rows with a second anomaly within reach leave the table, and weigh 1, from that reach on.
    twice = second < height
    order = np.argsort(second[twice], kind="stable")
    cell, leaves = cell[twice][order], np.searchsorted(second[twice][order], np.arange(height + 1))
    whole = np.zeros(_THRESHOLDS)
    weight = np.zeros((window + 1, _THRESHOLDS))
    for reach in range(1, height):
        gone = cell[leaves[reach] : leaves[reach + 1]]
        np.subtract.at(table, gone, 1.0)
        whole += np.bincount(gone % _THRESHOLDS, minlength=_THRESHOLDS)
        by_distance = table.reshape(height, _THRESHOLDS)[1 : reach + 1]
        for w in range(2 * reach, min(2 * reach + 1, window) + 1):
            weight[w] = np.sqrt(1.0 - np.arange(1, reach + 1) / w) @ by_distance + whole
    return np.cumsum(weight, axis=1)


def _distances(
    part: Scored, first: Ints, end: Ints, reach: int
) -> tuple[Ints, Ints, npt.NDArray[np.intp]]:
    """Distances to the nearest and second nearest anomaly of the normal rows within reach.

    Returns
    -------
    nearest, second : int64 array, [r]
        reach + 1 stands for everything beyond.
    rows : int array, [r]
    """
    beyond = reach + 1
    rows = np.flatnonzero(_within(part, first, end, reach) & ~part.labels)
    # Entities are moved apart, so that what is near is of the same one.
    entity = np.repeat(np.arange(len(part.offsets) - 1), np.diff(part.offsets))
    apart = entity * beyond
    at = rows + apart[rows]
    after = np.searchsorted(first, rows) + 2  # the anomaly that comes next, in the padded lists
    starts = np.pad(first + apart[first], 2, constant_values=np.iinfo(np.int64).max // 2)
    lasts = np.pad(end - 1 + apart[end - 1], 2, constant_values=-(np.iinfo(np.int64).max // 2))
    left, right = at - lasts[after - 1], starts[after] - at
    nearest = np.minimum(left, right)
    second = np.minimum(at - lasts[after - 2], starts[after + 1] - at)
    second = np.minimum(second, np.maximum(left, right))
    return nearest, np.minimum(second, beyond), rows


def _within(part: Scored, first: Ints, end: Ints, reach: int) -> Bools:
    """Rows [n] of the anomalies, and those within reach of one in the same entity."""
    low, high = _entity_bounds(part.offsets, first)
    steps = np.zeros(len(part.labels) + 1, np.int64)
    np.add.at(steps, np.maximum(first - reach, low), 1)
    np.add.at(steps, np.minimum(end + reach, high), -1)
    return np.cumsum(steps[:-1]) > 0


def _entity_bounds(offsets: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """First row, and row after the last, of the entities of rows [r]."""
    entity = np.searchsorted(offsets, rows, side="right") - 1
    return offsets[entity], offsets[entity + 1]


def _touched_share(
    part: Scored, place: npt.NDArray[np.uint8], first: Ints, end: Ints, window: int
) -> Floats:
    """Share of the anomalies, joined where their buffers meet, with a flag: [w, thresholds]."""
    low, high = _entity_bounds(part.offsets, first)
    best = np.minimum.reduceat(np.where(part.labels, place, np.uint8(_NONE)), first)
    gap = np.where(low[1:] == low[:-1], first[1:] - end[:-1] + 1, np.iinfo(np.int64).max)
    share = np.empty((window + 1, _THRESHOLDS))
    for reach in range(window // 2 + 1):
        edges = place[np.maximum(first - reach, low)], place[np.minimum(end - 1 + reach, high - 1)]
        best = np.minimum(best, np.minimum(*edges))
        leaders = np.concatenate(([0], np.flatnonzero(gap > 2 * reach) + 1))
        joined = np.minimum.reduceat(best, leaders)
        share[2 * reach : 2 * reach + 2] = _reached(joined) / len(leaders)
    return share
