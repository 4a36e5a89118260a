"""Scores, predictions, codes and windows of a whole series that lies on the host or the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.cuda import scoring, structs
from slidecell.cuda.arrays import (
    DeviceArray,
    device_array,
    device_output,
    host_array,
    host_output,
    is_device_array,
)
from slidecell.cuda.chunks import vectors_of
from slidecell.cuda.engine import Engine, ScoreOptions, elementwise
from slidecell.cuda.pipeline import (
    CHUNK_BYTES,
    DeviceSource,
    DeviceTarget,
    HostSource,
    HostTarget,
    Rows,
    Source,
    Target,
    chunk_limits,
    most_of,
    settled,
)
from slidecell.cuda.runtime import Runtime
from slidecell.cuda.structs import struct


class Places:
    """Where a call's rows come from and its results go: both on the host, or both on the device.

    ``made`` has the sources and targets that copy, for `settled`.
    """

    def __init__(self, runtime: Runtime, series: Any, shape: list[int | str]) -> None:
        self._runtime = runtime
        self.made: list[Source | Target] = []
        self.on_device = is_device_array(series)
        self.rows: DeviceArray | npt.NDArray[Any]
        if self.on_device:
            self.rows = device_array(series, "series", shape)
            runtime.adopt(self.rows)
        else:
            self.rows = host_array(series, "series", shape)

    def source(self, most_rows: int) -> Source:
        """Rows by chunks."""
        if isinstance(self.rows, DeviceArray):
            return DeviceSource(self.rows.ptr, self.rows.shape[1], self.rows.dtype)
        made = HostSource(self._runtime, self.rows, most_rows)
        self.made.append(made)
        return made

    def result(
        self, shape: tuple[int, ...], out: Any = None
    ) -> tuple[Any, Callable[[int], Target], Callable[[], Any]]:
        """Make a result full of NaN: the array, its target, and what gives it to the caller."""
        runtime = self._runtime
        if isinstance(self.rows, DeviceArray):
            library = self.rows.library
            array = runtime.array(shape, library) if out is None else out
            placed = device_output(array, shape, self.rows)
            runtime.adopt(placed)
            runtime.fill(placed.ptr, placed.nbytes, 0xFF, runtime.main)
            item = int(np.prod(shape[1:])) * 4
            return array, lambda _: DeviceTarget(placed.ptr, item), lambda: array
        host = np.empty(shape, np.float32) if out is None else host_output(out, shape, self.rows)
        host.fill(np.nan)

        def target(most: int) -> Target:
            made = HostTarget(runtime, host, most)
            self.made.append(made)
            return made

        return host, target, lambda: host


def _shape(engine: Engine) -> list[int | str]:
    return ["S", engine.network.input_size]


def score(
    engine: Engine,
    series: Any,
    offsets: npt.ArrayLike | None,
    window: tuple[int, int, int],
    *,
    options: ScoreOptions,
    out: Any = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Any:
    """Scores [S] or [S, T]; window: W, K and the stride."""
    head = engine.head
    assert head is not None
    places = Places(engine.runtime, series, _shape(engine))
    with settled(places.made):
        rows = places.rows.shape[0]
        vectors = vectors_of(rows, offsets, window)
        shape = (rows, len(head.targets)) if options.per_feature else (rows,)
        _, target, give = places.result(shape, out)
        scoring.score(
            engine, vectors, places.source, target, options=options, chunk_bytes=chunk_bytes
        )
        return give()


def predict(
    engine: Engine,
    series: Any,
    offsets: npt.ArrayLike | None,
    window: tuple[int, int],
    chunk_bytes: int = CHUNK_BYTES,
) -> Any:
    """Predictions [N, K or W, T]."""
    head = engine.head
    assert head is not None
    places = Places(engine.runtime, series, _shape(engine))
    with settled(places.made):
        vectors = vectors_of(places.rows.shape[0], offsets, (*window, 1))
        shape = (vectors.windows, vectors.horizon or vectors.window, len(head.targets))
        _, target, give = places.result(shape)
        scoring.predict(engine, vectors, places.source, target, chunk_bytes=chunk_bytes)
        return give()


def encode(
    engine: Engine,
    series: Any,
    offsets: npt.ArrayLike | None,
    window: tuple[int, int],
    chunk_bytes: int = CHUNK_BYTES,
) -> Any:
    """Codes [N, H]."""
    places = Places(engine.runtime, series, _shape(engine))
    with settled(places.made):
        vectors = vectors_of(places.rows.shape[0], offsets, (*window, 1))
        _, target, give = places.result((vectors.windows, engine.network.encoder[-1].hidden_size))
        scoring.encode(engine, vectors, places.source, target, chunk_bytes=chunk_bytes)
        return give()


def gather(
    runtime: Runtime,
    series: Any,
    offsets: npt.ArrayLike | None,
    window: tuple[int, int, int],
    chunk_bytes: int = CHUNK_BYTES,
) -> Any:
    """Windows X [N, W, F], with a horizon the pair of it and y [N, K, F]."""
    places = Places(runtime, series, ["S", "F"])
    with settled(places.made):
        vectors = vectors_of(places.rows.shape[0], offsets, window)
        F, W, K = places.rows.shape[1], vectors.window, vectors.horizon
        if F == 0:
            raise ValueError("series: expected [S, F] with F >= 1")
        rows_limit, windows_limit = chunk_limits(vectors, F, (W + K) * F * 4, chunk_bytes)
        chunks = list(vectors.chunks(rows_limit, windows_limit))
        most_rows = most_of(chunks, lambda chunk: chunk.rows)
        most_windows = most_of(chunks, lambda chunk: chunk.windows)
        rows = Rows(runtime, places.source(most_rows), most_rows, marks=False)
        _, target, give_x = places.result((vectors.windows, W, F))
        x = target(most_windows)
        _, target, give_y = places.result((vectors.windows, K, F))
        y = target(most_windows)
        windows_of = Engine.windows(runtime, vectors)
        for chunk in chunks:
            loaded = rows.load(chunk)
            region = (chunk.first_window, chunk.last_window)
            args = struct(
                structs.GATHER,
                series=loaded,
                windows=windows_of(chunk),
                first_window=chunk.first_window,
                x=x.open(region),
                y=y.open(region) if K else 0,
            )
            warps = min(chunk.last - chunk.first, 64 * runtime.device.multiprocessors)
            runtime.launch(elementwise("gather_windows", "GatherArgs"), -(-warps // 8), args)
            x.close()
            if K:
                y.close()
        x.finish()
        y.finish()
        return (give_x(), give_y()) if K else give_x()
