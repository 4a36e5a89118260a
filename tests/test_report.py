"""A report as data, and what a terminal shows of it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

pytest.importorskip("rich")
from rich.console import Console

from slidecell.jobs.demo_report import comparison_section
from slidecell.jobs.json_file import write_json
from slidecell.jobs.report import Figure, Report, Section, Table, page_only
from slidecell.jobs.results import machine
from slidecell.jobs.sections import data_section, run_section, training_section
from slidecell.jobs.terminal import print_report, print_section

DATA: dict[str, Any] = {
    "features": ["load", "heat"],
    "rows": 1200,
    "rows_used": 1200,
    "missing_cells": 0,
    "entities": 2,
    "gaps": 0,
    "max_gap": None,
    "parts": {"train": 1000, "validation": 0, "test": 200},
    "notes": [],
}


def printed(report: Report, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_report(console, report)
    return console.file.getvalue().splitlines()


def never() -> Any:
    raise AssertionError("a terminal draws no figure")


def test_a_terminal_shows_what_is_meant_for_it() -> None:
    table = Table(["name", "value"], [["first", "1"], ["second", "2"], ["third", "3"]], "", (0, 2))
    more = page_only(Table(["detail"], [["hidden"]]))
    sections = [
        Section("Shown", "A [bold]line[/bold].", [table, more], [Figure(never)], ["mind [this]"]),
        Section("Page", "Not here.", terminal=False),
        Section("Only figures", figures=[Figure(never)]),
        Section("Only for the page", tables=[more]),
    ]
    lines = printed(Report("Title", "", sections, ["out/a.png", "out/report.html"]))
    text = "\n".join(lines)
    for part in ("Title", "Shown", "A [bold]line[/bold].", "note: mind [this]", "first", "third"):
        assert part in text
    for part in ("second", "hidden", "Page", "Not here", "Only"):
        assert part not in text
    assert lines[-2:] == ["out/a.png", "further tables, figures and settings: out/report.html"]


def test_cells_of_a_narrow_terminal_break_between_words() -> None:
    rows = [["1", "2026-01-23 22:00", "load 99 %, heat 1 %"]]
    table = Table(["rank", "time", "share of the score"], rows)
    report = Report("", "", [Section("S", "", [table])])
    assert any("2026-01-23 22:00 │ load 99 %, heat 1 %" in line for line in printed(report))
    narrow = printed(report, width=36)
    words = {word for line in narrow for word in line.replace("│", " ").split()}
    assert words >= {"2026-01-23", "22:00", "load", "heat", "share", "score"}
    assert max(map(len, narrow)) <= 36
    assert printed(report, width=12)  # too narrow even for words: nothing fails


def test_a_figure_is_drawn_once() -> None:
    drawn = []
    figure = Figure(lambda: drawn.append(1) or "figure")  # type: ignore[arg-type,func-returns-value]
    assert (figure.drawn, figure.drawn, drawn) == ("figure", "figure", [1])


def test_gaps_are_counted_where_they_were_looked_for() -> None:
    rows = dict(data_section(DATA).tables[0].rows)
    assert "gaps" not in rows
    assert rows["parts"] == "train 1,000, test 200"
    rows = dict(data_section(DATA | {"max_gap": "2h"}).tables[0].rows)
    assert rows["gaps"] == "0 longer than 2h"


def test_what_is_not_there_has_no_row() -> None:
    (table,) = run_section("", machine(), {}, []).tables
    assert [name for name, _ in table.rows] == ["processor", "versions"]
    assert training_section(None).empty
    assert training_section(None, ["idle"]).text == "Constant while training: idle."
    assert not training_section(None, ["idle"]).figures


def test_json_holds_the_facts(tmp_path: Any) -> None:
    report = Report("T", "", [Section("S")], [], {"score": float("nan"), "name": "日本"})
    write_json(tmp_path / "report.json", report)
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"score": None, "name": "日本"}
    assert "日本" in text


def test_the_comparison_of_the_demo_says_how_many_times_as_long_torch_takes() -> None:
    measured = {
        "windows": 1000,
        "window": 7,
        "threads": 2,
        "slidecell_seconds": 0.5,
        "torch_seconds": 1.0,
        "torch_layer": "torch.nn.LSTM",
        "torch_setting": "batches of 2,048",
        "torch_version": "2",
        "build_seconds": 0.25,
        "max_difference": 1e-7,
        "max_score": 0.5,
    }
    section = comparison_section(measured)
    assert section.tables[0].rows[1:] == [
        ["torch.nn.LSTM, windows ready", "1.0000", "1,000", "2.0"],
        ["the same, windows built too", "1.2500", "800", "2.5"],
    ]
    console = Console(file=io.StringIO(), width=100)
    print_section(console, section)
    assert "1,000 windows of 7 rows, 2 threads" in console.file.getvalue()
