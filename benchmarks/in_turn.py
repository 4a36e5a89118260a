"""Calls timed in turn, a b a b ..., by the clock and by what the processors were busy."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time, sleep

# An idle OpenMP thread spins for some milliseconds before it sleeps: a call must not pay for the
# threads of the one before.
_REST_SECONDS = 0.005


@dataclass(frozen=True)
class Timed:
    """One function: a figure per round, each per call."""

    seconds: list[float]
    cpu_seconds: list[float]  # of all threads together


def timed_in_turn(
    runs: Sequence[Callable[[], object]], *, rounds: int, min_seconds: float = 0.0
) -> list[Timed]:
    """Time each, `rounds` times; a sample is as many calls in a row as take `min_seconds`.

    Every function must have been called before: first calls compile, allocate, start threads.
    """
    found = [Timed([], []) for _ in runs]
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        calls = [1 for _ in runs]
        if min_seconds:
            calls = [max(1, math.ceil(min_seconds / max(_sample(run, 1)[0], 1e-9))) for run in runs]
        for _ in range(rounds):
            for run, count, timed in zip(runs, calls, found, strict=True):
                wall, cpu = _sample(run, count)
                timed.seconds.append(wall)
                timed.cpu_seconds.append(cpu)
    finally:
        if enabled:
            gc.enable()
    return found


def _sample(run: Callable[[], object], calls: int) -> tuple[float, float]:
    sleep(_REST_SECONDS)
    cpu, wall = process_time(), perf_counter()
    for _ in range(calls):
        run()
    return (perf_counter() - wall) / calls, (process_time() - cpu) / calls
