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
from slidecell.scale.entities import Entities
from slidecell.scale.sources import Batch, read_whole
from slidecell.tables.options import TableOptions
from slidecell.tables.row_error import RowError
from slidecell.tables.rows import Ints
from slidecell.tables.times import Times, parse_gap, parse_times
from slidecell.thresholds.state_values import whole

__all__ = ["Arranged", "Arrivals", "UnsortedError", "grown"]

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
    runs : ndarray of int64, [E]
        The first row of each entity.
    entities : ndarray of int64, [E]
        Their numbers.
    begins : ndarray of bool, [B]
        Whether a row begins a segment of its entity.
    seen, segment : ndarray of int64, [E]
        How many rows of an entity came before the batch, and the number of its last segment then.
    times : Times, optional
        In the order of the batch.
    """

    order: Ints
    codes: Ints
    runs: Ints
    entities: Ints
    begins: Bools
    seen: Ints
    segment: Ints
    times: Times | None

    def cuts(self) -> Ints:
        """Return the rows that are the first of their entity or of a segment, [G], ascending."""
        begins = self.begins.copy()
        begins[self.runs] = True
        return np.flatnonzero(begins)

    def numbers(self, rows: Ints) -> Ints:
        """Return the numbers of some rows in their entities, over all batches."""
        of = self._run_of(rows)
        found: Ints = self.seen[of] + rows - self.runs[of]
        return found

    def segments(self, rows: Ints) -> Ints:
        """Return the numbers of some rows' segments in their entities, over all batches."""
        of = self._run_of(rows)
        cuts = np.flatnonzero(self.begins)
        own = np.searchsorted(cuts, rows, side="right") - np.searchsorted(cuts, self.runs[of])
        found: Ints = self.segment[of] + own
        return found

    def _run_of(self, rows: Ints) -> Ints:
        return np.searchsorted(self.runs, rows, side="right") - 1


class Arrivals:
    """What has been seen of each entity: how many rows, in how many segments, and the last time.

    Parameters
    ----------
    options : TableOptions
    key_types : mapping of str to pyarrow.DataType
        Of the time and entity columns.

    Examples
    --------
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> from slidecell.scale.arrivals import Arrivals
    >>> from slidecell.scale.sources import Batch, Place
    >>> from slidecell.tables.options import TableOptions
    >>> arrivals = Arrivals(TableOptions(entity="id"), {"id": pa.string()})
    >>> batch = Batch(pa.table({"id": ["b", "a", "b"]}), "rows", 0, 0, Place())
    >>> arrivals.arrange(batch, sort=False).order.tolist()
    [0, 2, 1]
    >>> arrivals.arrange(batch, sort=False).numbers(np.arange(3)).tolist()
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
        small = self._entity_codes(batch)
        count = len(self.entities)
        self._seen, self._segments = grown(self._seen, count, 0), grown(self._segments, count, -1)
        times = self._read_times(batch)
        if times is None or not sort:  # by their digits, where numbers have few bits
            order = np.argsort(small, kind="stable")
        else:
            order = np.lexsort((times.values, small))
        small = small.take(order)
        runs = np.append(0, np.flatnonzero(small[1:] != small[:-1]) + 1)
        entities = small[runs].astype(np.int64)
        lengths = np.diff(runs, append=len(small))
        codes = np.repeat(entities, lengths)
        seen, segment = self._seen[entities], self._segments[entities]
        begins = np.zeros(len(codes), np.bool_)
        begins[runs] = seen == 0
        if times is not None:
            self._follow_times(times, batch, order, runs=runs, codes=codes, begins=begins)
        self._seen[entities] += lengths
        self._segments[entities] += np.add.reduceat(begins, runs, dtype=np.int64)
        return Arranged(order, codes, runs, entities, begins, seen, segment, times)

    def _entity_codes(self, batch: Batch) -> npt.NDArray[np.integer[Any]]:
        if self._entity is None:
            return np.zeros(len(batch.table), np.uint8)
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
        column = batch.table.column(self._time)
        source = f"{batch.file} from row {batch.first + 1:,} on"
        whole = read_whole(column)
        times = self._parse(column, batch, source) if whole is None else Times(whole, "number")
        if times.format is not None:
            joined = joined_format(self._format, times.format)
            if joined is None:
                raise ValueError(
                    f"{batch.row_text(0)}: time column {self._time!r}: expected dates in the "
                    f"format {self._format} as before, got {times.format} ({column[0].as_py()!r})"
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

    def _parse(self, column: Any, batch: Batch, source: str) -> Times:
        """Return a column of times of any type, read as a table in memory is."""
        try:
            return parse_times(
                column.to_pandas().rename(self._time),
                source=source if batch.lines is None else batch.file,
                hint=self._hint,
            )
        except RowError as error:
            if batch.lines is None:
                raise
            raise error.at_lines(batch.lines) from error

    def _follow_times(
        self, times: Times, batch: Batch, order: Ints, *, runs: Ints, codes: Ints, begins: Bools
    ) -> None:
        """Go on behind the times of the rows, which are in order; mark those behind a gap."""
        values = times.values.take(order)
        first = values[runs]
        goes_on = ~begins[runs]
        before = self._last[codes[runs]]
        late = np.append(False, values[1:] < values[:-1])
        late[runs] = goes_on & (first < before)
        if late.any():
            row = int(order[late].min())
            raise UnsortedError(
                f"{batch.row_text(row)}: {times.text(row)} is earlier than the row before it of "
                f"its entity{self._entity_text(codes, order, row)}: expected the rows of an entity "
                "in the order of time"
            )
        if self._options.duplicates == "error":
            same = np.append(False, values[1:] == values[:-1])
            same[runs] = goes_on & (first == before)
            if same.any():
                row = int(order[same].min())
                raise ValueError(
                    f"{batch.row_text(row)}: {times.text(row)} is the time of the row before it too"
                    f"{self._entity_text(codes, order, row)}: choose duplicates='keep' "
                    "(--duplicates keep), or name the entity column if these are several series"
                )
        if self._options.max_gap is not None:
            gap = parse_gap(self._options.max_gap, times)
            wide = np.append(False, values[1:] - values[:-1] > gap)
            wide[runs] = goes_on & (first - before > gap)
            begins |= wide
        self._last[codes[runs]] = values[np.append(runs[1:], len(codes)) - 1]

    def _entity_text(self, codes: Ints, order: Ints, row: int) -> str:
        if self._entity is None:
            return ""
        return f" {self.entities.name(int(codes[order == row][0]))!r}"

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


def grown(values: npt.NDArray[Any], count: int, fill: Any) -> npt.NDArray[Any]:
    """Return an array with room for so many entities, at least doubled if it had none.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.scale.arrivals import grown
    >>> grown(np.array([1, 2]), 3, 0).tolist()
    [1, 2, 0, 0]
    """
    if count <= len(values):
        return values
    made = np.full((max(count, 2 * len(values)), *values.shape[1:]), fill, values.dtype)
    made[: len(values)] = values
    return made


def _wider(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> np.dtype[Any]:
    """Return the type that holds the times of both: fractions, or else numbers beyond int64."""
    kinds = {first.dtype.kind, second.dtype.kind}
    return np.dtype(np.float64 if "f" in kinds else np.uint64 if "u" in kinds else np.int64)
