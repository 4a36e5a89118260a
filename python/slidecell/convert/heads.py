"""Heads: chains of dense layers and activations, as a model file has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell.convert.graph import Activation, Linear, refuse

__all__ = ["HeadNode", "head_parts", "joined", "merged"]

HeadNode: TypeAlias = Linear | Activation
Array: TypeAlias = npt.NDArray[Any]

_MOST_DENSE = 4
_MOST_ENTRIES = 8


def merged(nodes: Sequence[HeadNode]) -> list[HeadNode]:
    """Return the chain with neighbouring dense layers multiplied to one, in float64.

    A dense layer without a neighbour stays as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.convert.graph import Linear
    >>> from slidecell.convert.heads import merged
    >>> (node,) = merged([Linear("a", 2 * np.eye(2)), Linear("b", 3 * np.eye(2))])
    >>> node.weight.tolist()
    [[6.0, 0.0], [0.0, 6.0]]
    """
    result: list[HeadNode] = []
    for node in nodes:
        if result and isinstance(node, Linear) and isinstance(result[-1], Linear):
            result[-1] = _product(result[-1], node)
        else:
            result.append(node)
    return result


def _product(first: Linear, then: Linear) -> Linear:
    weight = then.weight.astype(np.float64)
    bias = None if then.bias is None else then.bias.astype(np.float64)
    if first.bias is not None:
        shift = weight @ first.bias.astype(np.float64)
        bias = shift if bias is None else bias + shift
    return Linear(then.name, weight @ first.weight.astype(np.float64), bias)


def joined(source: str, mean: Sequence[HeadNode], variance: Sequence[HeadNode]) -> list[HeadNode]:
    """Return one head whose rows are those of `mean`, then those of `variance`.

    What both have in common is computed once; the rest side by side, which needs the same depth
    and the same activations.
    """
    common = 0
    for place, (a, b) in enumerate(zip(mean, variance, strict=False)):
        if a is not b:
            break
        if isinstance(a, Activation):
            common = place + 1
    # A dense layer that both share and that none follows by an activation is multiplied into both.
    shared, left, right = merged(mean[:common]), merged(mean[common:]), merged(variance[common:])
    alike = len(left) == len(right) and all(
        _same_kind(a, b) for a, b in zip(left, right, strict=True)
    )
    if not alike or not left:
        last = variance[-1].name if variance else "log variance"
        refuse(
            source,
            last,
            "computes the log variance by other layers than the mean's",
            "give both heads the same depth and the same activations",
        )
    below: HeadNode | None = None
    for a, b in zip(left, right, strict=True):
        if isinstance(a, Linear) and isinstance(b, Linear):
            # The first dense layers read the same; each further one reads its own half.
            stacked = _beside(a, b, same_input=below is None)
            shared.append(stacked)
            below = stacked
        else:
            shared.append(a)
    return shared


def _same_kind(a: HeadNode, b: HeadNode) -> bool:
    if isinstance(a, Activation) and isinstance(b, Activation):
        return (a.function, a.slope) == (b.function, b.slope)
    return isinstance(a, Linear) and isinstance(b, Linear)


def _beside(a: Linear, b: Linear, *, same_input: bool) -> Linear:
    (rows_a, columns_a), (rows_b, columns_b) = a.weight.shape, b.weight.shape
    if same_input:
        weight = np.concatenate([a.weight, b.weight])
    else:
        weight = np.zeros((rows_a + rows_b, columns_a + columns_b))
        weight[:rows_a, :columns_a] = a.weight
        weight[rows_a:, columns_a:] = b.weight
    if a.bias is None and b.bias is None:
        return Linear(a.name, weight)
    parts = [np.zeros(n.output_size) if n.bias is None else n.bias for n in (a, b)]
    return Linear(a.name, weight, np.concatenate(parts))


def head_parts(
    source: str, nodes: Sequence[HeadNode], code_size: int
) -> tuple[list[dict[str, Any]] | None, dict[str, Array]]:
    """Return the entries of a head in a model's metadata, and its tensors by name.

    The entries are None for one dense layer, whose tensors are ``head.weight`` and ``head.bias``.
    A head without a dense layer has one that changes nothing: h itself is the answer.

    Parameters
    ----------
    source : str
        What error texts begin with.
    nodes : sequence of Linear and Activation
        As `merged` returns them.
    code_size : int
        Numbers that the first node reads.
    """
    nodes = list(nodes)
    if not any(isinstance(node, Linear) for node in nodes):
        nodes.append(Linear("identity", np.eye(code_size)))
    if len(nodes) == 1 and isinstance(nodes[0], Linear):
        return None, _tensors("head", nodes[0])
    entries: list[dict[str, Any]] = []
    tensors: dict[str, Array] = {}
    dense = 0
    for node in nodes:
        if isinstance(node, Linear):
            dense += 1
            tensors.update(_tensors(f"head.{len(entries)}", node))
            entries.append({"output_size": node.output_size, "activation": "linear"})
        else:
            if not entries or entries[-1]["activation"] != "linear":
                entries.append({})
            entries[-1]["activation"] = node.function
            if node.slope is not None:
                entries[-1]["slope"] = node.slope
        if dense > _MOST_DENSE or len(entries) > _MOST_ENTRIES:
            refuse(
                source,
                node.name,
                f"is one more than the {_MOST_DENSE} dense layers of a head and the "
                f"{_MOST_ENTRIES} steps that go with them",
                "use fewer",
            )
    return entries, tensors


def _tensors(prefix: str, node: Linear) -> dict[str, Array]:
    tensors = {f"{prefix}.weight": node.weight}
    if node.bias is not None:
        tensors[f"{prefix}.bias"] = node.bias
    return tensors
