"""Saved ensembles: the same scores, members in folders of their own, damage refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import clone

from slidecell.detect import (
    RollingVarianceDetector,
    SklearnDetector,
    ZScoreDetector,
    load_detector,
)
from slidecell.detect.ensemble import Ensemble
from slidecell.detect.fusion import MinMaxNormaliser
from tests.ensemble_cases import W, members, series


@pytest.mark.parametrize("normaliser", ["minmax", "rank", MinMaxNormaliser(0.1)])
@pytest.mark.parametrize("weights", [None, {"z": 1, "burst": 2}, [1.0, 2.0, 3.0]])
def test_saved_ensemble_scores_the_same(normaliser: Any, weights: Any, tmp_path: Path) -> None:
    pytest.importorskip("skops")
    X, y = series()
    ensemble = Ensemble(members(), normaliser, weights).fit(X[:200])
    for tuned in (False, True):
        if tuned:
            ensemble.tune(X[200:], y[200:])
        ensemble.save(tmp_path / "ensemble")
        again = load_detector(tmp_path / "ensemble")
        assert isinstance(again, Ensemble)
        np.testing.assert_array_equal(again.score_samples(X), ensemble.score_samples(X))
        np.testing.assert_array_equal(again.predict(X), ensemble.predict(X))
        np.testing.assert_array_equal(again.attribution(X), ensemble.attribution(X))
        for name in ("decision_scores_", "labels_", "weights_", "baselines_", "threshold_"):
            np.testing.assert_array_equal(getattr(again, name), getattr(ensemble, name))
        assert again.tuned_ == ensemble.tuned_
        assert again.scored_share_ == ensemble.scored_share_
        # `tune` chooses a value: no rate of the training scores.
        kind = "fixed" if tuned else "rate"
        assert again.threshold_state()["kind"] == kind
        assert again.threshold_state()["value"] == ensemble.threshold_
    refitted = clone(again).fit(X[:200])
    ensemble.fit(X[:200])
    np.testing.assert_array_equal(refitted.decision_scores_, ensemble.decision_scores_)


def test_saved_ensembles_may_nest_and_have_any_names(tmp_path: Path) -> None:
    X, _ = series()
    inner = Ensemble([("../a/b", ZScoreDetector())])
    outer = Ensemble([("inner", inner), ("b*?", RollingVarianceDetector(W))]).fit(X)
    outer.save(tmp_path / "outer")
    np.testing.assert_array_equal(
        Ensemble.load(tmp_path / "outer").score_samples(X), outer.score_samples(X)
    )


def test_an_ensemble_that_cannot_be_saved_names_the_member(tmp_path: Path) -> None:
    pytest.importorskip("skops")
    from sklearn.neighbors import LocalOutlierFactor

    X, _ = series(60)
    trees = SklearnDetector(LocalOutlierFactor(novelty=True, algorithm="kd_tree"))
    ensemble = Ensemble([("z", ZScoreDetector()), ("trees", trees)]).fit(X)
    with pytest.raises(ValueError, match="member 'trees': estimator: holds types"):
        ensemble.save(tmp_path / "ensemble")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"members": ["z", "z"]}, "'members', 'normalisers': expected as many"),
        ({"members": "zb"}, "'members', 'normalisers': expected as many"),
        ({"normalisers": [{}, {}]}, "normaliser: expected a kind"),
        ({"normalisers": [1, 2]}, "'normalisers': 'z': expected an object"),
        ({"normaliser": "softmax"}, "normaliser: expected 'minmax'"),
        ({"normaliser": None}, "normaliser: expected an object"),
        ({"weights": 5}, "'weights': expected a list"),
        ({"tuned": {"objective": "f1", "method": "luck"}}, "tuned: 'method': expected 'grid' or"),
        ({"tuned": []}, "tuned: expected an object"),
    ],
)
def test_damaged_ensembles_are_refused(change: dict[str, Any], text: str, tmp_path: Path) -> None:
    X, _ = series(60)
    pairs = [("z", ZScoreDetector()), ("b", RollingVarianceDetector(W))]
    Ensemble(pairs).fit(X).save(tmp_path / "e")
    file = tmp_path / "e" / "detector.json"
    saved = json.loads(file.read_text())
    saved["fitted"] |= change
    file.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=text) as caught:
        load_detector(tmp_path / "e")
    assert str(tmp_path / "e") in str(caught.value)


def test_damaged_member_folders_are_refused(tmp_path: Path) -> None:
    X, _ = series(60)
    pairs = [("z", ZScoreDetector()), ("b", RollingVarianceDetector(W))]
    Ensemble(pairs).fit(X).save(tmp_path / "e")
    ZScoreDetector().fit(X[:, :2]).save(tmp_path / "e" / "member-0")
    with pytest.raises(ValueError, match="member 'z': expected 3 features, got 2"):
        load_detector(tmp_path / "e")
    shutil.rmtree(tmp_path / "e" / "member-0")
    with pytest.raises(OSError, match="member-0"):
        load_detector(tmp_path / "e")
    (tmp_path / "e" / "member-0").symlink_to(tmp_path / "e")
    with pytest.raises(
        (ValueError, OSError), match=r"without end|too many levels|Too many|name too"
    ):
        load_detector(tmp_path / "e")
