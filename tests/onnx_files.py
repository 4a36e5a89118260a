"""Small ONNX files for tests, written node by node, and ONNX Runtime's answers for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
W, F, H = 6, 3, 4


class Builder:
    """Nodes and constants of a file."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weights(self, *shape: int) -> str:
        return self.constant(self.rng.uniform(-0.6, 0.6, shape))

    def integers(self, *numbers: int) -> str:
        return self.constant(numbers, np.int64)

    def add(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        at = len(self.nodes)
        names = [f"v{at}_{n}" for n in range(outputs)]
        name = attributes.pop("name", f"{operator}_{at}")
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def layer(
        self, cell: str, x: str, size: int, *extra: str, bias: bool = True, **attributes: Any
    ) -> list[str]:
        """Add a layer; return Y, Y_h (and Y_c)."""
        D, G = 1 + (attributes.get("direction") == "bidirectional"), GATES[cell]
        hidden = attributes.setdefault("hidden_size", H)
        arrays = [self.weights(D, G * hidden, size), self.weights(D, G * hidden, hidden)]
        last = [self.weights(D, 2 * G * hidden)] if bias else ([""] if extra else [])
        outputs = 3 if cell == "LSTM" else 2
        names: list[str] = self.add(cell, x, *arrays, *last, *extra, outputs=outputs, **attributes)
        return names

    def dense(self, x: str, rows: int, out: int) -> str:
        product = self.add("MatMul", x, self.weights(rows, out))
        name: str = self.add("Add", product, self.weights(out))
        return name

    def model(
        self,
        *outputs: str,
        shape: Any = ("n", W, F),
        opset: int = 17,
        inputs: tuple[str, ...] = ("x",),
        kind: int = TensorProto.FLOAT,
    ) -> Any:
        given = [helper.make_tensor_value_info(name, kind, shape) for name in inputs]
        answers = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "test", given, answers, self.tensors)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8
        )


def forecaster(cell: str = "LSTM", *extra: str, **attributes: Any) -> Any:
    """A file of one layer that reads the last step, and a dense layer."""
    b = Builder()
    last = b.layer(cell, b.add("Transpose", "x", perm=[1, 0, 2]), F, *extra, **attributes)[1]
    if attributes.get("direction") == "bidirectional":
        last = b.add("Transpose", last, perm=[1, 0, 2])
        flat = b.add("Reshape", last, b.integers(0, 2 * H))
        return b.model(b.dense(flat, 2 * H, F))
    return b.model(b.dense(b.add("Squeeze", last, b.integers(0)), H, F))


def answers(data: bytes, x: np.ndarray) -> list[np.ndarray]:
    """What ONNX Runtime answers."""
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: x})
    return found
