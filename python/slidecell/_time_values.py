"""One value of any type as a time: a number, or all ways to read it as a date."""

from __future__ import annotations

import datetime
import decimal
import numbers
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._date_text import DateFormat, DateReading, read_date

__all__ = [
    "EXPECTED",
    "LEAST",
    "MOST",
    "BadTimeError",
    "as_nanoseconds",
    "brief",
    "is_missing",
    "read_text",
    "read_value",
    "shown",
]

EXPECTED = "expected a number or a date such as 2024-01-31 12:00:00"
_FAR = "expected a date of the years 1678 to 2261"
_LARGE = "expected a number of at most 64 bits"

# Cells that hold no time, in lower case.
_EMPTY = {"", "na", "n/a", "nan", "-nan", "nat", "null", "none", "<na>", "#n/a"}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
LEAST, MOST = -(2**63), 2**63 - 1
_MOST_UNSIGNED = 2**64 - 1


class BadTimeError(ValueError):
    """A value that is no time, or none of the scale of the others.

    The text of the error says what was expected.

    Attributes
    ----------
    value : object
        What came.
    row : int
        Its place among the values, from 0.
    is_empty : bool
        Whether nothing came.
    """

    def __init__(
        self, expected: str, value: object, *, row: int = 0, is_empty: bool = False
    ) -> None:
        super().__init__(expected)
        self.value, self.row, self.is_empty = value, row, is_empty


def brief(value: object) -> str:
    """Return a value as text that is not without end."""
    try:
        text = str(value)
    except ValueError:  # Python does not write a number of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:60]}..."


def shown(value: object) -> str:
    """Return a value as an error shows it: brief, in quotes."""
    return repr(brief(value))


def read_value(value: object) -> float | int | list[DateReading]:  # noqa: PLR0911
    """Return one value as a number or as all ways to read it as a date."""
    if isinstance(value, str):
        return read_text(value)
    if is_missing(value):
        raise BadTimeError(EXPECTED, value, is_empty=True)
    if isinstance(value, (bool, np.bool_)):
        raise BadTimeError(EXPECTED, value)
    if isinstance(value, numbers.Integral):
        return _whole(int(value), value)
    if isinstance(value, (float, np.floating)):
        return _fraction(float(value), value)
    if isinstance(value, decimal.Decimal):
        whole = value.is_finite() and abs(value) < 2**65 and value == value.to_integral_value()
        return _whole(int(value), value) if whole else _fraction(float(value), value)
    if isinstance(value, datetime.datetime):
        return _of_datetime(value)
    if isinstance(value, datetime.date):
        return _date(read_date(value.isoformat()), value)
    if isinstance(value, datetime.timedelta):
        microseconds = value // datetime.timedelta(microseconds=1)
        return _whole(microseconds * 1000 + getattr(value, "nanoseconds", 0), value)
    if isinstance(value, (np.datetime64, np.timedelta64)):
        number = int(as_nanoseconds(np.asarray([value]))[0])
        if isinstance(value, np.timedelta64):
            return number
        return [DateReading(DateFormat("Y-m-d", zoned=False), number)]
    start = getattr(value, "start_time", None)  # of pandas' periods
    if isinstance(start, datetime.datetime):
        return _of_datetime(start)
    raise BadTimeError(EXPECTED, value)


def is_missing(value: object) -> bool:
    """Return whether a value is None, NaN or NaT (which differ from themselves), or pandas' NA."""
    if value is np.ma.masked:
        return True
    try:
        return value is None or bool(value != value)  # noqa: PLR0124
    except TypeError:  # pandas' NA has no truth value
        return True
    except ValueError:  # an array has many
        return False


def read_text(value: str) -> float | int | list[DateReading]:
    text = value.strip()
    if text.lower() in _EMPTY:
        raise BadTimeError(EXPECTED, value, is_empty=True)
    if _WHOLE.fullmatch(text):
        # Python refuses to read thousands of digits.
        number = int(text) if len(text.lstrip("+-0")) <= 20 else _MOST_UNSIGNED + 1
        return _whole(number, value)
    if _NUMBER.fullmatch(text):
        return _fraction(float(text), value)
    return _date(read_date(text), value)


def _whole(number: int, value: object) -> int:
    if LEAST <= number <= _MOST_UNSIGNED:
        return number
    raise BadTimeError(_LARGE, value)


def _fraction(number: float, value: object) -> float:
    if np.isfinite(number):
        return number
    raise BadTimeError(_LARGE if isinstance(value, str) else EXPECTED, value)


def _of_datetime(value: datetime.datetime) -> list[DateReading]:
    convert = getattr(value, "to_pydatetime", None)  # of pandas, with nanoseconds
    plain: datetime.datetime = value if convert is None else convert(warn=False)
    offset = plain.utcoffset()
    since = plain.replace(tzinfo=None) - datetime.datetime(1970, 1, 1)
    if offset is not None:
        since -= offset
    microseconds = since // datetime.timedelta(microseconds=1)
    instant = microseconds * 1000 + int(getattr(value, "nanosecond", 0))
    return _date([DateReading(DateFormat("Y-m-d", offset is not None), instant)], value)


def _date(readings: list[DateReading], value: object) -> list[DateReading]:
    near = [reading for reading in readings if LEAST < reading.instant <= MOST]
    if near:
        return near
    raise BadTimeError(_FAR if readings else EXPECTED, value)


def as_nanoseconds(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return datetime64 or timedelta64 of any unit as nanoseconds."""
    missing = np.isnat(values)
    if missing.any():
        raise BadTimeError(EXPECTED, "NaT", row=int(missing.argmax()), is_empty=True)
    kind, unit = values.dtype.kind, np.datetime_data(values.dtype)[0]
    if unit == "generic" or (kind == "m" and unit in {"Y", "M"}):  # of no certain length
        raise BadTimeError(EXPECTED, values.flat[0] if values.size else values.dtype)
    # Rounded down to a coarser unit: its first instant is still below the lowest nanosecond.
    ends = np.array([LEAST // 1000, MOST // 1000]).view(f"{kind}8[us]")
    low, high = ends.astype(values.dtype)
    far = (values > high) | (values <= low)
    if unit not in {"ns", "ps", "fs", "as"} and far.any():
        row = int(far.argmax())
        raise BadTimeError(_FAR, str(values[row]), row=row)
    return values.astype(f"{kind}8[ns]").view(np.int64)
