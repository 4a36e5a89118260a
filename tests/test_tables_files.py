"""Files of other programs: blank lines, no header, gzip, quotes, cells that are nearly numbers."""

from __future__ import annotations

import gzip
import os
import re
import threading

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")

from slidecell.tables.arrays import take_rows  # noqa: E402
from slidecell.tables.header import find_delimiter  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from slidecell.tables.table import read_table  # noqa: E402


def read(tmp_path, content, name="in.csv", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, TableOptions(**options))


def values(rows):
    return [None if np.isnan(value) else value for value in rows.features[:, 0]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_a_blank_line_is_a_missing_row(tmp_path, end):
    rows = read(tmp_path, "\n\nx\n1\n\n3\n  \n5\n\n\n".replace("\n", end))
    assert values(rows) == [1, None, 3, None, 5]
    assert rows.input_rows == 5
    assert rows.summary()["missing_rows"] == rows.missing_cells == 2


def test_tables_a_blank_line_between_labelled_rows_has_no_label(tmp_path):
    rows = read(tmp_path, 'x,z,y\n1,a,0\n\n"3",b,1\n', label="y", exclude=("z",))
    assert values(rows) == [1, None, 3]
    assert rows.labels.tolist() == [0, -1, 1]


def test_tables_a_blank_line_without_a_place_is_said(tmp_path):
    rows = read(tmp_path, "t,x\n1,1\n\n2,2\n\n", time="t")
    assert values(rows) == [1, 2]
    assert "1 blank line(s) were left out" in rows.notes[0]


def test_tables_blank_lines_within_quotes_are_text(tmp_path):
    rows = read(tmp_path, 'who,x\n"a\n\nb",1\nc,2\n', entity="who")
    assert rows.entity_names == ("a\n\nb", "c")
    assert rows.notes == ()


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("0.5,1\n0.25,0\n", r"\('0.5', '1'\)"),
        ("\ufeff0.5\n0.25\n", r"\('0.5'\)"),
        ("0,0\n1,0\n", r"\('0', '0'\)"),
        (" 1.0e+00  -1.5e-1 2.0\n 2.0 1.0 1.0\n", "commas between the cells"),
        ("2024-01-01 00:00,0.5\n2024-01-01 01:00,0.25\n", r"\('2024-01-01 00:00', '0.5'\)"),
        ("0.5,,\n1,2,3\n", r"\('0.5'\)"),
    ],
)
def test_tables_a_first_row_of_numbers_is_no_header(tmp_path, text, row):
    with pytest.raises(ValueError, match=rf"in\.out: line 1: expected the names .* numbers.*{row}"):
        read(tmp_path, text, name="in.out")


def test_tables_names_that_count_are_names_and_said(tmp_path):
    rows = read(tmp_path, ",0,1\n0,5,6\n1,7,8\n")
    assert rows.names == ("0", "1")
    assert rows.features.tolist() == [[5, 6], [7, 8]]
    assert "the first line was read as the names of the columns" in " ".join(rows.notes)


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [('"speed (min, max, mean)";load', ";"), ('"a|b|c","load"', ","), ('"t;u;v",load', ",")],
)
def test_tables_delimiters_within_quotes_do_not_count(tmp_path, head, delimiter):
    rows = read(tmp_path, f"{head}\n1{delimiter}2\n")
    assert rows.features.tolist() == [[1, 2]]


def test_tables_a_line_that_states_the_delimiter_is_read(tmp_path):
    rows = read(tmp_path, "\ufeffsep=;\na,b;c\n1;2\n")
    assert rows.names == ("a,b", "c")
    assert rows.features.tolist() == [[1, 2]]


def test_tables_gzip_is_read_and_a_cut_one_refused(tmp_path):
    packed = gzip.compress(b"x\n1\n2\n" + b"3\n" * 50)
    assert values(read(tmp_path, packed, "in.csv.gz"))[:3] == [1, 2, 3]
    with pytest.raises(ValueError, match=r"in\.csv\.gz: damaged gzip file"):
        read(tmp_path, packed[:-12], "in.csv.gz")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("x\n1\n".encode("utf-16"), "UTF-16: save it as UTF-8"),
        ("x\n1\n".encode("utf-16-le"), "UTF-16 has them: save it as UTF-8"),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b"BZh91AY", "bzip2"),
        (b"\xfd7zXZ\x00\x00", "xz"),
        (b"\x28\xb5\x2f\xfd0", "zstd"),
        (b'\xef\xbb\xbf{"x": 1}\n', "JSON"),
    ],
)
def test_tables_other_files_are_named(tmp_path, content, what):
    with pytest.raises(ValueError, match=what):
        read(tmp_path, content)


def test_tables_a_named_pipe_is_read_once(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"x\n1\n2\n",))
    writer.start()
    rows = read_table(path, TableOptions())
    writer.join()
    assert values(rows) == [1, 2]
    assert rows.source == str(path)


@pytest.mark.parametrize(
    ("cell", "advice"),
    [
        ("3,5", "decimal comma.*as 3.5"),
        ("1.234,5", "decimal comma.*as 1234.5"),
        ("1,234.5", "as 1234.5"),
        ("12 %", "without the percent sign, as 12"),
        ("3.5 kW", "without the unit 'kW', as 3.5"),
        ("1\u00a0234", "without spaces.*as 1234"),
        ("?", "mend the cell"),
    ],
)
def test_tables_a_cell_that_is_nearly_a_number_gets_advice(tmp_path, cell, advice):
    text = f"t;x\n1;1\n2;\n3;{cell}\n4;2\n5;3\n"
    with pytest.raises(ValueError, match=f"column 'x': .* in data row 3 .*{advice}.*--exclude x"):
        read(tmp_path, text, time="t")
    with pytest.raises(ValueError, match=f"in data row 3 .*{advice}") as caught:
        read_table(tmp_path / "in.csv", TableOptions(time="t"), features_of="features of MODEL")
    assert "--exclude" not in str(caught.value)


