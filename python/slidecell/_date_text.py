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

# One pattern for each order of year, month (by number or name) and day at the beginning of a text.
_DATES = [
    re.compile(rf"(?:{_DAY_NAME},?\ +)?{pattern}", _FLAGS)
    for pattern in (
        r"(?P<Y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})",
        r"(?P<first>\d{1,2})(?P<s>[-/.])(?P<second>\d{1,2})(?P=s)(?P<Y>\d{4})",
        r"(?P<Y>\d{4})(?P<m>\d{2})(?P<d>\d{2})",
        rf"(?P<d>\d{{1,2}})(?P<s>[-/.\ ])(?P<b>{_MONTH})(?P=s)(?P<Y>\d{{4}})",
        rf"(?P<b>{_MONTH})\ +(?P<d>\d{{1,2}}),?\ +(?P<Y>\d{{4}})",
        rf"(?P<Y>\d{{4}})(?P<s>[-/.\ ])(?P<b>{_MONTH})(?P=s)(?P<d>\d{{1,2}})",
    )
]
# What may follow: hour, minute, second, fraction, half of the day; hour, half; hour, minute, second
# and fraction without signs between them; at last the zone.
_TIME = re.compile(
    rf"""(?: (?:t|,?\ +|[-:_])
             (\d{{1,2}}):(\d{{2}})(?::(\d{{2}})(?:[.,](\d+))?)?(?:\ *([ap])m)?
           | ,?\ +(\d{{1,2}})\ *([ap])m
           | [t\ ](\d{{2}})(?:(\d{{2}})(?:(\d{{2}})(?:[.,](\d+))?)?)? )
         \ *({_ZONE})?""",
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
    for pattern in _DATES:
        found = pattern.match(text)
        if found is not None:
            break
    else:
        return _in_another_order(text)
    clock: _Clock | None = _NO_CLOCK
    if found.end() < len(text):
        clock = _read_clock(text, found.end())
    if clock is None:
        return _in_another_order(text)
    readings = []
    for layout, year, month, day in _dates(found.groupdict()):
        try:
            days = datetime.date(year, month, day).toordinal() - _EPOCH_DAY
        except ValueError:
            continue
        readings.append(
            DateReading(
                DateFormat(layout, clock.zoned, clock.twelve), days * _DAY + clock.nanoseconds
            )
        )
    return readings


class _Clock(NamedTuple):
    """A time of day."""

    nanoseconds: int  # since midnight, in UTC where no zone is named
    zoned: bool
    twelve: bool | None


_NO_CLOCK = _Clock(0, False, None)


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


def _dates(part: dict[str, str]) -> list[tuple[str, int, int, int]]:
    """Return layout, year, month and day in all ways that digits may be meant."""
    year = int(part["Y"])
    if "first" in part:
        first, second, sign = int(part["first"]), int(part["second"]), part["s"]
        return [
            (f"d{sign}m{sign}Y", year, second, first),
            (f"m{sign}d{sign}Y", year, first, second),
        ]
    month = _MONTHS[part["b"].lower()] if "b" in part else int(part["m"])
    return [("Y-m-d", year, month, int(part["d"]))]


def _read_clock(text: str, start: int) -> _Clock | None:
    """Read a time of day from ``start`` on; None if there is no such time."""
    found = _TIME.fullmatch(text, start)
    if found is None:
        return None
    h1, m1, s1, f1, p1, h2, p2, h3, m3, s3, f3, zone = found.groups()
    hour, minute, second = int(h1 or h2 or h3), int(m1 or m3 or 0), int(s1 or s3 or 0)
    half = (p1 or p2 or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    offset = 0
    if zone is not None and zone[0] in "+-":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        hours, minutes = int(digits[:2]), int(digits[2:])
        if hours > 23 or minutes > 59:
            return None
        offset = (hours * 60 + minutes) * (-60 if zone[0] == "-" else 60)
    fraction = f1 or f3
    nanoseconds = ((hour * 60 + minute) * 60 + second - offset) * _SECOND
    if fraction is not None:
        nanoseconds += int(fraction[:9].ljust(9, "0"))
    return _Clock(nanoseconds, zone is not None, bool(half))
