"""Our detectors under PyOD's roof: what PyOD's own tests ask of each of its detectors."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from tests.detectors import ALL, NETWORKS, make, series

KINDS = [kind for kind in ALL if kind not in NETWORKS]

pyod_base = pytest.importorskip("pyod.models.base", reason="needs pyod: see .ci/adapters")

from slidecell.adapters import PyODDetector  # noqa: E402
from slidecell.detect import KMeansDetector, ZScoreDetector  # noqa: E402

CONTAMINATION = 0.1
SPIKES = np.arange(20, 200, 25)

TRAIN = series(200)
TRAIN[SPIKES] += 4.0
TEST = series(100, seed=1)
TEST[60] += 4.0


@pytest.fixture(params=KINDS)
def fitted(request: pytest.FixtureRequest) -> PyODDetector:
    return PyODDetector(make(request.param), contamination=CONTAMINATION).fit(TRAIN)


def test_pyod_fitted_attributes(fitted: PyODDetector) -> None:
    assert isinstance(fitted, pyod_base.BaseDetector)
    for name in ("decision_scores_", "labels_", "threshold_", "_mu", "_sigma"):
        assert getattr(fitted, name) is not None
    assert fitted.decision_scores_.shape == fitted.labels_.shape == (200,)
    assert np.isfinite(fitted.decision_scores_).all()


def test_pyod_scores_are_the_detectors_own(fitted: PyODDetector) -> None:
    own = fitted.detector_.score_samples(TEST)
    scores = fitted.decision_function(TEST)
    scored = ~np.isnan(own)
    assert np.array_equal(scores[scored], own[scored])
    assert (scores[~scored] == fitted.threshold_).all()
    assert np.isnan(own).sum() == fitted.detector_.shortest_series() - 1


def test_pyod_threshold_and_labels_are_of_the_scored_rows(fitted: PyODDetector) -> None:
    own = fitted.detector_.decision_scores_
    threshold = np.percentile(own[~np.isnan(own)], 100 * (1 - CONTAMINATION))
    assert fitted.threshold_ == threshold
    assert np.array_equal(fitted.labels_, (own > threshold).astype(int))
    share = fitted.labels_.sum() / (~np.isnan(own)).sum()
    assert share == pytest.approx(CONTAMINATION, abs=0.01)


def test_pyod_predict(fitted: PyODDetector) -> None:
    flags = fitted.predict(TEST)
    assert flags.shape == (100,)
    assert set(flags) <= {0, 1}
    own = fitted.detector_.score_samples(TEST)
    assert np.array_equal(flags, (own > fitted.threshold_).astype(int))


@pytest.mark.parametrize("method", ["linear", "unify"])
def test_pyod_predict_proba(fitted: PyODDetector, method: str) -> None:
    found = fitted.predict_proba(TEST, method=method)
    assert found.shape == (100, 2)
    assert (found >= 0).all()
    assert (found <= 1).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    order = np.argsort(fitted.decision_function(TEST), kind="stable")
    assert (np.diff(found[order, 1]) >= 0).all()
    both, confidence = fitted.predict_proba(TEST, method=method, return_confidence=True)
    assert np.array_equal(both, found)
    assert np.array_equal(confidence, fitted.predict_confidence(TEST))


def test_pyod_linear_probability_is_the_place_between_training_scores(fitted: PyODDetector) -> None:
    low, high = fitted.decision_scores_.min(), fitted.decision_scores_.max()
    place = ((fitted.decision_function(TEST) - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(fitted.predict_proba(TEST)[:, 1], place, atol=1e-12)


def test_pyod_predict_proba_refuses_other_methods(fitted: PyODDetector) -> None:
    with pytest.raises(ValueError, match="not a valid probability conversion method"):
        fitted.predict_proba(TEST, method="something")


def test_pyod_confidence(fitted: PyODDetector) -> None:
    flags, confidence = fitted.predict(TEST, return_confidence=True)
    assert np.array_equal(flags, fitted.predict(TEST))
    assert np.array_equal(confidence, fitted.predict_confidence(TEST))
    assert confidence.shape == (100,)
    assert (confidence >= 0).all()
    assert (confidence <= 1).all()


def test_pyod_rejection(fitted: PyODDetector) -> None:
    found, statistics = fitted.predict_with_rejection(TEST, T=8, return_stats=True, c_r=0.1)
    assert set(found) <= {0, 1, -2}
    kept = found != -2
    assert np.array_equal(found[kept], fitted.predict(TEST)[kept])
    assert len(statistics) == 3


def test_pyod_ranks(fitted: PyODDetector) -> None:
    ranks = fitted._predict_rank(TEST)
    expected = (fitted.decision_scores_ < fitted.decision_function(TEST)[:, None]).sum(axis=1)
    assert np.array_equal(ranks, expected)
    normed = fitted._predict_rank(TEST, normalized=True)
    assert normed.max() == 1.0
    assert normed.min() >= 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_pyod_fit_predict(kind: str) -> None:
    detector = PyODDetector(make(kind), contamination=CONTAMINATION)
    assert np.array_equal(detector.fit_predict(TRAIN), detector.labels_)
    assert detector.labels_.sum() > 0


@pytest.mark.parametrize("kind", NETWORKS)
def test_pyod_networks(kind: str) -> None:
    pytest.importorskip("torch", reason="needs torch")
    detector = PyODDetector(make(kind)).fit(TRAIN)
    own = detector.detector_.score_samples(TEST)
    scored = ~np.isnan(own)
    assert np.array_equal(detector.decision_function(TEST)[scored], own[scored])
    assert detector.predict_proba(TEST).shape == (100, 2)


@pytest.mark.parametrize("kind", ["zscore", "sklearn", "rolling_variance"])
@pytest.mark.filterwarnings("ignore:Function fit_predict_score is deprecated:FutureWarning")
def test_pyod_finds_the_spikes(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    detector = PyODDetector(make(kind), contamination=CONTAMINATION)
    # The last window with a spike ends some rows after it.
    reach = np.arange(detector.detector.shortest_series())
    labels = np.isin(np.arange(200), SPIKES[:, None] + reach).astype(int)
    roc = detector.fit_predict_score(TRAIN, labels)
    assert roc == roc_auc_score(labels, detector.decision_scores_) > 0.95
    assert "roc_auc_score" in capsys.readouterr().out
    assert 0 <= detector.fit_predict_score(TRAIN, labels, scoring="prc_n_score") <= 1
    with pytest.raises(NotImplementedError):
        detector.fit_predict_score(TRAIN, labels, scoring="something")


def test_pyod_clone_and_parameters() -> None:
    detector = PyODDetector(KMeansDetector(window=4), contamination=0.2)
    copy = clone(detector)
    assert copy.get_params()["detector__window"] == 4
    assert copy.contamination == 0.2
    copy.set_params(detector__window=6, contamination=0.3)
    assert copy.detector.window == 6
    assert detector.detector.window == 4
    assert repr(PyODDetector(ZScoreDetector())).startswith("PyODDetector(")


@pytest.mark.parametrize("contamination", [0.0, -0.1, 0.51, 10])
def test_pyod_refuses_contamination(contamination: float) -> None:
    with pytest.raises(ValueError, match="contamination must be in"):
        PyODDetector(ZScoreDetector(), contamination=contamination)


def test_pyod_default_contamination() -> None:
    assert PyODDetector(ZScoreDetector()).contamination == 0.1


@pytest.mark.parametrize(
    "method", ["predict", "decision_function", "predict_proba", "predict_confidence"]
)
def test_pyod_unfitted(method: str) -> None:
    with pytest.raises(NotFittedError):
        getattr(PyODDetector(ZScoreDetector()), method)(TEST)


def test_pyod_a_failed_fit_leaves_the_last_one() -> None:
    detector = PyODDetector(KMeansDetector(window=4, n_clusters=3, random_state=0)).fit(TRAIN)
    before = detector.decision_function(TEST)
    with pytest.raises(ValueError, match="X: no window"):
        detector.fit(TRAIN[:3])
    assert np.array_equal(detector.decision_function(TEST), before)


def test_pyod_pickle() -> None:
    detector = PyODDetector(KMeansDetector(window=4, n_clusters=3, random_state=0)).fit(TRAIN)
    again = pickle.loads(pickle.dumps(detector))
    assert np.array_equal(again.decision_function(TEST), detector.decision_function(TEST))


def test_pyod_missing_and_too_large_values() -> None:
    X = TEST.copy()
    X[10, 0] = np.nan
    X[20, 0] = 1e300
    detector = PyODDetector(ZScoreDetector()).fit(TRAIN)
    scores = detector.decision_function(X)
    assert scores[10] == detector.threshold_
    assert scores[20] == np.finfo(np.float32).max
    assert detector.predict(X)[[10, 20]].tolist() == [0, 1]
    assert np.isfinite(detector.predict_proba(X)).all()


def test_pyod_threshold_objects() -> None:
    class Tenth:
        """A threshold as those of PyThresh: it is fitted to scores and labels them."""

        def fit(self, scores: np.ndarray) -> None:
            self.thresh_ = np.quantile(scores, 0.9)
            self.labels_ = (scores > self.thresh_).astype(int)

        def predict(self, scores: np.ndarray) -> np.ndarray:
            return (scores > self.thresh_).astype(int)

    detector = PyODDetector(make("kmeans"), contamination=Tenth()).fit(TRAIN)
    own = detector.detector_.decision_scores_
    assert detector.threshold_ == np.quantile(own[3:], 0.9)
    assert np.array_equal(detector.labels_, (own > detector.threshold_).astype(int))
    assert detector.labels_.shape == (200,)
    assert np.array_equal(
        detector.predict(TEST), (detector.decision_function(TEST) > detector.threshold_).astype(int)
    )


def test_pyod_frames_with_entities() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(TRAIN, columns=["a", "b", "c"]).assign(user=["x"] * 120 + ["y"] * 80)
    mixed = frame.sample(frac=1.0, random_state=0).sort_index(kind="stable")
    detector = KMeansDetector(window=4, n_clusters=3, random_state=0, entity="user")
    found = PyODDetector(detector).fit(mixed)
    unscored = np.flatnonzero(np.isnan(found.detector_.decision_scores_))
    assert unscored.tolist() == [0, 1, 2, 120, 121, 122]
    assert not found.labels_[unscored].any()


def test_pyod_runs_our_detector_inside_one_of_its_own() -> None:
    from pyod.models.ts_od import TimeSeriesOD

    outer = TimeSeriesOD(PyODDetector(ZScoreDetector()), window_size=3).fit(TRAIN)
    assert isinstance(outer.detector_, PyODDetector)
    assert int(outer.decision_function(TEST).argmax()) in {58, 59, 60}
