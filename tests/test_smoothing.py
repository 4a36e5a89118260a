"""Smoothing: the same bits in a batch and one score at a time, never across entities."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from slidecell.thresholds.smoothing import (
    EWMA,
    MovingAverage,
    Smoothing,
    TrailingMean,
    smoothing_from_state,
)

SMOOTHINGS: list[Smoothing] = [
    MovingAverage(1),
    MovingAverage(2),
    MovingAverage(7),
    MovingAverage(1000),
    TrailingMean(1),
    TrailingMean(2),
    TrailingMean(7),
    TrailingMean(1000),
    EWMA(1.0),
    EWMA(0.3),
    EWMA(1e-3),
]
IDS = [f"{s.kind}-{next(iter(s._settings().values()))}" for s in SMOOTHINGS]
each = pytest.mark.parametrize("smoothing", SMOOTHINGS, ids=IDS)


def scores_with_holes(n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    scores = rng.lognormal(0, 3, n)
    scores[rng.random(n) < 0.1] = np.nan
    scores[n // 2] = np.inf
    return scores


def one_by_one(smoothing: Smoothing, scores: np.ndarray) -> np.ndarray:
    return np.array([smoothing.update(score) for score in scores])


@each
def test_smoothing_of_a_batch_equals_the_stream(smoothing: Smoothing) -> None:
    scores = scores_with_holes(500)
    offsets = [0, 0, 3, 200, 499, 500]
    want = np.concatenate(
        [one_by_one(smoothing.fresh(), scores[a:b]) for a, b in itertools.pairwise(offsets)]
    )
    np.testing.assert_array_equal(smoothing.apply(scores, offsets), want)
    np.testing.assert_array_equal(np.isfinite(want), np.isfinite(scores))


@each
def test_smoothing_float32_scores(smoothing: Smoothing) -> None:
    scores = scores_with_holes(50).astype(np.float32)
    np.testing.assert_array_equal(smoothing.apply(scores), one_by_one(smoothing.fresh(), scores))


@each
def test_smoothing_continues_from_its_state(smoothing: Smoothing) -> None:
    scores = scores_with_holes(60)
    want = one_by_one(smoothing.fresh(), scores)
    for stop in (0, 1, 30):
        first = smoothing.fresh()
        got = [first.update(score) for score in scores[:stop]]
        text = json.dumps(first.state(), allow_nan=False)
        again = smoothing_from_state(json.loads(text))
        got += [again.update(score) for score in scores[stop:]]
        np.testing.assert_array_equal(got, want)


@each
def test_smoothing_reset_and_apply_keep_apart(smoothing: Smoothing) -> None:
    rule = smoothing.fresh()
    rule.update(100.0)
    before = rule.state()
    rule.apply([1.0, 2.0])
    assert rule.state() == before
    rule.reset()
    assert rule.update(3.0) == 3.0


def test_trailing_mean_is_that_of_the_scores_of_its_rows() -> None:
    scores = scores_with_holes(300)
    scores[100:130] = np.nan
    offsets = [0, 0, 3, 200, 299, 300]
    got = TrailingMean(7).apply(scores, offsets)
    for first, end in itertools.pairwise(offsets):
        for row in range(first, end):
            if not np.isfinite(scores[row]):
                assert repr(got[row]) == repr(scores[row])
                continue
            last = scores[max(first, row - 6) : row + 1]
            np.testing.assert_allclose(got[row], last[np.isfinite(last)].mean(), rtol=1e-13)
    assert got[130] == scores[130]  # nothing before the hole is reached
    assert MovingAverage(7).apply(scores, offsets)[130] != scores[130]


@pytest.mark.parametrize(
    "running", [[1.0], [3.0, 1.0], [-1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [0.5, 1.0], [0.0] * 8]
)
def test_trailing_mean_refuses_a_damaged_state(running: list[float]) -> None:
    with pytest.raises(ValueError, match="running"):
        smoothing_from_state({"kind": "trailing_mean", "n": 3, "running": running})


def test_moving_average_is_the_mean() -> None:
    scores = np.random.default_rng(1).random(100)
    want = [scores[max(0, i - 4) : i + 1].mean() for i in range(100)]
    # Five additions: at most 5 roundings of 2^-53 on either side.
    np.testing.assert_allclose(MovingAverage(5).apply(scores), want, rtol=2e-15)


def test_ewma_is_pandas_without_adjustment() -> None:
    pd = pytest.importorskip("pandas")
    scores = np.random.default_rng(1).random(100)
    want = pd.Series(scores).ewm(alpha=0.2, adjust=False).mean().to_numpy()
    np.testing.assert_allclose(EWMA(0.2).apply(scores), want, rtol=1e-14)


def test_an_infinite_score_does_not_stay() -> None:
    for smoothing in (MovingAverage(3), TrailingMean(3), EWMA(0.5)):
        assert smoothing.update(1.0) == 1.0
        assert smoothing.update(np.inf) == np.inf
        assert np.isnan(smoothing.update(np.nan))
        assert smoothing.update(1.0) == 1.0


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "3"])
def test_moving_average_refuses_bad_settings(n: Any) -> None:
    with pytest.raises(ValueError, match="n: expected a whole number >= 1"):
        MovingAverage(n)
    with pytest.raises(ValueError, match="n: expected a whole number >= 1"):
        TrailingMean(n)


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.1, np.nan])
def test_ewma_refuses_bad_settings(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha: expected 0 < alpha <= 1"):
        EWMA(alpha)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (None, "smoothing: expected an object"),
        ({}, "expected kind 'moving_average' or 'trailing_mean' or 'ewma', got None"),
        ({"kind": "median"}, "got 'median'"),
        ({"kind": "ewma"}, "missing key 'alpha'"),
        ({"kind": "ewma", "alpha": "x"}, "'alpha': expected a finite number"),
        ({"kind": "ewma", "alpha": 0.5, "running": [1.0, 2.0]}, "at most 1"),
        ({"kind": "moving_average", "n": 2, "running": [1.0, 2.0, 3.0]}, "at most 2"),
        ({"kind": "moving_average", "n": 2, "running": {}}, "'running': expected a list"),
    ],
)
def test_damaged_state_is_refused(state: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        smoothing_from_state(state)


@pytest.mark.parametrize(
    ("scores", "offsets", "error", "text"),
    [
        ([[1.0]], None, ValueError, r"scores: expected \[S\], got \[1, 1\]"),
        (["a"], None, TypeError, "scores: expected real numbers"),
        ([1.0], [0, 2], ValueError, "offsets: expected numbers that rise from 0 to 1"),
        ([1.0, 2.0], [0, 2, 1, 2], ValueError, "falling"),
        ([1.0], [0.0, 1.0], TypeError, "offsets: expected integers"),
        ([], [], TypeError, "offsets: expected integers"),
    ],
)
def test_smoothing_bad_input(scores: Any, offsets: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        EWMA(0.5).apply(scores, offsets)
