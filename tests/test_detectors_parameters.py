"""Parameters that are set after `fit`, or that no detector can take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
from slidecell.detect import AutoencoderDetector, load_detector
from tests.detectors import ALL, NETWORKS, make, series

CHANGES = [
    ("forecast", {"reduction": "mae"}),
    ("autoencoder", {"aggregate": "mean"}),
    ("rolling_variance", {"window": 9}),
    ("zscore", {"missing": "ffill"}),
]


@pytest.mark.parametrize(("kind", "change"), CHANGES)
def test_parameters_set_after_fit_act_at_the_next_fit(
    kind: str, change: dict[str, Any], tmp_path: Path
) -> None:
    X = series(80)
    X[40, 1] = np.nan
    detector = make(kind).fit(X)
    before, flags = detector.score_samples(X), detector.predict(X)
    name, value = next(iter(change.items()))
    old = getattr(detector, name)
    detector.set_params(**change)
    assert np.array_equal(detector.score_samples(X), before, equal_nan=True)
    assert np.array_equal(detector.predict(X), flags)
    message = f"{name}: fitted with {old!r}, and set to {value!r} since"
    with pytest.raises(ValueError, match=message):
        detector.save(tmp_path / "detector")
    assert not (tmp_path / "detector").exists()
    detector.fit(X).save(tmp_path / "detector")
    loaded = load_detector(tmp_path / "detector")
    assert not np.array_equal(detector.decision_scores_, before, equal_nan=True)
    after = loaded.set_params(**{name: old}).score_samples(X)
    assert np.array_equal(after, detector.decision_scores_, equal_nan=True)


@pytest.mark.parametrize("kind", ALL)
def test_parameters_that_could_not_be_loaded_are_not_saved(kind: str, tmp_path: Path) -> None:
    detector = make(kind).fit(series(80)).set_params(contamination=7)
    with pytest.raises(ValueError, match="contamination: expected a share between 0 and 1, got 7"):
        detector.save(tmp_path / "detector")
    detector.set_params(contamination=0.2).save(tmp_path / "detector")
    assert load_detector(tmp_path / "detector").contamination == 0.2


def test_warm_start_takes_parameters_that_are_set() -> None:
    X = series(80)
    detector = make("forecast").fit(X).set_params(reduction="mae").fit(X, warm_start=True)
    scores = detector.model_.score(X, reduction="mae")
    assert np.array_equal(detector.decision_scores_, scores.astype(np.float64), equal_nan=True)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("contamination", ["auto", (0.1,)])
def test_contamination_that_is_no_number_is_refused(kind: str, contamination: Any) -> None:
    message = f"contamination: expected a share between 0 and 1, got {contamination!r}"
    with pytest.raises(TypeError, match=re.escape(message)):
        make(kind, contamination=contamination).fit(series())


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_threads": 0}, ValueError, "num_threads: expected an integer >= 1, got 0"),
        ({"num_threads": 1.0}, TypeError, r"num_threads: expected an integer, got 1\.0"),
        ({"device": "foo"}, ValueError, "device: expected a device of torch, got 'foo'"),
        ({"device": 1.5}, TypeError, r"device: expected a device of torch, got 1\.5"),
        (
            {"random_state": "a"},
            TypeError,
            "random_state: expected None, an integer or .*, got 'a'",
        ),
        ({"random_state": True}, TypeError, "random_state: expected .*, got True"),
        ({"random_state": np.random.default_rng(0)}, TypeError, "random_state: .* got Generator"),
    ],
)
def test_bad_arguments_of_networks_are_named(
    kind: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(kind, **options).fit(series())


def test_decoder_mirrors_the_encoder(tmp_path: Path) -> None:
    quick: dict[str, Any] = {"window": 4, "epochs": 1, "random_state": 0, "num_threads": 1}
    X = series()
    mirrored = AutoencoderDetector(encoder_sizes=(5, 3, 2), decoder_sizes=None, **quick).fit(X)
    given = AutoencoderDetector(encoder_sizes=(5, 3, 2), decoder_sizes=(2, 3, 5), **quick).fit(X)
    assert np.array_equal(mirrored.decision_scores_, given.decision_scores_, equal_nan=True)
    mirrored.save(tmp_path / "detector")
    loaded = load_detector(tmp_path / "detector")
    assert loaded.get_params()["decoder_sizes"] is None
    with pytest.raises(TypeError, match="encoder_sizes: expected a sequence of integers, got 5"):
        AutoencoderDetector(encoder_sizes=5, decoder_sizes=None, **quick).fit(X)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", NETWORKS)
def test_mahalanobis_needs_enough_errors(kind: str) -> None:
    detector = make(kind, window=8, reduction="mahalanobis")
    needed, per_window = (10, 1) if kind == "forecast" else (10, 8)
    for rows in (30, 40, 60, 90):
        X = series(rows)
        held = round(0.2 * (rows - 8 + (kind == "autoencoder")))
        if held * per_window >= needed:
            assert np.isfinite(detector.fit(X).threshold_)
            continue
        message = rf"X: expected at least 10 errors .*, got {held * per_window} of {held} windows"
        with pytest.raises(ValueError, match=message):
            detector.fit(X)


def test_mahalanobis_beside_a_short_entity() -> None:
    """The squared distance of normal rows is about F, whichever entities there are."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    detector = make("forecast", window=6, reduction="mahalanobis").fit(X, offsets=[0, 8, 300])
    assert detector.history_.validation_windows > 50
    assert 1.0 < np.nanmean(detector.decision_scores_) < 4.0
    with pytest.raises(
        ValueError, match=r"series: expected at least 10 errors .* 2 numbers, got 9"
    ):
        detector.model_.fit_error(X[:15])


def test_whole_numbers_beyond_float64_are_named() -> None:
    with pytest.raises(ValueError, match="validation: expected a number within float64"):
        make("forecast", validation=10**400).fit(series())
