"""Times of rows: numbers, or dates in one unambiguous format, as numbers that sort."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._date_text import DateFormat, read_date
from slidecell._instants import Instants, TimeReader, read_times
from slidecell._time_values import BadTimeError, shown
from slidecell.tables.row_error import RowError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Times", "join_times", "looks_like_dates", "parse_gap", "parse_time", "parse_times"]

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
class Times(Instants):
    """Times of rows as numbers, with what tables do with them."""

    def take(self, rows: npt.NDArray[np.int64]) -> Times:
        """Return the times of some rows, in their order."""
        return replace(self, values=self.values[rows])

    def text(self, row: int) -> str:
        """Return one time as a reader would write it."""
        if self.kind == "number":
            return str(self.values[row])
        instant = np.datetime_as_string(self.values[row].astype("datetime64[ns]"), unit="auto")
        return str(instant).replace("T", " ")


def parse_times(column: pd.Series[Any], *, source: str, hint: str | None = None) -> Times:
    """Return a time column as numbers; dates as nanoseconds since 1970, UTC where none is named.

    Parameters
    ----------
    column : Series, [S]
    source : str
        What an error calls the table.
    hint : str, optional
        The format of the dates that a detector was fitted on (`Times.format`, as text): its order
        of day and month is taken where all rows could be read in two.
    """
    try:
        known = None if hint is None else DateFormat.from_text(hint)
    except ValueError as error:
        raise ValueError(f"time_format: {error}") from None
    where = f"{source}: time column {str(column.name)!r}"
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise RowError(f"{where}: {len(missing)} empty, the first in ", missing[:1].tolist())
    try:
        found = _read_series(column, known)
    except BadTimeError as error:
        after = " is an empty time" if error.is_empty else f": {error}"
        raise RowError(f"{where}: {shown(error.value)} in ", [error.row], after) from None
    return Times(found.values, found.kind, found.format)


def _read_series(column: pd.Series[Any], hint: DateFormat | None) -> Instants:
    """Read a column of pandas that lacks no value."""
    zone = getattr(column.dtype, "tz", None)
    if zone is not None:
        naive = column.dt.tz_convert("UTC").dt.tz_localize(None)
        found = read_times(naive.to_numpy())
        return replace(found, format=DateFormat("Y-m-d", zoned=True))
    if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
        return read_times(column.to_numpy())
    return read_times(column.astype(object).tolist(), hint=hint)


def join_times(first: Times, second: Times, *, source: str, first_source: str) -> Times:
    """Append the times of one table to another's, on one scale."""
    if first.kind != second.kind:
        raise ValueError(
            f"{source}: its time column holds {second.kind}s, that of {first_source} {first.kind}s"
        )
    if first.format is not None and second.format is not None:
        zones = [
            "name their zone" if found.format.zoned else "name no zone"
            for found in (first, second)
            if found.format is not None
        ]
        if zones[0] != zones[1]:
            raise ValueError(f"{source}: its times {zones[1]}, those of {first_source} {zones[0]}")
        return replace(first, values=np.concatenate([first.values, second.values]))
    try:
        found = read_times([*first.values.tolist(), *second.values.tolist()])
    except BadTimeError as error:
        raise ValueError(
            f"{source}: time {shown(error.value)} beside {first_source}: {error}"
        ) from None
    return Times(found.values, first.kind)


def parse_time(text: str, times: Times, *, flag: str) -> float | int:
    """Read a time that a user typed, on the scale of ``times`` and in their order of day and month.

    ``2024-01-31`` can be typed for dates of every format.
    """
    layouts = {reading.format.layout for reading in read_date(text.strip())}
    if times.kind == "date" and times.format is not None and len(layouts) > 1:
        layouts &= {times.format.layout}
    try:
        if times.kind == "date" and len(layouts) != 1:
            raise BadTimeError("expected a date", text)
        return TimeReader(times.kind, hint=times.format).read(text)
    except BadTimeError as error:
        expected = (
            "expected a number like the time column's"
            if times.kind == "number"
            else "expected a date like 2024-01-31"
        )
        raise ValueError(f"{flag}: {expected}, got {text!r}") from error


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
    return bool(len(filled)) and all(
        read_date(str(cell).strip()) for cell in filled.iloc[:20].tolist()
    )
