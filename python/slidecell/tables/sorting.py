"""The one order of rows: by entity and time, stably, cut at gaps in time."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from slidecell._native_frames import eager_frame, is_frame, refuse_lazy
from slidecell.tables.keys import find_key, key_column, time_column
from slidecell.tables.options import TableOptions
from slidecell.tables.row_error import RowError
from slidecell.tables.rows import Ints
from slidecell.tables.times import Times, parse_gap, parse_times
from slidecell.windows import entity_offsets

__all__ = ["Order", "sort_rows", "time_order"]


@dataclass(frozen=True)
class Order:
    """S rows of R, sorted.

    Attributes
    ----------
    rows : ndarray of int64, [S]
        The input row of each row.
    offsets : ndarray of int64, [G+1]
        Of segments: entities, cut at gaps.
    entities : ndarray of int64, [S]
        Index of each row's entity in `entity_names`.
    entity_names : tuple of str
        In the order of the keys.
    times : Times or None
        Of the rows, [S].
    notes : tuple of str
    """

    rows: Ints
    offsets: Ints
    entities: Ints
    entity_names: tuple[str, ...]
    times: Times | None
    notes: tuple[str, ...]


def sort_rows(
    frame: Any,
    options: TableOptions,
    *,
    source: str,
    prefix: str = "",
    bounds: Ints | None = None,
) -> Order:
    """Sort the rows of a DataFrame [R] by entity and time, as ``options`` say.

    Entities are in the order of their keys, so that shuffled rows give the same. Without a time
    column an index of dates says the order. Rows with equal times, and all rows of an entity
    without times, keep their order.

    Parameters
    ----------
    frame : DataFrame
        What `slidecell._native_frames.eager_frame` returns.
    options : TableOptions
    source : str
        What an error calls the frame.
    prefix : str
        What stands before the names of options in errors: ``--`` on the command line.
    bounds : ndarray of int64, [G+1], optional
        Entities of a frame without an entity column: entity g owns rows
        ``bounds[g]:bounds[g+1]``.
    """
    for role in ("time", "entity"):
        if (name := getattr(options, role)) is not None:
            find_key(frame, name, flag=f"{prefix}{role}", source=source)
    if bounds is None:
        codes, names = _entity_codes(frame, options.entity, source)
    else:
        codes = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        names = tuple(map(str, range(len(bounds) - 1)))
    column = time_column(frame, options.time)
    if column is None:
        rows = np.argsort(codes, kind="stable").astype(np.int64)
        return Order(rows, _offsets(codes[rows], None, options), codes[rows], names, None, ())
    times = parse_times(column, source=source, hint=options.time_format)
    rows = np.lexsort((times.values, codes)).astype(np.int64)
    notes = []
    if options.time is None:
        notes.append(f"times are those of the table's index, {column.name!r}")
    if (np.diff(rows)[np.diff(codes[rows]) == 0] < 0).any():
        notes.append("rows were not in order of time; they were sorted for scoring")
    rows = _settle_duplicates(
        rows, codes, times, options, notes, where=f"{source}: time column {column.name!r}"
    )
    offsets = _offsets(codes[rows], times.take(rows), options)
    return Order(rows, offsets, codes[rows], names, times.take(rows), tuple(notes))


def time_order(
    frame: Any, *, entity: Hashable | None = None, time: Hashable | None = None
) -> tuple[Ints, Ints]:
    """Sort the S rows of a DataFrame by entity and time, as detectors do inside.

    Detectors answer in the order of the rows that they are given. What looks at neighbours takes
    ``scores[order]`` with ``offsets``: `slidecell.evaluate`, thresholds, smoothing. Its answer goes
    back by ``answer[numpy.argsort(order)]``.

    Parameters
    ----------
    frame : DataFrame
        Of pandas, polars, modin, pyarrow or DuckDB.
    entity : hashable, optional
        Column of keys, or level of pandas' index. Default: one entity.
    time : hashable, optional
        Column, or level of pandas' index, of numbers, dates or text that is one. Default: the
        index, if it holds dates; else rows of an entity stay in their order. So do equal times.

    Returns
    -------
    order : ndarray of int64, [S]
        The input row of each row in order.
    offsets : ndarray of int64, [G+1]
        Entity g owns rows ``order[offsets[g]:offsets[g+1]]``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from slidecell.detect import time_order
    >>> from slidecell.thresholds.smoothing import EWMA
    >>> frame = pd.DataFrame({"user": ["b", "a", "b", "a"], "day": [2, 2, 1, 1]})
    >>> order, offsets = time_order(frame, entity="user", time="day")
    >>> order.tolist(), offsets.tolist()
    ([3, 1, 2, 0], [0, 2, 4])
    >>> scores = np.array([0.75, 3.0, 0.25, 1.0])
    >>> EWMA(0.5).apply(scores[order], offsets)[np.argsort(order)].tolist()
    [0.5, 2.0, 0.25, 1.0]
    """
    refuse_lazy(frame, name="frame")
    if not is_frame(frame):
        raise TypeError(f"frame: expected a DataFrame, got {type(frame).__name__}")
    options = TableOptions(time=time, entity=entity, duplicates="keep")
    order = sort_rows(eager_frame(frame), options, source="frame")
    return order.rows, order.offsets


def _entity_codes(frame: Any, entity: Hashable | None, source: str) -> tuple[Ints, tuple[str, ...]]:
    """Return an integer per row [R] and the entities' names, in the order of the keys."""
    if entity is None:
        return np.zeros(len(frame), np.int64), ("",)
    column = key_column(frame, entity)
    empty = np.flatnonzero(column.isna().to_numpy())
    if len(empty):
        before = f"{source}: entity column {entity!r}: {len(empty)} empty, the first in "
        raise RowError(before, empty[:1].tolist())
    import pandas as pd

    try:
        codes, unique = pd.factorize(column, sort=True)
    except TypeError:  # keys that have no order among each other, or lists
        lists = [row for row, key in enumerate(column) if not isinstance(key, Hashable)]
        if lists:
            kind = type(column.iloc[lists[0]]).__name__
            before = f"{source}: entity column {entity!r}: expected text or numbers, got {kind} in "
            raise RowError(before, lists[:1]) from None
        codes, unique = pd.factorize(column)
    order = _by_number(unique)
    if order is not None:
        codes, unique = np.argsort(order)[codes], unique[order]
    return codes.astype(np.int64), tuple(map(str, unique))


