"""Scores in two passes: predictions of a chunk to device memory, then their errors reduced.

For the Mahalanobis distance, which needs all errors of a window together, and for rows' own errors
averaged over all windows that cover them. Memory: a chunk's predictions, and for averages one
float64 and one int32 per row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from slidecell.cuda import structs
from slidecell.cuda.chunks import Chunk, Vectors
from slidecell.cuda.engine import Engine, ScoreOptions
from slidecell.cuda.pipeline import MakeSource, MakeTarget, Rows, Source, most_of
from slidecell.cuda.runtime import Entry
from slidecell.cuda.structs import Struct, struct

_THREADS = 128


def _grid(engine: Engine, items: int) -> int:
    most = 16 * engine.runtime.device.multiprocessors
    return max(1, min(most, -(-items // _THREADS)))


def _launch(engine: Engine, name: str, items: int, args: Struct) -> None:
    engine.start(Entry(name, "ReduceArgs", threads=_THREADS), _grid(engine, items), args)


class _Predictions:
    """Predictions of one chunk after the other, in scaled units, and which windows are complete."""

    def __init__(
        self,
        engine: Engine,
        vectors: Vectors,
        make_source: MakeSource,
        options: ScoreOptions,
        chunk_bytes: int,
    ) -> None:
        head = engine.head
        assert head is not None
        self._engine, self._head, self._vectors = engine, head, vectors
        steps = vectors.horizon or vectors.window
        item = steps * len(head.targets) * 4
        self._plan = engine.plan(vectors.window, vectors.stride, options.precision)
        self.chunks, self.most_rows = engine.chunks(vectors, item, chunk_bytes)
        source: Source = make_source(self.most_rows)
        self._rows = Rows(engine.runtime, source, self.most_rows, engine.scaler())
        most = max(1, most_of(self.chunks, lambda chunk: chunk.windows))
        self._values = engine.runtime.memory(most * item)
        self._complete = engine.runtime.memory(most)
        self._windows = engine.windows(engine.runtime, vectors)

    def load(self, chunk: Chunk, **values: Any) -> Struct:
        """Predict a chunk; returns struct `REDUCE`."""
        engine, head = self._engine, self._head
        series, windows = self._rows.load(chunk), self._windows(chunk)
        sink = engine.sink(
            "predict",
            out=self._values.ptr,
            complete=self._complete.ptr,
            first_window=chunk.first_window,
        )
        engine.launch(self._plan, series, windows, sink)
        return struct(
            structs.REDUCE,
            series=series,
            windows=windows,
            predictions=self._values.ptr,
            complete=self._complete.ptr,
            first_window=chunk.first_window,
            targets=len(head.targets),
            target=engine.address("targets", np.asarray(head.targets, np.int32)),
            **values,
        )


def _statistics(engine: Engine, options: ScoreOptions) -> dict[str, int]:
    head = engine.head
    assert head is not None
    if options.reduction != "mahalanobis" or head.whiten is None:
        return {}
    return {
        "whiten": engine.address("whiten", head.whiten),
        "shift": engine.address("shift", head.shift),
        "size": len(head.whiten),
    }


def score_distances(
    engine: Engine,
    vectors: Vectors,
    source: MakeSource,
    target: MakeTarget,
    *,
    options: ScoreOptions,
    chunk_bytes: int,
) -> None:
    """Score every window by its errors' Mahalanobis distance."""
    predictions = _Predictions(engine, vectors, source, options, chunk_bytes)
    results = target(predictions.most_rows)
    first_row = vectors.window - 1 if options.aggregate == "last" else 0
    divisor = 1.0 if vectors.horizon else float(vectors.window - first_row)
    before = vectors.window + vectors.horizon - 1
    for chunk in predictions.chunks:
        args = predictions.load(
            chunk,
            first_row=first_row,
            factor=np.float32(1.0 / divisor),
            **_statistics(engine, options),
        )
        out = results.open((chunk.first_row + before, chunk.last_row))
        args["out"] = np.uint64(out) - np.uint64(before * 4)
        _launch(engine, "score_distances", chunk.windows, args)
        results.close()
    results.finish()


def average_rows(
    engine: Engine,
    vectors: Vectors,
    source: MakeSource,
    target: MakeTarget,
    *,
    options: ScoreOptions,
    chunk_bytes: int,
) -> None:
    """Average every row's own errors over all windows that cover it."""
    head = engine.head
    assert head is not None
    runtime, rows = engine.runtime, int(vectors.offsets[-1])
    values = len(head.targets) if options.per_feature else 1
    sums, counts = runtime.memory(max(8, rows * values * 8)), runtime.memory(max(4, rows * 4))
    for memory in (sums, counts):
        runtime.fill(memory.ptr, memory.nbytes, 0, runtime.main)
    predictions = _Predictions(engine, vectors, source, options, chunk_bytes)
    # One value per row is a mean over the features; a distance is what it is.
    single = options.per_feature or options.reduction == "mahalanobis"
    common: dict[str, Any] = {
        "absolute": options.reduction == "mae",
        "per_feature": options.per_feature,
        "sums": sums.ptr,
        "counts": counts.ptr,
        "divisor": 1.0 if single else float(len(head.targets)),
        "rows": rows,
        **_statistics(engine, options),
    }
    for chunk in predictions.chunks:
        args = predictions.load(chunk, **common)
        _launch(engine, "add_row_errors", chunk.rows * values, args)
    results = target(rows)
    out = results.open((0, rows))
    last = struct(structs.REDUCE, targets=len(head.targets), out=out, **common)
    if rows > 0:
        _launch(engine, "average_rows", rows * values, last)
    results.close()
    results.finish()
