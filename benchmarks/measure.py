"""How it is measured: interleaved, in one run, with every answer checked.

All contestants of a job run in turn, a b c a b c ..., so that what disturbs the machine disturbs
all of them. A sample is as many calls in a row as take `min_seconds`. The garbage collector is off
meanwhile. Ratios are taken within a round, then their median.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.jobs import Job
from benchmarks.peers import OURS, Peer, Run, Ways

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Effort:
    """How much to spend."""

    name: str
    repeats: int  # samples of each contestant
    min_seconds: float  # of a sample
    max_rows: int  # of a case's data
    search_rows: int  # of the short runs that choose a peer's setting
    search_repeats: int = 2


# The search needs two batches of the largest size, the quick one a single batch.
FULL = Effort("full", repeats=7, min_seconds=0.3, max_rows=2_000_000, search_rows=17_000)
QUICK = Effort(
    "quick", repeats=3, min_seconds=0.05, max_rows=12_000, search_rows=8_500, search_repeats=1
)
SMOKE = Effort(
    "smoke: times mean nothing",
    repeats=1,
    min_seconds=0.0,
    max_rows=500,
    search_rows=250,
    search_repeats=1,
)

# An idle OpenMP thread spins for some milliseconds before it sleeps: a contestant must not pay
# for the threads of the one before.
REST_SECONDS = 0.005


@dataclass(frozen=True)
class Result:
    """What one contestant did."""

    kind: str
    case: str
    shape: str
    threads: int
    contestant: str
    setting: str
    unit: str
    work: int  # windows or steps per call
    seconds: list[float]  # per call, one figure per sample
    ratio: float  # times that ours is as fast as this one, median of the rounds
    max_error: float  # against the truth in float64; inf if the shape is wrong
    max_difference: float  # against ours
    right: bool

    @property
    def seconds_per_call(self) -> float:
        """Median of the samples."""
        return median(self.seconds)


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Collect before, not meanwhile."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def sample(run: Run, calls: int) -> float:
    """Return the seconds per call of `calls` calls in a row, after a short rest."""
    sleep(REST_SECONDS)
    start = perf_counter()
    for _ in range(calls):
        run()
    return (perf_counter() - start) / calls


def interleaved(
    runs: Mapping[str, Run], *, repeats: int, min_seconds: float = 0.0
) -> dict[str, list[float]]:
    """Seconds per call of each, `repeats` samples each, in turn: a b a b ...

    Every run must have been called before: the first call compiles, allocates, starts threads.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with no_garbage_collection():
        calls = dict.fromkeys(runs, 1)
        if min_seconds:
            for name, run in runs.items():
                calls[name] = max(1, math.ceil(min_seconds / max(sample(run, 1), 1e-9)))
        for _ in range(repeats):
            for name, run in runs.items():
                seconds[name].append(sample(run, calls[name]))
    return seconds


def best_setting(ways: Ways, repeats: int) -> str:
    """Return the setting whose best short run is the fastest."""
    if len(ways) == 1:
        return next(iter(ways))
    for run in ways.values():
        run()
    seconds = interleaved(ways, repeats=repeats)
    return min(seconds, key=lambda setting: min(seconds[setting]))


def flat(answer: Any) -> Doubles:
    """One or several arrays -> [n] float64, without the NaN of rows that have no score."""
    parts = answer if isinstance(answer, tuple) else (answer,)
    joined = np.concatenate([np.asarray(part, np.float64).ravel() for part in parts])
    return joined[~np.isnan(joined)]


def largest(difference: Doubles) -> float:
    """Largest of |difference|, 0 of nothing."""
    return float(np.abs(difference).max(initial=0.0))


def contest(job: Job, peers: Mapping[str, Peer], threads: int, effort: Effort) -> list[Result]:
    """Choose each peer's setting, check its answer, then measure all of them in turn."""
    short = job.first(effort.search_rows)
    settings, runs = {}, {}
    for name, peer in peers.items():
        settings[name] = best_setting(peer(short, threads), effort.search_repeats)
        runs[name] = peer(job, threads)[settings[name]]
    answers = {name: flat(run()) for name, run in runs.items()}
    seconds = interleaved(runs, repeats=effort.repeats, min_seconds=effort.min_seconds)
    truth, ours = flat(job.truth), answers[OURS]
    results = []
    for name, answer in answers.items():
        fits = answer.shape == truth.shape
        error = np.abs(answer - truth) if fits else np.array([math.inf])
        bound = job.atol + job.rtol * np.abs(truth) if fits else np.zeros(1)
        rounds = zip(seconds[name], seconds[OURS], strict=True)
        results.append(
            Result(
                kind=job.kind,
                case=job.case,
                shape=job.shape,
                threads=threads,
                contestant=name,
                setting=settings[name],
                unit=job.unit,
                work=job.work,
                seconds=seconds[name],
                ratio=median(theirs / mine for theirs, mine in rounds),
                max_error=largest(error),
                max_difference=largest(answer - ours) if answer.shape == ours.shape else math.inf,
                right=bool((error <= bound).all()),
            )
        )
    return results
