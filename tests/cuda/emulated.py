"""A `Runtime` without a GPU: the kernels compiled for the host, streams that run late.

Device memory is host memory full of NaN between guard bytes. A stream's work is done only when
somebody waits for it, and then no more of it than the wait asks for: a copy or a kernel that
should have waited for another stream finds old bytes.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.cuda.arguments import Struct
from slidecell.cuda.device import DEVICES, Device
from slidecell.cuda.runtime import Entry, Memory
from slidecell.cuda.source import kernel_source

HERE = Path(__file__).parent
GUARD = 256
FAULTS = {1: "a barrier that not all threads reach", 2: "writes beyond shared memory", 3: "size"}

# -O1: the fibers hide most of what more would gain, and compiling takes twice as long.
FLAGS = ["-std=c++17", "-O1", "-mavx2", "-mfma", "-ffp-contract=off", "-fno-math-errno"]
FLAGS += ["-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-w", "-shared", "-fPIC"]


def can_emulate() -> bool:
    """Whether there is a compiler for this machine's FMA instructions."""
    return platform.machine() == "x86_64" and shutil.which("g++") is not None


def superset(entry: Entry) -> Entry:
    """Widen what an entry is compiled for, so that few kernels serve all models of the tests."""
    config = dict(entry.config)
    if config:
        config["kCells"] = "7"
    if "kStacked" in config:
        config["kStacked"] = "true"
    for name in ("kInputTiles", "kHiddenTiles"):
        if name in config:
            config[name] = str(max(3, int(config[name])))
    return replace(entry, config=tuple(config.items()), threads=1024, blocks=1, shared_bytes=0)


class Compiler:
    """Compiles entry points to shared libraries, once each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._functions: dict[Entry, Any] = {}

    def function(self, entry: Entry) -> Any:
        entry = superset(entry)
        if entry not in self._functions:
            self._functions[entry] = self._compile(entry)
        return self._functions[entry]

    def _compile(self, entry: Entry) -> Any:
        kind = f"slidecell::{entry.arguments}"
        text = kernel_source(HERE) + entry.text()
        text += f"""
extern "C" int emulate(const {kind}* args, unsigned grid, unsigned block, size_t shared_bytes,
                       unsigned seed) {{
  return emulator::launch([=] {{ ::{entry.name}(*args); }}, grid, block, shared_bytes, seed);
}}
"""
        stem = self.folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        library = stem.with_suffix(".so")
        if not library.exists():
            stem.with_suffix(".cpp").write_text(text)
            command = ["g++", *FLAGS, str(stem.with_suffix(".cpp")), "-o", str(library)]
            subprocess.run(command, check=True, capture_output=True, text=True)
        function = ctypes.CDLL(str(library)).emulate
        function.argtypes = [ctypes.c_void_p, *[ctypes.c_uint] * 2, ctypes.c_size_t, ctypes.c_uint]
        return function


@dataclass
class Stream:
    """Work in order, done as far as somebody has waited for."""

    work: list[Callable[[], None]] = field(default_factory=list)
    done: int = 0

    def run_to(self, position: int) -> None:
        while self.done < position:
            self.done += 1
            self.work[self.done - 1]()


@dataclass(frozen=True)
class Event:
    """A position in a stream."""

    stream: Stream
    position: int


def address(array: npt.NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def bytes_at(ptr: int, nbytes: int) -> npt.NDArray[np.uint8]:
    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(ptr))


class EmulatedRuntime:
    """`slidecell.cuda.runtime.Runtime` on the host."""

    def __init__(self, compiler: Compiler, device: Device | str = "sm_90", seed: int = 0) -> None:
        self.compiler = compiler
        self.device = DEVICES[device] if isinstance(device, str) else device
        self.main = Stream()
        self.seed = seed
        self.launched: list[tuple[Entry, int]] = []
        self.limit = 2**30
        self._owned: list[npt.NDArray[np.uint8]] = []

    def memory(self, nbytes: int) -> Memory:
        if nbytes > self.limit:
            raise MemoryError(f"cuda: {nbytes} bytes")
        whole = np.full(nbytes + 3 * GUARD, 0xFF, np.uint8)
        begin = -address(whole) % GUARD + GUARD
        whole[:begin] = whole[begin + nbytes :] = 0xA5
        self._owned.append(whole)
        return Memory(address(whole) + begin, nbytes, (whole, begin))

    def check_guards(self) -> None:
        """Fail if anything was written beside the memory that was asked for."""
        for whole in self._owned:
            begin = -address(whole) % GUARD + GUARD
            end = begin + len(whole) - 3 * GUARD
            assert (whole[:begin] == 0xA5).all()
            assert (whole[end:] == 0xA5).all()

    def upload(self, array: npt.NDArray[Any]) -> Memory:
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        memory = self.memory(max(1, flat.nbytes))
        bytes_at(memory.ptr, flat.nbytes)[:] = flat
        return memory

    def pinned(self, nbytes: int) -> npt.NDArray[np.uint8]:
        return np.full(nbytes, 0xFF, np.uint8)

    def new_stream(self) -> Stream:
        return Stream()

    def copy_in(self, ptr: int, host: npt.NDArray[np.uint8], stream: Stream) -> None:
        stream.work.append(lambda: bytes_at(ptr, len(host)).__setitem__(slice(None), host))

    def copy_out(self, host: npt.NDArray[np.uint8], ptr: int, stream: Stream) -> None:
        stream.work.append(lambda: host.__setitem__(slice(None), bytes_at(ptr, len(host))))

    def fill(self, ptr: int, nbytes: int, byte: int, stream: Stream) -> None:
        stream.work.append(lambda: bytes_at(ptr, nbytes).fill(byte))

    def record(self, stream: Stream) -> Event:
        return Event(stream, len(stream.work))

    def wait(self, stream: Stream, event: Event) -> None:
        stream.work.append(lambda: event.stream.run_to(event.position))

    def synchronize(self, event: Event) -> None:
        event.stream.run_to(event.position)

    def launch(self, entry: Entry, grid: int, arguments: Struct) -> None:
        function, values, shared = (
            self.compiler.function(entry),
            arguments.copy(),
            entry.shared_bytes,
        )
        self.launched.append((entry, grid))

        def run() -> None:
            fault = function(address(values), grid, entry.threads, shared, self.seed)
            assert fault == 0, f"{entry.name}: {FAULTS[fault]}"

        self.main.work.append(run)
