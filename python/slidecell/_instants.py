"""Times as numbers on one scale: the one reader of times, for every door."""

from __future__ import annotations

import datetime
import decimal
import functools
import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from slidecell._date_text import DateFormat, DateReading, read_date

__all__ = [
    "BadTimeError",
    "Instants",
    "TimeKind",
    "TimeReader",
    "brief",
    "is_missing",
    "read_times",
    "shown",
]

TimeKind = Literal["date", "number"]

EXPECTED = "expected a number or a date such as 2024-01-31 12:00:00"
_FAR = "expected a date of the years 1678 to 2261"
_LARGE = "expected a number of at most 64 bits"
_ONE_WAY = "expected a first date that can be read in one way such as 2024-01-31"
_DATES = "expected dates that can be read in one way such as 2024-01-31"
_SWAP = "day and month could be swapped"

# Cells that hold no time, in lower case.
_EMPTY = {"", "na", "n/a", "nan", "-nan", "nat", "null", "none", "<na>", "#n/a"}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_SHORT_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_LEAST, _MOST, _MOST_UNSIGNED = -(2**63), 2**63 - 1, 2**64 - 1


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


@dataclass(frozen=True)
class Instants:
    """Times as numbers: nanoseconds since 1970 (UTC) for dates, else as they stand."""

    values: npt.NDArray[Any]  # [S], int64, uint64 or float64
    kind: TimeKind
    format: DateFormat | None = None  # of dates, unless day and month are equal in all


class TimeReader:
    """Reads times one by one; the first ones decide how the others are read.

    All are numbers, or all are dates with one order of day and month, all with a zone or none, all
    with AM and PM or none.

    Parameters
    ----------
    kind : {"date", "number"}, optional
        The scale, where it is known.
    format : DateFormat, optional
        What a date must fit, where it is known.
    hint : DateFormat, optional
        Its order of day and month is taken where a first date could be read in two.

    Examples
    --------
    >>> from slidecell._instants import TimeReader
    >>> reader = TimeReader()
    >>> reader.read("31.01.1970 00:00") // 10**9, reader.read("01.02.1970") // 10**9
    (2592000, 2678400)
    """

    def __init__(
        self,
        kind: TimeKind | None = None,
        format: DateFormat | None = None,
        hint: DateFormat | None = None,
    ) -> None:
        self.kind = kind
        self.format = format
        self._hint = hint

    def read(self, value: object) -> float | int:
        """Return a time as a number; a BadTimeError, with nothing changed, if it does not fit."""
        found = _read_value(value)
        kind: TimeKind = "date" if isinstance(found, list) else "number"
        if self.kind is not None and kind != self.kind:
            raise BadTimeError(f"expected a {self.kind} as before", value)
        if not isinstance(found, list):
            self.kind = kind
            return found
        formats = [_joined(self.format, reading.format) for reading in found]
        fitting = [(r, f) for r, f in zip(found, formats, strict=True) if f is not None]
        if not fitting:
            assert self.format is not None
            raise BadTimeError(_unlike(self.format, found), value)
        if len(fitting) > 1 and self._hint is not None:
            hinted = [(r, f) for r, f in fitting if f.layout == self._hint.layout]
            fitting = hinted or fitting
        if len(fitting) > 1:
            raise BadTimeError(f"{_ONE_WAY} ({_SWAP})", value)
        reading, self.format = fitting[0]
        self.kind = kind
        return reading.instant


def _joined(known: DateFormat | None, new: DateFormat) -> DateFormat | None:
    """Return the format that dates of both have in common; None if they cannot share a column."""
    if known is None:
        return new
    if (known.layout, known.zoned) != (new.layout, new.zoned):
        return None
    if known.twelve is None or new.twelve is None:
        return new if known.twelve is None else known
    return known if known.twelve == new.twelve else None


def _unlike(known: DateFormat, found: Sequence[DateReading]) -> str:
    """Return what was expected instead of dates of other formats."""
    if all(reading.format.zoned != known.zoned for reading in found):
        return f"expected a date {'with' if known.zoned else 'without'} a zone as before"
    if any(reading.format.layout == known.layout for reading in found):
        return f"expected a time of day {'with' if known.twelve else 'without'} AM or PM as before"
    return f"expected a date in the order {known.layout} as before"


