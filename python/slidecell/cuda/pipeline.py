"""A series through the device, chunk by chunk: copies in, kernels and copies out overlap.

Each direction has two buffers. The host waits only before it rewrites or reads one of them, so a
series may be larger than the device's memory; with device arrays it waits for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell.cuda import structs
from slidecell.cuda.chunks import Chunk, Vectors
from slidecell.cuda.runtime import Entry, Memory, Runtime
from slidecell.cuda.structs import Struct, struct

CHUNK_BYTES = 64 * 2**20  # of float32 rows, and of results

_ROWS_ENTRY = Entry("copy_rows", "RowsArgs", threads=256)


class Source(Protocol):
    """Where raw rows come from."""

    features: int
    dtype: np.dtype[Any]

    def open(self, chunk: Chunk) -> int:
        """Address of the chunk's rows, in order with the main stream."""

    def close(self) -> None:
        """Let the rows go after all that was started in the main stream."""

    def settle(self) -> None:
        """Wait until no copy of its is under way."""


class DeviceSource:
    """Rows that lie on the device."""

    def __init__(self, ptr: int, features: int, dtype: np.dtype[Any]) -> None:
        self.features, self.dtype = features, dtype
        self._ptr = ptr

    def open(self, chunk: Chunk) -> int:
        """Address of the chunk's rows."""
        return self._ptr + chunk.first_row * self.features * self.dtype.itemsize

    def close(self) -> None:
        """Nothing is to be done."""

    def settle(self) -> None:
        """Nothing is to be waited for."""


class HostSource:
    """Rows of a numpy array [S, F] of any layout, staged through pinned memory."""

    def __init__(self, runtime: Runtime, series: npt.NDArray[Any], most_rows: int) -> None:
        self.features, self.dtype = series.shape[1], series.dtype
        self._runtime, self._series = runtime, series
        self._stream = runtime.new_stream()
        nbytes = max(1, most_rows * self.features * self.dtype.itemsize)
        self._pinned = [runtime.pinned(nbytes) for _ in range(2)]
        self._raw = [runtime.memory(nbytes) for _ in range(2)]
        # The raw buffers may have been freed by work that the main stream has yet to do.
        self._freed: list[Any] = [runtime.record(runtime.main)] * 2
        self._copied: list[Any] = [None, None]
        self._turn = 0

    def open(self, chunk: Chunk) -> int:
        """Start the copy of the chunk's rows; the main stream waits for it."""
        runtime, turn = self._runtime, self._turn
        if self._copied[turn] is not None:
            runtime.synchronize(self._copied[turn])
        nbytes = chunk.rows * self.features * self.dtype.itemsize
        staged = self._pinned[turn][:nbytes]
        rows = staged.view(self.dtype).reshape(chunk.rows, self.features)
        np.copyto(rows, self._series[chunk.first_row : chunk.last_row])
        runtime.wait(self._stream, self._freed[turn])
        runtime.copy_in(self._raw[turn].ptr, staged, self._stream)
        self._copied[turn] = runtime.record(self._stream)
        runtime.wait(runtime.main, self._copied[turn])
        return self._raw[turn].ptr

    def close(self) -> None:
        """Let the buffer be overwritten once the main stream has come here."""
        self._freed[self._turn] = self._runtime.record(self._runtime.main)
        self._turn = 1 - self._turn

    def settle(self) -> None:
        """Wait for all copies."""
        self._runtime.synchronize(self._runtime.record(self._stream))


class Target(Protocol):
    """Where results go: ``region`` first .. last of items of a result."""

    def open(self, region: tuple[int, int]) -> int:
        """Address that item ``first`` of the region is written to."""

    def close(self) -> None:
        """Take the region after all that was started in the main stream."""

    def finish(self) -> None:
        """Wait until all started work has ended."""

    def settle(self) -> None:
        """Wait until no copy of its is under way."""


class DeviceTarget:
    """Results that stay on the device."""

    def __init__(self, ptr: int, item_bytes: int) -> None:
        self._ptr, self._item_bytes = ptr, item_bytes

    def open(self, region: tuple[int, int]) -> int:
        """Address of the region."""
        return self._ptr + region[0] * self._item_bytes

    def close(self) -> None:
        """Nothing is to be done."""

    def finish(self) -> None:
        """Nothing is to be waited for."""

    def settle(self) -> None:
        """Nothing is to be waited for."""


