"""A `Runtime` on CuPy: its memory pool, its compiler with the cache on disk, its streams.

Not run by the tests, which have no GPU: kept so thin that little can be wrong with it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.cuda.arrays import DeviceArray
from slidecell.cuda.device import RESERVED_BYTES, Device
from slidecell.cuda.runtime import Bytes, Entry, Memory
from slidecell.cuda.source import kernel_source
from slidecell.cuda.structs import Struct

# No contraction and no denormals, as platform.cuh says. CuPy adds -ftz=true and the architecture.
OPTIONS = ("-std=c++17", "--fmad=false")

_TO_DEVICE, _TO_HOST, _ON_DEVICE = 1, 2, 3  # cudaMemcpyKind


@functools.cache
def _device(index: int) -> Device:
    import cupy

    limits = cupy.cuda.runtime.getDeviceProperties(index)
    name = limits["name"]
    return Device(
        name=name.decode() if isinstance(name, bytes) else str(name),
        capability=limits["major"] * 10 + limits["minor"],
        multiprocessors=limits["multiProcessorCount"],
        shared_per_block=limits["sharedMemPerBlockOptin"],
        shared_per_multiprocessor=limits["sharedMemPerMultiprocessor"],
        registers=limits["regsPerBlock"],
        threads_per_multiprocessor=limits["maxThreadsPerMultiProcessor"],
    )


def _carveout(entry: Entry, device: Device) -> int:
    """Return the percentage of a multiprocessor's shared memory that the planned blocks take.

    What the driver chooses by itself may have room for fewer of them.
    """
    wanted = entry.blocks * (entry.shared_bytes + RESERVED_BYTES)
    return min(100, -(-100 * wanted // device.shared_per_multiprocessor))


def _compiled(code: str, architecture: str) -> bytes:
    """Compile for an architecture that CuPy does not know: its own are plain numbers."""
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(code, "slidecell.cu", (), ())
    try:
        try:
            nvrtc.compileProgram(program, (*OPTIONS, "-ftz=true", f"-arch={architecture}"))
        except nvrtc.NVRTCError as error:
            log = nvrtc.getProgramLog(program)
            raise RuntimeError(f"cuda: NVRTC for {architecture}: {error}\n{log}") from error
        return bytes(nvrtc.getCUBIN(program))
    finally:
        nvrtc.destroyProgram(program)


def _cubin(code: str, architecture: str) -> Path:
    """Return a file of CuPy's cache on disk, compiled if there is none yet."""
    from cupy.cuda import nvrtc

    folder = Path(os.environ.get("CUPY_CACHE_DIR", "~/.cupy/kernel_cache")).expanduser()
    about = repr((code, OPTIONS, architecture, nvrtc.getVersion()))
    path = folder / f"slidecell-{hashlib.sha256(about.encode()).hexdigest()}.cubin"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        cubin = _compiled(code, architecture)
        # Under another name first: other processes see it whole or not at all.
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(cubin)
        Path(file.name).replace(path)
    return path


@functools.cache
def _kernel(entry: Entry, index: int) -> Any:
    import cupy

    with cupy.cuda.Device(index):
        code = kernel_source() + entry.text()
        if entry.own_architecture is None:
            module = cupy.RawModule(code=code, options=OPTIONS)
        else:
            module = cupy.RawModule(path=str(_cubin(code, entry.own_architecture)))
        kernel = module.get_function(entry.name)
        if entry.shared_bytes > 48 * 1024:
            kernel.max_dynamic_shared_size_bytes = entry.shared_bytes
        if entry.shared_bytes:
            kernel.preferred_shared_memory_carveout = _carveout(entry, _device(index))
    return kernel


def _torch_array(shape: tuple[int, ...], index: int, too_little: str) -> Any:
    """Make an array in torch's current stream, which `caller_stream` works in too.

    Memory of CuPy's pool would be ordered by streams that torch knows nothing of.
    """
    import torch

    try:
        return torch.empty(shape, dtype=torch.float32, device=f"cuda:{index}")
    except torch.cuda.OutOfMemoryError as error:
        raise MemoryError(too_little) from error


@dataclass(frozen=True)
class _ForeignStream:
    """A stream of another library, in the form that CuPy 14 accepts."""

    ptr: int

    def __cuda_stream__(self) -> tuple[int, int]:
        return (0, self.ptr)


def _stream_at(ptr: int) -> Any:
    import cupy

    if hasattr(cupy.cuda.Stream, "from_external"):
        return cupy.cuda.Stream.from_external(_ForeignStream(ptr))
    return cupy.cuda.ExternalStream(ptr)


