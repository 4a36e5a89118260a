"""Attribution: parts that add up to the score, for chosen rows alone, to the bit."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.ensemble import IsolationForest

import slidecell as sc
from slidecell.detect import (
    Detector,
    PCADetector,
    RollingVarianceDetector,
    SklearnDetector,
    ZScoreDetector,
)
from slidecell.detect.attribution import feature_attribution, feature_baseline, member_attribution
from slidecell.detect.ensemble import Ensemble
from slidecell.detect.principal import contributions
from slidecell.jobs.events import event_shares
from slidecell.jobs.results import Result, default_event_gap
from slidecell.tables.rows import Rows
from tests.detectors import FLAT, NETWORKS, make
from tests.models import layer, random_model

W = 6
F = 4
OFFSETS = [0, 45, 45, 150, 300]
ROWS = [299, 3, 200, 200, 151, 45, 154, 50]

DETECTORS: dict[str, Callable[[], Detector]] = {
    "z": ZScoreDetector,
    "pca": lambda: PCADetector(n_components=2),
    "burst": lambda: RollingVarianceDetector(window=W),
    "filled": lambda: RollingVarianceDetector(window=W, missing="ffill"),
}
MODELS = {
    "forecast": {"encoder": [layer("lstm", 8)], "window": 5, "horizon": 2},
    "targets": {"encoder": [layer("gru", 8)], "window": 5, "targets": [2, 0]},
    "autoencoder": {"encoder": [layer("lstm", 8)], "decoder": [layer("lstm", 4)], "window": 5},
}
each_detector = pytest.mark.parametrize("name", DETECTORS)
each_model = pytest.mark.parametrize("name", MODELS)


def series(*, holes: bool = False) -> np.ndarray:
    rng = np.random.default_rng(0)
    X = np.sin(np.arange(300) / 9)[:, None] + rng.normal(0, 0.2, (300, F))
    X[200, 1] += 4.0
    if holes:
        X[[60, 61, 250], [0, 2, 3]] = np.nan
    return X


def model(name: str) -> sc.SequenceModel:
    rng = np.random.default_rng(1)
    return sc.SequenceModel(*random_model(rng, features=F, **MODELS[name]))


def ensemble(**options: Any) -> Ensemble:
    members = [
        ("z", ZScoreDetector()),
        ("forest", SklearnDetector(IsolationForest(n_estimators=10, random_state=0))),
        ("burst", RollingVarianceDetector(window=W)),
    ]
    return Ensemble(members, **options)


@pytest.mark.parametrize("normaliser", ["minmax", "robust", "rank"])
@pytest.mark.parametrize("weights", [None, [0.7, 0.0, 0.3]])
def test_member_parts_add_up_to_the_fused_score(normaliser: str, weights: Any) -> None:
    X = series(holes=True)
    fitted = ensemble(normaliser=normaliser, weights=weights).fit(X[:150])
    scores = fitted.score_samples(X, offsets=OFFSETS)
    baseline = np.nanmean(fitted.decision_scores_)
    for rows in (None, ROWS):
        parts = member_attribution(fitted, X, rows, OFFSETS)
        want = scores if rows is None else scores[rows]
        np.testing.assert_allclose(parts.sum(axis=1), want - baseline, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(np.isnan(parts).all(axis=1), np.isnan(want))
    members = fitted.member_scores(X, offsets=OFFSETS)
    want_parts = fitted.weights_ * (members - fitted.baselines_)
    finite = np.isfinite(want_parts).all(axis=1)
    got = fitted.attribution(X, offsets=OFFSETS)
    np.testing.assert_allclose(got[finite], want_parts[finite], rtol=1e-14)
    if weights is not None:
        assert (got[np.isfinite(scores), 1] == 0.0).all()


def test_member_parts_of_chosen_rows_are_those_of_all() -> None:
    X = series(holes=True)
    fitted = ensemble().fit(X[:150])
    everything = member_attribution(fitted, X, None, OFFSETS)
    np.testing.assert_array_equal(member_attribution(fitted, X, ROWS, OFFSETS), everything[ROWS])
    np.testing.assert_array_equal(member_attribution(fitted, X, [0], OFFSETS), everything[[0]])
    assert member_attribution(fitted, X, [], OFFSETS).shape == (0, 3)


def test_member_attribution_scores_only_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    X = series()
    fitted = ensemble().fit(X)
    seen: list[int] = []
    for kind in (ZScoreDetector, SklearnDetector, RollingVarianceDetector):
        plain = kind._score
        monkeypatch.setattr(
            kind,
            "_score",
            lambda self, rows, plain=plain: seen.append(len(rows)) or plain(self, rows),
        )
    member_attribution(fitted, X, [100, 200])
    assert seen == [2, 2, 2 * W]


def test_member_attribution_after_tuning() -> None:
    X = series()
    y = np.zeros(300, int)
    y[200:206] = 1
    fitted = ensemble().fit(X).tune(X, y)
    parts = member_attribution(fitted, X)
    baseline = np.nanmean(fitted.decision_scores_)
    scored = np.isfinite(fitted.decision_scores_)
    np.testing.assert_allclose(
        parts.sum(axis=1)[scored], fitted.decision_scores_[scored] - baseline, rtol=0, atol=1e-12
    )


def test_member_attribution_of_nested_ensembles_and_unbounded_windows() -> None:
    class Total(ZScoreDetector):
        """Depends on all rows before, which nobody can know."""

        def _score(self, rows: Any) -> Any:
            return np.cumsum(super()._score(rows))

    X = series()
    inner = Ensemble([("burst", RollingVarianceDetector(W)), ("z", ZScoreDetector())])
    filled = Ensemble([("filled", RollingVarianceDetector(W, missing="ffill"))])
    outer = Ensemble([("inner", inner), ("total", Total()), ("filled", filled)]).fit(X)
    X[198] = np.nan
    everything = member_attribution(outer, X)
    np.testing.assert_array_equal(member_attribution(outer, X, [150, 299]), everything[[150, 299]])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_attribution_of_a_shuffled_frame(library: str) -> None:
    frames = pytest.importorskip(library)
    X = series()
    order = np.random.default_rng(1).permutation(300)
    frame = frames.DataFrame(
        {"when": np.arange(300)[order], **{f"x{c}": X[order, c] for c in range(F)}}
    )
    fitted = ensemble(time="when").fit(frame)
    plain = ensemble().fit(X)
    rows = [0, 77, 299]
    np.testing.assert_allclose(  # the baselines are sums in input order
        member_attribution(fitted, frame, rows),
        member_attribution(plain, X, order[rows]),
        rtol=0,
        atol=1e-15,
    )


@each_detector
def test_feature_parts_add_up_to_the_score(name: str) -> None:
    X = series(holes=True)
    detector = DETECTORS[name]().fit(X[:150])
    scores = detector.score_samples(X, offsets=OFFSETS)
    for rows in (np.arange(300), ROWS):
        parts = feature_attribution(detector, X, rows, OFFSETS)
        assert parts.shape == (len(rows), F)
        want = scores[rows]
        np.testing.assert_allclose(parts.sum(axis=1), want, rtol=1e-12, atol=1e-12)
        assert (parts[np.isfinite(want)] >= 0.0).all()
        np.testing.assert_array_equal(np.isnan(parts).all(axis=1), np.isnan(want))
    assert feature_attribution(detector, X, [200], OFFSETS).argmax() == 1


def test_contributions_are_what_the_best_value_of_one_column_takes_from_the_error() -> None:
    """Against a search over the column's value, also where training rows do not vary at all."""
    rng = np.random.default_rng(3)
    varying = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 4)) + rng.normal(0, 0.1, (60, 4))
    X = np.column_stack([varying, varying[:, 0] + varying[:, 1], np.full(60, 2.0)])
    for columns in (slice(0, 4), slice(0, 6)):
        detector = PCADetector(n_components=2, contamination=0.05, scaler=None).fit(X[:, columns])
        assert (detector._fixed is None) == (columns.stop == 4)
        row = X[7, columns] + rng.normal(size=columns.stop)
        found = contributions(row[None], detector.mean_, detector.components_, detector._fixed)[0]
        base = detector.score_samples(row[None])[0]
        for f in range(columns.stop):
            # The score is a parabola in a column's value: three of its points tell its minimum.
            moved = np.tile(row, (3, 1))
            moved[:, f] += [-1.0, 0.0, 1.0]
            low, middle, high = detector.score_samples(moved) * columns.stop
            bend = (low + high) / 2 - middle
            fall = ((high - low) / 2) ** 2 / (4 * bend)
            assert found[f] == pytest.approx(fall, rel=1e-4, abs=1e-9 * base)


