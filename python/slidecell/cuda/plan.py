"""Which kernel runs, with which tile and on which memory: a rule of shapes and device limits.

Nothing here depends on the number of rows or windows, so a score never does either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from slidecell._core import UnsupportedError
from slidecell.cuda.cell_traits import number_of
from slidecell.cuda.device import RESERVED_BYTES, Device
from slidecell.cuda.network_weights import Network
from slidecell.cuda.packing import (
    GROUP_ONES,
    Packed,
    pack_fma,
    pack_mma,
    pack_wgmma,
    round_up,
    tiles_of,
)
from slidecell.cuda.structs import VECTOR

PRECISIONS = ("highest", "high", "medium")

# Of the float32 kernel: each thread has 4 units of 4 or 8 columns; 256 threads may have 255
# registers.
_THREADS = 256
_COLUMNS = (128, 64, 32, 16, 8)
_FEWEST_COLUMNS = 32
_MOST_STEPS = 64  # longer chunks of projected rows gain little
_FEWEST_STEPS = 4  # below, projecting a row once saves less than half of the work
_SLICE = 32  # predictions held at once

# Of the matrix kernel, beside operands and sums, with one and with two parts: no width spills whose
# weights lie on the chip (tests/cuda_widths.py). Where layers differ in size, loops that end early
# cost copies of the sums.
_MATRIX_REGISTERS, _MATRIX_REGISTERS_UNEQUAL = {1: 72, 2: 64}, 120
_MOST_REGISTERS = 255
_MOST_WARPS = 16
_LEAST_WARPS = {1: 4, 2: 6}  # with 16 or 32 windows each: fewer hide too little latency

# Of the matrix kernel of groups of four warps: groups of a block by tiles of 16 units, of 64
# windows each. As many as leave the registers that keep products and cells apart.
_GROUPS = {1: 4, 2: 4, 3: 3, 4: 2}
_MOST_GROUP_INPUT_TILES = 2


@dataclass(frozen=True)
class KernelPlan:
    """How one network runs on one device.

    ``layers`` has one dict per layer with the fields of `structs.LAYER` that tell of states, and
    ``arguments`` those of `structs.FMA` or `MMA` that the plan decides.
    """

    kernel: str  # "fma", "mma" or "wgmma"
    precision: str  # that runs: never lower than asked for
    asked: str
    columns: int  # windows of a tile: of a block ("fma"), a warp ("mma") or four warps ("wgmma")
    threads: int
    blocks: int  # per multiprocessor
    grid: int
    shared_bytes: int
    config: dict[str, str]  # what the kernel is compiled for
    packed: Packed
    layers: list[dict[str, int]]
    arguments: dict[str, int] = field(default_factory=dict)

    @property
    def warps(self) -> int:
        """Warps that share a multiprocessor."""
        return self.blocks * self.threads // 32

    def describe(self) -> dict[str, Any]:
        """Tell the plan as `plan` returns it."""
        on_chip = self.config["kOnChip"] == "true"
        if self.kernel != "fma":
            projection = "per window"
        elif self.config["kProjectOnChip"] == "true":
            projection = "shared"
        else:
            projection = "scratch"
        return {
            "kernel": self.kernel,
            "precision": self.precision,
            "tile": self.columns,
            "threads": self.threads,
            "blocks_per_multiprocessor": self.blocks,
            "grid": self.grid,
            "shared_bytes": self.shared_bytes,
            "weights": "shared" if on_chip else "streamed",
            "projection": projection,
        }


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _common_config(network: Network, on_chip: bool) -> dict[str, str]:
    cells = {1 << number_of(layer.cell) for layer in network.layers}
    return {
        "kOnChip": _flag(on_chip),
        "kUsual": _flag(network.usual),
        "kCells": str(sum(cells)),
    }


class _Memory:
    """Hands out shared memory in words, 16-byte aligned."""

    def __init__(self, first: int) -> None:
        self.words = first

    def take(self, words: int) -> int:
        at = self.words
        self.words += round_up(words, 4)
        return at


def _fma_states(network: Network, memory: _Memory, columns: int) -> list[dict[str, int]]:
    layers = []
    for layer in network.layers:
        words = round_up(layer.hidden_size, 4) * columns
        names = ["h", "h_next", *layer.traits.states[1:]]
        if layer.traits.waiting:
            names += ["held", "gated"]
        layers.append({name: memory.take(words) for name in names})
    return layers


def _widest(network: Network) -> int:
    return max(round_up(layer.hidden_size, 4) for layer in network.layers)


@dataclass(frozen=True)
class _FmaChoice:
    """A candidate of the float32 kernel."""

    columns: int
    steps: int  # whose projected rows are held at once
    on_chip: bool  # the weights lie in shared memory
    project_on_chip: bool  # so do the projected rows
    quads: int = 1  # of columns that a thread computes at once


def _fma_plan(
    network: Network,
    packed: Packed,
    device: Device,
    stride: int,
    choice: _FmaChoice,
) -> KernelPlan | None:
    """One candidate, or None if it does not fit."""
    columns, steps, project_on_chip = choice.columns, choice.steps, choice.project_on_chip
    memory = _Memory(packed.words if choice.on_chip else 0)
    states = _fma_states(network, memory, columns)
    vectors, pitch = columns // VECTOR, min(stride, steps)
    rows = round_up(vectors * ((VECTOR - 1) * pitch + steps), 4)
    gate_rows = [
        layer.gates * round_up(layer.hidden_size, 4)
        for layer in (network.encoder[0], *network.decoder[:1])
    ]
    p_stride = max(gate_rows) + 4  # neighbouring rows begin 16 bytes apart in the banks
    p_words = max(rows, columns if network.decoder else 0) * p_stride
    slice_ = min(_SLICE, round_up(max(1, len(network.head_w)), 4))
    arguments = {
        "columns": columns,
        "steps": steps,
        "x": memory.take(network.input_size * rows),
        "x_stride": rows,
        "p": memory.take(p_words) if project_on_chip else 0,
        "p_stride": p_stride,
        "prediction": memory.take(slice_ * columns),
        "slice": slice_,
        "table": memory.take(round_up(3 * vectors + 1, 2) + 2 + 2 * vectors),
        "scratch_words": 0 if project_on_chip else round_up(p_words, 32),
    }
    shared = memory.words * 4
    most = min(device.shared_per_block, device.shared_per_multiprocessor - RESERVED_BYTES)
    if shared > most:
        return None
    widest = _widest(network)
    threads = max(columns, min(_THREADS, columns // (4 * choice.quads) * (widest // 4)), 32)
    threads = round_up(threads, 32)
    # A second block hides the barriers of the first. Stacked layers, and eight columns a thread,
    # hold twice the sums and would spill at half the registers.
    two = (
        2 * (shared + RESERVED_BYTES) <= device.shared_per_multiprocessor
        and 4 * threads <= device.threads_per_multiprocessor
        and not network.stacked
        and choice.quads == 1
    )
    blocks = 2 if two else 1
    return KernelPlan(
        kernel="fma",
        precision="highest",
        asked="highest",
        columns=columns,
        threads=threads,
        blocks=blocks,
        grid=blocks * device.multiprocessors,
        shared_bytes=shared,
        config={
            **_common_config(network, choice.on_chip),
            "kProjectOnChip": _flag(project_on_chip),
            "kQuads": str(choice.quads),
            "kStacked": _flag(network.stacked),
        },
        packed=packed,
        layers=states,
        arguments=arguments,
    )


def _halves(most: int, least: int) -> list[int]:
    """Most, half of it rounded up, ... down to the least (or to most itself, if that is less)."""
    values = [most]
    while values[-1] > 1 and -(-values[-1] // 2) >= least:
        values.append(-(-values[-1] // 2))
    return values


def _fma_choices(network: Network, window: int) -> Iterator[_FmaChoice]:
    """Yield candidates with four columns a thread, the best first.

    Weights in shared memory matter most, since all windows need all of them at every step; then
    a tile that gives each thread one block of units and columns; then where projected rows lie.
    """
    widest = _widest(network)
    natural = max(16, min(_COLUMNS[0], 16 * _THREADS // widest))
    steps = min(window, _MOST_STEPS)
    for on_chip in (True, False):
        for columns in _COLUMNS:
            # Streamed weights are read once per tile: twice the tile, half the traffic. Few
            # columns leave most threads without work, which costs more than streaming.
            if columns > (natural if on_chip else 2 * natural):
                continue
            if on_chip and columns < min(natural, _FEWEST_COLUMNS):
                continue
            for fewer in _halves(steps, _FEWEST_STEPS):
                yield _FmaChoice(columns, fewer, on_chip, True)
            yield _FmaChoice(columns, steps, on_chip, False)
    for fewer in _halves(steps, 1):
        yield _FmaChoice(VECTOR, fewer, False, False)


def _fma_choices_of_eight(network: Network, window: int) -> Iterator[_FmaChoice]:
    """Yield candidates with eight columns a thread, the best first.

    Each weight that is read serves twice the windows: 21 multiply-adds for each 16 bytes of an
    LSTM's, not 13. A tile must keep all threads busy all the same. Stacked layers would spill;
    weights that stream want more warps than so many registers leave.
    """
    widest, steps = _widest(network), min(window, _MOST_STEPS)
    columns = next((c for c in reversed(_COLUMNS) if c // 8 * (widest // 4) >= _THREADS), None)
    if columns is None or network.stacked:
        return
    for fewer in _halves(steps, _FEWEST_STEPS):
        yield _FmaChoice(columns, fewer, True, True, quads=2)
    yield _FmaChoice(columns, steps, True, False, quads=2)


def plan_fma(
    network: Network, device: Device, *, window: int, stride: int, asked: str = "highest"
) -> KernelPlan:
    """Plan the float32 kernel.

    Raises UnsupportedError if the states of eight windows exceed the shared memory.
    """
    packed = pack_fma(network)

    def first(choices: Iterator[_FmaChoice]) -> KernelPlan | None:
        plans = (_fma_plan(network, packed, device, stride, choice) for choice in choices)
        return next((plan for plan in plans if plan is not None), None)

    four, eight = (
        first(_fma_choices(network, window)),
        first(_fma_choices_of_eight(network, window)),
    )
    if four is not None and eight is not None and eight.warps >= four.warps:
        return _asked(eight, asked)
    if four is not None:
        return _asked(four, asked)
    sizes = [layer.hidden_size for layer in network.layers]
    raise UnsupportedError(
        f"cuda: the states of {VECTOR} windows exceed the shared memory of {device.name} "
        f"({device.arch}, {device.shared_per_block} bytes): hidden sizes {sizes}, "
        f"{network.input_size} features; backend='cpu' has no such limit"
    )


def _asked(plan: KernelPlan, asked: str) -> KernelPlan:
    return KernelPlan(**{**plan.__dict__, "asked": asked})


def _prediction_words(rows: int) -> int:
    """Words of a warp's part for the predictions of eight outputs."""
    return 8 * (16 * rows + 4)


