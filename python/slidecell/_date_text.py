"""Texts that are dates: every way in which one can be read."""

from __future__ import annotations

import datetime
import re
from typing import NamedTuple

__all__ = ["DateFormat", "DateReading", "read_date"]

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january", "feb february", "mar march", "apr april", "may", "jun june",
            "jul july", "aug august", "sep sept september", "oct october", "nov november",
            "dec december",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH = rf"(?:{'|'.join(sorted(_MONTHS, key=len, reverse=True))})"
_DAY_NAME = "(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\ *[ap]m)?"
_ZONE = r"z|utc|gmt|[+-]\d{2}(?::?\d{2})?"
_FLAGS = re.ASCII | re.IGNORECASE | re.VERBOSE

_DATE = rf"""
    (?P<Y1>\d{{4}})(?P<s1>[-/.])(?P<m1>\d{{1,2}})(?P=s1)(?P<d1>\d{{1,2}})
    | (?P<Y2>\d{{4}})(?P<m2>\d{{2}})(?P<d2>\d{{2}})
    | (?P<n1>\d{{1,2}})(?P<s3>[-/.])(?P<n2>\d{{1,2}})(?P=s3)(?P<Y3>\d{{4}})
    | (?P<d4>\d{{1,2}})(?P<s4>[-/.\ ])(?P<b4>{_MONTH})(?P=s4)(?P<Y4>\d{{4}})
    | (?P<b5>{_MONTH})\ +(?P<d5>\d{{1,2}}),?\ +(?P<Y5>\d{{4}})
    | (?P<Y6>\d{{4}})(?P<s6>[-/.\ ])(?P<b6>{_MONTH})(?P=s6)(?P<d6>\d{{1,2}})
"""
_TEXT = re.compile(
    rf"""(?:{_DAY_NAME},?\ +)? (?:{_DATE})
    (?: (?: (?:t|,?\ +|[-:_])
            (?P<H>\d{{1,2}}):(?P<M>\d{{2}})(?::(?P<S>\d{{2}})(?:[.,](?P<f>\d+))?)?
            (?:\ *(?P<p>[ap])m)?
          | ,?\ +(?P<Hp>\d{{1,2}})\ *(?P<pp>[ap])m
          | [t\ ](?P<Hc>\d{{2}})(?:(?P<Mc>\d{{2}})(?:(?P<Sc>\d{{2}})(?:[.,](?P<fc>\d+))?)?)? )
        \ *(?P<zone>{_ZONE})? )?""",
    _FLAGS,
)
_MONTH_ALONE = re.compile(r"(\d{4})[-/](\d{1,2})", re.ASCII)
# Other orders of the same parts, which are brought into the one order that _TEXT knows.
_CLOCK_FIRST = re.compile(rf"(?P<clock>{_CLOCK})\ +(?P<date>\S.*?)", _FLAGS)
_YEAR_LAST = re.compile(
    rf"(?:{_DAY_NAME}\ +)? (?P<date>{_MONTH}\ +\d{{1,2}})\ +(?P<clock>{_CLOCK}(?:\ +(?:{_ZONE}))?)"
    r"\ +(?P<year>\d{4})",
    _FLAGS,
)
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_SECOND = 10**9
_DAY = 86400 * _SECOND
_LONGEST = 60  # characters; no date is longer


class DateFormat(NamedTuple):
    """What must be the same in all dates of a column.

    A year that comes first and a month by its name can be misread by nobody, so that all such dates
    have one layout, ``Y-m-d``. Others have their separator in it: ``d.m.Y``, ``m/d/Y``.
    """

    layout: str
    zoned: bool  # whether dates name their zone
    twelve: bool | None = None  # whether clocks have AM and PM; None: no clock was seen

    def __str__(self) -> str:
        """Return the format as files keep it, such as ``m/d/Y 12h zoned``."""
        clock = {True: " 12h", False: " 24h", None: ""}[self.twelve]
        return self.layout + clock + " zoned" * self.zoned

    @classmethod
    def from_text(cls, text: object) -> DateFormat:
        """Return the format that a text of `__str__` says; ValueError for another text.

        Examples
        --------
        >>> from slidecell._date_text import DateFormat
        >>> DateFormat.from_text("d.m.Y 24h")
        DateFormat(layout='d.m.Y', zoned=False, twelve=False)
        """
        pattern = r"(Y-m-d|d([-/.])m\2Y|m([-/.])d\3Y)( 12h| 24h)?( zoned)?"
        found = re.fullmatch(pattern, text) if isinstance(text, str) else None
        if found is None:
            raise ValueError(f"expected a format of dates such as 'd.m.Y 24h', got {text!r}")
        twelve = None if found[4] is None else found[4] == " 12h"
        return cls(found[1], found[5] is not None, twelve)