@each_model
def test_feature_parts_of_a_model(name: str) -> None:
    X = series(holes=True)
    compiled = model(name)
    scores = compiled.score(X, OFFSETS).astype(np.float64)
    errors = compiled.score(X, OFFSETS, per_feature=True).astype(np.float64)
    parts = feature_attribution(compiled, X, None, OFFSETS)
    np.testing.assert_allclose(parts.sum(axis=1), scores, rtol=1e-12)
    targets = compiled.metadata["targets"] or list(range(F))
    want = errors / len(targets)  # the mean's terms; float32 scores carry float32's rounding
    np.testing.assert_allclose(parts[:, targets], want, rtol=1e-5)
    rest = [f for f in range(F) if f not in targets]
    assert (parts[np.isfinite(scores)][:, rest] == 0.0).all()


@each_model
def test_feature_parts_of_chosen_rows_are_those_of_all(name: str) -> None:
    X = series(holes=True)
    compiled = model(name)
    everything = feature_attribution(compiled, X, None, OFFSETS)
    got = feature_attribution(compiled, X, ROWS, OFFSETS)
    np.testing.assert_array_equal(got, everything[ROWS])
    assert np.isfinite(got).any()
    # Before any window: NaN, as scores are.
    assert np.isnan(feature_attribution(compiled, X, [0], OFFSETS)).all()


