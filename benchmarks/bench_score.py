"""`SequenceModel.score` and its peers."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.cases import Case
from benchmarks.harness import bench, parametrized


@parametrized("score")
def bench_score(benchmark: BenchmarkFixture, case: Case, threads: int, peer: str) -> None:
    """Measure the scores of all windows of a series."""
    bench(benchmark, case, threads, peer)
