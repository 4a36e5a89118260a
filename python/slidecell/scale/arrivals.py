"""Rows that come in batches: their entities, the order of their times, their segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell._date_text import DateFormat
from slidecell._instants import joined_format
from slidecell.detect.streams.state import Saved, array_of
from slidecell.scale.carried import grown
from slidecell.scale.entities import Entities
from slidecell.scale.sources import Batch
from slidecell.tables.options import TableOptions
from slidecell.tables.row_error import RowError
from slidecell.tables.rows import Ints
from slidecell.tables.times import Times, parse_gap, parse_times
from slidecell.thresholds.state_values import whole

__all__ = ["Arranged", "Arrivals", "UnsortedError"]

Bools = npt.NDArray[np.bool_]


class UnsortedError(ValueError):
    """Rows that cannot be scored one batch after the other."""


class Arranged(NamedTuple):
    """Rows of a batch in the order of their entities' numbers, and of time in each.

    Attributes
    ----------
    order : ndarray of int64, [B]
        The place in the batch of each row.
    codes : ndarray of int64, [B]
        Entities, ascending.
    first, begins : ndarray of bool, [B]
        Whether a row is the first one of its entity in the batch; whether it begins a segment.
    segments, numbers : ndarray of int64, [B]
        Of a row in its entity, over all batches.
    times : Times, optional
        In the order of the batch.
    """

    order: Ints
    codes: Ints
    first: Bools
    begins: Bools
    segments: Ints
    numbers: Ints
    times: Times | None


class Arrivals:
    """What has been seen of each entity: how many rows, in how many segments, and the last time.

    Parameters
    ----------
    options : TableOptions
    key_types : mapping of str to pyarrow.DataType
        Of the time and entity columns.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from slidecell.scale.arrivals import Arrivals
    >>> from slidecell.scale.sources import Batch, Place
    >>> from slidecell.tables.options import TableOptions
    >>> arrivals = Arrivals(TableOptions(entity="id"), {"id": pa.string()})
    >>> batch = Batch(pa.table({"id": ["b", "a", "b"]}), "rows", 0, 0, Place())
    >>> arrivals.arrange(batch, sort=False).order.tolist()
    [0, 2, 1]
    >>> arrivals.arrange(batch, sort=False).numbers.tolist()
    [2, 3, 1]
    """

    def __init__(self, options: TableOptions, key_types: Mapping[str, Any]) -> None:
        self._options = options
        self._time = None if options.time is None else str(options.time)
        self._entity = None if options.entity is None else str(options.entity)
        self.entities = Entities(None if self._entity is None else key_types[self._entity])
        self._seen = np.zeros(0, np.int64)
        self._segments = np.zeros(0, np.int64)
        self._last = np.zeros(0, np.int64)  # times; of numbers float64
        self._hint = options.time_format
        self._format: DateFormat | None = None
        self._kind: str | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take arrays that can be written to: those of another process may lie in its memory."""
        self.__dict__.update(state)
        for name in ("_seen", "_segments", "_last"):
            self.__dict__[name] = state[name].copy()

    def arrange(self, batch: Batch, *, sort: bool) -> Arranged:
        """Return the order of the rows of a batch, which has some, and go on behind them.

        Parameters
        ----------
        batch : Batch
        sort : bool
            Whether rows may come in any order, or else are refused where they do.

        Raises
        ------
        UnsortedError
            If rows of an entity are not in the order of time.
        """
        codes = self._entity_codes(batch)
        count = len(self.entities)
        self._seen, self._segments = grown(self._seen, count, 0), grown(self._segments, count, -1)
        times = self._read_times(batch)
        if times is None or not sort:
            # Numbers of 16 bits are sorted by their digits, in a quarter of the time.
            few = len(self.entities) <= 1 << 16
            order = np.argsort(codes.astype(np.uint16) if few else codes, kind="stable")
        else:
            order = np.lexsort((times.values, codes))
        codes = codes[order]
        first: Bools = np.diff(codes, prepend=-1) != 0
        begins = self._find_begins(codes, first, times, order, batch)
        segments, numbers = self._count(codes, first, begins)
        return Arranged(order, codes, first, begins, segments, numbers, times)

    def _entity_codes(self, batch: Batch) -> Ints:
        if self._entity is None:
            return np.zeros(len(batch.table), np.int64)
        column = batch.table.column(self._entity)
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise ValueError(
                f"{batch.row_text(row)}: entity column {self._entity!r}: the cell is empty"
            )
        return self.entities.codes(column)

    def _read_times(self, batch: Batch) -> Times | None:
        if self._time is None:
            return None
        column = batch.table.column(self._time).to_pandas().rename(self._time)
        source = f"{batch.file} from row {batch.first + 1:,} on"
        try:
            times = parse_times(
                column, source=source if batch.lines is None else batch.file, hint=self._hint
            )
        except RowError as error:
            if batch.lines is None:
                raise
            raise error.at_lines(batch.lines) from error
        if times.format is not None:
            joined = joined_format(self._format, times.format)
            if joined is None:
                raise ValueError(
                    f"{batch.row_text(0)}: time column {self._time!r}: expected dates in the "
                    f"format {self._format} as before, got {times.format} ({column.iloc[0]!r})"
                )
            self._format, self._hint = joined, str(joined)
        if self._kind not in {None, times.kind}:
            raise ValueError(
                f"{source}: time column {self._time!r}: expected {self._kind}s as before, got "
                f"{times.kind}s"
            )
        self._kind = times.kind
        # Whole numbers may come before or after fractions.
        dtype = times.values.dtype if len(self._last) == 0 else _wider(self._last, times.values)
        self._last = self._last.astype(dtype)
        times = replace(times, values=times.values.astype(dtype, copy=False))
        self._last = grown(self._last, len(self.entities), 0)
        return times

    def _find_begins(
        self, codes: Ints, first: Bools, times: Times | None, order: Ints, batch: Batch
    ) -> Bools:
        """Return which rows begin a segment; refuse those that are out of order."""
        begins: Bools = first & (self._seen[codes] == 0)
        if times is None:
            return begins
        values = times.values[order]
        before = np.empty_like(values)
        before[1:] = values[:-1]
        before[first] = self._last[codes[first]]
        inside = ~begins
        late = inside & (values < before)
        if late.any():
            row = int(order[late].min())
            raise UnsortedError(
                f"{batch.row_text(row)}: {times.text(row)} is earlier than the row before it of "
                f"its entity{self._entity_text(codes, order, row)}: expected the rows of an entity "
                "in the order of time"
            )
        same = inside & (values == before)
        if same.any() and self._options.duplicates == "error":
            row = int(order[same].min())
            raise ValueError(
                f"{batch.row_text(row)}: {times.text(row)} is the time of the row before it too"
                f"{self._entity_text(codes, order, row)}: choose duplicates='keep' "
                "(--duplicates keep), or name the entity column if these are several series"
            )
        if self._options.max_gap is not None:
            gap = parse_gap(self._options.max_gap, times)
            begins |= inside & (values - before > gap)
        runs = np.flatnonzero(first)
        ends = np.append(runs[1:], len(codes)) - 1
        self._last[codes[ends]] = values[ends]
        return begins

    def _entity_text(self, codes: Ints, order: Ints, row: int) -> str:
        if self._entity is None:
            return ""
        return f" {self.entities.name(int(codes[order == row][0]))!r}"

    def _count(self, codes: Ints, first: Bools, begins: Bools) -> tuple[Ints, Ints]:
        """Return the segment [B] and the number [B] of each row in its entity."""
        runs = np.flatnonzero(first)
        ends = np.append(runs[1:], len(codes))
        of = np.cumsum(first) - 1
        own = np.cumsum(begins)
        entities = codes[runs]
        segments: Ints = (self._segments[entities] - own[runs] + begins[runs])[of] + own
        numbers: Ints = (self._seen[entities] - runs)[of] + np.arange(len(codes))
        self._segments[entities] = segments[ends - 1]
        self._seen[entities] += ends - runs
        return segments, numbers

    def state(self) -> Saved:
        """Return what has been seen."""
        count = len(self.entities)
        text = {"entities": count, "time": [self._kind, self._hint, self._last.dtype.str]}
        text["date_format"] = None if self._format is None else str(self._format)
        parts = {
            **self.entities.saved(),
            "seen": grown(self._seen, count, 0)[:count].astype("<i8").tobytes(),
            "segments": grown(self._segments, count, -1)[:count].astype("<i8").tobytes(),
            "last": grown(self._last, count, 0)[:count].tobytes(),
        }
        return Saved(text, parts)

    def restore(self, saved: Saved) -> int:
        """Take what `state` returned; return how many entities there are."""
        count = whole(saved.text, "entities")
        self.entities.restore(saved)
        like = np.zeros(count, np.int64)
        self._seen = array_of(saved, "seen", like)
        self._segments = array_of(saved, "segments", like)
        self._kind, self._hint, dtype = saved.text["time"]
        known = saved.text.get("date_format")
        self._format = None if known is None else DateFormat.from_text(known)
        self._last = array_of(saved, "last", like.astype(dtype))
        return count


def _wider(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return the type that holds the times of both: fractions, or else numbers beyond int64."""
    kinds = {first.dtype.kind, second.dtype.kind}
    return np.dtype(np.float64 if "f" in kinds else np.uint64 if "u" in kinds else np.int64)
