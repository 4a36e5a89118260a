"""Cut the windows of a workload into batches, as the peers take them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.bench.workloads import Floats, ScoreWorkload

__all__ = ["Batch", "batches_of", "each"]


@dataclass(frozen=True)
class Batch:
    """Some windows, contiguous in their layout, and where their scores go."""

    x: Floats  # [n, W, F], or [W, n, F] time-major
    y: Floats | None  # [n, K*F]; None where the window itself is the target
    first: int
    end: int


def batches_of(
    workload: ScoreWorkload, size: int, *, time_major: bool, padded: bool = False
) -> list[Batch]:
    """Cut a workload's windows into batches of `size`, the last one shorter or padded with zeros.

    Examples
    --------
    >>> from slidecell.bench.batches import batches_of
    >>> from slidecell.bench.cases import SCORE_CASES
    >>> workload = SCORE_CASES[0].workload(100)
    >>> [batch.x.shape for batch in batches_of(workload, 64, time_major=True)]
    [(7, 64, 7), (7, 34, 7)]
    """
    x, y = workload.windows
    targets = y.reshape(len(y), -1) if workload.horizon else None

    def cut(array: Floats, at: int) -> Floats:
        part = array[at : at + size]
        if padded and len(part) < size:
            part = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), part.dtype)])
        return part

    def batch(at: int) -> Batch:
        part = cut(x, at)
        layout = np.ascontiguousarray(part.transpose(1, 0, 2)) if time_major else part
        ahead = None if targets is None else cut(targets, at)
        return Batch(layout, ahead, at, min(at + size, len(x)))

    return [batch(at) for at in range(0, len(x), size)]


def each(
    work: Callable[[Any], npt.NDArray[Any]], items: list[Any], requests: int
) -> Iterator[npt.NDArray[Any]]:
    """Apply `work` to all items in order, or to some at a time in threads of their own.

    Examples
    --------
    >>> from slidecell.bench.batches import each
    >>> list(each(lambda x: x + 1, [1, 2, 3], 2))
    [2, 3, 4]
    """
    if requests == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(requests) as pool:
        yield from pool.map(work, items)
