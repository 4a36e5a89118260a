"""Training statistics: what a sketch keeps, how rows are compared with it, where it is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")

from safetensors.numpy import load_file, save_file

from slidecell.detect import Detector, ZScoreDetector, load_detector
from slidecell.detect.drift import LEVELS, Drift, Sketch, Statistics, compare
from tests.detectors import ALL, NETWORKS, make, series

RNG = np.random.default_rng(7)


def statistics(values: np.ndarray, *pieces: int) -> Statistics:
    """Return the statistics of rows [n, C], taken in pieces that end at these rows."""
    sketch = Sketch(values.shape[1])
    for piece in np.split(values, pieces):
        sketch.add(piece)
    return sketch.statistics()


def drift(training: np.ndarray, recent: np.ndarray) -> Drift:
    """Return the drift of one column [n] against another."""
    kept = statistics(training[:, None])
    sketch = kept.sketch()
    sketch.add(recent[:, None])
    return compare(kept, sketch.statistics())


@pytest.mark.parametrize("rows", [1, 50, 20_000, 200_000])
def test_statistics_are_those_of_numpy(rows: int) -> None:
    values = RNG.normal(5.0, 2.0, (rows, 2))
    values[::7, 1] = np.nan
    values[::11, 1] = np.inf
    found = statistics(values)
    assert found.rows == rows
    for column in range(2):
        own = values[:, column]
        own = own[np.isfinite(own)]
        assert found.missing[column] == rows - len(own)
        if len(own) == 0:
            assert np.isnan(found.quantiles[column]).all()
            continue
        assert found.mean[column] == pytest.approx(own.mean(), rel=1e-12)
        assert found.sd[column] == pytest.approx(own.std(), rel=1e-12, abs=1e-12)
        assert (found.low[column], found.high[column]) == (own.min(), own.max())
        # The share of the rows up to each quantile: exact where the sample is all of them.
        reached = np.searchsorted(np.sort(own), found.quantiles[column], side="right") / len(own)
        off = np.abs(reached - LEVELS)[1:-1].max()
        assert off <= (1.0 / len(own) if rows <= 10_000 else 0.02)


def test_a_sketch_does_not_depend_on_where_rows_are_cut() -> None:
    values = RNG.normal(size=(100_000, 3))
    whole, cut = statistics(values), statistics(values, 1, 2, 777, 50_000, 50_001)
    assert np.array_equal(whole.quantiles, cut.quantiles)
    np.testing.assert_allclose(whole.mean, cut.mean, rtol=0, atol=1e-12)
    np.testing.assert_allclose(whole.sd, cut.sd, rtol=1e-12)


def test_a_sketch_does_not_grow_with_its_rows() -> None:
    sketch = Sketch(1)
    for _ in range(20):
        sketch.add(np.zeros((65_536, 1)))
    assert len(sketch._sample) <= 16_384


def test_values_near_the_end_of_float64_leave_the_rest_known() -> None:
    values = np.array([[1e308, 1.0], [-1e308, 2.0], [1e308, 3.0]])
    found = statistics(values)
    assert (found.low[0], found.high[0], found.mean[1]) == (-1e308, 1e308, 2.0)


def test_a_level_shift_and_a_gain_are_measured_in_units_of_training() -> None:
    usual = RNG.normal(10.0, 2.0, 20_000)
    found = drift(usual, RNG.normal(14.0, 2.0, 5000))
    assert found.level[0] == pytest.approx(2.0, abs=0.1)
    assert found.spread[0] == pytest.approx(1.0, abs=0.1)
    found = drift(usual, RNG.normal(10.0, 6.0, 5000))
    assert found.level[0] == pytest.approx(0.0, abs=0.2)
    assert found.spread[0] == pytest.approx(3.0, abs=0.2)
    assert found.stability[0] > 0.25


def test_the_same_rows_have_not_drifted() -> None:
    found = drift(RNG.normal(size=20_000), RNG.normal(size=20_000))
    assert abs(found.level[0]) < 0.05
    assert found.spread[0] == pytest.approx(1.0, abs=0.05)
    assert found.stability[0] < 0.02
    assert found.distance[0] < 0.04
    assert found.outside[0] < 0.001


def test_a_few_large_values_are_no_level_and_no_spread() -> None:
    recent = RNG.normal(size=5000)
    recent[::100] = 1e6
    found = drift(RNG.normal(size=20_000), recent)
    assert abs(found.level[0]) < 0.1
    assert found.spread[0] == pytest.approx(1.0, abs=0.15)
    assert found.outside[0] == pytest.approx(0.01, abs=0.001)


def test_a_column_of_two_values_moves_by_its_mean() -> None:
    usual = (np.arange(1000) % 100 < 49).astype(float)
    found = drift(usual, (np.arange(1000) % 100 < 51).astype(float))  # its median jumps
    assert abs(found.level[0]) == pytest.approx(0.02 / 0.304, abs=0.01)
    assert found.distance[0] == pytest.approx(0.02, abs=0.011)


def test_constant_rare_dead_and_missing_columns() -> None:
    usual = RNG.normal(size=1000)
    dead = drift(usual, np.full(500, usual[-1]))
    assert dead.spread[0] == 0.0
    moved = drift(np.full(1000, 3.0), np.append(np.full(50, 3.0), np.full(50, 4.0)))
    assert moved.outside[0] == 0.5
    assert np.isnan([moved.level[0], moved.spread[0]]).all()
    rare = (np.arange(1000) % 200 == 0).astype(float)
    assert np.isnan(drift(rare, np.zeros(100)).spread[0])  # absent by chance
    half = drift(usual, np.where(np.arange(1000) % 2 == 0, usual, np.nan))
    assert half.missing[0] == 0.5
    gone = drift(usual, np.full(10, np.nan))
    assert gone.missing[0] == 1.0
    assert np.isnan([gone.level[0], gone.spread[0], gone.distance[0], gone.stability[0]]).all()


def test_distance_and_stability_are_those_of_their_definitions() -> None:
    stats = pytest.importorskip("scipy.stats")
    usual, recent = RNG.normal(size=4000), RNG.normal(0.5, 1.5, 4000)
    found = drift(usual, recent)
    assert found.distance[0] == pytest.approx(stats.ks_2samp(usual, recent).statistic, abs=0.011)
    edges = np.quantile(usual, np.arange(1, 10) / 10)
    shares = [np.bincount(np.searchsorted(edges, x), minlength=10) / 4000 for x in (usual, recent)]
    index = np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0]))
    assert found.stability[0] == pytest.approx(index, rel=0.1)


@pytest.mark.parametrize("kind", ALL)
def test_every_detector_keeps_its_training_statistics(kind: str, tmp_path: Path) -> None:
    if kind in NETWORKS:
        pytest.importorskip("torch")
    if kind == "sklearn":
        pytest.importorskip("skops")
    X = series(60)
    detector = make(kind).fit(X)
    kept = detector.training_statistics_
    assert kept.columns.mean == pytest.approx(X.mean(axis=0))
    scores = detector.decision_scores_
    assert kept.scores.missing[0] == np.isnan(scores).sum()
    assert kept.scores.high[0] == np.nanmax(scores)
    detector.save(tmp_path / "saved")
    again = load_detector(tmp_path / "saved").training_statistics_
    for found, saved in ((kept.columns, again.columns), (kept.scores, again.scores)):
        assert found.rows == saved.rows == 60
        for name in ("missing", "mean", "sd", "quantiles"):
            assert np.array_equal(getattr(found, name), getattr(saved, name))


def saved(folder: Path, change: Any) -> Path:
    """Save a detector, its arrays changed."""
    ZScoreDetector().fit(series(60)).save(folder)
    file = folder / "arrays.safetensors"
    arrays = load_file(file)
    change(arrays)
    save_file(arrays, file)
    return folder


def test_folders_without_statistics_are_read_and_written_as_they_were(tmp_path: Path) -> None:
    def forget(arrays: dict[str, np.ndarray]) -> None:
        del arrays["training_columns"], arrays["training_scores"]

    old: Detector = load_detector(saved(tmp_path / "old", forget))
    assert old.training_statistics_ is None
    old.save(tmp_path / "new")
    assert "training_columns" not in load_file(tmp_path / "new" / "arrays.safetensors")
    assert json.loads((tmp_path / "new" / "detector.json").read_text())["format"] == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda a: a.pop("training_scores"), "missing array 'training_scores'"),
        (
            lambda a: a.update(training_columns=a["training_columns"][:2]),
            r"'training_columns': expected float64 \[3, \d+\], got float64 \[2, ",
        ),
        (
            lambda a: a["training_scores"].__setitem__((0, 0), np.nan),
            "'training_scores': expected a number of rows, got nan",
        ),
    ],
)
def test_damaged_statistics_are_refused_with_their_place(
    change: Any, text: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"damaged/arrays\.safetensors: {text}"):
        load_detector(saved(tmp_path / "damaged", change))


def test_a_further_training_keeps_new_statistics() -> None:
    pytest.importorskip("torch")
    detector = make("forecast").fit(series(60))
    detector.fit(series(80) + 5.0, warm_start=True)
    assert detector.training_statistics_.columns.rows == 80
    assert detector.training_statistics_.columns.mean == pytest.approx(
        (series(80) + 5.0).mean(axis=0)
    )
