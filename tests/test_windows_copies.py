"""Copies of windows: every size, alignment, layout and path of a store, bit for bit as numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

import slidecell as sc

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65, 129]
POISON = np.float32(-7.5)


def series_of(rows, features, dtype="f4"):
    """Random values with a NaN of its own bits, both infinities, -0 and a denormal."""
    series = np.random.default_rng(rows + features).normal(size=(rows, features)).astype(dtype)
    flat = series.reshape(-1)
    odd = [np.nan, np.inf, -np.inf, -0.0, 1e-42]
    flat[: len(odd)] = odd[: len(flat)]
    return series


def poisoned(shape, shift):
    """(whole, out): `out` lies inside `whole`, `shift` floats past a multiple of 64 bytes."""
    size = int(np.prod(shape))
    whole = np.full(size + 48, POISON, np.float32)
    first = (-whole.ctypes.data // 4) % 16 + shift
    return whole, whole[first : first + size].reshape(shape)


def poisoned_pair(x, y, shift):
    """Memory and outputs for windows and targets like these."""
    (whole_x, out_x), (whole_y, out_y) = poisoned(x.shape, shift), poisoned(y.shape, shift + 1)
    return (whole_x, whole_y), (out_x, out_y)


def assert_only_written(wholes, outs, wants):
    """Outputs have the bits that they should, and their neighbours are as they were."""
    for whole, out, want in zip(wholes, outs, wants, strict=True):
        assert np.array_equal(out.view(np.int32), want.view(np.int32))
        out[...] = POISON
        assert (whole == POISON).all()


def windows_of(series, window, horizon):
    """X, y of one entity with the stride 1, by numpy."""
    rows = series.astype(np.float32)
    count = max(0, len(rows) - window - horizon + 1)
    views = sliding_window_view(rows, window + horizon, axis=0)[:count].transpose(0, 2, 1)
    return np.ascontiguousarray(views[:, :window]), np.ascontiguousarray(views[:, window:])


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2"])
@pytest.mark.parametrize("features", SIZES)
def test_every_size_and_alignment(features, dtype):
    numbers = np.random.default_rng(0).integers(-99, 99, (70, features))
    series = numbers.astype(dtype) if dtype == "i2" else series_of(70, features, dtype)
    for shift, (window, horizon) in enumerate([(1, 1), (2, 3), (3, 1), (7, 2), (16, 5), (33, 1)]):
        plan = sc.WindowPlan([0, 70], window=window, horizon=horizon)
        x, y = windows_of(series, window, horizon)
        order = np.random.default_rng(1).permutation(len(plan))
        wholes, outs = poisoned_pair(x, y, shift)
        sc.sliding_windows(series, window=window, horizon=horizon, out=outs)
        assert_only_written(wholes, outs, (x, y))
        plan.gather(series, order, out=outs)
        assert_only_written(wholes, outs, (x[order], y[order]))


LAYOUTS = {
    "rows in one piece": lambda base: base,
    "float64": lambda base: base.astype(np.float64),
    "every other column": lambda base: np.repeat(base, 2, axis=1)[:, ::2],
    "columns first": np.asfortranarray,
    "backwards": lambda base: base[::-1].copy()[::-1],
}


# 26 MB: past the cache. Targets of 7 floats go through it, those of 35 do not.
@pytest.mark.parametrize("horizon", [0, 1, 5])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_large_outputs(layout, horizon):
    base = series_of(110_000, 7)
    series = LAYOUTS[layout](base)
    offsets = [0, 60_000, 60_003, 110_000]
    plan = sc.WindowPlan(offsets, window=9 - horizon, horizon=horizon)
    starts = plan.starts()
    x, y = (part[starts] for part in windows_of(base, plan.window, horizon))
    wholes, outs = poisoned_pair(x, y, 3)
    given = {"out": outs if horizon else outs[0]}
    for threads in (1, 2):
        given["num_threads"] = threads
        plan.gather(series, np.arange(len(plan))[::-1], **given)
        assert_only_written(wholes, outs, (x[::-1], y[::-1]))
        sc.sliding_windows(series, window=plan.window, horizon=horizon, offsets=offsets, **given)
        assert_only_written(wholes, outs, (x, y))


@pytest.mark.parametrize("stride", [1, 2, 7, 8, 9, 200])
@pytest.mark.parametrize("features", [1, 5, 900, 5000])
def test_rows_cast_once_are_the_same(stride, features):
    series = series_of(60 if features > 100 else 4000, features, "f8")
    got = sc.sliding_windows(series, window=6, horizon=2, stride=stride)
    for part, want in zip(got, windows_of(series, 6, 2), strict=True):
        assert np.array_equal(part.view(np.int32), want[::stride].view(np.int32))


def test_entities_of_very_different_lengths():
    lengths = np.random.default_rng(3).integers(0, 4, 3000)
    lengths[[0, 700, 2999]] = 20_000, 50_000, 0
    plan = sc.WindowPlan.from_lengths(lengths, window=2, horizon=0)
    series = np.arange(lengths.sum(), dtype=np.float32)[:, None]
    order = np.random.default_rng(4).permutation(len(plan))
    assert np.array_equal(plan.gather(series, order)[:, 0, 0], plan.starts()[order])
