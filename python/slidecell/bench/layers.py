"""Layers as plain arrays: those of a compiled model, for whoever computes the same elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._cells import CELLS, CellName
from slidecell.model import SequenceModel

__all__ = ["PLAIN", "Layer", "layers_of"]

Array = npt.NDArray[Any]

# The kind of layer that every peer has, as a model's metadata describe it.
PLAIN = {
    "proj_size": 0,
    "bidirectional": False,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "reset_after": True,
}


@dataclass(frozen=True)
class Layer:
    """One layer in one direction; gates in torch's order, `ifgo` or `rzn`.

    The defaults are what the layers of every peer have.
    """

    cell: CellName
    weight_ih: Array  # [gates*H, I]
    weight_hh: Array  # [gates*H, P or H]
    bias_ih: Array  # [gates*H]
    bias_hh: Array  # [gates*H]
    weight_hr: Array | None = None  # [P, H], an LSTM's projection of h
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    reset_after: bool = True  # a GRU's reset gate comes after its recurrent product

    @property
    def input_size(self) -> int:
        """I."""
        return int(self.weight_ih.shape[1])

    @property
    def hidden_size(self) -> int:
        """H."""
        return len(self.weight_hh) // CELLS[self.cell].gates


def layers_of(model: SequenceModel, dtype: Any = np.float32) -> tuple[list[Layer], list[Layer]]:
    """Return the layers of encoder and decoder.

    Raises
    ------
    ValueError
        If the model has something that the peers' layers lack: both directions, a projection,
        other activations, the reset gate before the product.

    Examples
    --------
    >>> from slidecell.bench.cases import SCORE_CASES
    >>> from slidecell.bench.layers import layers_of
    >>> encoder, decoder = layers_of(SCORE_CASES[0].workload(100).model)
    >>> encoder[0].cell, encoder[0].hidden_size, len(decoder)
    ('lstm', 16, 0)
    """
    metadata, tensors = model.metadata, model.tensors
    parts = []
    for part in ("encoder", "decoder"):
        layers = []
        for number, layer in enumerate(metadata[part]):
            other = [key for key, value in PLAIN.items() if layer[key] != value]
            if other:
                raise ValueError(f"model: expected plain layers, got {other[0]}={layer[other[0]]}")
            w_ih, w_hh, b_ih, b_hh = (
                tensors[f"{part}.{number}.{name}_l0"].astype(dtype)
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            layers.append(Layer(layer["cell"], w_ih, w_hh, b_ih, b_hh))
        parts.append(layers)
    return parts[0], parts[1]
