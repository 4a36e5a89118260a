"""What detectors are given, as rows in order of entity and time, with the way back."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell.frames import feature_columns, is_frame
from slidecell.scaling import unmasked
from slidecell.tables.filling import fill_forward
from slidecell.windows import WindowPlan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Floats", "Ints", "Rows", "Source", "take_rows"]

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Which columns of a DataFrame are what.

    Attributes
    ----------
    entity, time : hashable, optional
        Columns that name a row's entity and order the rows within it. They are no features.
    features : tuple of str, optional
        The features, matched by name. None: every other column, in its order.
    """

    entity: Hashable | None = None
    time: Hashable | None = None
    features: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Rows:
    """Rows in order of entity and time.

    Attributes
    ----------
    values : ndarray of real numbers, [S, F]
        As they came: NaN or infinite where a value is missing.
    offsets : ndarray of int64, [G+1]
        Entity g owns rows ``offsets[g]:offsets[g+1]``.
    order : ndarray of int64, [S], or None
        The input row of each row; None: they are in input order.
    names : tuple of str, or None
        Of the features, where they came in a DataFrame.
    """

    values: npt.NDArray[Any]
    offsets: Ints
    order: Ints | None = None
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """Return S."""
        return len(self.values)

    @property
    def features(self) -> int:
        """F."""
        return int(self.values.shape[1])

    def floats(self) -> Floats:
        """Return the values as float64 [S, F], NaN where one is missing; not to be written to."""
        floats = self.values.astype(np.float64, copy=False)
        infinite = np.isinf(floats)
        return np.where(infinite, np.nan, floats) if infinite.any() else floats

    def complete(self) -> npt.NDArray[np.bool_]:
        """Tell the rows without a missing value, [S]."""
        if self.values.dtype.kind != "f":
            return np.ones(len(self), np.bool_)
        return np.asarray(np.isfinite(self.values).all(axis=1))

    def filled(self) -> Rows:
        """Return the rows with missing values filled from the past of their entity."""
        if self.complete().all():
            return self
        values = np.where(np.isinf(self.values), np.nan, self.values)
        fill_forward(values, self.offsets)
        return replace(self, values=values)

    def restore(self, scores: npt.NDArray[Any]) -> Floats:
        """Bring scores [S, ...] of these rows to input order, as float64."""
        result = scores.astype(np.float64, copy=False)
        if self.order is not None:
            in_order = result
            result = np.empty_like(in_order)
            result[self.order] = in_order
        return result

    def label(self, column: int) -> str:
        """Return how an error names a column."""
        return repr(self.names[column]) if self.names is not None else str(column)


def take_rows(X: Any, offsets: npt.ArrayLike | None, source: Source) -> Rows:
    """Arrays [S, F] and DataFrames, with `offsets` [G+1] or an entity column -> `Rows`.

    Rows of a DataFrame with an entity or a time column may come in any order: they are sorted
    stably by entity and time. Rows of an entity without a time column are in the order of time.

    Raises
    ------
    TypeError
        On text, dates, complex numbers, objects and sparse matrices; the text names the column.
    ValueError
        If a column, a shape or `offsets` does not fit.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell.tables.rows import Source, take_rows
    >>> frame = pd.DataFrame({"user": ["b", "a", "a"], "day": [1, 2, 1], "x": [5.0, 4.0, 3.0]})
    >>> rows = take_rows(frame, None, Source(entity="user", time="day"))
    >>> rows.values[:, 0].tolist(), rows.offsets.tolist(), rows.names
    ([3.0, 4.0, 5.0], [0, 2, 3], ('x',))
    >>> rows.restore(rows.values[:, 0]).tolist()
    [5.0, 4.0, 3.0]
    """
    if not is_frame(X):
        _refuse_unread_frame(X)
        if source.entity is not None and offsets is None:
            raise ValueError(
                f"entity: {source.entity!r} is a column of a DataFrame, got an array: "
                "pass offsets=, which tell where each entity begins"
            )
        values = _array(X)
        return Rows(values, _bounds(offsets, len(values)))
    for role, column in (("entity", source.entity), ("time", source.time)):
        if column is not None and column not in list(X.columns):
            raise ValueError(f"{role}: X has no column {column!r}")
        if column is not None and (times := list(X.columns).count(column)) > 1:
            raise ValueError(f"{role}: column {column!r} occurs {times} times in X")
    roles = {source.entity, source.time} - {None}
    columns = source.features or tuple(c for c in X.columns if c not in roles)
    values = feature_columns(X, columns, name="X")
    _refuse_no_feature(values)
    if source.entity is not None and offsets is not None:
        raise ValueError(f"offsets: expected none beside the entity column {source.entity!r}")
    names = _names(columns)
    if not roles:
        return Rows(values, _bounds(offsets, len(values)), names=names)
    if offsets is not None:  # without an entity column: time orders the rows of each
        bounds = _bounds(offsets, len(values))
        codes = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    else:
        codes = _entity_codes(X, source.entity)
    order = _order(X, codes, source.time)
    return Rows(values[order], _runs(codes[order]), order, names)


def _refuse_unread_frame(X: Any) -> None:
    """Refuse polars' LazyFrame, which numpy would take for a single object."""
    if type(X).__name__ == "LazyFrame":
        raise TypeError(
            "X: expected an array [S, F] or a DataFrame, got a LazyFrame: X.collect() makes one"
        )


def _array(X: Any) -> npt.NDArray[Any]:
    if hasattr(X, "toarray"):
        raise TypeError("X: expected a dense array [S, F], got a sparse one: X.toarray() makes one")
    array = unmasked(X)
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


def _names(columns: tuple[Any, ...]) -> tuple[str, ...] | None:
    """Return the columns if they have names; numbers are none: pandas gives them by itself."""
    return columns if all(isinstance(column, str) for column in columns) else None


def _series(X: Any, column: Hashable) -> pd.Series[Any]:
    """Return a column of a DataFrame as pandas has it."""
    from slidecell._extras import require

    require("pandas", extra="detect")
    import pandas as pd

    values = X[column]
    series: pd.Series[Any] = values if isinstance(values, pd.Series) else values.to_pandas()
    return series.reset_index(drop=True)


def _entity_codes(X: Any, entity: Hashable | None) -> Ints:
    """Return an integer per row [S], in the order of the keys, so that rows may be shuffled."""
    if entity is None:
        return np.zeros(len(X), np.int64)
    column = _series(X, entity)
    empty = np.flatnonzero(column.isna().to_numpy())
    if len(empty):
        raise ValueError(
            f"entity: column {entity!r} has {len(empty)} empty cell(s), the first in row {empty[0]}"
        )
    import pandas as pd

    try:
        codes, _ = pd.factorize(column, sort=True)
    except TypeError:  # keys that have no order among each other
        codes, _ = pd.factorize(column)
    return codes.astype(np.int64)


def _order(X: Any, codes: Ints, time: Hashable | None) -> Ints:
    """Sort rows stably by entity and time: the input rows in their new order, [S]."""
    if time is None:
        return np.argsort(codes, kind="stable").astype(np.int64)
    from slidecell.tables.times import parse_times

    column = _series(X, time)
    if column.dtype.kind == "m" and not column.isna().any():
        column = column.astype(np.int64)  # durations sort as the numbers that they are
    times = parse_times(column, source="X").values
    return np.lexsort((times, codes)).astype(np.int64)


def _runs(codes: Ints) -> Ints:
    """Offsets [G+1] of the runs of equal codes [S]."""
    first = np.flatnonzero(np.diff(codes)) + 1
    return np.concatenate(([0], first, [len(codes)])).astype(np.int64)
