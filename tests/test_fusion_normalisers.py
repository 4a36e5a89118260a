"""Normalisers: fixed after training, never falling, never clipped, saved as they are."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidecell.detect.fusion import (
    MinMaxNormaliser,
    Normaliser,
    RankNormaliser,
    RobustNormaliser,
    ZNormaliser,
    as_normaliser,
    normaliser_from_state,
)

KINDS = ("minmax", "z", "robust", "rank")
each = pytest.mark.parametrize("kind", KINDS)
TRAINING = np.random.default_rng(3).gamma(2.0, size=3000)


def fitted(kind: str, training: Any = TRAINING) -> Normaliser:
    return as_normaliser(kind).fit(training)


@each
@settings(max_examples=60, deadline=None)
@given(
    training=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40),
    scores=st.lists(st.floats(-1e9, 1e9, width=32), min_size=2, max_size=40),
)
def test_normaliser_never_falls(kind: str, training: list[float], scores: list[float]) -> None:
    rising = np.sort(np.array(scores + training + [np.nextafter(max(training), np.inf)]))
    got = fitted(kind, training).apply(rising)
    assert np.isfinite(got).all()
    assert (np.diff(got) >= 0.0).all()


@each
def test_normaliser_keeps_order_beyond_the_training_scores(kind: str) -> None:
    spread = np.ptp(TRAINING)
    beyond = np.arange(0.0, 100.0) * spread
    above = fitted(kind).apply(TRAINING.max() + beyond)
    below = fitted(kind).apply(TRAINING.min() - beyond)
    assert (np.diff(above) > 1e-3).all()
    assert (np.diff(below) < -1e-3).all()
    if kind in ("minmax", "rank"):
        np.testing.assert_allclose([above[0], below[0]], [1.0, 0.0], atol=1e-15)


@each
def test_normaliser_nan_and_infinity(kind: str) -> None:
    got = fitted(kind).apply([np.nan, -np.inf, 1.0, np.inf])
    assert np.isnan(got[0])
    assert got[1] == -np.inf < got[2] < got[3] == np.inf


@each
def test_normaliser_is_causal_and_row_by_row(kind: str) -> None:
    scores = np.random.default_rng(1).normal(2, 9, 300)
    normaliser = fitted(kind)
    whole = normaliser.apply(scores)
    one_by_one = [normaliser.apply([score])[0] for score in scores]
    np.testing.assert_array_equal(whole, one_by_one)


@each
def test_normaliser_leaves_out_what_is_not_finite(kind: str) -> None:
    holes = np.concatenate([[np.nan, np.inf], TRAINING, [-np.inf]])
    assert fitted(kind, holes).state() == fitted(kind).state()


@each
@pytest.mark.parametrize("value", [0.0, -2.5, 1e300])
@pytest.mark.parametrize("n", [1, 7])
def test_normaliser_constant_training_scores(kind: str, value: float, n: int) -> None:
    normaliser = fitted(kind, np.full(n, value))
    middle = 0.5 if kind == "rank" else 0.0
    assert normaliser.apply([value]).tolist() == [middle]
    if abs(value) < 10:  # differences count as they are
        step = np.log1p(1.5) if kind == "rank" else 1.5
        got = normaliser.apply([value - 1.5, value + 1.5])
        np.testing.assert_allclose(got, [middle - step, middle + step], rtol=1e-15)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_normaliser_rounding_is_no_spread(kind: str) -> None:
    equal = np.array([0.1 + 0.2, 0.3, 0.3, 0.3])  # differ by one rounding
    np.testing.assert_allclose(fitted(kind, equal).apply([0.3, 1.3]), [0.0, 1.0], atol=1e-15)


@each
def test_normaliser_state_round_trip(kind: str) -> None:
    normaliser = fitted(kind)
    text = json.dumps(normaliser.state(), allow_nan=False)
    again = normaliser_from_state(json.loads(text))
    scores = np.linspace(-5.0, 50.0, 999)
    np.testing.assert_array_equal(again.apply(scores), normaliser.apply(scores))
    assert json.dumps(again.state(), allow_nan=False) == text
    assert len(text) < 60_000
    unfitted = normaliser_from_state(normaliser.fresh().state())
    with pytest.raises(ValueError, match=f"{type(normaliser).__name__}: call fit before"):
        unfitted.apply([1.0])


@each
def test_normaliser_does_not_depend_on_the_training_order(kind: str) -> None:
    got = fitted(kind, TRAINING[::-1]).apply([0.5, 3.0, 30.0])
    np.testing.assert_allclose(got, fitted(kind).apply([0.5, 3.0, 30.0]), rtol=1e-13)


def test_minmax_is_the_formula() -> None:
    low, high = TRAINING.min(), TRAINING.max()
    got = fitted("minmax").apply(TRAINING * 2)
    np.testing.assert_allclose(got, (TRAINING * 2 - low) / (high - low), rtol=1e-15, atol=1e-16)
    trimmed = MinMaxNormaliser(0.1).fit(TRAINING)
    np.testing.assert_allclose(
        trimmed.apply(np.quantile(TRAINING, [0.1, 0.9])), [0.0, 1.0], atol=1e-15
    )
    assert normaliser_from_state(trimmed.state()).state() == trimmed.state()


def test_z_is_the_formula() -> None:
    got = ZNormaliser().fit(TRAINING).apply(TRAINING)
    want = (TRAINING - TRAINING.mean()) / TRAINING.std()
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    tiny, huge = 1e-200 * TRAINING, 1e300 * TRAINING
    for scaled in (tiny, huge):
        np.testing.assert_allclose(ZNormaliser().fit(scaled).apply(scaled), want, atol=1e-12)


def test_robust_normaliser_is_moved_little_by_outliers() -> None:
    normal = np.random.default_rng(0).normal(5.0, 2.0, 20_000)
    clean = RobustNormaliser().fit(normal)
    np.testing.assert_allclose([clean.center, clean.scale], [5.0, 2.0], rtol=0.03)
    spoilt = RobustNormaliser().fit(np.append(normal, np.full(1000, 1e9)))
    np.testing.assert_allclose([spoilt.center, spoilt.scale], [5.0, 2.0], rtol=0.15)
    assert MinMaxNormaliser().fit(np.append(normal, 1e9)).scale > 9e8


def test_robust_normaliser_of_mostly_equal_scores() -> None:
    normaliser = RobustNormaliser().fit([1.0] * 9 + [2.0])
    assert normaliser.center == 1.0
    np.testing.assert_allclose(normaliser.scale, 0.1 * np.sqrt(np.pi / 2), rtol=1e-12)


def test_rank_is_the_mean_rank() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    training = np.random.default_rng(2).integers(0, 40, 500).astype(float)
    got = RankNormaliser().fit(training).apply(training)
    want = (scipy_stats.rankdata(training) - 1.0) / (len(training) - 1)
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-16)


def test_rank_of_many_scores_keeps_the_upper_ones_exactly() -> None:
    training = np.random.default_rng(2).lognormal(0, 2, 50_000)
    normaliser = RankNormaliser().fit(training)
    training.sort()
    want = np.arange(50_000) / 49_999
    got = normaliser.apply(training)
    np.testing.assert_allclose(got[-500:], want[-500:], rtol=1e-14)
    np.testing.assert_allclose(got, want, atol=0.001)  # within half of the 1/512 between knots


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: MinMaxNormaliser(0.5), "trim: expected 0 <= trim < 0.5, got 0.5"),
        (lambda: as_normaliser("softmax"), "normaliser: expected 'minmax', 'z', 'robust', 'rank'"),
        (lambda: as_normaliser(None), "or a Normaliser, got None"),  # type: ignore[arg-type]
        (lambda: fitted("z", []), "training_scores: expected at least 1 finite, got 0 of 0"),
        (lambda: fitted("z", [np.nan, np.inf]), "expected at least 1 finite, got 0 of 2"),
        (lambda: fitted("z", [[1.0]]), r"training_scores: expected \[S\], got \[1, 1\]"),
        (lambda: fitted("minmax", [-1e308, 1e308]), "expected a range that float64 holds"),
        (lambda: fitted("minmax").apply([[1.0]]), r"scores: expected \[S\], got \[1, 1\]"),
        (lambda: normaliser_from_state([]), "normaliser: expected an object, got list"),
        (lambda: normaliser_from_state({"kind": 3}), "normaliser: expected a kind of 'minmax'"),
        (lambda: normaliser_from_state({"kind": "minmax"}), "missing key 'trim'"),
        (lambda: normaliser_from_state({"kind": "z", "center": 0.0}), "missing key 'scale'"),
        (
            lambda: normaliser_from_state({"kind": "z", "center": 0.0, "scale": -1.0}),
            "'scale': expected a number above 0",
        ),
        (
            lambda: normaliser_from_state(
                {"kind": "rank", "scores": [2.0, 1.0], "ranks": [0.0, 1.0], "spread": 1.0}
            ),
            "both rising",
        ),
        (
            lambda: normaliser_from_state(
                {"kind": "rank", "scores": [1.0], "ranks": [], "spread": 1.0}
            ),
            "as many 'scores' as 'ranks'",
        ),
    ],
)
def test_normaliser_errors(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        call()


def test_normaliser_settings_are_kept_by_fresh() -> None:
    again = as_normaliser(MinMaxNormaliser(0.2).fit(TRAINING))
    assert again.state() == {"kind": "minmax", "trim": 0.2}
