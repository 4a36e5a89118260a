"""The parts of a run's results, written one after the other, each with the state behind it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slidecell._whole_files import cannot_be_written
from slidecell.detect.streams.state import Saved, part_of
from slidecell.scale.csv_parts import CsvWriter, join_csv
from slidecell.scale.engine import Engine
from slidecell.scale.journal import Journal
from slidecell.scale.parquet_parts import ArrowWriter, ParquetWhole, read_tables
from slidecell.scale.sources import Batch, Place
from slidecell.scale.threads import Behind
from slidecell.thresholds.state_values import mapping, whole

__all__ = ["PartsWriter"]

_PART = {"part": "test"}  # all rows are of one


class PartsWriter:
    """Writes what an engine makes of batches, in a thread of its own.

    A part holds what the engine has made of its rows: of CSV files the lines of the file of scores,
    which are all joined at the end; else scores and flags, which go to the file of scores at once,
    beside the keys of their rows.

    Parameters
    ----------
    engine : Engine
    journal : Journal
    key_types : mapping of str to pyarrow.DataType
        Of the columns that are handed on.
    whole : Path
        Where the file of scores is written.
    out : Path
        What errors call it.
    csv : bool
        Whether scores are text, or else Parquet.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        key_types: Mapping[str, Any],
        *,
        whole: Path,
        out: Path,
        csv: bool = False,
    ) -> None:
        import pyarrow as pa

        self.engine, self._journal, self._csv = engine, journal, csv
        self._whole, self._out = whole, out
        keys = [pa.field(name, kind) for name, kind in key_types.items()]
        made = [pa.field("score", engine.score_type), pa.field("flagged", pa.int8())]
        self._keys, self._made = list(key_types), pa.schema(made)
        self._written = pa.schema([*keys, *made])
        self.count = 0
        self.done = False
        self._behind = Behind()
        self._part: Any = None
        self._file: ParquetWhole | None = None

    def start(self, keys: Iterator[Any]) -> None:
        """Begin the file of scores, with the rows of the parts that an earlier run has written.

        Parameters
        ----------
        keys : iterator of pyarrow.RecordBatch
            The key columns of all batches that have rows; not asked of CSV files.
        """
        if self._csv:
            return
        self._behind.give(self._open)
        made = read_tables([self._scores(number) for number in range(self.count)])
        for table in made:
            own = next(keys) if self._keys else None
            if own is not None and len(own) != len(table):
                raise ValueError(
                    f"{self._journal.folder}: scores of {len(table)} rows beside {len(own)} rows; "
                    "begin anew with --restart (in Python restart=True)"
                )
            self._behind.give(self._append, [] if own is None else own.columns, table)

    def begin(self) -> None:
        """Begin the next part."""
        self._behind.give(self._begin, self._scores(self.count))

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
        scores, flags = self.engine.score(batch, sort=sort)
        columns = [pa.array(scores, self.engine.score_type), pa.array(flags.astype(np.int8))]
        made = pa.table(columns, schema=self._made)
        first = 0
        # All rows at once are batches of files too: a run that goes on has them as such.
        for piece in table.to_batches() if isinstance(table, pa.Table) else [table]:
            keys = [piece.column(name) for name in self._keys]
            self._behind.give(self._write, keys, made.slice(first, len(piece)))
            first += len(piece)

    def end(self, following: Place, *, last: bool) -> None:
        """End the part: from now on a run that is killed goes on behind it."""
        events, number = self.engine.events(last=last), self.count
        self.count += 1
        self.done = last
        state = self.engine.state()
        about: dict[str, Any] = {"parts": self.count, "place": list(following), "done": last}
        parts = dict(state.parts)
        for name, kept in self._kept():
            saved = kept.saved()
            about[name] = saved.text
            parts |= {f"{name}/{part}": data for part, data in saved.parts.items()}
        # As bytes, for the engine goes on while they are written.
        packed = self._journal.packed(Saved({"run": about, **state.text}, parts))
        self._behind.give(self._end, number, events, packed)

    def finish(self) -> None:
        """Wait until all is written, and end the file of scores."""
        self._behind.give(self._close)
        self._behind.wait()
        self._behind.close()

    def abandon(self) -> None:
        """Close the files of a part that is not whole; the next run writes it anew."""
        self._behind.close()
        for file in (self._part, self._file):
            if file is not None:
                with contextlib.suppress(OSError):
                    file.close()

    def restore(self, saved: Saved) -> Place:
        """Go on from the state behind a part; return where the next batch begins."""
        about = mapping(saved.text.get("run"), "run")
        self.engine.restore(saved)
        for name, kept in self._kept():
            text = dict(mapping(about.get(name), name))
            kept.restore(Saved(text, part_of(saved.parts, f"{name}/")))
        self.count = whole(about, "parts")
        self.done = bool(about["done"])
        return Place(*about["place"])

    def _kept(self) -> list[tuple[str, Any]]:
        """Return what goes on with the rows beside the engine's own state, by name."""
        both = (("sketch", self.engine.recent), ("advice", self.engine.advice))
        return [(name, kept) for name, kept in both if kept is not None]

    def _scores(self, number: int) -> Path:
        return self._journal.part("scores", number, ".csv" if self._csv else ".arrow")

    # What follows is done in the thread.

    def _open(self) -> None:
        with _naming(self._out):
            self._file = ParquetWhole(self._whole, self._written, _PART)

    def _begin(self, path: Path) -> None:
        with _naming(path):
            self._part = CsvWriter(path, _PART) if self._csv else ArrowWriter(path, self._made)

    def _write(self, keys: list[Any], made: Any) -> None:
        import pyarrow as pa

        with _naming(self._journal.folder):
            if self._csv:
                rows = pa.Table.from_arrays([*keys, *made.columns], schema=self._written)
                self._part.write_table(rows)
                return
            self._part.write_table(made)
        self._append(keys, made)

    def _append(self, keys: list[Any], made: Any) -> None:
        import pyarrow as pa

        assert self._file is not None
        with _naming(self._out):
            self._file.write_table(
                pa.Table.from_arrays([*keys, *made.columns], schema=self._written)
            )

    def _end(self, number: int, events: Any, packed: bytes) -> None:
        import pyarrow.parquet as pq

        with _naming(self._journal.folder):
            part, self._part = self._part, None
            part.close()
            _sync(self._scores(number))
            path = self._journal.part("events", number)
            pq.write_table(events, path)
            _sync(path)
            self._journal.write(packed)

    def _close(self) -> None:
        with _naming(self._out):
            if self._file is not None:
                file, self._file = self._file, None
                file.close()
            else:
                parts = [self._scores(number) for number in range(self.count)]
                join_csv(parts, self._whole, [*self._written.names, *_PART])


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say of an error of the system which file or folder could not be written."""
    try:
        yield
    except OSError as error:
        raise cannot_be_written(error, path) from error


def _sync(path: Path) -> None:
    """Bring a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
