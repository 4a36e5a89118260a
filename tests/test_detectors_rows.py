"""Rows from arrays and DataFrames of all sorts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_matrix

import slidecell as sc
from slidecell.frames import feature_columns
from slidecell.tables.arrays import take_rows
from slidecell.tables.options import TableOptions
from tests.detectors import ALL, make, series


def test_pandas_columns_become_numbers() -> None:
    frame = pd.DataFrame(
        {
            "nullable": pd.array([1, None, 3], dtype="Int64"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "float32": np.array([0.5, np.nan, 1.5], np.float32),
            "arrow": pd.array([7, 8, None], dtype="int64[pyarrow]"),
            "bool": [True, False, True],
        }
    )
    expected = [[1, 1, 0.5, 7, 1], [np.nan, np.nan, np.nan, 8, 0], [3, 0, 1.5, np.nan, 1]]
    values = feature_columns(frame, list(frame.columns))
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, expected)
    assert feature_columns(frame, ["bool"]).dtype == np.bool_
    assert feature_columns(frame, ["float32"]).dtype == np.float32


def test_polars_columns_become_numbers() -> None:
    frame = pl.DataFrame(
        {
            "whole": [1, None, 3],
            "flag": [True, None, False],
            "decimal": [Decimal("0.5"), None, Decimal("1.5")],
            "text": ["a", "b", "c"],
        }
    )
    expected = [[1, 1, 0.5], [np.nan, np.nan, np.nan], [3, 0, 1.5]]
    np.testing.assert_array_equal(feature_columns(frame, ["whole", "flag", "decimal"]), expected)
    with pytest.raises(TypeError, match="series: column 'text': expected real numbers, got dtype"):
        feature_columns(frame, ["text"])


def test_columns_that_occur_twice_or_not_are_named() -> None:
    frame = pd.DataFrame(np.zeros((2, 3)), columns=["a", "a", "b"])
    with pytest.raises(ValueError, match="X: column 'a' occurs 2 times"):
        feature_columns(frame, ["a", "b"], name="X")
    with pytest.raises(ValueError, match="X: expected the columns 'c', but 'c' is missing"):
        feature_columns(frame, ["c"], name="X")


def test_models_take_frames_by_the_same_rule() -> None:
    model = make("random_gru").fit(pd.DataFrame(series(), columns=["a", "b", "c"])).model_
    named = sc.SequenceModel({**model.metadata, "features": ["a", "b", "c"]}, model.tensors)
    frame = pd.DataFrame(series(), columns=["c", "a", "b"])
    scores = named.score(frame)
    assert np.array_equal(scores, model.score(series()[:, [1, 2, 0]]), equal_nan=True)
    with pytest.raises(TypeError, match="series: column 'b': expected real numbers, got dtype"):
        named.score(frame.assign(b="text"))


def unnamed() -> pd.DataFrame:
    frame = pd.DataFrame(series(6))
    frame[7] = [1, 1, 1, 0, 0, 0]
    return frame


def test_entity_and_time_may_be_numbers_of_columns() -> None:
    rows = take_rows(unnamed(), None, TableOptions(entity=7))
    assert rows.names == (0, 1, 2)
    assert rows.order is not None
    assert rows.order.tolist() == [3, 4, 5, 0, 1, 2]
    assert rows.offsets.tolist() == [0, 3, 6]
    assert np.array_equal(rows.features, series(6)[rows.order])


def test_time_orders_rows_of_given_offsets() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "t": ["2024-01-02", "2024-01-01"] * 2})
    rows = take_rows(frame, [0, 2, 4], TableOptions(time="t", duplicates="keep"))
    assert rows.features[:, 0].tolist() == [2.0, 1.0, 4.0, 3.0]
    assert rows.offsets.tolist() == [0, 2, 4]


def test_equal_times_keep_the_order_of_the_rows() -> None:
    frame = pd.DataFrame({"x": np.arange(40.0), "t": [1, 0] * 20})
    rows = take_rows(frame, None, TableOptions(time="t", duplicates="keep"))
    assert rows.features[:, 0].tolist() == [*range(1, 40, 2), *range(0, 40, 2)]


def test_keys_without_an_order_are_taken_as_they_appear() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "id": [("a", 1), 5, ("a", 1)]})
    rows = take_rows(frame, None, TableOptions(entity="id"))
    assert rows.features[:, 0].tolist() == [1.0, 3.0, 2.0]
    assert rows.offsets.tolist() == [0, 2, 3]


@pytest.mark.parametrize("times", [["2024-01-01", "soon"], [1.0, np.nan], [True, False]])
def test_columns_that_hold_no_times_are_named(times: list[Any]) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "t": times})
    with pytest.raises(ValueError, match="X: time column 't'"):
        take_rows(frame, None, TableOptions(time="t", duplicates="keep"))


def test_inputs_that_are_no_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="X: expected a dense array"):
        take_rows(csr_matrix(np.eye(3)), None, TableOptions())
    with pytest.raises(TypeError, match="X: expected real numbers, got dtype complex128"):
        take_rows(np.zeros((3, 2), complex), None, TableOptions())
    with pytest.raises(ValueError, match=r"X: expected \[S, F\] with F >= 1, got 0 feature"):
        take_rows(np.zeros((3, 0)), None, TableOptions())
    with pytest.raises(ValueError, match=r"X: expected \[S, F\] with F >= 1, got 0 feature"):
        take_rows(pd.DataFrame({"user": [1, 2]}), None, TableOptions(entity="user"))
    with pytest.raises(TypeError, match=r"X: expected an array .* got a LazyFrame"):
        take_rows(pl.LazyFrame({"x": [1.0]}), None, TableOptions())


@pytest.mark.parametrize("kind", ALL)
def test_a_fit_that_fails_leaves_the_detector_as_it_was(kind: str) -> None:
    X = series()
    detector = make(kind).fit(X)
    expected = detector.score_samples(X)
    for bad in (X[:, :1] * 0, X[:1], np.full((60, 2), np.nan)):
        with pytest.raises(ValueError, match="X: "):
            detector.fit(bad)
    detector.set_params(contamination=2.0)
    with pytest.raises(ValueError, match="contamination"):
        detector.fit(X[:, :2])
    assert np.array_equal(detector.score_samples(X), expected, equal_nan=True)
