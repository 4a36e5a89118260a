"""A `Runtime` without a GPU: the kernels compiled for the host, streams that run late.

Device memory is host memory full of NaN between guard bytes. A stream's work is done only when
somebody waits for it, and then no more of it than the wait asks for: a copy or a kernel that
should have waited for another stream finds old bytes. Device memory that is free is overwritten in
the stream that allocated it, as the pool's next user might; pinned memory at once.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import platform
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import slidecell as sc
from slidecell.cuda.arrays import DeviceArray
from slidecell.cuda.cell_traits import CELLS
from slidecell.cuda.device import DEVICES, Device
from slidecell.cuda.runtime import Entry, Memory
from slidecell.cuda.source import kernel_source
from slidecell.cuda.structs import Struct

PLATFORM = Path(__file__).parent / "cuda"  # platform.cuh: fibers instead of a GPU
GUARD = 256
FAULTS = {1: "a barrier that not all threads reach", 2: "writes beyond shared memory", 3: "size"}

# -O1: the fibers hide most of what more would gain.
FLAGS = ["-std=c++17", "-O1", "-mavx2", "-mfma", "-ffp-contract=off", "-fno-math-errno"]
FLAGS += ["-fno-strict-aliasing", "-U_FORTIFY_SOURCE", "-shared", "-fPIC"]
FLAGS += ["-Werror=switch"]  # a cell, activation or type without its case
# A GPU faults on a 16-byte access that is not aligned; the host would let it pass.
FLAGS += ["-fsanitize=alignment", "-fno-sanitize-recover=alignment"]


def _fma(on_chip: bool, project_on_chip: bool, usual: bool, quads: int = 1) -> Entry:
    flags = {"kOnChip": on_chip, "kUsual": usual, "kProjectOnChip": project_on_chip}
    config = {name: str(value).lower() for name, value in flags.items()}
    config |= {"kCells": "", "kStacked": "", "kQuads": str(quads)}
    return Entry("run_fma", "FmaArgs", 0, config=tuple(config.items()))


def _mma(on_chip: bool, parts: int, rows: int, exact: bool) -> Entry:
    math = "slidecell::HardwareMath" if parts == 1 else "slidecell::FastMath"
    names = {"kParts": str(parts), "kRows": str(rows), "kInputTiles": "1", "kHiddenTiles": "1"}
    names["kExact"] = str(exact).lower()
    config = {"kOnChip": str(on_chip).lower(), "kUsual": "false", "kCells": "", **names}
    return Entry("run_mma", "MmaArgs", 0, config=tuple({**config, "Math": math}.items()))


def _wgmma(input_tiles: int, hidden_tiles: int) -> Entry:
    names = {"kOnChip": "true", "kParts": "1", "kRows": "1", "kExact": "true"}
    names |= {"kInputTiles": str(input_tiles), "kHiddenTiles": str(hidden_tiles)}
    return Entry(
        "run_wgmma",
        "MmaArgs",
        0,
        config=tuple({**names, "Math": "slidecell::HardwareMath"}.items()),
    )


# Compiled together: what the tests need. Anything else takes a second of its own.
TOGETHER = [
    Entry("copy_rows", "RowsArgs", 0),
    Entry("score_distances", "ReduceArgs", 0),
    Entry("add_row_errors", "ReduceArgs", 0),
    Entry("average_rows", "ReduceArgs", 0),
    Entry("gather_windows", "GatherArgs", 0),
    _fma(True, True, True),
    _fma(True, True, False),
    _fma(True, False, True),
    _fma(True, False, True, quads=2),
    _fma(True, True, False, quads=2),
    _fma(False, False, False),
    _mma(True, 1, 2, True),
    _mma(True, 1, 2, False),
    _mma(True, 2, 2, True),
    _mma(True, 2, 2, False),
    _mma(False, 2, 1, True),
    _wgmma(1, 1),
    _wgmma(2, 2),
    _wgmma(1, 4),
]


def can_emulate() -> bool:
    """Whether there is a compiler for this machine's FMA instructions."""
    return (
        platform.machine() == "x86_64"
        and shutil.which("g++") is not None
        and "avx2" in sc.available_isas()
    )


