"""Labels judge the flags that a model's own rule raises, and infinite scores are the highest."""

from __future__ import annotations

import json

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("torch", "sklearn", "matplotlib", "jinja2"):
    pytest.importorskip(_module)

import torch  # noqa: E402
from rich.console import Console  # noqa: E402

import slidecell as sc  # noqa: E402
from slidecell.detect import RetrainOptions, run_retrain  # noqa: E402
from slidecell.evaluate import evaluate, event_f1, point_scores, roc_auc  # noqa: E402
from slidecell.jobs.retrain_report import retrain_report  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.jobs.terminal import print_report  # noqa: E402
from slidecell.thresholds import CusumThreshold, FixedThreshold  # noqa: E402
from slidecell.training import Forecaster  # noqa: E402

ROWS = np.random.default_rng(5).random((240, 2)) ** 3
LABELS = np.zeros(240, int)
LABELS[[30, 31, 32, 100, 101, 160, 200, 201]] = 1
ROWS[LABELS == 1] += 0.8
OFFSETS = np.array([0, 120, 240])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = sc.SequenceModel.from_torch(Forecaster(2, 4, window=3))
    return made.with_metadata(features=["a", "b"], extra={"detect": {"entity": "who"}})


def write(folder, model, rows=ROWS, rule=None):
    """Save the model with the rule, and the rows as two entities."""
    state = None if rule is None else rule.state()
    model.with_metadata(threshold=state).save(folder / "m.safetensors")
    frame = pd.DataFrame(rows, columns=["a", "b"])
    frame = frame.assign(who=np.repeat(["x", "y"], 120), label=LABELS)
    frame.to_csv(folder / "in.csv", index=False)
    return folder / "m.safetensors", folder / "in.csv"


def test_score_judges_the_flags_of_a_rule_without_a_value(model, tmp_path, capsys):
    rule = CusumThreshold(k=0.3, h=3.0, restart=True).fit(model.score(ROWS, OFFSETS))
    paths = write(tmp_path, model, rule=rule)
    result = run_score(ScoreOptions(*paths, tmp_path / "out", label="label", html=True))
    found = result.report["metrics"]
    scored = ~np.isnan(result.scores)
    points = point_scores(LABELS[scored], result.flagged[scored])
    assert (found["threshold"], found["threshold_origin"]) == (None, "flags")
    assert (found["true_positives"], found["f1"]) == (points.true_positives, points.f1)
    assert found["flagged"] == result.flagged.sum() > 0
    assert found["event_f1"] == event_f1(LABELS, result.flagged, OFFSETS)
    assert found["roc_auc"] == roc_auc(LABELS, result.scores)
    assert 0.0 < found["vus_pr"] <= 1.0
    print_report(Console(width=120), result.document)
    shown = capsys.readouterr().out
    assert f"{points.true_positives} of {found['flagged']} flagged rows are labelled" in shown
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Against the labels" in page


@pytest.mark.parametrize("rule", [CusumThreshold(k=0.2, h=1.0, first=20), None])
def test_retrain_judges_the_flags_of_a_rule_without_a_value(model, tmp_path, capsys, rule):
    paths = write(tmp_path, model, rule=rule)
    options = RetrainOptions(
        *paths, tmp_path / "out", label="label", train_on="normal", train_until="0.5", epochs=1
    )
    report = run_retrain(options, progress=False).report
    old, metrics = report["old"], report["old"]["metrics"]
    print_report(Console(width=100), retrain_report(report))
    shown = capsys.readouterr().out
    if rule is None:
        assert (old["flagged"], metrics["threshold_origin"]) == (None, "oracle")
        assert "precision, oracle threshold" in shown
        return
    assert metrics["threshold_origin"] == "flags"
    assert metrics["flagged"] == old["flagged"] > 0
    alarms = metrics["true_positives"] + metrics["false_positives"]
    assert alarms == old["flagged"]
    assert metrics["precision"] == metrics["true_positives"] / alarms
    assert "oracle" not in shown


def test_retrain_counts_infinite_scores(model, tmp_path):
    rows = ROWS.copy()
    rows[200] = 1e25
    paths = write(tmp_path, model, rows, FixedThreshold(0.5))
    options = RetrainOptions(*paths, tmp_path / "out", label="label", train_until="0.5", epochs=1)
    found = run_retrain(options, progress=False).report["old"]
    assert found["metrics"]["unscored_positives"] == 0
    assert found["metrics"]["flagged"] == found["flagged"]
    assert found["scored"] == 120
    assert np.isfinite([found["loss"], found["mean_score"]]).all()


def test_score_counts_infinite_scores_as_the_highest(model, tmp_path, capsys):
    rows = ROWS.copy()
    rows[[100, 200]] = 1e25
    paths = write(tmp_path, model, rows, FixedThreshold(0.5))
    result = run_score(ScoreOptions(*paths, tmp_path / "out", label="label", html=True))
    assert np.isposinf(result.scores[[100, 200]]).all()
    metrics, counts = result.report["metrics"], result.report["flagged"]["test"]
    assert (metrics["unscored_positives"], metrics["positives"]) == (0, LABELS.sum())
    assert metrics["rows"] == counts["scored"] == 234
    assert metrics["flagged"] == counts["flagged"] == result.flagged.sum()
    assert metrics["true_positives"] >= 2
    print_report(Console(width=120), result.document)
    assert f"{metrics['flagged']} flagged rows are labelled" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('">inf</td>') == 4  # as two events, and as the two highest scores
    json.loads((tmp_path / "out" / "report.json").read_text())


def test_evaluate_takes_infinite_scores_as_detectors_make_them():
    labels, scores = [0, 1, 0, 1], [0.1, np.inf, -np.inf, 0.2]
    found = evaluate(labels, scores)
    assert found.to_dict() == evaluate(labels, [0.1, 9.0, -9.0, 0.2]).to_dict()
    assert (found.roc_auc, found.f1, found.rows) == (1.0, 1.0, 4)
    assert 0.1 < found.threshold < 0.2
    worst = evaluate([0, 1], [np.inf, -np.inf])
    assert (worst.roc_auc, worst.f1) == (0.0, pytest.approx(2 / 3))
    assert evaluate([1, 0], [np.inf, -np.inf]).threshold == 0.0


def test_evaluate_judges_given_flags():
    labels, flags = [0, 1, 1, 0, 1], [1, 1, 0, 0, 1]
    scores = [0.3, 0.1, 0.2, np.nan, 0.9]
    found = evaluate(labels, scores, flags=flags, offsets=[0, 4, 5])
    points = point_scores([0, 1, 1, 1], [1, 1, 0, 1])
    assert (found.precision, found.recall) == (points.precision, points.recall)
    assert found.event_f1 == event_f1(labels, flags, [0, 4, 5])
    assert (found.threshold, found.threshold_origin, found.flagged) == (None, "flags", 3)
    assert str(found).splitlines()[1] == "flags as given: 3 rows flagged"
    with pytest.raises(ValueError, match="flags: expected none beside threshold"):
        evaluate(labels, scores, flags=flags, threshold=0.5)
    with pytest.raises(ValueError, match=r"flags: expected \[5\] \(rows of labels\), got \[2\]"):
        evaluate(labels, scores, flags=[0, 1])
    with pytest.raises(TypeError, match="threshold: expected a number, got 'a'"):
        evaluate(labels, scores, threshold="a")
