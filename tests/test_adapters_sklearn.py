"""Detectors in scikit-learn's model selection: what its scorers say, and the one that fits."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, make_scorer, roc_auc_score
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slidecell.adapters import scorer
from slidecell.detect import KMeansDetector, ZScoreDetector
from slidecell.evaluate import vus
from tests.detectors import ALL, NETWORKS, make, series

SPIKES = np.arange(15, 300, 20)
X = series(300)
X[SPIKES] += 3.0
Y = np.isin(np.arange(300), SPIKES).astype(int)
FOLDS = TimeSeriesSplit(3)
WINDOWS = KMeansDetector(window=4, n_clusters=5, random_state=0)


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in NETWORKS])
def test_fit_predict_gives_the_training_labels(kind: str) -> None:
    detector = make(kind)
    labels = detector.fit_predict(X)
    assert labels is detector.labels_
    assert np.array_equal(labels, make(kind).fit(X).labels_)
    assert labels.sum() > 0


def test_fit_predict_takes_offsets() -> None:
    offsets = [0, 100, 300]
    detector = make("kmeans")
    labels = detector.fit_predict(X, offsets=offsets)
    assert np.array_equal(labels, make("kmeans").fit(X, offsets=offsets).labels_)
    assert np.isnan(detector.decision_scores_[100:103]).all()


@pytest.mark.parametrize(
    ("name", "metric"), [("roc_auc", roc_auc_score), ("pr_auc", average_precision_score)]
)
def test_scorer_leaves_out_unscored_rows(name: str, metric: Any) -> None:
    found = cross_val_score(WINDOWS, X, Y, scoring=scorer(name), cv=FOLDS, error_score="raise")
    expected = []
    for train, test in FOLDS.split(X):
        scores = KMeansDetector(window=4, n_clusters=5, random_state=0).fit(X[train])
        scores = scores.score_samples(X[test])
        expected.append(metric(Y[test][3:], scores[3:]))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    given = cross_val_score(WINDOWS, X, Y, scoring=scorer(metric), cv=FOLDS, error_score="raise")
    np.testing.assert_allclose(given, expected, rtol=1e-12)


def test_scorer_of_a_metric_of_slidecell() -> None:
    def vus_pr(labels: np.ndarray, scores: np.ndarray) -> float | None:
        return vus(labels, scores, window=10)[1]

    detector = KMeansDetector(window=4, n_clusters=5, random_state=0).fit(X)
    found = scorer(vus_pr)(detector, X, Y)
    assert found == vus(Y, detector.score_samples(X), window=10)[1]
    assert scorer(functools.partial(vus_pr))(detector, X, Y) == found
    assert repr(scorer(vus_pr)) == "scorer(vus_pr)"
    assert repr(scorer(functools.partial(vus_pr))).startswith("scorer(functools.partial(")


def test_scorer_in_a_grid_search_with_two_metrics_and_a_pipeline() -> None:
    search = GridSearchCV(
        make_pipeline(StandardScaler(), WINDOWS),
        {"kmeansdetector__window": [2, 40]},
        scoring={"roc": scorer("roc_auc"), "pr": scorer()},
        refit="pr",
        cv=FOLDS,
        error_score="raise",
    ).fit(X, Y)
    assert search.best_params_ == {"kmeansdetector__window": 2}
    assert np.isfinite(search.cv_results_["mean_test_roc"]).all()
    assert search.score(X, Y) == scorer("pr_auc")(search.best_estimator_, X, Y)


@pytest.mark.parametrize("row", [np.zeros(300, int), np.ones(300, int)])
def test_scorer_says_where_it_is_undefined(row: np.ndarray) -> None:
    detector = KMeansDetector(window=4, n_clusters=5, random_state=0).fit(X)
    with pytest.raises(
        ValueError,
        match=rf"scorer\('pr_auc'\): undefined on a fold with 297 scored rows of 300, "
        rf"{row[3:].sum()} of them labelled as anomalies",
    ):
        scorer()(detector, X, row)


def test_scorer_refuses_other_metrics_and_is_pickled() -> None:
    with pytest.raises(ValueError, match="metric: expected 'pr_auc', 'roc_auc' or a function"):
        scorer("accuracy")
    with pytest.raises(TypeError, match="metric: expected a name or a function, got 3"):
        scorer(3)
    detector = ZScoreDetector().fit(X)
    again = pickle.loads(pickle.dumps(scorer("roc_auc")))
    assert again(detector, X, Y) == scorer("roc_auc")(detector, X, Y)


@pytest.mark.parametrize("pipeline", [False, True])
@pytest.mark.parametrize(
    ("scoring", "metric"),
    [("roc_auc", "roc_auc_score"), ("average_precision", "average_precision_score")],
)
def test_scoring_of_sklearn_fails_with_what_to_do(
    scoring: str, metric: str, pipeline: bool
) -> None:
    estimator = make_pipeline(StandardScaler(), WINDOWS) if pipeline else WINDOWS
    with pytest.raises(
        ValueError,
        match=rf"^scoring: {metric} takes no row without a score, and 3 of 75 have none .*: "
        r"scoring=slidecell\.adapters\.scorer\(\"roc_auc\"\) leaves them out$",
    ):
        cross_val_score(estimator, X, Y, scoring=scoring, cv=FOLDS, error_score="raise")


def test_scoring_of_sklearn_works_where_every_row_has_a_score() -> None:
    found = cross_val_score(ZScoreDetector(), X, Y, scoring="roc_auc", cv=FOLDS)
    ours = cross_val_score(ZScoreDetector(), X, Y, scoring=scorer("roc_auc"), cv=FOLDS)
    np.testing.assert_allclose(found, ours, rtol=1e-12)


def test_a_metric_that_knows_nan_gets_the_scores() -> None:
    def known(labels: np.ndarray, scores: np.ndarray) -> float:
        scored = ~np.isnan(scores)
        assert not scored.all()
        return float(roc_auc_score(labels[scored], scores[scored]))

    theirs = make_scorer(known, response_method="decision_function")
    found = cross_val_score(WINDOWS, X, Y, scoring=theirs, cv=FOLDS, error_score="raise")
    ours = cross_val_score(WINDOWS, X, Y, scoring=scorer("roc_auc"), cv=FOLDS)
    np.testing.assert_allclose(found, ours, rtol=1e-12)


@pytest.mark.parametrize("kind", ["kmeans", "zscore"])
def test_decision_function_is_score_samples(kind: str) -> None:
    detector = make(kind).fit(X)
    assert np.array_equal(detector.decision_function(X), detector.score_samples(X), equal_nan=True)
