"""The dynamic threshold: telemanom's answers, its definition, and the causal form of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from slidecell.thresholds import (
    DynamicThreshold,
    dynamic_threshold,
    threshold_from_state,
)
from tests import plain_telemanom

GOLDEN = Path(__file__).parent / "golden" / "telemanom.npz"


@pytest.mark.parametrize("case", range(3))
def test_dynamic_is_telemanoms(case):
    with np.load(GOLDEN) as golden:
        names = ("y", "y_hat", "smoothed", "sequences")
        y, y_hat, smoothed, sequences = (golden[f"ndt{case}/{name}"] for name in names)
    found = dynamic_threshold(np.abs(y_hat - y), y)
    np.testing.assert_array_equal(found.smoothed, smoothed)
    np.testing.assert_array_equal(found.sequences, sequences)
    assert found.flags.sum() == (sequences[:, 1] - sequences[:, 0] + 1).sum()


def errors_and_values(seed: int) -> tuple[np.ndarray, np.ndarray, dict[str, int | float]]:
    """Errors with bursts and lulls, the values they belong to, and small settings."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 420))
    errors = rng.random(n) * 0.2 + 0.2
    for _ in range(rng.integers(0, 7)):
        first, length = rng.integers(n), rng.integers(1, 25)
        errors[first : first + length] *= rng.choice([0.05, 2.0, 5.0, 20.0])
    window = int(rng.integers(20, 120))
    settings = {
        "batch": int(rng.integers(1, min(window, 30))),
        "window": window,
        "buffer": int(rng.integers(1, 12)),
        "separation": float(rng.choice([0.0, 0.05, 0.13, 0.5])),
        "warmup": int(rng.integers(0, 20)),
    }
    return errors, rng.normal(0, rng.choice([0.1, 1, 30]), n), settings


@pytest.mark.parametrize("with_values", [False, True])
def test_dynamic_is_its_definition(with_values):
    some = 0
    for seed in range(35):
        errors, values, settings = errors_and_values(seed)
        span = max(1, settings["window"] // 12)
        share = (span + 0.5) / settings["window"]
        truth = values if with_values else None
        sequences, averages = plain_telemanom.sequences(errors, truth, span=span, **settings)
        found = dynamic_threshold(errors, truth, smoothing=share, **settings)
        np.testing.assert_allclose(found.smoothed, averages, rtol=1e-12)
        assert [tuple(pair) for pair in found.sequences] == sequences, seed
        some += len(sequences)
    assert some > 15


def test_dynamic_warm_up_depends_on_the_length():
    rng = np.random.default_rng(1)
    for n, first in ((1799, 0), (1800, 250), (2499, 250), (2500, 500)):
        errors = rng.random(n) / 20
        errors[450:460] += 50.0
        errors[520:530] += 100.0
        found = dynamic_threshold(errors, smoothing=0.0005)
        assert found.sequences[0].tolist() == [max(350, first), 629]


def test_dynamic_per_entity_and_without_missing_rows():
    errors, values, settings = errors_and_values(13)
    errors = np.concatenate([errors, errors[::-1], errors * 2])
    values = np.concatenate([values, values[::-1], values])
    n = len(errors) // 3
    offsets = [0, 0, n, 2 * n, 3 * n]
    found = dynamic_threshold(errors, values, offsets, **settings)
    alone = [
        dynamic_threshold(errors[a : a + n], values[a : a + n], **settings) for a in (0, n, 2 * n)
    ]
    np.testing.assert_array_equal(found.flags, np.concatenate([part.flags for part in alone]))
    expected = [part.sequences + i * n for i, part in enumerate(alone)]
    np.testing.assert_array_equal(found.sequences, np.concatenate(expected))
    holes = np.array([0, 5, 5, n, len(errors)])
    spread = dynamic_threshold(
        np.insert(errors, holes, np.nan), None, [0, 0, n + 3, 2 * n + 4, 3 * n + 5], **settings
    )
    plain = dynamic_threshold(errors, None, offsets, **settings)
    here = ~np.isnan(spread.smoothed)
    np.testing.assert_array_equal(spread.smoothed[here], plain.smoothed)
    np.testing.assert_array_equal(spread.flags[here], plain.flags)
    assert not spread.flags[~here].any()
    assert len(spread.sequences) == len(plain.sequences) > 0


def test_dynamic_edges():
    for errors in ([], [np.nan, np.nan], [0.0] * 300, [0.7] * 3000, [1.0]):
        found = dynamic_threshold(errors)
        assert found.sequences.shape == (0, 2)
        assert not found.flags.any()
    assert dynamic_threshold([0.1, 0.2], [1.0, 2.0]).smoothed.tolist() == pytest.approx(
        [0.15] * 2, rel=0.2
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([[0.1]],), r"errors: expected \[S\], got \[1, 1\]"),
        (([0.1, np.inf],), "errors: expected finite numbers or NaN, got inf in row 1"),
        (([0.1], [0.1, 0.2]), r"values: expected \[1\] \(rows of errors\), got \[2\]"),
        (([0.1], None, [0, 2]), "offsets: expected numbers that rise from 0 to 1"),
    ],
)
def test_dynamic_bad_input(arguments, text):
    with pytest.raises(ValueError, match=text):
        dynamic_threshold(*arguments)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"batch": 0}, "batch: expected a whole number >= 1, got 0"),
        ({"window": 69}, "window: expected a whole number >= 70, got 69"),
        ({"buffer": 1.5}, "buffer: expected a whole number >= 1, got 1.5"),
        ({"smoothing": 0.0001}, "smoothing: expected 0.000476 to 1, got 0.0001"),
        ({"separation": 1.0}, "separation: expected 0 <= separation < 1, got 1.0"),
    ],
)
def test_dynamic_settings(settings, text):
    with pytest.raises(ValueError, match=text):
        dynamic_threshold([0.1], **settings)
    with pytest.raises(ValueError, match=text):
        DynamicThreshold(**settings)


