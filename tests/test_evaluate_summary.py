"""The table of all metrics: what it counts, what it leaves out, what it refuses."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

from slidecell import evaluate as package
from slidecell.evaluate import (
    Evaluation,
    evaluate,
    label_entities,
    point_adjusted_f1,
    pr_auc,
    precision_at_k,
    rank_entities,
    recall_at_k,
    roc_auc,
    vus,
)


def series(n: int = 3000):
    """Labels in three runs, scores that find most of them, three entities, 7 % without a score."""
    rng = np.random.default_rng(0)
    labels = np.zeros(n, int)
    for first, length in ((300, 40), (1400, 25), (2500, 60)):
        labels[first : first + length] = 1
    scores = rng.random(n) + 0.6 * labels * rng.random(n)
    scores[rng.random(n) < 0.05] = np.nan
    scores[:50] = np.nan
    return labels, scores, np.array([0, 1000, 1000, 2000, n])


@pytest.mark.parametrize("window", [0, 10, 100])
def test_evaluate_measures_volumes_with_the_given_buffer(window):
    labels, scores, offsets = series()
    own = evaluate(labels, scores, threshold=1.0, offsets=offsets)
    found = evaluate(labels, scores, threshold=1.0, offsets=offsets, vus_window=window)
    assert found.vus_window == window != own.vus_window
    assert (found.vus_roc, found.vus_pr) == vus(labels, scores, window, offsets)
    assert found.vus_pr != own.vus_pr
    assert found.random["vus_pr"] != own.random["vus_pr"]
    assert found.pr_auc == own.pr_auc
    assert f"VUS: buffers of up to {window} rows" in str(found)
    assert f"VUS: buffers of up to {own.vus_window} rows" in str(own)


def test_evaluate_is_what_its_parts_find():
    labels, scores, offsets = series()
    found = evaluate(labels, scores, threshold=1.0, offsets=offsets)
    kept = ~np.isnan(scores)
    truth, flags = labels[kept], scores[kept] > 1.0
    within = np.concatenate(([0], np.cumsum(kept)))[offsets]
    assert (found.rows, found.unscored_rows) == (kept.sum(), (~kept).sum())
    assert found.positives + found.unscored_positives == labels.sum()
    assert (found.entities, found.events, found.unscored_events) == (3, 3, 0)
    assert found.prevalence == truth.mean()
    assert (found.roc_auc, found.pr_auc) == (roc_auc(labels, scores), pr_auc(labels, scores))
    assert (found.vus_roc, found.vus_pr) == vus(labels, scores, found.vus_window, offsets)
    assert found.vus_window == np.median(
        [
            labels[:1000][kept[:1000]].sum(),
            *(labels[a:b][kept[a:b]].sum() for a, b in ((1000, 2000), (2000, 3000))),
        ]
    )
    assert found.range_f1 == package.range_f1(truth, flags, within)
    assert found.affiliation_f1 == pytest.approx(package.affiliation_f1(truth, flags, within))
    assert found.point_adjusted_f1_inflated == point_adjusted_f1(truth, flags, within)
    assert found.flagged == flags.sum()
    assert found.confusion_matrix == package.point_scores(truth, flags).confusion_matrix
    assert found.classification_report == package.classification_report(truth, flags)
    everywhere = np.zeros(len(labels), bool)
    everywhere[kept] = flags
    delay = package.detection_delay(labels, everywhere, offsets)
    assert (found.delay_median, found.delay_mean) == (delay.median, delay.mean)
    assert found.events_found_share == delay.found_share
    assert found.event_f1 == package.event_f1(labels, everywhere, offsets)
    assert (found.threshold, found.threshold_origin, found.note) == (1.0, "given", None)


def test_evaluate_delays_are_in_rows_of_the_input():
    """An event begins at its label, whether or not its first rows have a score."""
    labels = [0, 1, 1, 1, 1, 0, 1, 1, 0]
    scores = [0.1, np.nan, np.nan, 0.2, 0.9, 0.1, np.nan, np.nan, 0.1]
    found = evaluate(labels, scores, threshold=0.5)
    assert (found.delay_median, found.events, found.unscored_events) == (3.0, 1, 1)
    assert (found.events_found_share, found.event_f1, found.recall) == (1.0, 1.0, 0.5)
    assert found.unscored_positives == 4


def test_evaluate_oracle_is_the_best_f1_of_these_labels():
    labels, scores, offsets = series()
    oracle = evaluate(labels, scores, offsets=offsets)
    assert oracle.threshold_origin == "oracle"
    assert "oracle" in str(oracle)
    for other in np.nanpercentile(scores, np.arange(1, 100)):
        assert evaluate_f1(labels, scores, other) <= oracle.f1
    given = evaluate(labels, scores, offsets=offsets, threshold=oracle.threshold)
    assert given.f1 == oracle.f1
    assert "oracle" not in str(given)


def evaluate_f1(labels, scores, threshold):
    kept = ~np.isnan(scores)
    return package.point_scores(labels[kept], scores[kept] > threshold).f1


def test_evaluate_shows_random_scores_beside():
    labels, scores, offsets = series()
    found = evaluate(labels, scores, threshold=0.95, offsets=offsets)
    random = found.random
    assert random["pr_auc"] == random["precision"] == found.prevalence
    assert (random["roc_auc"], random["recall"]) == (
        0.5,
        pytest.approx(found.flagged / found.rows),
    )
    # The reason for the name.
    assert random["point_adjusted_f1_inflated"] > 3 * random["f1"]
    assert random["vus_pr"] < found.vus_pr
    again = evaluate(labels, scores, threshold=0.95, offsets=offsets)
    assert again == found
    other = evaluate(labels, scores, threshold=0.95, offsets=offsets, random_state=1)
    assert other.random != random
    assert other.vus_pr == found.vus_pr
    # Flags as good as random ones are as good as random ones.
    noise = np.random.default_rng(5).random(len(labels))
    drawn = evaluate(labels, noise, threshold=0.9, offsets=offsets)
    for name in ("accuracy", "affiliation_f1", "vus_roc"):
        assert getattr(drawn, name) == pytest.approx(drawn.random[name], abs=0.1)


def test_evaluate_is_ready_for_json_and_people():
    labels, scores, offsets = series()
    found = evaluate(labels, scores, offsets=offsets)
    report = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert report == found.to_dict()
    assert set(report) == {*Evaluation.__dataclass_fields__, "confusion_matrix"}
    text = str(found)
    for part in ("VUS-PR", "point-adjusted F1 (inflated)", "random", "3 entities", "3 events"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("label", [0, 1])
def test_evaluate_one_class(label):
    scores = [0.1, np.nan, 0.7, 0.9]
    found = evaluate([label] * 4, scores, threshold=0.5)
    assert (found.roc_auc, found.pr_auc, found.vus_roc, found.vus_pr) == (None,) * 4
    name = "anomalous" if label else "normal"
    assert found.note == f"all 3 scored rows are labelled {name}: ROC-AUC and PR-AUC need both"
    assert found.accuracy == pytest.approx(2 / 3 if label else 1 / 3)
    assert found.recall == (pytest.approx(2 / 3) if label else None)
    assert (found.range_f1 is None) == (found.event_f1 is None) == (label == 0)
    assert found.note in str(found)
    without = evaluate([label] * 4, scores)
    assert (without.threshold, without.flagged, without.f1) == (None, None, None)
    assert "a threshold chosen on them" in without.note
    assert "no threshold" in str(without)
    json.dumps([found.to_dict(), without.to_dict()], allow_nan=False)


@pytest.mark.parametrize("rows", [0, 3])
def test_evaluate_no_scored_row(rows):
    found = evaluate([1] * rows, [np.nan] * rows, threshold=0.5)
    assert (found.rows, found.unscored_positives, found.unscored_events) == (0, rows, rows > 0)
    assert (found.note, found.f1, found.prevalence) == ("no row has a score", None, None)
    assert "no row has a score" in str(found)
    assert evaluate([1] * rows, [np.nan] * rows).threshold is None


def test_evaluate_nothing_flagged():
    labels, scores, offsets = series()
    found = evaluate(labels, scores, threshold=9.0, offsets=offsets)
    assert (found.precision, found.recall, found.f1, found.flagged) == (None, 0.0, 0.0, 0)
    assert (found.range_f1, found.event_f1, found.affiliation_f1) == (0.0, 0.0, 0.0)
    assert (found.events_found, found.delay_median) == (0, None)
    assert found.random["precision"] is None
    assert "0 of 3 events found" in str(found)


@pytest.mark.parametrize(
    ("labels", "scores", "options", "error", "text"),
    [
        ([0, 1], [0.1], {}, ValueError, r"scores: expected \[2\] \(rows of labels\), got \[1\]"),
        ([0, 3], [0.1, 0.2], {}, ValueError, r"labels: expected 0 or 1 .*got 3 in row 1"),
        ([0, np.nan], [0.1, 0.2], {}, ValueError, "labels: expected 0 or 1 .*got nan in row 1"),
        (["a", "b"], [0.1, 0.2], {}, TypeError, "labels: expected real numbers, got dtype <U1"),
        ([[0, 1]], [0.1, 0.2], {}, ValueError, r"labels: expected \[S\], got \[1, 2\]"),
        ([0, 1], [[0.1], [1]], {}, ValueError, r"scores: expected \[S\], got \[2, 1\]"),
        ([0, 1], [0.1, 0.2], {"threshold": np.nan}, ValueError, "threshold: expected a finite"),
        ([0, 1], [0.1, 0.2], {"offsets": [0, 1]}, ValueError, "offsets: .* got 0 to 1"),
        ([0, 1], [0.1, 0.2], {"offsets": [0, 2, 1, 2]}, ValueError, "offsets: .*, falling"),
        ([0, 1], [0.1, 0.2], {"offsets": [0.0, 2.0]}, TypeError, "offsets: expected integers"),
        ([0, 1], [0.1, 0.2], {"offsets": []}, TypeError, "offsets: expected integers"),
        ([0, 1], [0.1, 0.2], {"offsets": [[0, 2]]}, ValueError, r"offsets: expected \[G\+1\]"),
        (
            [0, 1],
            [0.1, 0.2],
            {"vus_window": -1},
            ValueError,
            "^vus_window: expected a whole number",
        ),
    ],
)
def test_evaluate_bad_input(labels, scores, options, error, text):
    with pytest.raises(error, match=text):
        evaluate(labels, scores, **options)


def test_evaluate_at_k():
    labels, scores = [1, 0, 1, 0, 0], [0.9, 0.7, 0.7, 0.7, np.nan]
    assert precision_at_k(labels, scores, 1) == 1.0
    # Of three equal scores with one anomaly one is taken, then two.
    assert precision_at_k(labels, scores, 2) == pytest.approx((1 + 1 / 3) / 2)
    assert recall_at_k(labels, scores, 3) == pytest.approx((1 + 2 / 3) / 2)
    assert recall_at_k(labels, scores, 4) == 1.0
    assert recall_at_k([0, 0], [0.1, 0.2], 1) is None
    for k in (0, 5, 1.0, True):
        with pytest.raises(ValueError, match=r"k: expected a whole number of 1 to 4 \(scored"):
            precision_at_k(labels, scores, k)


def test_evaluate_entities():
    rng = np.random.default_rng(6)
    lengths = rng.integers(0, 9, 50)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    scores = np.where(rng.random(offsets[-1]) < 0.2, np.nan, rng.normal(size=offsets[-1]))
    labels = rng.random(offsets[-1]) < 0.1
    for how, top in (("max", 5), ("mean_top", 1), ("mean_top", 3), ("mean_top", 99)):
        found = rank_entities(scores, offsets, how, top=top)
        for g, (a, b) in enumerate(itertools.pairwise(offsets)):
            own = np.sort(scores[a:b][~np.isnan(scores[a:b])])[::-1][: 1 if how == "max" else top]
            assert found[g] == pytest.approx(own.mean() if len(own) else np.nan, nan_ok=True)
            assert label_entities(labels, offsets)[g] == labels[a:b].any()
    assert 0.0 <= roc_auc(label_entities(labels, offsets), found) <= 1.0
    with pytest.raises(ValueError, match="how: expected 'max' or 'mean_top', got 'sum'"):
        rank_entities(scores, offsets, "sum")
    with pytest.raises(ValueError, match="top: expected a whole number >= 1"):
        rank_entities(scores, offsets, "mean_top", top=0)
    with pytest.raises(ValueError, match=r"scores: expected \[S\], got \[1, 1\]"):
        rank_entities([[0.1]], [0, 1])


def test_evaluate_alarms_per():
    flags = [1, 1, 0, 1, 1, 0]
    assert package.alarms_per(flags, 30) == 20.0
    assert package.alarms_per(flags, 30, merge=True) == 10.0
    assert package.alarms_per(flags, 30, [0, 1, 6], merge=True) == 15.0
    assert package.alarms_per([], 30) is None
    with pytest.raises(ValueError, match="rows: expected a whole number >= 1"):
        package.alarms_per(flags, 0)


def test_evaluate_imports_numpy_only():
    code = (
        "import sys, slidecell.evaluate as e\n"
        "e.vus([0, 1], [0.1, 0.2], 2), e.event_f1([0, 1], [0, 1])\n"
        "heavy = {'torch', 'sklearn', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_evaluate_without_scikit_learn_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for metric in (roc_auc, pr_auc, package.classification_report):
        with pytest.raises(ImportError, match=r"pip install 'slidecell\[detect\]'"):
            metric([0, 1], [0, 1])
