"""What a model computes, as the planner and the packer need it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._core import UnsupportedError
from slidecell.cuda.cell_traits import CELLS, CellTraits, cell_name, number_of
from slidecell.cuda.structs import ACTIVATIONS, MAX_LAYERS, RECURRENT_ACTIVATIONS

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: sizes, activations and weights in torch's gate order."""

    cell: str  # of CELLS
    input_size: int
    hidden_size: int
    activation: str
    recurrent_activation: str
    w_ih: Floats  # [G*H, I]
    w_hh: Floats  # [G*H, H]
    bias: Floats  # [G*H]: what joins the input's product
    b_hn: Floats | None  # [A*H]: of the products with h of the A gates that stay apart, if any

    @property
    def traits(self) -> CellTraits:
        """What the cell is."""
        return CELLS[self.cell]

    @property
    def gates(self) -> int:
        """G, gates of the cell."""
        return self.traits.gates

    @property
    def codes(self) -> tuple[int, int, int]:
        """Cell and activations as the kernels number them."""
        return (
            number_of(self.cell),
            ACTIVATIONS.index(self.activation),
            RECURRENT_ACTIVATIONS.index(self.recurrent_activation),
        )


@dataclass(frozen=True, eq=False)
class Network:
    """An encoder, for autoencoders a decoder, and (but for plain layers) a head."""

    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]
    head_w: Floats  # [D, depth]; D = 0: no head
    head_b: Floats  # [D]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, the decoder's after the encoder's."""
        return self.encoder + self.decoder

    @property
    def input_size(self) -> int:
        """F, features per row."""
        return self.encoder[0].input_size

    @property
    def usual(self) -> bool:
        """Whether all activations are tanh and sigmoid."""
        return all(
            (layer.activation, layer.recurrent_activation) == ("tanh", "sigmoid")
            for layer in self.layers
        )

    @property
    def stacked(self) -> bool:
        """Whether a layer has another one below it."""
        return len(self.encoder) > 1 or len(self.decoder) > 1


def _layer(
    spec: Mapping[str, Any], tensors: Mapping[str, Floats], prefix: str, suffix: str
) -> Layer:
    if spec["bidirectional"]:
        raise UnsupportedError("cuda: bidirectional layers run on the CPU only")
    if spec["proj_size"]:
        raise UnsupportedError("cuda: layers with a projection (proj_size) run on the CPU only")
    cell = cell_name(spec["cell"], reset_after=spec["reset_after"])
    H, traits = int(spec["hidden_size"]), CELLS[cell]
    w_hh = np.asarray(tensors[f"{prefix}weight_hh{suffix}"], np.float32)
    bias = np.zeros(len(w_hh), np.float32)
    b_hh = tensors.get(f"{prefix}bias_hh{suffix}")
    b_ih = tensors.get(f"{prefix}bias_ih{suffix}")
    if b_ih is not None:
        bias += b_ih
    joined = (traits.gates - traits.apart) * H  # rows whose two biases are one
    b_hn = np.zeros(traits.apart * H, np.float32) if traits.apart else None
    if b_hh is not None:
        of_h = np.asarray(b_hh, np.float32)
        bias[:joined] += of_h[:joined]
        if b_hn is not None:
            b_hn[:] = of_h[joined:]
    return Layer(
        cell=cell,
        input_size=int(spec["input_size"]),
        hidden_size=H,
        activation=spec["activation"],
        recurrent_activation=spec["recurrent_activation"],
        w_ih=np.asarray(tensors[f"{prefix}weight_ih{suffix}"], np.float32),
        w_hh=w_hh,
        bias=bias,
        b_hn=b_hn,
    )


def _checked(network: Network) -> Network:
    if len(network.layers) > MAX_LAYERS:
        raise UnsupportedError(
            f"cuda: expected at most {MAX_LAYERS} layers, got {len(network.layers)}"
        )
    return network


def network_of_model(metadata: Mapping[str, Any], tensors: Mapping[str, Floats]) -> Network:
    """Take the network of a `SequenceModel` from its ``metadata`` and ``tensors``.

    Raises UnsupportedError for layers that no GPU kernel computes.
    """
    if metadata.get("head") is not None:
        raise UnsupportedError(
            "cuda: heads with a list of layers ('head' in the model's metadata) run on the CPU only"
        )
    if metadata.get("distribution") is not None:
        raise UnsupportedError(
            "cuda: heads that predict variances ('distribution' in the model's metadata) run on "
            "the CPU only"
        )
    stacks = [
        tuple(_layer(spec, tensors, f"{part}.{n}.", "_l0") for n, spec in enumerate(metadata[part]))
        for part in ("encoder", "decoder")
    ]
    head_w = np.asarray(tensors["head.weight"], np.float32)
    head_b = np.asarray(tensors.get("head.bias", np.zeros(len(head_w))), np.float32)
    return _checked(Network(stacks[0], stacks[1], head_w, head_b))


def network_of_layers(specs: Sequence[Mapping[str, Any]], tensors: Mapping[str, Floats]) -> Network:
    """Take the network of an `LSTM`, a `GRU` or an `RNN`: a stack without a head."""
    layers = tuple(_layer(spec, tensors, "", f"_l{n}") for n, spec in enumerate(specs))
    none = np.zeros((0, layers[-1].hidden_size), np.float32)
    return _checked(Network(layers, (), none, none[:, 0]))
