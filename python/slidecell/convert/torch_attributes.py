"""Reads torch modules by their attributes: slidecell's own, and those that export cannot follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from slidecell._cells import CellName
from slidecell.convert.graph import (
    Direction,
    Graph,
    LastStep,
    Linear,
    Node,
    Recurrent,
    RepeatVector,
)
from slidecell.convert.interfaces import RecurrentLayer, SequenceNetwork
from slidecell.recurrent import TORCH_NAMES

__all__ = ["RECURRENT", "cell_of", "find_parts", "read_network", "read_parts"]

# torch's classes of every cell: layers and one step.
_CLASSES = {cell: tuple(getattr(nn, name) for name in names) for cell, names in TORCH_NAMES.items()}
RECURRENT = (*(layers for layers, _ in _CLASSES.values()), RecurrentLayer)


def read_network(module: SequenceNetwork) -> Graph:
    """Return what a `slidecell.training` module computes."""
    nodes: list[Node] = []
    for index, layer in enumerate(module.encoder):
        nodes += _layers(layer, f"encoder.{index}")
    first = nodes[0]
    assert isinstance(first, Recurrent)
    nodes.append(LastStep("last h"))
    if module.decoder:
        nodes.append(RepeatVector("repeat", module.window))
    for index, layer in enumerate(module.decoder):
        nodes += _layers(layer, f"decoder.{index}")
    nodes.append(_linear(module.head, "head"))
    horizon = module.horizon or None
    return Graph(first.input_size, module.window, tuple(nodes), horizon=horizon)


def read_parts(module: nn.Module, window: int) -> Graph:
    """Return what a module of one recurrent part and one linear head on its last step computes.

    Nothing here sees how the module joins them: `probes` looks for what it does beside them.

    Raises
    ------
    TypeError
        If anything else in it has weights.
    """
    recurrent, linear = find_parts(module)
    layers = _layers(recurrent, "recurrent")
    nodes: tuple[Node, ...] = (*layers, LastStep("last h"), _linear(linear, "head"))
    if linear.in_features != layers[-1].output_size:
        raise ValueError(
            f"module: expected a linear head on the last step, in_features="
            f"{layers[-1].output_size}, got {linear.in_features}"
        )
    return Graph(recurrent.input_size, window, nodes)


def find_parts(module: nn.Module) -> tuple[nn.RNNBase | RecurrentLayer, nn.Linear]:
    """Return the recurrent part and the linear one; TypeError if anything else has weights."""
    parts = {name: part for name, part in module.named_modules() if _has_tensors(part)}
    recurrent = [part for part in parts.values() if isinstance(part, RECURRENT)]
    linear = [part for part in parts.values() if isinstance(part, nn.Linear)]
    if len(recurrent) != 1 or len(linear) != 1 or len(parts) != 2:
        listed = ", ".join(
            f"{name or 'itself'}: {type(part).__name__}" for name, part in parts.items()
        )
        raise TypeError(
            f"module: expected one made of one recurrent part and one nn.Linear, got "
            f"{type(module).__name__} with weights in {listed or 'no part'}"
        )
    return recurrent[0], linear[0]


def _has_tensors(part: nn.Module) -> bool:
    parameter = next(part.parameters(recurse=False), None)
    return parameter is not None or next(part.buffers(recurse=False), None) is not None


def cell_of(layer: nn.Module) -> CellName | None:
    """Return the name of a layer's cell; None for any other module."""
    if isinstance(layer, RecurrentLayer):
        return layer.cell  # type: ignore[return-value]  # a name of `slidecell.recurrent.STACKS`
    return next((cell for cell, classes in _CLASSES.items() if isinstance(layer, classes)), None)


def _layers(layer: Any, name: str) -> list[Recurrent]:
    """Return one node per layer of an nn.LSTM, nn.GRU, nn.RNN or a `RecurrentLayer`."""
    cell = cell_of(layer)
    assert cell is not None
    return [
        Recurrent(
            name,
            cell,
            _direction(layer, f"l{index}"),
            _direction(layer, f"l{index}_reverse") if layer.bidirectional else None,
            getattr(layer, "nonlinearity", getattr(layer, "activation", "tanh")),
            getattr(layer, "recurrent_activation", "sigmoid"),
            getattr(layer, "reset_after", True),
        )
        for index in range(getattr(layer, "num_layers", 1))
    ]


def _direction(layer: Any, suffix: str) -> Direction:
    arrays = {
        name: None if tensor is None else _as_array(tensor)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        for tensor in (getattr(layer, f"{name}_{suffix}", None),)
    }
    return Direction(**arrays)  # type: ignore[arg-type]  # the two weights are always there


def _linear(head: nn.Linear, name: str) -> Linear:
    return Linear(name, _as_array(head.weight), None if head.bias is None else _as_array(head.bias))


def _as_array(tensor: Tensor) -> npt.NDArray[np.float32]:
    return tensor.detach().to("cpu", torch.float32).numpy()
