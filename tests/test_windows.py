"""Windows of arrays: the arithmetic against a plain loop, the buffers, and every refusal."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slidecell as sc

DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]
LENGTHS = st.lists(st.integers(0, 12), min_size=1, max_size=6)


def naive_windows(lengths, window, horizon, stride):
    """(entity, first row) of each window, by trying every row of every entity."""
    found = []
    first = 0
    for entity, rows in enumerate(lengths):
        for start in range(first, first + rows, stride):
            if start + window + horizon <= first + rows:
                found.append((entity, start))
        first += rows
    return found


def numbered(rows, features=3):
    """Series [rows, features] in which every value differs."""
    return np.arange(rows * features, dtype=np.float32).reshape(rows, features)


# --- arithmetic -------------------------------------------------------------------------------


@given(LENGTHS, st.integers(1, 6), st.integers(0, 4), st.integers(1, 5))
@settings(max_examples=300, deadline=None)
def test_plan_equals_naive_loop(lengths, window, horizon, stride):
    plan = sc.WindowPlan.from_lengths(lengths, window=window, horizon=horizon, stride=stride)
    starts = [start for _, start in naive_windows(lengths, window, horizon, stride)]
    assert len(plan) == len(starts)
    assert plan.starts().dtype == plan.rows().dtype == plan.offsets.dtype == np.int64
    assert plan.starts().tolist() == starts
    assert plan.rows().tolist() == [start + window + horizon - 1 for start in starts]
    assert plan.offsets.tolist() == [0, *np.cumsum(lengths)]
    per_entity = [
        0 if n < window + horizon else (n - window - horizon) // stride + 1 for n in lengths
    ]
    assert len(plan) == sum(per_entity)


@given(LENGTHS, st.integers(1, 6), st.integers(0, 4), st.integers(1, 5), st.randoms())
@settings(max_examples=200, deadline=None)
def test_gather_equals_naive_loop(lengths, window, horizon, stride, random):
    plan = sc.WindowPlan.from_lengths(lengths, window=window, horizon=horizon, stride=stride)
    series = numbered(sum(lengths))
    order = list(range(len(plan)))
    random.shuffle(order)
    starts = [naive_windows(lengths, window, horizon, stride)[i][1] for i in order]
    x = np.array([series[s : s + window] for s in starts], np.float32).reshape(-1, window, 3)
    y = np.array([series[s + window : s + window + horizon] for s in starts], np.float32)
    got = plan.gather(series, np.array(order, np.int64))
    if horizon == 0:
        assert np.array_equal(got, x)
    else:
        assert np.array_equal(got[0], x)
        assert np.array_equal(got[1], y.reshape(-1, horizon, 3))


def test_windows_never_cross_entities():
    series = np.repeat(np.arange(5.0), [9, 1, 0, 4, 7])[:, None]  # each row names its entity
    plan = sc.WindowPlan.from_lengths([9, 1, 0, 4, 7], window=3, horizon=1)
    x, y = plan.gather(series, np.arange(len(plan)))
    assert (x == y[:, :1]).all()
    assert set(x.ravel()) == {0.0, 3.0, 4.0}


def test_entities_too_short_have_no_windows():
    assert len(sc.WindowPlan.from_lengths([0, 1, 3], window=3, horizon=1)) == 0
    assert len(sc.WindowPlan.from_lengths([0, 1, 3], window=3, horizon=0)) == 1
    x, y = sc.sliding_windows(numbered(1), window=3)
    assert x.shape == (0, 3, 3)
    assert y.shape == (0, 1, 3)


@pytest.mark.parametrize("offsets", [None, [0, 0], [0]])
def test_zero_rows(offsets):
    x, y = sc.sliding_windows(np.zeros((0, 2)), window=4, horizon=2, offsets=offsets)
    assert x.shape == (0, 4, 2)
    assert y.shape == (0, 2, 2)


def test_zero_features():
    assert sc.sliding_windows(np.zeros((5, 0)), window=2, horizon=0).shape == (4, 2, 0)


def test_plan_needs_no_memory_per_window():
    plan = sc.WindowPlan([0, 2**62], window=7)
    assert len(plan) == 2**62 - 7
    assert repr(plan) == (
        f"WindowPlan({2**62 - 7} windows of {2**62} rows and 1 entities, "
        "window=7, horizon=1, stride=1)"
    )


def test_plan_attributes_and_copies():
    plan = sc.WindowPlan([0, 12, 15, 20], window=4, horizon=2, stride=3)
    for twin in (plan, pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan)):
        assert (twin.window, twin.horizon, twin.stride) == (4, 2, 3)
        assert twin.offsets.tolist() == [0, 12, 15, 20]
        assert twin.starts().tolist() == plan.starts().tolist()
    plan.offsets[0] = 7  # a copy: the plan stays as it is
    assert plan.offsets[0] == 0


# --- series of any dtype and layout -------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_are_cast_as_numpy_does(dtype, order):
    rng = np.random.default_rng(0)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        series = rng.normal(size=(30, 5)).astype(dtype)
        series[3, 1], series[4, 2] = np.nan, -np.inf
        series[5, 0] = np.finfo(dtype).smallest_subnormal
    else:
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        series = rng.integers(low, high, (30, 5), endpoint=True, dtype=dtype)
    got = sc.sliding_windows(series.astype(dtype.newbyteorder(order)), window=30, horizon=0)
    assert got.dtype == np.float32
    assert np.array_equal(got[0], series.astype(np.float32), equal_nan=True)


def test_every_half_precision_number():
    series = np.arange(2**16, dtype=np.uint16).view(np.float16)[:, None]
    got = sc.sliding_windows(series, window=2**16, horizon=0)[0]
    assert np.array_equal(got, series.astype(np.float32), equal_nan=True)
    assert np.array_equal(np.signbit(got), np.signbit(series))


def test_long_double_and_lists():
    series = np.linspace(0, 1, 12).reshape(6, 2)
    want = sc.sliding_windows(series, window=2, horizon=0)
    for same in (series.astype(np.longdouble), series.tolist(), np.asfortranarray(series)):
        assert np.array_equal(sc.sliding_windows(same, window=2, horizon=0), want)


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4"])
def test_any_strides(dtype):
    base = np.arange(4000).reshape(40, 10, 10).astype(dtype)
    packed = np.frombuffer(b"\0" + base.tobytes(), dtype, offset=1).reshape(base.shape)
    assert not packed.flags.aligned
    views = [
        base[:, 3],
        base[:, :, 4],
        base[::-1, 3, ::-2],
        base[::3, 2, 1:8],
        base[3, :, 1:4].T,
        np.broadcast_to(base[0, 0], (12, 10)),
        packed[::-2, 5],
    ]
    for series in views:
        x, y = sc.sliding_windows(series, window=3, horizon=2, stride=2)
        plain = series.astype(np.float32)
        for i in range(len(x)):
            assert np.array_equal(x[i], plain[2 * i : 2 * i + 3])
            assert np.array_equal(y[i], plain[2 * i + 3 : 2 * i + 5])


def test_series_is_not_changed_and_may_be_read_only():
    series = numbered(20)
    series.flags.writeable = False
    before = series.copy()
    sc.sliding_windows(series, window=4)
    assert np.array_equal(series, before)


# --- output ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_threads", [None, 1, 2, 4])
def test_threads_and_buffers_change_nothing(num_threads):
    series = np.random.default_rng(1).random((6000, 7))
    plan = sc.WindowPlan([0, 2500, 2503, 6000], window=9, horizon=2)
    indices = np.random.default_rng(2).permutation(len(plan))
    x, y = plan.gather(series, indices, num_threads=1)
    out = (np.full_like(x, np.nan), np.full_like(y, np.nan))
    for _ in range(2):
        got = plan.gather(series, indices, out=out, num_threads=num_threads)
        assert got[0] is out[0]
        assert got[1] is out[1]
        assert np.array_equal(out[0], x)
        assert np.array_equal(out[1], y)
        out[0].fill(np.nan)


def test_out_without_horizon_is_one_array():
    series = numbered(20)
    out = np.full((17, 4, 3), np.nan, np.float32)
    assert sc.sliding_windows(series, window=4, horizon=0, out=out) is out
    assert np.array_equal(out, sc.sliding_windows(series, window=4, horizon=0))


@pytest.mark.parametrize(
    ("out", "error", "text"),
    [
        ("x", TypeError, r"out: expected a float32 array \[5, 4, 3\], .*, got str"),
        (np.empty((5, 4, 3)), ValueError, r"got float64 \[5, 4, 3\]"),
        (np.empty((5, 4, 3), ">f4"), ValueError, r"got >f4 \[5, 4, 3\]"),
        (np.empty((4, 5, 3), np.float32), ValueError, r"got float32 \[4, 5, 3\]"),
        (np.empty((5, 12), np.float32), ValueError, r"got float32 \[5, 12\]"),
        (np.empty((5, 4, 6), np.float32)[:, :, ::2], ValueError, "not C-contiguous"),
        (np.frombuffer(bytes(240), np.float32).reshape(5, 4, 3), ValueError, "read-only"),
        (
            np.frombuffer(bytearray(241), np.float32, offset=1).reshape(5, 4, 3),
            ValueError,
            "not aligned",
        ),
        ((np.empty((5, 4, 3), np.float32),) * 2, TypeError, "got tuple"),
    ],
)
def test_wrong_out_is_refused(out, error, text):
    plan = sc.WindowPlan([0, 20], window=4, horizon=0)
    with pytest.raises(error, match=text):
        plan.gather(numbered(20), np.arange(5), out=out)


def test_wrong_pair_of_outs_is_refused():
    plan = sc.WindowPlan([0, 20], window=4, horizon=1)
    x, y = np.empty((5, 4, 3), np.float32), np.empty((5, 1, 3), np.float32)
    with pytest.raises(TypeError, match=r"out: expected a pair \(X, y\)"):
        plan.gather(numbered(20), np.arange(5), out=x)
    with pytest.raises(ValueError, match=r"out\[1\]: expected a float32 array \[5, 1, 3\]"):
        plan.gather(numbered(20), np.arange(5), out=(x, y[:4]))
    with pytest.raises(ValueError, match=r"out\[0\]: expected a float32 array \[5, 4, 3\]"):
        plan.gather(numbered(20), np.arange(5), out=(x[:4], y))
    memory = np.zeros((20, 3), np.float32)
    with pytest.raises(ValueError, match=r"out\[0\]: shares memory with series"):
        plan.gather(memory, [0], out=(memory[2:6][None], y[:1]))


FORK = """
import os
import numpy as np
import slidecell as sc

