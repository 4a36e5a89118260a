"""The command slidecell bench: table, JSON, exit status, what it says of absent peers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from slidecell import active_isa
from slidecell.bench import command, limits, peers, ratios
from slidecell.bench.accuracy import rank_auc, within
from slidecell.bench.cases import SCORE_CASES, ScoreCase, random_model
from slidecell.bench.contestants import OURS, Peer
from slidecell.bench.layers import layers_of
from slidecell.bench.measure import Result, best_setting, paired_ratio
from slidecell.bench.run import settings_restored

NUMPY_ALONE = {"torch", "onnxruntime", "onnx", "openvino", "rich", "typer", "pandas"}


@pytest.fixture(autouse=True)
def limits_set(monkeypatch) -> Iterator[None]:
    """Run in this process, which would otherwise become another one; with tiny cases."""
    for name, value in limits.limits_of(None).items():
        monkeypatch.setenv(name, value)
    tiny = [
        ScoreCase("score LSTM 4", "lstm", (4,), entities=2),
        ScoreCase("score autoencoder", "gru", (4, 3), (3,), window=5, entities=2),
    ]
    monkeypatch.setattr(command, "SCORE_CASES", tiny)
    with settings_restored():
        yield


@pytest.fixture
def numpy_only(monkeypatch) -> None:
    """Leave no peer but NumPy."""
    monkeypatch.setattr(peers, "find_spec", lambda name: None)


def result(contestant: str, seconds: list[float], **changes: object) -> Result:
    facts = {
        "kind": "score", "case": "c", "shape": "s", "threads": 1, "contestant": contestant,
        "precision": "highest", "setting": "", "unit": "windows/s", "work": 100,
        "seconds": seconds, "ratio": 1.0, "max_error": 0.0, "max_difference": 0.0,
        "relative_error": None, "auc_difference": None, "right": True, "in_mean": True,
    }  # fmt: skip
    return Result(**(facts | changes))  # type: ignore[arg-type]


@pytest.mark.usefixtures("numpy_only")
def test_bench_compares_with_numpy_and_names_absent_peers(tmp_path: Path, capsys) -> None:
    file = tmp_path / "found.json"
    assert command.main(["--seconds", "1", "--threads", "1,2", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    for name in ("torch", "onnxruntime", "openvino"):
        assert f"{name}: absent: pip install 'slidecell[bench]'" in out
    assert "| score LSTM 4 (W=7 F=7 S=" in out
    assert "WRONG" not in out
    found = json.loads(file.read_text())
    below = {f"{OURS} {precision}" for precision in ("high", "medium", "low")}
    assert {r["contestant"] for r in found["results"]} - below == {OURS, "numpy"}
    assert {r["threads"] for r in found["results"]} == {1, 2}
    assert all(r["right"] and len(r["seconds"]) >= 3 for r in found["results"])
    assert found["means"][0]["best_peers"] == {
        "score LSTM 4": "numpy",
        "score autoencoder": "numpy",
    }


@pytest.mark.usefixtures("numpy_only")
def test_bench_exits_with_1_if_an_answer_is_wrong(monkeypatch, capsys) -> None:
    def wrong(workload, threads):
        return {
            "": lambda: workload.model.score(workload.series, workload.offsets) + np.float32(1e-3)
        }

    monkeypatch.setattr(command, "score_peers", lambda plain: {OURS: Peer(wrong)})
    assert command.main(["--seconds", "1"]) == 1
    assert "WRONG: score LSTM 4, threads=1, slidecell" in capsys.readouterr().out


@pytest.mark.usefixtures("numpy_only")
def test_bench_forces_an_isa_and_puts_it_back(monkeypatch, capsys) -> None:
    before = active_isa()
    assert command.main(["--seconds", "1", "--isa", "scalar"]) == 0
    assert "isa: scalar" in capsys.readouterr().out
    assert active_isa() == before


@pytest.mark.parametrize(
    "arguments",
    [["--isa", "z80"], ["--threads", "0"], ["--seconds", "-1"], ["--json", "/nowhere/x.json"]],
)
def test_bench_refuses_bad_options(arguments: list[str], capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert arguments[0] in capsys.readouterr().err


def test_bench_starts_anew_with_the_limits_of_an_isa(monkeypatch) -> None:
    started = []
    monkeypatch.setattr(limits.os, "execve", lambda *args: started.append(args) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        limits.run_again("avx2", "slidecell", ["bench", "--isa", "avx2"])
    program, arguments, environment = started[0]
    assert program == sys.executable
    assert arguments == [sys.executable, "-m", "slidecell", "bench", "--isa", "avx2"]
    assert limits.limited("avx2", environment)
    assert environment["ATEN_CPU_CAPABILITY"] == "avx2"


def test_bench_needs_numpy_alone() -> None:
    code = f"""
