"""Arrays and DataFrames as rows: what detectors are given in Python."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from slidecell._arrays import plain_array
from slidecell._native_frames import (
    eager_frame,
    is_column,
    is_frame,
    refuse_lazy,
    series_frame,
)
from slidecell.frames import as_one_feature, feature_columns
from slidecell.tables.keys import find_key, has_index_of_times
from slidecell.tables.options import TableOptions
from slidecell.tables.rows import Ints, Rows
from slidecell.tables.sorting import sort_rows
from slidecell.windows import WindowPlan

__all__ = ["take_rows"]


def take_rows(X: Any, offsets: npt.ArrayLike | None, options: TableOptions) -> Rows:
    """Return arrays [S, F] and DataFrames, with `offsets` [G+1] or an entity column, as `Rows`.

    A Series is a DataFrame of one column.
    Rows of a DataFrame with an entity or a time column may come in any order: they are sorted
    stably by entity and time; so are those with pandas' index of dates. Other rows of an entity
    are in the order of time.
    What `read_table` returned is taken as it is.

    Raises
    ------
    TypeError
        On text, dates, complex numbers, objects and sparse matrices; the text names the column.
    ValueError
        If a column, a shape or `offsets` does not fit.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell.tables.arrays import take_rows
    >>> from slidecell.tables.options import TableOptions
    >>> frame = pd.DataFrame({"user": ["b", "a", "a"], "day": [1, 2, 1], "x": [5.0, 4.0, 3.0]})
    >>> rows = take_rows(frame, None, TableOptions(entity="user", time="day"))
    >>> rows.features[:, 0].tolist(), rows.offsets.tolist(), rows.names
    ([3.0, 4.0, 5.0], [0, 2, 3], ('x',))
    >>> rows.restore(rows.features[:, 0], 0.0).tolist()
    [5.0, 4.0, 3.0]
    """
    if isinstance(X, Rows):
        if offsets is not None:
            raise ValueError("offsets: expected none beside rows of a table, which have their own")
        return _in_asked_order(X, options)
    X = series_frame(X) if is_column(X) else X
    if not is_frame(X):
        refuse_lazy(X, name="X")
        if options.entity is not None and offsets is None:
            raise ValueError(
                f"entity: {options.entity!r} is a column of a DataFrame, got an array: "
                "pass offsets=, which tell where each entity begins"
            )
        values = _array(X)
        return Rows(values, _bounds(offsets, len(values)))
    X = eager_frame(X, name="X")
    roles = {options.entity, options.time} - {None}
    for role in ("entity", "time"):
        if (name := getattr(options, role)) is not None:
            find_key(X, name, flag=role, source="X")
    columns = options.features or tuple(c for c in X.columns if c not in roles)
    values = feature_columns(X, columns, name="X")
    _refuse_no_feature(values)
    if options.entity is not None and offsets is not None:
        raise ValueError(f"offsets: expected none beside the entity column {options.entity!r}")
    names = columns
    if not roles and not has_index_of_times(X):
        return Rows(values, _bounds(offsets, len(values)), names=names)
    bounds = None if offsets is None else _bounds(offsets, len(values))
    order = sort_rows(X, options, source="X", bounds=bounds)
    return Rows(
        values[order.rows],
        order.offsets,
        order.rows,
        names,
        order.entities,
        order.entity_names,
        order.times,
        options=options.read_from(order.times),
    )


def _in_asked_order(rows: Rows, options: TableOptions) -> Rows:
    """Refuse rows of a table with other features than those asked for."""
    # A file's names are text, whatever those of the frame were that asks for them.
    asked = tuple(map(str, options.features))
    if asked and rows.names is not None and tuple(map(str, rows.names)) != asked:
        raise ValueError(
            f"{rows.source}: expected the columns {', '.join(map(repr, options.features))} in this "
            f"order, got {', '.join(map(repr, rows.names))}"
        )
    return rows


def _array(X: Any) -> npt.NDArray[Any]:
    if hasattr(X, "toarray"):
        raise TypeError("X: expected a dense array [S, F], got a sparse one: X.toarray() makes one")
    array = plain_array(X, name="X")
    if is_column(X):
        array = as_one_feature(array)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"X: expected real numbers, got dtype {array.dtype}")
    if array.ndim == 1:
        raise ValueError(
            f"X: expected [S, F], got {list(array.shape)}. Reshape your data: X.reshape(-1, 1) is "
            "a series of one feature"
        )
    if array.ndim != 2:
        raise ValueError(f"X: expected [S, F], got {list(array.shape)}")
    _refuse_no_feature(array)
    return array


def _refuse_no_feature(values: npt.NDArray[Any]) -> None:
    if values.shape[1] == 0:
        raise ValueError(
            f"X: expected [S, F] with F >= 1, got 0 feature(s) (shape={values.shape}) while a "
            "minimum of 1 is required."
        )


def _bounds(offsets: npt.ArrayLike | None, S: int) -> Ints:
    bounds = WindowPlan([0, S] if offsets is None else offsets, window=1, horizon=0).offsets
    if bounds[-1] != S:
        raise ValueError(f"offsets: expected to end at {S} (rows of X), got {bounds[-1]}")
    return bounds