series = np.ones((100_000, 3), np.float32)
sc.sliding_windows(series, window=5, num_threads=2)
child = os.fork()
x, y = sc.sliding_windows(series, window=5, num_threads=2)
if child == 0:
    os._exit(int(x.sum() != x.size))
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_gather():
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=60)


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"window": 0}, ValueError, "window: expected at least 1, got 0"),
        ({"window": -3}, ValueError, "window: expected at least 1, got -3"),
        ({"window": 2.0}, TypeError, "window: expected an integer, got 2.0"),
        ({"window": 2**63}, ValueError, f"window: expected a 64-bit integer, got {2**63}"),
        ({"horizon": -1}, ValueError, "horizon: expected at least 0, got -1"),
        ({"horizon": "1"}, TypeError, "horizon: expected an integer, got '1'"),
        ({"horizon": 2**63 - 1}, ValueError, "horizon: window \\+ horizon exceeds 64 bits"),
        ({"stride": 0}, ValueError, "stride: expected at least 1, got 0"),
        ({"stride": None}, TypeError, "stride: expected an integer, got None"),
        ({"offsets": []}, ValueError, "offsets: expected 0 first, got none"),
        ({"offsets": [1, 20]}, ValueError, "offsets: expected 0 first, got 1"),
        ({"offsets": [0, 9, 8, 20]}, ValueError, "never decrease, got 9 then 8 at position 2"),
        ({"offsets": [0.0, 20.0]}, TypeError, r"offsets: expected \[G\+1\] integers, got dtype"),
        ({"offsets": [[0, 20]]}, ValueError, r"offsets: expected \[G\+1\] integers, got \[1, 2\]"),
        ({"offsets": [0, 19]}, ValueError, r"offsets: expected to end at 20 \(rows of series\)"),
        ({"offsets": [0, 21]}, ValueError, "got 21"),
        ({"num_threads": 0}, ValueError, "num_threads: expected at least 1, got 0"),
        ({"num_threads": -2}, ValueError, "num_threads: expected at least 1, got -2"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        sc.sliding_windows(numbered(20), **{"window": 4, **arguments})


@pytest.mark.parametrize(
    ("series", "error", "text"),
    [
        (np.zeros(20), ValueError, r"series: expected \[S, F\], got \[20\]; .* series\[:, None\]"),
        (np.zeros((20, 2, 2)), ValueError, r"series: expected \[S, F\], got \[20, 2, 2\]"),
        (np.zeros((20, 2), complex), TypeError, "series: expected real numbers, got dtype complex"),
        (np.full((20, 2), "a"), TypeError, "series: expected real numbers, got dtype <U1"),
        (np.full((20, 2), None), TypeError, "series: expected real numbers, got dtype object"),
        (
            np.zeros((20, 2), "M8[s]"),
            TypeError,
            "series: expected real numbers, got dtype datetime",
        ),
        (7.0, ValueError, r"series: expected \[S, F\], got \[\]"),
    ],
)
def test_wrong_series_is_refused(series, error, text):
    with pytest.raises(error, match=text):
        sc.sliding_windows(series, window=2)


def test_series_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"series: expected 20 rows \(where offsets end\), got 19"):
        sc.WindowPlan([0, 20], window=4).gather(numbered(19), [0])


