"""Columns of texts of one plain shape, read by numpy as fast as files are.

Every column could be read text by text. This reads the commonest shapes a hundred times as fast and
leaves all others, and all that is wrong or could be read in two ways, to the readers of texts.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from slidecell._date_text import DateFormat, read_date

__all__ = ["read_plain_dates", "read_plain_numbers"]

Ints = npt.NDArray[np.int64]

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_YEAR_FIRST = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_YEAR_LAST = re.compile(r"[0-9]{2}([-/.])[0-9]{2}\1[0-9]{4}")
_CLOCK = r"[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_HALF = " [AP]M"
_ZONES = (r"Z", r" UTC", r"[+-][0-9]{2}:[0-9]{2}")  # each of one length
_ZONE_LENGTHS = (1, 4, 6)
_HOUR = 3600 * 10**9


def read_plain_numbers(texts: list[str]) -> Ints | None:
    """Return whole numbers [S] of up to 18 digits; None if one text is another thing."""
    if not all(map(_WHOLE.fullmatch, texts)):
        return None
    return np.fromiter(map(int, texts), np.int64, len(texts))


def read_plain_dates(texts: list[str]) -> tuple[Ints, DateFormat] | None:
    """Return dates [S] as nanoseconds since 1970, and their format; None: not of one plain shape.

    Examples
    --------
    >>> from slidecell._plain_times import read_plain_dates
    >>> instants, form = read_plain_dates(["31.01.1970", "01.02.1970 00:00"])
    >>> (instants // 10**9).tolist(), str(form)
    ([2592000, 2678400], 'd.m.Y 24h')
    >>> read_plain_dates(["01.02.1970"]) is None
    True
    """
    first = texts[0]
    last = _YEAR_LAST.match(first)
    sign = None if last is None else last[1]
    date = _YEAR_FIRST if sign is None else rf"[0-9]{{2}}[{sign}][0-9]{{2}}[{sign}][0-9]{{4}}"
    for zone, length in ((None, 0), *zip(_ZONES, _ZONE_LENGTHS, strict=True)):
        for half in ("", _HALF) if zone is None else ("",):
            shape = re.compile(f"{date}(?:{_CLOCK}{half}{zone or ''}){'' if zone or half else '?'}")
            if shape.fullmatch(first) is not None:
                if not all(map(shape.fullmatch, texts)):
                    return None
                return _read_shape(texts, sign, zone_length=length, twelve=bool(half))
    return None


def _read_shape(
    texts: list[str], sign: str | None, *, zone_length: int, twelve: bool
) -> tuple[Ints, DateFormat] | None:
    """Read dates that all have the same shape."""
    has_clock = any(len(text) > 10 for text in texts)
    shift = np.zeros(len(texts), np.int64)
    if zone_length:
        zones = [text[-zone_length:] for text in texts]
        offsets = {zone: read_date(f"1970-01-01 00:00{zone}") for zone in set(zones)}
        if not all(offsets.values()):
            return None
        shift = np.array([offsets[zone][0].instant for zone in zones])
        texts = [text[:-zone_length] for text in texts]
    halves = [text[-2] == "P" for text in texts] if twelve else None
    if twelve:
        texts = [text[:-3] for text in texts]
    if sign is None:
        layouts = {"Y-m-d": texts}
    else:
        layouts = {
            f"d{sign}m{sign}Y": [f"{t[6:10]}-{t[3:5]}-{t[:2]}{t[10:]}" for t in texts],
            f"m{sign}d{sign}Y": [f"{t[6:10]}-{t[:2]}-{t[3:5]}{t[10:]}" for t in texts],
        }
    found = {layout: _read_iso(iso) for layout, iso in layouts.items()}
    fitting = [(layout, instants) for layout, instants in found.items() if instants is not None]
    if len(fitting) != 1:
        return None
    layout, instants = fitting[0]
    if halves is not None:
        hour = instants // _HOUR % 24
        if ((hour < 1) | (hour > 12)).any():
            return None
        shift = (np.array(halves) * 12 - (hour == 12) * 12) * _HOUR
    form = DateFormat(layout, zone_length > 0, twelve if has_clock else None)
    return instants + shift, form


def _read_iso(texts: list[str]) -> Ints | None:
    """Return dates of ISO 8601 as nanoseconds; None if there is no such day, or one is far."""
    try:
        years = np.array([text[:4] for text in texts], np.int64)
        if years.min() < 1679 or years.max() > 2261:
            return None
        instants: Ints = np.array(texts, "M8[ns]").view(np.int64)
    except ValueError:
        return None
    return instants
