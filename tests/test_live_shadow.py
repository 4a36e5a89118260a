"""A challenger beside a live run: the champion's answers stay, both are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skops")
pytest.importorskip("pandas")

import pandas as pd
from scipy.stats import spearmanr

from slidecell.detect import (
    KMeansDetector,
    RollingVarianceDetector,
    ScoreOptions,
    ZScoreDetector,
    run_score,
)
from slidecell.evaluate import pr_auc, roc_auc
from slidecell.live import entities as live_entities
from slidecell.live.agreement import Agreement
from tests.live_lines import as_csv, as_lines, live

NAMES = ["load", "heat"]


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(rows, 2)), columns=NAMES)


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    champion, challenger = tmp_path / "champion", tmp_path / "challenger"
    ZScoreDetector(contamination=0.05).fit(frame(500)).save(champion)
    # Its columns are in another order.
    KMeansDetector(window=3, random_state=0, contamination=0.1).fit(frame(500)[NAMES[::-1]]).save(
        challenger
    )
    return champion, challenger


def table(rows: int = 600) -> list[dict[str, Any]]:
    values = frame(rows, seed=1)
    values.iloc[rows // 2 : rows // 2 + 20] += 4.0
    return [
        {
            "t": n,
            "host": "ab"[n % 2],
            "load": float(values["load"][n]),
            "heat": float(values["heat"][n]),
            "bad": int(rows // 2 <= n < rows // 2 + 20),
        }
        for n in range(rows)
    ]


def scores_of(tmp_path: Path, model: Path, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return what ``slidecell score`` finds in the rows, in their order."""
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    options = ScoreOptions(
        model, tmp_path / "rows.csv", tmp_path / f"of-{model.name}", time="t", entity="host"
    )
    run_score(options)
    return pd.read_csv(tmp_path / f"of-{model.name}" / "scores.csv")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_report_compares_the_answers_of_both(
    tmp_path: Path, models: tuple[Path, Path], form: str
) -> None:
    champion, challenger = models
    rows = table()
    text = as_csv(rows) if form == "csv" else as_lines(rows)
    report = tmp_path / "report.json"
    out, reports = live(
        tmp_path,
        text,
        format=form,
        model=champion,
        shadow=challenger,
        shadow_report=report,
        label="bad",
    )
    assert out == live(tmp_path, text, format=form, model=champion)[0]
    first, second = (scores_of(tmp_path, model, rows) for model in models)
    found = json.loads(report.read_text())
    flags = first["flagged"].to_numpy(bool), second["flagged"].to_numpy(bool)
    assert found["rows"] == 600
    assert found["failed"] == 0
    assert found["flagged"] == {
        "both": (flags[0] & flags[1]).sum(),
        "champion_only": (flags[0] & ~flags[1]).sum(),
        "challenger_only": (~flags[0] & flags[1]).sum(),
    }
    both = ~(first["score"].isna() | second["score"].isna())
    assert found["scored"] == {"both": both.sum(), "champion_only": 4, "challenger_only": 0}
    expected = spearmanr(first["score"][both], second["score"][both]).statistic
    assert found["rank_correlation"] == pytest.approx(expected, abs=1e-12)
    labels = np.array([row["bad"] for row in rows])
    for name, scores, flagged in zip(
        ("champion", "challenger"), (first, second), flags, strict=True
    ):
        metrics = found["labels"][name]
        assert metrics["precision"] == pytest.approx(labels[flagged].mean())
        assert metrics["recall"] == pytest.approx(flagged[labels == 1].mean())
        assert metrics["roc_auc"] == pytest.approx(roc_auc(labels[both], scores["score"][both]))
        assert metrics["pr_auc"] == pytest.approx(pr_auc(labels[both], scores["score"][both]))
        assert found["events"][name] > 0
        assert found["microseconds_per_row"][name] > 0.0
    said = [line for line in reports.splitlines() if "challenger: " in line]
    assert said[0].startswith("slidecell stream: challenger: 600 rows; flagged by both ")
    assert f"rank correlation of scores {expected:.3f}" in said[0]
    assert [line.split(":")[2] for line in said[1:]] == [
        " labels say of the champion",
        " labels say of the challenger",
    ]


def test_missing_rows_reach_the_challenger_too(tmp_path: Path, models: tuple[Path, Path]) -> None:
    champion, challenger = models
    lines = as_csv(table(60)).splitlines()
    lines[20] = lines[20].replace(",", ",?", 3)  # its values cannot be read
    lines[31] = "x"  # nor whose row this is
    report = tmp_path / "report.json"
    text = "\n".join(lines)
    live(tmp_path, text, model=champion, shadow=challenger, shadow_report=report)
    alone = live(tmp_path, text, model=challenger)[0]
    scored = sum(line.split(",")[2] != "" for line in alone.splitlines()[1:])
    found = json.loads(report.read_text())
    assert found["scored"]["both"] == scored
    assert found["rows"] == 58