def superset(entry: Entry) -> Entry:
    """Widen what an entry is compiled for, so that few kernels serve all models of the tests."""
    config = dict(entry.config)
    if config and entry.name != "run_wgmma":
        config["kCells"] = str((1 << len(CELLS)) - 1)
    if "kStacked" in config:
        config["kStacked"] = "true"
    if entry.name == "run_mma":
        config["kUsual"] = "false"
    tiles = ("kInputTiles", "kHiddenTiles")
    if entry.name == "run_mma" and not all(config[name] == "1" for name in tiles):
        config["kExact"] = "false"
    if config.get("kExact") == "false":
        config |= {name: str(max(3, int(config[name]))) for name in tiles}
    return Entry(entry.name, entry.arguments, 1024, config=tuple(sorted(config.items())))


def _library(text: str, folder: Path) -> ctypes.CDLL:
    stem = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
    library = stem.with_suffix(".so")
    if not library.exists():
        stem.with_suffix(".cpp").write_text(text)
        command = ["g++", *FLAGS, str(stem.with_suffix(".cpp")), "-o", str(library)]
        subprocess.run(command, check=True, capture_output=True, text=True)
    return ctypes.CDLL(str(library))


def compiled_text(text: str, folder: Path) -> ctypes.CDLL:
    """Compile C++ that follows the kernels, for parts of them that no launch shows alone."""
    return _library(kernel_source(PLATFORM) + text, folder)


class Compiler:
    """Compiles entry points to shared libraries, once each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._functions: dict[Entry, Any] = {}

    def function(self, entry: Entry) -> Any:
        wide = superset(entry)
        if not self._functions:
            self._compile([superset(each) for each in TOGETHER])
        if wide not in self._functions:
            self._compile([wide])
        return self._functions[wide]

    def _compile(self, entries: list[Entry]) -> None:
        text = kernel_source(PLATFORM)
        for n, entry in enumerate(entries):
            body = entry.text().replace('extern "C"', "static")
            body = body.replace("  extern __shared__ float4 shared[];\n", "")  # ::shared
            text += f"""
namespace entry{n} {{
{body}}}
extern "C" int emulate{n}(const slidecell::{entry.arguments}* args, unsigned grid, unsigned block,
                          size_t shared_bytes, unsigned seed) {{
  const auto kernel = [=] {{ entry{n}::{entry.name}(*args); }};
  return emulator::launch(kernel, grid, block, shared_bytes, seed);
}}
"""
        loaded = _library(text, self.folder)
        for n, entry in enumerate(entries):
            function = getattr(loaded, f"emulate{n}")
            function.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
            function.argtypes += [ctypes.c_size_t, ctypes.c_uint]
            self._functions[entry] = function


@functools.cache
def compiler() -> Compiler:
    """The one compiler of a test run; its files go when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="slidecell-cuda-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Compiler(folder)


@dataclass(eq=False)
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


class Owner:
    """Whoever has it may use the memory that it stands for."""


class FakeDeviceArray:
    """What CuPy, torch and Numba show of a device array; its memory is the host's."""

    def __init__(
        self, values: npt.NDArray[Any], *, device: int = 0, owner: Any = None, **changes: Any
    ) -> None:
        self.values, self.owner = values, owner
        self.shape, self.dtype = values.shape, values.dtype
        self.device = type("Device", (), {"id": device})()
        self.__cuda_array_interface__ = {
            "shape": values.shape,
            "typestr": values.dtype.str,
            "data": (address(values), False),
            "strides": None if values.flags.c_contiguous else values.strides,
            "version": 3,
            "stream": None,
            **changes,
        }

    def reshape(self, *shape: int) -> FakeDeviceArray:
        return FakeDeviceArray(self.values.reshape(*shape), device=self.device.id)


