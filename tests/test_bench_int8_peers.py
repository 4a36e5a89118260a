"""Who computes in 8 bits beside ``precision="low"``, and how far off OpenVINO is."""

from __future__ import annotations

from dataclasses import replace
from importlib import util
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("openvino")

from slidecell.bench import peers
from slidecell.bench.cases import SCORE_CASES, ScoreCase
from slidecell.bench.workloads import ScoreWorkload


def workload(cell: Any, **sizes: Any) -> ScoreWorkload:
    found = ScoreCase("a", cell, (32,), entities=2, **sizes).workload(300)
    return replace(found, batches=(128,))


def finds(monkeypatch: pytest.MonkeyPatch, *, nncf: bool) -> None:
    def find_spec(name: str) -> object:
        return nncf or None if name == "nncf" else util.find_spec(name)

    monkeypatch.setattr(peers, "find_spec", find_spec)


def test_openvino_computes_in_8_bits_where_nncf_is(monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, nncf=False)
    assert peers.absent()["openvino int8"] == "pip install nncf"
    assert "openvino" in peers.score_peers()
    assert "openvino int8" not in peers.score_peers()
    finds(monkeypatch, nncf=True)
    peer = peers.score_peers()["openvino int8"]
    assert peer.precision == "low"
    assert peer.takes(workload("lstm"))
    assert not peer.takes(workload("gru"))
    [autoencoder] = [case for case in SCORE_CASES if "autoencoder" in case.name]
    assert not peer.takes(autoencoder.workload(300))


@pytest.mark.filterwarnings("ignore")  # of what nncf imports
def test_openvino_is_near_the_exact_scores_in_8_bits() -> None:
    pytest.importorskip("nncf")
    given = workload("lstm")
    exact = given.model.score(given.series, given.offsets)
    exact = exact[np.isfinite(exact)]
    ways = peers.score_peers()["openvino int8"].ways(given, 1)
    assert list(ways) == ["batch 128, time-major, LATENCY", "batch 128, LATENCY"]
    for run in ways.values():
        error = np.abs(run() - exact) / np.percentile(exact, 95)
        assert 1e-4 < np.percentile(error, 99) < 0.03
