"""Frames and Series of every library: the same numbers, names, times and errors as of pandas."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import narwhals
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import slidecell as sc
from slidecell.detect import ZScoreDetector, time_order
from slidecell.frames import feature_columns
from slidecell.tables.arrays import take_rows
from slidecell.tables.options import TableOptions
from tests.detectors import make, series


def reader(frame: pd.DataFrame) -> Any:
    """Return a stream of Arrow's, which can be read once."""
    table = arrow(frame)
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=7))


def arrow(frame: pd.DataFrame) -> Any:
    return pa.Table.from_pandas(frame, preserve_index=False)


def relation(frame: pd.DataFrame) -> Any:
    duckdb = pytest.importorskip("duckdb")
    table = arrow(frame)
    return duckdb.connect().from_arrow(table)


class Exporter:
    """A table that only hands itself on."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._table = arrow(frame)
        self.schema = self._table.schema

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)

    columns = property(lambda self: self._table.columns)


def modin(frame: pd.DataFrame) -> Any:
    return pytest.importorskip("modin.pandas").DataFrame(frame)


KINDS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "polars": pl.from_pandas,
    "pyarrow": arrow,
    "pyarrow batch": lambda frame: arrow(frame).combine_chunks().to_batches()[0],
    "pyarrow reader": reader,
    "narwhals of pandas": narwhals.from_native,
    "narwhals of polars": lambda frame: narwhals.from_native(pl.from_pandas(frame)),
    "DuckDB": relation,
    "Arrow's stream": Exporter,
    "modin": modin,
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Callable[[pd.DataFrame], Any]:
    return KINDS[request.param]


def users() -> pd.DataFrame:
    frame = pd.DataFrame(series(60), columns=["a", "b", "c"])
    frame.loc[3, "b"] = None
    frame["user"] = ["u", "v", "w"] * 20
    frame["day"] = pd.date_range("2024-01-31", periods=60, freq="h")[::-1]
    return frame


def model() -> sc.SequenceModel:
    found = make("random_gru").fit(series()).model_
    return sc.SequenceModel({**found.metadata, "features": ["a", "b", "c"]}, found.tensors)


def test_models_match_the_columns_of_every_kind_by_name(kind: Callable[..., Any]) -> None:
    frame = users()[["c", "user", "a", "b"]]
    expected = model().score(users()[["a", "b", "c"]].to_numpy())
    assert np.isfinite(expected).sum() > 20
    assert np.array_equal(model().score(kind(frame)), expected, equal_nan=True)
    many = model().stream().push_many(np.zeros(60, int), kind(frame))
    assert np.array_equal(many, expected, equal_nan=True)


def test_detectors_sort_the_rows_of_every_kind(kind: Callable[..., Any]) -> None:
    def fitted(frame: Any) -> ZScoreDetector:
        return ZScoreDetector(entity="user", time="day").fit(frame)

    expected = fitted(users())
    found = fitted(kind(users()))
    assert found.feature_names_in_.tolist() == ["a", "b", "c"]
    scores = found.score_samples(kind(users()))
    assert type(scores) is np.ndarray
    assert np.array_equal(scores, expected.score_samples(users()), equal_nan=True)
    order, offsets = time_order(kind(users()), entity="user", time="day")
    assert order[:2].tolist() == [57, 54]
    assert offsets.tolist() == [0, 20, 40, 60]


def test_errors_name_the_columns_of_every_kind(kind: Callable[..., Any]) -> None:
    text = "series: expected the columns 'a', 'b', 'c', but 'b' is missing"
    with pytest.raises(ValueError, match=text):
        model().score(kind(users().drop(columns="b")))
    with pytest.raises(TypeError, match="X: column 'user': expected real numbers, got dtype"):
        ZScoreDetector().fit(kind(users()))
    with pytest.raises(ValueError, match=r"entity: no column 'usr' in X .*did you mean 'user'"):
        ZScoreDetector(entity="usr").fit(kind(users()))


def test_bad_times_name_the_column_of_every_kind(kind: Callable[..., Any]) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "t": ["2024-01-31", "soon"]})
    text = "X: time column 't': 'soon' in data row 2: expected a number or a date"
    with pytest.raises(ValueError, match=text):
        take_rows(kind(frame), None, TableOptions(time="t"))


@pytest.mark.parametrize("make_frame", [pl.DataFrame, pa.table])
def test_columns_become_numbers_with_nan_for_null(make_frame: Callable[..., Any]) -> None:
    columns: dict[str, list[Any]] = {
        "whole": [1, None, 2**53 - 1],
        "flag": [True, None, False],
        "real": [0.1, None, float("nan")],
    }
    frame = make_frame(columns)
    nan = np.nan
    expected = [[1, 1, 0.1], [nan, nan, nan], [2**53 - 1, 0, nan]]
    np.testing.assert_array_equal(feature_columns(frame, list(columns)), expected)
    full = make_frame({"whole": [1, 2], "flag": [True, False]})
    assert feature_columns(full, ["whole"]).dtype == np.int64
    assert feature_columns(full, ["flag"]).dtype == np.bool_


def test_narrow_and_wide_numbers_of_arrow_stay_what_they_are() -> None:
    columns = {
        "half": pa.array(np.array([0.5, 2.0], np.float16)),
        "single": pa.array([0.1, None], pa.float32()),
        "decimal": pa.array([1, None]).cast(pa.decimal128(30, 3)),
        "most": pa.array([2**64 - 1, 0], pa.uint64()),
    }
    frame = pa.table(columns)
    assert feature_columns(frame, ["half"]).ravel().tolist() == [0.5, 2.0]
    single = feature_columns(frame, ["single"]).ravel()
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, [np.float32(0.1), np.nan])
    np.testing.assert_array_equal(feature_columns(frame, ["decimal"]).ravel(), [1.0, np.nan])
    assert feature_columns(frame, ["most"]).ravel().tolist() == [2**64 - 1, 0]
    wide = pl.DataFrame({"x": pl.Series([2**100, 1], dtype=pl.Int128)})
    assert feature_columns(wide, ["x"]).ravel().tolist() == [2.0**100, 1.0]


ZONE = datetime.timezone(datetime.timedelta(hours=2))
HOURS = [datetime.datetime(2024, 3, day, 12, 30, 0, 1) for day in (3, 1, 2)]
TIMES: dict[str, list[Any]] = {
    "datetimes": HOURS,
    "dates": [hour.date() for hour in HOURS],
    "zoned": [hour.replace(tzinfo=ZONE) for hour in HOURS],
    "durations": [datetime.timedelta(days=hour.day) for hour in HOURS],
    "texts": ["03.03.2024", "01.03.2024", "20.02.2024"],
    "whole": [2**62 + 2, 2**62, 2**62 + 1],
    "fractions": [2.5, 0.25, 1.5],
}


@pytest.mark.parametrize("times", TIMES)
def test_times_of_every_kind_are_those_of_pandas(kind: Callable[..., Any], times: str) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "t": TIMES[times]})
    options = TableOptions(time="t")
    expected = take_rows(frame, None, options)
    if kind is relation and times == "durations":  # intervals of months, days and nanoseconds
        with pytest.raises(ValueError, match=r"X: time column 't': .* expected a number or a date"):
            take_rows(kind(frame), None, options)
        return
    found = take_rows(kind(frame), None, options)
    assert expected.times is not None
    assert found.times is not None
    assert found.times.values.tolist() == expected.times.values.tolist()
    assert (found.times.kind, found.features.tolist()) == (
        expected.times.kind,
        expected.features.tolist(),
    )


SERIES: dict[str, Callable[[list[float]], Any]] = {
    "pandas": lambda values: pd.Series(values, name="load"),
    "polars": lambda values: pl.Series("load", values),
    "narwhals": lambda values: narwhals.from_native(pl.Series("load", values), series_only=True),
    "pyarrow": pa.array,
    "pyarrow chunks": lambda values: pa.chunked_array([values[:5], values[5:]]),
    "nameless": pl.Series,
}


@pytest.mark.parametrize("library", SERIES)
def test_a_series_is_one_feature(library: str) -> None:
    values = series(60)[:, :1]
    given = SERIES[library](values.ravel().tolist())
    plain = ZScoreDetector().fit(values)
    found = ZScoreDetector().fit(given)
    assert np.array_equal(found.score_samples(given), plain.score_samples(values), equal_nan=True)
    named = getattr(found, "feature_names_in_", None)
    if library in {"pandas", "polars", "narwhals"}:
        assert named is not None
        assert named.tolist() == ["load"]
    else:
        assert named is None
    net = make("random_gru").fit(values).model_
    assert np.array_equal(net.score(given), net.score(values), equal_nan=True)


def test_a_series_with_an_index_of_dates_is_sorted_by_it() -> None:
    days = pd.to_datetime(["2024-01-03", "2024-01-01", "2024-01-02"])
    rows = take_rows(pd.Series([3.0, 1.0, 2.0], index=days), None, TableOptions())
    assert rows.features.ravel().tolist() == [1.0, 2.0, 3.0]
    assert rows.names == (0,)


def test_a_plain_vector_is_still_refused() -> None:
    with pytest.raises(ValueError, match=r"X: expected \[S, F\], got \[3\]"):
        ZScoreDetector().fit(np.arange(3.0))


def test_lazy_frames_are_refused_with_what_reads_them() -> None:
    lazy = pl.LazyFrame({"a": [1.0], "b": [1.0], "c": [1.0]})
    text = r"expected an array \[S, F\] or a DataFrame, got a LazyFrame: "
    for door, name in (
        (model().score, "series"),
        (ZScoreDetector().fit, "X"),
        (time_order, "frame"),
        (lambda frame: model().stream().push_many([0], frame), "rows"),
        (lambda frame: sc.Monitor(model().stream()).push_many([0], frame), "rows"),
    ):
        for frame in (lazy, narwhals.from_native(lazy)):
            with pytest.raises(TypeError, match=rf"{name}: {text}{name}\.collect\(\) makes one"):
                door(frame)


def test_lazy_frames_of_dask_and_spark_are_refused_by_name() -> None:
    for library, read in (("dask", "compute"), ("pyspark", "toPandas")):
        lazy = type("DataFrame", (), {read: None, "columns": ["a"], "__module__": f"{library}.sql"})
        text = rf"got a DataFrame of {library}: X\.{read}\(\) makes one"
        with pytest.raises(TypeError, match=text):
            ZScoreDetector().fit(lazy())


def test_a_name_that_a_table_has_twice_is_refused() -> None:
    table = pa.table([[1.0], [2.0], [3.0], [4.0]], names=["a", "b", "c", "b"])
    with pytest.raises(ValueError, match=r"^series: column 'b' occurs 2 times"):
        model().score(table)
    with pytest.raises(ValueError, match=r"^X: column 'b' occurs 2 times"):
        ZScoreDetector().fit(table)


def test_arrays_need_no_reader_of_frames() -> None:
    code = """
import sys
sys.modules |= dict.fromkeys(["narwhals", "pandas", "polars", "pyarrow"])
import numpy as np
from slidecell.bench.cases import random_model
model = random_model("gru", (4,), features=2)
assert np.isfinite(model.score(np.ones((20, 2)))).sum() > 10
class Frame:
    columns, to_numpy = ["a", "b"], None
try:
    model.score(Frame())
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "narwhals, which reads frames, is not installed: pip install" in done.stdout
