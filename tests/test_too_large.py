"""Finite values that float32 cannot hold: their rows score infinity at every door, others NaN."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

import slidecell as sc
from slidecell.detect import ZScoreDetector, load_detector
from slidecell.detect.attribution import feature_attribution
from slidecell.detect.ensemble import Ensemble
from slidecell.detect.fusion import MinMaxNormaliser, RankNormaliser, RobustNormaliser, fuse
from slidecell.detect.fusion.normalisers import ZNormaliser
from slidecell.evaluate import evaluate
from slidecell.jobs.json_file import to_json
from slidecell.thresholds import ContaminationThreshold, PercentileThreshold
from slidecell.thresholds.smoothing import EWMA, MovingAverage
from tests.detectors import ALL, PER_FEATURE, WINDOWED, make, rows_needed, series

LARGE = [1, 30, 45]  # rows; the first before any window


def table() -> tuple[np.ndarray, np.ndarray]:
    """Return rows [60, 3] with values that are too large, and the same with holes there."""
    large, holes = series(), series()
    for place, row in enumerate(LARGE):
        large[row, place], holes[row, place] = (-1e300, 1e39 * 1e9, 1.7e308)[place], np.nan
    large[50, 0], large[50, 1], holes[50, 0] = np.inf, 1e300, np.nan  # missing: that counts
    return large, holes


@pytest.mark.parametrize("kind", ALL)
def test_detectors_score_the_row_infinite_and_others_as_if_it_were_missing(kind: str) -> None:
    if kind in {"forecast", "autoencoder"}:
        pytest.importorskip("torch")
    detector = make(kind).fit(series(seed=1))
    large, holes = table()
    expected = detector.score_samples(holes)
    assert np.isnan(expected[LARGE]).all()
    expected[LARGE] = np.inf
    got = detector.score_samples(large)
    np.testing.assert_array_equal(got, expected)
    assert np.isnan(got[50])
    assert detector.predict(large)[LARGE].tolist() == [1, 1, 1]
    assert detector.predict(large)[50] == 0
    if kind in WINDOWED:
        assert np.isnan(got[31 : 30 + rows_needed(kind)]).all()


@pytest.mark.parametrize("kind", PER_FEATURE)
def test_features_and_their_shares_name_the_cell(kind: str) -> None:
    if kind in {"forecast", "autoencoder"}:
        pytest.importorskip("torch")
    detector = make(kind).fit(series(seed=1))
    large, _ = table()
    features = detector.feature_scores(large)
    for place, row in enumerate(LARGE):
        assert features[row, place] == np.inf
        assert np.isnan(np.delete(features[row], place)).all()
    parts = feature_attribution(detector, large, LARGE)
    np.testing.assert_array_equal(parts, np.where(np.eye(3) > 0, np.inf, 0.0))


def test_thresholds_are_fitted_on_finite_scores() -> None:
    X = series(200)
    X[20:60, 0] = 1e300
    with np.errstate(over="ignore"):
        detector = make("sklearn", contamination=0.05).fit(X)
    finite = detector.decision_scores_[np.isfinite(detector.decision_scores_)]
    assert np.isinf(detector.decision_scores_).sum() == 40
    assert detector.threshold_ == np.percentile(finite, 95.0)
    assert detector.labels_[20:60].all()
    scores = [1.0, 2.0, np.inf, 3.0, np.nan]
    assert PercentileThreshold(50.0).fit(scores).threshold == 2.0
    assert ContaminationThreshold(0.5).fit(scores).apply(scores).tolist() == [
        False,
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("smoothing", [EWMA(0.25), MovingAverage(3)])
def test_smoothing_passes_infinity_on_and_recovers(smoothing: Any) -> None:
    scores = np.array([1.0, 2.0, np.inf, 3.0, 5.0, np.inf, 4.0])
    smoothed = smoothing.apply(scores)
    assert np.isinf(smoothed[[2, 5]]).all()
    usual = np.isfinite(scores)
    np.testing.assert_array_equal(smoothed[usual], smoothing.apply(scores[usual]))
    one_by_one = smoothing.fresh()
    np.testing.assert_array_equal([one_by_one.update(s) for s in scores], smoothed)


@pytest.mark.parametrize(
    "normaliser", [MinMaxNormaliser(), ZNormaliser(), RobustNormaliser(), RankNormaliser()]
)
def test_normalisers_fit_on_finite_scores_and_keep_infinity(normaliser: Any) -> None:
    usual = np.array([1.0, 2.0, 4.0, 8.0])
    fitted = normaliser.fresh().fit([*usual, np.inf, np.nan])
    np.testing.assert_array_equal(fitted.apply(usual), normaliser.fresh().fit(usual).apply(usual))
    assert fitted.apply([np.inf])[0] == np.inf


def test_fusion_keeps_infinity() -> None:
    nan, inf = np.nan, np.inf
    fused = fuse([[inf, 1.0], [inf, nan], [nan, 1.0], [-inf, inf]], [0.5, 0.5])
    np.testing.assert_array_equal(fused, [inf, inf, nan, nan])
    np.testing.assert_array_equal(fuse([[inf, 1.0]], [0.0, 1.0]), [1.0])


def test_ensemble_flags_the_row_and_names_the_cell(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    kinds = ("zscore", "pca", "rolling_variance", "random_gru")
    ensemble = Ensemble([(kind, make(kind)) for kind in kinds]).fit(series(seed=1))
    large, _ = table()
    scores = ensemble.score_samples(large)
    assert np.isposinf(scores).nonzero()[0].tolist() == LARGE
    ensemble.save(tmp_path / "ensemble")
    again = load_detector(tmp_path / "ensemble")
    np.testing.assert_array_equal(again.score_samples(large), scores)
    rowwise = Ensemble([("a", ZScoreDetector()), ("b", make("pca"))]).fit(series(seed=1))
    parts = feature_attribution(rowwise, large, LARGE)
    np.testing.assert_array_equal(parts, np.where(np.eye(3) > 0, np.inf, 0.0))


def test_evaluation_takes_infinity_for_the_highest_score() -> None:
    scores = np.random.default_rng(0).random(200)
    labels = np.zeros(200, np.int64)
    labels[50:60] = 1
    scores[50:60] += 1.0
    huge = scores.copy()
    scores[55], huge[55] = np.inf, 1e9
    assert evaluate(labels, scores).to_dict() == evaluate(labels, huge).to_dict()
    found = evaluate(labels, scores, threshold=1.5).to_dict()
    assert found == evaluate(labels, huge, threshold=1.5).to_dict()


def test_json_writes_infinity_as_text() -> None:
    text = to_json({"score": np.float32(np.inf), "low": -np.inf, "none": np.nan})
    assert json.loads(text) == {"score": "Infinity", "low": "-Infinity", "none": None}


def test_training_skips_windows_that_touch_it() -> None:
    torch = pytest.importorskip("torch")
    from slidecell.training import Forecaster, fit

    X = series(100)
    X[40, 1] = 1e39
    torch.manual_seed(0)
    history = fit(Forecaster(3, 4, window=4), X, epochs=1, validation=0.0, seed=0, progress=False)
    assert history.skipped_windows == 5
    assert np.isfinite(history.train_loss).all()


def test_monitor_alarms_and_goes_on() -> None:
    pytest.importorskip("torch")
    from slidecell.training import Forecaster

    model = sc.SequenceModel.from_torch(Forecaster(3, 4, window=4))
    large, holes = table()
    got = sc.Monitor(model.stream(), threshold=1e300, smoothing=EWMA(0.5))
    plain = sc.Monitor(model.stream(), threshold=1e300, smoothing=EWMA(0.5))
    for row, (a, b) in enumerate(zip(large, holes, strict=True)):
        event, usual = got.push(a), plain.push(b)
        if row in LARGE:
            assert (event.score, event.smoothed, event.alarm) == (np.inf, np.inf, True)
        else:
            np.testing.assert_array_equal(
                (event.score, event.smoothed, event.alarm),
                (usual.score, usual.smoothed, usual.alarm),
            )


def test_overflow_of_a_window_scores_infinity_not_nan() -> None:
    """Values within float32 whose products are not: sums of infinities of both signs."""
    pytest.importorskip("torch")
    from slidecell.training import Forecaster

    model = sc.SequenceModel.from_torch(Forecaster(2, 4, window=2))
    error = {"mean": [0.0, 0.0], "whiten": [[1e3, -1e3], [1e3, 1e3]]}
    model = model.with_metadata(error=error)
    X = series(30, 2)
    X[20] = 3e38
    scores = model.score(X, reduction="mahalanobis", kernel="fma")
    assert scores[20] == np.inf
    stream = model.stream(reduction="mahalanobis")
    np.testing.assert_array_equal([np.float32(stream.push(row)) for row in X], scores)


def test_files_and_reports_count_it_apart_from_missing_cells(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    pytest.importorskip("torch")
    from slidecell.jobs.detect import DetectOptions, run_detect
    from slidecell.tables.options import TableOptions

    values = series(120, 2)
    values[110, 1], values[115, 0] = 1e39, np.nan
    pd.DataFrame(values, columns=["a", "b"]).to_csv(tmp_path / "in.csv", index=False)
    options = DetectOptions(
        tmp_path / "in.csv",
        tmp_path / "out",
        TableOptions(),
        detector="forecast",
        window=4,
        epochs=1,
        html=True,
    )
    run_detect(options, progress=False)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["data"]["missing_cells"], report["data"]["too_large_cells"]) == (1, 1)
    assert "cells too large" in (tmp_path / "out" / "report.html").read_text()
    row = (tmp_path / "out" / "scores.csv").read_text().splitlines()[111]
    assert row.split(",") == ["inf", "1", "test"]
    assert (tmp_path / "out" / "scores.png").stat().st_size > 0
