"""RNN layers that a graph spells out row by row, as torch's newer ONNX exporter writes them.

Row t of W x + b is added to R h + c of the row before, and a tanh or relu makes the next h of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from slidecell.convert.axes import flat
from slidecell.convert.graph import Activation, Direction, Linear, Node, Recurrent
from slidecell.convert.values import Value

__all__ = ["Step", "as_one_layer", "step_of"]


@dataclass(frozen=True, eq=False)
class Step:
    """The sum of which the next h of an RNN is made.

    Attributes
    ----------
    value : Value
        With the axes and the row of the sum, and the nodes before the layer.
    weights : Direction
    activation : str
        Of the rows before.
    refusal : ValueError
        What it is refused with anywhere else.
    """

    value: Value
    weights: Direction
    activation: str
    refusal: ValueError

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.value.shape

    def activated(self, name: str, activation: str) -> Value:
        """Return h of this row."""
        if activation != self.activation:
            raise self.refusal
        layer = Recurrent(name, "rnn", self.weights, activation=activation)
        nodes = self.value.trace.after(self.value.nodes, layer)
        return replace(self.value, nodes=nodes, width=layer.output_size)


def step_of(a: Value, b: Value, refusal: ValueError) -> Step | None:
    """Return the sum of two values as one step of an RNN; None if it is none."""
    for h, x in ((a, b), (b, a)):
        if h.row is None or x.row != h.row + 1 or h.width != x.width or len(h.nodes) < 2:
            continue
        inner, recurrent = h.nodes[-2:]
        if not x.nodes or not isinstance(x.nodes[-1], Linear) or not isinstance(recurrent, Linear):
            continue
        before, read = x.nodes[:-1], x.nodes[-1]
        weights = Direction(read.weight, recurrent.weight, _bias(read), _bias(recurrent))
        activation = _continued(h.nodes, before, inner, weights)
        if activation is None or not _same_axes(h, x):
            continue
        longer = h if len(h.axes) >= len(x.axes) else x
        return Step(replace(longer, nodes=before, row=x.row), weights, activation, refusal)
    return None


def _continued(
    nodes: tuple[Node, ...], before: tuple[Node, ...], inner: Node, weights: Direction
) -> str | None:
    """Return the activation of the rows before, if they are of the same layer."""
    if isinstance(inner, Recurrent):
        own = inner.forward
        same = nodes[:-2] == before and all(
            np.array_equal(getattr(own, key), getattr(weights, key))
            for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        return inner.activation if same and inner.cell == "rnn" else None
    if not isinstance(inner, Activation) or inner.function not in ("tanh", "relu"):
        return None
    return inner.function if _is_first(nodes[:-2], before, weights) else None


def _is_first(nodes: tuple[Node, ...], before: tuple[Node, ...], weights: Direction) -> bool:
    """Whether a chain is what the layer makes of the first row, from a state of zeros."""
    if not nodes or nodes[:-1] != before or not isinstance(nodes[-1], Linear):
        return False
    assert weights.bias_ih is not None
    assert weights.bias_hh is not None
    return np.array_equal(nodes[-1].weight, weights.weight_ih) and np.allclose(
        _bias(nodes[-1]), weights.bias_ih + weights.bias_hh, rtol=0, atol=1e-7
    )


def _bias(node: Linear) -> npt.NDArray[np.float64]:
    bias = np.zeros(node.output_size) if node.bias is None else node.bias
    return np.asarray(bias, np.float64)


def _same_axes(a: Value, b: Value) -> bool:
    """Whether two values have the same axes but for those of one element."""
    return [one for one in a.axes if one] == [one for one in b.axes if one]


def as_one_layer(values: Sequence[Value]) -> list[Value]:
    """Return the rows of a window with the first as its layer gives it, where they are of one."""
    first, *others = values
    chain = others[0].nodes if others else ()
    layer = chain[-1] if chain else None
    if (
        first.row == 0
        and isinstance(layer, Recurrent)
        and len(first.nodes) > 1
        and isinstance(first.nodes[-1], Activation)
        and first.nodes[-1].function == layer.activation
        and layer.cell == "rnn"
        and not flat(first.axes, "time")
        and _is_first(first.nodes[:-1], chain[:-1], layer.forward)
    ):
        return [replace(first, nodes=chain), *others]
    return list(values)
