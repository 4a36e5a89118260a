"""What `CupyRuntime` makes of CuPy's versions and errors, with a stand-in for CuPy."""

from __future__ import annotations

import ctypes
import gc
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from slidecell.cuda import cupy_runtime
from slidecell.cuda.cupy_runtime import CupyRuntime, caller_stream
from slidecell.cuda.device import DEVICES
from slidecell.cuda.runtime import Entry
from slidecell.cuda.source import kernel_source


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


class Event:
    done = False


class Copies:
    """A device with memory: what `memcpyAsync` was given, and the events of copies."""

    def __init__(self, cupy: Any) -> None:
        self.sources: list[int] = []
        self.events: list[Event] = []
        self.pinned: list[weakref.ref[Any]] = []
        stream = SimpleNamespace(ptr=7, record=self.record)
        cupy.cuda.alloc = lambda nbytes: SimpleNamespace(ptr=nbytes)
        cupy.cuda.alloc_pinned_memory = self.alloc_pinned
        cupy.cuda.get_current_stream = lambda: stream
        cupy.cuda.runtime.memcpyAsync = self.copy

    def alloc_pinned(self, nbytes: int) -> Any:
        memory = (ctypes.c_uint8 * nbytes)()
        self.pinned.append(weakref.ref(memory))
        return memory

    def record(self) -> Event:
        self.events.append(Event())
        return self.events[-1]

    def copy(self, _to: int, from_: int, nbytes: int, kind: int, stream: int) -> None:
        assert (nbytes, kind, stream) == (16, 1, 7)
        self.sources.append(from_)


def test_cuda_cupy_uploads_from_pinned_memory_that_lives_until_the_copy_is_done(cupy: Any) -> None:
    copies, runtime = Copies(cupy), CupyRuntime(0)
    values = np.arange(4, dtype=np.int32)
    runtime.upload(values)
    values[:] = -1  # as the caller may
    gc.collect()
    staged = copies.pinned[0]()
    assert staged is not None
    assert copies.sources == [ctypes.addressof(staged)]
    assert np.frombuffer(staged, np.int32).tolist() == [0, 1, 2, 3]
    del staged
    copies.events[0].done = True
    runtime.upload(values)
    gc.collect()
    assert [memory() is not None for memory in copies.pinned] == [False, True]
    assert runtime.done(copies.events[0])
    assert not runtime.done(copies.events[1])
    copies.events[1].done = True


@pytest.mark.parametrize(
    ("shared_bytes", "blocks", "largest", "carveout"),
    [
        (0, 1, None, None),
        (20_000, 2, None, 19),
        (100_000, 2, 100_000, 87),
        (232_448, 1, 232_448, 100),
    ],
)
def test_cuda_cupy_kernels_ask_for_the_shared_memory_of_all_blocks(
    cupy: Any, shared_bytes: int, blocks: int, largest: int | None, carveout: int | None
) -> None:
    kernel = SimpleNamespace(
        max_dynamic_shared_size_bytes=None, preferred_shared_memory_carveout=None
    )
    cupy.RawModule = lambda code, options: SimpleNamespace(get_function=lambda name: kernel)
    entry = Entry("copy_rows", "RowsArgs", 256, blocks=blocks, shared_bytes=shared_bytes)
    assert cupy_runtime._kernel.__wrapped__(entry, 0) is kernel
    assert kernel.max_dynamic_shared_size_bytes == largest
    assert kernel.preferred_shared_memory_carveout == carveout


@pytest.fixture
def nvrtc(cupy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """CuPy's compiler: what it was given, and programs that are not destroyed."""
    made = SimpleNamespace(
        programs={}, options=[], getVersion=lambda: (13, 0), NVRTCError=type("E", (Exception,), {})
    )

    def create(code: str, _name: str, _headers: Any, _included: Any) -> int:
        made.programs[1] = code
        return 1

    made.createProgram = create
    made.destroyProgram = made.programs.pop
    made.compileProgram = lambda _program, options: made.options.append(options)
    made.getCUBIN = lambda program: made.programs[program][-9:].encode()
    made.getProgramLog = lambda _program: "line 7: no such instruction"
    monkeypatch.setitem(sys.modules, "cupy.cuda", SimpleNamespace(nvrtc=made))  # type: ignore[arg-type]
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path / "cache"))
    return made


def test_cuda_cupy_kernels_of_one_architecture_are_compiled_once_for_it(
    cupy: Any, nvrtc: Any, tmp_path: Path
) -> None:
    loaded: list[Path] = []

    def module(*, path: str) -> Any:
        loaded.append(Path(path))
        return SimpleNamespace(get_function=lambda _name: SimpleNamespace())

    cupy.RawModule = module
    entry = Entry("run_wgmma", "MmaArgs", 256, shared_bytes=50_000)
    for _ in range(2):  # the next process finds it in the cache
        kernel = cupy_runtime._kernel.__wrapped__(entry, 0)
        assert kernel.max_dynamic_shared_size_bytes == 50_000
    assert nvrtc.options == [("-std=c++17", "--fmad=false", "-ftz=true", "-arch=sm_90a")]
    assert nvrtc.programs == {}
    assert loaded[0] == loaded[1]
    assert loaded[0].read_bytes() == (kernel_source() + entry.text())[-9:].encode()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [loaded[0].name]
    nvrtc.getVersion = lambda: (13, 1)  # another compiler
    cupy_runtime._kernel.__wrapped__(entry, 0)
    assert len(nvrtc.options) == 2
    assert loaded[2] != loaded[0]


def test_cuda_cupy_a_failed_compilation_tells_what_the_compiler_said(
    cupy: Any, nvrtc: Any, tmp_path: Path
) -> None:
    cupy.RawModule = None
    nvrtc.compileProgram = failing(nvrtc.NVRTCError("NVRTC_ERROR_COMPILATION (6)"))
    with pytest.raises(RuntimeError, match=r"sm_90a: NVRTC_ERROR.*\nline 7: no such"):
        cupy_runtime._kernel.__wrapped__(Entry("run_wgmma", "MmaArgs", 256), 0)
    assert nvrtc.programs == {}
    assert list((tmp_path / "cache").iterdir()) == []


def test_cuda_cupy_results_come_from_the_pool_of_their_library(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cupy.empty = lambda shape, dtype: ("cupy", shape, dtype)
    torch = SimpleNamespace(
        float32="float32",
        cuda=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        empty=lambda shape, dtype, device: ("torch", shape, dtype, device),
    )
    numba = SimpleNamespace(as_cuda_array=lambda array, sync: ("numba", array, sync))
    monkeypatch.setitem(sys.modules, "torch", torch)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "numba.cuda", numba)  # type: ignore[arg-type]
    runtime = CupyRuntime(3)
    assert runtime.array((3, 4), "torch") == ("torch", (3, 4), "float32", "cuda:3")
    of_cupy = ("cupy", (3, 4), np.float32)
    assert runtime.array((3, 4), "cupy") == of_cupy
    assert runtime.array((3, 4), "numba") == ("numba", of_cupy, False)  # the host does not wait
    torch.empty = lambda *_, **__: failing(OutOfMemoryError("CUDA out of memory"))()
    with pytest.raises(MemoryError, match=r"too little memory on H200 for a result \[3, 4\]"):
        runtime.array((3, 4), "torch")


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
