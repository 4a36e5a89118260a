"""Rates as people write them: a share of rows, or events in a span of time or of rows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Rate", "read_rate", "shown_number"]

_HOUR = 3600 * 10**9  # nanoseconds, as times are counted
_SPANS = {
    "hour": _HOUR,
    "day": 24 * _HOUR,
    "week": 7 * 24 * _HOUR,
    "month": 30 * 24 * _HOUR,
    "year": 365 * 24 * _HOUR,
}
_NUMBER = r"(\d+\.?\d*|\.\d+)"
_SHARE = re.compile(rf"{_NUMBER}\s*%")
_EVENTS = re.compile(
    rf"{_NUMBER}\s*/\s*(entity\s*/\s*)?(?:({'|'.join(_SPANS)})|(\d{{1,12}})\s*rows)", re.IGNORECASE
)
_EXPECTED = "a share of rows as 0.1%, or events as 3/day, 2/entity/week or 5/1000rows"


@dataclass(frozen=True)
class Rate:
    """A rate: ``number`` per ``span``.

    Attributes
    ----------
    number : float
        Above 0.
    of : {"rows", "time", "share"}
        What the span is of: events per so many rows, or per so many nanoseconds; or a share of
        rows, in percent.
    span : int
        Rows or nanoseconds; 100 of a share.
    unit : str
        What follows the number.
    by_entity : bool
        Whether the events are those of one entity, or of all.
    """

    number: float
    of: Literal["rows", "time", "share"]
    span: int
    unit: str
    by_entity: bool = False

    @property
    def per_one(self) -> float:
        """The rate per row or nanosecond; of a share the share itself."""
        return self.number / self.span

    def with_number(self, number: float) -> str:
        """Return another number in the same unit.

        Examples
        --------
        >>> from slidecell.thresholds.rate_text import read_rate
        >>> read_rate("3/day").with_number(4.25)
        '4.25/day'
        """
        return f"{shown_number(number)}{self.unit}"


def read_rate(text: object) -> Rate:
    """Return the rate that a text is.

    Raises
    ------
    TypeError, ValueError
        If it is none; the text of the error says what is.

    Examples
    --------
    >>> from slidecell.thresholds.rate_text import read_rate
    >>> read_rate("5/1000rows")
    Rate(number=5.0, of='rows', span=1000, unit='/1000rows', by_entity=False)
    >>> read_rate("0.1 %").per_one
    0.001
    """
    if not isinstance(text, str):
        raise TypeError(f"rate: expected {_EXPECTED}, got {text!r}")
    share, events = _SHARE.fullmatch(text.strip()), _EVENTS.fullmatch(text.strip())
    if share is not None and 0.0 < float(share[1]) < 100.0:
        return Rate(float(share[1]), "share", 100, "%")
    if events is None or not 0.0 < float(events[1]) < float("inf"):
        raise ValueError(f"rate: expected {_EXPECTED}, got {text!r}")
    number, entity, span, rows = float(events[1]), events[2], events[3], events[4]
    if span is None:
        if int(rows) < 1 or entity is not None:
            raise ValueError(f"rate: expected {_EXPECTED}, got {text!r}")
        return Rate(number, "rows", int(rows), f"/{int(rows)}rows")
    unit = f"{'/entity' if entity else ''}/{span.lower()}"
    return Rate(number, "time", _SPANS[span.lower()], unit, entity is not None)


def shown_number(number: float) -> str:
    """Return a number as a rate is written: three digits, and no exponent.

    Examples
    --------
    >>> from slidecell.thresholds.rate_text import shown_number
    >>> [shown_number(n) for n in (0.00012345, 0.1, 3.0, 41666.7)]
    ['0.000123', '0.1', '3', '41700']
    """
    text = f"{float(f'{number:.3g}'):.12f}".rstrip("0").rstrip(".")
    return text if float(text or 0) > 0.0 or number == 0.0 else f"{number:.3g}"
