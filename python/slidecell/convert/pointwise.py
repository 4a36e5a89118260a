"""Functions of each element that a graph spells out in several operations, such as gelu by erf.

They are composed as they come, and known by their numbers: whatever the order of the operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.convert.graph import Activation, Linear, Node
from slidecell.convert.values import Value

__all__ = ["Function", "Pointwise", "composed", "erf", "refuse_pointwise"]

Doubles = npt.NDArray[np.float64]
Function = Callable[..., Any]

erf: Function = np.vectorize(math.erf, otypes=[np.float64])
_AT = np.concatenate([[-1.0], np.linspace(-9.0, 9.0, 721), [-50.0, -20.0, 20.0, 50.0]])
_TOLERANCE = 1e-5  # relative to values above 1; constants in files are float32


def _leaky(slope: float | None) -> Function:
    return lambda x: np.where(x > 0, x, x * (0.0 if slope is None else slope))


def _function(node: Activation) -> Function:
    """Return an activation as a function of numpy arrays."""
    known: dict[str, Function] = {
        "relu": _leaky(0.0),
        "tanh": np.tanh,
        "sigmoid": lambda x: 0.5 + 0.5 * np.tanh(0.5 * x),
        "gelu": lambda x: 0.5 * x * (1.0 + erf(x / math.sqrt(2.0))),
        "gelu_tanh": lambda x: (
            0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
        ),
        "leaky_relu": _leaky(node.slope),
    }
    return known[node.function]


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A function of each element of `base` that is not known yet, which the node `name` ends."""

    name: str
    base: Value
    function: Function


def composed(
    name: str, function: Function, operands: Sequence[Value | Pointwise | float]
) -> Value | Pointwise:
    """Return a function of values and numbers that all come of the same elements.

    A value where it is a known activation of them; refused where they differ.
    """
    values = [operand for operand in operands if not isinstance(operand, float)]
    bases = [value.base if isinstance(value, Pointwise) else value for value in values]
    first = bases[0]
    common = _common([base.nodes for base in bases])
    tails = [_composition(base.nodes[common:]) for base in bases]
    if any(tail is None for tail in tails) or any(
        base.axes != first.axes or base.row != first.row for base in bases
    ):
        first.trace.refuse(
            name, "multiplies values with each other", "leave the gate or attention out"
        )
    inner = [
        _after(value.function, tail) if isinstance(value, Pointwise) else tail
        for value, tail in zip(values, tails, strict=True)
    ]

    def whole(x: Doubles) -> Any:
        each = iter(inner)
        # Not zip: numbers keep their places among the values.
        return function(
            *(
                operand if isinstance(operand, float) else next(each)(x)  # type: ignore[misc]
                for operand in operands
            )
        )

    base = replace(first, nodes=first.nodes[:common])
    known = _known(whole)
    return Pointwise(name, base, whole) if known is None else base.activated(name, *known)


def refuse_pointwise(value: Pointwise) -> None:
    """Refuse a function that is no activation which models have."""
    value.base.trace.refuse(
        value.name,
        "ends a function of each element that is none of relu, tanh, sigmoid, gelu and leaky relu",
        "use one of them",
    )


def _known(function: Function) -> tuple[str, float | None] | None:
    with np.errstate(all="ignore"):
        ours = np.asarray(function(_AT), np.float64)
    if ours.shape != _AT.shape:
        return None
    slope = float(-ours[0])  # what it makes of -1
    nodes = [Activation("", name) for name in ("relu", "tanh", "sigmoid", "gelu", "gelu_tanh")] + [
        Activation("", "leaky_relu", slope)
    ]
    for node in nodes:
        theirs = np.asarray(_function(node)(_AT))
        # NaN is no match.
        if (np.abs(ours - theirs) <= _TOLERANCE * np.maximum(1.0, np.abs(theirs))).all():
            return node.function, node.slope
    return None


def _common(chains: Sequence[tuple[Node, ...]]) -> int:
    """Return how many nodes several chains begin with alike."""
    count = min(len(chain) for chain in chains)
    for place in range(count):
        if any(chain[place] is not chains[0][place] for chain in chains):
            count = place
            break
    return count


def _composition(nodes: Sequence[Node]) -> Function | None:
    """Return what nodes do to each element alike; None where they do more."""
    result: Function = np.asarray
    for node in nodes:
        if isinstance(node, Activation):
            result = _after(_function(node), result)
        elif isinstance(node, Linear) and (scaling := _uniform(node)) is not None:
            result = _after(scaling, result)
        else:
            return None
    return result


def _uniform(node: Linear) -> Function | None:
    rows, columns = node.weight.shape
    if rows != columns:
        return None
    scale = float(node.weight[0, 0])
    bias = np.zeros(rows) if node.bias is None else node.bias
    if (node.weight != scale * np.eye(rows)).any() or (bias != bias[0]).any():
        return None
    shift = float(bias[0])
    return lambda x: scale * x + shift


def _after(outer: Function, inner: Function | None) -> Function:
    assert inner is not None
    return lambda x: outer(inner(x))