def test_tables_a_bad_label_is_blamed_on_its_row(tmp_path):
    with pytest.raises(ValueError, match=r"got '\?' in data row 3"):
        read(tmp_path, "x,y\n1,0\n2,1\n3,?\n", label="y")


def test_tables_wide_integers_are_numbers(tmp_path):
    assert values(read(tmp_path, "x\n36893488147419103232\n1\n")) == [2.0**65, 1.0]


def test_tables_parquet_that_is_unusual_is_read_or_refused(tmp_path):
    path = tmp_path / "in.parquet"
    plain = pa.table({"u": ["a", "a"], "x": [1.0, 2.0]})
    odd = '{"index_columns":["u"],"columns":[],"column_indexes":[]}'
    for metadata in ("{}", odd, "[", '{"index_columns": 3}'):
        pa.parquet.write_table(plain.replace_schema_metadata({"pandas": metadata}), path)
        assert values(read_table(path, TableOptions(entity="u"))) == [1, 2]
    for column, what in (
        (pa.array([1, 2], pa.duration("ns")), "holds durations"),
        (pa.array(["1", "2"]), "holds numbers kept as text"),
        (pa.array([[1], [2]]), "holds text"),
        (pa.array([{"a": 1}, {"a": 2}]), "holds text"),
    ):
        pa.parquet.write_table(pa.table({"x": column}), path)
        with pytest.raises(ValueError, match=f"column 'x' {what}"):
            read_table(path, TableOptions())


@pytest.mark.parametrize("keys", [["a", [1]], [[1], [2]]])
def test_tables_lists_are_no_entities(tmp_path, keys):
    row = 2 if keys[0] == "a" else 1
    frame = pd.DataFrame({"u": keys, "x": [1.0, 2.0]})
    with pytest.raises(ValueError, match=f"entity column 'u': .* got list in data row {row}"):
        take_rows(frame, None, TableOptions(entity="u"))
    if row == 1:
        frame.to_parquet(tmp_path / "in.parquet")
        with pytest.raises(ValueError, match=r"entity column 'u': .* got ndarray in data row 1"):
            read_table(tmp_path / "in.parquet", TableOptions(entity="u"))


def test_tables_a_long_name_is_kept_once():
    from slidecell.plots import plot_scores

    names = ["u"] * 3000 + ["x" * 3_000_000]  # as text of fixed width: 33 GiB
    figure = plot_scores(np.zeros((3001, 1)), np.zeros(3001), entities=names)
    assert figure.get_suptitle().startswith("u ")


def test_tables_a_number_beyond_float64_is_too_large_and_not_missing(tmp_path):
    most = np.finfo(np.float64).max
    wide = ["1e400", "-1e999", "1" + "0" * 400, "-" + "9" * 401 + ".5"]
    rows = read(tmp_path, "x,y\n" + "".join(f"{cell},1\n" for cell in [*wide, "inf", "-Infinity"]))
    assert values(rows) == [most, -most, most, -most, None, None]
    assert rows.missing_cells == 2
    # The others of the column stay what they were, to the last bit.
    rows = read(tmp_path, "t,x\n1,0.1\n2,1e400\n3,NA\n4,1e-400\n5,3e-310\n", time="t")
    assert values(rows) == [0.1, most, None, 0.0, 3e-310]


def test_tables_rows_are_named_by_their_lines_too(tmp_path):
    where = "data row 2 (line 5)"
    for text, options in (
        ("u,x\na,1\n\n\nb,?\na,3\n", {"entity": "u"}),
        ("u,x\na,1\n\n\n,2\n", {"entity": "u"}),
        ("t,x\n1,1\n\n\nnoon,2\n", {"time": "t"}),
        ("t,x\n1,1\n\n\n,2\n", {"time": "t"}),
        ("u,x,y\na,1,0\n\n\na,2,3\n", {"entity": "u", "label": "y"}),
    ):
        with pytest.raises(ValueError, match=re.escape(where)):
            read(tmp_path, text, **options)
    with pytest.raises(ValueError, match=r"data rows 1 and 2 \(lines 3 and 7\) share 1: choose"):
        read(tmp_path, '"t","x\ny"\n1,1\n\n\n\n1,2\n', time="t")
    # Where no line was left out, rows are counted as ever.
    with pytest.raises(ValueError, match="'noon' in data row 1: "):
        read(tmp_path, "t,x\nnoon,1\n", time="t")


def test_tables_a_cell_with_a_unit_may_be_a_name(tmp_path):
    with pytest.raises(ValueError, match=r"'10A'.*unit 'A', as 10.*--exclude s, .*--entity s"):
        read(tmp_path, "s,x\n10A,1\n12A,2\n")
    for cells in (("10A", "12"), ("10%", "12%"), ("1,5", "2,5")):
        with pytest.raises(ValueError, match="--exclude s") as error:
            read(tmp_path, "s;x\n" + "".join(f"{cell};1\n" for cell in cells))
        assert "--entity" not in str(error.value)


def test_tables_a_header_of_tabs_takes_no_time_by_their_square():
    assert find_delimiter("\t" * 200_000) == "\t"
    assert find_delimiter('a\t "b;c;d;e"\t"f;g;h"') == "\t"