def _mma_states(network: Network, parts: int, rows: int) -> tuple[list[dict[str, int]], int, int]:
    """States in a warp's part, where its predictions lie, and how many words it has."""
    memory = _Memory(0)
    layers = []
    for layer in network.layers:
        tiles = tiles_of(layer.hidden_size)
        operand, values = tiles * parts * rows * 128, 2 * tiles * rows * 128
        entry = {"h": memory.take(operand)}
        if layer.traits.carries:
            entry["c"] = memory.take(values)
        if layer.traits.waiting:
            entry |= {"held": memory.take(values), "gated": memory.take(operand)}
        layers.append(entry)
    prediction = memory.take(_prediction_words(rows))
    return layers, prediction, memory.words


def _balanced(warps: int) -> int:
    """Return a number of warps that keeps the four parts of a multiprocessor equally busy.

    Few warps are better than one less for each part: what one waits for another hides.
    """
    return warps - warps % 4 if warps > 8 else warps


def _mma_plan(
    network: Network, packed: Packed, device: Device, asked: str, *, rows: int, on_chip: bool
) -> KernelPlan | None:
    parts = 2 if asked == "high" else 1
    input_tiles = max(tiles_of(layer.input_size) for layer in network.layers)
    hidden_tiles = max(tiles_of(layer.hidden_size) for layer in network.layers)
    operands = (input_tiles + hidden_tiles) * parts * rows * 4
    sizes = {(tiles_of(layer.input_size), tiles_of(layer.hidden_size)) for layer in network.layers}
    exact = sizes == {(input_tiles, hidden_tiles)}
    registers = operands + 16 * rows
    registers += _MATRIX_REGISTERS[parts] if exact else _MATRIX_REGISTERS_UNEQUAL
    if registers > _MOST_REGISTERS:
        return None
    states, prediction, warp_words = _mma_states(network, parts, rows)
    first_warp = packed.words if on_chip else 0
    room = device.shared_per_block // 4 - first_warp
    warps = _balanced(min(_MOST_WARPS, device.warps_of(registers), room // warp_words))
    if warps < _LEAST_WARPS[rows]:
        return None
    return KernelPlan(
        kernel="mma",
        precision=asked,
        asked=asked,
        columns=16 * rows,
        threads=32 * warps,
        blocks=1,
        grid=device.multiprocessors,
        shared_bytes=(first_warp + warps * warp_words) * 4,
        config={
            **_common_config(network, on_chip),
            "kParts": str(parts),
            "kRows": str(rows),
            "kInputTiles": str(input_tiles),
            "kHiddenTiles": str(hidden_tiles),
            "kExact": _flag(exact),
            "Math": "slidecell::HardwareMath" if parts == 1 else "slidecell::FastMath",
        },
        packed=packed,
        layers=states,
        arguments={"warp_words": warp_words, "first_warp": first_warp, "prediction": prediction},
    )


def _wgmma_plan(network: Network, device: Device, asked: str) -> KernelPlan | None:
    """One LSTM layer whose states fit the registers of four warps; None for others.

    Of Hopper alone: no other generation has its instructions.
    """
    first = network.layers[0]
    hidden_tiles = tiles_of(first.hidden_size)
    input_tiles = tiles_of(first.input_size + GROUP_ONES)
    if (
        device.capability != 90
        or asked != "medium"
        or len(network.layers) > 1
        or first.cell != "lstm"
        or not network.usual
        or hidden_tiles not in _GROUPS
        or input_tiles > _MOST_GROUP_INPUT_TILES
    ):
        return None
    packed, groups = pack_wgmma(network), _GROUPS[hidden_tiles]
    warp_words = _prediction_words(1)
    shared = (packed.words + groups * 4 * warp_words) * 4
    if shared > device.shared_per_block:
        return None
    return KernelPlan(
        kernel="wgmma",
        precision=asked,
        asked=asked,
        columns=64,
        threads=128 * groups,
        blocks=1,
        grid=device.multiprocessors,
        shared_bytes=shared,
        config={
            "kOnChip": "true",
            "kParts": "1",
            "kRows": "1",
            "kInputTiles": str(input_tiles),
            "kHiddenTiles": str(hidden_tiles),
            "kExact": "true",
            "Math": "slidecell::HardwareMath",
        },
        packed=packed,
        layers=[{}],
        arguments={"warp_words": warp_words, "first_warp": packed.words, "prediction": 0},
    )


def plan_network(
    network: Network, device: Device, *, window: int, stride: int = 1, precision: str = "highest"
) -> KernelPlan:
    """Plan the scoring of a network; the plan's ``precision`` is never lower than asked for.

    ``"high"`` and ``"medium"`` run on the matrix units where there are any (from sm_80 on) and the
    network's operands fit a warp's registers, and as ``"highest"`` elsewhere.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision: expected one of {', '.join(map(repr, PRECISIONS))}, got {precision!r}"
        )
    plan = _wgmma_plan(network, device, precision)
    if plan is not None:
        return plan
    if precision != "highest" and device.matrix_unit:
        packed = pack_mma(network, 2 if precision == "high" else 1)
        for on_chip in (True, False):
            for rows in (2, 1):
                plan = _mma_plan(network, packed, device, precision, rows=rows, on_chip=on_chip)
                if plan is not None:
                    return plan
    return plan_fma(network, device, window=window, stride=stride, asked=precision)
