"""A step of training: `training.Forecaster`, `training.LSTM` and `GRU`, and torch's own."""

from __future__ import annotations

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.cases import Case
from benchmarks.harness import bench, parametrized


@parametrized("train")
def bench_train(benchmark: BenchmarkFixture, case: Case, threads: int, peer: str) -> None:
    """Measure zero_grad, forward, loss, backward and Adam's update on one batch."""
    bench(benchmark, case, threads, peer)
