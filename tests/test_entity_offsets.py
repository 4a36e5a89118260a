"""Offsets from a column of keys and one of times."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import slidecell as sc


@given(st.lists(st.integers(0, 4), max_size=6), st.sampled_from(["i8", "f4", "U1", "S1", object]))
@settings(max_examples=100, deadline=None)
def test_offsets_equal_the_runs_that_made_the_keys(lengths, dtype):
    names = np.array(list("qbcxya"))[: len(lengths)]  # in no order
    values = names if dtype in ("U1", "S1", object) else np.arange(len(names))[::-1]
    keys = np.repeat(values.astype(dtype), lengths)
    offsets = sc.entity_offsets(keys)
    assert offsets.dtype == np.int64
    assert offsets.tolist() == [0, *np.cumsum([n for n in lengths if n])]


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30),
    st.integers(0, 5),
    st.sampled_from(["i1", "u1", "i8", "f2", "f8", "M8[D]", "m8[s]"]),
)
@settings(max_examples=200, deadline=None)
def test_gaps_equal_those_of_a_naive_loop(steps, max_gap, dtype):
    keys, times, want = [], [], [0]
    for row, (changes, step) in enumerate(steps):
        is_new = changes or row == 0
        keys.append(keys[-1] + is_new if keys else 0)
        times.append(0 if is_new else times[-1] + step)
        if row and (is_new or step > max_gap):
            want.append(row)
    want = [*want, len(steps)] if steps else [0]
    unit = np.dtype(dtype)
    time = np.array(times, np.int64).astype(unit)
    gap = max_gap if unit.kind in "iuf" else np.timedelta64(max_gap, np.datetime_data(unit)[0])
    assert sc.entity_offsets(keys, time=time, max_gap=gap).tolist() == want
    assert sc.entity_offsets(keys, time, None).tolist() == sc.entity_offsets(keys).tolist()


@pytest.mark.parametrize(
    "keys",
    [
        ["b", "b", "a", "a", "a"],
        ("b", "b", "a", "a", "a"),
        [7, 7, "7", "7", "7"],
        np.array([2.5, 2.5, -0.0, 0.0, 0.0]),
        np.array(["2024-01-02"] * 2 + ["2024-01-01"] * 3, "M8[ns]"),
        np.array([True, True, False, False, False]),
        pd.Series(["b", "b", "a", "a", "a"]),
        pd.Series(["b", "b", "a", "a", "a"], dtype="category"),
        pd.Series(["b", "b", "a", "a", "a"], dtype="string"),
        pd.array([2, 2, 1, 1, 1], dtype="Int64"),
    ],
    ids=repr,
)
def test_keys_of_many_types(keys):
    assert sc.entity_offsets(keys).tolist() == [0, 2, 5]


def test_no_rows_are_no_entities():
    assert sc.entity_offsets([]).tolist() == [0]
    assert sc.entity_offsets([], time=[], max_gap=1).tolist() == [0]


def test_durations_of_every_type():
    keys = np.zeros(4, np.int8)
    time = np.array([0, 1, 3, 1000], "M8[s]").astype("M8[ns]")
    for gap in (
        datetime.timedelta(seconds=2),
        pd.Timedelta("2s"),
        np.timedelta64(2, "s"),
        np.timedelta64(2_000_000_000, "ns"),
    ):
        assert sc.entity_offsets(keys, time=time, max_gap=gap).tolist() == [0, 3, 4]
    nanosecond = np.array([0, 1, 3, 4], "M8[ns]")
    gap = pd.Timedelta(1, "ns")
    assert sc.entity_offsets(keys, time=nanosecond, max_gap=gap).tolist() == [0, 2, 4]


def test_differences_do_not_overflow():
    for dtype in ("i1", "i8", "u8"):
        ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
        assert sc.entity_offsets([0, 0], time=ends, max_gap=5).tolist() == [0, 1, 2]
    time = np.array([-1e308, 1e308])
    assert sc.entity_offsets([0, 0], time=time, max_gap=5.0).tolist() == [0, 1, 2]
    assert sc.entity_offsets([0, 0], time=time, max_gap=np.inf).tolist() == [0, 2]
    # float16 has steps of 2 up here; its differences are taken in float64.
    time = np.array([2048, 2050], np.float16)
    assert sc.entity_offsets([0, 0], time=time, max_gap=1.5).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (["a", "b", "a"], "keys: expected equal keys in one run, got a again in row 2"),
        (np.array([3, 1, 3, 3]), "got 3 again in row 2"),
        (["a", None], "keys: expected a key in every row, got none in row 1"),
        (["a", float("nan")], "none in row 1"),
        (np.array([1.0, np.nan]), "none in row 1"),
        (np.array(["NaT", "2024-01-01"], "M8[D]"), "none in row 0"),
        (pd.Series(["a", pd.NA], dtype="string"), "none in row 1"),
        (pd.Series(["a", None], dtype="category"), "none in row 1"),
        ([["a"], ["b"]], r"keys: expected \[S\], got \[2, 1\]"),
        ("ab", r"keys: expected \[S\], got \[\]"),
    ],
)
def test_wrong_keys_are_refused(keys, text):
    with pytest.raises(ValueError, match=text):
        sc.entity_offsets(keys)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"time": [0, 2, 1, 0]}, ValueError, "decrease within an entity, got 1 in row 2 after 2"),
        ({"time": [0, 1, np.nan, 0]}, ValueError, "time: expected a time in every row, got nan"),
        ({"time": [0, 1, np.inf, 0]}, ValueError, "got inf in row 2"),
        ({"time": np.array(["NaT"] * 4, "M8[s]")}, ValueError, "got NaT in row 0"),
        ({"time": [0, 1]}, ValueError, r"time: expected \[4\] \(rows of keys\), got \[2\]"),
        ({"time": list("abcd")}, TypeError, "time: expected numbers or datetime64, got dtype <U1"),
        ({"time": [None] * 4}, TypeError, "got dtype object"),
        ({"max_gap": 2}, ValueError, "max_gap: expected `time` beside it, got none"),
        ({"time": range(4), "max_gap": -1}, ValueError, "max_gap: expected at least 0, got -1"),
        (
            {"time": range(4), "max_gap": np.nan},
            ValueError,
            "max_gap: expected at least 0, got nan",
        ),
        ({"time": range(4), "max_gap": "1h"}, TypeError, "expected a number .*, got str"),
        (
            {"time": range(4), "max_gap": np.timedelta64(1, "s")},
            TypeError,
            r"max_gap: expected a number \(time is int64\), got timedelta64",
        ),
        (
            {"time": np.arange(4).astype("M8[s]"), "max_gap": 1},
            TypeError,
            r"max_gap: expected a timedelta \(time is datetime64\[s\]\), got int",
        ),
        (
            {"time": np.arange(4).astype("M8[s]"), "max_gap": np.timedelta64("NaT")},
            ValueError,
            "max_gap: expected at least 0, got NaT",
        ),
    ],
)
def test_wrong_times_are_refused(arguments, error, text):
    with pytest.raises(error, match=text):
        sc.entity_offsets(["a", "a", "a", "b"], **arguments)


def test_time_may_run_backwards_between_entities():
    assert sc.entity_offsets(["a", "a", "b"], time=[5, 5, 0]).tolist() == [0, 2, 3]


def text_columns(values):
    return [
        pd.Series(values, dtype="str", index=range(len(values), 0, -1)),
        pd.Series(values, dtype="string[pyarrow]"),
        pd.Series(values, dtype=pd.ArrowDtype(pa.string())),
        pd.Series(values, dtype=pd.ArrowDtype(pa.large_string())),
        pd.Index(values, dtype="str"),
        pd.Series(values, dtype="str").array,
        pl.Series(values, dtype=pl.String),
    ]


@given(st.lists(st.integers(0, 4), max_size=6))
@settings(max_examples=30, deadline=None)
def test_text_in_arrow_memory_has_the_runs_that_made_it(lengths):
    names = ["user", "use", "", "userx", "\u00fcser", "a longer name than twelve bytes"]
    keys = [name for name, n in zip(names, lengths, strict=False) for _ in range(n)]
    for column in text_columns(keys):
        offsets = sc.entity_offsets(column)
        assert offsets.dtype == np.int64
        assert offsets.tolist() == [0, *np.cumsum([n for n in lengths if n])]


def test_text_in_arrow_memory_makes_no_object_of_a_row(monkeypatch):
    column = pd.Series(["b", "b", "a"], dtype="str")

    def refuse(*args, **options):
        raise AssertionError("the column became objects")

    monkeypatch.setattr(type(column), "__array__", refuse)
    assert sc.entity_offsets(column).tolist() == [0, 2, 3]


def test_text_in_arrow_memory_is_checked_as_objects_are():
    for column in text_columns(["b", "b", None, "a"]):
        with pytest.raises(
            ValueError, match="keys: expected a key in every row, got none in row 2"
        ):
            sc.entity_offsets(column)
    for column in text_columns(["b", "b", "a", "b"]):
        with pytest.raises(
            ValueError, match="keys: expected equal keys in one run, got b again in row 3"
        ):
            sc.entity_offsets(column)
    for column in text_columns(["b", "b", "a", "a"]):
        assert sc.entity_offsets(column, time=[0, 9, 1, 2], max_gap=5).tolist() == [0, 1, 2, 4]
