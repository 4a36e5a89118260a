"""The same cases and peers under pytest-benchmark: ``pytest benchmarks``.

Its statistics are per peer, not interleaved: for watching one function between two commits. For
comparisons run ``python -m benchmarks``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.cases import CASES, Case
from benchmarks.peers import PEERS
from slidecell.bench.measure import QUICK, best_setting
from slidecell.bench.workloads import ScoreWorkload, Workload

Bench: TypeAlias = Callable[..., None]


def parametrized(kind: str) -> Callable[[Bench], Bench]:
    """Run a benchmark for each case of this kind, each peer, and one thread or all."""
    cases = [case for case in CASES if case.kind == kind]
    threads = [1] if kind == "step" else sorted({1, os.cpu_count() or 1})
    marks = [
        pytest.mark.parametrize("peer", PEERS[kind]),
        pytest.mark.parametrize("threads", threads),
        pytest.mark.parametrize("case", cases, ids=lambda case: case.name),
    ]

    def mark(bench: Bench) -> Bench:
        return functools.reduce(lambda function, decorate: decorate(function), marks, bench)

    return mark


def bench(benchmark: BenchmarkFixture, case: Case, threads: int, peer: str) -> None:
    """Measure one peer at its best setting, and compare its answer with the truth."""
    workload, contestant = prepared(case), PEERS[case.kind][peer]
    if not contestant.takes(workload):
        pytest.skip(f"{peer} has nothing of its own for this case on this machine")
    ways = contestant.ways
    setting = best_setting(ways(workload.first(QUICK.search_rows), threads), QUICK.search_repeats)
    benchmark.group = f"{case.name}, threads={threads}"
    benchmark.extra_info.update(shape=workload.shape, setting=setting, work=workload.work)
    answer = benchmark(ways(workload, threads)[setting])
    assert workload.judge(answer, contestant.precision).right


@functools.lru_cache(maxsize=1)
def prepared(case: Case) -> Workload:
    """Make the workload once for all peers."""
    workload = case.workload(QUICK.max_rows)
    return (
        replace(workload, batches=QUICK.batches)
        if isinstance(workload, ScoreWorkload)
        else workload
    )
