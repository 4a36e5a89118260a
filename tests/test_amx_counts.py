"""The command that compares a CPU with AMX with what was counted for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import slidecell as sc
from benchmarks import amx_counts

ROOT = Path(__file__).resolve().parent.parent
CPU = Path("/proc/cpuinfo")
HAS_AMX = CPU.is_file() and "amx_bf16" in CPU.read_text(encoding="utf-8").split()


def kernel(case: str, precision: str, time: float, family: str = "amx") -> dict[str, Any]:
    return {
        "case": case,
        "isa": "amx",
        "kernel": {"family": family, "precision": precision},
        "least": {"products": 64.0},
        "time": time,
    }


def roofline(*kernels: dict[str, Any], nanoseconds: float | None = 0.25 / 512) -> dict[str, Any]:
    """A file of a machine that makes 512 multiply-adds a cycle of a quarter of a nanosecond."""
    units = {} if nanoseconds is None else {"amx": nanoseconds}
    return {"machines": {"amx": {"units": units}}, "kernels": list(kernels)}


def test_cycles_are_those_of_the_machine(tmp_path: Path, capsys: Any) -> None:
    not_run = kernel("LSTM 64", "high", 1.0)
    del not_run["time"]
    file = tmp_path / "roofline.json"
    found = roofline(
        kernel("LSTM 64", "highest", 500.0),
        kernel("LSTM 64", "medium", 225.5),
        kernel("GRU 64", "medium", 100.0),
        kernel("LSTM 64", "low", 212.5, family="int8 amx"),
        kernel("LSTM 64", "low", 1.0, family="int8"),
        kernel("LSTM 64", "highest", 1.0, family="fma"),
        not_run,
    )
    file.write_text(json.dumps(found))
    assert amx_counts.main([str(file)]) == 0
    assert amx_counts.rows(found) == [
        ["LSTM 64", "highest", "256", "2000", "2000: confirmed"],
        ["LSTM 64", "medium", "256", "902", "900: missed"],
        ["GRU 64", "medium", "256", "400", ""],
        ["LSTM 64", "low", "256", "850", "850: confirmed"],
    ]
    printed = " ".join(capsys.readouterr().out.split())
    assert "| LSTM 64 | medium | 256 | 902 | 900: missed |" in printed


@pytest.mark.parametrize("found", [roofline(nanoseconds=None), {"machines": {}, "kernels": []}])
def test_a_file_without_amx_is_refused(found: Any, tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "roofline.json"
    file.write_text(json.dumps(found))
    assert amx_counts.main([str(file)]) == 1
    assert capsys.readouterr().err == f"{file}: no AMX was measured\n"


def test_the_check_names_the_reason(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert amx_counts.main(["--check"]) == (0 if HAS_AMX else 1)
    if not HAS_AMX:
        assert capsys.readouterr().err.startswith("no AMX here: ")
    monkeypatch.setattr(amx_counts, "refusal", lambda: "")
    monkeypatch.setattr(amx_counts, "permission", lambda: "isa: got 'amx': too small a stack")
    assert amx_counts.main(["--check"]) == 1
    assert capsys.readouterr().err.endswith("isa: got 'amx': too small a stack\n")


@pytest.mark.skipif(HAS_AMX, reason="this CPU has AMX")
def test_ci_amx_fails_without_amx() -> None:
    found = subprocess.run(
        ["bash", str(ROOT / ".ci" / "amx"), "--tests"],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert "no AMX here: " in found.stderr
    assert "== tests" not in found.stdout


def test_permission_leaves_the_isa_as_it_was() -> None:
    before = sc.active_isa()
    said = amx_counts.permission()
    assert sc.active_isa() == before
    assert (said == "") == ("amx" in sc.available_isas())
