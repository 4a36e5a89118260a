"""The scores of a compiled model as an ONNX graph: LSTM or GRU nodes, head and squared error."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.bench.layers import Layer, layers_of
from slidecell.model import SequenceModel

__all__ = ["onnx_scores"]

# The newest in which ReduceMean has its axes as an attribute, which every runtime knows.
OPSET, IR_VERSION = 17, 8
# ONNX: LSTM iofc, GRU zrh; torch: ifgo and rzn. An RNN has no gates.
_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}


def onnx_scores(model: SequenceModel, *, time_major: bool, batch: int | str = "n") -> bytes:
    """Return a model file: x [n, W, F] or [W, n, F], and y [n, K*F] of a forecaster -> scores [n].

    ONNX's own nodes are time-major; batch-first, the graph begins with a transposition.
    """
    from onnx import TensorProto, helper

    graph = _Graph()
    encoder, decoder = layers_of(model)
    x = "x" if time_major else graph.add("Transpose", "x", perm=[1, 0, 2])
    rows, last = x, ""
    for layer in encoder:
        rows, last = graph.layer(layer, rows)
    if decoder:
        shape = graph.constant(np.array([model.window, 1, 1], np.int64))
        rows = graph.add("Expand", last, shape)
        for layer in decoder:
            rows, _ = graph.layer(layer, rows)
    else:
        rows = graph.add("Squeeze", last, graph.constant(np.array([0], np.int64)))
    weight = graph.constant(np.ascontiguousarray(model.tensors["head.weight"].T))
    bias = graph.constant(model.tensors["head.bias"])
    predicted = graph.add("Add", graph.add("MatMul", rows, weight), bias)
    error = graph.add("Sub", predicted, x if decoder else "y")
    axes = [0, 2] if decoder else [1]
    square = graph.add("Mul", error, error)
    graph.add("ReduceMean", square, axes=axes, keepdims=0, output="scores")

    W, F = model.window, model.input_size
    shapes: dict[str, list[int | str]] = {"x": [W, batch, F] if time_major else [batch, W, F]}
    if not decoder:
        shapes["y"] = [batch, model.tensors["head.bias"].size]
    inputs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in shapes.items()]
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch])
    made = helper.make_graph(graph.nodes, "scores", inputs, [scores], graph.tensors)
    opset = [helper.make_opsetid("", OPSET)]
    data: bytes = helper.make_model(
        made, opset_imports=opset, ir_version=IR_VERSION
    ).SerializeToString()
    return data


class _Graph:
    """Nodes and constants, named by number."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output; return its name."""
        return self.node(operator, inputs, (output or f"value{len(self.nodes)}",), **attributes)[0]

    def node(
        self, operator: str, inputs: tuple[str, ...], outputs: tuple[str, ...], **attributes: Any
    ) -> tuple[str, ...]:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, outputs, **attributes))
        return outputs

    def constant(self, value: npt.NDArray[Any]) -> str:
        """Add a constant; return its name."""
        from onnx import numpy_helper

        name = f"constant{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(value, name))
        return name

    def layer(self, layer: Layer, x: str) -> tuple[str, str]:
        """Add a layer on x [T, n, I]; return its states [T, n, H] and the last one, [1, n, H]."""

        def ordered(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
            gates = np.split(array, len(_ORDER[layer.cell]))
            return np.concatenate([gates[gate] for gate in _ORDER[layer.cell]])

        bias = np.concatenate([ordered(layer.bias_ih), ordered(layer.bias_hh)])
        arrays = (ordered(layer.weight_ih), ordered(layer.weight_hh), bias)
        constants = tuple(self.constant(array[None]) for array in arrays)
        at = len(self.nodes)
        # torch's GRU has the reset gate after the recurrent product.
        extra = {"linear_before_reset": 1} if layer.cell == "gru" else {}
        out, last = self.node(
            layer.cell.upper(),
            (x, *constants),
            (f"states{at}", f"last{at}"),
            hidden_size=layer.hidden_size,
            **extra,
        )
        return self.add("Squeeze", out, self.constant(np.array([1], np.int64))), last
