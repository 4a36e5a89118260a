"""Carried scores and flags beside peers: what is right, and who takes part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import chart
from benchmarks.carried_workloads import (
    CarriedWorkload,
    FlagWorkload,
    carried_contestants,
    flag_contestants,
)
from benchmarks.cases import SeriesCase
from slidecell._cells import CellName
from slidecell.bench.contestants import OURS


def series(of: type[CarriedWorkload], cell: CellName, rows: int = 600) -> CarriedWorkload:
    case = SeriesCase("x", of, cell, window=5, rows=700, hidden_size=8)
    found: CarriedWorkload = case.workload(700).first(rows)
    return replace(found, batches=(64,))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("rows", [20, 24, 50, 600])
def test_truth_is_what_carried_scores_are(cell: CellName, rows: int) -> None:
    found = series(CarriedWorkload, cell, rows)
    want = found.model.score(found.series, windows="carried")[5:]
    assert found.truth.shape == want.shape == (rows - 5,)
    np.testing.assert_allclose(found.truth, want, rtol=2e-6, atol=2e-7)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # OpenVINO traces torch's layers
@pytest.mark.filterwarnings("ignore:.torch.jit.*. is deprecated:FutureWarning")
def test_every_contestant_carries_rightly() -> None:
    found = series(CarriedWorkload, "lstm")
    for name, peer in carried_contestants().items():
        if not peer.takes(found):  # where float32 is faster than bf16
            assert peer.precision == "medium"
            assert found.model.plan("medium")["precision"] == "highest"
            continue
        for setting, run in peer.ways(found, 1).items():
            verdict = found.judge(run(), peer.precision)
            assert verdict.right, (name, setting, verdict)
    few = series(CarriedWorkload, "lstm", 40)  # a first block of 23 rows, and less than a second
    assert not carried_contestants()["torch"].takes(few)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.*. is deprecated:FutureWarning")
def test_flags_are_those_of_exact_scores_but_for_unchecked_peers() -> None:
    found = series(FlagWorkload, "gru")
    assert isinstance(found, FlagWorkload)
    assert found.truth.sum() == pytest.approx(0.01 * found.work, abs=11)
    assert found.threshold not in found.exact
    unchecked = found.carried > found.threshold
    for name, peer in flag_contestants().items():
        for setting, run in peer.ways(found, 1).items():
            answer = np.asarray(run())
            if name.endswith(" carried"):
                assert (answer == unchecked).all(), (name, setting)
                assert peer.precision != "highest"  # a wrong answer fails no run
            else:
                assert found.judge(answer, peer.precision).right, (name, setting)
    wrong = found.truth.copy()
    wrong[7] = 1 - wrong[7]
    assert not found.judge(wrong, "highest").right
    assert list(flag_contestants())[:2] == [OURS, f"{OURS} every window"]


def test_chart_has_flags_and_unchecked_peers(tmp_path: Path) -> None:
    def result(kind: str, contestant: str, seconds: float, **changes: Any) -> dict[str, Any]:
        plain = {"kind": kind, "case": f"{kind} a", "threads": 1, "contestant": contestant}
        plain |= {"precision": "highest", "right": True, "work": 10, "seconds": [seconds] * 3}
        return plain | changes

    results = [
        result("flags", OURS, 1.0),
        result("flags", "openvino", 40.0),
        result("flags", "torch carried", 2.0, right=False, precision="low"),
        result("carried", OURS, 1.0),
        result("carried", f"{OURS} low", 0.5, precision="low"),
        result("carried", "torch", 3.0),
        result("carried", "openvino", 3.0, right=False),
        result("step", OURS, 1.0),
    ]
    about = {"threads": [1], "cpu": "c", "cores": 1, "isa": "i", "date": "d"}
    content = {"conditions": about, "results": results}
    found = chart.contests(content, 1)
    assert {case: list(one) for case, one in found.items()} == {
        "flags a": [OURS, "openvino", "torch carried"],
        "carried a": [OURS, f"{OURS} low", "torch"],
    }
    assert chart.ratios(found["flags a"], "openvino", OURS) == (40.0, 40.0, 40.0)
    chart.draw(content, tmp_path / "found.png")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
