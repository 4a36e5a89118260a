"""What the values of one network share: its sizes, and one object for each node."""

from __future__ import annotations

from dataclasses import dataclass, field, is_dataclass
from typing import Any, NoReturn

import numpy as np

from slidecell.convert.graph import Node, refuse

__all__ = ["Trace"]


@dataclass(eq=False)
class Trace:
    """What the values of one network share.

    Attributes
    ----------
    source : str
        What error texts begin with.
    windows, window, input_size : int
        N, W and F. N is any number that is neither W nor 1.
    """

    source: str
    windows: int
    window: int
    input_size: int
    _known: dict[tuple[int, ...], list[Node]] = field(default_factory=dict)

    def after(self, nodes: tuple[Node, ...], node: Node) -> tuple[Node, ...]:
        """Return the chain with one more node: the same object where it is the same once more."""
        known = self._known.setdefault(tuple(map(id, nodes)), [])
        for other in known:
            if _same(other, node):
                return (*nodes, other)
        known.append(node)
        return (*nodes, node)

    def refuse(self, name: str, what: str, instead: str) -> NoReturn:
        """Raise the ValueError of a node that has no form here."""
        refuse(self.source, name, what, instead)


def _same(a: Any, b: Any) -> bool:
    """Whether two nodes, or what they are made of, compute the same, whatever their names."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if is_dataclass(a):
        return all(key == "name" or _same(one, vars(b)[key]) for key, one in vars(a).items())
    return bool(a == b)