def test_a_failing_challenger_is_counted_and_ends_nothing(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    champion, challenger = models
    text = as_csv(table(200))
    plain = live(tmp_path, text, model=champion)[0]
    score = live_entities.Entities.score
    monkeypatch.setattr(
        "slidecell.live.shadow.Entities.score",
        lambda self, block: _fail_at(score, self, block, challenger),
    )
    report = tmp_path / "report.json"
    out, reports = live(tmp_path, text, model=champion, shadow=challenger, shadow_report=report)
    assert out == plain
    found = json.loads(report.read_text())
    assert (found["rows"], found["failed"]) == (200, 20)
    assert found["first_failure"] == "MemoryError: no room for a row"
    # A failure is a missing row: two windows of three rows touch it beside its own.
    assert found["scored"]["both"] < 200 - 2 * 20
    assert "it could not take 20 rows, the first because of MemoryError: no room" in reports


def _fail_at(score: Any, self: Any, block: Any, challenger: Path) -> Any:
    if self._options.model != challenger:
        yield from score(self, block)
        return
    for n in range(len(block)):
        if int(block.times[n]) % 10 == 3:
            error = MemoryError("no room for a row")
            yield live_entities.RefusedRow(block.numbers[n], block.row(n), error)
        else:
            yield from score(self, block[n : n + 1])


def test_challengers_with_other_features_are_refused(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    other = tmp_path / "other"
    ZScoreDetector().fit(frame(50).rename(columns={"heat": "flow"})).save(other)
    nameless = tmp_path / "nameless"
    ZScoreDetector().fit(np.random.default_rng(0).normal(size=(50, 3))).save(nameless)
    for path, text in (
        (
            other,
            r"--shadow \S+other: expected the features of \S+champion \(load, heat\), got load, f",
        ),
        (nameless, r"--shadow \S+nameless: expected 2 features, as \S+champion has, got 3"),
        (tmp_path / "absent", "absent"),
    ):
        with pytest.raises((ValueError, OSError), match=text):
            live(tmp_path, as_csv(table(10)), model=models[0], shadow=path)


def test_the_challenger_goes_on_from_its_own_state(
    tmp_path: Path, models: tuple[Path, Path]
) -> None:
    champion, challenger = models
    lines = as_csv(table(300)).splitlines(keepends=True)
    report = tmp_path / "report.json"
    settings = {"model": champion, "shadow": challenger, "shadow_report": report}
    live(tmp_path, "".join(lines), **settings)
    whole = json.loads(report.read_text())
    state = tmp_path / "run.state"
    counts = []
    for part in (lines[:151], [lines[0], *lines[151:]]):
        live(tmp_path, "".join(part), state=state, **settings)
        counts.append(json.loads(report.read_text()))
    assert (tmp_path / "run.state.shadow").exists()
    for name in ("scored", "flagged"):
        sums = {key: counts[0][name][key] + counts[1][name][key] for key in whole[name]}
        assert sums == whole[name]
    # Of another challenger it begins anew.
    RollingVarianceDetector(window=3).fit(frame(300)).save(challenger)
    later = [{**row, "t": row["t"] + 1000} for row in table(50)]
    out, reports = live(tmp_path, as_csv(later), state=state, **settings)
    assert len(out.splitlines()) == 51
    assert "run.state.shadow: " in reports
    assert "; it begins anew" in reports


def test_options_that_need_each_other(tmp_path: Path, models: tuple[Path, Path]) -> None:
    champion, challenger = models
    text = as_csv(table(10))
    for options, message in (
        ({"label": "bad"}, "--label: expected with --shadow or --keep-rows"),
        ({"shadow_report": tmp_path / "x"}, "--shadow-report: expected with --shadow"),
        ({"shadow": challenger, "label": "host"}, "--label and --entity both name column 'host'"),
        ({"shadow": challenger, "label": "worse"}, "--label: no column 'worse'"),
        (
            {"shadow": challenger, "shadow_report": tmp_path / "no" / "x.json"},
            "--shadow-report .*No such file",
        ),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            live(tmp_path, text, model=champion, **options)


def test_a_report_that_cannot_be_written_ends_no_run(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    champion, challenger = models
    report = tmp_path / "report.json"
    report.mkdir()
    text = as_csv(table(50))
    state = tmp_path / "run.state"
    out, reports = live(
        tmp_path, text, model=champion, shadow=challenger, shadow_report=report, state=state
    )
    assert out == live(tmp_path, text, model=champion)[0]
    assert state.exists()
    assert "the challenger: IsADirectoryError: " in reports


def test_the_sample_of_a_long_run_keeps_its_ranks() -> None:
    agreement = Agreement()
    rng = np.random.default_rng(0)
    first = rng.normal(size=30_000)
    second = first + rng.normal(size=30_000)
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        agreement.add(a, b, flags=(False, False), costs=(1, 1))
    found = agreement.to_dict()
    assert found["ranked"] == 8192
    assert found["rank_correlation"] == pytest.approx(spearmanr(first, second).statistic, abs=0.02)
    assert Agreement().to_dict()["rank_correlation"] is None
