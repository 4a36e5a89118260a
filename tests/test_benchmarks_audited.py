"""The table of audited flags, on tiny data; nothing here looks at a time."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import audited_speed
from benchmarks.audited import main, thresholds
from benchmarks.audited_beside_exact import remembering
from benchmarks.audited_series import series_of, series_paths
from benchmarks.carried_peers import block_rows, chains, openvino_runs, torch_runs
from slidecell._cells import CellName
from slidecell.bench.cases import random_model


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "smd").mkdir()
    rows = np.sin(np.arange(900) / 9)[:, None] * [1.0, 2.0, 0.0] + rng.normal(0, 0.1, (900, 3))
    rows[:, 2] = 4.0  # a column that does not vary
    np.savez(tmp_path / "smd" / "machine.npz", train=rows[:500], test=rows[500:])
    return tmp_path


def test_rows_are_scaled_and_repeated_with_noise(data: Path) -> None:
    paths = series_paths(data)
    train, rows = series_of(paths, "machine", 1000)
    assert train.min() == 0.0
    assert train.max() == 1.0
    assert rows.shape == (1000, 3)
    assert (rows[:400, 2] == 0).all()
    assert 0.002 < np.std(rows[400:800] - rows[:400]) < 0.02
    assert len(series_of(paths, "machine", 10)[1]) == 400


def test_hard_thresholds_lie_on_a_score_and_between_two() -> None:
    scores = np.random.default_rng(0).random(2000).astype(np.float32)
    scores[5] = np.nan
    found = dict(thresholds(scores))
    assert found["on a score"] in scores.astype(float)
    assert found["between"] not in scores.astype(float)
    assert found["p99"] == np.nanpercentile(scores.astype(float), 99)


def test_one_line_for_each_threshold_and_method(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--series", "machine", "--cells", "gru", "--windows", "6", "--rows", "1500"]
    main([str(data), *given, "--hidden-size", "4", "--epochs", "1", "--audit", "20"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("series")
    assert lines[16] == ""  # the summary follows
    for line in lines[1:16]:
        false = int(line[48:].split()[1])
        assert line.startswith("machine       gru   6 ")
        assert false == 0


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # OpenVINO traces torch's layers
@pytest.mark.filterwarnings("ignore:.torch.jit.*. is deprecated:FutureWarning")
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_peers_carry_states_through_our_blocks(cell: CellName) -> None:
    model = random_model(cell, (8,), features=3, window=5)
    series = np.random.default_rng(0).random((600, 3), dtype=np.float32)
    rows, B = chains(series, 5), block_rows(5)
    want = model.score(series, windows="carried")[B : B + len(rows) * B].reshape(len(rows), B)
    peers = {"torch": torch_runs(model, rows, 1, size=7)}
    if find_spec("openvino") is not None:
        peers["openvino"] = openvino_runs(model, rows, 1, size=7)
    for name, run in peers.items():
        np.testing.assert_allclose(run(), want, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # OpenVINO traces torch's layers
@pytest.mark.filterwarnings("ignore:.torch.jit.*. is deprecated:FutureWarning")
def test_audited_speed_prints_a_line_per_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "smd").mkdir()
    rng = np.random.default_rng(0)
    parts = {name: rng.random((900, 38), dtype=np.float32) for name in ("train", "test")}
    label = np.zeros(900, np.int64)
    np.savez(tmp_path / "smd" / "machine-1-6.npz", **parts, test_label=label)
    words = ["--data", str(tmp_path), "--cells", "lstm", "--windows", "10", "--features", "3"]
    words += ["--rows", "3000", "--epochs", "1", "--threads", "1", "--repeats", "1"]
    words += ["--short-windows", "4", "--remembering-rows", "2000", "--json"]
    words += [str(tmp_path / "found.json")]
    assert audited_speed.main(words) == 0
    lines = [x.split("|") for x in capsys.readouterr().out.splitlines() if x.startswith("|")]
    cells = {tuple(x.strip() for x in line[1:4]): [x.strip() for x in line] for line in lines}
    found = json.loads((tmp_path / "found.json").read_text())
    assert [x["network"] for x in found["lines"]] == ["LSTM 64, W=10, 3 features"]
    (own,) = (x for x in cells.values() if x[1] == "LSTM 64, W=10, 3 features")
    assert own[8] == "exact"  # so few windows are all computed exactly
    assert own[10] == "0 / 0"
    by_low = cells["LSTM 64, W=4, 3 features", "3,000", "low"]
    assert by_low[7] == "low"
    open_gates = cells["LSTM 64, W=10, 3 features, forget gates held open", "2,000", "auto"]
    assert open_gates[7] == "exact"
    assert float(open_gates[4]) > 0


def test_open_forget_gates_remember() -> None:
    model = random_model("lstm", (8,), features=3, window=12)
    series = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    threshold = float(np.nanpercentile(model.score(series), 90))
    usual = model.flag(series, threshold, speculate="carried", audit=10).audit.seam_p99
    open_gates = remembering(model).flag(series, threshold, speculate="carried", audit=10)
    assert open_gates.audit.seam_p99 > 10 * usual
