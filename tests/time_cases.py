"""Columns of times and what every door reads in them."""

from __future__ import annotations

import datetime
import decimal
from typing import Any, NamedTuple

BERLIN = datetime.timezone(datetime.timedelta(hours=2))
_LARGE = 2**63


class Times(NamedTuple):
    """A column that can be read."""

    cells: list[Any]
    expected: list[Any]  # numbers, or texts that numpy.datetime64 reads
    form: str | None = None  # what the dates look like
    by_line: bool = True  # whether a reader of single lines needs no hint

    @property
    def kind(self) -> str:
        return "date" if isinstance(self.expected[0], str) else "number"


class Bad(NamedTuple):
    """A column that is refused at `row`, with this in the text of the error."""

    cells: list[Any]
    row: int
    text: str
    by_line: str | None = None  # of a reader of single lines; None: the same


READ = [
    # numbers
    Times(["5", " -7 ", "+3"], [5, -7, 3]),
    Times(["1.5", "2", ".5", "1e3"], [1.5, 2.0, 0.5, 1000.0]),
    Times([str(_LARGE - 1), str(_LARGE), "0"], [_LARGE - 1, _LARGE, 0]),
    Times([str(2**64 - 1)], [2**64 - 1]),
    Times([str(-_LARGE)], [-_LARGE]),
    Times(["9007199254740993", "9007199254740992"], [2**53 + 1, 2**53]),
    Times(["20240131"], [20240131]),
    Times(["0" * 400 + "7"], [7]),
    Times([5, -7], [5, -7]),
    Times([_LARGE + 1, 1], [_LARGE + 1, 1]),
    Times([1.5, 2], [1.5, 2.0]),
    Times([decimal.Decimal("12"), decimal.Decimal("13.5")], [12.0, 13.5]),
    Times([datetime.timedelta(microseconds=1)], [1000]),
    # dates of one kind
    Times(["2024-01-31"], ["2024-01-31"], "Y-m-d"),
    Times(["2024-01", "2024-02-02"], ["2024-01-01", "2024-02-02"], "Y-m-d"),
    Times(["2024-01-31 12:30", "2024-02-01"], ["2024-01-31T12:30", "2024-02-01"], "Y-m-d 24h"),
    Times(["2024/01/31", "2024.2.1 1:05"], ["2024-01-31", "2024-02-01T01:05"], "Y-m-d 24h"),
    Times(["20240131T120000"], ["2024-01-31T12:00"], "Y-m-d 24h"),
    Times(["2024-01-31T00Z"], ["2024-01-31"], "Y-m-d 24h zoned"),
    Times(["2024-01-31 12:00 UTC"], ["2024-01-31T12:00"], "Y-m-d 24h zoned"),
    Times(
        ["2024-07-01T12:00:00+02:00", "2024-07-01 12:00 -0330", "2024-07-01 12:00z"],
        ["2024-07-01T10:00", "2024-07-01T15:30", "2024-07-01T12:00"],
        "Y-m-d 24h zoned",
    ),
    Times(
        ["2024-01-31 12:00:00.0000001", "2024-01-31 12:00:00.0000002", "2024-01-31 12:00:00,5"],
        ["2024-01-31T12:00:00.0000001", "2024-01-31T12:00:00.0000002", "2024-01-31T12:00:00.5"],
        "Y-m-d 24h",
    ),
    Times(["2024-01-31 00:00:00.1234567899"], ["2024-01-31T00:00:00.123456789"], "Y-m-d 24h"),
    Times(["13.02.2024", "01.03.2024 07:00"], ["2024-02-13", "2024-03-01T07:00"], "d.m.Y 24h"),
    Times(["02/13/2024", "03/01/2024"], ["2024-02-13", "2024-03-01"], "m/d/Y"),
    Times(["1-2-2024", "13-2-2024"], ["2024-02-01", "2024-02-13"], "d-m-Y", by_line=False),
    Times(["01/03/2024", "03/13/2024"], ["2024-01-03", "2024-03-13"], "m/d/Y", by_line=False),
    Times(["02/02/2024", "03/03/2024"], ["2024-02-02", "2024-03-03"], None, by_line=False),
    Times(["12:30 31.01.2024"], ["2024-01-31T12:30"], "d.m.Y 24h"),
    Times(["31 Jan 2024", "1-February-2024"], ["2024-01-31", "2024-02-01"], "Y-m-d"),
    Times(["Jan 31, 2024", "Feb 1 2024"], ["2024-01-31", "2024-02-01"], "Y-m-d"),
    Times(["Wed, 31 Jan 2024 12:00:00 +0200"], ["2024-01-31T10:00"], "Y-m-d 24h zoned"),
    Times(["Wed Jan 31 12:00:00 UTC 2024"], ["2024-01-31T12:00"], "Y-m-d 24h zoned"),
    Times(["10/Oct/2000:13:55:36 -0700"], ["2000-10-10T20:55:36"], "Y-m-d 24h zoned"),
    # AM and PM, whichever comes first
    Times(
        ["12/28/2015 12:00:00 AM", "12/28/2015 12:30:00 PM", "12/28/2015 11:00:00 PM"],
        ["2015-12-28T00:00", "2015-12-28T12:30", "2015-12-28T23:00"],
        "m/d/Y 12h",
    ),
    Times(
        ["12/28/2015 01:00:00 PM", "12/29/2015 12:05:00 am", "12/30/2015 9 AM"],
        ["2015-12-28T13:00", "2015-12-29T00:05", "2015-12-30T09:00"],
        "m/d/Y 12h",
    ),
    # the ends of what 64 bits of nanoseconds hold
    Times(["1677-09-21 00:12:43.145224193"], ["1677-09-21T00:12:43.145224193"], "Y-m-d 24h"),
    Times(["2262-04-11 23:47:16.854775807"], ["2262-04-11T23:47:16.854775807"], "Y-m-d 24h"),
    # objects
    Times(
        [datetime.datetime(2024, 1, 31, 12, 0, 0, 1), datetime.date(2024, 2, 1)],
        ["2024-01-31T12:00:00.000001", "2024-02-01"],
        "Y-m-d",
    ),
    Times([datetime.datetime(2024, 7, 1, 12, tzinfo=BERLIN)], ["2024-07-01T10:00"], "Y-m-d zoned"),
]

