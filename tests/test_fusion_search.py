"""The search for weights: the grid of nested loops, refinement, and what labels can tell."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest

from slidecell.detect.fusion import FoundWeights, fuse, grid_weights, search_weights
from slidecell.detect.fusion.fused import as_weights
from slidecell.evaluate.curves import Ranking

metrics = pytest.importorskip("sklearn.metrics")


def labelled(
    n: int = 400, M: int = 3, seed: int = 0, *, ties: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.1).astype(int)
    signal = labels[:, None] * rng.uniform(0.0, 1.0, (n, M)) * np.linspace(0.3, 1.0, M)
    scores = signal + rng.gamma(2.0, 0.15, (n, M))
    return (np.round(scores, 1) if ties else scores), labels


def plain_grid(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Nested loops over weights 0, 0.25, .., 1 and five percentiles; the first best wins."""
    best: tuple[float, Any, float] = (0.0, None, 0.0)
    for levels in itertools.product(np.arange(0.0, 1.05, 0.25), repeat=scores.shape[1]):
        if sum(levels) == 0.0:
            continue
        weights = np.array(levels) / sum(levels)
        fused = fuse(scores, weights)
        for threshold in np.percentile(fused, [85, 90, 92, 95, 97]):
            f1 = metrics.f1_score(labels, fused > threshold, zero_division=0)
            if f1 > best[0]:
                best = (f1, weights, threshold)
    return best


def f1_of(found: FoundWeights, scores: np.ndarray, labels: np.ndarray) -> float:
    flags = fuse(scores, found.weights) > found.threshold
    return float(metrics.f1_score(labels, flags, zero_division=0))


def test_grid_is_the_nested_loops() -> None:
    scores, labels = labelled(seed=1)
    f1, weights, threshold = plain_grid(scores, labels)
    found = search_weights(scores, labels)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-14)
    np.testing.assert_allclose([found.f1, found.threshold], [f1, threshold], rtol=1e-14)
    assert found.evaluations == len(grid_weights(3)) == 91
    assert found.percentile in (85.0, 90.0, 92.0, 95.0, 97.0)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("objective", ["f1", "pr_auc"])
def test_refine_is_at_least_the_grid(objective: str, seed: int, ties: bool) -> None:
    scores, labels = labelled(seed=seed, ties=ties)
    grid = search_weights(scores, labels, objective=objective)
    better = search_weights(scores, labels, objective=objective, method="refine")
    assert getattr(better, objective) >= getattr(grid, objective)
    assert 85.0 - 100.0 / len(labels) <= better.percentile <= 97.0 + 100.0 / len(labels)
    for found in (grid, better):
        assert abs(sum(found.weights) - 1.0) < 1e-12
        assert min(found.weights) >= 0.0
        # What is claimed is what the weights and the threshold do.
        assert f1_of(found, scores, labels) == pytest.approx(found.f1, abs=1e-12)
        ap = metrics.average_precision_score(labels, fuse(scores, found.weights))
        assert found.pr_auc == pytest.approx(ap, abs=1e-12)
        assert 0.0 < (fuse(scores, found.weights) > found.threshold).mean() <= 0.15


def test_refine_finds_what_the_grid_cannot() -> None:
    # The members' scales differ a hundredfold: the best weights lie between two grid points.
    scores, labels = labelled(n=2000, M=2)
    scores[:, 1] *= 100.0
    grid = search_weights(scores, labels, objective="pr_auc")
    better = search_weights(scores, labels, objective="pr_auc", method="refine")
    assert better.pr_auc > grid.pr_auc + 0.01


def test_search_is_deterministic_by_seed() -> None:
    scores, labels = labelled()
    first = search_weights(scores, labels, method="refine", random_state=3)
    assert search_weights(scores, labels, method="refine", random_state=3) == first
    json.dumps(first.to_dict(), allow_nan=False)


def test_search_of_many_members_needs_no_grid() -> None:
    scores, labels = labelled(n=200, M=9)
    with pytest.raises(ValueError, match=r"the grid of 9 members has 1953125 points.*'refine'"):
        search_weights(scores, labels)
    alone = max(search_weights(scores[:, [m]], labels, method="refine").f1 for m in range(9))
    assert search_weights(scores, labels, method="refine").f1 >= alone


def test_search_of_one_member() -> None:
    scores, labels = labelled(M=1)
    for method in ("grid", "refine"):
        assert search_weights(scores, labels, method=method).weights == (1.0,)


def test_search_leaves_out_rows_without_a_score() -> None:
    scores, labels = labelled()
    holes = np.vstack([np.full((5, 3), np.nan), scores])
    holes[2:5, :2] = 1.0
    found = search_weights(holes, np.append(np.ones(5, int), labels))
    want = search_weights(scores, labels)
    assert (found.weights, found.threshold, found.rows) == (want.weights, want.threshold, 400)
    assert (found.unscored, want.unscored) == (5, 0)
    assert found.positives == labels.sum()


