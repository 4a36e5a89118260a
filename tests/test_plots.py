"""Figures: which entity and features are drawn, marks, long series, no global state."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.collections import PolyCollection

from slidecell.plots import plot_history, plot_scores

ROWS = np.random.default_rng(0).random((60, 3))
SCORES = np.where(np.arange(60) < 5, np.nan, ROWS[:, 0])


def _png(figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _texts(axis) -> list[str]:
    return [text.get_text().strip() for text in axis.texts]


def test_plots_write_a_png_without_pyplot():
    before = "matplotlib.pyplot" in sys.modules
    assert _png(plot_scores(ROWS, SCORES, threshold=0.9)).startswith(b"\x89PNG")
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_plots_flagged_rows_are_those_above_the_threshold():
    figure = plot_scores(ROWS, SCORES, threshold=0.9)
    lines = {line.get_label(): line for line in figure.axes[-1].get_lines()}
    count = int((SCORES > 0.9).sum())
    assert f"flagged ({count})" in lines
    assert list(lines[f"flagged ({count})"].get_xdata()) == np.flatnonzero(SCORES > 0.9).tolist()
    assert set(lines["threshold 0.9"].get_ydata()) == {0.9}


def test_plots_labels_are_shaded_on_every_axis_only_if_given():
    labels = (np.arange(60) > 50).astype(int)
    shaded = plot_scores(ROWS, SCORES, threshold=0.9, labels=labels)
    plain = plot_scores(ROWS, SCORES, threshold=0.9)
    for axis in shaded.axes[:-1]:
        assert sum(isinstance(c, PolyCollection) for c in axis.collections) == 1
    for axis in plain.axes:
        assert not axis.collections
    names = shaded.axes[-1].get_legend_handles_labels()[1]
    assert "labelled anomalous" in names


def test_plots_parts_are_named_and_bounded():
    part = np.repeat(["train", "validation", "test"], 20)
    figure = plot_scores(ROWS, SCORES, part=part)
    assert _texts(figure.axes[0]) == ["train", "validation", "test"]
    dashed = [line for line in figure.axes[1].get_lines() if len(set(line.get_xdata())) == 1]
    assert [line.get_xdata()[0] for line in dashed] == [20, 40]


def test_plots_entity_with_most_flagged_test_rows_is_drawn():
    entities = np.repeat(["a", "b", "c"], 20)
    scores = np.zeros(60)
    scores[:8] = 1.0  # a: many, in training
    scores[[35, 36, 37]] = 1.0  # b: three in the test part
    part = np.tile(np.repeat(["train", "test"], 10), 3)
    figure = plot_scores(ROWS, scores, threshold=0.5, part=part, entities=entities)
    assert figure.get_suptitle() == "b (most flagged rows of 3 entities)"
    labels = (entities == "c").astype(int)
    figure = plot_scores(ROWS, scores, threshold=0.5, labels=labels, entities=entities)
    assert figure.get_suptitle() == "c (most labelled rows of 3 entities)"
    assert len(figure.axes[0].get_lines()[0].get_xdata()) == 20


def test_plots_features_that_deviate_are_drawn():
    rows = np.random.default_rng(1).normal(size=(200, 9))
    rows[150:155, 6] += 30
    scores = np.where((np.arange(200) >= 150) & (np.arange(200) < 155), 1.0, 0.0)
    names = [f"f{index}" for index in range(9)]
    figure = plot_scores(rows, scores, threshold=0.5, names=names, max_features=2, title="T")
    assert len(figure.axes) == 3
    assert "f6" in [axis.get_ylabel() for axis in figure.axes]
    assert figure.get_suptitle() == "T, 2 of 9 features"


def test_plots_long_series_keep_their_extremes_and_stay_small():
    rows = np.zeros((200_003, 1))
    rows[123_456] = 7.0
    rows[200_002] = -3.0
    line = plot_scores(rows, rows[:, 0]).axes[0].get_lines()[0]
    drawn = np.asarray(line.get_ydata())
    assert len(drawn) < 12_000
    assert drawn.max() == 7.0
    assert drawn.min() == -3.0
    assert np.all(np.diff(np.asarray(line.get_xdata())) >= 0)


def test_plots_dates_missing_values_and_infinity():
    rows = ROWS.copy()
    rows[10:20, 0], rows[30, 1], rows[:, 2] = np.nan, np.inf, np.nan
    times = np.datetime64("2024-01-01") + np.arange(60) * np.timedelta64(1, "D")
    part = np.repeat(["train", "test"], 30)
    figure = plot_scores(
        rows, SCORES, threshold=0.9, times=times, part=part, labels=np.arange(60) % 7 == 0
    )
    assert _png(figure).startswith(b"\x89PNG")


def test_plots_no_scores_at_all_and_many_flags():
    assert _png(plot_scores(ROWS, np.full(60, np.nan), threshold=0.5))
    assert _png(plot_scores(np.zeros((400, 1)), np.ones(400), threshold=0.5))
    assert _png(plot_scores(ROWS[:1], SCORES[:1], labels=[1]))


def test_plots_widely_spread_scores_get_a_log_axis():
    scores = np.where(np.arange(60) == 40, 1e4, 0.5 + ROWS[:, 0])
    assert plot_scores(ROWS, scores, threshold=1.4).axes[-1].get_yscale() == "log"
    assert plot_scores(ROWS, SCORES, threshold=0.9).axes[-1].get_yscale() == "linear"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"series": ROWS[:, 0]}, r"series: expected \[S, F\]"),
        ({"series": ROWS[:0], "scores": []}, r"series: expected \[S, F\]"),
        ({"scores": SCORES[:5]}, r"scores: expected \[60\], got \[5\]"),
        ({"labels": [1]}, r"labels: expected \[60\], got \[1\]"),
        ({"names": ["a"]}, r"names: expected 3"),
    ],
)
def test_plots_bad_arguments(arguments, text):
    given = {"series": ROWS, "scores": SCORES} | arguments
    with pytest.raises(ValueError, match=text):
        plot_scores(given.pop("series"), given.pop("scores"), **given)


def test_plots_history_marks_the_epoch_that_was_kept():
    figure = plot_history(
        {"train_loss": [3.0, 2.0, 0.1], "validation_loss": [3.0, 2.5, 2.6], "best_epoch": 2}
    )
    axis = figure.axes[0]
    assert axis.get_legend_handles_labels()[1] == ["train loss", "validation loss", "weights kept"]
    assert axis.get_lines()[-1].get_xdata()[0] == 2
    assert axis.get_yscale() == "log"
    assert _png(figure)


def test_plots_history_without_validation_or_epochs():
    assert _png(plot_history({"train_loss": [1.0], "validation_loss": [], "best_epoch": 1}))
    assert _png(plot_history({"train_loss": [], "best_epoch": 0}))
