"""Our detectors under sktime's roof: sktime's own checks, and what they do not look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.detectors import ALL, NETWORKS, make, series

pytest.importorskip("sktime", reason="needs sktime: see .ci/adapters")

import pandas as pd

from slidecell.adapters import SktimeDetector
from slidecell.detect import KMeansDetector, ZScoreDetector

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:sktime")

KINDS = [kind for kind in ALL if kind not in NETWORKS]

# Checks of sktime that do not apply, with their reasons: none.
EXCEPTIONS: dict[str, str] = {}

DAYS = pd.date_range("2024-01-01", periods=100, freq="D")


def frame(seed: int = 0) -> pd.DataFrame:
    X = series(100, seed=seed)
    X[60] += 4.0
    return pd.DataFrame(X, columns=["a", "b", "c"], index=DAYS)


def check(what: Any) -> None:
    from sktime.utils.estimator_checks import check_estimator

    found = check_estimator(what, verbose=False)
    failed = {name.partition("[")[0] for name, result in found.items() if result != "PASSED"}
    assert failed == set(EXCEPTIONS), found
    assert len(found) > 40
    assert any(name.startswith("test_predict_segments") for name in found)  # detectors' own checks


@pytest.mark.filterwarnings("ignore")
def test_sktime_checks_of_the_class_pass() -> None:
    check(SktimeDetector)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_sktime_checks_pass(kind: str) -> None:
    detector = make(kind)
    # sktime's shortest series have one column and 10 rows.
    small = {"window": 2, "n_clusters": 2, "n_components": 1, "n_points": 5}
    names = set(detector.get_params()) & set(small)
    check(SktimeDetector(detector.set_params(**{name: small[name] for name in names})))


@pytest.mark.parametrize("kind", KINDS)
def test_sktime_answers_are_the_detectors_own(kind: str) -> None:
    X, other = frame(), frame(seed=1)
    own = make(kind).fit(X.to_numpy())
    found = SktimeDetector(make(kind)).fit(X)
    flags = own.predict(other.to_numpy())
    scores = own.score_samples(other.to_numpy())
    places = np.flatnonzero(flags)
    assert len(places) > 0
    assert found.predict(other)["ilocs"].tolist() == places.tolist()
    labels = found.transform(other)
    assert labels["labels"].tolist() == flags.tolist()
    per_row = found.transform_scores(other)
    assert per_row.index.equals(other.index)
    assert np.array_equal(per_row["scores"], scores, equal_nan=True)
    assert np.array_equal(found.predict_scores(other)["scores"], scores[places])
    assert found.predict_points(other)["ilocs"].tolist() == places.tolist()


@pytest.mark.parametrize("kind", ["zscore", "kmeans"])
def test_sktime_takes_series_and_arrays(kind: str) -> None:
    X = frame()[["a"]]
    expected = SktimeDetector(make(kind)).fit(X).transform_scores(X)["scores"].to_numpy()
    for other in (X["a"], X.to_numpy(), X["a"].to_numpy()):
        found = SktimeDetector(make(kind)).fit(other).transform_scores(other)["scores"]
        assert np.array_equal(found, expected, equal_nan=True)


def test_sktime_update_fits_on_all_rows() -> None:
    X = frame()
    found = SktimeDetector(ZScoreDetector()).fit(X.iloc[:50]).update(X.iloc[50:])
    whole = ZScoreDetector().fit(X.to_numpy())
    assert found.detector_.threshold_ == whole.threshold_


def test_sktime_missing_values_and_columns_by_name() -> None:
    X = frame()
    holed = X.copy()
    holed.iloc[10, 1] = np.nan
    found = SktimeDetector(ZScoreDetector()).fit(X)
    assert np.isnan(found.transform_scores(holed)["scores"].iloc[10])
    assert 10 not in found.predict(holed)["ilocs"].tolist()
    turned = found.transform_scores(X[["c", "a", "b"]])
    assert turned.equals(found.transform_scores(X))


def test_sktime_pipelines_and_nested_parameters() -> None:
    from sktime.transformations.difference import Differencer

    detector = SktimeDetector(KMeansDetector(window=4))
    assert detector.get_params()["detector__window"] == 4
    assert detector.clone().set_params(detector__window=5).detector.window == 5
    assert detector.detector.window == 4
    pipeline = Differencer() * SktimeDetector(ZScoreDetector(contamination=0.02))
    assert 60 in pipeline.fit(frame()).predict(frame())["ilocs"].tolist()
