"""Pictures of events and of long series: what is drawn is what is there."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.dates import date2num

from slidecell.plots import plot_scores
from slidecell.plots.style import FLAG, LABEL
from slidecell.plots.thin import BINS, bin_starts, envelope, strokes

RNG = np.random.default_rng(5)


def spans(axis: Any, colour: str | None = None) -> list[tuple[float, float]]:
    """Return where the bands of an axis begin and end, in order."""
    found = []
    for collection in axis.collections:
        shown = collection.get_facecolor()[0]
        wanted = (
            None if colour is None else np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)])
        )
        if isinstance(collection, PolyCollection) and (
            wanted is None or np.abs(255 * shown[:3] - wanted).max() < 1
        ):
            for path in collection.get_paths():
                found.append((path.vertices[:, 0].min(), path.vertices[:, 0].max()))
    return sorted(found)


@pytest.mark.parametrize("irregular", [False, True])
def test_an_envelope_holds_the_least_and_the_greatest_of_each_bin(irregular: bool) -> None:
    y = RNG.normal(size=100_003)
    x = np.cumsum(RNG.exponential(size=len(y))) if irregular else np.arange(len(y))
    place, low, high = envelope(x, y)
    assert len(place) <= BINS
    bounds = np.append(np.searchsorted(x, place), len(x))
    for n in range(0, len(place), 97):
        own = y[bounds[n] : bounds[n + 1]]
        assert (low[n], high[n]) == (own.min(), own.max())
    # Bins are pieces of the axis, of which none is wider than another.
    width = (x[-1] - x[0]) / BINS
    last = x[bounds[1:] - 1]
    assert (last - place <= width * (1 + 1e-9)).all()


def test_a_few_rows_are_their_own_envelope() -> None:
    y = RNG.normal(size=2 * BINS)
    place, low, high = envelope(np.arange(len(y)), y)
    assert np.array_equal(place, np.arange(len(y)))
    assert np.array_equal(low, y)
    assert np.array_equal(high, y)


def test_bins_without_values_stay_empty_and_bins_without_rows_are_left_out() -> None:
    x = np.concatenate([np.arange(50_000), np.arange(950_000, 1_000_000)])
    y = np.zeros(len(x))
    y[10_000:20_000] = np.nan
    place, low, high = envelope(x, y)
    assert not ((place > 50_000) & (place < 949_000)).any()
    missing = (place > 10_400) & (place < 19_600)
    assert missing.any()
    assert np.isnan(low[missing]).all()
    assert np.isnan(high[missing]).all()
    assert (low[place < 9_600] == 0.0).all()


def test_times_and_rows_out_of_order_have_an_envelope_too() -> None:
    y = RNG.normal(size=20_000)
    times = np.datetime64("2024-01-01", "ns") + np.arange(20_000) * np.timedelta64(1, "s")
    drawn, values = strokes(times, y)
    assert drawn.dtype == times.dtype
    assert (values.min(), values.max()) == (y.min(), y.max())
    mixed = RNG.permutation(20_000)
    assert len(bin_starts(mixed)) == BINS
    _, values = strokes(mixed, y)
    assert (np.nanmin(values), np.nanmax(values)) == (y.min(), y.max())
    same = strokes(np.zeros(20_000), y)[1]
    assert (same.min(), same.max()) == (y.min(), y.max())


def test_scores_of_a_long_series_are_drawn_with_their_extremes() -> None:
    scores = RNG.random(300_000)
    scores[[77_777, 222_222]] = 9.0, -4.0
    scores[100_000:110_000] = np.nan
    rows = RNG.normal(size=(300_000, 2))
    rows[5, 1] = np.inf
    figure = plot_scores(rows, scores, threshold=2.0, events=[(77_770, 77_790)])
    line = figure.axes[2].get_lines()[0]
    assert (np.nanmin(line.get_ydata()), np.nanmax(line.get_ydata())) == (-4.0, 9.0)
    at = line.get_xdata()[int(np.nanargmax(line.get_ydata()))]
    assert abs(at - 77_777) <= 300_000 / BINS
    measured = np.asarray(figure.axes[1].get_lines()[0].get_ydata())
    finite = rows[np.isfinite(rows[:, 1]), 1]
    assert (np.nanmin(measured), np.nanmax(measured)) == (finite.min(), finite.max())


def test_events_are_bands_from_their_first_row_to_their_last_on_every_axis() -> None:
    rows = RNG.normal(size=(500, 3))
    events = [(300, 320), (100, 100), (450, 499)]
    figure = plot_scores(rows, rows[:, 0], threshold=2.0, events=events)
    assert [axis.get_ylabel() for axis in figure.axes[3:]] == ["score", ""]
    for axis in figure.axes[:4]:
        # Half a step beyond the first and the last row, but not beyond the series.
        assert spans(axis, FLAG) == [(99.5, 100.5), (299.5, 320.5), (449.5, 499.0)]
    numbers = [text for text in figure.axes[3].texts if text.get_text().isdigit()]
    assert {text.get_text(): text.xy[0] for text in numbers} == {"1": 310.0, "2": 100.0, "3": 474.5}


def test_bands_of_events_keep_their_limits_in_a_long_series_of_dates() -> None:
    size = 200_000
    times = np.datetime64("2024-01-01", "ns") + np.arange(size) * np.timedelta64(1, "s")
    figure = plot_scores(
        np.zeros((size, 1)), np.zeros(size), times=times, events=[(150_000, 150_003)]
    )
    half = np.timedelta64(500, "ms")
    limits = date2num([times[150_000] - half, times[150_003] + half])
    ((left, right),) = spans(figure.axes[1], FLAG)
    assert left == pytest.approx(limits[0], abs=1e-9)
    assert right == pytest.approx(limits[1], abs=1e-9)


def test_flags_and_labels_have_one_axis() -> None:
    scores = np.zeros(60)
    flags = np.isin(np.arange(60), [10, 11, 40])  # by a rule that has no threshold
    labels = np.isin(np.arange(60), [11, 12]).astype(int)
    rows = RNG.normal(size=(60, 2))
    figure = plot_scores(rows, scores, flags=flags, labels=labels, events=[])
    lanes = figure.axes[-1]
    assert [text.get_text() for text in lanes.get_yticklabels()] == ["flagged", "labelled"]
    assert spans(lanes, FLAG) == [(9.5, 11.5), (39.5, 40.5)]
    assert spans(lanes, LABEL) == [(10.5, 12.5)]
    for axis in figure.axes[:-1]:
        assert not axis.collections
        assert all(line.get_marker() == "None" for line in axis.get_lines())


def test_flags_of_a_long_series_are_darker_where_there_are_more() -> None:
    size = 100 * BINS
    flags = np.zeros(size, np.bool_)
    flags[50 * 100] = flags[100 * 100 : 200 * 100] = True
    figure = plot_scores(np.zeros((size, 1)), np.zeros(size), flags=flags, events=[])
    shown = {
        round(float(collection.get_facecolor()[0, 3]), 2): collection.get_paths()
        for collection in figure.axes[-1].collections
    }
    assert sorted(shown) == [0.3, 1.0]
    x = shown[1.0][0].vertices[:, 0]
    assert (x.min(), x.max()) == pytest.approx((10_000, 20_000), abs=100)
    x = shown[0.3][0].vertices[:, 0]
    assert x.min() <= 5000 <= x.max()
    assert x.max() - x.min() <= 2 * 100


def test_the_entity_of_the_worst_event_and_the_named_columns_are_drawn() -> None:
    rows = RNG.normal(size=(90, 6))
    entities = np.repeat(["a", "b", "c"], 30)
    scores = np.zeros(90)
    scores[:20] = 9.0  # most flags are of a
    figure = plot_scores(
        rows,
        scores,
        threshold=1.0,
        entities=entities,
        names=list("uvwxyz"),
        events=[(40, 44), (0, 19), (50, 50)],
        features=[4, 1],
        title="T",
    )
    assert figure.get_suptitle() == "T, b (its events are the worst), 2 of 6 features"
    assert [axis.get_ylabel() for axis in figure.axes[:2]] == ["y", "v"]
    assert np.array_equal(figure.axes[0].get_lines()[0].get_ydata(), rows[30:60, 4])
    assert spans(figure.axes[0], FLAG) == [(9.5, 14.5), (19.5, 20.5)]  # rows of b from 0
    numbers = {text.get_text() for text in figure.axes[2].texts}
    assert {"1", "3"} <= numbers
    assert "2" not in numbers


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"events": [(0, 60)]},
            r"events: expected first and last rows within 0 to 59, got \(0, 60",
        ),
        ({"events": [(5, 4)]}, r"events: expected first and last .* got \(5, 4\)"),
        ({"features": [3]}, r"features: expected 0 to 2 \(columns of series\), got 3"),
        ({"flags": [1]}, r"flags: expected \[60\], got \[1\]"),
    ],
)
def test_events_and_columns_that_are_not_there_are_refused(options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        plot_scores(RNG.normal(size=(60, 3)), np.zeros(60), **options)


def test_a_narrow_figure_has_room_for_its_dates() -> None:
    times = np.datetime64("2024-03-01") + np.arange(60) * np.timedelta64(1, "D")
    figure = plot_scores(
        RNG.normal(size=(60, 2)), np.zeros(60), times=times, events=[], width=4.6, title="n" * 200
    )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [
        label.get_window_extent(renderer)
        for label in figure.axes[-1].get_xticklabels()
        if label.get_text()
    ]
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert len(figure.get_suptitle()) <= 60


def test_the_job_draws_the_columns_that_its_worst_events_name(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    from slidecell.jobs.detect import DetectOptions, run_detect
    from slidecell.jobs.result_report import scores_figure
    from slidecell.jobs.results import Result

    X = RNG.normal(size=(600, 7)).clip(-2, 2)
    X[500:503, 5] = 12.0
    X[550:553, 6] = 9.0
    pd.DataFrame(X, columns=list("abcdefg")).to_csv(tmp_path / "in.csv", index=False)
    options = DetectOptions(
        *(tmp_path / "in.csv", tmp_path / "out"), detector="zscore", percentile=99.9
    )
    result: Result = run_detect(options, progress=False)
    figure = scores_figure(result, "in.csv", events=result.report["events"])
    drawn = figure.drawn
    assert [axis.get_ylabel() for axis in drawn.axes] == ["f", "g", "score", ""]
    wanted = [(e.start - 0.5, e.end + 0.5) for e in result.events if result.part[e.start] == "test"]
    assert spans(drawn.axes[0], FLAG) == sorted(wanted)
    assert (499.5, 502.5) in wanted
    assert figure.narrow is not None
    assert figure.narrow().get_size_inches()[0] < 5