class EmulatedRuntime:
    """`slidecell.cuda.runtime.Runtime` on the host."""

    index = 0

    def __init__(self, device: Device | str = "sm_90", seed: int = 0) -> None:
        self.device = DEVICES[device] if isinstance(device, str) else device
        self.main = Stream()
        self.seed = seed  # of the order in which blocks and threads run
        self.most_blocks = 2**31
        self.launched: list[tuple[Entry, int]] = []
        self.limit = 2**30
        self.faults: list[str] = []
        self._owned: list[npt.NDArray[np.uint8]] = []
        self._pinned: list[npt.NDArray[np.uint8]] = []
        self._copies: list[tuple[Stream, int, int]] = []  # position, address on the host

    def memory(self, nbytes: int) -> Memory:
        if nbytes > self.limit:
            raise MemoryError(f"cuda: {nbytes} bytes")
        whole = np.full(nbytes + 3 * GUARD, 0xFF, np.uint8)
        begin = -address(whole) % GUARD + GUARD
        whole[:begin] = whole[begin + nbytes :] = 0xA5
        self._owned.append(whole)
        owner, part = Owner(), whole[begin : begin + nbytes]
        weakref.finalize(owner, self.main.work.append, lambda: part.fill(0xFF))
        return Memory(address(whole) + begin, nbytes, owner)

    def array(self, shape: tuple[int, ...], library: str) -> FakeDeviceArray:
        memory = self.memory(max(4, int(np.prod(shape)) * 4))
        values = bytes_at(memory.ptr, int(np.prod(shape)) * 4).view(np.float32).reshape(shape)
        return FakeDeviceArray(values, owner=memory.owner)

    def adopt(self, array: DeviceArray) -> None:
        if array.device not in {None, self.index}:
            raise ValueError(f"{array.name}: expected an array on device 0, got {array.device}")

    def finish(self) -> None:
        """Do all work, and fail if anything was written beside the memory that was asked for."""
        self.main.run_to(len(self.main.work))
        for whole in self._owned:
            begin = -address(whole) % GUARD + GUARD
            end = begin + len(whole) - 3 * GUARD
            assert (whole[:begin] == 0xA5).all()
            assert (whole[end:] == 0xA5).all()
        assert not self.faults, self.faults

    def copy_on_device(self, to: int, from_: int, nbytes: int) -> None:
        self.main.work.append(lambda: ctypes.memmove(to, from_, nbytes))

    def upload(self, array: npt.NDArray[Any]) -> Memory:
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        memory = self.memory(max(1, flat.nbytes))
        kept, ptr = flat.copy(), memory.ptr
        self.main.work.append(lambda: ctypes.memmove(ptr, address(kept), kept.nbytes))
        return memory

    def pinned(self, nbytes: int) -> npt.NDArray[np.uint8]:
        whole = np.full(nbytes, 0xFF, np.uint8)
        self._pinned.append(whole)  # a copy that comes too late finds it
        given = (ctypes.c_uint8 * nbytes).from_address(address(whole))
        weakref.finalize(given, self._free_pinned, whole)
        return np.ctypeslib.as_array(given)

    def _free_pinned(self, whole: npt.NDArray[np.uint8]) -> None:
        begin = address(whole)
        for stream, position, at in self._copies:
            if stream.done < position and begin <= at < begin + whole.nbytes:
                self.faults.append(f"{whole.nbytes} bytes of pinned memory are free under a copy")
        whole.fill(0xFF)

    def new_stream(self) -> Stream:
        return Stream()

    def copy_in(self, ptr: int, host: npt.NDArray[np.uint8], stream: Stream) -> None:
        self._copy(ptr, address(host), address(host), host.nbytes, stream)

    def copy_out(self, host: npt.NDArray[np.uint8], ptr: int, stream: Stream) -> None:
        self._copy(address(host), ptr, address(host), host.nbytes, stream)

    def _copy(self, to: int, from_: int, host: int, nbytes: int, stream: Stream) -> None:
        stream.work.append(lambda: ctypes.memmove(to, from_, nbytes))
        self._copies.append((stream, len(stream.work), host))

    def fill(self, ptr: int, nbytes: int, byte: int, stream: Stream) -> None:
        stream.work.append(lambda: ctypes.memset(ptr, byte, nbytes))

    def record(self, stream: Stream) -> Event:
        return Event(stream, len(stream.work))

    def wait(self, stream: Stream, event: Event) -> None:
        stream.work.append(lambda: event.stream.run_to(event.position))

    def done(self, event: Event) -> bool:
        return event.stream.done >= event.position

    def synchronize(self, event: Event) -> None:
        event.stream.run_to(event.position)

    def launch(self, entry: Entry, grid: int, arguments: Struct) -> None:
        function, values = compiler().function(entry), arguments.copy()
        blocks = min(grid, self.most_blocks)
        self.launched.append((entry, blocks))

        def run() -> None:
            shared = entry.shared_bytes
            fault = function(address(values), blocks, entry.threads, shared, self.seed)
            assert fault == 0, f"{entry.name}: {FAULTS[fault]}"

        self.main.work.append(run)
