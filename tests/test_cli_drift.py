"""From a stream that drifts to another model, by commands: stream, retrain, promote, rollback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("typer")
pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

import pandas as pd
from typer.testing import CliRunner

from slidecell.cli.main import app
from slidecell.detect.loading import load_saved
from tests.live_lines import as_csv


def invoke(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def table(rows: int, level: float, first: int = 0) -> list[dict[str, Any]]:
    """A wave that moves to another level and another rhythm."""
    rng = np.random.default_rng(first)
    t = np.arange(first, first + rows)
    wave = np.sin(t / (3.0 if level == 0.0 else 2.0)) + 0.1 * rng.normal(size=rows) + level
    return [{"t": int(n), "heat": float(value)} for n, value in zip(t, wave, strict=True)]


def stream(model: Path, text: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slidecell", "stream", str(model), *map(str, options)]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=120, check=True
    )


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    pd.DataFrame(table(1500, 0.0)).to_csv(folder / "in.csv", index=False)
    small = ("--window", "8", "--hidden-size", "8", "--epochs", "3", "--threads", "1")
    done = invoke(
        "detect",
        folder / "in.csv",
        "--out",
        folder / "out",
        "--time",
        "t",
        "--exclude",
        "t",
        "--detector",
        "forecast",
        *small,
    )
    assert done.exit_code == 0, done.output
    return folder / "out"


def test_from_drift_to_a_new_model_and_back(fitted: Path, tmp_path: Path) -> None:
    log, work, challenger = tmp_path / "log", tmp_path / "work", tmp_path / "challenger"
    drifted = as_csv([*table(200, 0.0), *table(1500, 3.0, first=200)])
    done = stream(fitted, drifted, "--keep-rows", log)
    assert "slidecell stream: drift: retrain: heat (level +" in done.stderr
    asked = ("retrain", fitted, log, "--if-drift", "--out", work)
    settings = ("--place", "shadow", "--shadow", challenger, "--epochs", "30", "--threads", "1")
    found = invoke(*asked, *settings)
    assert found.exit_code == 0, found.output
    assert found.output.splitlines()[-1] == f"round 1: the new detector is at {challenger}"
    steps = [json.loads(line) for line in (work / "steps.jsonl").read_text().splitlines()]
    assert steps[2]["by"] == "loss"
    assert steps[2]["new"]["loss"] < steps[2]["old"]["loss"]
    again = invoke(*asked, *settings)
    assert again.output == "nothing to do: this drift has been retrained for\n"
    # The challenger beside the champion, then in its place, then no more.
    state, report = tmp_path / "run.state", tmp_path / "report.json"
    later = as_csv(table(400, 3.0, first=5000))
    done = stream(
        fitted, later, "--state", state, "--shadow", challenger, "--shadow-report", report
    )
    assert "slidecell stream: challenger: 400 rows; flagged by both " in done.stderr
    agreed = json.loads(report.read_text())
    assert agreed["flagged"]["champion_only"] > 100 > agreed["flagged"]["challenger_only"]
    old, new = (load_saved(place).fingerprint() for place in (fitted, challenger))
    promoted = invoke("promote", fitted, challenger, "--state", state)
    assert promoted.exit_code == 0, promoted.output
    assert promoted.output.replace("\n", "") == (
        f"{fitted}: the challenger is in use; the old model is {challenger}; "
        "the states of both were exchanged"
    )
    assert [load_saved(place).fingerprint() for place in (fitted, challenger)] == [new, old]
    assert load_saved(fitted / "model.safetensors").model_.tensors.keys() == (
        load_saved(fitted).model_.tensors.keys()
    )
    goes_on = stream(fitted, as_csv(table(50, 3.0, first=5400)), "--state", state)
    scores = [line.split(",")[1] for line in goes_on.stdout.splitlines()[1:]]
    assert all(scores)  # no window begins anew
    back = invoke("rollback", fitted)
    assert back.exit_code == 0, back.output
    assert "the model before the last promote is in use; the other one is" in back.output
    assert load_saved(fitted).fingerprint() == old


def test_options_that_need_each_other(fitted: Path, tmp_path: Path) -> None:
    for arguments, text in (
        (["retrain", fitted, "in.csv", "--place", "model"], "expected with --if-drift or --watch"),
        (
            ["retrain", fitted, tmp_path, "--watch", "--every", "0", "--out", tmp_path / "work"],
            "--every: expected more than 0 seconds, got 0",
        ),
        (
            ["retrain", fitted, tmp_path, "--if-drift", "--out", tmp_path / "work"],
            "'slidecell stream --keep-rows' keeps rows, got one without rows",
        ),
        (["promote", fitted, fitted], "CHALLENGER: expected another one than MODEL"),
        (["rollback", tmp_path / "absent"], "has taken nobody's place"),
        (["stream", fitted, "--shadow", "in.csv"], "in.csv"),
    ):
        found = invoke(*arguments)
        assert found.exit_code == 1
        assert text in found.output
        assert found.output.count("\n") == 1
