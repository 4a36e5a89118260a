"""LSTM, GRU and RNN nodes of ONNX as recurrent layers: their gates, activations and directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._cells import CELLS, CellName
from slidecell.convert.graph import Direction, Recurrent
from slidecell.convert.layers_over_rows import run_layers
from slidecell.convert.trace import Trace
from slidecell.convert.values import Value

__all__ = ["run_onnx_layer"]

Array = npt.NDArray[Any]
Attributes = Mapping[str, Any]

# The place in ONNX' order, iofc and zrh, of each gate of torch's, ifgo and rzn.
_ORDER: dict[CellName, tuple[int, ...]] = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "rnn": (0,)}
_DEFAULTS = {
    "lstm": ("Sigmoid", "Tanh", "Tanh"),
    "gru": ("Sigmoid", "Tanh"),
    "rnn": ("Tanh",),
}
_PLAIN = {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid"}
# Alpha and beta of the activations that have them, where the node does not say.
_PARAMETERS = {
    "affine": (1.0, 0.0),
    "elu": (1.0, None),
    "hardsigmoid": (0.2, 0.5),
    "leakyrelu": (0.01, None),
    "scaledtanh": (1.0, 1.0),
    "thresholdedrelu": (1.0, None),
}


def run_onnx_layer(
    trace: Trace, name: str, operator: str, inputs: list[Any], attributes: Attributes
) -> list[Value]:
    """Return Y, Y_h and Y_c of a node, in the axes that ONNX gives them."""
    cell: CellName = operator.lower()  # type: ignore[assignment]
    x, weight, recurrent, bias, lengths, h, c, peepholes = [*inputs, *[None] * 8][:8]
    _refuse_extras(trace, name, attributes, peepholes)
    if not isinstance(x, Value):
        trace.refuse(name, "reads the same whatever the window", "let it read its rows")
    if any(isinstance(array, Value) or array is None for array in (weight, recurrent)):
        trace.refuse(name, "takes weights that depend on the window", "give it constant ones")
    layout = int(attributes.get("layout", 0))
    time_axis = 1 if layout else 0
    if lengths is not None and (
        isinstance(lengths, Value) or (np.asarray(lengths) != x.shape[time_axis]).any()
    ):
        trace.refuse(
            name, "takes a length of each window (sequence_lens)", "give windows of one length"
        )
    direction = _text(attributes.get("direction", "forward"))
    layer = _layer(trace, name, cell, direction, (weight, recurrent, bias), attributes=attributes)
    state = [_state(part, layout) for part in ((h, c) if cell == "lstm" else (h,))]
    out, h_n, c_n = run_layers(name, x, [layer], time_axis=time_axis, state=state)
    size = layer.hidden_size
    if direction == "reverse":  # the forward direction is one of zeros
        out = out.sliced(name, 2, size, size)
        h_n, c_n = h_n.sliced(name, 0, 1, 1), h_n.sliced(name, 0, 1, 1)
    count = 2 if direction == "bidirectional" else 1
    first, second = out.shape[:2]
    out = out.reshaped(name, (first, second, count, size))
    if layout:
        return [out, h_n.permuted((1, 0, 2)), c_n.permuted((1, 0, 2))]
    return [out.permuted((0, 2, 1, 3)), h_n, c_n]


def _refuse_extras(trace: Trace, name: str, attributes: Attributes, peepholes: Any) -> None:
    if attributes.get("clip"):
        trace.refuse(name, f"cuts its sums at {attributes['clip']:g} (clip)", "train it without")
    if peepholes is not None and (isinstance(peepholes, Value) or np.any(peepholes)):
        trace.refuse(name, "has peepholes (P): its gates read c", "train it without")
    if attributes.get("input_forget"):
        trace.refuse(name, "couples input and forget gate (input_forget)", "train it without")


def _layer(
    trace: Trace,
    name: str,
    cell: CellName,
    direction: str,
    arrays: tuple[Array, Array, Any],
    *,
    attributes: Attributes,
) -> Recurrent:
    if direction not in ("forward", "reverse", "bidirectional"):
        trace.refuse(name, f"runs in direction {direction!r}", "run it forward or bidirectional")
    count = 2 if direction == "bidirectional" else 1
    gates = CELLS[cell].gates
    weight, recurrent = arrays[:2]
    size = int(attributes.get("hidden_size", recurrent.shape[-1] if recurrent.ndim else 0))
    bias = arrays[2]
    if isinstance(bias, Value):
        trace.refuse(name, "takes a bias that depends on the window", "give it a constant one")
    bias = np.zeros((count, 2 * gates * size if size < 1 << 20 else 0)) if bias is None else bias
    columns = weight.shape[2] if weight.ndim == 3 else 0
    for key, array, shape in (
        ("W", weight, (count, gates * size, columns)),
        ("R", recurrent, (count, gates * size, size)),
        ("B", bias, (count, 2 * gates * size)),
    ):
        if array.shape != shape or not size:
            trace.refuse(
                name, f"has {key} of shape {list(array.shape)}", f"give it shape {list(shape)}"
            )
    directions = [
        _direction(cell, weight[n], recurrent[n], np.split(bias[n], 2)) for n in range(count)
    ]
    if direction == "reverse":
        like = directions[0]
        zeros = Direction(np.zeros_like(like.weight_ih), np.zeros_like(like.weight_hh))
        directions.insert(0, zeros)
    activation, gate = _activations(trace, name, cell, direction, attributes)
    reset_after = bool(attributes.get("linear_before_reset", 0)) or cell != "gru"
    backward = directions[1] if len(directions) == 2 else None
    return Recurrent(name, cell, directions[0], backward, activation, gate, reset_after)


def _direction(cell: CellName, weight: Array, recurrent: Array, biases: list[Array]) -> Direction:
    def ordered(array: Array) -> Array:
        parts = np.split(_floats(array), len(_ORDER[cell]))
        return np.concatenate([parts[place] for place in _ORDER[cell]])

    return Direction(ordered(weight), ordered(recurrent), *(ordered(bias) for bias in biases))


def _floats(array: Array) -> Array:
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def _activations(
    trace: Trace, name: str, cell: CellName, direction: str, attributes: Attributes
) -> tuple[str, str]:
    """Return the activation of candidate and output, and that of the gates."""
    count = 2 if direction == "bidirectional" else 1
    each = len(_DEFAULTS[cell])
    given = [_text(one) for one in attributes.get("activations", ())] or [*_DEFAULTS[cell]] * count
    parameters = [iter(attributes.get(f"activation_{key}", ())) for key in ("alpha", "beta")]
    known = [_activation(trace, name, one, *parameters) for one in given]
    if len(known) != each * count:
        trace.refuse(name, f"names {len(known)} activations", f"give it {each * count}")
    sets = {tuple(known[start : start + each]) for start in range(0, len(known), each)}
    if len(sets) > 1:
        trace.refuse(name, "has other activations in its second direction", "use the same")
    one = sets.pop()
    gate, *others = one if cell != "rnn" else ("sigmoid", *one)
    if len(set(others)) > 1:
        trace.refuse(
            name,
            f"has {others[0]} as activation of the candidate and {others[1]} of the output",
            "use the same for both",
        )
    if gate not in ("sigmoid", "hard_sigmoid") or others[0] == "hard_sigmoid":
        trace.refuse(
            name,
            f"has gates of {gate} and {others[0]} of the candidate",
            "use sigmoid, or max(0, min(1, x/6 + 1/2)), for gates, and tanh, relu, sigmoid or the "
            "identity for the candidate",
        )
    return others[0], gate


def _activation(
    trace: Trace, name: str, given: str, alphas: Iterator[float], betas: Iterator[float]
) -> str:
    known = given.lower()
    if known in _PLAIN:
        return _PLAIN[known]
    first, second = _PARAMETERS.get(known, (None, None))
    alpha = None if first is None else next(alphas, first)
    beta = None if second is None else next(betas, second)
    if known == "affine" and (alpha, beta) == (1.0, 0.0):
        return "linear"
    if known == "hardsigmoid" and alpha is not None and abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return "hard_sigmoid"
    said = "".join(
        f", {key}={number:g}"
        for key, number in (("alpha", alpha), ("beta", beta))
        if number is not None
    )
    trace.refuse(
        name,
        f"has the activation {given}{said}",
        "use Sigmoid or HardSigmoid (alpha=1/6) for gates, Tanh, Relu, Sigmoid or Affine (1, 0) "
        "else",
    )


def _state(state: Any, layout: int) -> Any:
    if state is None or not layout:
        return state
    return state.permuted((1, 0, 2)) if isinstance(state, Value) else np.swapaxes(state, 0, 1)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
