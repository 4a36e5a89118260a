"""Arrays from what callers give: a masked or null element becomes NaN, or is refused by name."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from slidecell._native_frames import (
    column_array,
    eager_frame,
    frame_columns,
    is_column,
    is_frame,
    refuse_lazy,
)

__all__ = [
    "column_numbers",
    "integer_array",
    "is_masked_array",
    "one_number",
    "plain_array",
    "real_array",
    "unmasked",
    "whole_array",
]


def is_masked_array(values: object) -> TypeGuard[np.ma.MaskedArray[Any, Any]]:
    """Return whether a value is a masked array, without the import of numpy.ma (9 ms).

    There is none where nobody has imported that.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell._arrays import is_masked_array
    >>> is_masked_array(np.ma.masked_array([1, 2])), is_masked_array(np.array([1, 2]))
    (True, False)
    """
    imported = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    return imported is not None and isinstance(values, imported)


def unmasked(values: Any) -> npt.NDArray[Any]:
    """Return `values` as an array, with NaN where a masked array has its mask.

    Times have NaT there; text and objects become objects with None.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell._arrays import unmasked
    >>> unmasked(np.ma.masked_array([1, 2], mask=[False, True]))
    array([ 1., nan])
    """
    if not is_masked_array(values):
        return np.asarray(values)
    mask = np.ma.getmaskarray(values)
    if values.dtype.names is not None or not mask.any():
        return np.asarray(values)
    kind = values.dtype.kind
    dtype: Any = values.dtype
    missing: Any = np.nan
    if kind in "biu":
        dtype = np.float64
    elif kind in "mM":
        missing = np.array("NaT", dtype)
    elif kind not in "fc":
        dtype, missing = object, None
    filled = values.data.astype(dtype)  # a copy
    filled[mask] = missing
    return filled


def plain_array(values: Any, *, name: str) -> npt.NDArray[Any]:
    """Return whatever numpy makes an array of, NaN where a mask or a null is.

    The columns of a DataFrame are taken in their order. Other dtypes are not checked.

    Parameters
    ----------
    values : array_like
        Also a masked array, a list of them, a column or a DataFrame (see `is_frame`).
    name : str
        What an error calls it.

    Raises
    ------
    TypeError
        If a column of a DataFrame holds no numbers, or if a frame is a lazy one.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell._arrays import plain_array
    >>> plain_array(pd.Series([1, None], dtype="Int64"), name="scores")
    array([ 1., nan])
    """
    if type(values) is np.ndarray:
        return values
    if is_masked_array(values):
        return unmasked(values)
    if is_frame(values):
        return _frame_numbers(values, name)
    if is_column(values):
        numbers = column_array(values)
        return np.asarray(values) if numbers is None else numbers
    refuse_lazy(values, name=name)
    if isinstance(values, (list, tuple)) and any(map(_may_hide, values)):
        return np.asarray([plain_array(item, name=name) for item in values])
    return np.asarray(values)


def real_array(values: Any, *, name: str) -> npt.NDArray[Any]:
    """Return an array of real numbers, NaN where a mask or a null is.

    Raises
    ------
    TypeError
        If the numbers are complex, objects, text or times.

    Examples
    --------
    >>> from slidecell._arrays import real_array
    >>> real_array([[1, 2]], name="series")
    array([[1, 2]])
    """
    array = plain_array(values, name=name)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    return array


def integer_array(values: Any, *, name: str) -> npt.NDArray[Any]:
    """Return an array in which no number is missing; whether they are integers is not checked.

    Raises
    ------
    TypeError
        If one is masked, null or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell._arrays import integer_array
    >>> integer_array(np.ma.masked_array([0, 4], mask=[False, True]), name="offsets")
    Traceback (most recent call last):
    TypeError: offsets: expected an integer in every place, got none in place 1
    """
    return _complete(plain_array(values, name=name), name, "an integer")


def whole_array(values: Any, *, name: str) -> npt.NDArray[Any]:
    """Return an array of real numbers, of which none is masked or null; NaN may be there.

    Raises
    ------
    TypeError
        If one is, or if they are no real numbers.

    Examples
    --------
    >>> from slidecell._arrays import whole_array
    >>> whole_array([1.0, float("nan")], name="h0")
    array([ 1., nan])
    """
    array = real_array(values, name=name)
    hides = isinstance(values, (list, tuple)) and any(map(_may_hide, values))
    return _complete(array, name, "a number") if _may_hide(values) or hides else array


def one_number(value: Any, *, name: str) -> float:
    """Return a number as float: NaN for a masked or null one.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell._arrays import one_number
    >>> one_number(np.ma.masked, name="score"), one_number(2, name="score")
    (nan, 2.0)
    """
    if type(value) is float:
        return value
    if value is np.ma.masked or type(value).__name__ == "NAType":  # of pandas
        return float("nan")
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name}: expected a number, got {value!r}") from None


def column_numbers(column: Any, *, name: str, label: Hashable | None = None) -> npt.NDArray[Any]:
    """Return a column of a frame as numbers [S], NaN where one is missing.

    Whole numbers and truth values stay what they are where none is missing.

    Parameters
    ----------
    column : Series, or array of pandas or pyarrow
    name : str
        What an error calls the column or its frame.
    label : hashable, optional
        The column's name in a frame.

    Raises
    ------
    TypeError
        If it holds text, dates, complex numbers or objects.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell._arrays import column_numbers
    >>> column_numbers(pd.Series([True, False], dtype="boolean"), name="labels")
    array([ True, False])
    """
    numbers = column_array(column)
    if numbers is None:
        where = name if label is None else f"{name}: column {label!r}"
        raise TypeError(f"{where}: expected real numbers, got dtype {_dtype_of(column)}")
    return numbers


def _dtype_of(column: Any) -> Any:
    """Return the type of a column's elements, as its own library names it."""
    if hasattr(column, "to_native"):
        column = column.to_native()
    return column.dtype if hasattr(column, "dtype") else column.type


def _may_hide(values: object) -> bool:
    """Return whether numpy would not see what is missing in it."""
    return is_masked_array(values) or is_column(values) or is_frame(values)


def _frame_numbers(frame: Any, name: str) -> npt.NDArray[Any]:
    frame = eager_frame(frame, name=name)
    parts = [
        column_numbers(column, name=name, label=label) for label, column in frame_columns(frame)
    ]
    return np.stack(parts, axis=1) if parts else np.empty((len(frame), 0))


def _complete(array: npt.NDArray[Any], name: str, expected: str) -> npt.NDArray[Any]:
    if array.dtype.kind == "f" and array.size:
        missing = np.isnan(array)
        if missing.any():
            place = ", ".join(str(index[0]) for index in np.nonzero(missing))
            raise TypeError(
                f"{name}: expected {expected} in every place, got none in place {place}"
            )
    return array
