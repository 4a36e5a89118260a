"""Recurrent layers of Keras as nodes: gates in torch's order, kernels transposed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from slidecell._cells import CELLS, CellName
from slidecell.convert.graph import Direction, LastStep, Node, Recurrent
from slidecell.convert.keras_activations import function_name
from slidecell.convert.keras_layer import Flow, Layer

__all__ = ["CELL_LAYERS", "bidirectional", "recurrent"]

# Keras' layers and the cells inside `RNN` of each cell of ours.
CELL_LAYERS: dict[str, CellName] = {
    "LSTM": "lstm",
    "GRU": "gru",
    "SimpleRNN": "rnn",
    "LSTMCell": "lstm",
    "GRUCell": "gru",
    "SimpleRNNCell": "rnn",
}
_ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
_GATES = ("sigmoid", "hard_sigmoid")
# Gates in the order in which Keras has them, as places among torch's: LSTM i f c o are i f g o,
# GRU z r h are r z n.
_ORDERS = {"lstm": (0, 1, 2, 3), "gru": (1, 0, 2), "rnn": (0,)}


def recurrent(layer: Layer, flow: Flow) -> tuple[list[Node], Flow]:
    """Return the nodes of an LSTM, GRU, SimpleRNN or RNN layer."""
    steps = _steps(layer, flow)
    node = _one_direction(layer, flow.width, backwards=False)
    return _with_last_step(layer, node, steps, sequences=layer.flag("return_sequences"))


def bidirectional(layer: Layer, flow: Flow) -> tuple[list[Node], Flow]:
    """Return the nodes of a Bidirectional layer."""
    steps = _steps(layer, flow)
    mode = layer.option("merge_mode", "concat")
    if mode != "concat":
        layer.refuse(
            f"merges its directions by {mode!r}", "expected merge_mode='concat': train it so"
        )
    forward = layer.inner(layer.option("layer"), "forward_layer")
    # Without one of its own the backward layer is a copy of the forward one.
    backward = layer.inner(
        layer.option("backward_layer") or layer.option("layer"), "backward_layer"
    )
    if not layer.option("backward_layer"):
        backward = replace(backward, config={**backward.config, "go_backwards": True})
    for part in (forward, backward):
        if part.kind not in (*CELL_LAYERS, "RNN") or part.kind.endswith("Cell"):
            layer.refuse(f"runs {part.kind} in both directions", "expected LSTM, GRU or SimpleRNN")
    there = _one_direction(forward, flow.width, backwards=False)
    back = _one_direction(backward, flow.width, backwards=True)
    traits = ("cell", "hidden_size", "activation", "recurrent_activation", "reset_after")
    for trait in traits:
        a, b = getattr(there, trait), getattr(back, trait)
        if a != b:
            layer.refuse(
                f"has {trait} {a!r} forward and {b!r} backward", "expected both directions alike"
            )
    sequences = forward.flag("return_sequences")
    if backward.flag("return_sequences") != sequences:
        layer.refuse("returns all steps in one direction alone", "expected both directions alike")
    node = replace(there, name=layer.name, backward=back.forward)
    return _with_last_step(layer, node, steps, sequences=sequences)


def _steps(layer: Layer, flow: Flow) -> int:
    if flow.steps is None:
        layer.refuse("reads a vector", "expected rows: repeat the vector (RepeatVector)")
    return flow.steps


def _with_last_step(
    layer: Layer, node: Recurrent, steps: int, *, sequences: bool
) -> tuple[list[Node], Flow]:
    if sequences:
        return [node], Flow(node.output_size, steps)
    return [node, LastStep(layer.name)], Flow(node.output_size)


def _one_direction(layer: Layer, width: int, *, backwards: bool) -> Recurrent:
    """Return a layer that runs in one direction, whose weights are `forward` of the node."""
    if layer.flag("stateful"):
        layer.refuse(
            "keeps its state from one batch to the next (stateful=True)",
            "build the model with stateful=False and set its weights: windows start from zeros",
        )
    if layer.flag("go_backwards") and not backwards:
        layer.refuse(
            "reads the window from its end (go_backwards=True)",
            "train it forward, or as one half of a Bidirectional layer",
        )
    if backwards and not layer.flag("go_backwards"):
        layer.refuse("runs forward as the backward layer", "expected go_backwards=True")
    if layer.flag("time_major"):
        layer.refuse("reads [W, N, F] (time_major=True)", "build it for [N, W, F]")
    cell = _cell_of(layer)
    kind = CELL_LAYERS[cell.kind]
    units, gates = cell.size("units"), CELLS[kind].gates
    after = kind != "gru" or cell.flag("reset_after", default=True)
    activation = function_name(cell, "activation", "tanh", _ACTIVATIONS)
    gate = "sigmoid"
    if gates > 1:
        gate = function_name(cell, "recurrent_activation", "sigmoid", _GATES)
        if gate == "hard_sigmoid" and cell.version < 3:
            cell.refuse(
                "has gates hard_sigmoid of Keras 2, clip(0.2 x + 0.5, 0, 1)",
                "train it with sigmoid, or with Keras 3's hard_sigmoid",
            )
    shapes: list[tuple[int, ...]] = [(width, gates * units), (units, gates * units)]
    if cell.flag("use_bias", default=True):
        shapes.append((2, gates * units) if kind == "gru" and after else (gates * units,))
    kernel, hidden, *bias = cell.variables(*shapes)
    rows = np.concatenate([np.arange(units) + place * units for place in _ORDERS[kind]])
    into, over = bias[0] if bias and bias[0].ndim == 2 else (bias[0] if bias else None, None)
    weights = Direction(
        kernel.T[rows],
        hidden.T[rows],
        None if into is None else into[rows],
        None if over is None else over[rows],
    )
    return Recurrent(
        layer.name,
        kind,
        weights,
        activation=activation,
        recurrent_activation=gate,
        reset_after=after,
    )


def _cell_of(layer: Layer) -> Layer:
    """Return the cell of a layer, whose variables are those of the layer."""
    if layer.kind != "RNN":
        return replace(layer, store=layer.store.child("cell"))
    cell = layer.inner(layer.option("cell"), "cell")
    if not cell.kind.endswith("Cell") or cell.kind not in CELL_LAYERS:
        layer.refuse(
            f"runs {cell.kind}", "expected LSTMCell, GRUCell or SimpleRNNCell; stack layers"
        )
    return cell
