"""Peers: each has one or several ways to compute a workload, and the precision of its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["OURS", "Peer", "Run", "Ways"]

Run = Callable[[], Any]
Ways = dict[str, Run]

OURS = "slidecell"


def _always(_job: Any) -> bool:
    return True


@dataclass(frozen=True)
class Peer:
    """A contestant with one or several ways to compute a workload.

    ``ways(workload, threads)`` returns functions without arguments, by setting, that compute the
    whole workload once and return the answer. Short runs choose the setting; only the best one is
    then measured. What the first call of a way prepares is not counted: each peer says in its
    docstring what that is.

    Examples
    --------
    >>> from slidecell.bench.contestants import Peer
    >>> peer = Peer(lambda workload, threads: {"": lambda: workload + 1})
    >>> peer.ways(1, 1)[""](), peer.precision
    (2, 'highest')
    """

    ways: Callable[[Any, int], Ways]
    precision: str = (
        "highest"  # whose bound its answer must keep: "highest", "high", "medium", "low"
    )
    rows: int | None = None  # most rows that it gets, where the whole workload would take too long
    takes: Callable[[Any], bool] = _always  # whether it takes part in this workload at all
    isa_limited: bool = True  # whether it can be limited to older instructions
