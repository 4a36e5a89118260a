"""System D on a short series: it runs, and nothing that it reports on takes part in its fit."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("pandas")
pytest.importorskip("rich")

from rich.console import Console

from slidecell.datasets import ensemble_series
from slidecell.evaluate import pr_auc
from slidecell.jobs.terminal import print_report
from slidecell.reproduce import Outcome, SystemOptions
from slidecell.reproduce import ensemble_protocol as protocol
from slidecell.reproduce.ensemble import run
from slidecell.reproduce.report import system_report

ROWS = 1400
HALF = ROWS // 2
FIRST = HALF + protocol.WINDOW


def frame() -> Any:
    return ensemble_series(rows=ROWS).frame()


def run_on(table: Any, folder: Path) -> Outcome:
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "series.csv", index=False)
    options = SystemOptions(
        out=folder / "out", data=folder / "series.csv", num_threads=1, progress=False
    )
    return run(options)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_on(frame(), tmp_path_factory.mktemp("ensemble"))


def test_ensemble_system_reports_both_protocols(outcome: Outcome) -> None:
    later, inside = outcome.report["second_half"], outcome.report["in_sample"]
    assert (later["first_row"], later["last_row"]) == (FIRST, ROWS - 1)
    assert (inside["first_row"], inside["last_row"]) == (protocol.WINDOW, ROWS - 1)
    names = [comparison.name for comparison in outcome.comparisons]
    assert len(set(names)) == len(names)
    for metric in ("F1 of the ensemble", "PR-AUC of the ensemble", "alarms, CUSUM"):
        assert f"second half: {metric}" in names
        assert f"in-sample: {metric}" in names
    assert all("second half" in n or "in-sample" in n for n in names if "F1" in n or "PR-AUC" in n)
    assert later["tuned"]["method"] == "grid"
    assert later["tuned"]["evaluations"] == 529
    assert outcome.report["kernel"]["difference"] < 2e-6
    assert [figure.name for figure in outcome.figures] == [
        "precision-recall",
        "attribution",
        "comparison",
    ]


def test_ensemble_system_tables(outcome: Outcome) -> None:
    tables = {table.caption: table for table in outcome.tables}
    kinds = tables["recall by kind of anomaly (rows), second half"]
    later = frame().iloc[FIRST:]
    counts = later["kind"][later["label"] == 1].value_counts()
    assert len(counts) > 1
    assert kinds.columns[1:] == [f"{kind} ({counts[kind]})" for kind in sorted(counts.index)]
    alarms = tables["alarms of the fused score: fixed threshold and two-sided CUSUM"]
    assert [row[1] for row in alarms.rows[:2]] == ["fixed", "CUSUM"]
    top = tables["mean attribution of the top 50"]
    assert len(top.rows) == 4
    table = outcome.comparison_table()
    assert {row[1] for row in table.rows} >= {"not printed", "624", "15,000 rows, 8 channels"}
    weights = tables["weights of the detectors"]
    names = [row[0] for row in weights.rows[::2]]
    assert names == ["equal weights", "grid by F1", "refined by F1", "refined by PR-AUC"]
    own = outcome.report["second_half"]["ways"][protocol.GRID]["weights"]
    assert weights.rows[2] == ["grid by F1", "second half", *(f"{w:.2f}" for w in own)]


def test_ensemble_system_on_a_terminal_has_one_line_for_a_row(outcome: Outcome) -> None:
    console = Console(file=io.StringIO(), width=100)
    report = system_report(replace(outcome, comparisons=[]), SystemOptions(Path("out")))
    print_report(console, report)
    text = console.file.getvalue().splitlines()
    shown = [table for table in outcome.tables if table.terminal_rows]
    assert [table.columns[0] for table in shown] == ["score", "score", "weights", "rows"]
    # Of each table its heads, a rule, its rows and above them a caption that fits.
    for table in shown:
        start = text.index(next(line for line in text if line.strip() == table.caption))
        rows = text[start + 3 : start + 3 + len(table.rows)]
        for line, row in zip(rows, table.rows, strict=True):
            assert [cell.strip() for cell in line.split("│")] == row
    assert text[-1] == "further tables, figures and settings: out/report.html"


def test_ensemble_system_tells_thresholds_and_highest_rows(outcome: Outcome) -> None:
    later = outcome.report["second_half"]
    fixed, cusum, inside, _ = outcome.thresholds
    assert fixed.value == later["ways"][protocol.GRID]["threshold"]
    assert fixed.fitted_on == f"rows 0 to {HALF - 1:,} with their labels"
    assert cusum.value == 4.0
    assert inside.fitted_on == f"rows 0 to {ROWS - 1:,} with their labels"
    assert outcome.plan is not None
    highest = outcome.highest
    assert highest is not None
    assert highest.columns == ["rank", "row", "labelled", "score", "largest parts"]
    kinds = frame()["kind"]
    for place, row in enumerate(highest.rows):
        there = later["top"]["rows"][place]
        parts = later["top"]["contributions"][place]
        largest = int(np.argmax(np.abs(parts)))
        assert row[:3] == [str(place + 1), f"{there:,}", kinds[there]]
        assert row[3] == f"{later['top']['scores'][place]:.4g}"
        assert row[4].startswith(f"{later['detectors'][largest]} {parts[largest]:.3g}")
    assert len(highest.rows) == 20


def test_ensemble_system_contributions_add_up(outcome: Outcome) -> None:
    later = outcome.report["second_half"]
    top = later["top"]
    weights = np.array(later["ways"][protocol.GRID]["weights"])
    baseline = weights @ np.array(later["baselines"])
    np.testing.assert_allclose(
        np.sum(top["contributions"], axis=1), np.array(top["scores"]) - baseline, atol=1e-12
    )
    assert (np.diff(top["scores"]) <= 0.0).all()
    assert min(top["rows"]) >= FIRST


def test_ensemble_system_report_is_json(outcome: Outcome) -> None:
    assert json.loads(json.dumps(outcome.report, allow_nan=False)) is not None


def test_nothing_of_the_second_half_is_fitted(outcome: Outcome, tmp_path: Path) -> None:
    changed = frame()
    rng = np.random.default_rng(5)
    features = [c for c in changed.columns if c.startswith("channel")]
    changed.loc[HALF:, features] = rng.normal(0, 20, (ROWS - HALF, len(features)))
    changed.loc[HALF:, "label"] = (np.arange(ROWS - HALF) % 7 == 0).astype(int)
    other = run_on(changed, tmp_path)
    ours, theirs = outcome.report["second_half"], other.report["second_half"]
    for part in ("normalisers", "baselines", "tuned"):
        assert theirs[part] == ours[part]
    assert theirs["cusum"]["rule"] == ours["cusum"]["rule"]
    for name, way in ours["ways"].items():
        assert theirs["ways"][name]["weights"] == way["weights"]
        assert theirs["ways"][name]["threshold"] == way["threshold"]
        assert theirs["ways"][name]["evaluation"] != way["evaluation"]
    # What is in-sample is not so.
    assert other.report["in_sample"]["tuned"] != outcome.report["in_sample"]["tuned"]


@pytest.fixture(scope="module")
def fitted() -> protocol.Fitted:
    data = ensemble_series(rows=ROWS)
    return protocol.fit_system(data.series[:HALF], data.label[:HALF], num_threads=1)


def test_fitted_system_scores_the_first_half_the_same(fitted: protocol.Fitted) -> None:
    data = ensemble_series(rows=ROWS)
    later = data.series.copy()
    later[HALF:] = 1e3
    plain = fitted.ensemble.score_samples(data.series)[:HALF]
    np.testing.assert_array_equal(fitted.ensemble.score_samples(later)[:HALF], plain)
    np.testing.assert_array_equal(fitted.ensemble.decision_scores_, plain)
    # The references of CUSUM are those of the source: the first 500 scores, and all of them.
    fused = plain[protocol.WINDOW - 1 :]
    state = fitted.cusum.state()
    assert (state["k"], state["h"], state["two_sided"]) == (0.3, 4.0, True)
    np.testing.assert_allclose(state["mean"], fused[:500].mean(), rtol=1e-12)
    np.testing.assert_allclose(state["sd"], fused.std(), rtol=1e-12)


def test_report_on_equals_its_parts(fitted: protocol.Fitted) -> None:
    data = ensemble_series(rows=ROWS)
    part = protocol.report_on(fitted, data.series, data.label, slice(FIRST, ROWS))
    way = fitted.ways[protocol.GRID]
    scores = fitted.ensemble.score_samples(data.series)[FIRST:]
    np.testing.assert_array_equal(part.fused, scores)
    np.testing.assert_array_equal(part.flags[protocol.GRID], scores > way.threshold)
    found = part.evaluations[protocol.GRID]
    assert found.pr_auc == pr_auc(data.label[FIRST:], scores)
    np.testing.assert_array_equal(part.cusum, fitted.cusum.apply(scores))
    z = (scores - fitted.cusum.state()["mean"]) / fitted.cusum.state()["sd"]
    up = down = 0.0
    for row, value in enumerate(z):
        up, down = max(0.0, up + value - 0.3), max(0.0, down - value - 0.3)
        np.testing.assert_allclose([part.sums[0][row], part.sums[1][row]], [up, down], atol=1e-9)
        assert part.cusum[row] == (part.sums[0][row] > 4.0 or part.sums[1][row] > 4.0)
    assert part.restarting.sum() < part.cusum.sum()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda t: t.drop(columns="label"),
            r"--data: expected a column 'label' \(1 = anomaly\) in .*, got channel_0, ",
        ),
        (lambda t: t.iloc[:300], "data: expected at least 400 rows, got 300"),
        (
            lambda t: t.assign(label=(np.arange(ROWS) < 600).astype(int)),
            "both halves, got 0 labelled of 650 in the second",
        ),
        (
            lambda t: t.assign(label=(np.arange(ROWS) > 900).astype(int)),
            "both halves, got 0 labelled of 650 in the first",
        ),
    ],
)
def test_ensemble_system_refuses_bad_options(change: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        run_on(change(frame()), tmp_path)
