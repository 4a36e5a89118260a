"""The layers of a compiled model as plain arrays, for those who compute the same elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
    """One layer: gates in torch's order, `ifgo` or `rzn`; a GRU's reset gate after its product."""

    cell: str  # "lstm" or "gru"
    weight_ih: Array  # [gates*H, I]
    weight_hh: Array  # [gates*H, H]
    bias_ih: Array  # [gates*H]
    bias_hh: Array  # [gates*H]

    @property
    def input_size(self) -> int:
        """I."""
        return int(self.weight_ih.shape[1])

    @property
    def hidden_size(self) -> int:
        """H."""
        return int(self.weight_hh.shape[1])


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
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            arrays = (tensors[f"{part}.{number}.{name}_l0"].astype(dtype) for name in names)
            layers.append(Layer(layer["cell"], *arrays))
        parts.append(layers)
    return parts[0], parts[1]