def read_times(values: Any, *, hint: DateFormat | None = None, first_row: int = 1) -> Instants:
    """Return a column of times [S] on one scale; all rows decide how each is read.

    Parameters
    ----------
    values : ndarray or sequence, [S]
        Whole numbers of 64 bits, floats, texts of such numbers or of dates, `datetime` objects
        (also pandas' own), datetime64. Durations are numbers of nanoseconds.
    hint : DateFormat, optional
        Its order of day and month is taken where all rows could be read in two.
    first_row : int
        Number of the first row in texts of errors.

    Raises
    ------
    BadTimeError
        If a row holds no time, or one that does not fit the others.

    Examples
    --------
    >>> from slidecell._instants import read_times
    >>> times = read_times(["12/31/1969 11:00 PM", "1/1/1970 12:30 AM"])
    >>> (times.values // 10**9).tolist(), str(times.format)
    ([-3600, 1800], 'm/d/Y 12h')
    """
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        if values.dtype.kind == "U":
            return read_times(values.tolist(), hint=hint, first_row=first_row)
        return _read_array(values)
    values = list(values)
    if values and all(type(value) is str for value in values):
        quick = _read_plain_texts(values)
        if quick is not None:
            return quick
    return _read_column(values, hint, first_row)


def _read_array(values: npt.NDArray[Any]) -> Instants:
    """Read numbers, datetime64 and timedelta64."""
    kind = values.dtype.kind
    if kind in "mM":
        nanoseconds = _as_nanoseconds(values)
        if kind == "m":
            return Instants(nanoseconds, "number")
        return Instants(nanoseconds, "date", DateFormat("Y-m-d", zoned=False))
    if kind not in "iuf":
        raise BadTimeError(EXPECTED, values.flat[0] if values.size else values.dtype)
    if kind == "f":
        values = values.astype(np.float64)
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(bad.argmax())
            raise BadTimeError(EXPECTED, values[row], row=row, is_empty=bool(np.isnan(values[row])))
        return Instants(values, "number")
    if kind == "u" and values.size and int(values.max()) > _MOST:
        return Instants(values.astype(np.uint64), "number")
    return Instants(values.astype(np.int64), "number")


