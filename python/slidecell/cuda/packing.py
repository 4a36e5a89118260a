"""Weights in the layouts that the kernels read: paddings and gate orders are dealt with here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from slidecell.cuda.network_weights import Layer, Network

Words = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]

_MATRIX = 16  # inputs or units in a matrix tile
_BLOCK = 8  # units that the matrix kernel computes at once


def round_up(value: int, step: int) -> int:
    """Smallest multiple of ``step`` that is at least ``value``."""
    return -(-value // step) * step


def tiles_of(size: int) -> int:
    """Matrix tiles that hold ``size`` inputs or units."""
    return -(-size // _MATRIX)


@dataclass
class Packed:
    """Packed weights and where they lie, in 4-byte words.

    ``layers`` has one dict per layer with the fields of `structs.LAYER` that tell of weights,
    ``net`` the head's.
    """

    layers: list[dict[str, int]] = field(default_factory=list)
    net: dict[str, int] = field(default_factory=dict)
    parts: list[Words] = field(default_factory=list)
    words: int = 0

    def add(self, values: Floats | Words) -> int:
        """Append an array of 4-byte numbers, 16-byte aligned; returns where it begins."""
        at = self.words
        flat = np.ascontiguousarray(values).reshape(-1).view(np.uint32)
        padded = np.zeros(round_up(flat.size, 4), np.uint32)
        padded[: flat.size] = flat
        self.parts.append(padded)
        self.words += padded.size
        return at

    def data(self) -> Words:
        """All of it as one array."""
        return np.concatenate(self.parts)


def _by_depth(w: Floats, gates: int, padded: int) -> Floats:
    """[G*H, depth] -> [depth, G, padded]."""
    H, depth = w.shape[0] // gates, w.shape[1]
    out = np.zeros((depth, gates, padded), np.float32)
    out[:, :, :H] = w.reshape(gates, H, depth).transpose(2, 0, 1)
    return out


def _padded_rows(b: Floats, rows: int, padded: int) -> Floats:
    """[rows*H] -> [rows, padded]."""
    out = np.zeros((rows, padded), np.float32)
    out[:, : b.size // rows] = b.reshape(rows, -1)
    return out


def pack_fma(network: Network) -> Packed:
    """Weights for the float32 kernel: by depth, so that 4 units of a gate are 16 bytes."""
    packed = Packed()
    for layer in network.layers:
        padded, G = round_up(layer.hidden_size, 4), layer.gates
        entry = {
            "padded": padded,
            "w_ih": packed.add(_by_depth(layer.w_ih, G, padded)),
            "w_hh": packed.add(_by_depth(layer.w_hh, G, padded)),
            "bias": packed.add(_padded_rows(layer.bias, G, padded)),
        }
        if layer.b_hn is not None:
            entry["b_hn"] = packed.add(_padded_rows(layer.b_hn, layer.traits.apart, padded))
        packed.layers.append(entry)
    D = len(network.head_w)
    head_padded = round_up(D, 4)
    packed.net = {"head_rows": D, "head_padded": head_padded}
    packed.net["head_w"] = packed.add(_by_depth(network.head_w, 1, head_padded))
    packed.net["head_b"] = packed.add(_padded_rows(network.head_b, 1, head_padded))
    return packed


def bf16(values: Floats) -> npt.NDArray[np.uint16]:
    """Round to nearest even, as 16 bits.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.cuda.packing import bf16
    >>> hex(bf16(np.float32([1.0]))[0])
    '0x3f80'
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return rounded.astype(np.uint16)


def _split(values: Floats, parts: int) -> list[npt.NDArray[np.uint16]]:
    """One or two bf16 numbers whose sum is nearest to each value."""
    first = bf16(values)
    if parts == 1:
        return [first]
    kept = (first.astype(np.uint32) << 16).view(np.float32)
    return [first, bf16(values - kept)]


def _fragments(w: Floats, gates: int, parts: int, padded: int) -> Words:
    """[G*H, depth] -> [blocks of 8 units][tiles of 16][gate][part][lane][2] pairs of bf16.

    Lane 4g+t of a block holds, of unit g, the inputs 2t, 2t+1 and 2t+8, 2t+9 of each tile. There
    are blocks for ``padded`` units.
    """
    H, depth = w.shape[0] // gates, w.shape[1]
    tiles = tiles_of(depth)
    blocks = padded // _BLOCK
    full = np.zeros((gates, blocks * _BLOCK, tiles * _MATRIX), np.float32)
    full[:, :H, :depth] = w.reshape(gates, H, depth)
    out = np.empty((blocks, tiles, gates, parts, 8, 4, 2, 2), np.uint16)
    for p, values in enumerate(_split(full, parts)):
        # [gate, block, unit, tile, half, pair, 2] -> [block, tile, gate, unit, pair, half, 2]
        by_lane = values.reshape(gates, blocks, 8, tiles, 2, 4, 2)
        out[:, :, :, p] = by_lane.transpose(1, 3, 0, 2, 5, 4, 6)
    return out.view(np.uint32)


