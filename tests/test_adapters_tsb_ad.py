"""Our detectors as functions that TSB-AD runs, with and without TSB-AD."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler

from slidecell.adapters import tsb_ad_runner
from slidecell.detect import KMeansDetector, ZScoreDetector
from tests.detectors import series

TRAIN = series(200, features=1)
TEST = series(150, features=1, seed=1)
TEST[90] += 4.0
DETECTOR = KMeansDetector(window=4, n_clusters=5, random_state=0)


def test_tsb_ad_scores_are_the_detectors_own() -> None:
    # All rows train where scores alone count.
    alike = KMeansDetector(window=6, n_clusters=5, contamination=0.1, random_state=0)
    own = alike.fit(TRAIN).score_samples(TEST)
    scores = tsb_ad_runner(DETECTOR)(TRAIN, TEST, window=6)
    assert np.isnan(own[:5]).all()
    assert np.array_equal(scores, np.concatenate((np.repeat(own[5], 5), own[5:])))
    assert DETECTOR.window == 4


def test_tsb_ad_unsupervised() -> None:
    own = DETECTOR.__sklearn_clone__().set_params(contamination=0.1).fit(TEST).decision_scores_
    scores = tsb_ad_runner(DETECTOR)(TEST)
    assert np.array_equal(scores[3:], own[3:])
    assert (scores[:3] == own[3]).all()


def test_tsb_ad_a_missing_value_holds_the_last_score() -> None:
    X = TEST.copy()
    X[50] = np.nan
    scores = tsb_ad_runner(ZScoreDetector())(TRAIN, X)
    assert scores[50] == scores[49]
    assert MinMaxScaler().fit_transform(scores[:, None]).argmax() == 90


def test_tsb_ad_refuses_unknown_parameters() -> None:
    with pytest.raises(ValueError, match="Invalid parameter 'slidingWindow'"):
        tsb_ad_runner(DETECTOR)(TRAIN, TEST, slidingWindow=3)


def test_tsb_ad_runner_is_pickled() -> None:
    run = pickle.loads(pickle.dumps(tsb_ad_runner(DETECTOR)))
    assert np.array_equal(run(TRAIN, TEST), tsb_ad_runner(DETECTOR)(TRAIN, TEST))


def test_tsb_ad_runs_and_grades_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = pytest.importorskip("TSB_AD.model_wrapper", reason="needs TSB-AD: see .ci/adapters")
    from TSB_AD.evaluation.metrics import get_metrics

    monkeypatch.setattr(wrapper, "run_Slidecell", tsb_ad_runner(DETECTOR), raising=False)
    semi = wrapper.run_Semisupervise_AD("Slidecell", TRAIN, TEST, window=3)
    assert np.array_equal(semi, tsb_ad_runner(DETECTOR)(TRAIN, TEST, window=3))
    alone = wrapper.run_Unsupervise_AD("Slidecell", TEST)
    assert np.array_equal(alone, tsb_ad_runner(DETECTOR)(TEST))
    labels = np.zeros(len(TEST), int)
    labels[90:93] = 1
    # As TSB-AD's programs scale and grade.
    scaled = MinMaxScaler().fit_transform(semi.reshape(-1, 1)).ravel()
    found = get_metrics(
        scaled, labels, slidingWindow=10, pred=scaled > scaled.mean() + 3 * scaled.std()
    )
    assert found["AUC-ROC"] > 0.95
    assert found["VUS-PR"] > 0.5
