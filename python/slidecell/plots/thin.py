"""Reduce a long line to a few thousand points that look the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BINS", "bin_starts", "envelope", "runs", "strokes", "thin", "thin_curve", "thin_mask"]

# Longer lines are drawn as the minimum and maximum of this many bins, about two per pixel:
# the picture is the same and a million rows cost no more than ten thousand.
BINS = 2500

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def envelope(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return the least and the greatest value [n] of each bin of the axis of a long line [S].

    Bins are equal pieces of the axis, more than its pixels; those without a row are left out. Where
    x is not in order, they are equal numbers of rows. A bin whose rows have no value has NaN.

    Returns
    -------
    x, low, high : ndarray, [n]
        x is that of the first row of each bin. A line of few rows is its own envelope.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.plots.thin import envelope
    >>> y = np.zeros(100_000)
    >>> y[77_777], y[33_333] = 5.0, -2.0
    >>> x, low, high = envelope(np.arange(100_000), y)
    >>> len(x), low.min(), high.max(), x[high.argmax()] <= 77_777 < x[high.argmax() + 1]
    (2500, np.float64(-2.0), np.float64(5.0), np.True_)
    """
    starts = bin_starts(x)
    if len(starts) == len(x):
        return x, y, y
    return x[starts], np.fmin.reduceat(y, starts), np.fmax.reduceat(y, starts)


def bin_starts(x: Array) -> Ints:
    """Return the first row of each bin that has one; all rows [S], where there are few."""
    if len(x) <= 2 * BINS:
        return np.arange(len(x))
    if (x[1:] < x[:-1]).any() or not x[-1] > x[0]:
        return np.linspace(0, len(x), BINS, endpoint=False).astype(np.int64)
    edges = x[0] + (x[-1] - x[0]) / BINS * np.arange(BINS)
    return np.unique(np.searchsorted(x, edges))


def strokes(x: Array, y: Array) -> tuple[Array, Array]:
    """Return a long line [S] as one that goes up and down through its `envelope`.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.plots.thin import strokes
    >>> x, y = strokes(np.arange(100_000), np.sin(np.arange(100_000) / 50))
    >>> len(x), round(float(y.max()), 3)
    (5000, 1.0)
    """
    place, low, high = envelope(x, y)
    if low is high:
        return x, y
    return np.repeat(place, 2), np.stack([low, high], axis=1).ravel()


def thin(x: Array, y: Array) -> tuple[Array, Array]:
    """Keep minimum and maximum per bin of a long line [S], in order; NaN where a bin has no value.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.plots.thin import thin
    >>> x, y = thin(np.arange(100_000), np.sin(np.arange(100_000) / 50))
    >>> len(x), round(float(y.max()), 3)
    (5000, 1.0)
    """
    size = len(x) // BINS
    if size < 2:
        return x, y
    rows = len(x) // size * size
    bins = y[:rows].astype(np.float64).reshape(-1, size)
    low = np.where(np.isnan(bins), np.inf, bins).argmin(axis=1)
    high = np.where(np.isnan(bins), -np.inf, bins).argmax(axis=1)
    pair = np.sort(np.stack([low, high], axis=1), axis=1) + size * np.arange(len(bins))[:, None]
    picked = np.concatenate([pair.ravel(), np.arange(rows, len(x))])
    return x[picked], y[picked]


def thin_curve(x: Array, y: Array, *, log: bool = False) -> tuple[Array, Array]:
    """Keep the first and last point per bin of the axis of a curve [n] whose x does not turn.

    Bins of the axis, not of the points: where few points span much of the axis all of them stay.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.plots.thin import thin_curve
    >>> x = np.concatenate([np.linspace(0, 1, 100_000), [2.0, 3.0, 4.0]])
    >>> thinned, _ = thin_curve(x, x)
    >>> len(thinned) < 2000, thinned[-3:].tolist()
    (True, [2.0, 3.0, 4.0])
    """
    if len(x) <= 2 * BINS:
        return x, y
    place = np.log(x) if log else x
    low, high = place.min(), place.max()
    if not high > low:
        return x[[0, -1]], y[[0, -1]]
    bins = np.floor((place - low) / (high - low) * BINS)
    change = np.flatnonzero(np.diff(bins))
    picked = np.unique(np.concatenate([[0], change, change + 1, [len(x) - 1]]))
    return x[picked], y[picked]


def thin_mask(x: Array, mask: Bools) -> tuple[Array, Bools]:
    """Make bins of a long mask [S]: the first x of each, and whether any row in it is marked."""
    size = len(x) // (2 * BINS)
    if size < 2:
        return x, mask
    starts = np.arange(0, len(x), size)
    return x[starts], np.logical_or.reduceat(mask, starts)


def runs(mask: Bools) -> tuple[Ints, Ints]:
    """Return first and last row of every unbroken run of marked rows [S].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.plots.thin import runs
    >>> first, last = runs(np.array([False, True, True, False, True]))
    >>> first.tolist(), last.tolist()
    ([1, 4], [2, 4])
    """
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
