"""DataFrames as arrays: columns are matched by name, and only numbers are features."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.scaling import unmasked

__all__ = ["feature_columns", "is_frame", "match_features"]


def is_frame(series: object) -> bool:
    """Return whether a value is a DataFrame (pandas, polars).

    Examples
    --------
    >>> from slidecell.frames import is_frame
    >>> is_frame([[1.0, 2.0]])
    False
    """
    return hasattr(series, "to_numpy") and hasattr(series, "columns")


def feature_columns(frame: Any, names: Sequence[Hashable], *, name: str = "series") -> Any:
    """Return the columns of a DataFrame (pandas, polars) as real numbers [S, F].

    Missing cells become NaN; columns of whole numbers or of truth values stay what they are where
    nothing is missing.

    Parameters
    ----------
    frame : DataFrame
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
    columns = list(frame.columns)
    missing = [column for column in names if column not in columns]
    if missing:
        raise ValueError(
            f"{name}: expected the columns {', '.join(map(repr, names))}, "
            f"but {', '.join(map(repr, missing))} is missing"
        )
    twice = [column for column in names if columns.count(column) > 1]
    if twice:
        raise ValueError(f"{name}: column {twice[0]!r} occurs {columns.count(twice[0])} times")
    parts = [_numbers(frame[column], column, name) for column in names]
    return np.stack(parts, axis=1) if parts else np.empty((len(frame), 0))


def match_features(series: Any, features: list[str] | None) -> npt.ArrayLike:
    """Return the rows of a DataFrame in the model's column order, and anything else as it is.

    What a masked array masks becomes NaN.

    Parameters
    ----------
    series : array_like, [S, F], or DataFrame (pandas, polars)
        A DataFrame may hold further columns.
    features : list of str or None
        The model's feature names; None: columns are taken in their order.

    Returns
    -------
    array_like, [S, F]

    Raises
    ------
    ValueError
        If the DataFrame lacks a feature.
    TypeError
        If a column of it holds no numbers.

    Examples
    --------
    >>> from slidecell.frames import match_features
    >>> match_features([[1.0, 2.0]], ["a", "b"])
    [[1.0, 2.0]]
    """
    if isinstance(series, np.ma.MaskedArray):
        return unmasked(series)
    if not is_frame(series):
        return series  # type: ignore[no-any-return]
    names = list(series.columns) if features is None else features
    return feature_columns(series, names)  # type: ignore[no-any-return]


def _numbers(column: Any, label: Hashable, name: str) -> npt.NDArray[Any]:
    """Return a column as numbers [S]."""
    dtype = column.dtype
    if hasattr(dtype, "is_numeric"):  # polars
        if dtype.is_numeric() or str(dtype) == "Boolean":
            array: npt.NDArray[Any] = column.to_numpy()
            if array.dtype.kind not in "biuf":  # decimals, truth values with missing cells
                array = np.array([np.nan if v is None else float(v) for v in column], np.float64)
            return array
    elif isinstance(dtype, np.dtype):
        if dtype.kind in "biuf":
            array = column.to_numpy()
            return array
    elif getattr(dtype, "kind", "O") in tuple("biuf"):  # pandas' types with missing cells
        array = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return array
    raise TypeError(f"{name}: column {label!r}: expected real numbers, got dtype {dtype}")
