"""Ensembles: members' scores on one scale, weighted; causal, checked, tuned apart from reports."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone
from sklearn.ensemble import IsolationForest

from slidecell.detect import PCADetector, RollingVarianceDetector, ZScoreDetector
from slidecell.detect.ensemble import Ensemble
from slidecell.detect.fusion import MinMaxNormaliser, as_normaliser, fuse, search_weights
from tests.ensemble_cases import W, members, series


class Failing(ZScoreDetector):
    """Fails when it scores."""

    def _score(self, rows: Any) -> Any:
        if len(rows) < 100:
            raise ZeroDivisionError("out of order")
        return super()._score(rows)


@pytest.mark.parametrize("normaliser", ["minmax", "z", "robust", "rank"])
def test_ensemble_is_the_weighted_sum_of_normalised_scores(normaliser: str) -> None:
    X, _ = series()
    train, new = X[:200], X[200:] * 3  # beyond the training maximum
    weights = [0.5, 0.2, 0.3]
    ensemble = Ensemble(members(), normaliser, weights, 0.05).fit(train)
    columns = []
    for _, member in members():
        member.fit(train)
        scale = as_normaliser(normaliser).fit(member.decision_scores_)
        columns.append(scale.apply(member.score_samples(new)))
    np.testing.assert_array_equal(ensemble.member_scores(new), np.column_stack(columns))
    want = 0.5 * columns[0] + 0.2 * columns[1] + 0.3 * columns[2]
    got = ensemble.score_samples(new)
    np.testing.assert_allclose(got, want, rtol=1e-15)
    assert got.dtype == np.float64
    assert np.nanmax(got) > np.nanmax(ensemble.decision_scores_)
    np.testing.assert_array_equal(np.isnan(got), np.arange(100) < W - 1)
    np.testing.assert_array_equal(ensemble.decision_function(new), got)


def test_ensemble_training_scores_and_threshold() -> None:
    X, _ = series()
    ensemble = Ensemble(members(), contamination=0.1).fit(X)
    np.testing.assert_array_equal(ensemble.decision_scores_, ensemble.score_samples(X))
    np.testing.assert_array_equal(ensemble.member_decision_scores_, ensemble.member_scores(X))
    assert ensemble.threshold_ == np.nanpercentile(ensemble.decision_scores_, 90.0)
    np.testing.assert_array_equal(ensemble.labels_, ensemble.predict(X))
    assert ensemble.labels_.sum() == 30
    assert ensemble.scored_share_ == 1 - (W - 1) / 300
    assert np.nanmin(ensemble.member_decision_scores_) == 0.0
    assert np.nanmax(ensemble.member_decision_scores_) == 1.0
    assert list(ensemble.members_) == ["z", "forest", "burst"]
    np.testing.assert_array_equal(ensemble.weights_, np.full(3, 1 / 3))


def test_ensemble_is_causal() -> None:
    X, _ = series()
    ensemble = Ensemble(members(), "rank").fit(X[:150])
    whole = ensemble.score_samples(X)
    changed = X.copy()
    changed[230:] = 1e6
    np.testing.assert_array_equal(ensemble.score_samples(changed)[:230], whole[:230])
    np.testing.assert_array_equal(ensemble.score_samples(X[:230]), whole[:230])
    # Nor on what lies before the longest window.
    np.testing.assert_array_equal(ensemble.score_samples(X[100:])[W - 1 :], whole[100 + W - 1 :])


def test_ensemble_scores_each_entity_as_if_alone() -> None:
    X, _ = series()
    offsets = [0, 3, 120, 300]
    ensemble = Ensemble(members()).fit(X, offsets=offsets)
    scores = ensemble.score_samples(X, offsets=offsets)
    assert np.isnan(scores[:3]).all()
    np.testing.assert_array_equal(scores[120:], ensemble.score_samples(X[120:]))
    np.testing.assert_array_equal(scores, ensemble.decision_scores_)


def test_ensemble_nan_only_where_a_weighted_member_has_none() -> None:
    X, _ = series()
    X[50, 0] = np.nan
    ensemble = Ensemble(members(), weights={"z": 1.0, "forest": 0.0}).fit(X)
    assert np.flatnonzero(np.isnan(ensemble.score_samples(X))).tolist() == [50]
    assert np.isnan(ensemble.member_scores(X)[:, 2]).sum() == W - 1 + W
    with_burst = Ensemble(members()).fit(X).score_samples(X)
    bad = [*range(W - 1), *range(50, 50 + W)]
    assert np.flatnonzero(np.isnan(with_burst)).tolist() == bad


def test_ensemble_does_not_ask_members_of_no_weight() -> None:
    X, _ = series()
    ensemble = Ensemble([("z", ZScoreDetector()), ("bad", Failing())], weights=[1, 0]).fit(X)
    assert np.isfinite(ensemble.score_samples(X[:50])).all()
    with pytest.raises(ValueError, match="member 'bad': out of order"):
        ensemble.member_scores(X[:50])


@pytest.mark.parametrize("method", ["grid", "refine"])
def test_tune_is_the_search_on_member_scores(method: str) -> None:
    X, y = series()
    ensemble = Ensemble(members()).fit(X[:200])
    found = ensemble.tune(X[200:], y[200:], method=method).tuned_
    assert found == search_weights(ensemble.member_scores(X[200:]), y[200:], method=method)
    assert ensemble.threshold_ == found.threshold
    np.testing.assert_array_equal(ensemble.weights_, found.weights)
    fused = fuse(ensemble.member_decision_scores_, found.weights)
    np.testing.assert_array_equal(ensemble.decision_scores_, fused)
    np.testing.assert_array_equal(ensemble.labels_, ensemble.predict(X[:200]))
    assert ensemble.fit(X[:200]).tuned_ is None
    np.testing.assert_array_equal(ensemble.weights_, np.full(3, 1 / 3))


def test_tune_by_pr_auc_and_percentile() -> None:
    X, y = series()
    ensemble = Ensemble(members()).fit(X)
    found = ensemble.tune(X, y, objective="pr_auc", percentiles=[90]).tuned_
    assert found.percentile == 90.0
    assert found.unscored == W - 1
    flags = ensemble.predict(X)[W - 1 :]
    assert flags.sum() == 30


def test_tune_does_not_change_members_or_normalisers() -> None:
    X, y = series()
    ensemble = Ensemble(members()).fit(X[:200])
    before = ensemble.member_scores(X)
    ensemble.tune(X, y)
    np.testing.assert_array_equal(ensemble.member_scores(X), before)


def test_ensemble_constructor_stores_and_clones() -> None:
    pairs = members()
    ensemble = Ensemble(pairs, MinMaxNormaliser(0.1), weights={"z": 1.0})
    assert ensemble.members is pairs
    copy = clone(ensemble)
    assert copy.members[1][1] is not pairs[1][1]
    X, _ = series()
    copy.fit(X)
    ensemble.fit(X)
    assert not hasattr(pairs[0][1], "threshold_")
    np.testing.assert_array_equal(copy.decision_scores_, ensemble.decision_scores_)
    assert copy.normalisers_["z"].state()["trim"] == 0.1


def test_prefit_members_are_used_as_they_are() -> None:
    X, _ = series()
    fitted = [(name, member.fit(X[:150])) for name, member in members()]
    ensemble = Ensemble(fitted, prefit=True).fit(X[150:])
    assert ensemble.members_["z"] is fitted[0][1]
    scale = MinMaxNormaliser().fit(fitted[0][1].score_samples(X[150:]))
    np.testing.assert_array_equal(
        ensemble.member_scores(X)[:, 0], scale.apply(fitted[0][1].score_samples(X))
    )


def test_ensembles_may_hold_ensembles() -> None:
    X, _ = series()
    inner = Ensemble(members()[:2], "z")
    outer = Ensemble([("inner", inner), ("burst", RollingVarianceDetector(W))]).fit(X)
    inner.fit(X)
    scale = MinMaxNormaliser().fit(inner.decision_scores_)
    np.testing.assert_array_equal(outer.member_scores(X)[:, 0], scale.apply(inner.score_samples(X)))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_ensemble_of_a_shuffled_frame(library: str) -> None:
    frames = pytest.importorskip(library)
    X, y = series()
    order = np.random.default_rng(1).permutation(300)
    table = {
        "host": np.repeat(["b", "a"], 150)[order],
        "when": np.tile(np.arange(150), 2)[order],
        **{f"x{c}": X[order, c] for c in range(3)},
    }
    frame = frames.DataFrame(table)
    ensemble = Ensemble(members(), entity="host", time="when").fit(frame)
    swapped = np.concatenate([X[150:], X[:150]])
    plain = Ensemble(members()).fit(swapped, offsets=[0, 150, 300])
    want = np.roll(plain.decision_scores_, 150)[order]
    np.testing.assert_array_equal(ensemble.decision_scores_, want)
    np.testing.assert_array_equal(ensemble.score_samples(frame), want)
    assert ensemble.tune(frame, y[order]).tuned_.rows == 300 - 2 * (W - 1)
    assert ensemble.feature_names_in_.tolist() == ["x0", "x1", "x2"]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Ensemble([]), ValueError, "members: expected at least one"),
        (lambda: Ensemble(None), TypeError, r"members: expected \(name, detector\) pairs, got N"),
        (lambda: Ensemble([ZScoreDetector()]), TypeError, "members: expected .* pairs"),
        (lambda: Ensemble([(1, ZScoreDetector())]), TypeError, "members: expected names, got 1"),
        (lambda: Ensemble(members() + members()[:1]), ValueError, "the name 'z' stands twice"),
        (
            lambda: Ensemble([("f", IsolationForest())]),
            TypeError,
            r"member 'f': expected a Detector, got IsolationForest\(\): SklearnDetector",
        ),
        (
            lambda: Ensemble([("z", ZScoreDetector(entity="host"))]),
            ValueError,
            "member 'z': entity='host', but the ensemble's is None",
        ),
        (lambda: Ensemble(members(), weights=[1, 2]), ValueError, r"weights: expected \[3\]"),
        (lambda: Ensemble(members(), weights=[0, 0, 0]), ValueError, "weights: .* not all 0"),
        (lambda: Ensemble(members(), weights=[1, 2, -1]), ValueError, "weights: .* at least 0"),
        (lambda: Ensemble(members(), weights={"y": 1}), ValueError, "weights: .* got 'y'"),
        (lambda: Ensemble(members(), "softmax"), ValueError, "normaliser: expected 'minmax'"),
        (lambda: Ensemble(members(), contamination=0), ValueError, "contamination: expected"),
        (
            lambda: Ensemble([("z", ZScoreDetector()), ("p", PCADetector(n_components=-1))]),
            ValueError,
            "member 'p': n_components",
        ),
        (lambda: Ensemble(members(), prefit=True), ValueError, "member 'z': .*not fitted"),
    ],
)
def test_ensemble_refuses_bad_arguments(make: Any, error: type, text: str) -> None:
    X, _ = series(60)
    with pytest.raises(error, match=text):
        make().fit(X)


def test_prefit_members_of_other_features_are_refused() -> None:
    pd = pytest.importorskip("pandas")
    X, _ = series(60)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    other = ZScoreDetector().fit(frame[["c", "b", "a"]])
    with pytest.raises(
        ValueError, match="member 'z': it was fitted with the features 'c', 'b', 'a"
    ):
        Ensemble([("z", other)], prefit=True).fit(frame)
    with pytest.raises(ValueError, match="with the features 3, but X has 2"):
        Ensemble([("z", ZScoreDetector().fit(X))], prefit=True).fit(X[:, :2])


def test_a_member_without_a_window_is_named() -> None:
    X, _ = series()
    ensemble = Ensemble(members()).fit(X)
    with pytest.raises(ValueError, match="member 'burst': X: no window: one takes 6 rows"):
        ensemble.score_samples(X[:5])
    with pytest.raises(ValueError, match="member 'burst': X: no window"):
        Ensemble(members(), contamination=0.05).fit(X[:5])


class Half(ZScoreDetector):
    """Scores even rows, or odd ones."""

    def __init__(self, first: int = 0, contamination: float = 0.05) -> None:
        super().__init__(contamination)
        self.first = first

    def _score(self, rows: Any) -> Any:
        scores = super()._score(rows)
        scores[self.first :: 2] = np.nan
        return scores


def test_members_that_never_score_together_are_refused() -> None:
    X, y = series(40)
    halves = [("even", Half(1)), ("odd", Half(0))]
    with pytest.raises(ValueError, match="X: no row has a score from every weighted member"):
        Ensemble(halves).fit(X)
    ensemble = Ensemble(halves, weights=[1, 0]).fit(X)
    assert ensemble.scored_share_ == 0.5
    with pytest.raises(ValueError, match="got 0 anomalies of 0"):
        ensemble.tune(X, y)


def test_a_member_without_any_score_is_named() -> None:
    X, _ = series(40)
    X[::3, 0] = np.nan  # no window of 6 rows without one
    with pytest.raises(ValueError, match="member 'burst': X: no row has a score"):
        Ensemble(members()).fit(X)


@pytest.mark.parametrize(
    ("y", "text"),
    [
        (np.zeros(300, int), "both classes among the rows that every member scored"),
        (np.zeros(299, int), r"y: expected \[300\] \(rows of scores\), got \[299\]"),
        (np.full(300, 7), "y: expected 0 or 1"),
    ],
)
def test_tune_refuses_bad_arguments(y: Any, text: str) -> None:
    X, _ = series()
    ensemble = Ensemble(members()).fit(X)
    before = ensemble.threshold_
    with pytest.raises(ValueError, match=text):
        ensemble.tune(X, y)
    assert ensemble.threshold_ == before
    assert ensemble.tuned_ is None


def test_ensemble_before_fit_raises_not_fitted() -> None:
    X, y = series(50)
    ensemble = Ensemble(members())
    for call in (ensemble.score_samples, ensemble.member_scores, ensemble.predict):
        with pytest.raises(ValueError, match="not fitted"):
            call(X)
    with pytest.raises(ValueError, match="not fitted"):
        ensemble.tune(X, y)
    with pytest.raises(ValueError, match="not fitted"):
        ensemble.attribution(X)