import sys
sys.modules |= dict.fromkeys({NUMPY_ALONE!r})
sys.argv = ["slidecell", "bench", "--help"]
from slidecell.__main__ import main
main()
"""
    environment = {**os.environ, **limits.limits_of(None)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--seconds" in done.stdout


def test_bench_is_in_the_list_of_commands() -> None:
    pytest.importorskip("typer")
    pytest.importorskip("pandas")
    from typer.testing import CliRunner

    from slidecell.cli.main import app

    runner = CliRunner()
    assert "bench" in runner.invoke(app, ["--help"]).stdout
    assert runner.invoke(app, ["bench", "--seconds", "0"]).exit_code == 2


@pytest.mark.parametrize("case", SCORE_CASES, ids=lambda case: case.name)
def test_truth_of_scores_is_torchs_in_float64(case) -> None:
    torch = pytest.importorskip("torch")
    from slidecell.bench.peers_torch import Network, squared_errors

    workload = case.workload(200)
    x, y = (torch.from_numpy(part).double() for part in workload.windows)
    with torch.inference_mode():
        predicted = Network(workload.model).double()(x)
        expected = squared_errors(predicted, y.flatten(1) if workload.horizon else y)
    np.testing.assert_allclose(workload.truth, expected.numpy(), rtol=1e-12)


def test_labels_are_of_the_rows_that_judge_a_window() -> None:
    for case in SCORE_CASES:
        workload = case.workload(2_000)
        span = (
            range(workload.window, workload.window + 1)
            if workload.horizon
            else range(workload.window)
        )
        expected = [any(workload.labels[at + row] for row in span) for at in workload.starts]
        assert workload.window_labels.tolist() == expected
        assert 0 < workload.window_labels.sum() < workload.work


def test_bounds_of_the_precisions() -> None:
    truth = np.linspace(1.0, 2.0, 1_001)
    labels = truth > 1.9
    p95 = np.percentile(truth, 95)
    for precision, inside, outside in (
        ("highest", 1.1e-6, 3.3e-6),
        ("high", 0.9e-6, 1.1e-6),
        ("medium", 0.009 * p95, 0.011 * p95),
    ):
        assert within(truth + inside, truth, precision, labels).right
        assert not within(truth + outside, truth, precision, labels).right
    shuffled = truth.copy()
    shuffled[890:912] = shuffled[890:912][::-1]  # within 1 %, in another order
    verdict = within(shuffled, truth, "medium", labels)
    assert not verdict.right
    assert verdict.auc_difference == pytest.approx(121 / (901 * 100), rel=0.1)
    assert not within(truth[:-1], truth, "medium", labels).right
    few = truth + np.where(np.arange(1_001) % 125 == 7, -0.5, 0.0) * (truth < 1.5)
    for share, right in ((0.029, True), (0.031, False)):  # 99 of 100 errors, not the largest
        assert within(few + share * p95, truth, "low", labels).right is right


def test_ranks_count_ties_by_half() -> None:
    labels = np.array([False, True, True, False])
    assert rank_auc(labels, np.array([1.0, 1.0, 2.0, 0.0])) == pytest.approx(0.875)
    assert rank_auc(np.zeros(4, bool), np.arange(4.0)) == 0.5


def test_means_are_against_the_best_right_peer_of_the_precision() -> None:
    ours = [result(OURS, [1.0, 1.0, 1.0]), result(f"{OURS} medium", [0.5] * 3, precision="medium")]
    results = [
        *ours,
        result("slow", [9.0] * 3),
        result("best", [4.0, 2.0, 3.0]),
        result("wrong", [0.1] * 3, right=False),
        result("newer", [0.1] * 3, isa_limited=False),
        result("bf16", [2.0] * 3, precision="medium"),
        *(result(name, [s] * 3, case="d") for name, s in ((OURS, 1.0), ("slow", 12.0))),
    ]
    highest, medium = ratios.geometric_means(results)
    assert (highest.precision, highest.ratio, highest.least) == ("highest", pytest.approx(6.0), 3.0)
    assert highest.best_peers == {"c": "best", "d": "slow"}
    assert medium.ratios == {"c": 4.0, "d": 12.0}
    assert medium.best_peers["c"] == "bf16"
    assert ratios.beaten_by(results[6], results) == 4.0


def test_ratios_are_per_window() -> None:
    half = result("numpy", [2.0, 2.0], work=50)
    assert paired_ratio(half, result(OURS, [1.0, 1.0])) == 4.0


def test_search_stops_when_its_time_is_over() -> None:
    tried: list[str] = []
    ways = {name: lambda name=name: tried.append(name) for name in "abc"}
    assert best_setting(ways, 1, seconds=0.0) == "a"
    assert set(tried) == {"a"}


def test_layers_that_peers_lack_are_refused() -> None:
    model = random_model("lstm", (4,))
    metadata = model.metadata
    metadata["encoder"][0]["activation"] = "relu"
    with pytest.raises(ValueError, match="expected plain layers, got activation=relu"):
        layers_of(type(model)(metadata, model.tensors))
