"""Plans of the float32 kernel on the ordinary cores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from slidecell._core import UnsupportedError
from slidecell.cuda.device import RESERVED_BYTES, Device
from slidecell.cuda.kernel_plan import KernelPlan, SharedMemory, common_config, flag
from slidecell.cuda.network_weights import Network
from slidecell.cuda.packing import Packed, pack_fma, round_up
from slidecell.cuda.structs import VECTOR

# Each thread has 4 units of 4 or 8 columns; 256 threads may have 255
# registers.
_THREADS = 256
_COLUMNS = (128, 64, 32, 16, 8)
_FEWEST_COLUMNS = 32
_MOST_STEPS = 64  # longer chunks of projected rows gain little
_FEWEST_STEPS = 4  # below, projecting a row once saves less than half of the work
_SLICE = 32  # predictions held at once


def _fma_states(network: Network, memory: SharedMemory, columns: int) -> list[dict[str, int]]:
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
    memory = SharedMemory(packed.words if choice.on_chip else 0)
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
            **common_config(network, choice.on_chip),
            "kProjectOnChip": flag(project_on_chip),
            "kQuads": str(choice.quads),
            "kStacked": flag(network.stacked),
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
