"""Metrics equal those of the benchmark TSB-AD, on its answers to made-up series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slidecell.evaluate import (
    affiliation_f1,
    event_f1,
    point_adjust,
    point_adjusted_f1,
    point_scores,
    pr_auc,
    range_f1,
    roc_auc,
    vus,
)
from slidecell.evaluate.inputs import runs_of
from slidecell.evaluate.ranges import range_reward

GOLDEN = Path(__file__).parent / "golden" / "ranking.npz"


@pytest.fixture(scope="module", params=range(4))
def known(request):
    with np.load(GOLDEN) as golden:
        mine = f"rank{request.param}/"
        return {k.removeprefix(mine): golden[k][()] for k in golden.files if k.startswith(mine)}


def test_golden_vus(known):
    found = vus(known["label"], known["score"], int(known["window"]))
    assert found == pytest.approx((known["vus_roc"], known["vus_pr"]), rel=1e-12)


def test_golden_areas(known):
    pytest.importorskip("sklearn")
    assert roc_auc(known["label"], known["score"]) == pytest.approx(known["auc_roc"], rel=1e-14)
    assert pr_auc(known["label"], known["score"]) == pytest.approx(known["auc_pr"], rel=1e-14)


@pytest.mark.parametrize(
    ("metric", "key"), [(event_f1, "event_f1_pa"), (affiliation_f1, "affiliation_f1")]
)
def test_golden_flags(known, metric, key):
    # TSB-AD adds 1e-15 below the fraction.
    assert metric(known["label"], known["pred"]) == pytest.approx(known[key], rel=5e-15)


def test_golden_points(known):
    found = point_scores(known["label"], known["pred"])
    assert found.f1 == pytest.approx(known["point_f1"], rel=1e-15)


def test_golden_point_adjusted(known):
    """TSB-AD goes back from the first flag in an anomaly, but never to row 0."""
    adjusted = point_adjust(known["label"], known["pred"])
    found = point_scores(known["label"], adjusted).f1
    assert point_adjusted_f1(known["label"], known["pred"]) == found
    adjusted[0] &= known["pred"][0]
    assert point_scores(known["label"], adjusted).f1 == pytest.approx(known["pa_f1"], rel=1e-15)
    assert (found == known["pa_f1"]) == (known["label"][0] == 0)


def test_golden_ranges(known):
    """With bool flags TSB-AD has one range of flags: from the first change to the end."""
    labels, flags = known["label"].astype(bool), known["pred"]
    whole = np.array([0, len(labels)])
    anomalies = runs_of(labels, whole)
    change = np.flatnonzero(np.diff(flags))[0] + 1
    one = np.array([change]), np.array([len(flags)])
    recall = range_reward(anomalies, flags, one, 0.2)
    precision = range_reward(one, labels, anomalies, 0.0)
    expected = 2 * precision * recall / (precision + recall)
    assert expected == pytest.approx(known["range_f1"], rel=1e-13)
    assert range_f1(labels, flags) > expected
