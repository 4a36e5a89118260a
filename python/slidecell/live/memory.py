"""How much memory a thing takes with all that belongs to it alone."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

__all__ = ["memory_of"]

_OF_ALL = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, bool, type(None))
_SMALL_INTS = range(-5, 257)  # which Python keeps once


def memory_of(thing: object, shared: set[int]) -> int:
    """Return the bytes of a thing and of what it refers to.

    Parameters
    ----------
    thing : object
    shared : set of int
        The ``id`` of what does not count. All that was counted is added.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.live.memory import memory_of
    >>> table = np.zeros(1000)
    >>> memory_of({"a": table, "b": table}, set()) // 1000, memory_of([table], {id(table)}) < 100
    (8, True)
    """
    total, waiting = 0, [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in shared or isinstance(one, _OF_ALL):
            continue
        if isinstance(one, int) and one in _SMALL_INTS:
            continue
        shared.add(id(one))
        total += sys.getsizeof(one)
        waiting.extend(_parts(one))
    return total


def _parts(one: Any) -> Iterator[object]:
    if isinstance(one, dict):
        yield from one
        yield from one.values()
    elif isinstance(one, (list, tuple, set, frozenset, deque)):
        yield from one
    elif isinstance(one, np.ndarray):
        yield one.base
    elif hasattr(one, "__dict__"):
        # The names are those of all things of its class.
        yield from vars(one).values()
    for kind in type(one).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            yield getattr(one, name, None)
