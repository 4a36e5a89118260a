"""The generated series without entities: kinds, prevalence, determinism."""

from __future__ import annotations

import numpy as np
import pytest

pd = pytest.importorskip("pandas")

from slidecell.datasets import ENSEMBLE_KINDS, ensemble_series, stacked_lstm_table  # noqa: E402


def test_datasets_ensemble_shape_prevalence_and_kinds():
    rows = ensemble_series()
    assert rows.series.shape == (15_000, 8)
    assert rows.series.dtype == np.float64
    assert rows.kinds == ENSEMBLE_KINDS
    np.testing.assert_array_equal(rows.label, rows.kind > 0)
    # Spikes that share a row or lie in a longer anomaly leave fewer than 120 rows.
    assert np.bincount(rows.kind).tolist() == [13_692, 111, 347, 383, 467]


def test_datasets_ensemble_draws_the_numbers_of_its_source():
    # Taken once from a run of the published generator with its seed of 123.
    rows = ensemble_series()
    assert rows.series[7000, 3] == pytest.approx(0.9915630701685791, abs=1e-12)
    assert rows.series[14_999, 7] == pytest.approx(-0.01523791106825878, abs=1e-12)
    assert rows.series.sum() == pytest.approx(27_074.2764015806, abs=1e-6)
    assert rows.label.mean() == 0.0872


def test_datasets_ensemble_normal_rows_follow_their_sines():
    rows = ensemble_series(seed=5)
    t = np.linspace(0, 100, 15_000)
    for channel in (0, 7):
        slow = np.sin(2 * np.pi * (0.1 + channel * 0.05) * t + channel)
        fast = 0.5 * np.sin(2 * np.pi * (0.3 + channel * 0.08) * t + channel * 0.7)
        rest = rows.series[:, channel] - slow - fast - 0.3 * np.sin(t / 30)
        assert rest[rows.label == 0].std() == pytest.approx(0.12, rel=0.03)
        assert np.abs(rest[rows.label == 0]).max() < 0.7


def test_datasets_ensemble_kinds_do_what_they_say():
    rows = ensemble_series(seed=1)
    steps = np.abs(np.diff(rows.series, axis=0, prepend=rows.series[:1])).max(axis=1)
    kind = np.array(rows.kinds)[rows.kind]
    assert np.median(steps[kind == "point"]) > 3.0
    assert np.median(steps[kind == "variance"]) > 2 * np.median(steps[kind == "none"])
    # A collective shift lifts every channel, the mean of all as well.
    lifted = rows.series.mean(axis=1)
    assert lifted[kind == "collective"].mean() > lifted[kind == "none"].mean() + 1.0


def test_datasets_ensemble_other_sizes_and_seeds():
    small = ensemble_series(rows=1000, channels=1, seed=0)
    assert small.series.shape == (1000, 1)
    assert small.columns == ("channel_0",)
    again = ensemble_series(rows=1000, channels=1, seed=0)
    np.testing.assert_array_equal(small.series, again.series)
    assert not np.array_equal(small.series, ensemble_series(rows=1000, channels=1, seed=2).series)


def test_datasets_ensemble_frame_names_kinds():
    frame = ensemble_series(rows=2000).frame()
    assert list(frame.columns[:2]) == ["channel_0", "channel_1"]
    assert set(frame["kind"]) == set(ENSEMBLE_KINDS)
    assert ((frame["kind"] != "none") == (frame["label"] == 1)).all()


def test_datasets_stacked_columns_and_labels():
    frame, label = stacked_lstm_table()
    assert frame.shape == (1000, 6)
    assert frame["time"].is_monotonic_increasing
    assert frame["time"].is_unique
    values = frame.drop(columns="time")
    assert (values.dtypes == np.float64).all()
    assert np.isfinite(values.to_numpy()).all()
    assert label.shape == (1000,)
    assert int(np.sum(np.diff(label, prepend=0) == 1)) == 6
    assert 0.01 < label.mean() < 0.1


def test_datasets_stacked_follows_the_day():
    frame, label = stacked_lstm_table(seed=4)
    normal = frame[label == 0]
    hours = normal["time"].dt.hour
    for sensor, peak in (("temperature", 15), ("pressure", 9), ("power", 14)):
        by_hour = normal.groupby(hours)[sensor].mean()
        assert abs(int(by_hour.idxmax()) - peak) <= 1


def test_datasets_stacked_same_seed_same_rows():
    frame, label = stacked_lstm_table(rows=300, seed=9)
    again, label_again = stacked_lstm_table(rows=300, seed=9)
    assert frame.equals(again)
    np.testing.assert_array_equal(label, label_again)
    assert not frame.equals(stacked_lstm_table(rows=300, seed=8)[0])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ensemble_series(rows=999), "rows: expected a whole number of at least 1000"),
        (lambda: ensemble_series(channels=0), "channels: expected a whole number of at least 1"),
        (lambda: stacked_lstm_table(rows=99), "rows: expected a whole number of at least 100"),
        (lambda: stacked_lstm_table(rows=100.5), "rows: .* got 100.5"),
    ],
)
def test_datasets_series_bad_arguments(make, text):
    with pytest.raises(ValueError, match=text):
        make()
