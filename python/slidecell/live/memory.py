"""How much memory a thing takes with all that belongs to it alone."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

__all__ = ["mean_memory", "memory_of"]

_MEASURED = 100  # things, to tell what one takes
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


def mean_memory(things: Iterable[object], of_all: Iterable[object]) -> int:
    """Return the bytes that one of the first hundred things takes by itself: the mean.

    What belongs to ``of_all`` does not count, nor what an earlier one has too.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.live.memory import mean_memory
    >>> table = np.zeros(1000)
    >>> mean_memory([[table], [table, np.zeros(2000)]], [table]) // 1000
    8
    """
    shared: set[int] = set()
    for owner in of_all:
        memory_of(owner, shared)
    found = [memory_of(thing, shared) for thing in islice(things, _MEASURED)]
    return sum(found) // max(len(found), 1)


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
