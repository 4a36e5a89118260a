"""`sliding_windows`, `WindowPlan.gather` and their peers."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.cases import Case
from benchmarks.harness import bench, parametrized


@parametrized("windows")
def bench_windows(benchmark: BenchmarkFixture, case: Case, threads: int, peer: str) -> None:
    """Measure all windows in order, into new arrays."""
    bench(benchmark, case, threads, peer)


@parametrized("windows into out")
def bench_windows_into_out(
    benchmark: BenchmarkFixture, case: Case, threads: int, peer: str
) -> None:
    """Measure all windows in order, into the caller's arrays."""
    bench(benchmark, case, threads, peer)


@parametrized("gather")
def bench_gather(benchmark: BenchmarkFixture, case: Case, threads: int, peer: str) -> None:
    """Measure all windows in random order, by batches."""
    bench(benchmark, case, threads, peer)
