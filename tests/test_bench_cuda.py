"""`benchmarks.bench_cuda` without a GPU: what it does with torch's graphs, and its counts."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import bench_cuda, cuda_counts
from slidecell._cells import CELLS, CellName


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


@pytest.mark.parametrize("cell", CELLS)
def test_bench_cuda_torch_scores_the_same_windows(cell: CellName) -> None:
    """On the CPU, where torch runs the same module: time-major windows in uneven batches."""
    import torch

    import slidecell as sc
    from benchmarks import networks

    torch.manual_seed(0)
    module = networks.forecaster(cell, 7, 8).eval()
    series = np.random.default_rng(0).random((60, 7), dtype=np.float32)
    case, setting = cuda_counts.Case(cell, 8, 5), bench_cuda.Setting("float32", 16, graph=False)
    with torch.inference_mode():
        got = bench_cuda.torch_run(module, torch.as_tensor(series), case, setting)()
    model = sc.SequenceModel.from_torch(module, window=5, horizon=1)
    np.testing.assert_allclose(got, model.score(series)[5:], rtol=1e-5)


def test_bench_cuda_takes_the_fastest_setting_of_each_type(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fastest = {"float32": (4096, True), "TF32": (65536, False), "float16": (1048576, True)}

    def seconds_of(setting: bench_cuda.Setting) -> float:
        if setting.kind == "bfloat16" and (setting.graph or setting.batch > 5000):
            raise RuntimeError("out of memory")
        return 1.0 if fastest.get(setting.kind) == (setting.batch, setting.graph) else 2.0

    found = bench_cuda.best_settings(seconds_of)
    assert [str(setting) for setting in found] == [
        "float32, batch 4096, graph",
        "TF32, batch 65536",
        "float16, batch 1048576, graph",
        "bfloat16, batch 4096",
    ]
    assert "not bfloat16, batch 4096, graph: out of memory" in capsys.readouterr().err


def test_bench_cuda_clock_is_the_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: Any) -> Any:
        assert command[0] == "nvidia-smi"
        return SimpleNamespace(stdout="1980\n")

    monkeypatch.setattr(bench_cuda.subprocess, "run", run)
    assert bench_cuda.clock_hz() == 1.98e9


def test_bench_cuda_tells_shares_of_what_was_counted() -> None:
    results = [
        bench_cuda.Result("LSTM 64, W=7", name, "", rate, (rate, rate), 0.0)
        for name, rate in (("slidecell highest", 1.15e8), ("slidecell medium", 8.63e8))
    ]
    told = bench_cuda.shares(
        [*results, replace(results[0], contestant="torch TF32")], cuda_counts.H200
    )
    assert told.splitlines() == [
        "LSTM 64, W=7, slidecell highest: 50% of the float32 limit, 7% of the special-function "
        "limit, 4 GB/s",
        "LSTM 64, W=7, slidecell medium: 18% of the matrix limit, 50% of the special-function "
        "limit, 11% of the shared-memory limit, 28 GB/s",
    ]


def test_bench_cuda_counts_shared_memory_cycles() -> None:
    """GRU 64, for 8 units and 32 windows: 58 cycles a step, 22 the first, 40 for the head."""
    weights, biases, state, new_h, operand = (4 + 1) * 3 * 2, 4, 2 * 8, 4, 4
    assert weights + biases + state + new_h + operand == 58
    first = 3 * 2 + biases + state // 2 + new_h
    want = (8 * (6 * 58 + first) + 40) / 32
    assert cuda_counts.shared_cycles(cuda_counts.Case("gru", 64)) == want
    # LSTM 64, for 64 windows: 8 KB of weights for each of 5 tiles of 16 inputs, one the first.
    of_tile = 16 * 256 * 2 / 128
    want = ((6 * 5 + 1) * of_tile + 4 * 8) / 64
    assert cuda_counts.shared_cycles(cuda_counts.Case("lstm", 64)) == want
    # 16 windows a warp read as many weights as 32 do, and those of groups half as often.
    assert cuda_counts.shared_cycles(cuda_counts.Case("lstm", 128)) > 4.5 * want
