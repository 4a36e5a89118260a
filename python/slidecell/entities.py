"""Find where one entity ends and the next begins, from columns of keys and times."""

from __future__ import annotations

import datetime
import numbers
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell._arrays import unmasked
from slidecell._instants import read_times
from slidecell._time_values import BadTimeError, brief, is_missing

__all__ = ["entity_offsets", "without_repeats"]

Ints: TypeAlias = npt.NDArray[np.int64]
Gap: TypeAlias = float | datetime.timedelta | np.timedelta64


def entity_offsets(
    keys: npt.ArrayLike,
    time: npt.ArrayLike | None = None,
    max_gap: Gap | None = None,
) -> Ints:
    """Return the offsets of the runs of equal keys: where an entity ends and the next begins.

    Parameters
    ----------
    keys : array_like, [S]
        The entity of each row: text, numbers or any objects that can be hashed. Equal keys must be
        contiguous, in any order; none may be missing.
    time : array_like of numbers, datetime64 or datetimes, [S], optional
        Must not decrease within an entity. Dates with time zones are compared as instants; text is
        no time here.
    max_gap : number or timedelta, optional
        Two rows of an entity that lie further apart in time than this begin a new segment.

    Returns
    -------
    int64 array [G+1]
        Starts at 0 and ends at S; segment g owns rows `offsets[g]:offsets[g+1]`.

    Raises
    ------
    ValueError
        If a key or a time is missing, a key returns after another one, or time runs backwards.

    Examples
    --------
    >>> import slidecell as sc
    >>> sc.entity_offsets(["b", "b", "a", "a", "a"])
    array([0, 2, 5])
    >>> sc.entity_offsets(["b", "b", "a", "a", "a"], time=[0, 1, 0, 1, 9], max_gap=2)
    array([0, 2, 4, 5])
    """
    rows = _checked_keys(keys)
    same = np.asarray(rows[1:] == rows[:-1], dtype=bool)  # [S-1]: row i+1 goes on where row i was
    starts = _run_starts(same, len(rows))
    _refuse_returning(np.asarray(rows[starts]), starts)
    if time is not None:
        same &= ~_gaps(_checked_times(time, len(rows)), same, max_gap)
    elif max_gap is not None:
        raise ValueError("max_gap: expected `time` beside it, got none")
    return np.append(_run_starts(same, len(rows)), len(rows)).astype(np.int64)


def _run_starts(same: npt.NDArray[np.bool_], S: int) -> Ints:
    """First row of each run, `same` [S-1] being True where a row goes on: none if S is 0."""
    return np.concatenate((np.arange(min(S, 1)), np.flatnonzero(~same) + 1))


def _checked_keys(keys: npt.ArrayLike) -> Any:
    """Take keys as an array [S], or text as a column of Arrow's, in which no key is missing."""
    text = _arrow_text(keys)
    if text is not None:
        _refuse_missing(np.asarray(text.isna() if hasattr(text, "isna") else text.is_null()))
        return text
    # A list of text and NaN would become text, "nan", and 1 and "1" the same key: hence objects.
    rows = unmasked(keys) if hasattr(keys, "__array__") else np.asarray(keys, dtype=object)
    if rows.ndim != 1:
        raise ValueError(f"keys: expected [S], got {list(rows.shape)}")
    if rows.dtype == object:
        missing = np.fromiter(map(is_missing, rows), bool, len(rows))
    else:
        missing = np.asarray(rows != rows, dtype=bool)  # noqa: PLR0124
    _refuse_missing(missing)
    return rows


def _arrow_text(keys: Any) -> Any:
    """Return a column of text that pandas or polars holds in Arrow's memory, else None.

    Its slices compare there, without a Python object for each row.
    """
    dtype = getattr(keys, "dtype", None)
    if type(keys).__module__.partition(".")[0] == "polars":
        return keys if str(dtype) == "String" else None
    in_arrow = getattr(dtype, "storage", None) == "pyarrow" or hasattr(dtype, "pyarrow_dtype")
    if not in_arrow or getattr(dtype, "type", None) is not str:
        return None
    return getattr(keys, "array", keys)  # of a Series or an Index, whose labels would be aligned


def _refuse_missing(missing: npt.NDArray[np.bool_]) -> None:
    if missing.any():
        raise ValueError(f"keys: expected a key in every row, got none in row {missing.argmax()}")


def _refuse_returning(keys: npt.NDArray[Any], starts: Ints) -> None:
    """Refuse runs [G] of which two have one key; `starts` [G] has their first rows."""
    runs = keys.tolist()
    if len(set(runs)) == len(runs):
        return
    seen: set[object] = set()
    for run, (key, row) in enumerate(zip(runs, starts, strict=True)):
        if key in seen:
            raise ValueError(
                f"keys: expected equal keys in one run, got {keys[run]!s} again in row {row}; "
                "sort the rows by key, stably"
            )
        seen.add(key)


