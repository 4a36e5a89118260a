"""Metrics of flags equal their definitions: ranges, events, affiliation, delays, points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidecell.evaluate import (
    affiliation,
    affiliation_f1,
    classification_report,
    detection_delay,
    event_delays,
    event_f1,
    event_recall,
    point_adjust,
    point_adjusted_f1,
    point_scores,
    range_f1,
)
from tests import plain_metrics


@st.composite
def flagged(draw):
    """Labels and flags in runs, and unequal entities, some of them empty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 60))
    rows = np.zeros((2, n), int)
    for row in rows:
        for _ in range(draw(st.integers(0, 6))):
            first = rng.integers(n)
            row[first : first + rng.integers(1, 9)] = 1
    cuts = np.sort(rng.integers(0, n + 1, draw(st.integers(0, 4))))
    return rows[0], rows[1], np.concatenate(([0], cuts, [n]))


@settings(max_examples=100, deadline=None)
@given(flagged(), st.sampled_from([0.0, 0.2, 1.0]))
def test_range_f1_is_its_definition(case, existence):
    labels, flags, offsets = case
    expected = plain_metrics.range_f1(labels, flags, offsets, existence)
    found = range_f1(labels, flags, offsets, existence=existence)
    assert found == (expected if expected is None else pytest.approx(expected, rel=1e-12))


@settings(max_examples=40, deadline=None)
@given(flagged())
def test_affiliation_is_its_definition(case):
    labels, flags, offsets = case
    precision, recall = plain_metrics.affiliation(labels, flags, offsets)
    found = affiliation(labels, flags, offsets)
    for mine, known in zip(found, (precision, recall), strict=True):
        assert mine == (known if known is None else pytest.approx(known, abs=5e-3))


@settings(max_examples=100, deadline=None)
@given(flagged())
def test_event_metrics_are_their_definitions(case):
    labels, flags, offsets = case
    runs = plain_metrics.events(labels, offsets)
    found = [flags[first : last + 1].any() for first, last in runs]
    delays = [np.flatnonzero(flags[first : last + 1])[:1] for first, last in runs]
    adjusted = flags.astype(bool)
    for first, last in (run for run, hit in zip(runs, found, strict=True) if hit):
        adjusted[first : last + 1] = True
    np.testing.assert_array_equal(point_adjust(labels, flags, offsets), adjusted)
    np.testing.assert_array_equal(
        event_delays(labels, flags, offsets), [d[0] if len(d) else np.nan for d in delays]
    )
    if not runs:
        assert event_f1(labels, flags, offsets) is None
        assert event_recall(labels, flags, offsets) is None
        assert point_adjusted_f1(labels, flags, offsets) is None
        return
    recall = np.mean(found)
    precision = labels[flags == 1].mean() if flags.any() else 0.0
    expected = 2 * precision * recall / (precision + recall) if recall else 0.0
    assert event_recall(labels, flags, offsets) == pytest.approx(recall)
    assert event_f1(labels, flags, offsets) == pytest.approx(expected, rel=1e-12)
    assert point_adjusted_f1(labels, flags, offsets) == point_scores(labels, adjusted).f1


def test_affiliation_of_the_paper():
    """The worked example of Huet et al. (2022), in minutes; the probabilities of its second zone.

    Zone 30 .. 120 around the anomaly 50 .. 70, flags 40 .. 60 and 115 .. 130.
    """
    minutes = np.arange(90)
    labels, flags = (minutes >= 20) & (minutes < 40), (minutes >= 10) & (minutes < 30)
    flags |= minutes >= 85
    precision, recall = affiliation(labels, flags)
    assert precision == pytest.approx(0.672222222, abs=1e-9)
    assert recall == pytest.approx(0.944444444, abs=1e-9)


def test_affiliation_edges():
    assert affiliation([0, 0], [1, 0]) == (None, None)
    assert affiliation_f1([0, 0], [1, 0]) is None
    assert affiliation([0, 1, 0], [0, 0, 0]) == (None, 0.0)
    assert affiliation_f1([0, 1, 0], [0, 0, 0]) == 0.0
    # Flags of an entity without an anomaly are nobody's.
    assert affiliation([0, 1, 0, 0], [0, 1, 0, 1], [0, 3, 4]) == (1.0, 1.0)
    assert affiliation([1, 1], [1, 1]) == (1.0, 1.0)


def test_affiliation_of_random_flags_is_high():
    rng = np.random.default_rng(0)
    labels = np.zeros(20_000, int)
    labels[5000:5100] = labels[15000:15100] = 1
    assert affiliation_f1(labels, rng.random(20_000) < 0.02) > 0.6


def test_detection_delay_of_known_flags():
    labels = [0, 1, 1, 1, 0, 1, 1, 0, 1]
    flags = [1, 0, 0, 1, 1, 1, 0, 1, 0]
    found = detection_delay(labels, flags)
    assert (found.events, found.found, found.median, found.mean) == (3, 2, 1.0, 1.0)
    assert found.found_share == pytest.approx(2 / 3)
    # In two entities the second run is two anomalies, and its second half is not found.
    assert detection_delay(labels, flags, [0, 6, 9]).events == 4
    assert detection_delay([0, 0], [1, 1]).median is None
    assert detection_delay([0, 0], [1, 1]).found_share is None
    assert detection_delay([1, 0], [0, 1]).found_share == 0.0


def test_point_metrics_are_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    labels, flags = rng.random((2, 500)) < [[0.2], [0.3]]
    found = point_scores(labels, flags)
    assert found.precision == pytest.approx(metrics.precision_score(labels, flags))
    assert found.recall == pytest.approx(metrics.recall_score(labels, flags))
    assert found.f1 == pytest.approx(metrics.f1_score(labels, flags))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, flags))
    np.testing.assert_array_equal(found.confusion_matrix, metrics.confusion_matrix(labels, flags))
    assert f"{found.recall:.4f}" in classification_report(labels, flags)


def test_point_metrics_that_are_not_defined():
    assert point_scores([0, 0], [0, 0]).f1 is None
    assert point_scores([0, 0], [0, 1]).f1 == 0.0
    assert point_scores([0, 0], [0, 1]).recall is None
    assert point_scores([1, 0], [0, 0]).precision is None
    assert point_scores([], []).accuracy is None
    pytest.importorskip("sklearn")
    assert "anomaly     0.0000" in classification_report([0, 0], [0, 1])


@pytest.mark.parametrize(
    "metric",
    [point_scores, range_f1, event_f1, point_adjusted_f1, affiliation_f1, detection_delay],
)
def test_flags_bad_input(metric):
    with pytest.raises(ValueError, match=r"flags: expected \[3\] \(rows of labels\), got \[2\]"):
        metric([0, 1, 0], [0, 1])
    with pytest.raises(ValueError, match=r"labels: expected 0 or 1 .*got 2 in row 1"):
        metric([0, 2, 0], [0, 1, 0])
    with pytest.raises(ValueError, match=r"flags: expected 0 or 1 .*got nan in row 2"):
        metric([0, 1, 0], [0, 1, np.nan])
    if metric is not point_scores:
        with pytest.raises(ValueError, match=r"offsets: .* rise from 0 to 3 \(rows\), got 0 to 2"):
            metric([0, 1, 0], [0, 1, 0], [0, 2])
    with pytest.raises(ValueError, match="existence: expected 0 to 1"):
        range_f1([0, 1], [0, 1], existence=2)
