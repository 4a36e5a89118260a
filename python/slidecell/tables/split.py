"""The one split of rows: which are past, which of them are held out, and which part each row is."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from slidecell.tables.rows import Ints, Rows
from slidecell.tables.times import parse_time
from slidecell.tables.window_split import split_windows, usable_windows
from slidecell.tables.windowed import TooFewWindowsError, refuse_no_window

__all__ = [
    "DEFAULT_TRAIN_FRACTION",
    "PARTS",
    "fitted_rows",
    "held_out_rows",
    "last_rows",
    "name_parts",
    "past_rows",
]

DEFAULT_TRAIN_FRACTION = 0.7
_CALIBRATING_FRACTION = 0.8  # of each entity's rows train, where the last ones calibrate
PARTS = ("train", "validation", "test")

Bools = npt.NDArray[np.bool_]


def past_rows(
    rows: Rows, *, train_until: str | None = None, test_from_row: int | None = None
) -> Bools:
    """Return which rows come before the test part, bool [S].

    Parameters
    ----------
    rows : Rows
    train_until : str, optional
        A fraction above 0 and up to 1: the first rows by time *of each entity*, so that every
        entity's past trains and its future tests, whenever its series begins. Or a time: rows
        before it train. Default: `DEFAULT_TRAIN_FRACTION`.
    test_from_row : int, optional
        Rows from here on test, all before train; replaces ``train_until``.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.tables.rows import Rows
    >>> from slidecell.tables.split import past_rows
    >>> past_rows(Rows(np.zeros((4, 1)), np.array([0, 4])), train_until="0.5").astype(int)
    array([1, 1, 0, 0])
    """
    size = len(rows)
    if test_from_row is not None:
        return np.arange(size) < test_from_row
    text = str(DEFAULT_TRAIN_FRACTION) if train_until is None else train_until
    try:
        fraction = float(text)
    except ValueError:
        fraction = np.nan
    if 0.0 < fraction <= 1.0:
        entities = _entities(rows)
        counts = np.bincount(entities)
        starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
        position = np.arange(size) - starts[entities]
        past: Bools = position < np.rint(fraction * counts)[entities]
        return past
    if rows.times is None:
        raise ValueError(
            f"--train-until: expected a fraction above 0 and up to 1 "
            f"(a time needs --time, the column it is of), got {text!r}"
        )
    try:
        cut = parse_time(text, rows.times, flag="--train-until")
    except ValueError as error:
        raise ValueError(f"{error}; a fraction is above 0 and at most 1") from error
    past = rows.times.values < cut
    if not past.any() or past.all():
        values = rows.times.values
        first, last = (rows.times.text(int(row)) for row in (values.argmin(), values.argmax()))
        side = "at or after" if past.all() else "before"
        raise ValueError(f"--train-until: no row {side} {text}; times run from {first} to {last}")
    return past


def fitted_rows(rows: Rows, past: Bools, *, train_on: Literal["all", "normal"]) -> Bools:
    """Return which of the past rows a detector is fitted on, bool [S].

    With ``train_on="normal"`` rows labelled 1 cut the series: no window that is fitted touches one.
    """
    if train_on == "all":
        return past
    if rows.labels is None:
        raise ValueError("--train-on normal: needs --label, the column that tells normal rows")
    return np.asarray(past & (rows.labels != 1))


def held_out_rows(rows: Rows, *, window: int, horizon: int, fraction: float, seed: int) -> Bools:
    """Choose rows that train nothing, bool [S]: whole entities, of one entity the last part.

    Raises
    ------
    TooFewWindowsError
        If no window is without a missing value, or too few are there to hold some out.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.tables.rows import Rows
    >>> from slidecell.tables.split import held_out_rows
    >>> rows = Rows(np.zeros((10, 1)), np.array([0, 10]))
    >>> held_out_rows(rows, window=1, horizon=1, fraction=0.3, seed=0).astype(int)
    array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    """
    refuse_no_window(rows, window=window, horizon=horizon)
    windows = usable_windows(
        rows.complete(), rows.offsets, window=window, horizon=horizon, stride=1
    )
    length = window + horizon
    if len(windows.starts) == 0:
        raise TooFewWindowsError(
            f"{rows.source}: all {windows.skipped} windows of {length} rows have a missing value; "
            "missing='ffill' (--missing ffill) fills them from the past"
        )
    keys = None if rows.entities is None else rows.entities[rows.offsets[:-1]]
    try:
        split = split_windows(
            windows,
            rows.offsets,
            rows=len(rows),
            length=length,
            fraction=fraction,
            keys=keys,
            seed=seed,
        )
    except ValueError as error:
        text = str(error).replace("series:", f"{rows.source}:", 1)
        raise TooFewWindowsError(text) from error
    return split.validation_rows


def last_rows(rows: Rows) -> Bools:
    """Return the last fifth of each entity's rows, bool [S]: what else trains nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.tables.rows import Rows
    >>> from slidecell.tables.split import last_rows
    >>> last_rows(Rows(np.zeros((15, 1)), np.array([0, 5, 15]))).astype(int)
    array([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    """
    return ~past_rows(rows, train_until=str(_CALIBRATING_FRACTION))


def name_parts(rows: Rows, past: Bools, fitted: Bools, held_out: Bools) -> npt.NDArray[Any]:
    """Return the part of each row [S]: "train", "validation" or "test".

    Parameters
    ----------
    rows : Rows
    past, fitted : ndarray of bool, [S]
        Rows before the test part, and those of them that a detector was fitted on.
    held_out : ndarray of bool, [T]
        Which of the fitted rows trained nothing. A past row that was left out is of the part of
        its neighbours.
    """
    used = np.flatnonzero(fitted)
    held = np.zeros(len(past), np.bool_)
    held[used] = held_out
    left_out = np.flatnonzero(past & ~fitted)
    if len(left_out) and len(used):
        # The used row before it in its entity decides, or else the one after it.
        entities = _entities(rows)
        after = np.searchsorted(used, left_out)
        before = np.maximum(after - 1, 0)
        after = np.minimum(after, len(used) - 1)
        same = (entities[used[before]] == entities[left_out]) & (used[before] < left_out)
        nearest = np.where(same, before, after)
        known = entities[used[nearest]] == entities[left_out]
        held[left_out] = held_out[nearest] & known
    part = np.where(past, "train", "test").astype("<U10")
    part[held] = "validation"
    return part


def _entities(rows: Rows) -> Ints:
    if rows.entities is not None:
        return rows.entities
    return np.repeat(np.arange(len(rows.offsets) - 1), np.diff(rows.offsets))
