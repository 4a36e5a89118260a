"""Plans of the kernels on the matrix units: of warps on their own, and of groups of four."""

from __future__ import annotations

from slidecell.cuda.device import Device
from slidecell.cuda.kernel_plan import KernelPlan, SharedMemory, common_config, flag
from slidecell.cuda.network_weights import Network
from slidecell.cuda.packing import GROUP_ONES, Packed, pack_wgmma, tiles_of

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


def _prediction_words(rows: int) -> int:
    """Words of a warp's part for the predictions of eight outputs."""
    return 8 * (16 * rows + 4)


def _mma_states(network: Network, parts: int, rows: int) -> tuple[list[dict[str, int]], int, int]:
    """States in a warp's part, where its predictions lie, and how many words it has."""
    memory = SharedMemory(0)
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


def plan_mma(
    network: Network, packed: Packed, device: Device, asked: str, *, rows: int, on_chip: bool
) -> KernelPlan | None:
    """Plan ``16 * rows`` windows a warp; None where registers or memory do not suffice."""
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
            **common_config(network, on_chip),
            "kParts": str(parts),
            "kRows": str(rows),
            "kInputTiles": str(input_tiles),
            "kHiddenTiles": str(hidden_tiles),
            "kExact": flag(exact),
            "Math": "slidecell::HardwareMath" if parts == 1 else "slidecell::FastMath",
        },
        packed=packed,
        layers=states,
        arguments={"warp_words": warp_words, "first_warp": first_warp, "prediction": prediction},
    )


def plan_wgmma(network: Network, device: Device, asked: str) -> KernelPlan | None:
    """Plan one LSTM layer whose states fit the registers of four warps; None for others.

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
