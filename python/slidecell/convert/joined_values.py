"""Several values made one: side by side, row by row, or added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.convert.axes import axis, flat
from slidecell.convert.graph import Linear, Node
from slidecell.convert.heads import merged
from slidecell.convert.values import SKIP, Value

__all__ = ["concatenated", "linear_sum"]

Array = npt.NDArray[Any]


def concatenated(name: str, values: Sequence[Value], axis_: int) -> Value:
    """Return values side by side: features of one vector, or all rows of a window in order."""
    first = values[0]
    axis_ = first.place(axis_)
    rows = [value.row for value in values]
    if all(not value.axes[axis_] and value.nodes == first.nodes for value in values) and rows == [
        *range(first.trace.window)
    ]:
        axes = list(first.axes)
        axes[axis_] = axis("time", len(values))
        return replace(first, axes=tuple(axes)).with_all_rows()
    parts = [value.vector(name).ordered(name) for value in values]
    for value in parts:
        others = [one for n, one in enumerate(value.axes) if n != axis_]
        if (
            flat(others, "feature")
            or any(atom.label != "feature" for atom in value.axes[axis_])
            or [flat((one,), "batch") for one in value.axes]
            != [flat((one,), "batch") for one in parts[0].axes]
        ):
            first.trace.refuse(
                name,
                "joins other things than the features of one step, or all rows in order",
                "read h_n, or the output at all rows",
            )
    nodes, maps = _over_one(name, parts, "joins")
    weight = np.concatenate([linear.weight for linear in maps])
    axes = list(parts[0].axes)
    axes[axis_] = axis("feature", len(weight))
    start = replace(parts[0], nodes=nodes, axes=tuple(axes))
    return _mapped(start, Linear(name, weight, _biases(maps)))


def linear_sum(name: str, a: Value, b: Value, factor: float = 1.0) -> Value:
    """Return a + factor b, where both are linear in the same vector."""
    parts = [value.vector(name).ordered(name) for value in (a, b)]
    if parts[0].axes != parts[1].axes:
        a.trace.refuse(name, "adds values of different shapes", SKIP)
    nodes, (left, right) = _over_one(name, parts, "adds")
    weight = left.weight + factor * right.weight
    bias: Array | None = None
    if left.bias is not None or right.bias is not None:
        bias = np.zeros(len(weight))
        bias += 0 if left.bias is None else left.bias
        bias += 0 if right.bias is None else factor * right.bias
    return _mapped(replace(parts[0], nodes=nodes), Linear(name, weight, bias))


def _over_one(
    name: str, values: Sequence[Value], verb: str
) -> tuple[tuple[Node, ...], list[Linear]]:
    """Return what several values have in common, and the linear map from there to each."""
    first = values[0]
    common = min(len(value.nodes) for value in values)
    for place in range(common):
        if any(value.nodes[place] is not first.nodes[place] for value in values):
            common = place
            break
    maps: list[Linear] = []
    for value in values:
        rest = value.nodes[common:]
        if not all(isinstance(node, Linear) for node in rest):
            named = next(node.name for node in rest if not isinstance(node, Linear))
            first.trace.refuse(
                name, f"{verb} what different layers give ({named!r} is in one alone)", SKIP
            )
        entries = merged([node for node in rest if isinstance(node, Linear)])
        one = entries[0] if entries else Linear(name, np.eye(value.width))
        assert isinstance(one, Linear)
        maps.append(one)
    return first.nodes[:common], maps


def _mapped(value: Value, linear: Linear) -> Value:
    """Return the value after a linear map, which leaves its axes: itself where nothing changes."""
    rows, columns = linear.weight.shape
    if linear.bias is None and rows == columns and (linear.weight == np.eye(rows)).all():
        return replace(value, width=rows)
    return replace(value, nodes=value.trace.after(value.nodes, linear), width=rows)


def _biases(maps: Sequence[Linear]) -> Array | None:
    if all(one.bias is None for one in maps):
        return None
    return np.concatenate(
        [np.zeros(one.output_size) if one.bias is None else one.bias for one in maps]
    )
