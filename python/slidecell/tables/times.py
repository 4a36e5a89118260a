"""Times of rows: numbers, or dates in one unambiguous format, as numbers that sort."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

TimeKind = Literal["date", "number"]

# Nanoseconds per unit, named in the singular.
_SECOND = 10**9
_UNITS = {
    **dict.fromkeys(("ms", "millisecond"), _SECOND // 1000),
    **dict.fromkeys(("s", "sec", "second"), _SECOND),
    **dict.fromkeys(("min", "minute"), 60 * _SECOND),
    **dict.fromkeys(("h", "hour"), 3600 * _SECOND),
    **dict.fromkeys(("d", "day"), 86400 * _SECOND),
    **dict.fromkeys(("w", "week"), 7 * 86400 * _SECOND),
}


@dataclass(frozen=True)
class Times:
    """Times of rows as numbers: nanoseconds since 1970 (UTC) for dates, else as they stand."""

    values: npt.NDArray[Any]  # [S], int64 or float64
    kind: TimeKind

    def take(self, rows: npt.NDArray[np.int64]) -> Times:
        """Return the times of some rows, in their order."""
        return Times(self.values[rows], self.kind)

    def text(self, row: int) -> str:
        """Return one time as a reader would write it."""
        if self.kind == "number":
            return str(self.values[row])
        instant = np.datetime_as_string(self.values[row].astype("datetime64[ns]"), unit="auto")
        return str(instant).replace("T", " ")


def parse_times(column: pd.Series[Any], *, source: str) -> Times:
    """Return a time column as numbers; dates as nanoseconds since 1970, UTC where none is named."""
    import pandas as pd

    name = str(column.name)
    where = f"{source}: time column {name!r}"
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise ValueError(f"{where}: {len(missing)} empty, the first in data row {missing[0] + 1}")
    if pd.api.types.is_bool_dtype(column.dtype):
        raise ValueError(f"{where}: expected numbers or dates, got true and false")
    numbers = column
    if not pd.api.types.is_numeric_dtype(column.dtype):
        if not pd.api.types.is_datetime64_any_dtype(column.dtype):
            numbers = pd.to_numeric(column.astype(str), errors="coerce")
        if pd.api.types.is_datetime64_any_dtype(column.dtype) or numbers.isna().any():
            return Times(_nanoseconds(column, where), "date")
    values = numbers.to_numpy()
    bad = np.flatnonzero(~np.isfinite(values.astype(np.float64)))
    if len(bad):
        raise ValueError(f"{where}: {values[bad[0]]} in data row {bad[0] + 1} is no time")
    whole = np.issubdtype(values.dtype, np.integer)
    return Times(values.astype(np.int64 if whole else np.float64), "number")


def _nanoseconds(column: pd.Series[Any], where: str) -> npt.NDArray[np.int64]:
    import pandas as pd

    dates = column
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        try:
            dates = _dates(column.astype(str))
        except (ValueError, TypeError, OverflowError) as error:
            row, text = _first_bad_time(column.astype(str))
            raise ValueError(
                f"{where}: {text!r} in data row {row}: expected numbers, or dates that can be "
                f"read in one way such as 2024-01-31 12:00:00 ({error})"
            ) from error
    if dates.dt.tz is not None:
        dates = dates.dt.tz_convert("UTC").dt.tz_localize(None)
    far = np.flatnonzero(((dates < pd.Timestamp.min) | (dates > pd.Timestamp.max)).to_numpy())
    if len(far):
        raise ValueError(
            f"{where}: {str(column.iloc[far[0]])!r} in data row {far[0] + 1}: expected a date "
            "of the years 1678 to 2261"
        )
    return dates.to_numpy().astype("datetime64[ns]").view(np.int64)


def _first_bad_time(text: pd.Series[Any]) -> tuple[int, str]:
    """Row number from 1 and text of the first cell unlike most: a number, or a date."""
    import pandas as pd

    readings = [
        pd.to_numeric(text, errors="coerce"),
        pd.to_datetime(text, errors="coerce", utc=True, format="ISO8601"),
    ]
    best = max(readings, key=lambda parsed: int(parsed.notna().sum()))
    row = int(best.isna().to_numpy().argmax())
    return row + 1, str(text.iloc[row])


def parse_time(text: str, times: Times, *, flag: str) -> float | int:
    """Read a time that a user typed, on the scale of ``times``."""
    import pandas as pd

    if times.kind == "number":
        try:
            return float(text)
        except ValueError as error:
            raise ValueError(
                f"{flag}: expected a number like the time column's, got {text!r}"
            ) from error
    try:
        stamp = pd.Timestamp(text)
        stamp = stamp.tz_convert("UTC").tz_localize(None) if stamp.tzinfo else stamp
        return int(stamp.as_unit("ns").value)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{flag}: expected a date like 2024-01-31, got {text!r}") from error


def parse_gap(text: str, times: Times) -> float | int:
    """Read the longest step in time that does not split a series, on the scale of ``times``."""
    if times.kind == "number":
        try:
            gap = float(text)
        except ValueError:
            gap = np.nan
        if not gap > 0:
            raise ValueError(
                "--max-gap: expected a number above 0 (the time column holds numbers), "
                f"got {text!r}"
            )
        return gap
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]+)\s*", text.lower())
    unit = None if found is None else _UNITS.get(found[2], _UNITS.get(found[2].rstrip("s")))
    if found is None or unit is None or not float(found[1]) > 0:
        raise ValueError(
            "--max-gap: expected a duration such as 90s, 15min, 2h or 1d "
            f"(the time column holds dates), got {text!r}"
        )
    return round(float(found[1]) * unit)


def looks_like_dates(filled: pd.Series[Any]) -> bool:
    """Tell whether the first twenty cells of a text column are dates."""
    try:
        return bool(len(_dates(filled.iloc[:20].astype(str))))
    except (ValueError, TypeError):
        return False


def _dates(text: pd.Series[Any]) -> pd.Series[Any]:
    """Parse text as dates in UTC: ISO 8601, or the one format that fits every row.

    ValueError if none fits, or if day and month could be swapped in all rows: a guess per cell
    would read 01/02 and 13/02 of one file in two ways.
    """
    import pandas as pd
    from pandas.tseries.api import guess_datetime_format

    try:
        return pd.to_datetime(text, format="ISO8601", utc=True)
    except ValueError:
        readings: list[pd.Series[Any]] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the day that came first
            formats = {
                guess_datetime_format(t, dayfirst=d) for t in text[:1] for d in (False, True)
            }
            # The first row may be one of the days up to 12 that fit both orders.
            swap = str.maketrans({"d": "m", "m": "d"})
            formats |= {f.translate(swap) for f in formats if f and "%m" in f}
        for date_format in sorted(f for f in formats if f):
            parsed = pd.to_datetime(text, format=date_format, errors="coerce", utc=True)
            if parsed.notna().all() and not any(parsed.equals(r) for r in readings):
                readings.append(parsed)
        if len(readings) == 1:
            return readings[0]
        reason = "day and month could be swapped" if readings else "no date format fits"
        raise ValueError(reason) from None