class _Staged:
    """Pinned memory that copies still read from: freed, another array would be written to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[tuple[Bytes, Any]] = []

    def keep(self, staged: Bytes, event: Any) -> None:
        """Keep memory until the event, and let go what has been copied."""
        with self._lock:
            self._held = [(memory, copied) for memory, copied in self._held if not copied.done]
            self._held.append((staged, event))


_STAGED = _Staged()


class CupyRuntime:
    """`slidecell.cuda.runtime.Runtime` on one of CuPy's devices."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.device = _device(index)

    @property
    def main(self) -> Any:
        """CuPy's current stream: the caller's, see `caller_stream`."""
        import cupy

        return cupy.cuda.get_current_stream()

    def memory(self, nbytes: int) -> Memory:
        """Allocate from CuPy's pool."""
        import cupy

        try:
            pointer = cupy.cuda.alloc(nbytes)
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise MemoryError(
                f"cuda: {nbytes} bytes of memory on {self.device.name} were wanted, but too few "
                f"are free; a smaller chunk_bytes needs less"
            ) from error
        return Memory(pointer.ptr, nbytes, pointer)

    def array(self, shape: tuple[int, ...], library: str) -> Any:
        """Make a float32 array of CuPy or torch, each from its own pool, or one of Numba's."""
        import cupy

        too_little = f"cuda: too little memory on {self.device.name} for a result {list(shape)}"
        if library == "torch":
            return _torch_array(shape, self.index, too_little)
        try:
            array = cupy.empty(shape, np.float32)
        except cupy.cuda.memory.OutOfMemoryError as error:
            raise MemoryError(too_little) from error
        if library == "numba":  # its array follows the stream: the host need not wait for it
            return importlib.import_module("numba.cuda").as_cuda_array(array, sync=False)
        return array

    def adopt(self, array: DeviceArray) -> None:
        """Check where an array lies, and wait (on the device) for the stream that makes it."""
        import cupy

        if array.ptr:
            index = cupy.cuda.runtime.pointerGetAttributes(array.ptr).device
            if index != self.index:
                raise ValueError(
                    f"{array.name}: expected an array on device {self.index}, got device {index}"
                )
        if array.stream is not None and array.stream != self.main.ptr:
            self.main.wait_event(_stream_at(array.stream).record())

    def copy_on_device(self, to: int, from_: int, nbytes: int) -> None:
        """Copy in the main stream."""
        self._copy(to, from_, nbytes, _ON_DEVICE, self.main)

    def upload(self, array: npt.NDArray[Any]) -> Memory:
        """Copy an array by way of pinned memory.

        From other memory a copy of more than 64 KB waits for all that the stream still has to do.
        """
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        memory = self.memory(max(1, flat.nbytes))
        if flat.nbytes:
            staged = self.pinned(flat.nbytes)
            staged[:] = flat
            self.copy_in(memory.ptr, staged, self.main)
            _STAGED.keep(staged, self.record(self.main))
        return memory

    def pinned(self, nbytes: int) -> Bytes:
        """Allocate from CuPy's pool of pinned memory."""
        import cupy

        try:
            pointer = cupy.cuda.alloc_pinned_memory(nbytes)
        except (cupy.cuda.memory.OutOfMemoryError, cupy.cuda.runtime.CUDARuntimeError) as error:
            raise MemoryError(
                f"cuda: {nbytes} bytes of pinned host memory were wanted, but too few are free; "
                f"a smaller chunk_bytes needs less ({error})"
            ) from error
        return np.frombuffer(pointer, np.uint8, nbytes)

    def new_stream(self) -> Any:
        """Make a stream that does not wait for the default one."""
        import cupy

        return cupy.cuda.Stream(non_blocking=True)

    def copy_in(self, ptr: int, host: Bytes, stream: Any) -> None:
        """Start a copy to the device."""
        self._copy(ptr, host.ctypes.data, host.nbytes, _TO_DEVICE, stream)

    def copy_out(self, host: Bytes, ptr: int, stream: Any) -> None:
        """Start a copy to the host."""
        self._copy(host.ctypes.data, ptr, host.nbytes, _TO_HOST, stream)

    def fill(self, ptr: int, nbytes: int, byte: int, stream: Any) -> None:
        """Set bytes."""
        import cupy

        if nbytes:
            cupy.cuda.runtime.memsetAsync(ptr, byte, nbytes, stream.ptr)

    def record(self, stream: Any) -> Any:
        """Event of what was started so far."""
        return stream.record()

    def wait(self, stream: Any, event: Any) -> None:
        """Let the stream wait."""
        stream.wait_event(event)

    def done(self, event: Any) -> bool:
        """Return whether an event has come."""
        return bool(event.done)

    def synchronize(self, event: Any) -> None:
        """Let the host wait."""
        event.synchronize()

    def launch(self, entry: Entry, grid: int, arguments: Struct) -> None:
        """Start a kernel; compiled on first use, and once for all on this machine."""
        _kernel(entry, self.index)(
            (grid,), (entry.threads,), (arguments,), shared_mem=entry.shared_bytes
        )

    @staticmethod
    def _copy(to: int, from_: int, nbytes: int, kind: int, stream: Any) -> None:
        import cupy

        if nbytes:
            cupy.cuda.runtime.memcpyAsync(to, from_, nbytes, kind, stream.ptr)


@contextmanager
def caller_stream(library: str, index: int | None) -> Iterator[CupyRuntime]:
    """Work on the device of the caller's arrays, in the stream that their library works in.

    Nothing is waited for: what the caller starts next in that stream comes after.
    """
    import cupy

    with cupy.cuda.Device(index) as device:
        if library == "torch":
            import torch

            with _stream_at(torch.cuda.current_stream(device.id).cuda_stream):
                yield CupyRuntime(device.id)
        else:
            yield CupyRuntime(device.id)
