"""VUS equals its definition and keeps to entities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidecell.evaluate import default_vus_window, pr_auc, roc_auc, vus
from tests import plain_metrics


@st.composite
def labelled(draw):
    """Labels in short and long runs, scores with and without ties, unequal entities."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(4, 70))
    labels = np.zeros(n, int)
    for _ in range(draw(st.integers(1, 6))):
        first = rng.integers(n)
        labels[first : first + rng.integers(1, 8)] = 1
    labels[rng.integers(n)] = 0
    labels[(np.flatnonzero(labels == 0)[0] + 1) % n] = 1
    scores = np.round(rng.random(n) + 0.4 * labels, draw(st.sampled_from([1, 9])))
    cuts = np.sort(rng.integers(0, n + 1, draw(st.integers(0, 4))))
    return labels, scores, np.concatenate(([0], cuts, [n]))


@settings(max_examples=40, deadline=None)
@given(labelled(), st.integers(0, 13))
def test_vus_is_its_definition(case, window):
    labels, scores, offsets = case
    expected = plain_metrics.vus(labels, scores, window, offsets)
    assert vus(labels, scores, window, offsets) == pytest.approx(expected, rel=1e-12)


def test_vus_more_rows_than_thresholds():
    rng = np.random.default_rng(0)
    labels = (np.sin(np.arange(700) / 9) > 0.9).astype(int)
    scores, offsets = rng.random(700) + labels * rng.random(700), [0, 100, 100, 340, 700]
    expected = plain_metrics.vus(labels, scores, 6, offsets)
    assert vus(labels, scores, 6, offsets) == pytest.approx(expected, rel=1e-12)


def test_vus_without_buffer_is_near_the_areas():
    """At window 0 what remains of the surface are 250 points of curves whose recall is damped."""
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(1)
    labels = np.zeros(5000, int)
    labels[2000:2600] = 1  # one long anomaly: touched by the highest scores
    scores = rng.random(5000) + 0.3 * labels
    found = vus(labels, scores, 0)
    assert found == pytest.approx((roc_auc(labels, scores), pr_auc(labels, scores)), abs=5e-3)


def test_vus_buffers_stay_within_their_entity():
    labels = np.array([0, 0, 0, 1, 0, 0, 0, 0])
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.9, 0.5, 0.6, 0.7])
    forgiven = vus(labels, scores, 4)
    strict = vus(labels, scores, 4, [0, 4, 8])
    assert forgiven[1] > strict[1]
    # An anomaly that goes on into the next entity is two.
    labels[4] = 1
    expected = plain_metrics.vus(labels, scores, 4, [0, 4, 8])
    assert vus(labels, scores, 4, [0, 4, 8]) == pytest.approx(expected, rel=1e-12)


def test_vus_forgives_a_late_flag_and_rewards_the_right_one():
    labels = np.zeros(400, int)
    labels[200:220] = 1
    noise = np.random.default_rng(2).random(400) / 100
    late = np.roll(labels, 10) + noise
    assert vus(labels, late, 40)[1] > vus(labels, late, 0)[1] + 0.1
    assert vus(labels, labels + noise, 40)[1] > vus(labels, late, 40)[1]


def test_vus_depends_on_the_order_of_scores_alone():
    rng = np.random.default_rng(3)
    labels, scores = (rng.random(300) < 0.1).astype(int), rng.random(300)
    assert vus(labels, scores, 9) == vus(labels, np.exp(5 * scores), 9)
    holes = np.insert(scores, [0, 40, 300], np.nan)
    assert vus(np.insert(labels, [0, 40, 300], 1), holes, 9) == vus(labels, scores, 9)


def test_vus_without_both_classes():
    assert vus([0, 0, 0], [0.1, 0.2, 0.3], 2) == (None, None)
    assert vus([1, 1, 0], [0.1, 0.2, np.nan], 2) == (None, None)
    assert vus([], [], 2) == (None, None)
    for window in (-1, 1.5, True):
        with pytest.raises(ValueError, match="window: expected a whole number >= 0"):
            vus([0, 1], [0.1, 0.2], window)


def test_vus_window_is_the_median_length_of_anomalies():
    labels = [0, *[1] * 20, 0, *[1] * 30, 0, *[1] * 90]
    assert default_vus_window(labels) == 30
    assert default_vus_window(labels, [0, 60, 143]) == 25  # the last one is cut in two
    assert default_vus_window([0, 1, 0]) == 10
    assert default_vus_window([1] * 1000) == 100
    assert default_vus_window([0, 0]) is None