def test_dynamic_settings_of_one_form():
    with pytest.raises(ValueError, match="warmup: expected a whole number >= 0, got -1"):
        dynamic_threshold([0.1], warmup=-1)
    with pytest.raises(ValueError, match=r"min_scores: expected 1 to 100 \(window\), got 101"):
        DynamicThreshold(10, 100, min_scores=101)
    assert DynamicThreshold(10, 100).min_scores == 100
    assert DynamicThreshold().min_scores == 500


def causal(scores, rule):
    """The causal rule, written as its docstring says: finite scores [n] -> alarms [n]."""
    averages = plain_telemanom.smooth(scores, int(rule.window * rule.smoothing))
    alarms, highest, lowest = [], np.nan, np.nan
    for n, average in enumerate(averages, start=1):
        alarms.append(bool(average > highest or (rule.two_sided and average < lowest)))
        if n >= rule.min_scores and (n - rule.min_scores) % rule.batch == 0:
            past = averages[max(0, n - rule.window) : n]
            mean, sd = past.mean(), past.std()
            highest = limit(past, mean, sd, rule)
            lowest = 2 * mean - limit(2 * mean - past, mean, sd, rule)
    return alarms


def limit(past, mean, sd, rule):
    chosen = plain_telemanom.epsilon(past, rule.buffer, mean, sd)
    above = [i for i, average in enumerate(past) if average >= chosen]
    anomalous = plain_telemanom.widened(above, len(past), rule.buffer)
    normal = max(average for i, average in enumerate(past) if i not in anomalous)
    return max(chosen, normal / (1 - rule.separation))


@pytest.mark.parametrize("two_sided", [False, True])
def test_dynamic_causal_rule_is_its_definition(two_sided):
    rng = np.random.default_rng(2)
    scores = rng.random(700) + 1.0
    scores[300:312] *= 6
    scores[450:490] *= 0.2
    scores[600:604] *= 9
    rule = DynamicThreshold(
        8, 120, smoothing=0.04, buffer=6, separation=0.1, min_scores=40, two_sided=two_sided
    )
    found = rule.apply(scores)
    assert found.tolist() == causal(scores, rule)
    assert found[301:312].all()
    assert found[601:604].all()
    assert found[460:480].any() == two_sided
    assert found.sum() < 150


@pytest.mark.parametrize("two_sided", [False, True])
def test_dynamic_stream_equals_the_batch(two_sided):
    """Bit for bit, with missing and infinite scores, across the borders of chunks."""
    rng = np.random.default_rng(3)
    scores = rng.gamma(2.0, size=2000)
    scores[1000:1030] += 9.0
    scores[1500:1540] *= 0.01
    scores[rng.random(2000) < 0.02] = np.nan
    scores[[5, 700, 1700]] = [np.inf, -np.inf, np.inf]
    for window, batch in ((97, 3), (301, 7)):
        rule = DynamicThreshold(batch, window, buffer=9, two_sided=two_sided, min_scores=30)
        one, want = rule.fresh(), []
        for score in scores:
            low, high = one.lower_threshold, one.threshold
            want.append(one.update(score))
            expected = score > high or (two_sided and score < low)
            assert want[-1] == (not np.isnan(score) and expected)
        np.testing.assert_array_equal(rule.apply(scores), want)
        assert 0 < sum(want) < 600


def test_dynamic_follows_a_new_level():
    """Louder scores alarm until they fill the window, then they are normal."""
    rng = np.random.default_rng(4)
    scores = rng.random(4000) + 1.0
    scores[2000:] += 4.0
    alarms = DynamicThreshold(20, 400, buffer=10, min_scores=100).apply(scores)
    assert not alarms[:1990].any()
    assert alarms[2005:2050].all()
    assert not alarms[2450:].any()


def test_dynamic_causal_form_depends_on_the_past_alone():
    rng = np.random.default_rng(5)
    scores = rng.gamma(2.0, size=900)
    rule = DynamicThreshold(10, 200, buffer=5)
    whole = rule.apply(scores)
    for stop in (150, 333, 600):
        changed = scores.copy()
        changed[stop:] = 50.0
        np.testing.assert_array_equal(rule.apply(changed)[:stop], whole[:stop])


def test_dynamic_scores_that_do_not_vary():
    rule = DynamicThreshold(5, 40, min_scores=10)
    assert not rule.apply([0.7] * 200).any()
    assert not rule.apply([0.0] * 200).any()
    alarms = rule.apply([0.7] * 100 + [1.0] * 3)
    assert alarms[-1]
    assert not alarms[:100].any()


@pytest.mark.parametrize(
    "damage",
    [
        {"last": [1.0]},
        {"last": "many"},
        {"count": -1},
        {"weight": -0.5},
        {"average": None},
        {"highest": "high"},
    ],
)
def test_dynamic_damaged_state_is_refused(damage):
    rule = DynamicThreshold(5, 40, min_scores=10)
    for score in np.random.default_rng(6).random(30):
        rule.update(score)
    state = json.loads(json.dumps(rule.state()))
    again = threshold_from_state(state)
    assert again.state() == rule.state()
    with pytest.raises(ValueError, match="state: "):
        again.load_state({**state, "running": {**state["running"], **damage}})
    assert again.state() == rule.state()
