"""What `CupyRuntime` makes of CuPy's versions and errors, with a stand-in for CuPy."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from slidecell.cuda.cupy_runtime import CupyRuntime, caller_stream
from slidecell.cuda.device import DEVICES


class OutOfMemoryError(MemoryError):
    """CuPy's."""


class CUDARuntimeError(RuntimeError):
    """CuPy's."""


class Stream:
    """CuPy's; since version 14 it is made of any object with ``__cuda_stream__``."""

    entered: list[int] = []  # noqa: RUF012 (emptied by each test)

    def __init__(self, ptr: int) -> None:
        self.ptr = ptr

    def __enter__(self) -> Stream:
        self.entered.append(self.ptr)
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Device:
    id = 3

    def __init__(self, _index: int | None) -> None:
        pass

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def failing(error: Exception) -> Any:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As of version 14, on a device that has no memory left."""
    out = OutOfMemoryError("Out of memory allocating 512 bytes")
    made = SimpleNamespace(
        empty=failing(out),
        cuda=SimpleNamespace(
            Device=Device,
            Stream=type("Stream14", (Stream,), {}),
            alloc=failing(out),
            alloc_pinned_memory=failing(CUDARuntimeError("cudaErrorMemoryAllocation")),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            runtime=SimpleNamespace(CUDARuntimeError=CUDARuntimeError),
        ),
    )
    made.cuda.Stream.from_external = lambda foreign: Stream(foreign.__cuda_stream__()[1])
    made.cuda.ExternalStream = failing(DeprecationWarning("ExternalStream is deprecated"))
    monkeypatch.setitem(sys.modules, "cupy", made)  # type: ignore[arg-type]
    monkeypatch.setattr("slidecell.cuda.cupy_runtime._device", lambda _index: DEVICES["sm_90"])
    return made


@pytest.mark.usefixtures("cupy")
def test_cuda_cupy_errors_of_memory_are_memory_errors() -> None:
    runtime = CupyRuntime(0)
    with pytest.raises(MemoryError, match=r"512 bytes of memory on H200 .* smaller chunk_bytes"):
        runtime.memory(512)
    with pytest.raises(MemoryError, match=r"too little memory on H200 for a result \[3, 4\]"):
        runtime.array((3, 4), "cupy")
    with pytest.raises(MemoryError, match="512 bytes of pinned host memory"):
        runtime.pinned(512)


@pytest.mark.parametrize("version", [13, 14])
def test_cuda_cupy_works_in_the_stream_of_torch(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """Version 14 warns of the only way that version 13 has."""
    if version == 13:
        del cupy.cuda.Stream.from_external
        cupy.cuda.ExternalStream = Stream
    torch = SimpleNamespace(
        cuda=SimpleNamespace(current_stream=lambda device: SimpleNamespace(cuda_stream=70 + device))
    )
    monkeypatch.setitem(sys.modules, "torch", torch)  # type: ignore[arg-type]
    Stream.entered.clear()
    with caller_stream("torch", 3) as runtime:
        assert Stream.entered == [73]
    assert runtime.index == 3
