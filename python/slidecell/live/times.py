"""Times of live rows, one at a time: numbers, or dates in ISO 8601."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np

from slidecell.tables.times import Times, parse_gap

__all__ = ["Clock"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_MICROSECOND = datetime.timedelta(microseconds=1)


class Clock:
    """Reads times on one scale: that of the first one, numbers or nanoseconds since 1970.

    Parameters
    ----------
    max_gap : str, optional
        A longer step begins a series anew: ``2h``, ``1d``, or a number where times are numbers.
    kind : {"date", "number"}, optional
        The scale, where it is known from an earlier run.
    """

    def __init__(self, max_gap: str | None, kind: Any = None) -> None:
        self._max_gap = max_gap
        self.kind: Any = None
        self.gap: float = math.inf
        if kind is not None:
            self._settle(kind)

    def read(self, value: object) -> float | int:
        """Return a time as a number; ValueError if it is none, or of the other kind."""
        found, kind = _instant(value)
        if self.kind is None:
            self._settle(kind)
        elif kind != self.kind:
            raise ValueError(f"expected a {self.kind} as before, got {value!r}")
        return found

    def text(self, value: float | int) -> str:
        """Return a time as a reader would write it."""
        return Times(np.array([value]), self.kind).text(0)

    def _settle(self, kind: Any) -> None:
        if kind not in {"date", "number"}:
            raise ValueError(f"state: time: expected 'date' or 'number', got {kind!r}")
        if self._max_gap is not None:
            self.gap = parse_gap(self._max_gap, Times(np.empty(0), kind))
        self.kind = kind


def _instant(value: object) -> tuple[float | int, str]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if math.isfinite(value):
            return value, "number"
    elif isinstance(value, str):
        text = value.strip()
        try:
            return int(text), "number"
        except ValueError:
            pass
        try:
            found = float(text)
            if math.isfinite(found):
                return found, "number"
        except ValueError:
            pass
        try:
            date = datetime.datetime.fromisoformat(text.removesuffix("Z"))
        except ValueError:
            pass
        else:
            aware = date if date.tzinfo else date.replace(tzinfo=datetime.timezone.utc)
            return (aware - _EPOCH) // _MICROSECOND * 1000, "date"
    raise ValueError(f"expected a number or a date such as 2024-01-31 12:00:00, got {value!r}")