def _by_number(keys: Any) -> Ints | None:
    """Return the order of sorted keys [G] that are all numbers written as text; None: some are not.

    A CSV file keeps its keys as text. They have the order that they have as numbers in Python:
    2 before 10.
    """
    import pandas as pd

    if keys.dtype.kind in "biufcmM":
        return None
    numbers = pd.to_numeric(pd.Series(keys, dtype=object), errors="coerce")
    if not np.isfinite(numbers.to_numpy(np.float64, na_value=np.nan)).all():
        return None
    return np.asarray(np.argsort(numbers.to_numpy(), kind="stable"), np.int64)


def _settle_duplicates(
    rows: Ints,
    codes: Ints,
    times: Times,
    options: TableOptions,
    notes: list[str],
    *,
    where: str,
) -> Ints:
    """Apply ``options.duplicates`` to sorted rows: the input rows to use, [S]."""
    sorted_times, sorted_codes = times.values[rows], codes[rows]
    repeated = (sorted_codes[1:] == sorted_codes[:-1]) & (sorted_times[1:] == sorted_times[:-1])
    count = int(repeated.sum())
    if count and options.duplicates == "keep":
        notes.append(
            f"{count} row(s) have the time of the row before; all are kept, in their order"
        )
    if count == 0 or options.duplicates == "keep":
        return rows
    if options.duplicates == "last":
        notes.append(f"{count} row(s) with a later duplicate of the same time left out")
        kept: Ints = rows[np.append(~repeated, True)]
        return kept
    pair = rows[int(np.flatnonzero(repeated)[0]) :][:2].tolist()
    one_series = "" if options.entity else "; several series in one file need --entity COLUMN"
    raise RowError(
        f"{where}: {count} duplicate time(s), ",
        pair,
        f" share {times.text(pair[0])}: choose --duplicates keep or --duplicates last{one_series}",
    )


def _offsets(codes: Ints, times: Times | None, options: TableOptions) -> Ints:
    """Offsets [G+1] of sorted rows: cut where the entity changes or a gap is too long."""
    if times is None or options.max_gap is None:
        return np.asarray(entity_offsets(codes), np.int64)
    gap = parse_gap(options.max_gap, times)
    return np.asarray(entity_offsets(codes, time=times.values, max_gap=gap), np.int64)
