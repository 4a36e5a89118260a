"""The compiled scorers of flattened windows against plain numpy in float64."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from slidecell import _core

OFFSETS = np.cumsum([0, 1, 3, 40, 0, 7, 200, 8])


class Case:
    """Rows with missing values and constant columns, and random parts of each scorer."""

    def __init__(self, seed: int, window: int, features: int, rows: int, constant: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.window, self.features = window, features
        self.varying = sorted(rng.permutation(features)[: features - constant].tolist())
        self.center = rng.normal(size=features)
        self.scale = rng.uniform(0.5, 2, features)
        self.series = rng.normal(size=(OFFSETS[-1], features)) * self.scale + self.center
        for f in set(range(features)) - set(self.varying):
            self.series[:, f] = self.center[f]
        self.series[rng.random(len(self.series)) < 0.02, 0] = np.nan
        depth = window * len(self.varying)
        self.points = rng.normal(size=(rows, depth)).astype(np.float32)
        self.mean = rng.normal(size=depth).astype(np.float32)
        count = min(rows, depth)
        self.components = np.linalg.qr(rng.normal(size=(depth, count)))[0].T.astype(np.float32)
        targets = len(self.varying)
        self.weights = rng.normal(size=(targets, depth)).astype(np.float32) / np.sqrt(depth)
        self.bias = rng.normal(size=targets).astype(np.float32)
        self.a = rng.uniform(0.5, 2, targets).astype(np.float32)
        self.b = rng.uniform(0, 1, targets).astype(np.float32)

    def flat(self) -> Any:
        return _core.FlatWindows(
            window=self.window,
            features=self.features,
            varying=self.varying,
            center=self.center.tolist(),
            scale=self.scale.tolist(),
        )

    def scorer(self, kind: str) -> Any:
        if kind.startswith("nearest"):
            return _core.WindowScorer.nearest(self.flat(), self.points, int(kind[-1]))
        if kind == "subspace":
            return _core.WindowScorer.subspace(self.flat(), self.mean, self.components)
        return _core.WindowScorer.forecast(self.flat(), self.weights, self.bias, self.a, self.b)

    def truth(self, kind: str, series: Any, *, per_feature: bool = False) -> np.ndarray:
        """Score every window on its own."""
        scaled = ((series - self.center) / self.scale).astype(np.float32).astype(np.float64)
        horizon = int(kind == "forecast")
        out = np.full((len(series), self.features), np.nan)
        scores = np.full(len(series), np.nan)
        for first, last in itertools.pairwise(OFFSETS):
            for start in range(first, last - self.window - horizon + 1):
                rows = scaled[start : start + self.window + horizon]
                if np.isfinite(rows).all():
                    at = start + len(rows) - 1
                    scores[at], out[at] = self._one(kind, rows)
        return out if per_feature else scores

    def _one(self, kind: str, rows: np.ndarray) -> tuple[float, np.ndarray]:
        constant = [f for f in range(self.features) if f not in self.varying]
        x = rows[: self.window, self.varying].ravel()
        parts = np.zeros(self.features)
        if kind == "forecast":
            error = np.abs(self.weights.astype(np.float64) @ x + self.bias - rows[-1, self.varying])
            parts[self.varying] = np.maximum(error * self.a - self.b, 0)
            return float(np.sqrt(np.square(parts[self.varying]).mean())), parts
        rest = np.square(rows[:, constant]).sum(axis=0)
        if kind == "subspace":
            centred = x - self.mean
            left = centred - (self.components.astype(np.float64) @ centred) @ self.components
            squares = np.square(left).reshape(self.window, -1).sum(axis=0)
            parts[self.varying], parts[constant] = squares / self.window, rest / self.window
            return float(parts.mean()), parts
        squares = np.square(self.points - x).reshape(len(self.points), self.window, -1)
        distances = np.sqrt(squares.sum(axis=(1, 2)) + rest.sum())
        nearest = np.argsort(distances)[: int(kind[-1])]
        parts[self.varying] = squares[nearest].sum(axis=1).mean(axis=0)
        parts[constant] = rest
        return float(distances[nearest].mean()), parts


KINDS = ("nearest 1", "nearest 3", "subspace", "forecast")
SIZES = [(1, 1, 3, 0), (5, 2, 4, 0), (7, 3, 13, 1), (3, 9, 100, 2), (20, 4, 7, 1), (2, 30, 5, 25)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_flattened_windows_equal_numpy(
    isa: str, kind: str, size: tuple[int, ...], dtype: Any
) -> None:
    window, features, rows, constant = size
    case = Case(hash(size) % 1000, window, features, rows, constant)
    series = case.series.astype(dtype)
    scorer = case.scorer(kind)
    for per_feature in (False, True):
        got = scorer.score(series, OFFSETS, per_feature=per_feature, num_threads=None)
        want = case.truth(kind, series, per_feature=per_feature)
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_depends_on_its_own_rows_only(isa: str, kind: str) -> None:
    """Threads, entities, cuts and layouts leave the bits as they are."""
    case = Case(1, 6, 5, 40, 1)
    scorer = case.scorer(kind)
    scores = scorer.score(case.series, OFFSETS, per_feature=False, num_threads=1)
    needed = scorer.window + scorer.horizon
    for threads in (2, 5):
        again = scorer.score(case.series, OFFSETS, per_feature=False, num_threads=threads)
        np.testing.assert_array_equal(again, scores)
    turned = scorer.score(
        np.asfortranarray(case.series), OFFSETS, per_feature=False, num_threads=None
    )
    np.testing.assert_array_equal(turned, scores)
    for first, last in itertools.pairwise(OFFSETS):
        alone = scorer.score(case.series[first:last], None, per_feature=False, num_threads=None)
        np.testing.assert_array_equal(alone, scores[first:last])
        for end in range(first + needed, last + 1, 5):
            one = scorer.score(
                case.series[end - needed : end], None, per_feature=False, num_threads=None
            )
            np.testing.assert_array_equal(one[-1], scores[end - 1])


@pytest.mark.parametrize("kind", KINDS)
def test_entities_that_share_vectors_have_the_bits_of_each_alone(isa: str, kind: str) -> None:
    case = Case(1, 6, 5, 40, 1)
    scorer = case.scorer(kind)
    needed = scorer.window + scorer.horizon
    counts = [1, 2, 3, 4, 17, 1, 0, 1, 31, 8, 1, 1, 5, 100, 1]
    offsets = np.cumsum([0] + [n + needed - 1 for n in counts])
    rng = np.random.default_rng(7)
    series = rng.normal(size=(offsets[-1], case.features)) * case.scale + case.center
    series[:, [f for f in range(case.features) if f not in case.varying]] = 0.25
    series[[offsets[5] + 1, offsets[4] + 9], 1] = np.nan
    for per_feature in (False, True):
        options = {"per_feature": per_feature, "num_threads": None}
        got = scorer.score(series, offsets, **options)
        for first, last in itertools.pairwise(offsets):
            alone = scorer.score(series[first:last], None, **options)
            np.testing.assert_array_equal(got[first:last], alone)
        assert np.isfinite(got).sum() > 100


@pytest.mark.parametrize("neighbors", [1, 3])
def test_a_window_on_a_point_has_no_distance(isa: str, neighbors: int) -> None:
    """Where the expanded distance cancels, the differences decide."""
    rng = np.random.default_rng(0)
    series = (1000 + rng.normal(size=(300, 2))).astype(np.float32)
    points = np.stack([series[i : i + 10].ravel() for i in range(0, 280, 3)])
    flat = _core.FlatWindows(window=10, features=2, varying=[0, 1], center=[], scale=[])
    scorer = _core.WindowScorer.nearest(flat, points, neighbors)
    scores = scorer.score(series, None, per_feature=False, num_threads=None)[9:]
    windows = np.lib.stride_tricks.sliding_window_view(series.astype(np.float64), 10, axis=0)
    flattened = windows.transpose(0, 2, 1).reshape(len(windows), -1)
    distances = np.linalg.norm(flattened[:, None] - points, axis=2)
    if neighbors == 1:
        assert (scores[0:280:3] == 0).all()
    # float32 products choose the points: the distances are those of points as near as can be told.
    want = np.sort(distances, axis=1)[:, :neighbors].mean(axis=1)
    assert (scores >= want - 1e-3).all()


@pytest.mark.parametrize("kind", KINDS)
def test_bad_arguments_are_named(kind: str) -> None:
    case = Case(1, 4, 3, 5)
    scorer = case.scorer(kind)
    with pytest.raises(ValueError, match=r"series: expected \[S, 3\]"):
        scorer.score(np.zeros((9, 4)), None, per_feature=False, num_threads=None)
    with pytest.raises(ValueError, match="offsets"):
        scorer.score(np.zeros((9, 3)), [0, 10], per_feature=False, num_threads=None)
    for changes, name in (
        ({"window": 0}, "window"),
        ({"varying": [2, 1]}, "varying"),
        ({"varying": []}, "varying"),
        ({"varying": [3]}, "varying"),
        ({"scale": [1.0, 0.0, 1.0]}, "scale"),
        ({"center": [1.0, np.nan, 1.0]}, "center"),
        ({"center": [1.0]}, "center"),
    ):
        broken = Case(1, 4, 3, 5)
        for key, value in changes.items():
            setattr(broken, key, np.asarray(value) if key in ("scale", "center") else value)
        with pytest.raises(ValueError, match=name):
            broken.scorer(kind)


def test_bad_parts_are_named() -> None:
    case = Case(1, 4, 3, 5)
    flat, make = case.flat(), _core.WindowScorer
    with pytest.raises(ValueError, match=r"points: expected rows of 12 values, got 13"):
        make.nearest(flat, np.zeros(13), 1)
    with pytest.raises(ValueError, match=r"neighbors: expected 1 to 5 \(the points\), got 6"):
        make.nearest(flat, case.points, 6)
    with pytest.raises(ValueError, match="points: expected finite values"):
        make.nearest(flat, np.full((1, 12), np.inf), 1)
    with pytest.raises(ValueError, match="mean: expected 12 values, got 11"):
        make.subspace(flat, np.zeros(11), case.components)
    for name in ("weights", "bias", "a", "b"):
        parts = {key: getattr(case, key) for key in ("weights", "bias", "a", "b")}
        with pytest.raises(ValueError, match=f"^{name}: expected"):
            make.forecast(flat, **(parts | {name: np.zeros(1)}))


def test_own_scores_leave_out_the_points_that_overlap_a_window(isa: str) -> None:
    rng = np.random.default_rng(3)
    series = rng.normal(size=(90, 2)).astype(np.float32)
    starts = np.arange(0, 86, 4)
    points = np.stack([series[i : i + 5].ravel() for i in starts])
    flat = _core.FlatWindows(window=5, features=2, varying=[0, 1], center=[], scale=[])
    got = _core.WindowScorer.nearest(flat, points, 2).score_own(
        series, [0, 50, 90], starts, num_threads=2
    )
    want = np.full(90, np.nan)
    for start in (*range(46), *range(50, 86)):
        others = points[np.abs(starts - start) >= 5]
        distances = np.linalg.norm(others - series[start : start + 5].ravel(), axis=1)
        want[start + 4] = np.sort(distances)[:2].mean()
    np.testing.assert_allclose(got, want, rtol=2e-5)
    few = _core.WindowScorer.nearest(flat, points[:1], 1)
    assert np.isposinf(few.score_own(series[:9], None, starts[:1], num_threads=None)[4:]).all()
    with pytest.raises(ValueError, match="starts: expected 1 rows"):
        few.score_own(series, None, starts, num_threads=None)
    with pytest.raises(ValueError, match="starts: expected ascending"):
        _core.WindowScorer.nearest(flat, points[:2], 1).score_own(
            series, None, [4, 0], num_threads=None
        )
    with pytest.raises(ValueError, match="score_own: expected a scorer of nearest"):
        Case(1, 4, 2, 3).scorer("subspace").score_own(series, None, starts, num_threads=None)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (19, 0), (0, 6), (10, 9)])
@pytest.mark.parametrize("own", [True, False])
def test_means_of_neighbouring_rows(before: int, after: int, own: bool) -> None:
    rng = np.random.default_rng(4)
    scores = rng.random(OFFSETS[-1]).astype(np.float32)
    scores[rng.random(len(scores)) < 0.1] = np.nan
    scores[60] = np.inf
    want = np.full(len(scores), np.nan)
    for first, last in itertools.pairwise(OFFSETS):
        for r in range(first, last):
            near = scores[max(first, r - before) : min(last, r + after + 1)].astype(np.float64)
            near = near[np.isfinite(near)]
            if np.isinf(scores[r]):
                want[r] = np.inf
            elif len(near) and not (own and np.isnan(scores[r])):
                want[r] = near.mean()
    for threads in (1, 2):
        got = _core.row_means(
            scores, OFFSETS, before=before, after=after, own=own, num_threads=threads
        )
        np.testing.assert_allclose(got, want, rtol=1e-14)
    with pytest.raises(ValueError, match="before: expected a whole number >= 0, got -1"):
        _core.row_means(scores, OFFSETS, before=-1, after=0, own=own, num_threads=1)
    with pytest.raises(ValueError, match="offsets"):
        _core.row_means(scores, [0, 3], before=1, after=0, own=own, num_threads=1)
