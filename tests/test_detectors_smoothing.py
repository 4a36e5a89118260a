"""Detectors that smooth: forecaster and ridge; and windows that cover a row."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.detect import AutoencoderDetector, ForecastDetector, load_detector
from slidecell.detect.model_detector import ModelDetector
from slidecell.thresholds.smoothing import TrailingMean
from tests.detectors import ALL, make, series

OFFSETS = np.array([0, 25, 30, 70])
SMOOTHED = ("forecast", "ridge")


def same(got: Any, want: Any) -> bool:
    return np.array_equal(np.asarray(got), np.asarray(want), equal_nan=True)


def holes(rows: int = 70) -> np.ndarray:
    X = series(rows)
    X[12, 0], X[50, 1], X[60, 2] = np.nan, np.inf, 1e300
    return X


@pytest.mark.parametrize("kind", ALL)
def test_every_detector_gives_raw_scores(kind: str) -> None:
    detector = make(kind).fit(series())
    X = series(80, seed=1)
    assert same(detector.score_samples(X, smoothed=False), detector.score_samples(X))


@pytest.mark.parametrize("kind", SMOOTHED)
def test_scores_are_means_of_the_last_rows(kind: str) -> None:
    detector = make(kind, smoothing=6).fit(series())
    X = holes()
    raw = detector.score_samples(X, offsets=OFFSETS, smoothed=False)
    scores = detector.score_samples(X, offsets=OFFSETS)
    assert same(scores, TrailingMean(6).apply(raw, OFFSETS))
    assert np.isfinite(scores).sum() > 30
    assert not same(scores, raw)
    assert scores[60] == raw[60] == np.inf
    one = make(kind, smoothing=1).fit(series())
    assert same(one.score_samples(X, offsets=OFFSETS), raw)


@pytest.mark.parametrize("kind", SMOOTHED)
@pytest.mark.parametrize("length", [2, 5, 20])
def test_covering_scores_are_means_of_rows_around(kind: str, length: int) -> None:
    detector = make(kind, smoothing=length, align="cover").fit(series())
    X = holes()
    raw = detector.score_samples(X, offsets=OFFSETS, smoothed=False)
    scores = detector.score_samples(X, offsets=OFFSETS)
    after = (length - 1) // 2
    for first, end in pairwise(OFFSETS):
        for row in range(first, end):
            if not np.isfinite(raw[row]):
                assert repr(scores[row]) == repr(raw[row])
                continue
            near = raw[max(first, row - (length - 1 - after)) : min(end, row + after + 1)]
            np.testing.assert_allclose(scores[row], near[np.isfinite(near)].mean(), rtol=1e-13)
    assert detector.rows_needed() is None


@pytest.mark.parametrize("kind", SMOOTHED)
def test_the_threshold_is_one_of_smoothed_scores(kind: str) -> None:
    X = series(200)
    detector = make(kind, smoothing=20).fit(X)
    scores = detector.score_samples(X)
    assert same(detector.decision_scores_, scores)
    assert detector.threshold_ == np.percentile(scores[np.isfinite(scores)], 95)
    assert same(detector.predict(X), scores > detector.threshold_)


@pytest.mark.parametrize("kind", SMOOTHED)
def test_parts_of_chosen_rows_are_those_of_all(kind: str) -> None:
    """Also near the beginning of an entity, where fewer rows than usual are averaged."""
    detector = make(kind, smoothing=10).fit(series())
    X = series(300, seed=2)
    offsets = np.array([0, 150, 153, 300])
    scores = detector.score_samples(X, offsets=offsets)
    for chosen in ([7, 100, 152, 160, 299], [5], [151, 6], []):
        parts = detector.feature_parts(X, chosen, offsets=offsets)
        assert np.isnan(parts[[row in (151, 152) for row in chosen]]).all()
        np.testing.assert_allclose(parts.sum(axis=1), scores[chosen], rtol=1e-12)
    whole = detector.feature_parts(X, offsets=offsets)
    np.testing.assert_allclose(
        detector.feature_parts(X, [8, 200], offsets=offsets), whole[[8, 200]], rtol=1e-12
    )


def test_feature_scores_are_smoothed_as_the_scores() -> None:
    detector = make("forecast", smoothing=7).fit(series())
    X = series(100, seed=1)
    np.testing.assert_allclose(
        detector.feature_scores(X).mean(axis=1), detector.score_samples(X), rtol=1e-5
    )


@pytest.mark.parametrize("kind", SMOOTHED)
def test_rows_needed_reach_as_far_as_the_smoothing(kind: str) -> None:
    detector = make(kind, smoothing=10).fit(series())
    needed = detector.rows_needed()
    assert needed == 5 + 9
    X = series(100, seed=1)
    scores = detector.score_samples(X)
    assert same(detector.score_samples(X[40:])[needed - 1 :], scores[40 + needed - 1 :])
    assert not same(detector.score_samples(X[40:])[needed - 2 :], scores[40 + needed - 2 :])


@pytest.mark.parametrize("options", [{}, {"reduction": "mae"}, {"reduction": "mahalanobis"}])
@pytest.mark.parametrize("smoothing", [1, 8])
def test_streams_and_files_of_models_score_as_the_detector(
    options: dict[str, Any], smoothing: int, tmp_path: Any
) -> None:
    detector = make("forecast", smoothing=smoothing, **options).fit(series(100))
    X = holes(100)
    detector.live_model().save(tmp_path / "model")
    model = sc.SequenceModel.load(tmp_path / "model")
    assert model.reduction == options.get("reduction", "calibrated")
    scores, flags = detector.score_samples(X), detector.predict(X)
    of_file = ModelDetector.of(model)
    assert same(of_file.score_samples(X), scores)
    assert same(of_file.predict(X), flags)
    assert same(of_file.score_samples(X, smoothed=False), detector.score_samples(X, smoothed=False))
    monitor = sc.Monitor.from_model(model)
    events = [monitor.push(row) for row in X]
    assert [event.alarm for event in events] == flags.astype(bool).tolist()
    if model.plan()["kernel"].startswith("fma"):
        assert same([event.smoothed for event in events], scores)


@pytest.mark.parametrize("missing", ["skip", "ffill"])
def test_saved_detectors_keep_alignment_and_smoothing(missing: str, tmp_path: Any) -> None:
    X = series(100, seed=1)
    for kind, options in (
        ("forecast", {"align": "cover", "smoothing": 9}),
        ("forecast", {"smoothing": 3}),
        ("autoencoder", {"align": "cover"}),
    ):
        detector = make(kind, missing=missing, **options).fit(series())
        detector.save(tmp_path / "detector")
        loaded = load_detector(tmp_path / "detector")
        assert loaded.get_params() == detector.get_params()
        assert same(loaded.score_samples(X), detector.score_samples(X))
        detector.set_params(align="end" if options.get("align") else "cover")
        assert same(loaded.score_samples(X), detector.score_samples(X))  # as it was at fit


def test_calibrated_errors_are_those_of_rows_that_train() -> None:
    X = series(300)
    X[250:] *= 3.0  # the part that is held out
    detector = make("forecast", epochs=3).fit(X)
    training = X[~detector.history_.validation_rows]
    error = detector.model_.fit_error(training, reduction="calibrated").metadata["error"]
    assert detector.model_.metadata["error"] == error
    assert sorted(error) == ["intercept", "slope"]
    scores = detector.model_.score(X, reduction="calibrated").astype(np.float64)
    assert same(detector.decision_scores_, scores)


def test_warm_start_calibrates_anew() -> None:
    detector = make("forecast", smoothing=4).fit(series(100))
    before = detector.model_.metadata["error"]
    detector.fit(series(100, seed=5) * 2.0, warm_start=True)
    assert detector.model_.metadata["error"]["slope"] != before["slope"]
    again = ModelDetector.of(detector.model_, epochs=1, random_state=0)
    again.fit(series(100, seed=6), warm_start=True)
    found = again.model_.metadata
    assert (found["reduction"], found["smoothing"]["n"]) == ("calibrated", 4)
    assert found["error"]["slope"] != detector.model_.metadata["error"]["slope"]


@pytest.mark.parametrize("window", [1, 4])
def test_autoencoder_covers_rows_by_the_means_of_windows(window: int) -> None:
    X = holes()
    ends = make("autoencoder", window=window).fit(series())
    cover = make("autoencoder", window=window, align="cover").fit(series())
    of_windows = ends.score_samples(X, offsets=OFFSETS)
    scores = cover.score_samples(X, offsets=OFFSETS)
    for first, end in pairwise(OFFSETS):
        for row in range(first, end):
            over = of_windows[row : min(end, row + window)]
            over = over[np.isfinite(over)]
            if np.isinf(of_windows[row]):
                assert scores[row] == np.inf
            elif len(over):
                np.testing.assert_allclose(scores[row], over.mean(), rtol=1e-13)
            else:
                assert np.isnan(scores[row])
    assert np.isfinite(scores).sum() > 40
    np.testing.assert_allclose(
        cover.feature_scores(X, offsets=OFFSETS)[:12].mean(axis=1), scores[:12], rtol=1e-5
    )
    assert cover.rows_needed() is None
    assert ends.rows_needed() == window


def test_what_cannot_be_aligned_or_smoothed_is_refused() -> None:
    X = series()
    for kind in ("forecast", "autoencoder"):
        with pytest.raises(ValueError, match="align: expected one of 'end', 'cover', got 'middle'"):
            make(kind, align="middle").fit(X)
        with pytest.raises(ValueError, match="align: 'cover' needs rows of the future, which a s"):
            make(kind, align="cover").fit(X).live_model()
        assert make(kind, align="cover").fit(X).scoring_model is None
    with pytest.raises(ValueError, match="smoothing: expected an integer >= 1, got 0"):
        make("forecast", smoothing=0).fit(X)
    with pytest.raises(ValueError, match="align: 'cover' averages the scores of whole windows"):
        make("autoencoder", align="cover", aggregate="last").fit(X)
    with pytest.raises(ValueError, match="streams score by the errors of whole windows, this"):
        make("autoencoder", aggregate="last").fit(X).live_model()
    with pytest.raises(ValueError, match="'calibrated' needs scaled errors, got scaler=None"):
        make("forecast", scaler=None).fit(X)
    with pytest.raises(ValueError, match="expected one of 'mse', 'mae', 'mahalanobis', got 'cal"):
        make("autoencoder", reduction="calibrated").fit(X)


def test_defaults_of_score_and_smoothing() -> None:
    chosen = ForecastDetector().get_params()
    assert (chosen["reduction"], chosen["smoothing"], chosen["align"]) == ("calibrated", 20, "end")
    assert AutoencoderDetector().get_params()["align"] == "end"


def test_the_reproduced_forecaster_keeps_its_sources_score() -> None:
    from slidecell.reproduce.outcome import SystemOptions
    from slidecell.reproduce.stacked_lstm import _detector

    chosen = _detector(SystemOptions(Path("out"))).get_params()
    assert (chosen["reduction"], chosen["smoothing"], chosen["align"]) == ("mse", 1, "end")
