"""Our detectors under aeon's roof: aeon's own checks, and what they do not look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.detectors import ALL, LEAVES_ITSELF_OUT, NETWORKS, make, series

pytest.importorskip("aeon", reason="needs aeon: see .ci/adapters")

from slidecell.adapters import AeonDetector
from slidecell.detect import KMeansDetector, ZScoreDetector

KINDS = [kind for kind in ALL if kind not in NETWORKS]

# Checks of aeon that do not apply, with their reasons: none.
EXCEPTIONS: dict[str, str] = {}

TRAIN = series(100)
TEST = series(80, seed=1)
TEST[60] += 4.0


def check(what: Any) -> None:
    from aeon.testing.estimator_checking import check_estimator

    found = check_estimator(what)
    failed = {name.partition("(")[0] for name, result in found.items() if result != "PASSED"}
    assert failed == set(EXCEPTIONS), found
    assert len(found) > 15
    assert any(name.startswith("check_series_anomaly_detector_output") for name in found)


@pytest.mark.filterwarnings("ignore")
def test_aeon_checks_of_the_class_pass() -> None:
    check(AeonDetector)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_aeon_checks_pass(kind: str) -> None:
    detector = make(kind)
    # aeon's series are short, and some have one column.
    small = {"window": 2, "n_clusters": 2, "n_components": 1, "n_points": 5}
    names = set(detector.get_params()) & set(small)
    check(AeonDetector(detector.set_params(**{name: small[name] for name in names})))


@pytest.mark.parametrize("kind", KINDS)
def test_aeon_scores_are_the_detectors_own(kind: str) -> None:
    own = make(kind).fit(TRAIN)
    before = own.shortest_series() - 1
    expected = own.score_samples(TEST)
    assert np.isnan(expected[:before]).all()
    expected[:before] = expected[before]
    detector = AeonDetector(make(kind))
    assert np.array_equal(detector.fit(TRAIN, axis=0).predict(TEST, axis=0), expected)
    assert np.array_equal(detector.predict(TEST.T), expected)  # aeon's own axis


@pytest.mark.parametrize("kind", KINDS)
def test_aeon_fit_predict_gives_the_training_scores(kind: str) -> None:
    own = make(kind).fit(TEST)
    before = own.shortest_series() - 1
    detector = AeonDetector(make(kind))
    found = detector.fit_predict(TEST, axis=0)
    assert np.array_equal(found[before:], own.decision_scores_[before:])
    if kind not in LEAVES_ITSELF_OUT:
        assert np.array_equal(found, detector.predict(TEST, axis=0))


def test_aeon_univariate_series() -> None:
    X = TEST[:, 0]
    expected = ZScoreDetector(0.1).fit(X[:, None]).score_samples(X[:, None])  # of all rows
    assert np.array_equal(AeonDetector(ZScoreDetector()).fit(X).predict(X), expected)


def test_aeon_missing_and_too_large_values() -> None:
    X = TEST.copy()
    X[10, 0] = np.nan
    X[20, 0] = 1e60
    scores = AeonDetector(ZScoreDetector()).fit(TRAIN, axis=0).predict(X, axis=0)
    assert scores[10] == scores[9]
    assert scores[20] == np.finfo(np.float32).max


def test_aeon_nested_parameters() -> None:
    detector = AeonDetector(KMeansDetector(window=4))
    assert detector.get_params()["detector__window"] == 4
    assert detector.clone().set_params(detector__window=5).detector.window == 5
    assert detector.detector.window == 4


def test_aeon_scores_suit_its_metrics() -> None:
    from aeon.benchmarking.metrics.anomaly_detection import roc_auc_score

    labels = np.zeros(80, int)
    labels[60] = 1
    scores = AeonDetector(ZScoreDetector()).fit(TRAIN, axis=0).predict(TEST, axis=0)
    assert roc_auc_score(labels, scores) == 1.0