@pytest.mark.parametrize("seed", range(4))
def test_ranking_cuts_are_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 12, 80).astype(float)
    labels = (rng.random(80) < scores / 24).astype(np.int64)
    ranking = Ranking(scores, labels)
    cuts = np.unique(scores)
    low, high = np.percentile(scores, [60, 95])
    every = {cut: metrics.f1_score(labels, scores > cut, zero_division=0) for cut in cuts}
    assert ranking.average_precision() == pytest.approx(
        metrics.average_precision_score(labels, scores), abs=1e-14
    )
    share = [(scores > high).sum(), (scores > low).sum()]
    inside = [f for cut, f in every.items() if share[0] <= (scores > cut).sum() <= share[1]]
    best = ranking.best_cut(60, 95)
    assert best.f1 == pytest.approx(max(inside), abs=1e-14)
    assert best.f1 == pytest.approx(metrics.f1_score(labels, scores > best.threshold), abs=1e-14)
    for percentile in (0, 60, 95, 100):
        cut = ranking.percentile_cut(percentile)
        want = metrics.f1_score(labels, scores > cut.threshold, zero_division=0)
        assert cut.f1 == pytest.approx(want, abs=1e-14)


@pytest.mark.parametrize("n", [1, 2, 3, 100, 1237])
def test_ranking_percentiles_are_numpys(n: int) -> None:
    scores = np.random.default_rng(n).lognormal(0, 3, n)
    ranking = Ranking(scores, np.ones(n, np.int64))
    for percentile in (0, 0.1, 33, 50, 85, 90, 92, 95, 97, 99.99, 100):
        got = ranking.percentile_cut(percentile).threshold
        assert got == pytest.approx(np.percentile(scores, percentile), rel=1e-15)


def test_ranking_where_one_score_fills_the_percentiles() -> None:
    ranking = Ranking(np.array([1.0] * 9 + [0.0]), np.array([1] * 5 + [0] * 5))
    assert ranking.best_cut(85.0, 97.0) == ranking.percentile_cut(97.0) == (1.0, 97.0, 0.0)
    everything = ranking.best_cut(0.0, 100.0)
    assert everything.f1 == pytest.approx(10 / 14)


def test_fuse_is_the_weighted_sum_and_row_by_row() -> None:
    rng = np.random.default_rng(0)
    scores, weights = rng.normal(size=(301, 5)), rng.random(5)
    weights[2] = 0.0
    scores[7, 2], scores[9, 3] = np.nan, np.nan
    fused = fuse(scores, weights)
    np.testing.assert_allclose(np.delete(fused, 9), np.delete(np.nan_to_num(scores) @ weights, 9))
    assert np.isnan(fused[9])
    np.testing.assert_array_equal(fused, [fuse(row[None], weights)[0] for row in scores])
    assert np.isnan(fuse([[np.inf, -np.inf]], [0.5, 0.5])[0])


@pytest.mark.parametrize(
    ("weights", "error", "text"),
    [
        ([1.0], ValueError, r"weights: expected \[2\], one per member, got \[1\]"),
        ([[1.0, 2.0]], ValueError, r"got \[1, 2\]"),
        ([0.0, 0.0], ValueError, "not all 0, got {'a': 0.0, 'b': 0.0}"),
        ([1.0, -0.1], ValueError, "at least 0"),
        ([1.0, np.nan], ValueError, "finite numbers"),
        ([1e308, 1e308], ValueError, "finite numbers"),
        ({"a": 1.0, "c": 1.0}, ValueError, "expected members of 'a', 'b', got 'c'"),
        ({}, ValueError, "not all 0"),
        (["x", "y"], TypeError, "weights: expected real numbers"),
    ],
)
def test_bad_weights_are_refused(weights: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        as_weights(weights, ["a", "b"])


def test_weights_sum_to_one() -> None:
    assert as_weights(None, ["a", "b"]).tolist() == [0.5, 0.5]
    assert as_weights([3, 1], ["a", "b"]).tolist() == [0.75, 0.25]
    assert as_weights({"b": 2}, ["a", "b"]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"objective": "auc"}, "objective: expected 'f1' or 'pr_auc', got 'auc'"),
        ({"method": "random"}, "method: expected 'grid' or 'refine', got 'random'"),
        ({"percentiles": []}, "percentiles: expected at least one of 0 to 100"),
        ({"percentiles": [95, 101]}, "percentiles: expected at least one of 0 to 100"),
        ({"labels": np.zeros(400, int)}, "both classes among the rows.*got 0 anomalies of 400"),
        ({"labels": np.ones(400, int)}, "got 400 anomalies of 400"),
        ({"labels": np.zeros(399, int)}, r"labels: expected \[400\] \(rows of scores\), got \[399"),
        ({"labels": np.full(400, 2)}, "labels: expected 0 or 1"),
        ({"scores": np.zeros(400)}, r"scores: expected \[S, M\] with M >= 1, got \[400\]"),
        ({"scores": np.full((400, 2), np.nan)}, "got 0 anomalies of 0"),
    ],
)
def test_search_refuses_bad_arguments(change: dict[str, Any], text: str) -> None:
    scores, labels = labelled()
    arguments = {"scores": scores, "labels": labels, **change}
    with pytest.raises(ValueError, match=text):
        search_weights(arguments.pop("scores"), arguments.pop("labels"), **arguments)