def _checked_times(time: npt.ArrayLike, S: int) -> npt.NDArray[Any]:
    """Take times [S], all finite, in a type wide enough for their differences."""
    times = _time_array(time)
    if times.shape != (S,):
        raise ValueError(f"time: expected [{S}] (rows of keys), got {list(times.shape)}")
    kind = times.dtype.kind
    if kind not in "iufmM":
        raise TypeError(f"time: expected numbers or datetime64, got dtype {times.dtype}")
    missing = ~np.isfinite(times)
    if missing.any():
        row = missing.argmax()
        raise ValueError(f"time: expected a time in every row, got {times[row]!s} in row {row}")
    return times.astype({"i": np.int64, "u": np.uint64, "f": np.float64}.get(kind, times.dtype))


def _time_array(time: npt.ArrayLike) -> npt.NDArray[Any]:
    """Take times as an array; datetimes, and numbers that numpy would round, are read one by one.

    Text stays what it is, for it is refused.
    """
    times = unmasked(time)
    rounded = times.dtype.kind == "f" and not hasattr(time, "__array__") and _has_large_int(time)
    if times.ndim != 1 or not (times.dtype == object or rounded):
        return times
    values = list(time)  # type: ignore[arg-type]
    if any(isinstance(value, str) for value in values) or all(map(is_missing, values)):
        return times
    try:
        found = read_times(values, first_row=0)
    except BadTimeError as error:
        expected = "expected a time in every row" if error.is_empty else str(error)
        raise ValueError(f"time: {expected}, got {brief(error.value)} in row {error.row}") from None
    return found.values.view("M8[ns]") if found.kind == "date" else found.values


def _has_large_int(time: Any) -> bool:
    return any(isinstance(value, int) and abs(value) > 2**53 for value in time)


def _gaps(
    times: npt.NDArray[Any], same: npt.NDArray[np.bool_], max_gap: Gap | None
) -> npt.NDArray[np.bool_]:
    """Return where row i+1 lies further than `max_gap` after row i, bool [S-1].

    Looked at only within an entity (`same`), where time must not decrease.
    """
    backwards = same & (times[1:] < times[:-1])
    if backwards.any():
        row = int(backwards.argmax()) + 1
        raise ValueError(
            f"time: expected times that do not decrease within an entity, got {times[row]!s} in "
            f"row {row} after {times[row - 1]!s}"
        )
    if max_gap is None:
        return np.zeros(same.shape, dtype=bool)
    limit = _checked_gap(max_gap, times.dtype)
    with np.errstate(over="ignore"):
        step = times[1:] - times[:-1]
    # Between int64's ends a difference needs all 64 bits; it is not negative.
    if times.dtype.kind == "i":
        step = step.view(np.uint64)
    elif times.dtype.kind in "mM":
        return np.asarray((step > limit) | ~(step >= np.timedelta64(0)), dtype=bool)
    return np.asarray(step > limit, dtype=bool)


def _checked_gap(max_gap: Gap, dtype: np.dtype[Any]) -> float | np.timedelta64:
    """`max_gap` in a type that compares with differences of times of this dtype."""
    limit: Any = max_gap
    if isinstance(limit, datetime.timedelta):
        # pandas' own kind is exact to the nanosecond, the standard library's to the microsecond.
        exact = getattr(limit, "to_timedelta64", None)
        limit = exact() if exact else np.timedelta64(limit)
    wants_duration = dtype.kind in "mM"
    is_duration = isinstance(limit, np.timedelta64)
    if is_duration != wants_duration or not (is_duration or isinstance(max_gap, numbers.Real)):
        raise TypeError(
            f"max_gap: expected a {'timedelta' if wants_duration else 'number'} "
            f"(time is {dtype}), got {type(max_gap).__name__}"
        )
    # "not >=" rather than "<": NaN and NaT compare with nothing.
    if not limit >= (np.timedelta64(0) if is_duration else 0):
        raise ValueError(f"max_gap: expected at least 0, got {max_gap}")
    checked: float | np.timedelta64 = limit
    return checked


def without_repeats(ids: Ints) -> list[slice]:
    """Cut entities [n] into runs in which none occurs twice.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.entities import without_repeats
    >>> without_repeats(np.array([3, 1, 3, 3]))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    if len(ids) and len(set(ids.tolist())) == len(ids):
        return [slice(0, len(ids))]
    cuts, seen = [0], set[int]()
    for place, entity in enumerate(ids.tolist()):
        if entity in seen:
            cuts.append(place)
            seen.clear()
        seen.add(entity)
    cuts.append(len(ids))
    return [slice(first, end) for first, end in pairwise(cuts) if first < end]