class HostTarget:
    """Results that are copied to a numpy array [items, ...], region by region."""

    def __init__(self, runtime: Runtime, result: npt.NDArray[Any], most_items: int) -> None:
        self._runtime, self._result = runtime, result
        self._item_bytes = result[:1].nbytes if len(result) else 4
        self._stream = runtime.new_stream()
        nbytes = max(1, most_items * self._item_bytes)
        self._pinned = [runtime.pinned(nbytes) for _ in range(2)]
        self._memory = [runtime.memory(nbytes) for _ in range(2)]
        self._pending: list[tuple[Any, tuple[int, int]] | None] = [None, None]
        self._region = (0, 0)
        self._turn = 0

    def open(self, region: tuple[int, int]) -> int:
        """Address of a buffer full of NaN."""
        self._collect(self._turn)
        self._region = region
        memory, nbytes = self._memory[self._turn], (region[1] - region[0]) * self._item_bytes
        self._runtime.fill(memory.ptr, nbytes, 0xFF, self._runtime.main)
        return memory.ptr

    def close(self) -> None:
        """Start the copy to the host."""
        runtime, turn, region = self._runtime, self._turn, self._region
        runtime.wait(self._stream, runtime.record(runtime.main))
        nbytes = (region[1] - region[0]) * self._item_bytes
        runtime.copy_out(self._pinned[turn][:nbytes], self._memory[turn].ptr, self._stream)
        self._pending[turn] = (runtime.record(self._stream), region)
        self._turn = 1 - turn

    def finish(self) -> None:
        """Wait for the copies, the older one first."""
        self._collect(self._turn)
        self._collect(1 - self._turn)

    def settle(self) -> None:
        """Wait for all copies, and leave what they brought."""
        self._runtime.synchronize(self._runtime.record(self._stream))

    def _collect(self, turn: int) -> None:
        pending = self._pending[turn]
        if pending is None:
            return
        event, (first, last) = pending
        self._runtime.synchronize(event)
        part = self._result[first:last]
        part[...] = self._pinned[turn][: part.nbytes].view(part.dtype).reshape(part.shape)
        self._pending[turn] = None


@contextmanager
def settled(made: list[Source | Target]) -> Iterator[None]:
    """Wait, when the block ends in whatever way, until no copy of these is under way.

    Pinned memory that is free belongs to the next call at once, whatever still reads or writes it.
    """
    try:
        yield
    except BaseException:
        for each in made:
            with suppress(Exception):  # a device that has failed copies no more
                each.settle()
        raise
    for each in made:
        each.settle()


class Rows:
    """Chunks of a series as the kernels read them: float32, scaled, bad rows marked."""

    def __init__(
        self,
        runtime: Runtime,
        source: Source,
        most_rows: int,
        scaler: tuple[Memory | None, Memory | None] = (None, None),
        *,
        marks: bool = True,
    ) -> None:
        self._runtime, self._source = runtime, source
        self._center, self._scale = scaler
        self._x = runtime.memory(max(4, most_rows * source.features * 4))
        self._bad = runtime.memory(max(1, most_rows)) if marks else None
        kind = source.dtype.kind + str(source.dtype.itemsize)
        self._dtype = structs.DTYPES.index(kind)

    def load(self, chunk: Chunk) -> Struct:
        """Start the cast of a chunk; return the kernels' argument that describes it (`SERIES`)."""
        features = self._source.features
        bad = 0 if self._bad is None else self._bad.ptr
        cast = struct(
            structs.ROWS,
            data=self._source.open(chunk),
            dtype=self._dtype,
            features=features,
            rows=chunk.rows,
            center=0 if self._center is None else self._center.ptr,
            scale=0 if self._scale is None else self._scale.ptr,
            x=self._x.ptr,
            bad=bad,
        )
        blocks = min(16 * self._runtime.device.multiprocessors, -(-chunk.rows // 256))
        self._runtime.launch(_ROWS_ENTRY, max(1, blocks), cast)
        self._source.close()
        return struct(
            structs.SERIES,
            x=self._x.ptr,
            bad=bad,
            first_row=chunk.first_row,
            rows=chunk.rows,
            features=features,
        )


# What makes the places of a series and of results, given the most rows and windows of a chunk.
MakeSource: TypeAlias = Callable[[int], Source]
MakeTarget: TypeAlias = Callable[[int], Target]


def chunk_limits(
    vectors: Vectors, features: int, window_bytes: int, chunk_bytes: int
) -> tuple[int, int]:
    """Rows and windows of a chunk whose rows and whose results take about ``chunk_bytes`` each."""
    rows = max(1, chunk_bytes // max(4, features * 4))
    windows = max(structs.VECTOR, chunk_bytes // max(4, window_bytes))
    return rows, windows


def most_of(chunks: list[Chunk], what: Callable[[Chunk], int]) -> int:
    """Largest of a number over the chunks, 0 of none."""
    return max((what(chunk) for chunk in chunks), default=0)
