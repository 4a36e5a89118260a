"""Times as numbers on one scale: the one reader of times, for every door."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from slidecell._date_text import DateFormat, DateReading
from slidecell._plain_times import read_plain_dates, read_plain_numbers
from slidecell._time_values import (
    EXPECTED,
    MOST,
    BadTimeError,
    as_nanoseconds,
    read_text,
    read_value,
    shown,
)

__all__ = ["Instants", "TimeKind", "TimeReader", "joined_format", "read_times"]

TimeKind = Literal["date", "number"]

_ONE_WAY = "expected a first date that can be read in one way such as 2024-01-31"
_DATES = "expected dates that can be read in one way such as 2024-01-31"
_SWAP = "day and month could be swapped"


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
        found = read_value(value)
        kind: TimeKind = "date" if isinstance(found, list) else "number"
        if self.kind is not None and kind != self.kind:
            raise BadTimeError(f"expected a {self.kind} as before", value)
        if not isinstance(found, list):
            self.kind = kind
            return found
        formats = [joined_format(self.format, reading.format) for reading in found]
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


def joined_format(known: DateFormat | None, new: DateFormat) -> DateFormat | None:
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
        whole = read_plain_numbers(values)
        if whole is not None:
            return Instants(whole, "number")
        dates = read_plain_dates(values)
        if dates is not None:
            return Instants(dates[0], "date", dates[1])
    return _read_column(values, hint, first_row)


def _read_array(values: npt.NDArray[Any]) -> Instants:
    """Read numbers, datetime64 and timedelta64."""
    kind = values.dtype.kind
    if kind in "mM":
        nanoseconds = as_nanoseconds(values)
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
    if kind == "u" and values.size and int(values.max()) > MOST:
        return Instants(values.astype(np.uint64), "number")
    return Instants(values.astype(np.int64), "number")


def _read_column(values: Sequence[object], hint: DateFormat | None, first_row: int) -> Instants:
    """Read values of any type, each by itself, and then find what all of them fit."""
    read_once = functools.lru_cache(maxsize=1 << 16)(read_text)  # many rows share a time
    found: list[float | int | list[DateReading]] = []
    for row, value in enumerate(values):
        try:
            found.append(read_once(value) if type(value) is str else read_value(value))
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
    if most > MOST and least < 0:
        raise BadTimeError(
            f"expected numbers of one type of 64 bits, none below 0 beside {most}",
            least,
            row=found.index(least),
        )
    return np.array(found, np.uint64 if most > MOST else np.int64)


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
            r.format.layout: joined_format(known[r.format.layout], r.format)
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
