"""A core of Sapphire Rapids, as far as kernels of vectors and tiles need it.

Six instructions a cycle enter a window of 512 and leave it in order. Each starts when its operands
are there and a unit is free: two pipes for zmm arithmetic (shifts and quotients take the first one,
permutations the second), two loads of 64 bytes, one store of 64 bytes, and the matrix unit, a
product of tiles in 16 cycles. Memory is always in the L1 cache; what is stored and loaded again
is taken to be there. How many cycles the instructions of vectors hold the pipes was measured on an
Emerald Rapids whose tiles a hypervisor hides; those of tiles are Intel's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmarks.kernel_cycles.trace import Instruction

WIDTH = 6
WINDOW = 512
TILE_PRODUCT = 16  # cycles of the matrix unit
_LOAD_LATENCY = 7
_REGISTER = re.compile(r"%(?:(zmm|ymm|xmm)|(tmm|k))(\d+)")


@dataclass(frozen=True)
class Need:
    """What one instruction takes: cycles of each unit, and the cycles until its result is there."""

    first: int = 0  # zmm pipes: this one,
    second: int = 0  # this one,
    either: int = 0  # or whichever is free
    loads: int = 0
    stores: int = 0
    tiles: int = 0
    latency: int = 1


# By how a name begins: what begins so first counts.
_NEEDS = {
    "tdp": Need(tiles=TILE_PRODUCT, latency=52),
    "tileload": Need(loads=16, latency=16),
    "tilestore": Need(stores=16),
    "tile": Need(),
    "vpermt2": Need(second=1, latency=3),
    "vperm": Need(second=1, latency=3),
    "vinsert": Need(second=1, latency=3),
    "vextract": Need(second=1, latency=3),
    "vpunpck": Need(second=1, latency=3),
    "vshuf": Need(second=1, latency=3),
    "vdiv": Need(first=10, latency=16),
    "vrcp": Need(first=2, either=1, latency=7),
    "vscalefph": Need(first=1, second=1, latency=8),
    "vrndscale": Need(first=1, second=1, latency=8),
    "vcvtps2phx": Need(first=1, second=1, latency=7),
    "vcvtph2psx": Need(first=1, second=1, latency=7),
    "vcvtne": Need(first=1, second=2, latency=8),
    "vdpbf16": Need(first=2, second=2, latency=10),
    "vpsll": Need(first=1),
    "vpsrl": Need(first=1),
    "vpsra": Need(first=1),
    "vpternlog": Need(either=1),
    "vpxor": Need(either=1),
    "vxor": Need(either=1),
    "vpand": Need(either=1),
    "vand": Need(either=1),
    "vpor": Need(either=1),
    "vor": Need(either=1),
    "vpadd": Need(either=1),
    "vpsub": Need(either=1),
    "vpblend": Need(either=1),
    "vblend": Need(either=1),
    "vpdp": Need(either=1, latency=5),
    "v": Need(either=1, latency=4),
}
_MOVES = ("vmov", "vbroadcast", "vpbroadcast")
# These read what they write.
_READS_RESULT = ("vfm", "vfnm", "vpdp", "vdpbf16", "vpternlog", "vpermt2", "vpermi2", "tdp")
_CLEARS = ("vpxor", "vxor")


def need_of(instruction: Instruction) -> Need:
    """Return what an instruction takes.

    Examples
    --------
    >>> need_of(Instruction("vaddps", "(%rax),%zmm1,%zmm0", 6))
    Need(first=0, second=0, either=1, loads=1, stores=0, tiles=0, latency=4)
    >>> need_of(Instruction("tdpbssd", "%tmm0,%tmm1,%tmm2", 5)).tiles
    16
    """
    name, operands = instruction.name, instruction.operands
    if not re.search("%[zy]mm|%tmm", operands):
        return Need()
    if name.startswith(_MOVES):
        return _move(name, operands)
    need = next(need for start, need in _NEEDS.items() if name.startswith(start))
    return replace(need, loads=1) if "%tmm" not in operands and "(" in operands else need


def _move(name: str, operands: str) -> Need:
    if not _writes_register(operands):
        return Need(stores=1)
    if "(" in operands:
        return Need(loads=1, latency=_LOAD_LATENCY)
    return Need() if name.startswith("vmov") else _NEEDS["vperm"]  # a move is but a new name


def _writes_register(operands: str) -> bool:
    return operands.rsplit(",", 1)[-1].startswith("%")


def _registers(instruction: Instruction) -> tuple[list[str], list[str]]:
    """Return what an instruction reads and what it writes."""
    found = [("v" if vector else tile) + number
             for vector, tile, number in _REGISTER.findall(instruction.operands)]  # fmt: skip
    if not found or not _writes_register(instruction.operands):
        return found, []
    if instruction.name.startswith(_CLEARS) and len(set(found)) == 1:
        return [], found[-1:]
    reads = found if instruction.name.startswith(_READS_RESULT) else found[:-1]
    return reads, found[-1:]


class _Unit:
    """One that does `capacity` things a cycle."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used: dict[int, int] = defaultdict(int)

    def free(self, at: int) -> bool:
        return self._used[at] < self._capacity

    def take(self, at: int, count: int) -> tuple[int, int]:
        """Take `count` slots from cycle `at` on; return the first and the last one's cycle."""
        taken = []
        while len(taken) < count:
            if self.free(at):
                self._used[at] += 1
                taken.append(at)
            else:
                at += 1
        return taken[0], taken[-1]


class _Core:
    def __init__(self) -> None:
        self._first, self._second = _Unit(1), _Unit(1)
        self._loads, self._stores = _Unit(2), _Unit(1)
        self._matrix_free = 0

    def start(self, need: Need, at: int) -> int:
        """Return when an instruction whose operands are there at cycle `at` starts."""
        if need.loads:
            at, _ = self._loads.take(at, need.loads)
            if need.first or need.second or need.either:
                at += _LOAD_LATENCY
        if need.either:
            while not (self._first.free(at) or self._second.free(at)):
                at += 1
            (self._first if self._first.free(at) else self._second).take(at, 1)
        starts = [at]
        starts += [self._first.take(at, need.first)[0]] if need.first else []
        starts += [self._second.take(at, need.second)[0]] if need.second else []
        at = max(starts)
        if need.tiles:
            at = max(at, self._matrix_free)
            self._matrix_free = at + need.tiles
        if need.stores:
            _, at = self._stores.take(at, need.stores)
        return at


def cycles(instructions: Iterable[Instruction]) -> int:
    """Return how long the core takes for a sequence of instructions.

    Examples
    --------
    Two pipes; but a sum waits for the one before.

    >>> apart = [Instruction("vaddps", f"%zmm31,%zmm31,%zmm{i}", 6) for i in range(20)]
    >>> chain = [Instruction("vaddps", "%zmm31,%zmm0,%zmm0", 6)] * 20
    >>> cycles(apart), cycles(chain)
    (14, 81)
    """
    core, enters = _Core(), _Unit(WIDTH)
    ready: dict[str, int] = defaultdict(int)
    entered = 0
    leaves: list[int] = []
    for number, instruction in enumerate(instructions):
        if number >= WINDOW:
            entered = max(entered, leaves[number - WINDOW])
        entered, _ = enters.take(entered, 1)
        need = need_of(instruction)
        reads, writes = _registers(instruction)
        done = core.start(need, max([entered + 1, *(ready[r] for r in reads)])) + need.latency
        for register in writes:
            ready[register] = done
        leaves.append(max(done, leaves[-1] if leaves else 0))
    return leaves[-1] if leaves else 0
