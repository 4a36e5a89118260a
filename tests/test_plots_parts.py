"""Figures of attributions, of two ways to alarm, of whole series; style and names."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from slidecell.plots import (
    plot_comparison,
    plot_feature_attribution,
    plot_member_attribution,
    plot_scores,
    plot_series_flags,
)
from slidecell.plots.style import CYCLE
from slidecell.plots.text import plain

RNG = np.random.default_rng(5)
PARTS = RNG.normal(size=(50, 3))
MEMBERS = ["zscore", "forest", "gru"]


def drawn(figure) -> None:
    figure.set_layout_engine("none")
    figure.draw_without_rendering()


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def bands(axis) -> list[tuple[float, float]]:
    """Left and right of each rectangle that was filled."""
    paths = [path for c in axis.collections for path in c.get_paths()]
    return [(path.vertices[:, 0].min(), path.vertices[:, 0].max()) for path in paths]


def test_plots_members_stack_to_the_sum_of_the_top_points():
    figure = plot_member_attribution(PARTS, MEMBERS, top=30)
    stacked, boxes = figure.axes
    assert len(stacked.patches) == 90
    top = PARTS[np.argsort(-PARTS.sum(axis=1))[:30]]
    heights = np.array([bar.get_height() for bar in stacked.patches]).reshape(3, 30).T
    assert np.allclose(heights, top, atol=1e-12)
    feet = np.array([bar.get_y() for bar in stacked.patches]).reshape(3, 30).T
    ends = np.stack([feet, feet + heights])
    assert np.allclose(ends.max(axis=(0, 2)), np.maximum(top, 0).sum(axis=1), atol=1e-12)
    assert np.allclose(ends.min(axis=(0, 2)), np.minimum(top, 0).sum(axis=1), atol=1e-12)
    sums = next(line for line in stacked.get_lines() if line.get_marker() == "_")
    assert np.allclose(sums.get_ydata(), top.sum(axis=1), atol=1e-12)
    assert [label.get_text() for label in boxes.get_xticklabels()] == MEMBERS
    medians = [line.get_ydata()[0] for line in boxes.get_lines() if line.get_linewidth() == 1.6]
    assert np.allclose(medians, np.median(PARTS, axis=0), atol=1e-12)
    assert set(legend(figure)) == {*MEMBERS, "score above baseline"}


def test_plots_members_leave_out_points_with_nan_and_tell_many_apart():
    parts = RNG.normal(size=(9, 8))
    parts[[2, 5], 1] = np.nan
    figure = plot_member_attribution(parts, [f"m{m}" for m in range(8)])
    assert figure.axes[0].get_title() == "Top 7 of 7 points"
    looks = [(bar.get_facecolor(), bar.get_hatch()) for bar in figure.axes[0].patches[::7]]
    assert len(set(looks)) == 8
    none = plot_member_attribution(np.full((2, 3), np.nan), MEMBERS)
    assert none.axes[0].texts[0].get_text() == "no point has all contributions"
    drawn(none)


def test_plots_features_are_ordered_by_size_and_the_rest_is_added_up():
    parts = RNG.normal(size=(4, 20))
    names = [f"f{f}" for f in range(20)]
    figure = plot_feature_attribution(parts, names, points=list("abcd"), top=5)
    visible = [axis for axis in figure.axes if axis.get_visible()]
    assert len(visible) == 4
    order = np.argsort(-np.abs(parts).mean(axis=0))
    labels = [label.get_text() for label in visible[0].get_yticklabels()]
    assert labels == [*(f"f{f}" for f in order[:5]), "15 others"]
    for axis, row, name in zip(visible, parts, "abcd", strict=True):
        widths = np.array([bar.get_width() for bar in axis.patches]).reshape(2, 6).sum(axis=0)
        assert np.allclose(widths[:5], row[order[:5]], atol=1e-12)
        assert widths.sum() == pytest.approx(row.sum(), abs=1e-12)
        assert axis.get_title() == f"{name}, sum {row.sum():.3g}"
    drawn(figure)


def test_plots_features_of_one_point_and_of_too_many():
    figure = plot_feature_attribution([0.5, np.nan, -2.0], ["a", "b", "c"])
    assert figure.axes[0].get_title() == "sum -1.5"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["c", "a", "b"]
    figure = plot_feature_attribution(np.ones((40, 2)), ["a", "b"], title="T")
    assert len(figure.axes) == 12
    assert figure.get_suptitle() == "T, the first 12 of 40 points"
    drawn(plot_feature_attribution(np.zeros((0, 2)), ["a", "b"]))


def test_plots_comparison_has_four_panels_and_a_row_for_each_alarm():
    n = 200
    signal, scores = RNG.normal(size=n), np.r_[np.full(10, np.nan), RNG.random(n - 10)]
    labels = np.isin(np.arange(n), [50, 51, 52, 120]).astype(int)
    up, down = np.linspace(0, 9, n), np.linspace(5, 0, n)
    late = np.arange(n) >= 190
    figure = plot_comparison(
        signal, scores, labels, threshold=0.9, sums=(up, down), interval=4.0, alarms={"late": late}
    )
    assert len(figure.axes) == 4
    assert np.array_equal(figure.axes[0].get_lines()[0].get_ydata(), signal)
    for axis in figure.axes[:3]:
        assert bands(axis) == [(49.5, 52.5), (119.5, 120.5)]
    limit = [line for line in figure.axes[1].get_lines() if line.get_linestyle() == "--"]
    assert set(limit[0].get_ydata()) == {0.9}
    sums = figure.axes[2].get_lines()
    assert np.array_equal(sums[0].get_ydata(), up)
    assert np.array_equal(sums[1].get_ydata(), -down)
    assert [line.get_ydata()[0] for line in sums[2:]] == [4.0, -4.0]
    counts = [4, int((scores > 0.9).sum()), int(((up > 4) | (down > 4)).sum()), 10]
    labels = [label.get_text() for label in figure.axes[3].get_yticklabels()]
    expected = zip(["Truth", "Fixed", "CUSUM", "late"], counts, strict=True)
    assert labels == [f"{name} ({count})" for name, count in expected]
    assert bands(figure.axes[3])[-1] == (189.5, 199.0)
    drawn(figure)


def test_plots_comparison_shows_the_interval_beside_sums_that_run_away():
    up, zero = np.linspace(0, 1000, 50), np.zeros(50)
    figure = plot_comparison(up, up, threshold=3.0, sums=(up, zero), interval=4.0)
    assert figure.axes[2].get_yscale() == "symlog"
    assert figure.axes[3].get_yticklabels()[0].get_text() == "Fixed (49)"
    drawn(figure)
    small = plot_comparison(up, up, threshold=3.0, sums=(up / 100, zero), interval=4.0)
    assert small.axes[2].get_yscale() == "linear"


def test_plots_series_marks_flagged_rows_in_every_column():
    rows = RNG.normal(size=(300, 3))
    flags = np.arange(300) % 30 == 7
    labels = np.arange(300) // 10 == 5
    figure = plot_series_flags(rows, flags, labels=labels, names=["a", "b", "c"])
    assert [axis.get_ylabel() for axis in figure.axes] == ["a", "b", "c"]
    for axis, column in zip(figure.axes, rows.T, strict=True):
        line, points = axis.get_lines()
        assert np.array_equal(line.get_ydata(), column)
        assert np.array_equal(points.get_xdata(), np.flatnonzero(flags))
        assert np.array_equal(points.get_ydata(), column[flags])
        assert bands(axis) == [(49.5, 59.5)]
    assert legend(figure) == ["flagged (10)", "labelled anomalous"]
    assert plot_series_flags(rows, flags, max_features=2).get_suptitle() == (
        "10 of 300 rows flagged (3.33 %), 2 of 3 features"
    )


def test_plots_series_of_dates_with_many_or_no_flags():
    times = np.datetime64("2024-01-01") + np.arange(400) * np.timedelta64(1, "h")
    many = plot_series_flags(np.arange(400), np.ones(400, bool), times=times)
    assert len(many.axes[0].get_lines()) == 1  # marks at the foot, not four hundred points
    assert legend(many) == ["flagged (400)"]
    drawn(many)
    none = plot_series_flags(np.arange(400), np.zeros(400), times=times)
    assert none.get_suptitle() == "0 of 400 rows flagged (0 %)"
    assert not none.legends
    drawn(none)


def test_plots_bands_of_a_long_series_cover_every_labelled_row():
    labels = np.zeros(200_000, np.int64)
    marked = RNG.choice(200_000, 3000, replace=False)
    labels[marked] = 1
    figure = plot_series_flags(np.zeros(200_000), np.zeros(200_000), labels=labels)
    left, right = np.array(bands(figure.axes[0])).T
    assert len(left) < 3000
    place = np.searchsorted(left, marked, side="right") - 1
    assert (right[place] + 40 >= marked).all()  # a bin is 40 rows, a third of a pixel


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: plot_member_attribution([1, 2], ["a"]), r"expected \[n, M\], got \[2\]"),
        (lambda: plot_member_attribution(PARTS, ["a"]), r"names: expected 3 \(members\), got 1"),
        (lambda: plot_member_attribution(PARTS, MEMBERS, top=0), "top: expected at least 1"),
        (lambda: plot_feature_attribution(PARTS, ["a"]), r"names: expected 3 \(features\)"),
        (lambda: plot_feature_attribution(PARTS, MEMBERS, top=0), "top: expected at least 1"),
        (lambda: plot_feature_attribution(PARTS, MEMBERS, points=["a"]), "points: expected 50"),
        (lambda: plot_series_flags(PARTS, [1]), r"flags: expected \[50\], got \[1\]"),
        (lambda: plot_series_flags(PARTS[:0], []), r"series: expected \[S, F\]"),
        (lambda: plot_series_flags(PARTS, np.ones(50), names=["a"]), "names: expected 3"),
        (lambda: plot_series_flags(PARTS, np.ones(50), max_features=0), "max_features: expected"),
        (
            lambda: plot_comparison([], [], threshold=1, sums=([], []), interval=1),
            r"signal: expected \[S\]",
        ),
        (
            lambda: plot_comparison([1], [1], threshold=1, sums=([1, 2], [1]), interval=1),
            r"sums\[0\]: expected \[1\] \(rows of signal\), got \[2\]",
        ),
    ],
)
def test_plots_parts_refuse_bad_arguments(call, text):
    with pytest.raises(ValueError, match=text):
        call()


HOSTILE = ["_hidden", "$x^{$", "日本\n語", "a" * 60 + "_1", "a" * 60 + "_2"]


def test_plots_draw_names_from_data_as_they_stand():
    shown = [plain(name, 22) for name in HOSTILE]
    assert shown[:3] == [" _hidden", r"\$x^{\$", "?? ?"]
    assert shown[3] != shown[4]
    assert {len(name) for name in shown[3:]} == {22}
    figure = plot_member_attribution(RNG.normal(size=(4, 5)), HOSTILE)
    assert len(legend(figure)) == 6  # none is hidden
    drawn(figure)
    drawn(plot_scores(RNG.random((9, 5)), np.ones(9), names=HOSTILE, title="$", max_features=5))
    drawn(plot_feature_attribution(np.ones((1, 5)), HOSTILE, points=["$\\frac{"]))


def _deuteranopic(colour: str) -> np.ndarray:
    """What is left of a colour without the middle cones: Machado et al. (2009), severity 1."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
             [-0.011820, 0.042940, 0.968881]]  # fmt: skip
    return np.clip(np.array(cones) @ linear, 0, 1)


def test_plots_colours_stay_apart_without_the_middle_cones():
    seen = [_deuteranopic(colour) ** (1 / 2.4) for colour in CYCLE]
    apart = [np.abs(a - b).max() for i, a in enumerate(seen) for b in seen[:i]]
    assert min(apart) > 0.1
