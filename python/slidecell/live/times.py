"""Times of live rows, one at a time, as tables are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from slidecell._date_text import DateFormat
from slidecell._instants import TimeReader, joined_format
from slidecell._plain_times import read_plain_dates, read_plain_numbers
from slidecell._time_values import LEAST, MOST, BadTimeError, brief, read_value, shown
from slidecell.tables.times import Times, parse_gap

__all__ = ["Clock"]


class Clock:
    """Reads times on one scale: numbers, or nanoseconds since 1970.

    A table is read as all its rows allow. Of a stream the first time that is read decides: numbers
    or dates, their order of day and month, whether they name a zone, whether clocks have AM and PM.
    A first date that could be read in two orders is read in that of ``hint``, or refused.

    Parameters
    ----------
    max_gap : str, optional
        A longer step begins a series anew: ``2h``, ``1d``, or a number where times are numbers.
    kind : {"date", "number"}, optional
        The scale, where it is known from an earlier run.
    format : str, optional
        What dates look like, where it is known from an earlier run.
    hint : str, optional
        What the dates looked like that the model was fitted on.

    Examples
    --------
    >>> from slidecell.live.times import Clock
    >>> clock = Clock(None, hint="d.m.Y 24h")
    >>> clock.text(clock.read("01.02.2024 00:00:00.0000001"))
    '2024-02-01 00:00:00.000000100'
    """

    def __init__(
        self,
        max_gap: str | None,
        kind: Any = None,
        *,
        format: Any = None,
        hint: str | None = None,
    ) -> None:
        self._max_gap = max_gap
        self.gap: float = math.inf
        try:
            known = None if format is None else DateFormat.from_text(format)
            hinted = None if hint is None else DateFormat.from_text(hint)
        except ValueError as error:
            raise ValueError(f"time_format: {error}") from None
        self._reader = TimeReader(None, known, hinted)
        self._last: tuple[object, float | int] = (None, 0)  # that was read
        if kind is not None:
            self._settle(kind)
            self._reader.kind = kind

    @property
    def kind(self) -> Any:
        """The scale; None before a time was read."""
        return self._reader.kind

    @property
    def format(self) -> str | None:
        """What dates look like; None for numbers and before a date was read."""
        return None if self._reader.format is None else str(self._reader.format)

    def read(self, value: object) -> float | int:
        """Return a time as a number; ValueError if it is none, or does not fit those before."""
        if type(value) is str and value == self._last[0]:  # many entities have rows at one time
            return self._last[1]
        is_first = self.kind is None
        try:
            found = self._reader.read(value)
        except BadTimeError as error:
            raise ValueError(f"{error}, got {shown(value)}") from None
        if is_first:
            try:
                self._settle(self.kind)
            except ValueError:  # a gap on the other scale: this time decides nothing
                self._reader.kind = self._reader.format = None
                raise
        self._last = (value, found)
        return found

    def read_block(self, values: Sequence[object]) -> list[float | int]:
        """Return times as numbers, as far as all can be read like those before, with no change.

        Examples
        --------
        >>> from slidecell.live.times import Clock
        >>> clock = Clock(None)
        >>> clock.read_block(["7", "8"]), clock.read("6"), clock.read_block(["7", "8"])
        ([], 6, [7, 8])
        """
        if not set(map(type, values)) <= {str}:
            return []
        texts = cast("list[str]", values)
        different = list(dict.fromkeys(texts))  # many rows have the same time
        if self.kind == "number":
            found = read_plain_numbers(different)
        elif self.kind == "date" and different:
            dates = read_plain_dates(different)
            known = self._reader.format
            alike = dates is not None and joined_format(known, dates[1]) == known
            found = dates[0] if dates is not None and alike else None
        else:
            found = None
        if found is None:
            return []
        if len(different) == len(texts):
            return list(found.tolist())
        numbers = dict(zip(different, found.tolist(), strict=True))
        return [numbers[text] for text in texts]

    def read_saved(self, value: object) -> float | int:
        """Return a time that an earlier run has saved; ValueError if `read` never returns it."""
        if self.kind == "date":
            # The lowest one stands for no time.
            if isinstance(value, int) and not isinstance(value, bool) and LEAST < value <= MOST:
                return value
        elif not isinstance(value, str):
            try:
                found = read_value(value)
            except BadTimeError:
                found = []
            if not isinstance(found, list):
                return found
        raise ValueError(f"expected a number as time, got {brief(value)}")

    def text(self, value: float | int) -> str:
        """Return a time as a reader would write it."""
        return Times(np.array([value]), self.kind).text(0)

    def _settle(self, kind: Any) -> None:
        if kind not in {"date", "number"}:
            raise ValueError(f"state: time: expected 'date' or 'number', got {kind!r}")
        if self._max_gap is not None:
            self.gap = parse_gap(self._max_gap, Times(np.empty(0), kind))
