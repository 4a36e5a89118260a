"""An ensemble as scikit-learn sees it: its members' parameters, and its clones."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from sklearn.base import clone

from slidecell.detect import PCADetector, RollingVarianceDetector, ZScoreDetector
from slidecell.detect.ensemble import Ensemble
from tests.detectors import series


def test_parameters_of_members_are_parameters_of_the_ensemble() -> None:
    inner = Ensemble([("pca", PCADetector(2))])
    ensemble = Ensemble([("z", ZScoreDetector(0.2)), ("inner", inner)], prefit=True)
    params = ensemble.get_params()
    assert params["z"] is ensemble.members[0][1]
    assert (params["z__contamination"], params["inner__pca__n_components"]) == (0.2, 2)
    assert set(ensemble.get_params(deep=False)) == set(Ensemble._get_param_names())
    ensemble.set_params(z__contamination=0.1, inner__pca__n_components=1, prefit=False)
    assert ensemble.members[0][1].contamination == 0.1
    assert inner.members[0][1].n_components == 1
    assert ensemble.prefit is False
    with pytest.raises(ValueError, match="Invalid parameter 'y' for estimator Ensemble"):
        ensemble.set_params(y__contamination=0.1)
    with pytest.raises(ValueError, match="Invalid parameter 'window' for estimator ZScoreDetector"):
        ensemble.set_params(z__window=3)


def test_members_are_replaced_by_name() -> None:
    given = [("z", ZScoreDetector()), ("pca", PCADetector())]
    ensemble = Ensemble(given)
    ensemble.set_params(z=RollingVarianceDetector(4), z__window=6)
    assert [type(member) for _, member in given] == [ZScoreDetector, PCADetector]
    assert ensemble.members[0][1].window == 6
    assert ensemble.members[1][1] is given[1][1]
    ensemble.set_params(members=[("a", PCADetector())], a__n_components=1)
    assert ensemble.members[0][1].n_components == 1
    assert "n_components=1" in repr(ensemble)


def test_a_member_may_not_have_the_name_of_a_parameter() -> None:
    ensemble = Ensemble([("weights", ZScoreDetector())], weights=[2.0])
    assert ensemble.get_params()["weights"] == [2.0]
    ensemble.set_params(weights=[1.0])
    assert [name for name, _ in ensemble.members] == ["weights"]
    assert ensemble.fit(series()).weights_.tolist() == [1.0]


@pytest.mark.parametrize("members", [3, [3], [("a", 3)], [(1, ZScoreDetector())]])
def test_fit_refuses_members_that_are_none(members: object) -> None:
    ensemble = Ensemble(members)  # type: ignore[arg-type]
    assert ensemble.get_params()["members"] is members
    with pytest.raises(TypeError, match="member"):
        ensemble.fit(series())


def test_clones_keep_prefit_members() -> None:
    X = series(80)
    member = ZScoreDetector().fit(X[:40])
    ensemble = Ensemble([("z", member)], prefit=True).fit(X)
    fresh = clone(ensemble)
    assert not hasattr(fresh, "threshold_")
    assert np.array_equal(fresh.fit(X).decision_scores_, ensemble.decision_scores_)
    nested = clone(Ensemble([("inner", ensemble)])).fit(X)
    assert nested.members_["inner"].members_["z"] is member
    assert not hasattr(clone(Ensemble([("z", member)])).members[0][1], "threshold_")


def test_weights_by_name_in_any_mapping() -> None:
    members = [("z", ZScoreDetector()), ("pca", PCADetector())]
    weights = MappingProxyType({"pca": 3.0, "z": 1.0})
    assert Ensemble(members, weights=weights).fit(series()).weights_.tolist() == [0.25, 0.75]
