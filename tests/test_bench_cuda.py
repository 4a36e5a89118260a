"""`benchmarks.bench_cuda` without a GPU: what it does with torch's graphs, and its counts."""

from __future__ import annotations

import contextlib
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import bench_cuda, cuda_counts


class FakeGraph:
    """A captured call: it repeats the work, and returns nothing, as torch's does."""

    def __init__(self) -> None:
        self.replayed = 0

    def replay(self) -> None:
        self.replayed += 1


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in for torch with a GPU; what its side stream waited for."""
    found: list[str] = []
    stream = SimpleNamespace(wait_stream=found.append)
    cuda = SimpleNamespace(
        CUDAGraph=FakeGraph,
        Stream=lambda: stream,
        current_stream=lambda: "current",
        graph=lambda _graph: contextlib.nullcontext(),
        stream=lambda _stream: contextlib.nullcontext(),
        synchronize=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]
    return found


def test_bench_cuda_replay_of_a_graph_gives_the_captured_result(waited: list[str]) -> None:
    calls: list[Any] = []

    def run() -> list[int]:
        calls.append(0)
        return [len(calls)]

    replay = bench_cuda.graph_of(run)
    assert waited == ["current"]
    assert len(calls) == 2  # once to warm up, once captured
    assert replay() == replay() == [2]
    assert len(calls) == 2


def test_bench_cuda_counts_shared_memory_cycles() -> None:
    """LSTM 64, for 8 units and 32 windows: 72 cycles a step, 28 the first, 40 for the head."""
    weights, biases, state, new_h, operand = (4 + 1) * 4 * 2, 4, 2 * 8, 8, 4
    assert weights + biases + state + new_h + operand == 72
    first = 4 * 2 + biases + state // 2 + new_h
    want = (8 * (6 * 72 + first) + 40) / 32
    assert cuda_counts.shared_cycles(cuda_counts.Case("lstm", 64)) == want
    # 16 windows a warp read as many weights as 32 do.
    assert cuda_counts.shared_cycles(cuda_counts.Case("lstm", 128)) > 4.5 * want
