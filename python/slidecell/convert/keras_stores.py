"""Where the variables of Keras layers are: in a live model, here; in a file, see `keras_files`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["LiveStore", "Store", "Variables"]

Variables: TypeAlias = Sequence[npt.NDArray[Any]]


class Store(Protocol):
    """The variables of a layer or a model, in the order in which Keras saves them."""

    def variables(self) -> Variables:
        """Return the layer's own variables."""

    def child(self, attribute: str) -> Store:
        """Return those of a layer inside this one: "cell", "layer", "forward_layer", ..."""

    def layers(self, layers: Sequence[Mapping[str, Any]]) -> Sequence[Store]:
        """Return those of the layers of a model, of which these are the configurations."""


class LiveStore:
    """The variables of a Keras layer in memory.

    Parameters
    ----------
    layer : keras.Layer
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def variables(self) -> Variables:
        """Return the layer's own variables, as `keras.Layer.save_own_variables` gives them."""
        kept: dict[str, Any] = {}
        self.layer.save_own_variables(kept)
        return [_as_array(value) for value in kept.values()]

    def child(self, attribute: str) -> LiveStore:
        """Return the store of a layer inside this one."""
        return LiveStore(getattr(self.layer, attribute))

    def layers(self, layers: Sequence[Mapping[str, Any]]) -> Sequence[Store]:
        """Return the stores of a model's layers, by their names."""
        by_name = {layer.name: layer for layer in self.layer.layers}
        return [LiveStore(by_name.get(layer["config"].get("name"))) for layer in layers]


def _as_array(value: Any) -> npt.NDArray[Any]:
    """Return a variable or a tensor of any backend as an array."""
    from keras import ops

    array = np.asarray(ops.convert_to_numpy(value))
    return array.astype(np.float32) if array.dtype.kind == "V" else array  # bfloat16