@each_model
def test_windows_alone_score_the_same_bits(name: str, isa: str) -> None:
    """The short series that attribution builds has the very errors of the whole one."""
    del isa
    X = series()
    compiled = model(name)
    length = compiled.window + compiled.horizon
    whole = compiled.score(X, per_feature=True)
    rows = np.array([17, 40, 299])
    short = np.concatenate([X[row - length + 1 : row + 1] for row in rows])
    alone = compiled.score(short, np.arange(4) * length, per_feature=True)
    np.testing.assert_array_equal(alone[length - 1 :: length], whole[rows])


@each_detector
def test_feature_parts_of_chosen_rows_of_a_detector(name: str) -> None:
    X = series(holes=True)
    detector = DETECTORS[name]().fit(X[:150])
    everything = feature_attribution(detector, X, None, OFFSETS)
    np.testing.assert_array_equal(feature_attribution(detector, X, ROWS, OFFSETS), everything[ROWS])


@each_detector
def test_feature_baseline_is_the_mean_training_part(name: str) -> None:
    X = series(holes=True)
    detector = DETECTORS[name]().fit(X)
    usual = feature_baseline(detector, X)
    np.testing.assert_allclose(usual.sum(), np.nanmean(detector.decision_scores_), rtol=1e-12)
    parts = feature_attribution(detector, X, ROWS, baseline=usual)
    np.testing.assert_allclose(parts, feature_attribution(detector, X, ROWS) - usual, rtol=1e-15)


def test_feature_parts_of_an_ensemble() -> None:
    X = series(holes=True)
    fitted = ensemble(weights=[0.7, 0.0, 0.3]).fit(X[:150])
    X[260:280] = X[260]  # no variance: the member's part is shared out nevertheless
    scores = fitted.score_samples(X, offsets=OFFSETS)
    everything = feature_attribution(fitted, X, None, OFFSETS)
    want = scores - np.nanmean(fitted.decision_scores_)
    np.testing.assert_allclose(everything.sum(axis=1), want, rtol=0, atol=1e-12)
    got = feature_attribution(fitted, X, ROWS, OFFSETS)
    np.testing.assert_array_equal(got, everything[ROWS])
    assert everything[200].argmax() == 1


def factors(rows: int, columns: int = 5) -> np.ndarray:
    """Columns that two slow waves drive, each in its own way, with a little noise."""
    rng = np.random.default_rng(4)
    time = np.arange(rows)
    waves = np.stack([np.sin(time / 7), np.cos(time / 11)], axis=1)
    return waves @ rng.normal(size=(2, columns)) + rng.normal(0, 0.1, (rows, columns))


