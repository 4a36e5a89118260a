"""Counts of wrong flags over all series: what is run, kept, gone on with and summed up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("pandas")

import pandas as pd

from benchmarks.audited import Case, Line, Results, cases_of, main, parse, summary
from benchmarks.audited_series import series_of, series_paths
from slidecell.datasets import CARD_FEATURES

LINE = Line("carried", "p99", 10, 0, 0, 29.3, 1000, 40, 1e-4, 7.5, "carried", ())
SETTINGS = {"rows": 1000}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder in ("asd", "nab/data/real", "creditcard"):
        (tmp_path / folder).mkdir(parents=True)
    rows = rng.random((900, 2))
    np.savez(tmp_path / "asd" / "omi-1.npz", train=rows[:500], test=rows[500:])
    pd.DataFrame({"timestamp": range(600), "value": np.arange(600.0)}).to_csv(
        tmp_path / "nab" / "data" / "real" / "ramp.csv", index=False
    )
    cards = pd.DataFrame(rng.random((50, 29)), columns=list(CARD_FEATURES))
    cards.assign(Time=range(50), Class=0).to_parquet(tmp_path / "creditcard" / "cards.parquet")
    return tmp_path


def test_every_format_is_read(data: Path) -> None:
    paths = series_paths(data)
    assert list(paths) == ["omi-1", "ramp", "cards"]
    train, rows = series_of(paths, "ramp", 20)
    np.testing.assert_allclose(train[:, 0], np.arange(300) / 299, rtol=1e-6)
    np.testing.assert_allclose(rows[:, 0], np.arange(300, 600) / 299, rtol=1e-6)
    train, rows = series_of(paths, "cards", 100)
    assert train.shape == (25, 29)
    assert rows.shape == (100, 29)
    with pytest.raises(ValueError, match="series: expected one of omi-1, ramp, cards, got 'x'"):
        series_of(paths, "x", 20)


def test_names_are_those_of_one_series(data: Path, tmp_path: Path) -> None:
    (data / "smd").mkdir()
    (data / "smd" / "omi-1.npz").write_bytes((data / "asd" / "omi-1.npz").read_bytes())
    with pytest.raises(ValueError, match=r"expected one series omi-1, got .*smd/omi-1"):
        series_paths(data)
    with pytest.raises(ValueError, match="expected one of asd/"):
        series_paths(tmp_path / "nab")


def test_every_series_is_early_and_every_combination_is_there() -> None:
    names, cells, windows = ["a", "b", "c", "d"], ["lstm", "gru"], [32, 50, 100]
    cases = cases_of(names, cells, windows)
    assert len(set(cases)) == len(cases) == 24
    assert [case.series for case in cases[:4]] == names
    assert {case.cell for case in cases[:4]} == set(cells)
    assert {case.window for case in cases[:4]} == set(windows)
    assert {case[:2] for case in cases[:8]} == {(name, cell) for name in names for cell in cells}


def test_a_run_goes_on_where_it_was_stopped(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.jsonl"
    words = [str(data), "--all", "--cells", "gru", "--windows", "5", "--methods", "carried", "low"]
    words += ["--rows", "1500", "--hidden-size", "3", "--epochs", "1", "--audit", "20"]
    words += ["--threads", "1", "--out", str(out)]
    main(words)
    whole = out.read_text().splitlines()
    printed = capsys.readouterr().out
    head, *cases = map(json.loads, whole)
    assert head["settings"]["hidden_size"] == 3
    assert [found["case"] for found in cases] == [
        ["omi-1", "gru", 5], ["ramp", "gru", 5], ["cards", "gru", 5]
    ]  # fmt: skip
    for found in cases:
        assert len(found["lines"]) == 5 * 2
        for values in found["lines"]:
            line = dict(zip(head["columns"], values, strict=True))
            assert line["method"] in ("carried", "low")
            assert line["false"] == 0
            assert line["windows"] == 1500 - 5
            assert line["missed"] <= line["alarms"]
    # Killed within the last line: that case alone runs again, and the summary has all three.
    out.write_text("\n".join(whole[:-1]) + "\n" + whole[-1][:40])
    main(words)
    again = capsys.readouterr()
    assert "[1/1] cards, gru, W=5" in again.err
    assert [line.split('"lines"')[0] for line in out.read_text().splitlines()] == [
        line.split('"lines"')[0] for line in whole
    ]
    table = [line.split() for line in again.out.splitlines()[-2:]]
    assert [[words[1], words[3], words[5]] for words in table] == [
        ["carried", "3", "15"], ["low", "3", "15"]
    ]  # fmt: skip
    assert printed.count("carried") >= again.out.count("carried") > 5
    with pytest.raises(SystemExit, match="2"):
        parse([*words[:-1], str(out), "--rows", "1600"])
    assert "--out: " in capsys.readouterr().err


def test_the_summary_counts_misses_beyond_the_bound() -> None:
    missed, above = replace(LINE, missed=4), replace(LINE, missed=30, false=1)
    aside = replace(LINE, recomputed=1000, how="exact", bound=0.0)
    low = replace(LINE, method="low")
    found = summary({
        Case("a", "lstm", 5): [LINE, missed, low], Case("b", "gru", 6): [above, aside]
    }).splitlines()  # fmt: skip
    cells = [word.strip() for word in found[2].strip("|").split("|")]
    #        method, nets, runs, windows, alarms, missed, runs, above, false, aside, again
    assert cells == ["carried", "2", "4", "4,000", "40", "34", "2", "1", "1", "1", "4.0%"]
    assert found[3].split("|")[1].strip() == "low"
    assert found[4:] == [
        "a, lstm, W=5, carried, p99: 4 missed of 10 (bound 29), 0 false",
        "b, gru, W=6, carried, p99: 30 missed of 10 (bound 29), 1 false",
    ]


def test_results_without_a_file_are_kept_in_memory() -> None:
    results = Results(None, SETTINGS, {})
    results.add(Case("a", "lstm", 5), [LINE])
    assert results.cases == {Case("a", "lstm", 5): [LINE]}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--series", "omi-9"], r"--series: expected names of omi-1, ramp, cards, got ['omi-9']"),
        (["--series", "omi-1", "--all"], "not allowed with argument"),
        (["--windows", "0"], "invalid positive value: '0'"),
    ],
)
def test_bad_options_are_named(
    data: Path, words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse([str(data), *words])
    assert text in capsys.readouterr().err