_ANY = "expected a number or a date such as 2024-01-31 12:00:00"
_FAR = "expected a date of the years 1678 to 2261"
_LARGE_TEXT = "expected a number of at most 64 bits"

EMPTY = ["", " ", "NaT", "nan", "NaN", "NAN", "None", "NA", "N/A", "null", "<NA>"]

BAD = [
    *(
        Bad([text], 0, _ANY)
        for text in (
            *("now", "today", "noon", "yesterday", "inf", "-Infinity", "1_000", "0x10", "1,5"),
            *("True", "2024-13-01", "2023-02-29", "2024-01-31 24:00", "2024-01-31 12:60"),
            *("2024-01-31 23:59:60", "2024-01-31 13:00 PM", "2024-01-31 0:30 AM", "31/01/24"),
            *("2024-01-31 12:00 EST", "2024-01-31 12:00+25:00", "2024-W05-3", "12:30", "٢٠٢٤"),
            *("0000-01-01", "2024-01-31 12:00 2024-01-31", "x" * 5000),
        )
    ),
    *(
        Bad([text], 0, _FAR)
        for text in (
            *("9999-12-31", "0001-01-01", "31.12.9999", "2262-04-11 23:47:16.854775808"),
            *("1677-09-21 00:12:43.145224192", "9999-12-31T23:59:59.999999999Z"),
        )
    ),
    Bad(["1" + "0" * 400], 0, _LARGE_TEXT),
    Bad([str(2**64)], 0, _LARGE_TEXT),
    Bad([str(-_LARGE - 1)], 0, _LARGE_TEXT),
    Bad(["1e400"], 0, _LARGE_TEXT),
    Bad(["1", "9" * 401], 1, _LARGE_TEXT),
    Bad([10**400], 0, _LARGE_TEXT),
    Bad([True], 0, _ANY),
    Bad([datetime.datetime(9999, 12, 31)], 0, _FAR),
    Bad([datetime.date(1, 1, 1)], 0, _FAR),
    # two kinds in one column: a row of each is named
    Bad(
        ["2024-07-01 12:00:00+02:00", "2024-07-01 12:30:00"],
        1,
        "expected a date with a zone, as '2024-07-01 12:00:00+02:00' in row 1",
        "expected a date with a zone as before",
    ),
    Bad(
        ["2024-07-01", "2024-07-02 12:30:00 UTC"],
        1,
        "expected a date without a zone, as '2024-07-01' in row 1",
        "expected a date without a zone as before",
    ),
    Bad(
        ["13.02.2024", "02.13.2024"],
        1,
        "expected a date in the order d.m.Y, as '13.02.2024' in row 1",
        "expected a date in the order d.m.Y as before",
    ),
    Bad(
        ["13.02.2024", "13/02/2024"],
        1,
        "expected a date in the order d.m.Y, as '13.02.2024' in row 1",
        "expected a date in the order d.m.Y as before",
    ),
    Bad(
        ["12/28/2015", "12/28/2015 9:00 AM", "12/28/2015 10:00"],
        2,
        "expected a time of day with AM or PM, as '12/28/2015 9:00 AM' in row 2",
        "expected a time of day with AM or PM as before",
    ),
    Bad(
        ["1", "2", "2024-01-31"],
        2,
        "expected a number as '1' in row 1, not a date",
        "expected a number as before",
    ),
    Bad(
        ["2024-01-31", "2024-02-01", "5"],
        2,
        "expected a date as '2024-01-31' in row 1, not a number",
        "expected a date as before",
    ),
    Bad(
        ["01/02/2024", "02/03/2024"],
        0,
        "that can be read in one way such as 2024-01-31 (day and month could be swapped)",
    ),
]
