"""Reading files: order, entities, gaps, duplicates, missing cells, and every bad input's text."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

from slidecell.tables.options import TableOptions  # noqa: E402
from slidecell.tables.table import join_tables, make_table, read_table  # noqa: E402


def read(tmp_path, text, **options):
    path = tmp_path / "in.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, TableOptions(**options))


PANEL = """when,who,x,y
2024-01-03,b,3,30
2024-01-01,a,1,10
2024-01-01,b,1,11
2024-01-02,a,2,20
"""


def test_detect_table_sorts_by_entity_and_time_and_leads_back(tmp_path):
    table = read(tmp_path, PANEL, time="when", entity="who")
    assert table.names == ("x", "y")
    assert table.entity_names == ("a", "b")
    assert table.features[:, 0].tolist() == [1, 2, 1, 3]
    assert table.offsets.tolist() == [0, 2, 4]
    assert table.order.tolist() == [1, 3, 2, 0]
    assert table.restore(table.features[:, 1], np.nan).tolist() == [30, 10, 11, 20]
    assert list(table.keys.columns) == ["when", "who"]
    assert table.keys["when"].tolist()[0] == "2024-01-03"


def test_detect_table_equal_times_keep_the_order_of_the_file(tmp_path):
    text = "t,x\n2,1\n1,2\n2,3\n1,4\n"
    table = read(tmp_path, text, time="t", duplicates="keep")
    assert table.features[:, 0].tolist() == [2, 4, 1, 3]
    last = read(tmp_path, text, time="t", duplicates="last")
    assert last.features[:, 0].tolist() == [4, 3]
    assert last.restore(np.ones(2), np.nan).tolist()[2:] == [1, 1]
    assert np.isnan(last.restore(np.ones(2), np.nan)[:2]).all()
    assert "2 row(s) with a later duplicate" in " ".join(last.notes)


def test_detect_table_without_time_the_file_is_the_order(tmp_path):
    table = read(tmp_path, "who,x\nb,1\na,2\nb,3\na,4\n", entity="who")
    assert table.features[:, 0].tolist() == [2, 4, 1, 3]
    assert table.times is None


def test_detect_table_gaps_cut_segments(tmp_path):
    text = "when,x\n2024-01-01,1\n2024-01-02,2\n2024-01-05,3\n2024-01-06,4\n"
    assert read(tmp_path, text, time="when", max_gap="2d").offsets.tolist() == [0, 2, 4]
    assert read(tmp_path, text, time="when", max_gap="3d").offsets.tolist() == [0, 4]
    cut = read(tmp_path, "t,x\n0,1\n1,2\n3.5,3\n", time="t", max_gap="2")
    assert cut.offsets.tolist() == [0, 2, 3]
    assert cut.gaps == 1
    assert cut.summary()["gaps"] == 1


@pytest.mark.parametrize("gap", ["48h", "2880 min", "172800s", "2 days", "2D", "172800000ms"])
def test_detect_table_gap_units(tmp_path, gap):
    text = "when,x\n2024-01-01,1\n2024-01-03,2\n2024-01-05T00:00:00.001,3\n"
    assert read(tmp_path, text, time="when", max_gap=gap).offsets.tolist() == [0, 2, 3]


def test_detect_table_missing_cells_are_nan_and_infinity_is_missing(tmp_path):
    table = read(tmp_path, "x,y\n1,inf\n,2\nNA,3\n4,4\n")
    assert np.isnan(table.features).tolist() == [
        [False, True],
        [True, False],
        [True, False],
        [False, False],
    ]
    assert table.missing_cells == 3


def test_detect_table_ffill_looks_back_within_its_segment(tmp_path):
    text = "t,who,x\n1,a,\n2,a,5\n3,a,\n4,a,inf\n1,b,\n2,b,7\n9,b,\n10,b,8\n"
    table = read(tmp_path, text, time="t", entity="who", missing="ffill", max_gap="3")
    assert np.array_equal(
        table.features[:, 0], [np.nan, 5, 5, 5, np.nan, 7, np.nan, 8], equal_nan=True
    )


def test_detect_table_booleans_are_numbers(tmp_path):
    table = read(tmp_path, "x,on,off\n1,True,True\n2,False,\n")
    assert table.features[:, 1].tolist() == [1, 0]
    assert table.features[0, 2] == 1
    assert np.isnan(table.features[1, 2])


def test_detect_table_key_text_is_kept_and_may_look_missing(tmp_path):
    table = read(tmp_path, "id,t,x\nNA,007,1\nNA,008,2\nnull,1,3\n", entity="id", time="t")
    assert table.entity_names == ("NA", "null")
    assert table.keys.to_numpy().tolist() == [["NA", "007"], ["NA", "008"], ["null", "1"]]
    assert table.times.values.tolist() == [7, 8, 1]


def test_detect_table_features_and_exclude(tmp_path):
    text = 'a,"b,c",d,y\n1,2,3,0\n4,5,6,1\n'
    assert read(tmp_path, text, label="y").names == ("a", "b,c", "d")
    assert read(tmp_path, text, features=("d,a",)).names == ("d", "a")
    assert read(tmp_path, text, features=("b,c", "a")).names == ("b,c", "a")
    assert read(tmp_path, text, exclude=("a", "b,c"), label="y").names == ("d",)


def test_detect_table_column_without_a_name_is_left_out_and_said(tmp_path):
    table = read(tmp_path, ",x\n0,5\n1,6\n")
    assert table.names == ("x",)
    assert "column(s) without a name" in table.notes[0]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_detect_table_other_delimiters_and_byte_order_mark(tmp_path, delimiter):
    text = "\ufefft,x,y\n1,2,3\n4,5,6\n".replace(",", delimiter)
    assert read(tmp_path, text, time="t").features.tolist() == [[2, 3], [5, 6]]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("2024-01-01", "2024-01-02 12:00"), ["2024-01-01T00:00", "2024-01-02T12:00"]),
        (("13/02/2024", "01/03/2024"), ["2024-02-13T00:00", "2024-03-01T00:00"]),
        (("01/03/2024", "13/03/2024"), ["2024-03-01T00:00", "2024-03-13T00:00"]),
        (("2024-01-01T00:00:00+02:00", "2024-01-01T00Z"), ["2023-12-31T22:00", "2024-01-01T00:00"]),
    ],
)
def test_detect_table_dates(tmp_path, cells, expected):
    table = read(tmp_path, f"t,x\n{cells[0]},1\n{cells[1]},2\n", time="t")
    assert table.times.kind == "date"
    got = table.times.values.astype("datetime64[ns]")
    assert (got == np.array(expected, "datetime64[ns]")).all()


def test_detect_table_date_objects_and_zones():
    frame = pd.DataFrame(
        {"t": [datetime.date(2024, 1, 2), datetime.date(2024, 1, 1)], "x": [1.0, 2.0]}
    )
    assert make_table(frame, TableOptions(time="t")).features[:, 0].tolist() == [2, 1]
    zoned = pd.DataFrame({"t": pd.date_range("2024", periods=2, tz="Europe/Paris"), "x": [1, 2]})
    times = make_table(zoned, TableOptions(time="t")).times
    assert times.text(0) == "2023-12-31 23:00"


def test_detect_table_parquet_equals_csv(tmp_path):
    csv = read(tmp_path, PANEL, time="when", entity="who")
    frame = pd.read_csv(tmp_path / "in.csv", parse_dates=["when"])
    frame.to_parquet(tmp_path / "in.parquet")
    table = read_table(tmp_path / "in.parquet", TableOptions(time="when", entity="who"))
    assert table.kind == "parquet"
    assert np.array_equal(table.features, csv.features)
    assert np.array_equal(table.times.values, csv.times.values)
    frame.set_index("when").to_parquet(tmp_path / "indexed.parquet")
    indexed = read_table(tmp_path / "indexed.parquet", TableOptions(time="when", entity="who"))
    assert np.array_equal(indexed.features, csv.features)


def test_detect_table_one_row_and_no_spread(tmp_path):
    table = read(tmp_path, "x\n5\n")
    assert table.offsets.tolist() == [0, 1]


def test_detect_table_join_keeps_files_apart(tmp_path):
    first = read(tmp_path, "who,x,y\na,1,0\n", entity="who", label="y")
    second = read(tmp_path, "who,x\nb,3\na,2\n", entity="who")
    both = join_tables(first, second)
    assert both.offsets.tolist() == [0, 1, 2, 3]
    assert both.entities.tolist() == [0, 1, 2]
    assert both.labels.tolist() == [0, -1, -1]
    assert both.restore(both.features[:, 0], np.nan).tolist() == [1, 3, 2]
    assert both.summary()["entities"] == 2
    parquet = tmp_path / "p.parquet"
    pd.DataFrame({"who": ["c"], "x": [1.0]}).to_parquet(parquet)
    with pytest.raises(ValueError, match=r"p\.parquet: expected a csv file"):
        join_tables(first, read_table(parquet, TableOptions(entity="who")))


BAD = [
    ("", {}, "in.csv: the file is empty"),
    ("\n\n", {}, "in.csv: the file is empty"),
    ("a,b\n", {}, "in.csv: no rows below the header"),
    ("a,b\n1,2\n3\n", {}, "in.csv: line 3: expected 2 cells, got 1"),
    ("a,b\n1,2\n3,4,5\n", {}, "in.csv: line 3: expected 2 cells, got 3"),
    ("a,b\n1,2,3\n4,5,6\n", {}, "in.csv: line 2: expected 2 cells, got 3"),
    ('a,b\n1,"2\n3,4\n', {}, "in.csv: line 2: a quote is opened and never closed"),
    (b"a,b\n1,2\n3,\xff\n", {}, "in.csv: line 3: byte 0xff is not UTF-8 text"),
    (b"a,b\n1,2\n\0\0\0", {}, r"in.csv: line 3: .*zero byte \(byte 8 of the file\)"),
    (b"PAR1" + bytes(20) + b"PAR1", {}, "in.csv: damaged Parquet file: "),
    ("a,a\n1,2\n", {}, "in.csv: line 1: two columns are called 'a'"),
    ("a,b\n1,2\n", {"time": "c"}, r"--time: no column 'c' in .*in.csv \(it has: a, b\)"),
    ("time,b\n1,2\n", {"time": "tme"}, r"did you mean 'time'\?"),
    ("a,b\n1,2\n", {"features": ("a", "x")}, "--features: no column 'x'"),
    ("a,b\n1,2\n", {"exclude": ("x",)}, "--exclude: no column 'x'"),
    ("a,b\n1,2\n", {"exclude": ("a", "b")}, "no feature column left"),
    ("a,b\n1,2\n", {"time": "a", "features": ("a",)}, "column 'a' is given as --time"),
    ("u,x\nq,1\n", {}, "column 'u' holds text .*--exclude u.*--entity u"),
    ("u,x\nq,1\n", {"features": ("u",)}, "column 'u' holds text .*--exclude u.*--entity u"),
    ("my host,x\nq,1\n", {}, "--exclude 'my host'"),
    ("d,x\n2024-01-01,1\n", {}, "column 'd' holds dates .*--time d.*--exclude d"),
    ("x\n1\n2\n?\n", {}, r"column 'x': '\?' in data row 3 is no number.*--exclude x"),
    ("x,y\n1,\n2,\n", {}, "column 'y' has no values: .*--exclude y"),
    ("t,x\n1,1\n,2\n", {"time": "t"}, "time column 't': 1 empty, the first in data row 2"),
    ("t,x\n1,1\nnoon,2\n", {"time": "t"}, "time column 't': 'noon' in data row 2"),
    ("t,x\n01/02/2024,1\n02/03/2024,2\n", {"time": "t"}, "day and month could be swapped"),
    ("t,x\n2024-01-01,1\n2500-01-01,2\n", {"time": "t"}, "row 2: .*years 1678 to 2261"),
    ("u,x\na,1\n,2\n", {"entity": "u"}, "entity column 'u': 1 empty, the first in data row 2"),
    ("t,x\n1,1\n1,2\n", {"time": "t"}, "rows 1 and 2 share 1: choose --duplicates .*--entity"),
    ("x,y\n1,0\n2,3\n", {"label": "y"}, "expected 0 or 1 .*got 3 in data row 2"),
    ("x,y\n1,0\n2,\n", {"label": "y"}, "got an empty cell in data row 2"),
    ("x,y\n1,ok\n", {"label": "y"}, "expected 0 or 1 .*got 'ok' in data row 1"),
    ("t,x\n2024-01-01,1\n", {"time": "t", "max_gap": "5"}, "--max-gap: expected a duration"),
    ("t,x\n2024-01-01,1\n", {"time": "t", "max_gap": "0h"}, "--max-gap: expected a duration"),
    ("t,x\n2024-01-01,1\n", {"time": "t", "max_gap": "2 moons"}, "--max-gap: expected a dur"),
    ("t,x\n1,1\n", {"time": "t", "max_gap": "2h"}, "--max-gap: expected a number above 0"),
]


@pytest.mark.parametrize(("text", "options", "message"), BAD)
def test_detect_table_bad_files(tmp_path, text, options, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": "a", "label": "a"}, "--label: column 'a' is already given as --time"),
        ({"max_gap": "2h"}, "--max-gap: needs --time"),
        ({"missing": "drop"}, "--missing: expected skip or ffill, got 'drop'"),
        ({"duplicates": "first"}, "--duplicates: expected error, keep or last, got 'first'"),
    ],
)
def test_detect_table_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        TableOptions(**options)


def test_detect_table_files_that_cannot_be_opened(tmp_path):
    with pytest.raises(OSError, match=r"nothing\.csv: No such file"):
        read_table(tmp_path / "nothing.csv", TableOptions())
    with pytest.raises(OSError, match="expected a CSV or Parquet file, got a folder"):
        read_table(tmp_path, TableOptions())


def test_detect_table_damaged_parquet_is_refused_wherever_it_is_cut_or_changed(tmp_path):
    whole = tmp_path / "whole.parquet"
    rng = np.random.default_rng(0)
    pd.DataFrame({"x": rng.random(500), "y": rng.random(500)}).to_parquet(whole)
    data = whole.read_bytes()
    path = tmp_path / "bad.parquet"
    for cut in (3, 4, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(ValueError, match=r"bad\.parquet: "):
            read_table(path, TableOptions())
    path.write_bytes(data[:-30] + b"\xff" * 20 + data[-10:])
    with pytest.raises(ValueError, match=r"bad\.parquet: damaged Parquet file"):
        read_table(path, TableOptions())
    path.write_text("x\n1\n")
    with pytest.raises(ValueError, match="not a Parquet file: expected PAR1 at byte 0"):
        read_table(path, TableOptions())


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "datetime64[us, UTC]", "complex64", "object"])
def test_a_column_of_any_type_may_have_no_values(dtype: str) -> None:
    frame = pd.DataFrame({"x": pd.Series([None] * 3, dtype=dtype), "y": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match="column 'x' has no values: leave it out with --exclude x"):
        make_table(frame, TableOptions())
    # Beside it, dates are what they were.
    frame["x"] = pd.to_datetime(["2024-01-01", None, "2024-01-02"])
    with pytest.raises(ValueError, match="column 'x' holds dates"):
        make_table(frame, TableOptions())