@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", ">i8", "u8"])
def test_any_integer_indices(dtype):
    plan = sc.WindowPlan([0, 20], window=4, horizon=0)
    got = plan.gather(numbered(20), np.array([16, 0, 0], dtype)[::-1])
    assert np.array_equal(got[:, 0, 0], [0, 0, 48])
    assert plan.gather(numbered(20), []).shape == (0, 4, 3)


@pytest.mark.parametrize(
    ("indices", "error", "text"),
    [
        ([0, -1], IndexError, "indices: expected windows 0 <= index < 17, got -1"),
        ([0, 17], IndexError, "indices: expected windows 0 <= index < 17, got 17"),
        ([2**63 - 1], IndexError, "got 9223372036854775807"),
        ([0.0], TypeError, r"indices: expected \[n\] integers, got dtype float64"),
        ([True], TypeError, "got dtype bool"),
        ([[0]], ValueError, r"indices: expected \[n\] integers, got \[1, 1\]"),
    ],
)
def test_wrong_indices_are_refused_before_anything_is_written(indices, error, text):
    plan = sc.WindowPlan([0, 20], window=4, horizon=0)
    out = np.full((len(indices), 4, 3), np.nan, np.float32)
    with pytest.raises(error, match=text):
        plan.gather(numbered(20), indices, out=out)
    assert np.isnan(out).all()


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ([3, -1], "lengths: expected at least 0, got -1"),
        ([3.0], r"lengths: expected \[G\] integers, got \[1\] of dtype float64"),
        ([[3]], r"lengths: expected \[G\] integers, got \[1, 1\]"),
        ([2**62, 2**62], "offsets: expected numbers that never decrease"),
    ],
)
def test_wrong_lengths_are_refused(lengths, text):
    with pytest.raises(ValueError, match=text):
        sc.WindowPlan.from_lengths(lengths, window=1)
