"""Split windows into training and validation, so that no row serves both.

Plain numpy on arrays of window starts: eight bytes per window is all that training keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell._arrays import integer_array, unmasked
from slidecell.windows import WindowPlan

IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Windows:
    """The usable windows of one series, in row order.

    Attributes
    ----------
    starts : ndarray of int64, [n]
        First rows.
    entities : ndarray of int64, [n]
        Segment of each window.
    skipped : int
        Windows left out because they touch a row that is not finite.
    """

    starts: IntArray
    entities: IntArray
    skipped: int


@dataclass(frozen=True)
class WindowSplit:
    """Starts of the windows that train and of those that validate.

    Attributes
    ----------
    training, validation : ndarray of int64, [n], [m]
    purged : int
        Windows in neither part, because they straddle the cut.
    validation_rows : ndarray of bool, [S]
        Rows held out.
    """

    training: IntArray
    validation: IntArray
    purged: int
    validation_rows: BoolArray


def usable_windows(
    finite: BoolArray, offsets: npt.ArrayLike | None, *, window: int, horizon: int, stride: int
) -> Windows:
    """`finite` [S], offsets [G+1] or None -> the windows that touch finite rows only."""
    rows = len(finite)
    plan = WindowPlan(
        [0, rows] if offsets is None else offsets, window=window, horizon=horizon, stride=stride
    )
    bounds, starts = plan.offsets, plan.starts()
    if bounds[-1] != rows:
        raise ValueError(
            f"offsets: expected to end at {rows} (rows of series), got {int(bounds[-1])}"
        )
    bad_before = np.concatenate(([0], np.cumsum(~finite)))
    usable = bad_before[starts + window + horizon] == bad_before[starts]
    kept = starts[usable]
    entities = np.searchsorted(bounds, kept, side="right") - 1
    return Windows(kept, entities.astype(np.int64), len(starts) - len(kept))


def split_windows(
    windows: Windows,
    offsets: npt.ArrayLike | None,
    *,
    rows: int,
    length: int,
    fraction: float,
    keys: npt.ArrayLike | None = None,
    seed: int = 0,
) -> WindowSplit:
    """Hold out about `fraction` of the windows: whole keys, or with one key the last rows.

    Where whole keys miss the share by far, by more than a factor of two, the last rows of the
    longest key are held out instead: early stopping on the four windows of a short entity would
    be chance, and half of two entities is too much to lose.

    Parameters
    ----------
    windows : Windows
    offsets : array_like of int, [G+1] or None
    rows : int
        S.
    length : int
        Rows that a window needs, its target included.
    fraction : float
        0: everything trains.
    keys : array_like, [G], optional
        Entity of each segment. Segments of one key stay on one side. Default: each segment is
        an entity of its own.
    seed : int
        Draws the keys to hold out.
    """
    bounds = integer_array([0, rows] if offsets is None else offsets, name="offsets")
    segment_keys = _segment_keys(keys, len(bounds) - 1)
    if len(windows.starts) == 0:
        raise ValueError(
            f"series: expected at least one window of {length} finite rows, "
            f"got none in {rows} rows and {len(bounds) - 1} entities"
        )
    if fraction == 0.0:
        nothing = np.empty(0, dtype=np.int64)
        return WindowSplit(windows.starts, nothing, 0, np.zeros(rows, dtype=np.bool_))
    window_keys = segment_keys[windows.entities]
    if window_keys.min() == window_keys.max():
        return _split_by_time(windows.starts, rows, length, fraction)
    held = _held_keys(np.bincount(window_keys), fraction, seed)
    validates = held[window_keys]
    if not fraction / 2 <= validates.mean() <= fraction * 2:
        by_time = _split_longest(
            windows.starts, window_keys, segment_keys, bounds, length=length, fraction=fraction
        )
        # Purging may cost more than a whole entity does.
        if validates.mean() < fraction or len(by_time.training) > (~validates).sum():
            return by_time
    held_segments = np.zeros(len(segment_keys), dtype=np.bool_)
    known = segment_keys < len(held)
    held_segments[known] = held[segment_keys[known]]
    return WindowSplit(
        windows.starts[~validates],
        windows.starts[validates],
        0,
        np.repeat(held_segments, np.diff(bounds)),
    )


def _segment_keys(keys: npt.ArrayLike | None, segments: int) -> IntArray:
    """Keys [G] -> 0, 1, ... per segment [G]."""
    if keys is None:
        return np.arange(segments, dtype=np.int64)
    array = unmasked(keys)
    if np.ma.is_masked(keys):
        raise ValueError("keys: expected a key for each entity, got a masked one")
    if array.shape != (segments,):
        raise ValueError(
            f"keys: expected [{segments}], one per entity of offsets, got {list(array.shape)}"
        )
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _held_keys(counts: IntArray, fraction: float, seed: int) -> BoolArray:
    """Windows per key [U] -> which keys validate, bool [U].

    Keys are tried in a random order and taken while that brings the share closer to `fraction`,
    so that one long entity is not held out as a whole beside many short ones.
    """
    target = fraction * int(counts.sum())
    held = np.zeros(len(counts), dtype=np.bool_)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[counts[order] > 0]
    for key in order:
        if counts[key] < 2.0 * target:
            held[key] = True
            target -= float(counts[key])
    if not held.any():
        held[order[np.argmin(counts[order])]] = True
    elif held[order].all():
        held[order[np.argmax(counts[order])]] = False
    return held


def _split_longest(
    starts: IntArray,
    window_keys: IntArray,
    segment_keys: IntArray,
    bounds: IntArray,
    *,
    length: int,
    fraction: float,
) -> WindowSplit:
    """Cut the key of most windows so that its last ones are `fraction` of all; the others train."""
    longest = int(np.argmax(np.bincount(window_keys)))
    own = window_keys == longest
    held = min(max(1, round(fraction * len(starts))), int(own.sum()))
    cut = int(starts[own][-held])
    training = starts[~own | (starts + length <= cut)]
    validation = starts[own & (starts >= cut)]
    held_rows = np.repeat(segment_keys == longest, np.diff(bounds))
    held_rows[:cut] = False
    return WindowSplit(
        training, validation, len(starts) - len(training) - len(validation), held_rows
    )


def _split_by_time(starts: IntArray, rows: int, length: int, fraction: float) -> WindowSplit:
    """Cut so that the last `fraction` of the windows validates."""
    held = max(1, round(fraction * len(starts)))
    cut = int(starts[-held])
    training = starts[starts + length <= cut]
    if len(training) == 0:
        raise ValueError(
            f"series: {len(starts)} windows of {length} rows are too few to hold out "
            f"validation={fraction:g}: none is left that ends before the cut at row {cut}; "
            "give more rows, a smaller fraction or validation=0"
        )
    validation = starts[starts >= cut]
    purged = len(starts) - len(training) - len(validation)
    return WindowSplit(training, validation, purged, np.arange(rows) >= cut)
