"""DataFrames as arrays: columns are matched by name, and only numbers are features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arrays import column_numbers, is_masked_array, plain_array
from slidecell._native_frames import eager_frame, is_column, is_frame, refuse_lazy

__all__ = ["as_one_feature", "feature_columns", "is_frame", "match_features", "match_row"]


def feature_columns(frame: Any, names: Sequence[Hashable], *, name: str = "series") -> Any:
    """Return the columns of a DataFrame as real numbers [S, F].

    Missing cells become NaN; columns of whole numbers or of truth values stay what they are where
    nothing is missing.

    Parameters
    ----------
    frame : DataFrame
        Of pandas, polars, modin, pyarrow or DuckDB, or what else hands itself on as Arrow's.
    names : sequence
        F columns, in the order wanted.
    name : str
        What an error calls the frame.

    Raises
    ------
    ValueError
        If the frame lacks a column or has it twice.
    TypeError
        If a column holds text, dates, complex numbers or objects; the text names it.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell.frames import feature_columns
    >>> frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, None]})
    >>> feature_columns(frame, ["c", "a"])
    array([[0.5, 1. ],
           [nan, 2. ]])
    """
    frame = eager_frame(frame, name=name)
    _need_each_once(list(frame.columns), names, name)
    parts = [column_numbers(frame[column], name=name, label=column) for column in names]
    return np.stack(parts, axis=1) if parts else np.empty((len(frame), 0))


def match_features(
    series: Any, features: Sequence[str] | None, *, name: str = "series"
) -> npt.ArrayLike:
    """Return the rows of a DataFrame in the model's column order, and anything else as it is.

    What is masked or null becomes NaN. Rows in a list may have names of their own: see `match_row`.

    Parameters
    ----------
    series : array_like, [S, F], DataFrame or Series
        A DataFrame (see `feature_columns`) may hold further columns. A Series [S] is one feature,
        whatever its name.
    features : list of str or None
        The model's feature names; None: columns are taken in their order.
    name : str
        What an error calls the rows.

    Returns
    -------
    array_like, [S, F]

    Raises
    ------
    ValueError
        If the DataFrame lacks a feature.
    TypeError
        If a column of it holds no numbers, or if a frame is a lazy one.

    Examples
    --------
    >>> from slidecell.frames import match_features
    >>> match_features([[1.0, 2.0]], ["a", "b"])
    [[1.0, 2.0]]
    """
    if is_frame(series):
        if features is None:
            return plain_array(series, name=name)
        frame = eager_frame(series, name=name)
        names = _labels_of(list(frame.columns), features)
        return feature_columns(frame, names, name=name)  # type: ignore[no-any-return]
    if is_masked_array(series):
        return plain_array(series, name=name)
    if is_column(series):
        return as_one_feature(plain_array(series, name=name))
    refuse_lazy(series, name=name)
    if isinstance(series, (list, tuple)) and features is not None and any(map(_is_named, series)):
        series = [match_row(row, features, name=name) for row in series]
    return series  # type: ignore[no-any-return]


def match_row(row: Any, features: Sequence[str] | None, *, name: str = "row") -> Any:
    """Return a row of pandas, whose index has the columns' names, in the model's column order.

    Parameters
    ----------
    row : array_like, [F], or Series (pandas)
        A Series may hold further elements. Anything else is returned as it is.
    features : list of str or None
        The model's feature names; None: elements are taken in their order.
    name : str
        What an error calls the row.

    Returns
    -------
    array_like, [F]

    Raises
    ------
    ValueError
        If the Series lacks a feature.
    TypeError
        If it holds no numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell.frames import match_row
    >>> match_row(pd.Series({"b": 2.0, "a": 1.0}), ["a", "b"])
    array([1., 2.])
    """
    if features is None or not _is_named(row):
        return row
    labels = list(row.index)
    names = _labels_of(labels, features)
    _need_each_once(labels, names, name)
    chosen = row.iloc[[labels.index(feature) for feature in names]]
    if chosen.dtype == object:  # of a frame with columns of several types
        chosen = chosen.infer_objects()
    return column_numbers(chosen, name=name)


def as_one_feature(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the values of a Series [S] as [S, 1]; what is no vector as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.frames import as_one_feature
    >>> as_one_feature(np.zeros(3)).shape
    (3, 1)
    """
    return values[:, None] if values.ndim == 1 else values


def _labels_of(columns: Sequence[Hashable], features: Sequence[str]) -> list[Hashable]:
    """Return the columns that a model's features name: a model keeps numbers and tuples as text."""
    known = set(columns)
    texts = {str(column): column for column in columns if not isinstance(column, str)}
    return [name if name in known else texts.get(name, name) for name in features]


def _is_named(row: Any) -> bool:
    return is_column(row) and hasattr(row, "index") and hasattr(row, "iloc")


def _need_each_once(columns: Sequence[Hashable], names: Sequence[Hashable], name: str) -> None:
    known = set(columns)
    missing = [column for column in names if column not in known]
    if missing:
        raise ValueError(
            f"{name}: expected the columns {', '.join(map(repr, names))}, "
            f"but {', '.join(map(repr, missing))} is missing"
        )
    if len(known) < len(columns):
        counts = Counter(columns)
        twice = [column for column in names if counts[column] > 1]
        if twice:
            raise ValueError(f"{name}: column {twice[0]!r} occurs {counts[twice[0]]} times")