class DateReading(NamedTuple):
    """One way to read a text."""

    format: DateFormat
    instant: int  # nanoseconds since 1970, in UTC where no zone is named


def read_date(text: str) -> list[DateReading]:
    """Return all ways to read a text as a date: none, one, or two where day and month may swap.

    Digits of a second beyond nanoseconds are cut off.

    Examples
    --------
    >>> from slidecell._date_text import read_date
    >>> read_date("1970-01-01T00:00:00.000000100Z")
    [DateReading(format=DateFormat(layout='Y-m-d', zoned=True, twelve=False), instant=100)]
    >>> [reading.format.layout for reading in read_date("01/02/2024")]
    ['d/m/Y', 'm/d/Y']
    >>> read_date("today")
    []
    """
    if len(text) > _LONGEST:
        return []
    found = _TEXT.fullmatch(text)
    if found is None:
        return _in_another_order(text)
    part = found.groupdict()
    clock = _clock(part)
    if clock is None:
        return []
    zoned = part["zone"] is not None
    twelve = None if not _first(part, "H", "Hp", "Hc") else bool(_first(part, "p", "pp"))
    readings = []
    for layout, year, month, day in _dates(part):
        try:
            days = datetime.date(year, month, day).toordinal() - _EPOCH_DAY
        except ValueError:
            continue
        readings.append(DateReading(DateFormat(layout, zoned, twelve), days * _DAY + clock))
    return readings


def _in_another_order(text: str) -> list[DateReading]:
    month = _MONTH_ALONE.fullmatch(text)
    if month is not None:
        return read_date(f"{month[1]}-{month[2]}-01")
    last = _YEAR_LAST.fullmatch(text)
    if last is not None:
        return read_date(f"{last['date']} {last['year']} {last['clock']}")
    first = _CLOCK_FIRST.fullmatch(text)
    if first is not None and ":" not in first["date"]:
        return read_date(f"{first['date']} {first['clock']}")
    return []


def _first(part: dict[str, str | None], *names: str) -> str:
    return next((found for name in names if (found := part[name])), "")


def _dates(part: dict[str, str | None]) -> list[tuple[str, int, int, int]]:
    """Return layout, year, month and day in all ways that digits may be meant."""
    if part["n1"] is not None:
        first, second, sign = int(_first(part, "n1")), int(_first(part, "n2")), part["s3"]
        year = int(_first(part, "Y3"))
        return [
            (f"d{sign}m{sign}Y", year, second, first),
            (f"m{sign}d{sign}Y", year, first, second),
        ]
    name = _first(part, "b4", "b5", "b6")
    month = _MONTHS[name.lower()] if name else int(_first(part, "m1", "m2"))
    year = int(_first(part, "Y1", "Y2", "Y4", "Y5", "Y6"))
    return [("Y-m-d", year, month, int(_first(part, "d1", "d2", "d4", "d5", "d6")))]


def _clock(part: dict[str, str | None]) -> int | None:
    """Return nanoseconds since midnight in UTC; None if there is no such time of day."""
    hour, minute = int(_first(part, "H", "Hp", "Hc") or 0), int(_first(part, "M", "Mc") or 0)
    second = int(_first(part, "S", "Sc") or 0)
    half = _first(part, "p", "pp").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction = int((_first(part, "f", "fc") or "0")[:9].ljust(9, "0"))
    offset = 0
    zone = part["zone"] or "z"
    if zone[0] in "+-":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        hours, minutes = int(digits[:2]), int(digits[2:])
        if hours > 23 or minutes > 59:
            return None
        offset = (hours * 60 + minutes) * (-60 if zone[0] == "-" else 60)
    return ((hour * 60 + minute) * 60 + second - offset) * _SECOND + fraction
