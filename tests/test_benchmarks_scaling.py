"""`benchmarks.scaling` on tiny data: rows, threads, memory; nothing here looks at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import slidecell as sc
from benchmarks import scaling
from benchmarks.scaling_memory import SUPPORTED
from benchmarks.scaling_runs import Network, RowsResult
from slidecell.bench.timer import Timed

THREADS = ["--threads", "1"]


@pytest.fixture(autouse=True)
def small(monkeypatch) -> Iterator[None]:
    networks = {"LSTM 3": Network("lstm", 3), "GRU 4, W=50": Network("gru", 4, window=50)}
    monkeypatch.setattr(scaling, "NETWORKS", networks)
    sizes = {"LSTM 3": (200, 900)}
    effort = replace(
        scaling.QUICK, rows=sizes, row_seconds=0.0, entities=5, thread_seconds=0.0, row_rounds=2
    )
    monkeypatch.setattr(scaling, "QUICK", replace(effort, memory_rows=sizes))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_scaling_command_exits_with_1_if_a_score_is_wrong(monkeypatch, capsys) -> None:
    right = sc.SequenceModel.score
    monkeypatch.setattr(sc.SequenceModel, "score", lambda *a, **k: right(*a, **k) + 1e-4)
    assert scaling.main(["--quick", "--part", "rows", *THREADS]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_scaling_command_writes_tables_and_json(tmp_path: Path, capsys) -> None:
    file = tmp_path / "found.json"
    threads = str(min(2, os.cpu_count() or 1))
    assert scaling.main(["--quick", "--threads", threads, "--json", str(file)]) == 0
    assert "WRONG" not in capsys.readouterr().out
    found = json.loads(file.read_text())
    assert [(r["rows"], r["entities"]) for r in found["rows"]] == [
        (200, 1), (900, 1), (200, 1), (900, 3)
    ]  # fmt: skip
    assert [r["windows"] for r in found["rows"]] == [193, 893, 193, 900 - 3 * 7]
    if threads == "2":
        windows = [(r["entities"], r["windows"]) for r in found["threads"]]
        assert windows == [(1, 160), (5, 160), (1, 80), (5, 80)]
    if SUPPORTED:
        assert [m["dtype"] for m in found["memory"]] == ["float32"] * 2 + ["float64"] * 2
        assert found["memory"][0]["series_mb"] == pytest.approx(200 * 7 * 4 / 1e6)
        # Nothing but a tile's state: windows of 900 rows alone would take 0.2 MB, pages apart.
        assert all(0 <= m["peak_mb"] < 8 for m in found["memory"])


def test_spread_is_that_of_one_layout() -> None:
    rows = [
        RowsResult("a", size, entities, 1, size, Timed([size / rate], [1.0]), 0.0, True)
        for size, entities, rate in ((10, 1, 100), (20, 1, 125), (10, 2, 50), (20, 2, 51))
    ]
    cells = [line.split("|")[-3].strip() for line in scaling.rows_table(rows).splitlines()[2:]]
    assert cells == ["", "1.250", "", "1.020"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--only", "LSTM 65"], "--only: expected a part of one of LSTM 3;"),
        (["--part", "threads", "--threads", "1"], "expected 2 or more to compare"),
        (["--part", "all"], "invalid choice"),
    ],
)
def test_scaling_command_refuses_bad_arguments(arguments, text, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        scaling.main(arguments)
    assert text in capsys.readouterr().err
