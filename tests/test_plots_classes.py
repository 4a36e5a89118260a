"""Figures of scores by class: what is counted, drawn and said; awkward labels and scores."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")
metrics = pytest.importorskip("sklearn.metrics")

from slidecell.plots import (  # noqa: E402
    plot_comparison,
    plot_confusion,
    plot_errors,
    plot_feature_attribution,
    plot_pr_curve,
    plot_precision_recall_thresholds,
    plot_roc_curve,
    plot_score_scatter,
    plot_scores,
)

RNG = np.random.default_rng(3)
LABELS = (RNG.random(400) < 0.1).astype(int)
SCORES = np.where(np.arange(400) < 5, np.nan, RNG.random(400) + 0.5 * LABELS)
KNOWN = np.isfinite(SCORES)
THRESHOLD = 0.9
FLAGS = SCORES > THRESHOLD

BY_CLASS = [
    plot_errors,
    plot_score_scatter,
    plot_pr_curve,
    plot_roc_curve,
    plot_precision_recall_thresholds,
]


def drawn(figure) -> None:
    """Draw all artists; placing them takes longer than what is tested here."""
    figure.set_layout_engine("none")
    figure.draw_without_rendering()


def lines(figure) -> dict[str, tuple[list[float], list[float]]]:
    found = figure.axes[0].get_lines()
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in found}


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_plots_errors_count_every_scored_row_once():
    figure = plot_errors(SCORES, LABELS, THRESHOLD)
    positives = int(LABELS[KNOWN].sum())
    normal = int(KNOWN.sum()) - positives
    names = legend(figure)
    assert names == [f"normal ({normal})", f"anomalous ({positives})", "threshold 0.9"]
    heights = [patch.get_xy()[:, 1] for patch in figure.axes[0].patches]
    assert len(heights) == 2
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[0].get_xscale() == "linear"
    recall, alarms = FLAGS[LABELS == 1].sum() / positives, FLAGS[LABELS == 0].sum() / normal
    told = f"{100 * recall:.3g} % of the anomalous and {100 * alarms:.3g} % of the normal rows"
    assert figure.axes[0].get_title() == f"{told} are above the threshold"


def test_plots_errors_wide_spread_gets_a_log_axis_with_zeros_counted():
    scores = np.concatenate([np.zeros(7), np.logspace(-3, 3, 200)])
    figure = plot_errors(scores, np.arange(207) % 5 == 0)
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_xlabel() == "score (7 of 0 at the left)"
    tops = [patch.get_xy()[:, 1].max() for patch in figure.axes[0].patches]
    # The first bin, a tenth of a decade, holds rows 0 to 10; of them 0, 5 and 10 are anomalous.
    assert tops == [8.0, 3.0]
    drawn(figure)


def test_plots_curves_mark_the_score_that_the_threshold_belongs_to():
    scores = {"other": RNG.random(400), "own": SCORES}
    for plot in (plot_pr_curve, plot_roc_curve):
        (alone, both) = (
            next(text for text in legend(figure) if text.startswith("threshold"))
            for figure in (
                plot(SCORES, LABELS, THRESHOLD),
                plot(scores, LABELS, THRESHOLD, marked="own"),
            )
        )
        assert both == alone
        with pytest.raises(ValueError, match="marked: expected one of other, own, got 'mine'"):
            plot(scores, LABELS, THRESHOLD, marked="mine")


def test_plots_errors_of_one_class_without_labels():
    figure = plot_errors(SCORES, threshold=THRESHOLD)
    assert legend(figure)[0] == "rows (395)"
    share = 100 * FLAGS.sum() / 395
    assert figure.axes[0].get_title() == f"{share:.3g} % of 395 rows are above the threshold"


def test_plots_of_absurdly_large_scores_draw_without_a_warning():
    huge = np.where(np.arange(60) % 10 == 0, 1e300, 0.5)
    labels = (np.arange(60) % 10 == 0).astype(int)
    figures = [
        plot_errors(huge, labels, 1.0),
        plot_score_scatter(huge, labels, 1.0),
        plot_scores(huge[:, None], huge, threshold=1.0),
        plot_comparison(huge, huge, threshold=1.0, sums=(huge, huge), interval=4.0),
        plot_feature_attribution(np.full(2, np.finfo(float).max), ["a", "b"]),
    ]
    for figure in figures:
        drawn(figure)


def test_plots_scatter_draws_all_anomalies_and_says_its_share_of_the_normal():
    scores, labels = RNG.random(5000), (np.arange(5000) % 100 == 0).astype(int)
    figure = plot_score_scatter(scores, labels, 0.99, max_points=500)
    normal, odd, _ = legend(figure)
    assert normal == "normal (500 of 4,950 drawn, all above the threshold)"
    assert odd == "anomalous (50)"
    points = lines(figure)
    assert points[odd][0] == np.flatnonzero(labels).tolist()
    x, y = points[normal]
    assert len(x) == len(set(x)) == 500
    assert y == scores[x].tolist()
    above = np.flatnonzero((scores > 0.99) & (labels == 0))
    assert set(above) <= set(x)
    again = lines(plot_score_scatter(scores, labels, 0.99, max_points=500))
    assert again[normal][0] == x
    crowded = legend(plot_score_scatter(scores, labels, 0.0, max_points=500))
    assert crowded[0] == "normal (500 of 4,950 drawn)"


def test_plots_pr_curve_is_scikit_learns_with_the_operating_point():
    figure = plot_pr_curve(SCORES, LABELS, THRESHOLD)
    truth, scores = LABELS[KNOWN], SCORES[KNOWN]
    area = metrics.average_precision_score(truth, scores)
    precision, recall, _ = metrics.precision_recall_curve(truth, scores, drop_intermediate=True)
    found = lines(figure)
    x, y = found[f"score: average precision {area:.3f}"]
    assert x == recall.tolist()
    assert y == precision.tolist()
    assert set(found["chance"][1]) == {truth.mean()}
    hits, alarms = (FLAGS & (LABELS == 1)).sum(), FLAGS.sum()
    point = next(value for name, value in found.items() if name.startswith("threshold"))
    assert point == ([hits / truth.sum()], [hits / alarms])
    assert f"{area:.3f} (chance: {truth.mean():.3g})" in figure.axes[0].get_title()


def test_plots_roc_curve_of_several_scores_names_the_best_first():
    scores = {"good": SCORES, "random": RNG.random(400), "none": np.full(400, np.nan)}
    figure = plot_roc_curve(scores, LABELS, THRESHOLD)
    area = metrics.roc_auc_score(LABELS[KNOWN], SCORES[KNOWN])
    chance = metrics.roc_auc_score(LABELS, scores["random"])
    assert legend(figure)[:2] == [f"good: area {area:.3f}", f"random: area {chance:.3f}"]
    assert figure.axes[0].get_title() == "ROC: good has the largest area"
    expected = metrics.roc_curve(LABELS[KNOWN], SCORES[KNOWN])
    x, y = lines(figure)[f"good: area {area:.3f}"]
    assert x == expected[0].tolist()
    assert y == expected[1].tolist()


def test_plots_precision_and_recall_at_each_threshold():
    figure = plot_precision_recall_thresholds(SCORES, LABELS, THRESHOLD)
    found = lines(figure)
    x, precision = found["precision"]
    recall, f1 = found["recall"][1], found["F1"][1]
    for place in (0, 100, 390):
        flags = x[place] <= SCORES
        hits = (flags & (LABELS == 1)).sum()
        assert precision[place] == pytest.approx(hits / flags.sum(), abs=1e-12)
        assert recall[place] == pytest.approx(hits / LABELS[KNOWN].sum(), abs=1e-12)
        both = precision[place] + recall[place]
        expected = 2 * precision[place] * recall[place] / both if both else 0.0
        assert f1[place] == pytest.approx(expected, abs=1e-12)
    hits = (FLAGS & (LABELS == 1)).sum()
    told = f"Precision {hits / FLAGS.sum():.3g}, recall {hits / LABELS[KNOWN].sum():.3g}"
    assert figure.axes[0].get_title() == f"{told} at the threshold"


def test_plots_curves_of_many_points_stay_small_and_keep_their_ends():
    labels = np.arange(60_000) % 3 == 0
    scores = np.exp(4 * np.random.default_rng(0).normal(size=60_000)) + labels
    for plot in (plot_pr_curve, plot_roc_curve, plot_precision_recall_thresholds):
        x, y = next(iter(lines(plot(scores, labels)).values()))
        assert len(x) < 8000
        assert {y[0], y[-1]} <= {0.0, 1.0, float(labels.mean())}
    x, _ = lines(plot_precision_recall_thresholds(scores, labels))["recall"]
    assert x[0] == scores.min()
    assert np.array_equal(x[-10:], np.sort(scores)[-10:])  # few rows, much of the axis


def test_plots_confusion_counts_and_shares():
    flags = np.where(KNOWN, FLAGS, np.nan)
    figure = plot_confusion(flags, LABELS)
    texts = [text.get_text().split("\n") for text in figure.axes[0].texts]
    expected = metrics.confusion_matrix(LABELS[KNOWN], FLAGS[KNOWN])
    assert [int(count) for count, _ in texts] == expected.ravel().tolist()
    shares = expected / expected.sum(axis=1, keepdims=True)
    assert texts[1][1] == f"{100 * shares[0, 1]:.3g} % of normal"
    assert texts[2][1] == f"{100 * shares[1, 0]:.3g} % of anomalous"
    assert figure.axes[0].get_xlabel() == "5 rows without a score are left out"
    assert plot_confusion([0, 0], [0, 0]).axes[0].texts[2].get_text() == "0\nno anomalous"


AWKWARD = {
    "nothing": (np.zeros(0), np.zeros(0, int)),
    "one row": (np.ones(1), np.ones(1, int)),
    "no score": (np.full(9, np.nan), np.arange(9) % 2),
    "constant": (np.ones(20), np.arange(20) % 4 == 0),
    "all zero": (np.zeros(20), np.arange(20) % 4 == 0),
    "all normal": (np.linspace(0, 1, 20), np.zeros(20)),
    "all anomalous": (np.linspace(0, 1, 20), np.ones(20)),
    "negative": (-np.logspace(-3, 3, 20), np.arange(20) % 4 == 0),
    "wide": (np.logspace(-30, 30, 20), np.arange(20) % 4 == 0),
    "infinite": (np.array([np.inf, -np.inf, 0.1, 0.2, 0.3]), np.array([1, 0, 0, 1, 0])),
}


@pytest.mark.parametrize("case", AWKWARD)
def test_plots_by_class_of_awkward_scores_never_warn(case: str):
    scores, labels = AWKWARD[case]
    for plot in BY_CLASS:
        drawn(plot(scores, labels, 0.5))
    plot_confusion(np.where(np.isfinite(scores), scores > 0.5, np.nan), labels)


def test_plots_one_class_says_why_there_is_no_curve():
    for plot in BY_CLASS[2:]:
        figure = plot(SCORES, np.zeros(400, int), THRESHOLD)
        (text,) = figure.axes[0].texts
        assert text.get_text() == "all 395 scored rows are labelled normal: no curve"
    drawn(plot_precision_recall_thresholds(SCORES, LABELS, 1e9))
    figure = plot_pr_curve(SCORES, LABELS, 1e9)
    assert "threshold 1e+09: nothing is flagged" in legend(figure)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: plot_errors(LABELS, SCORES[5:]), r"labels: expected \[400\].*got \[395\]"),
        (lambda: plot_pr_curve(LABELS, SCORES), r"labels: expected 0 and 1 \(anomaly\), got"),
        (lambda: plot_errors(np.zeros((3, 2)), [0, 1, 0]), r"scores: expected \[S\], got \[3, 2\]"),
        (lambda: plot_pr_curve({"a": [[1]]}, [0]), r"scores\['a'\]: expected \[S\]"),
        (lambda: plot_pr_curve({}, [0]), r"scores: expected at least one"),
        (lambda: plot_confusion([0.5, 1], [0, 1]), r"flags: expected 0, 1 or NaN, got 0.5"),
        (lambda: plot_score_scatter([1], [1], times=[1, 2]), r"times: expected \[1\], got \[2\]"),
        (lambda: plot_score_scatter([1], [1], max_points=0), r"max_points: expected at least 1"),
    ],
)
def test_plots_by_class_refuse_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_plots_by_class_refuse_text():
    with pytest.raises(TypeError, match="scores: expected real numbers"):
        plot_errors(np.array(["a"]), [0])
    with pytest.raises(TypeError, match="labels: expected 0 and 1"):
        plot_errors([0.5], np.array(["a"]))
