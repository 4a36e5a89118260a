"""`LSTM.step`, `GRU.step` and their peers."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.cases import Case
from benchmarks.harness import bench, parametrized


@parametrized("step")
def bench_step(benchmark: BenchmarkFixture, case: Case, threads: int, peer: str) -> None:
    """Measure a loop of steps, one row at a time."""
    bench(benchmark, case, threads, peer)