def _matrix_bias(layer: Layer, padded: int, factors: Floats) -> Floats:
    """Rows as the matrix kernel sums them: those of gates that stay apart come last once more."""
    rows = _padded_rows(layer.bias, layer.gates, padded) * factors[:, None]
    if layer.b_hn is None:
        return rows
    apart = layer.traits.apart
    of_h = _padded_rows(layer.b_hn, apart, padded) * factors[-apart:, None]
    return np.concatenate([rows, of_h])


def _gate_factors(layer: Layer, parts: int) -> Floats:
    """[G]: 1/2 for gates whose sigmoid the kernel takes as that of half the sum, else 1."""
    factors = np.ones(layer.gates, np.float32)
    if parts == 1 and layer.recurrent_activation == "sigmoid":
        factors[np.arange(layer.gates) != layer.traits.candidate] = 0.5
    return factors


def _add_matrix_head(packed: Packed, network: Network, parts: int) -> None:
    D = len(network.head_w)
    head_padded = round_up(D, _BLOCK)
    packed.net = {"head_rows": D, "head_padded": head_padded}
    packed.net["head_w"] = packed.add(_fragments(network.head_w, 1, parts, head_padded))
    packed.net["head_b"] = packed.add(_padded_rows(network.head_b, 1, head_padded))


# Inputs behind the features that are one: the biases are their weights, in two bf16 parts.
GROUP_ONES = 2


def _squares(w: Floats, padded: int) -> Words:
    """[4*H, depth] -> [16 units][tiles of 16][8 units][gate][half of 16 inputs][unit][8 inputs].

    What a group's matrix unit reads: squares of 8 columns (a gate of 8 units) and 8 rows, 128
    bytes each.
    """
    H, depth = w.shape[0] // 4, w.shape[1]
    tiles = tiles_of(depth)
    full = np.zeros((4, padded, tiles * _MATRIX), np.float32)
    full[:, :H, :depth] = w.reshape(4, H, depth)
    # [gate, 16 units, 8 units, unit, tile, half, input]
    halves = bf16(full).reshape(4, padded // 16, 2, 8, tiles, 2, 8)
    return np.ascontiguousarray(halves.transpose(1, 4, 2, 0, 5, 3, 6)).view(np.uint32)


def pack_wgmma(network: Network) -> Packed:
    """Weights of one LSTM layer for the matrix kernel of groups of four warps."""
    (layer,) = network.layers
    packed = Packed()
    tiles = tiles_of(layer.hidden_size)
    padded = tiles * _MATRIX
    of_row = np.repeat(_gate_factors(layer, 1), layer.hidden_size)[:, None]
    bias = layer.bias[:, None] * of_row
    first = (bf16(bias).astype(np.uint32) << 16).view(np.float32)
    with_ones = np.concatenate([layer.w_ih * of_row, first, bias - first], axis=1)
    packed.layers.append(
        {
            "padded": padded,
            "input_tiles": tiles_of(layer.input_size + GROUP_ONES),
            "hidden_tiles": tiles,
            "w_ih": packed.add(_squares(with_ones, padded)),
            "w_hh": packed.add(_squares(layer.w_hh * of_row, padded)),
        }
    )
    _add_matrix_head(packed, network, 1)
    return packed


def pack_mma(network: Network, parts: int) -> Packed:
    """Weights for the matrix kernel, as the lanes of a warp read them."""
    packed = Packed()
    for layer in network.layers:
        tiles = tiles_of(layer.hidden_size)
        padded = tiles * _MATRIX
        factors = _gate_factors(layer, parts)
        of_row = np.repeat(factors, layer.hidden_size)[:, None]
        packed.layers.append(
            {
                "padded": padded,
                "input_tiles": tiles_of(layer.input_size),
                "hidden_tiles": tiles,
                "w_ih": packed.add(_fragments(layer.w_ih * of_row, layer.gates, parts, padded)),
                "w_hh": packed.add(_fragments(layer.w_hh * of_row, layer.gates, parts, padded)),
                "bias": packed.add(_matrix_bias(layer, padded, factors)),
            }
        )
    _add_matrix_head(packed, network, parts)
    return packed
