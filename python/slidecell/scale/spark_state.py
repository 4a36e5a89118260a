"""What a stream keeps of one key between batches of rows, as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell.detect.streams.state import Saved
from slidecell.detect.streams.stream_file import pack_state, unpack_state

if TYPE_CHECKING:
    import pandas as pd

    from slidecell.scale.table_scorer import TableScorer

__all__ = ["KeyedState"]

FORMAT = 1
_WAITING = "waiting"


class KeyedState:
    """Takes the rows of a key as they come, and scores those that no earlier one can precede.

    Parameters
    ----------
    scorer : TableScorer
    schema : pyarrow.Schema
        Of the rows.
    time : str
        The time column.
    micros : str
        A further column of the frames: the time in microseconds since 1970, UTC.
    """

    def __init__(self, scorer: TableScorer, schema: Any, time: str, micros: str) -> None:
        import pyarrow as pa

        self._scorer, self._time, self._micros = scorer, time, micros
        place = schema.get_field_index(time)
        self._schema = schema.set(place, pa.field(time, pa.timestamp("us", "UTC")))
        self._place = place
        scorer.engine(self._schema)
        self._identity = scorer.identity()

    def go_on(
        self, key: Any, state: bytes | None, frames: Sequence[pd.DataFrame], watermark: int
    ) -> tuple[pd.DataFrame | None, bytes, int | None]:
        """Take rows of a key, and score those that the watermark has passed.

        Parameters
        ----------
        key : object
            For errors.
        state : bytes, optional
            What the last call returned for the key.
        frames : sequence of DataFrame
        watermark : int
            Milliseconds since 1970: no row of this time or an earlier one comes any more.

        Returns
        -------
        scored : DataFrame or None
            None: no row has its turn.
        state : bytes
        wake : int or None
            The watermark at which the next row has its turn; None: no row waits, or an earlier
            call has returned it.

        Raises
        ------
        ValueError
            If the state is damaged, or of another model, of other options, of rows with other
            columns or of another version.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        saved, waiting, known = self._unpacked(key, state)
        rows = pa.concat_tables([waiting, *map(self._table, frames)])
        times = rows.column(self._time).cast(pa.int64())
        due = pc.less_equal(times, 1000 * watermark)
        ready, waiting = rows.filter(due), rows.filter(pc.invert(due))
        scored = None
        if len(ready):
            ready = ready.take(self._order(ready))
            done, saved = self._scorer.go_on(ready, saved, sort=True)
            scored = done.to_pandas()
        wake = None
        if len(waiting):
            wake = -(-pc.min(waiting.column(self._time).cast(pa.int64())).as_py() // 1000)
        return scored, self._packed(saved, waiting, wake), None if wake == known else wake

    def _table(self, frame: pd.DataFrame) -> Any:
        """Return a frame's rows, with the time that they had before they were in a time zone."""
        import pyarrow as pa

        times = pa.array(frame[self._micros].to_numpy(np.int64), pa.int64())
        at = self._schema.field(self._place)
        columns = [
            times.cast(at.type)
            if field.name == self._time
            else pa.Array.from_pandas(frame[field.name], type=field.type)
            for field in self._schema
        ]
        return pa.table(columns, schema=self._schema)

    def _order(self, rows: Any) -> Any:
        """Return the order of time, and of the values where rows have one time."""
        import pyarrow.compute as pc

        names = [self._time, *(name for name in self._schema.names if name != self._time)]
        return pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in names])

    def _packed(self, saved: Saved | None, waiting: Any, wake: int | None) -> bytes:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as writer:
            writer.write_table(waiting)
        engine = None if saved is None else saved.text
        text = {"format": FORMAT, "identity": self._identity, "wake": wake, "engine": engine}
        parts = {} if saved is None else dict(saved.parts)
        return pack_state(text, {**parts, _WAITING: sink.getvalue().to_pybytes()})

    def _unpacked(self, key: Any, state: bytes | None) -> tuple[Saved | None, Any, int | None]:
        """Return what scores depend on, the rows that wait, and when the first has its turn."""
        import pyarrow as pa

        if state is None:
            return None, self._schema.empty_table(), None
        source = f"the state of key {key!r}"
        text, parts = unpack_state(state, source=source)
        if text.get("format") != FORMAT:
            raise ValueError(
                f"{source}: another version of slidecell wrote it (format {text.get('format')!r}, "
                f"expected {FORMAT}): begin a new checkpoint"
            )
        if text.get("identity") != self._identity:
            raise ValueError(
                f"{source}: it is of another model, or of other options: go on with those that the "
                "checkpoint was begun with, or begin a new checkpoint"
            )
        waiting = pa.ipc.open_stream(parts.pop(_WAITING)).read_all()
        if waiting.schema != self._schema:
            raise ValueError(
                f"{source}: it is of rows with other columns: expected {_columns(self._schema)} as "
                f"the rows now, got {_columns(waiting.schema)}: begin a new checkpoint"
            )
        engine = text.get("engine")
        return None if engine is None else Saved(engine, parts), waiting, text.get("wake")


def _columns(schema: Any) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)
