"""Scores, predictions and codes of all windows of a series, chunk by chunk, on one device."""

from __future__ import annotations

import numpy as np

from slidecell.cuda.chunks import Vectors
from slidecell.cuda.engine import Engine, ScoreOptions
from slidecell.cuda.pipeline import CHUNK_BYTES, MakeSource, MakeTarget, Rows, most_of
from slidecell.cuda.reduction import average_rows, score_distances
from slidecell.cuda.structs import Struct


def score(
    engine: Engine,
    vectors: Vectors,
    source: MakeSource,
    target: MakeTarget,
    *,
    options: ScoreOptions,
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    """Write scores [S] or [S, T] to the rows of ``target``, which is full of NaN before."""
    if options.aggregate == "mean":
        average_rows(engine, vectors, source, target, options=options, chunk_bytes=chunk_bytes)
    elif options.reduction == "mahalanobis":
        score_distances(engine, vectors, source, target, options=options, chunk_bytes=chunk_bytes)
    else:
        _score_in_one_pass(
            engine, vectors, source, target, options=options, chunk_bytes=chunk_bytes
        )


def _score_in_one_pass(
    engine: Engine,
    vectors: Vectors,
    source: MakeSource,
    target: MakeTarget,
    *,
    options: ScoreOptions,
    chunk_bytes: int,
) -> None:
    head = engine.head
    assert head is not None
    plan = engine.plan(vectors.window, vectors.stride, options.precision)
    chunks, most_rows = engine.chunks(vectors, 4, chunk_bytes)
    rows = Rows(engine.runtime, source(most_rows), most_rows, engine.scaler())
    results, windows = target(most_rows), engine.windows(engine.runtime, vectors)
    first_row = vectors.window - 1 if options.aggregate == "last" else 0
    counted = (vectors.horizon or vectors.window) - first_row
    divisor = counted if options.per_feature else counted * len(head.targets)
    sink = engine.sink(
        "feature_score" if options.per_feature else "score",
        absolute=options.reduction == "mae",
        first_row=first_row,
        factor=np.float32(1.0 / divisor),
    )
    values = len(head.targets) if options.per_feature else 1
    before = vectors.window + vectors.horizon - 1  # rows of a chunk before its first score
    for chunk in chunks:
        series = rows.load(chunk)
        out = results.open((chunk.first_row + before, chunk.last_row))
        sink["out"] = np.uint64(out) - np.uint64(before * values * 4)
        sink["first_window"] = chunk.first_window
        engine.launch(plan, series, windows(chunk), sink)
        results.close()
    results.finish()


def predict(
    engine: Engine,
    vectors: Vectors,
    source: MakeSource,
    target: MakeTarget,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    """Write predictions [N, K or W, T] in raw units to ``target``."""
    head = engine.head
    assert head is not None
    targets = list(head.targets)
    sink = engine.sink("predict")
    if head.center is not None and head.scale is not None:
        sink["center"] = engine.address("target_center", head.center[targets])
        sink["scale"] = engine.address("target_scale", head.scale[targets])
    item = (vectors.horizon or vectors.window) * len(targets) * 4
    _per_window(
        engine, vectors, source, target, sink=sink, item_bytes=item, chunk_bytes=chunk_bytes
    )


def encode(
    engine: Engine,
    vectors: Vectors,
    source: MakeSource,
    target: MakeTarget,
    *,
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    """Write codes [N, H] to ``target``."""
    item = engine.network.encoder[-1].hidden_size * 4
    _per_window(
        engine,
        vectors,
        source,
        target,
        sink=engine.sink("encode"),
        item_bytes=item,
        chunk_bytes=chunk_bytes,
    )


def _per_window(
    engine: Engine,
    vectors: Vectors,
    source: MakeSource,
    target: MakeTarget,
    *,
    sink: Struct,
    item_bytes: int,
    chunk_bytes: int,
) -> None:
    plan = engine.plan(vectors.window, vectors.stride, "highest")
    chunks, most_rows = engine.chunks(vectors, item_bytes, chunk_bytes)
    rows = Rows(engine.runtime, source(most_rows), most_rows, engine.scaler())
    results = target(most_of(chunks, lambda chunk: chunk.windows))
    windows = engine.windows(engine.runtime, vectors)
    for chunk in chunks:
        series = rows.load(chunk)
        sink["out"] = results.open((chunk.first_window, chunk.last_window))
        sink["first_window"] = chunk.first_window
        engine.launch(plan, series, windows(chunk), sink)
        results.close()
    results.finish()
