"""Thresholds: batch equals stream, states go on, and answers equal their references."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slidecell.thresholds import (
    BestFThreshold,
    ContaminationThreshold,
    CusumThreshold,
    DynamicThreshold,
    FixedThreshold,
    PercentileThreshold,
    RollingQuantileThreshold,
    SpotThreshold,
    Threshold,
    threshold_from_state,
)

GOLDEN = Path(__file__).parent / "golden" / "spot.npz"
TRAINING = np.random.default_rng(5).gamma(2.0, size=1500)

RULES: dict[str, Callable[[], Threshold]] = {
    "fixed": lambda: FixedThreshold(4.0),
    "percentile": lambda: PercentileThreshold(97.0).fit(TRAINING),
    "contamination": lambda: ContaminationThreshold(0.05).fit(TRAINING),
    "best_f": lambda: BestFThreshold(2.0).fit(TRAINING, TRAINING > 3.5),
    "cusum": lambda: CusumThreshold(0.5, 6.0).fit(TRAINING),
    "cusum_first": lambda: CusumThreshold(0.3, 2.0, first=20, restart=True),
    "cusum_decay": lambda: CusumThreshold(0.1, 3.0, decay=0.05, two_sided=False).fit(TRAINING),
    "dynamic": lambda: DynamicThreshold(10, 60, buffer=4, min_scores=40),
    "rolling": lambda: RollingQuantileThreshold(0.97, 50),
    "rolling_early": lambda: RollingQuantileThreshold(0.9, 31, min_scores=3),
    "rolling_long": lambda: RollingQuantileThreshold(0.99, 300, min_scores=100),
    "spot": lambda: SpotThreshold(1e-2, level=0.9, max_excess=20).fit(TRAINING),
    "dspot": lambda: SpotThreshold(1e-2, level=0.9, max_excess=50, depth=10).fit(TRAINING),
}


@pytest.fixture(params=RULES)
def rule(request: pytest.FixtureRequest) -> Threshold:
    if "spot" in request.param:
        pytest.importorskip("libspot")
    return RULES[request.param]()


def scores_with_holes(n: int = 900) -> np.ndarray:
    rng = np.random.default_rng(6)
    scores = rng.gamma(2.0, size=n)
    scores[n // 2 : n // 2 + 20] += 5.0
    scores[rng.random(n) < 0.05] = np.nan
    scores[n // 3] = np.inf
    scores[n // 3 + 5] = -np.inf
    return scores


def test_threshold_of_a_batch_equals_the_stream(rule: Threshold) -> None:
    scores = scores_with_holes()
    offsets = [0, 0, 2, 400, 899, 900]
    want = []
    for a, b in itertools.pairwise(offsets):
        entity = rule.fresh()
        want += [entity.update(score) for score in scores[a:b]]
    got = rule.apply(scores, offsets)
    assert got.dtype == np.bool_
    np.testing.assert_array_equal(got, want)
    assert 0 < got.sum() < 450


def test_threshold_is_what_the_next_score_is_compared_with(rule: Threshold) -> None:
    for score in scores_with_holes():
        limit = rule.threshold
        alarm = rule.update(score)
        if np.isnan(score) or np.isnan(limit):
            assert not alarm
        elif not isinstance(rule, CusumThreshold):
            assert alarm == (score > limit)
        elif abs(score - limit) > 1e-9:  # it is compared as a sum of z
            assert alarm or not score > limit


def test_threshold_continues_from_its_state(rule: Threshold) -> None:
    scores = scores_with_holes()
    want = rule.apply(scores)
    for stop in (0, 1, 100, 450):
        first = rule.fresh()
        got = [first.update(score) for score in scores[:stop]]
        text = json.dumps(first.state(), allow_nan=False)
        for again in (threshold_from_state(json.loads(text)), rule.fresh()):
            again.load_state(json.loads(text))
            assert json.dumps(again.state(), allow_nan=False) == text
            rest = [again.update(score) for score in scores[stop:]]
            np.testing.assert_array_equal(got + rest, want)
            again.reset()
            np.testing.assert_array_equal([again.update(score) for score in scores], want)


def test_threshold_nan_changes_nothing(rule: Threshold) -> None:
    for score in scores_with_holes(200):
        rule.update(score)
    before = rule.state()
    assert rule.update(np.nan) is False
    rule.update(np.inf)
    assert rule.state() == before
    rule.apply([1.0, 2.0])
    assert rule.state() == before


def test_threshold_float32_scores_are_judged_in_float64(rule: Threshold) -> None:
    scores = scores_with_holes(300).astype(np.float32)
    np.testing.assert_array_equal(rule.apply(scores), [rule.update(float(s)) for s in scores])


def test_threshold_state_of_another_is_refused(rule: Threshold) -> None:
    state = rule.state()
    with pytest.raises(ValueError, match="'kind': expected"):
        rule.load_state({**state, "kind": "other"})
    for key in rule._settings():
        with pytest.raises(ValueError, match=f"'{key}': expected .* as in this threshold"):
            rule.load_state({**state, key: 0.123})
    if "running" in state:
        with pytest.raises(ValueError, match=r"running|state"):
            rule.load_state({**state, "running": 5})
    assert rule.state() == state


@pytest.mark.parametrize(
    "make",
    [PercentileThreshold, ContaminationThreshold, BestFThreshold, CusumThreshold, SpotThreshold],
)
def test_threshold_before_fit(make: Callable[[], Threshold]) -> None:
    made = make()
    for use in (
        lambda: made.update(1.0),
        lambda: made.apply([1.0]),
        lambda: made.threshold,
    ):
        with pytest.raises(ValueError, match=f"{type(made).__name__}: call fit before it is used"):
            use()
    assert threshold_from_state(made.state()).state() == made.state()


@pytest.mark.parametrize(
    "make", [PercentileThreshold, ContaminationThreshold, CusumThreshold, SpotThreshold]
)
def test_threshold_training_scores(make: Callable[[], Threshold]) -> None:
    if make is SpotThreshold:
        pytest.importorskip("libspot")
    with pytest.raises(ValueError, match=r"training_scores: expected .* finite, got 0 of 3"):
        make().fit([np.nan, np.inf, -np.inf])
    with pytest.raises(ValueError, match=r"training_scores: expected \[S\], got \[1, 2\]"):
        make().fit([[1.0, 2.0]])
    with pytest.raises(TypeError, match="training_scores: expected real numbers"):
        make().fit(["a"])
    holes = np.insert(TRAINING, [3, 700], [np.nan, np.inf])
    assert make().fit(holes).threshold == make().fit(TRAINING).threshold


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: FixedThreshold(np.nan), "value: expected a finite number"),
        (lambda: PercentileThreshold(101), "percentile: expected 0 to 100"),
        (lambda: ContaminationThreshold(0), "contamination: expected a share"),
        (lambda: BestFThreshold(0), "beta: expected a number above 0"),
        (lambda: CusumThreshold(-1), "k, h: expected k >= 0 and h > 0"),
        (lambda: CusumThreshold(1, 0), "k, h: expected k >= 0 and h > 0"),
        (lambda: CusumThreshold(first=1), "first: expected at least 2"),
        (lambda: CusumThreshold(decay=1.0), "decay: expected 0 < decay < 1"),
        (lambda: RollingQuantileThreshold(1.5), "quantile: expected 0 to 1"),
        (lambda: RollingQuantileThreshold(0.5, 0), "window: expected a whole number >= 1"),
        (lambda: RollingQuantileThreshold(0.5, 3, min_scores=4), "min_scores: expected 1 to 3"),
        (lambda: SpotThreshold(0.1), r"q: expected 0 < q < 0.02 \(1 - level\)"),
        (lambda: SpotThreshold(level=1.0), "level: expected 0 < level < 1"),
        (lambda: SpotThreshold(max_excess=1), "max_excess: expected at least 2"),
        (lambda: SpotThreshold(depth=1.5), "depth: expected a whole number"),
    ],
)
def test_threshold_settings(make: Callable[[], Threshold], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("percentile", [0, 50, 95, 100])
def test_percentile_is_numpys(percentile: float) -> None:
    rule = PercentileThreshold(percentile).fit(TRAINING)
    assert rule.threshold == np.percentile(TRAINING, percentile)
    assert rule.state() == {
        "kind": "percentile",
        "percentile": percentile,
        "value": rule.threshold,
    }


def test_contamination_share() -> None:
    alarms = ContaminationThreshold(0.1).fit(TRAINING).apply(TRAINING)
    assert alarms.sum() == 150


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("decimals", [1, 12])
def test_best_f_is_the_best_of_the_curve(beta: float, decimals: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(7)
    labels = (rng.random(300) < 0.1).astype(int)
    scores = np.round(rng.random(300) + 0.5 * labels, decimals)  # with one decimal: ties
    precision, recall, _ = metrics.precision_recall_curve(labels, scores)
    bottom = np.maximum(beta**2 * precision + recall, 1e-300)
    best = ((1 + beta**2) * precision * recall / bottom).max()
    rule = BestFThreshold(beta).fit(scores, labels)
    found = metrics.fbeta_score(labels, rule.apply(scores), beta=beta)
    assert found == pytest.approx(best, rel=1e-12)


def test_best_f_edges() -> None:
    # The best cut may be below all scores, or between neighbours in float64.
    rule = BestFThreshold().fit([1.0, 2.0, 3.0], [1, 0, 1])
    assert rule.apply([1.0, 2.0, 3.0]).all()
    above = np.nextafter(1.0, 2.0)
    rule = BestFThreshold().fit([1.0, above, np.nan], [0, 1, 1])
    assert rule.apply([1.0, above]).tolist() == [False, True]
    for labels, text in (
        (None, "labels: expected one per score"),
        ([0, 1], r"labels: expected \[3\]"),
        ([0, 2, 1], "labels: expected 0 or 1"),
        ([0, 0, 0], "both classes among finite scores, got 0 anomalies of 3"),
    ):
        with pytest.raises(ValueError, match=text):
            BestFThreshold().fit([1.0, 2.0, 3.0], labels)


@pytest.mark.parametrize("two_sided", [True, False])
def test_cusum_is_pages_recursion(two_sided: bool) -> None:
    rng = np.random.default_rng(8)
    training, scores = rng.normal(3, 2, 500), rng.normal(3, 2, 300)
    scores[100:140] += 3
    scores[200:240] -= 3
    rule = CusumThreshold(0.5, 4.0, two_sided=two_sided).fit(training)
    up = down = 0.0
    for score in scores:
        z = (score - training.mean()) / training.std()
        up, down = max(0.0, up + z - 0.5), max(0.0, down - z - 0.5)
        assert rule.update(score) == (up > 4.0 or (two_sided and down > 4.0))
        assert rule.sums == pytest.approx((up, down if two_sided else 0.0), abs=1e-12)


def test_cusum_baselines() -> None:
    rng = np.random.default_rng(9)
    scores = rng.normal(0, 1, 400)
    first = CusumThreshold(first=100)
    assert np.isnan(first.threshold)
    fitted = CusumThreshold().fit(scores[:100])
    alarms = first.apply(scores)
    assert not alarms[:100].any()
    np.testing.assert_array_equal(alarms[100:], fitted.apply(scores[100:]))
    # Equal scores have no spread: the baseline waits for another one.
    rule = CusumThreshold(first=3)
    assert not any(rule.update(score) for score in [2.0] * 10 + [3.0])
    assert np.isfinite(rule.threshold)
    # A lasting shift becomes normal where the baseline follows, and only there.
    shifted = np.concatenate([scores, scores + 8.0])
    assert fitted.apply(shifted)[-50:].all()
    assert not CusumThreshold(decay=0.02, restart=True).fit(scores).apply(shifted)[-50:].any()
    # Even when the variance underflows.
    rule = CusumThreshold(decay=0.5).fit([0.0, 1.0])
    assert not any(rule.update(0.5) for _ in range(3000))
    with pytest.raises(ValueError, match=r"scores that differ, got 3 times 0\.1"):
        CusumThreshold().fit([0.1, 0.1, 0.1])


@pytest.mark.parametrize("window", [1, 2, 10, 128, 129])
@pytest.mark.parametrize("quantile", [0.0, 0.3, 0.5, 0.97, 1.0])
def test_rolling_quantile_is_numpys(window: int, quantile: float) -> None:
    scores = np.round(np.random.default_rng(10).random(200), 2)
    rule = RollingQuantileThreshold(quantile, window, min_scores=1)
    for n, score in enumerate(scores):
        past = scores[max(0, n - window) : n]
        if n:
            assert rule.threshold == np.quantile(past, quantile)
        rule.update(score)


@pytest.mark.parametrize("case", range(4))
def test_spot_is_libspots(case: int) -> None:
    pytest.importorskip("libspot")
    with np.load(GOLDEN) as golden:
        known = {k: golden[f"spot{case}/{k}"] for k in ("x", "first_threshold", "threshold")}
        settings = {k: golden[f"spot{case}/{k}"].item() for k in ("q", "level", "max_excess")}
        anomalies = golden[f"spot{case}/flag"] == 2
    rule = SpotThreshold(**settings).fit(known["x"][:2000])
    assert rule.threshold == pytest.approx(known["first_threshold"].item(), rel=1e-12)
    alarms, thresholds = [], []
    for score in known["x"][2000:].tolist():
        alarms.append(rule.update(score))
        thresholds.append(rule.threshold)
    np.testing.assert_array_equal(alarms, anomalies)
    np.testing.assert_allclose(thresholds, known["threshold"], rtol=1e-12)


def test_spot_continues_as_libspot_after_any_stop() -> None:
    """Its ring goes round many times; the state stays small."""
    libspot = pytest.importorskip("libspot")
    scores = np.random.default_rng(11).exponential(size=20000)
    scores[5000::1000] *= 4
    spot = libspot.Spot(q=1e-3, level=0.9, max_excess=30)
    spot.fit(scores[:1000])
    rule = SpotThreshold(1e-3, level=0.9, max_excess=30).fit(scores[:1000])
    for n, score in enumerate(scores[1000:].tolist()):
        assert rule.update(score) == (spot.step(score) == libspot.ANOMALY)
        assert rule.threshold == spot.anomaly_threshold
        if n % 487 == 0:
            rule = threshold_from_state(json.loads(json.dumps(rule.state())))
            assert isinstance(rule, SpotThreshold)
            assert len(rule.state()["running"]["tail"]) < 10 * 30


def test_dspot_follows_a_drift() -> None:
    pytest.importorskip("libspot")
    rng = np.random.default_rng(12)
    scores = rng.normal(0, 1, 4000) + np.linspace(0, 40, 4000)
    scores[3000] += 12
    plain = SpotThreshold(1e-3).fit(scores[:1000])
    drifting = SpotThreshold(1e-3, depth=20).fit(scores[:1000])
    assert plain.apply(scores[1000:]).sum() > 100
    found = np.flatnonzero(drifting.apply(scores[1000:]))
    assert 2000 in found
    assert len(found) < 15


def test_spot_without_a_tail() -> None:
    pytest.importorskip("libspot")
    for training in ([1.0] * 100, [0.0, 1.0, 2.0, 3.0, 4.0][:4], np.zeros(1000)):
        with pytest.raises(ValueError, match="training_scores: expected"):
            SpotThreshold().fit(training)


def test_spot_without_libspot_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libspot", None)
    with pytest.raises(ImportError, match=r"libspot is not installed: pip install 'slidecell\[de"):
        SpotThreshold().fit(TRAINING)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ([], "threshold: expected an object, got list"),
        ({}, "threshold: expected a kind of 'best_f', "),
        ({"kind": "fixed"}, "threshold: fixed: .*value"),
        ({"kind": "percentile", "percentile": 95.0, "value": None}, "'value': expected a finite"),
        ({"kind": "percentile", "percentile": "many"}, "threshold: percentile: "),
        ({"kind": "cusum", "mean": 0.0, "sd": 0.0}, "'sd': expected a number above 0"),
        ({"kind": "spot", "excess_threshold": 1.0, "fitted": {}}, "missing key 'tail'"),
    ],
)
def test_damaged_threshold_is_refused(state: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        threshold_from_state(state)


def test_metadata_of_a_model_is_a_state() -> None:
    kept = {"kind": "percentile", "percentile": 99.0, "value": 0.5}
    assert threshold_from_state(kept).state() == kept
    assert threshold_from_state({"kind": "cusum", "first": 5}).state()["h"] == 5.0


def test_thresholds_import_numpy_only() -> None:
    code = (
        "import sys, slidecell.thresholds, slidecell.thresholds.smoothing\n"
        "heavy = {'torch', 'sklearn', 'pandas', 'matplotlib', 'libspot'} & set(sys.modules)\n"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_state_with_a_number_beyond_float64_is_refused() -> None:
    with pytest.raises(ValueError, match="state: 'value': expected a finite number, got 1000"):
        threshold_from_state({"kind": "percentile", "percentile": 95.0, "value": 10**400})