PLANTED = [
    *NETWORKS,
    *FLAT,
    *(f"{kind} cover" for kind in FLAT),
    "rolling_variance",
    "zscore",
    "pca",
]


@pytest.mark.parametrize("kind", [*PLANTED, "ensemble"])
def test_the_column_with_a_planted_anomaly_has_the_largest_share_of_its_event(kind: str) -> None:
    name, _, align = kind.partition(" ")
    if name in (*NETWORKS, "ensemble"):
        pytest.importorskip("torch")
    X, columns, training = factors(700), 5, 400
    for column in range(columns):
        X[430 + 50 * column : 433 + 50 * column, column] += 5.0
    options: dict[str, Any] = {"contamination": 0.005}
    if name in NETWORKS:
        sizes = (
            {"hidden_size": 8}
            if name == "forecast"
            else {"encoder_sizes": (8,), "decoder_sizes": (8,)}
        )
        options |= {"epochs": 15, "lr": 0.02, **sizes}
    if align:
        options["align"] = align
    if name == "ensemble":
        members = [("level", ZScoreDetector()), ("lags", make("ridge")), ("near", make("kmeans"))]
        detector: Detector = Ensemble(members, **options)
    else:
        detector = make(name, **options)
    detector.fit(X[:training])
    part = np.where(np.arange(len(X)) < training, "train", "test")
    rows = Rows(X, np.array([0, len(X)]))
    gap = default_event_gap(detector)
    result = Result(rows, part, detector.score_rows(rows), detector, {}, event_gap=gap)
    for column in range(columns):
        first = 430 + 50 * column
        own = [e for e in result.events if e.start <= first + 2 and e.end >= first]
        assert own, f"the anomaly of column {column} is no event"
        shares = event_shares(result, own[:1])
        assert shares is not None
        assert (shares >= 0.0).all()
        assert shares.sum() == pytest.approx(1.0)
        assert shares[0].argmax() == column
        assert shares[0, column] > 1.5 / columns


def test_shares_of_a_maximum_are_shapley_values() -> None:
    """All orders in which features can come, and what each adds to the maximum."""
    X = series()
    detector = ZScoreDetector().fit(X)
    errors = detector.feature_scores(X)[200]
    values = np.zeros(F)
    for order in itertools.permutations(range(F)):
        best = 0.0
        for f in order:
            values[f] += max(errors[f] - best, 0.0) / math.factorial(F)
            best = max(best, errors[f])
    np.testing.assert_allclose(feature_attribution(detector, X, [200])[0], values, rtol=1e-12)


def test_parts_of_no_error_are_zero() -> None:
    X = np.tile([[1.0, 2.0], [3.0, 4.0]], (10, 1))
    detector = ZScoreDetector().fit(X)
    parts = feature_attribution(detector, [[2.0, 3.0]])
    assert parts.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda e, z, X: feature_attribution(e, X, [1]),
            "member 'forest': detector: SklearnDetector has no score per feature",
        ),
        (lambda e, z, X: feature_attribution(z, X, [300]), "rows: expected 0 to 299.*got 300"),
        (lambda e, z, X: feature_attribution(z, X, [-1]), "rows: expected 0 to 299.*got -1"),
        (lambda e, z, X: member_attribution(e, X, [0.5]), r"rows: expected \[n\] integers"),
        (lambda e, z, X: member_attribution(e, X, 5), r"rows: expected \[n\] integers, got \[\]"),
        (
            lambda e, z, X: feature_attribution(z, X, [1], baseline=[1.0]),
            r"baseline: expected \[4\], got \[1\]",
        ),
        (lambda e, z, X: feature_attribution(z, X[:, :2], [1]), r"X: expected \[S, 4\]"),
        (
            lambda e, z, X: feature_baseline(z, np.full((3, 4), np.nan)),
            "X: expected at least one row with a score, got none of 3",
        ),
        (lambda e, z, X: feature_attribution(ZScoreDetector(), X, [1]), "not fitted"),
    ],
)
def test_attribution_errors(call: Any, text: str) -> None:
    X = series()
    with pytest.raises(ValueError, match=text):
        call(ensemble().fit(X), ZScoreDetector().fit(X), X)
