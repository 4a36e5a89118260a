"""Frames and columns of any library, as narwhals reads them; it is imported when one comes."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._extras import require

__all__ = [
    "column_array",
    "eager_frame",
    "frame_columns",
    "is_column",
    "is_frame",
    "pandas_column",
    "refuse_lazy",
    "series_frame",
]

# What reads a lazy frame, by the first part of its class's module.
_READS = {"dask": "compute", "pyspark": "toPandas"}


def is_frame(values: object) -> bool:
    """Return whether a value is a DataFrame, or another table that hands itself on as Arrow's.

    Of pandas, polars, modin and narwhals; a table or a record batch of pyarrow; a relation of
    DuckDB. Nothing is imported to find out.

    Examples
    --------
    >>> from slidecell._native_frames import is_frame
    >>> is_frame([[1.0, 2.0]])
    False
    """
    kind = type(values)
    if hasattr(kind, "__arrow_c_stream__"):
        return hasattr(kind, "columns") or hasattr(kind, "schema")
    return hasattr(values, "to_numpy") and hasattr(values, "columns")


def is_column(values: object) -> bool:
    """Return whether a value is a column: a Series, or an array of pandas or pyarrow.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell._native_frames import is_column
    >>> is_column(pd.Series([1.0])), is_column([1.0])
    (True, False)
    """
    return (
        hasattr(values, "to_numpy")
        and (
            hasattr(values, "dtype")
            or hasattr(type(values), "__arrow_c_array__")
            or hasattr(type(values), "__arrow_c_stream__")
        )
        and not is_frame(values)
    )


def refuse_lazy(values: object, *, name: str) -> None:
    """Raise TypeError for a frame that nothing has been read into yet.

    numpy would take it for a single object.
    """
    kind = type(values)
    read = _READS.get(kind.__module__.partition(".")[0])
    if kind.__name__ == "LazyFrame":
        read = "collect"
    if read is not None and hasattr(kind, read):
        raise TypeError(
            f"{name}: expected an array [S, F] or a DataFrame, got a {_named(kind)}: "
            f"{name}.{read}() makes one"
        )


def _named(kind: type) -> str:
    if kind.__name__ == "LazyFrame":
        return "LazyFrame"
    return f"{kind.__name__} of {kind.__module__.partition('.')[0]}"


def eager_frame(frame: Any, *, name: str = "frame") -> Any:
    """Return a frame that has ``columns``, ``frame[name]`` and ``len``.

    That is a frame of pandas (or with its manners: modin's) itself, whose columns have names of
    any type and whose index may hold times; any other as a DataFrame of narwhals. A stream of
    Arrow's is read to its end.

    Raises
    ------
    ValueError
        If a frame that is not one of pandas has a name twice; ``name`` is what the text calls it.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from slidecell._native_frames import eager_frame
    >>> frame = eager_frame(pa.table({"a": [1, 2], "b": [0.5, None]}))
    >>> frame.columns, len(frame)
    (['a', 'b'], 2)
    """
    if hasattr(frame, "iloc"):
        return frame
    nw = _narwhals()
    if hasattr(frame, "to_native"):  # of narwhals
        return eager_frame(frame.to_native()) if hasattr(frame.to_native(), "iloc") else frame
    if not _is_known(frame):
        require("pyarrow", extra="detect")
        import pyarrow as pa

        frame = pa.table(frame)
    names = getattr(frame, "column_names", ())  # pyarrow's, which may occur twice
    twice = [column for column in names if names.count(column) > 1]
    if twice:
        raise ValueError(f"{name}: column {twice[0]!r} occurs {names.count(twice[0])} times")
    return nw.from_native(frame, eager_only=True)


def _is_known(frame: object) -> bool:
    """Return whether narwhals takes a frame as it is: one of polars, or a table of pyarrow."""
    kind = type(frame)
    return (kind.__module__.partition(".")[0], kind.__name__) in {
        ("polars", "DataFrame"),
        ("pyarrow", "Table"),
    }


def frame_columns(frame: Any) -> Iterator[tuple[Hashable, Any]]:
    """Yield the names and columns of what `eager_frame` returned, by place: a name may occur twice.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell._native_frames import frame_columns
    >>> frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    >>> [(name, column.tolist()) for name, column in frame_columns(frame)]
    [('a', [1]), ('a', [2])]
    """
    for place, name in enumerate(frame.columns):
        yield name, frame.iloc[:, place] if hasattr(frame, "iloc") else frame[name]


def column_array(column: Any) -> npt.NDArray[Any] | None:
    """Return a column as numbers [S], NaN where one is missing; None if it holds something else.

    Whole numbers and truth values stay what they are where none is missing.

    Examples
    --------
    >>> import polars as pl
    >>> from slidecell._native_frames import column_array
    >>> column_array(pl.Series([1, None])), column_array(pl.Series(["a"]))
    (array([ 1., nan]), None)
    """
    dtype = getattr(column, "dtype", None)
    if isinstance(dtype, np.dtype) or hasattr(dtype, "subtype"):  # numpy's own; pandas' sparse ones
        return np.asarray(column) if dtype.kind in tuple("biuf") else None  # type: ignore[union-attr]
    nw = _narwhals()
    series = _as_series(column, nw)
    if not (series.dtype.is_numeric() or series.dtype == nw.Boolean):
        return None
    array: npt.NDArray[Any]
    if series.dtype == nw.Decimal:  # each rounded once
        cells = series.to_list()
        return np.array([np.nan if cell is None else float(cell) for cell in cells], np.float64)
    whole = not series.dtype.is_float()
    if whole and (series.is_null().any() or series.dtype in {nw.Int128, nw.UInt128}):
        series = series.cast(nw.Float64)
    array = series.to_numpy()
    return array


def pandas_column(column: Any) -> Any:
    """Return a column as a Series of pandas.

    Examples
    --------
    >>> import polars as pl
    >>> from slidecell._native_frames import pandas_column
    >>> pandas_column(pl.Series("a", [1, 2])).tolist()
    [1, 2]
    """
    import pandas as pd

    return column if isinstance(column, pd.Series) else _as_series(column, _narwhals()).to_pandas()


def series_frame(column: Any) -> Any:
    """Return a Series as a frame of one column, with its index in pandas.

    pandas names the column of a nameless Series 0; any other nameless column is returned as it is.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell._native_frames import series_frame
    >>> list(series_frame(pd.Series([0.5, 1.5], name="load")).columns)
    ['load']
    """
    nameless = not hasattr(column, "iloc") and getattr(column, "name", "") == ""
    return column.to_frame() if hasattr(column, "to_frame") and not nameless else column


def _as_series(column: Any, nw: Any) -> Any:
    """Return a column as a Series of narwhals."""
    if not hasattr(column, "to_native"):
        if type(column).__module__.startswith("pyarrow") and not hasattr(column, "chunks"):
            import pyarrow as pa

            column = pa.chunked_array([column])
        elif type(column).__module__.startswith("pandas") and not hasattr(column, "iloc"):
            import pandas as pd  # an index or an array

            column = pd.Series(column)
        return nw.from_native(column, series_only=True)
    return nw.from_native(column.to_native(), series_only=True)


def _narwhals() -> Any:
    """Return narwhals' names that stay as they are."""
    try:
        import narwhals.stable.v2 as nw
    except ImportError as error:
        raise ImportError(
            "narwhals, which reads frames, is not installed: pip install 'narwhals>=2'"
        ) from error
    return nw
