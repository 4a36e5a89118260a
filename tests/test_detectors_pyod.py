"""Detectors of PyOD inside SklearnDetector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slidecell.detect import Ensemble, SklearnDetector, ZScoreDetector
from tests.detectors import series

pytest.importorskip("pyod", reason="needs pyod: see .ci/adapters")

from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.pca import PCA
from pyod.models.ts_od import TimeSeriesOD

from slidecell.adapters import PyODDetector

TRAIN = series(200)
TEST = series(100, seed=1)
TEST[60] += 5.0


@pytest.mark.parametrize(
    "estimator", [ECOD(), HBOS(), IForest(random_state=0), KNN(), PCA(random_state=0)]
)
@pytest.mark.parametrize("window", [1, 3])
def test_scores_are_pyods_own(estimator: Any, window: int) -> None:
    def flat(X: np.ndarray) -> np.ndarray:
        return np.array([X[i : i + window].ravel() for i in range(len(X) - window + 1)])

    detector = SklearnDetector(estimator, window=window, contamination=0.02).fit(TRAIN)
    theirs = type(estimator)(**estimator.get_params()).fit(flat(TRAIN))
    scores = detector.score_samples(TEST)
    np.testing.assert_allclose(
        scores[window - 1 :], theirs.decision_function(flat(TEST)), rtol=1e-12
    )
    assert int(np.nanargmax(scores)) in range(60, 60 + window)
    assert detector.predict(TEST)[60 : 60 + window].any()
    assert not hasattr(estimator, "decision_scores_")  # the one given stays unfitted


def test_members_of_an_ensemble_may_be_pyods() -> None:
    members = [("ecod", SklearnDetector(ECOD())), ("z", ZScoreDetector())]
    assert int(Ensemble(members).fit(TRAIN).score_samples(TEST).argmax()) == 60


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (TimeSeriesOD(), "makes windows of a series itself: give a detector of rows"),
        (PyODDetector(ZScoreDetector()), "is a detector of slidecell already: use that one"),
    ],
)
def test_detectors_of_series_are_refused(estimator: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"estimator: .*{message}"):
        SklearnDetector(estimator).fit(TRAIN)
