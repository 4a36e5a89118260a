"""The columns of a DataFrame: found by name, features and labels as numbers."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.tables.times import looks_like_dates

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]


class NoColumnError(ValueError):
    """A column that an option names is not in the table; ``flag`` is the option."""

    def __init__(self, text: str, flag: str) -> None:
        super().__init__(text)
        self.flag = flag


def find_column(frame: Any, name: Hashable, *, flag: str, source: str) -> None:
    """Raise a ValueError, which lists near names, unless the frame has the column, and once.

    It is a `NoColumnError` if the frame lacks the column.
    """
    times = list(frame.columns).count(name)
    if times == 1:
        return
    if times > 1:
        raise ValueError(f"{flag}: column {name!r} occurs {times} times in {source}")
    columns = [str(column) for column in frame.columns]
    near = difflib.get_close_matches(str(name), columns, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    text = f"{flag}: no column {name!r} in {source} (it has: {_listed(columns)}){hint}"
    raise NoColumnError(text, flag)


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def split_names(given: Iterable[str], columns: Iterable[str]) -> tuple[str, ...]:
    """Split ``a,b`` at commas unless it is a column's whole name; repeats are dropped."""
    known = set(map(str, columns))
    names: list[str] = []
    for text in given:
        parts = [text] if text in known else [part.strip() for part in text.split(",")]
        names += [part for part in parts if part and part not in names]
    return tuple(names)


def is_unnamed(name: str) -> bool:
    """Tell a column without a name in the header: most often a saved row index."""
    return name.startswith("Unnamed: ")


def to_numbers(column: pd.Series[Any]) -> Floats | None:
    """Return a numeric or boolean column as float64 [S] (missing: NaN), or None if it is text."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
        if pd.api.types.is_complex_dtype(column.dtype):
            return None
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if column.isna().all() and not pd.api.types.is_datetime64_any_dtype(column.dtype):
        return np.full(len(column), np.nan)
    if column.dtype == object:  # true and false with missing cells between them
        kind = pd.api.types.infer_dtype(column, skipna=True)
        if kind in {"boolean", "integer", "floating", "mixed-integer-float", "decimal"}:
            return np.array([np.nan if pd.isna(v) else float(v) for v in column], np.float64)
    return None


def feature_numbers(column: pd.Series[Any], *, source: str) -> Floats:
    """Return a feature column as float64 [S]; a ValueError names the flag that mends text."""
    name = str(column.name)
    values = to_numbers(column)
    if values is None:
        raise ValueError(f"{source}: {_text_complaint(column, name)}")
    if not np.isfinite(values).any():
        raise ValueError(
            f"{source}: column {name!r} has no values: leave it out with {flag('exclude', name)}"
        )
    return values


def flag(name: str, value: str) -> str:
    """Write an option as a user would type it."""
    return f"--{name} {value!r}" if " " in value or not value else f"--{name} {value}"


def _text_complaint(column: pd.Series[Any], name: str) -> str:
    import pandas as pd

    exclude = f"leave it out with {flag('exclude', name)}"
    filled = column[column.notna()]
    example = str(filled.iloc[0])
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or looks_like_dates(filled):
        return (
            f"column {name!r} holds dates ({example!r}) and is no feature: "
            f"name it as the time with {flag('time', name)}, or {exclude}"
        )
    numbers = pd.to_numeric(filled, errors="coerce")
    if numbers.notna().mean() > 0.5:
        first = int(np.flatnonzero(numbers.isna().to_numpy())[0])
        row = int(np.flatnonzero(column.notna().to_numpy())[first]) + 1
        return (
            f"column {name!r}: {str(filled.iloc[first])!r} in data row {row} is no number: "
            f"mend the cell, or {exclude}"
        )
    return (
        f"column {name!r} holds text ({example!r}) and is no feature: {exclude}, "
        f"or if it names the series that a row belongs to use {flag('entity', name)}"
    )


def parse_labels(column: pd.Series[Any], *, source: str) -> npt.NDArray[np.int8]:
    """Return a label column as 0 and 1, [S]; anything else is a ValueError."""
    values = to_numbers(column)
    if values is None:
        bad, got = 0, repr(str(column.iloc[0]))
    else:
        wrong = np.flatnonzero((values != 0) & (values != 1))
        if len(wrong) == 0:
            return values.astype(np.int8)
        bad = int(wrong[0])
        got = "an empty cell" if np.isnan(values[bad]) else f"{values[bad]:g}"
    raise ValueError(
        f"{source}: label column {str(column.name)!r}: expected 0 or 1 (1 = anomaly), "
        f"got {got} in data row {bad + 1}"
    )