def _as_nanoseconds(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return datetime64 or timedelta64 of any unit as nanoseconds."""
    missing = np.isnat(values)
    if missing.any():
        raise BadTimeError(EXPECTED, "NaT", row=int(missing.argmax()), is_empty=True)
    kind, unit = values.dtype.kind, np.datetime_data(values.dtype)[0]
    if unit == "generic" or (kind == "m" and unit in {"Y", "M"}):  # of no certain length
        raise BadTimeError(EXPECTED, values.flat[0] if values.size else values.dtype)
    # Rounded down to a coarser unit: its first instant is still below the lowest nanosecond.
    ends = np.array([_LEAST // 1000, _MOST // 1000]).view(f"{kind}8[us]")
    low, high = ends.astype(values.dtype)
    far = (values > high) | (values <= low)
    if unit not in {"ns", "ps", "fs", "as"} and far.any():
        row = int(far.argmax())
        raise BadTimeError(_FAR, str(values[row]), row=row)
    return values.astype(f"{kind}8[ns]").view(np.int64)


def _read_column(values: Sequence[object], hint: DateFormat | None, first_row: int) -> Instants:
    """Read values of any type, each by itself, and then find what all of them fit."""
    read_text = functools.lru_cache(maxsize=1 << 16)(_read_text)  # many rows share a time
    found: list[float | int | list[DateReading]] = []
    for row, value in enumerate(values):
        try:
            found.append(read_text(value) if type(value) is str else _read_value(value))
        except BadTimeError as error:
            error.row = row
            raise
    is_date = [isinstance(reading, list) for reading in found]
    if any(is_date) and not all(is_date):
        rare = sum(is_date) * 2 < len(is_date) or (
            sum(is_date) * 2 == len(is_date) and not is_date[0]
        )
        row, other = is_date.index(rare), is_date.index(not rare)
        kinds = ("a number", "a date") if rare else ("a date", "a number")
        raise BadTimeError(
            f"expected {kinds[0]} as {shown(values[other])} in row {other + first_row}, "
            f"not {kinds[1]}",
            values[row],
            row=row,
        )
    if not any(is_date):
        return Instants(_one_type(found), "number")  # type: ignore[arg-type]
    return _one_format(values, found, hint, first_row)  # type: ignore[arg-type]


def _one_type(found: Sequence[float | int]) -> npt.NDArray[Any]:
    """Return numbers as int64, uint64, or with fractions among them float64; none is rounded."""
    whole = [isinstance(number, int) for number in found]
    if not all(whole):
        for row, number in enumerate(found):
            if whole[row] and int(float(number)) != number:
                raise BadTimeError(
                    "expected whole numbers up to 2**53 beside fractions", number, row=row
                )
        return np.array(found, np.float64)
    least, most = min(found, default=0), max(found, default=0)
    if most > _MOST and least < 0:
        raise BadTimeError(
            f"expected numbers of one type of 64 bits, none below 0 beside {most}",
            least,
            row=found.index(least),
        )
    return np.array(found, np.uint64 if most > _MOST else np.int64)


def _one_format(
    values: Sequence[object],
    found: Sequence[list[DateReading]],
    hint: DateFormat | None,
    first_row: int,
) -> Instants:
    """Return dates as all of them can be read."""
    first = found[0]
    zoned = first[0].format.zoned
    known: dict[str, DateFormat | None] = {r.format.layout: r.format for r in first}
    for row, readings in enumerate(found):
        if readings[0].format.zoned != zoned:
            raise BadTimeError(
                f"expected a date {'with' if zoned else 'without'} a zone, as "
                f"{shown(values[0])} in row {first_row}",
                values[row],
                row=row,
            )
        fitting = {
            r.format.layout: _joined(known[r.format.layout], r.format)
            for r in readings
            if r.format.layout in known
        }
        kept = {layout: joined for layout, joined in fitting.items() if joined is not None}
        if not kept:
            _refuse_row(values, found, row, known, first_row)
        known = dict(kept)
    if len(known) > 1 and hint is not None and hint.layout in known:
        known = {hint.layout: known[hint.layout]}
    columns = {
        layout: [
            next(r.instant for r in readings if r.format.layout == layout) for readings in found
        ]
        for layout in known
    }
    layout, instants = next(iter(columns.items()))
    if any(column != instants for column in columns.values()):
        raise BadTimeError(f"{_DATES} ({_SWAP})", values[0])
    decided = known[layout] if len(known) == 1 else None
    return Instants(np.array(instants, np.int64), "date", decided)


def _refuse_row(
    values: Sequence[object],
    found: Sequence[list[DateReading]],
    row: int,
    known: dict[str, DateFormat | None],
    first_row: int,
) -> None:
    """Raise for a date that no format of the rows before it fits."""
    layouts = {reading.format.layout for reading in found[row]}
    if layouts & set(known):  # so its clock does not fit
        clocks = [r[0].format.twelve for r in found[:row]]
        other = next(place for place, twelve in enumerate(clocks) if twelve is not None)
        expected = f"a time of day {'with' if clocks[other] else 'without'} AM or PM"
    else:
        # The first row that can be read in one order only, if there is one.
        other = next((place for place, r in enumerate(found[:row]) if len(r) == 1), 0)
        expected = f"a date in the order {' or '.join(sorted(known))}"
    raise BadTimeError(
        f"expected {expected}, as {shown(values[other])} in row {other + first_row}",
        values[row],
        row=row,
    )


def _read_value(value: object) -> float | int | list[DateReading]:  # noqa: PLR0911
    """Return one value as a number or as all ways to read it as a date."""
    if isinstance(value, str):
        return _read_text(value)
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
        number = int(_as_nanoseconds(np.asarray([value]))[0])
        if isinstance(value, np.timedelta64):
            return number
        return [DateReading(DateFormat("Y-m-d", zoned=False), number)]
    start = getattr(value, "start_time", None)  # of pandas' periods
    if isinstance(start, datetime.datetime):
        return _of_datetime(start)
    raise BadTimeError(EXPECTED, value)


def is_missing(value: object) -> bool:
    """Return whether a value is None, NaN or NaT (which differ from themselves), or pandas' NA."""
    try:
        return value is None or bool(value != value)  # noqa: PLR0124
    except TypeError:  # pandas' NA has no truth value
        return True
    except ValueError:  # an array has many
        return False


def _read_text(value: str) -> float | int | list[DateReading]:
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
    if _LEAST <= number <= _MOST_UNSIGNED:
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
    near = [reading for reading in readings if _LEAST < reading.instant <= _MOST]
    if near:
        return near
    raise BadTimeError(_FAR if readings else EXPECTED, value)


# Texts that numpy reads alike, a hundred times as fast; anything else goes the long way.
_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?"
)


def _read_plain_texts(texts: list[str]) -> Instants | None:
    """Return whole numbers and dates of ISO 8601 without a zone; None if one text is neither."""
    if all(map(_SHORT_WHOLE.fullmatch, texts)):
        return Instants(np.fromiter(map(int, texts), np.int64, len(texts)), "number")
    if not all(map(_ISO.fullmatch, texts)):
        return None
    try:
        dates = np.array(texts, "M8[us]")
        if (np.abs(dates.view(np.int64)) >= _MOST // 1000).any():
            return None
        instants = np.array(texts, "M8[ns]").view(np.int64)
    except ValueError:  # no such day
        return None
    has_clock = any(len(text) > 10 for text in texts)
    return Instants(instants, "date", DateFormat("Y-m-d", False, False if has_clock else None))
