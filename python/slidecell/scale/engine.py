"""Batches of rows in, scores and events in parts out, and the state between them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._whole_files import cannot_be_written
from slidecell.detect.streams.state import Saved, array_of
from slidecell.detect.table_scores import score_table
from slidecell.scale.carried import CarriedRows, grown
from slidecell.scale.decisions import Closed, Decisions
from slidecell.scale.entities import Entities
from slidecell.scale.events import events_table
from slidecell.scale.journal import Journal
from slidecell.scale.sources import Batch, Place
from slidecell.tables.columns import feature_numbers, to_numbers
from slidecell.tables.options import TableOptions
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.tables.times import Times, parse_gap, parse_times
from slidecell.thresholds.state_values import mapping, whole

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = ["Engine", "UnsortedError"]

_COUNTS = ("parts", "rows", "scored", "flagged", "events", "missing_cells")
_ROW_GROUP = 1 << 17


class UnsortedError(ValueError):
    """Rows that cannot be scored one batch after the other."""


class Engine:
    """Scores batches of rows in turn.

    Parameters
    ----------
    detector : Detector
        Fitted.
    options : TableOptions
    features : sequence of str
    key_types : mapping of str to pyarrow.DataType
        Of the time and entity columns.
    event_gap : int
    """

    def __init__(
        self,
        detector: Detector,
        options: TableOptions,
        features: Sequence[str],
        key_types: dict[str, Any],
        *,
        event_gap: int,
    ) -> None:
        import pyarrow as pa

        self._detector, self._options, self._features = detector, options, list(features)
        self._fill = options.missing == "ffill"
        self.needs_all: str | None = None
        length, smoothing = 1, None
        try:
            length, smoothing = detector.rows_in_parts()
        except ValueError as error:
            self.needs_all = str(error)
        self._carried = CarriedRows(max(length - 1, int(self._fill)), len(features))
        self._decisions = Decisions(detector, smoothing, gap=event_gap)
        self._whole_smoothing = smoothing is None
        self._time = None if options.time is None else str(options.time)
        self._entity = None if options.entity is None else str(options.entity)
        self.entities = Entities(None if self._entity is None else key_types[self._entity])
        self._seen = np.zeros(0, np.int64)
        self._segments = np.zeros(0, np.int64)
        self._last = np.zeros(0, np.int64)  # times; of numbers float64
        self._hint = options.time_format
        self._kind: str | None = None
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.done = False
        self._places = pa.int64() if self._time is None else key_types[self._time]
        keys = [pa.field(name, kind) for name, kind in key_types.items()]
        self._scores = self._score_type()
        self.schema = pa.schema(
            [
                *keys,
                pa.field("score", self._scores),
                pa.field("flagged", pa.int8()),
                pa.field("part", pa.string()),
            ]
        )
        self._closed: list[Closed] = []
        self._writer: Any = None
        self._journal: Journal | None = None

    def _score_type(self) -> Any:
        """Return the type of scores, which a table too short for one has too."""
        import pyarrow as pa

        rows = max(self._detector.shortest_series(), 1)
        empty = Rows(np.full((rows, len(self._features)), np.nan), np.array([0, rows]))
        return pa.from_numpy_dtype(score_table(self._detector, empty).dtype)

    def begin_part(self, journal: Journal, number: int) -> None:
        """Begin the file of the next part."""
        import pyarrow.parquet as pq

        self._journal = journal
        path = journal.part("scores", number)
        try:
            self._writer = pq.ParquetWriter(path, self.schema)
        except OSError as error:
            raise cannot_be_written(error, path) from error

    def end_part(self, following: Place, *, last: bool) -> None:
        """End the part: from now on a run that is killed goes on behind it."""
        import pyarrow.parquet as pq

        journal, number = self._journal, self.counts["parts"]
        assert journal is not None
        try:
            self._writer.close()
            _sync(journal.part("scores", number))
            if last:
                self._take_closed(self._decisions.close())
            path = journal.part("events", number)
            pq.write_table(events_table(self._closed, self._places), path)
            _sync(path)
        except OSError as error:
            raise cannot_be_written(error, journal.folder) from error
        self._closed = []
        self.counts["parts"] += 1
        self.done = last
        journal.save(self._state(following))

    def take(self, batch: Batch, *, sort: bool) -> None:
        """Score the rows of a batch, and write them to the part.

        Parameters
        ----------
        batch : Batch
        sort : bool
            Whether rows may come in any order, or else are refused where they do.

        Raises
        ------
        UnsortedError
            If rows of an entity are not in the order of time; nothing is written of the batch.
        """
        import pyarrow as pa

        table = batch.table
        if table is None or len(table) == 0:
            return
        codes = self._entity_codes(batch)
        count = len(self.entities)
        self._seen, self._segments = grown(self._seen, count, 0), grown(self._segments, count, -1)
        times = self._read_times(batch)
        if times is None or not sort:
            order = np.argsort(codes, kind="stable")
        else:
            order = np.lexsort((times.values, codes))
        codes = codes[order]
        first = np.diff(codes, prepend=-1) != 0
        begins = self._find_begins(codes, first, times, order, batch)
        features = self._read_features(batch)[order]
        missing = ~np.isfinite(features)
        features[missing] = np.nan
        joined, new = self._carried.join(codes, features, begins, fill=self._fill)
        scores = self._score(joined)[new]
        scores = self._decisions.smooth(codes, scores, begins)
        cuts = np.flatnonzero(first | begins)
        names = self.entities.names() if self._entity is not None else ("",)
        rows = Rows(
            joined.features[new],
            np.append(cuts, len(codes)).astype(np.int64),
            entities=codes,
            entity_names=names,
            times=None if times is None else times.take(order),
        )
        flags = self._decisions.flag(codes, rows, scores, begins)
        self._follow(
            batch, codes, first=first, begins=begins, scores=scores, flags=flags, order=order
        )
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        columns = [table.column(name) for name in self.schema.names[:-3]]
        columns += [
            pa.array(scores[back], self._scores),
            pa.array(flags[back].astype(np.int8)),
            pa.array(np.full(len(back), "test"), pa.string()),
        ]
        self._write(pa.table(columns, schema=self.schema))
        self.counts["rows"] += len(codes)
        self.counts["scored"] += int((~np.isnan(scores)).sum())
        self.counts["flagged"] += int(flags.sum())
        self.counts["missing_cells"] += int(missing.sum())

    def _write(self, table: Any) -> None:
        assert self._journal is not None
        try:
            self._writer.write_table(table, row_group_size=_ROW_GROUP)
        except OSError as error:
            raise cannot_be_written(error, self._journal.folder) from error

    def _score(self, rows: Rows) -> npt.NDArray[Any]:
        return score_table(self._detector, rows, smoothed=self._whole_smoothing)

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
        times = parse_times(column, source=source, hint=self._hint)
        if times.format is not None:
            self._hint = str(times.format)
        if self._kind not in {None, times.kind}:
            raise ValueError(
                f"{source}: time column {self._time!r}: expected {self._kind}s as before, got "
                f"{times.kind}s"
            )
        self._kind = times.kind
        if len(self._last) == 0 or self._last.dtype == times.values.dtype:
            self._last = self._last.astype(times.values.dtype)
        elif times.values.dtype.kind == "f":
            self._last = self._last.astype(times.values.dtype)  # whole numbers, and others now
        self._last = grown(self._last, len(self.entities), 0)
        return times

    def _find_begins(
        self,
        codes: Ints,
        first: npt.NDArray[np.bool_],
        times: Times | None,
        order: Ints,
        batch: Batch,
    ) -> npt.NDArray[np.bool_]:
        """Return which rows begin a segment; refuse those that are out of order."""
        begins: npt.NDArray[np.bool_] = first & (self._seen[codes] == 0)
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

    def _read_features(self, batch: Batch) -> Floats:
        columns = []
        for name in self._features:
            series = batch.table.column(name).to_pandas().rename(name)
            values = to_numbers(series)
            if values is None:
                values = feature_numbers(series, source=batch.file, may_exclude=False)
            columns.append(values)
        return np.stack(columns, axis=1)

    def _follow(
        self,
        batch: Batch,
        codes: Ints,
        *,
        first: npt.NDArray[np.bool_],
        begins: npt.NDArray[np.bool_],
        scores: npt.NDArray[Any],
        flags: npt.NDArray[np.bool_],
        order: Ints,
    ) -> None:
        """Count the rows of entities and their segments, and follow the events."""
        runs = np.flatnonzero(first)
        ends = np.append(runs[1:], len(codes))
        of = np.cumsum(first) - 1
        own = np.cumsum(begins)
        entities = codes[runs]
        segments = (self._segments[entities] - own[runs] + begins[runs])[of] + own
        numbers = (self._seen[entities] - runs)[of] + np.arange(len(codes))
        self._segments[entities] = segments[ends - 1]
        self._seen[entities] += ends - runs
        keys = None if self._time is None else batch.table.column(self._time)

        def place(row: int) -> Any:
            at = int(order[row])
            return batch.before + at + 1 if keys is None else keys[at].as_py()

        self._take_closed(
            self._decisions.follow(
                codes, segments=segments, numbers=numbers, scores=scores, flags=flags, place=place
            )
        )

    def _take_closed(self, closed: list[Closed]) -> None:
        self._closed += closed
        self.counts["events"] += len(closed)

    def _state(self, following: Place) -> Saved:
        count = len(self.entities)
        decisions, places = self._decisions.state()
        text = {
            "counts": self.counts,
            "place": list(following),
            "done": self.done,
            "entities": count,
            "time": [self._kind, self._hint, self._last.dtype.str],
            "decisions": decisions,
        }
        parts = {
            **self._carried.saved(count),
            **self.entities.saved(),
            "seen": grown(self._seen, count, 0)[:count].astype("<i8").tobytes(),
            "segments": grown(self._segments, count, -1)[:count].astype("<i8").tobytes(),
            "last": grown(self._last, count, 0)[:count].tobytes(),
            "places": _places_bytes(places, self._places),
        }
        return Saved(text, parts)

    def restore(self, saved: Saved) -> Place:
        """Go on from a state; return where the next batch begins."""
        text = saved.text
        counts = mapping(text.get("counts"), "counts")
        self.counts = {name: whole(counts, name) for name in _COUNTS}
        count = whole(text, "entities")
        self.entities.restore(saved)
        self._carried.restore(saved, count)
        like = np.zeros(count, np.int64)
        self._seen = array_of(saved, "seen", like)
        self._segments = array_of(saved, "segments", like)
        self._kind, self._hint, dtype = text["time"]
        self._last = array_of(saved, "last", like.astype(dtype))
        self._decisions.load_state(
            mapping(text.get("decisions"), "decisions"), _places_of(saved.parts["places"])
        )
        self.done = bool(text["done"])
        return Place(*text["place"])


def _places_bytes(places: Sequence[tuple[Any, Any]], kind: Any) -> bytes:
    import pyarrow as pa

    columns = {
        name: pa.array([place[n] for place in places], kind)
        for n, name in enumerate(("start", "end"))
    }
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _places_of(saved: bytes) -> list[tuple[Any, Any]]:
    import pyarrow as pa

    table = pa.ipc.open_stream(saved).read_all()
    columns = (table.column(name).to_pylist() for name in ("start", "end"))
    return list(zip(*columns, strict=True))


def _sync(path: Path) -> None:
    """Bring a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
