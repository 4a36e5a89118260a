"""The timer of every benchmark: contestants take turns, a b c a b c ..., within one run.

What disturbs the machine then disturbs all of them. A sample is as many calls in a row as take
`min_seconds`. The garbage collector is off meanwhile, and a pause before each sample lets the
threads of the contestant before fall asleep.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter, process_time, sleep
from typing import NamedTuple

__all__ = [
    "Sample",
    "Timed",
    "clock",
    "interleaved",
    "no_garbage_collection",
    "sample",
    "take_turns",
]

# An idle OpenMP thread spins for some milliseconds before it sleeps: a contestant must not pay
# for the threads of the one before.
REST_SECONDS = 0.005


class Sample(NamedTuple):
    """What one call took, the mean of the calls of a sample."""

    seconds: float
    cpu_seconds: float  # of all threads together


@dataclass(frozen=True)
class Timed:
    """The samples of one contestant, one per round."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)

    def add(self, taken: Sample) -> None:
        """Keep a sample."""
        self.seconds.append(taken.seconds)
        self.cpu_seconds.append(taken.cpu_seconds)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect garbage before the block, and switch the collector off inside it."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def clock(run: Callable[[], object], calls: int = 1) -> Sample:
    """Return what a call takes, the mean of `calls` calls in a row.

    Examples
    --------
    >>> from slidecell.bench.timer import clock
    >>> taken = clock(lambda: sum(range(1000)), calls=10)
    >>> taken.seconds > 0, taken.cpu_seconds >= 0
    (True, True)
    """
    cpu, wall = process_time(), perf_counter()
    for _ in range(calls):
        run()
    return Sample((perf_counter() - wall) / calls, (process_time() - cpu) / calls)


def sample(run: Callable[[], object], calls: int) -> Sample:
    """Return the same after a short rest."""
    sleep(REST_SECONDS)
    return clock(run, calls)


def take_turns(
    samplers: Mapping[str, Callable[[], Sample]], *, repeats: int, until: float = 0.0
) -> dict[str, Timed]:
    """Take a sample of each in turn, `repeats` times, and more while the time is below `until`.

    Examples
    --------
    >>> from slidecell.bench.timer import Sample, take_turns
    >>> take_turns({"a": lambda: Sample(0.5, 0.4)}, repeats=2)
    {'a': Timed(seconds=[0.5, 0.5], cpu_seconds=[0.4, 0.4])}
    """
    found = {name: Timed() for name in samplers}
    with no_garbage_collection():
        rounds = 0
        while rounds < repeats or perf_counter() < until:
            for name, take in samplers.items():
                found[name].add(take())
            rounds += 1
    return found


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    min_seconds: float = 0.0,
    until: float = 0.0,
) -> dict[str, Timed]:
    """Time all functions in turn: `repeats` samples of each, and more until `perf_counter` says so.

    Every function must have been called before: the first call compiles, allocates, starts
    threads.

    Examples
    --------
    >>> from slidecell.bench.timer import interleaved
    >>> timed = interleaved({"a": lambda: None, "b": lambda: None}, repeats=3)
    >>> len(timed["a"].seconds), len(timed["b"].cpu_seconds)
    (3, 3)
    """
    calls = dict.fromkeys(runs, 1)
    if min_seconds:
        with no_garbage_collection():
            for name, run in runs.items():
                calls[name] = max(1, math.ceil(min_seconds / max(sample(run, 1).seconds, 1e-9)))
    samplers = {name: partial(sample, run, calls[name]) for name, run in runs.items()}
    return take_turns(samplers, repeats=repeats, until=until)
