"""The parts of a run's results, written one after the other, each with the state behind it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from slidecell._whole_files import cannot_be_written
from slidecell.detect.streams.state import Saved, part_of
from slidecell.scale.csv_parts import CsvWriter, join_csv
from slidecell.scale.engine import Engine
from slidecell.scale.journal import Journal
from slidecell.scale.parquet_parts import ArrowWriter, join_parquet
from slidecell.scale.sources import Batch, Place
from slidecell.thresholds.state_values import mapping, whole

__all__ = ["PartsWriter"]

_PART = {"part": "test"}  # all rows are of one


class PartsWriter:
    """Writes what an engine makes of batches.

    Parameters
    ----------
    engine : Engine
    journal : Journal
    key_types : mapping of str to pyarrow.DataType
        Of the columns that are handed on.
    csv : bool
        Whether scores are text, or else Parquet.
    """

    def __init__(
        self, engine: Engine, journal: Journal, key_types: Mapping[str, Any], *, csv: bool = False
    ) -> None:
        import pyarrow as pa

        self.engine, self._journal, self._csv = engine, journal, csv
        self._keys = list(key_types)
        self._written = pa.schema(
            [
                *(pa.field(name, kind) for name, kind in key_types.items()),
                pa.field("score", engine.score_type),
                pa.field("flagged", pa.int8()),
            ]
        )
        self.count = 0
        self.done = False
        self._writer: Any = None

    def begin(self) -> None:
        """Begin the file of the next part."""
        path = self._scores(self.count)
        try:
            self._writer = CsvWriter(path, _PART) if self._csv else ArrowWriter(path, self._written)
        except OSError as error:
            raise cannot_be_written(error, path) from error

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
        columns = [table.column(name) for name in self._keys]
        columns += [pa.array(scores, self.engine.score_type), pa.array(flags.astype(np.int8))]
        try:
            self._writer.write_table(pa.table(columns, schema=self._written))
        except OSError as error:
            raise cannot_be_written(error, self._journal.folder) from error

    def end(self, following: Place, *, last: bool) -> None:
        """End the part: from now on a run that is killed goes on behind it."""
        import pyarrow.parquet as pq

        journal = self._journal
        try:
            self._writer.close()
            self._writer = None
            _sync(self._scores(self.count))
            path = journal.part("events", self.count)
            pq.write_table(self.engine.events(last=last), path)
            _sync(path)
        except OSError as error:
            raise cannot_be_written(error, journal.folder) from error
        self.count += 1
        self.done = last
        state = self.engine.state()
        about: dict[str, Any] = {"parts": self.count, "place": list(following), "done": last}
        parts = dict(state.parts)
        if self.engine.recent is not None:
            sketch = self.engine.recent.saved()
            about["sketch"] = sketch.text
            parts |= {f"sketch/{name}": data for name, data in sketch.parts.items()}
        journal.save(Saved({"run": about, **state.text}, parts))

    def abandon(self) -> None:
        """Close the file of a part that is not whole; the next run writes it anew."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()

    def join(self, out: Path) -> None:
        """Write all parts to one file."""
        import pyarrow as pa

        parts = [self._scores(number) for number in range(self.count)]
        if self._csv:
            join_csv(parts, out, [*self._written.names, *_PART])
        else:
            schema = self._written
            for name in _PART:
                schema = schema.append(pa.field(name, pa.string()))
            join_parquet(parts, out, schema, _PART)

    def _scores(self, number: int) -> Path:
        return self._journal.part("scores", number, ".csv" if self._csv else ".arrow")

    def restore(self, saved: Saved) -> Place:
        """Go on from the state behind a part; return where the next batch begins."""
        about = mapping(saved.text.get("run"), "run")
        self.engine.restore(saved)
        if self.engine.recent is not None:
            sketch = dict(mapping(about.get("sketch"), "sketch"))
            self.engine.recent.restore(Saved(sketch, part_of(saved.parts, "sketch/")))
        self.count = whole(about, "parts")
        self.done = bool(about["done"])
        return Place(*about["place"])


def _sync(path: Path) -> None:
    """Bring a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
