"""The commands `slidecell reproduce ...`: options in, tables and files out."""

from __future__ import annotations

import html
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
typer_testing = pytest.importorskip("typer.testing")
from matplotlib.figure import Figure as Drawn  # noqa: E402

from slidecell.cli.main import app  # noqa: E402
from slidecell.jobs.environment import cpu_name  # noqa: E402
from slidecell.jobs.report import Figure, Table, page_only  # noqa: E402
from slidecell.reproduce import Comparison, Outcome, SystemOptions, UsedThreshold  # noqa: E402

SYSTEMS = {
    "insider-threat": "insider_threat",
    "stacked-lstm": "stacked_lstm",
    "card-fraud": "card_fraud",
    "ensemble": "ensemble",
}
runner = typer_testing.CliRunner()


class FakeSystem(ModuleType):
    """A module of slidecell.reproduce that keeps what it is asked for."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__("fake")
        self.asked: list[SystemOptions] = []
        self.error = error

    def run(self, options: SystemOptions) -> Outcome:
        self.asked.append(options)
        if self.error is not None:
            raise self.error
        return Outcome(
            "fake",
            "A system [that] is none",
            "Nothing was run.",
            [Comparison("ROC-AUC", "0.94", "0.95", "on another machine")],
            [
                Table(["part", "rows"], [["train", "10"]], "rows"),
                page_only(Table(["detail", "rows"], [["hidden", "10"]], "more")),
            ],
            [Figure(lambda: Drawn(figsize=(1, 1)), "Errors of nothing", "errors")],
            {"figure": 1, "seconds": 1.5},
            thresholds=[UsedThreshold("error", 0.5, "percentile 95", "rows 0 to 9")],
            highest=page_only(Table(["rank", "row"], [["1", "8"]])),
            plan={"kernel": "float32 kernel", "isa": "plain", "threads": 1},
        )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSystem:
    system = FakeSystem()
    for module in SYSTEMS.values():
        monkeypatch.setitem(sys.modules, f"slidecell.reproduce.{module}", system)
    return system


def call(*arguments: Any) -> Any:
    return runner.invoke(app, ["reproduce", *map(str, arguments)])


@pytest.mark.parametrize("name", SYSTEMS)
def test_options_reach_the_system(name: str, tmp_path: Path, fake: FakeSystem) -> None:
    out, data = tmp_path / "out", tmp_path / "in.csv"
    assert call(name, "--out", out).exit_code == 0
    found = call(name, "--out", out, "--data", data, "--full", "--seed", 7, "--threads", 2)
    assert found.exit_code == 0, found.output
    assert fake.asked == [
        SystemOptions(out),
        SystemOptions(out, data, full=True, seed=7, num_threads=2),
    ]


@pytest.mark.parametrize("name", SYSTEMS)
def test_results_have_a_folder_of_their_own_without_out(
    name: str, tmp_path: Path, fake: FakeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(name).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"slidecell-reproduce-{name}"]
    assert (tmp_path / f"slidecell-reproduce-{name}" / "report.html").exists()


def test_tables_are_printed_and_files_written(tmp_path: Path, fake: FakeSystem) -> None:
    out = tmp_path / "out"
    found = call("ensemble", "--out", out)
    for text in (
        "A system [that] is none",
        "Nothing was run.",
        "beside the source's figures",
        "ROC-AUC",
        "on another machine",
        "train",
        f"further tables, figures and settings: {out / 'report.html'}\n",
        str(out / "errors.png"),
    ):
        assert text in found.output
    assert "hidden" not in found.output
    assert sorted(path.name for path in out.iterdir()) == [
        "errors.png",
        "report.html",
        "report.json",
    ]


def test_page_and_report_say_what_was_run(tmp_path: Path, fake: FakeSystem) -> None:
    out, data = tmp_path / "out", tmp_path / "in.csv"
    assert call("ensemble", "--out", out, "--data", data, "--full", "--seed", 7).exit_code == 0
    command = f"slidecell reproduce fake --out {out} --data {data} --full --seed 7"
    page = (out / "report.html").read_text(encoding="utf-8")
    for text in (
        command,
        "full: --full",
        "float32 kernel (plain), threads: 1",
        f"numpy {np.__version__}",
        cpu_name(),
        "1.5 s",
        "percentile 95",
        "rows 0 to 9",
        "Highest scores",
        "hidden",
    ):
        assert text in html.unescape(page)
    report = json.loads((out / "report.json").read_text())
    assert report["command"] == command
    assert report["thresholds"] == [
        {"name": "error", "value": 0.5, "rule": "percentile 95", "fitted_on": "rows 0 to 9"}
    ]
    assert report["machine"]["plan"]["isa"] == "plain"
    assert report["machine"]["cpu"] == cpu_name()
    assert report["tables"][1] == {
        "columns": ["detail", "rows"],
        "rows": [["hidden", "10"]],
        "caption": "more",
    }
    assert report["figure"] == 1


def test_errors_are_one_line_and_leave_nothing(tmp_path: Path, fake: FakeSystem) -> None:
    out = tmp_path / "out"
    found = call("ensemble", "--out", out, "--threads", 0)
    assert (found.exit_code, fake.asked) == (1, [])
    assert found.stderr == "error: --threads: expected a whole number >= 1, got 0\n"
    fake.error = ValueError("data: expected\n rows")
    found = call("ensemble", "--out", out)
    assert found.exit_code == 1
    assert found.stderr == "error: data: expected rows\n"
    assert not out.exists()


def test_a_folder_that_cannot_be_written_is_known_before_the_work(
    tmp_path: Path, fake: FakeSystem
) -> None:
    (tmp_path / "file").write_text("")
    found = call("ensemble", "--out", tmp_path / "file" / "out")
    assert (found.exit_code, fake.asked) == (1, [])
    assert "cannot be written" in found.stderr


def test_help_names_the_four_systems() -> None:
    found = call("--help")
    assert found.exit_code == 0
    for name in SYSTEMS:
        assert name in found.output
