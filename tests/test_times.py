"""One table of times, read alike at every door; the format that is kept; indexes of times."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pd = pytest.importorskip("pandas")

import slidecell as sc  # noqa: E402
from slidecell._date_text import DateFormat, read_date  # noqa: E402
from slidecell._instants import TimeReader, read_times  # noqa: E402
from slidecell._plain_times import read_plain_dates  # noqa: E402
from slidecell._time_values import BadTimeError  # noqa: E402
from slidecell.live.monitor import Monitor  # noqa: E402
from slidecell.live.times import Clock  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from slidecell.tables.sorting import time_order  # noqa: E402
from slidecell.tables.table import make_table, read_table  # noqa: E402
from slidecell.tables.times import Times, parse_time  # noqa: E402
from tests import time_cases  # noqa: E402
from tests.live_lines import live, save_model  # noqa: E402

READ, BAD = time_cases.READ, time_cases.BAD


def wanted(case: time_cases.Times) -> list[Any]:
    """Return the numbers that a case stands for."""
    if case.kind == "number":
        return case.expected
    return [int(np.datetime64(text, "ns").astype(np.int64)) for text in case.expected]


def are_texts(cells: list[Any]) -> bool:
    return all(isinstance(cell, str) for cell in cells)


def shown(case: Any) -> str:
    return f"{case.cells}"[:40].encode("ascii", "replace").decode()


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(6.0)}, index=pd.date_range("2024", periods=6)[::-1])


@pytest.mark.parametrize("case", READ, ids=shown)
def test_times_of_a_table(case: time_cases.Times, tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": pd.Series(case.cells, dtype=object), "x": 1.0})
    keep = TableOptions(time="t", duplicates="keep")
    table = make_table(frame, keep)
    order = table.order
    want = wanted(case)
    found = np.empty_like(table.times.values)
    found[order] = table.times.values
    assert (found.tolist(), table.times.kind) == (want, case.kind)
    assert [want[row] for row in order] == sorted(want)
    assert table.options.time_format == case.form
    assert time_order(frame, time="t")[0].tolist() == order.tolist()
    if are_texts(case.cells):
        file = tmp_path / "in.csv"
        frame.to_csv(file, index=False)
        read = read_table(file, keep)
        assert read.times.values.tolist() == table.times.values.tolist()
        texts = frame.astype({"t": "string"})
        assert make_table(texts, keep).times.values.tolist() == table.times.values.tolist()


@pytest.mark.parametrize("case", READ, ids=shown)
def test_times_of_lines(case: time_cases.Times, tmp_path: Path) -> None:
    hint = None if case.by_line else case.form
    if case.by_line or case.form:
        clock = Clock(None, hint=hint)
        assert [clock.read(cell) for cell in case.cells] == wanted(case)
        assert (clock.kind, clock.format) == (case.kind, case.form)
    if not are_texts(case.cells) or not case.by_line:
        return
    # Each line is an entity of its own: the saved state has the time of each.
    model = save_model(tmp_path / "model.safetensors")
    rows = [
        {"t": cell, "host": str(place), "load": 1, "heat": 2}
        for place, cell in enumerate(case.cells)
    ]
    state = tmp_path / "state"
    _, err = live(tmp_path, "".join(map(_line, rows)), format="jsonl", state=state)
    assert "0 malformed" in err
    kept = Monitor.load(model, state).extra
    assert [entity["time"] for entity in kept["entities"]] == wanted(case)
    assert kept["time_format"] == case.form
    # A start from this state reads them alike: they are not later, and not malformed.
    _, err = live(tmp_path, "".join(map(_line, rows)), format="jsonl", state=state)
    assert f"0 malformed, {len(rows)} out of order" in err


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"


@pytest.mark.parametrize(
    "case",
    [case for case in READ if not are_texts(case.cells)],
    ids=shown,
)
def test_times_of_entity_offsets(case: time_cases.Times) -> None:
    cells = sorted(zip(wanted(case), case.cells, strict=True))
    ordered = [cell for _, cell in cells]
    days = case.kind == "date" or isinstance(ordered[0], datetime.timedelta)
    gap = np.timedelta64(0, "ns") if days else 0
    if isinstance(ordered[0], datetime.timedelta):
        gap = 0  # numbers of nanoseconds
    keys = ["a"] * len(ordered)
    for time in (ordered, np.array(ordered, object), pd.Series(ordered, dtype=object)):
        offsets = sc.entity_offsets(keys, time=time, max_gap=gap)
        assert offsets.tolist() == list(range(len(ordered) + 1))
        if len(ordered) > 1:
            with pytest.raises(ValueError, match="do not decrease"):
                sc.entity_offsets(keys, time=list(time)[::-1])


@pytest.mark.parametrize("case", BAD, ids=shown)
def test_bad_times_of_a_table(case: time_cases.Bad, tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": pd.Series(case.cells, dtype=object), "x": 1.0})
    doors = [
        lambda: make_table(frame, TableOptions(time="t")),
        lambda: time_order(frame, time="t"),
    ]
    if are_texts(case.cells):
        file = tmp_path / "in.csv"
        frame.to_csv(file, index=False)
        doors.append(lambda: read_table(file, TableOptions(time="t")))
    for door in doors:
        with pytest.raises(ValueError, match=re.escape(case.text)) as caught:
            door()
        assert f"time column 't': '{str(case.cells[case.row])[:60]}" in str(caught.value)
        assert f"in data row {case.row + 1}: " in str(caught.value)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("case", BAD, ids=shown)
def test_bad_times_of_lines(case: time_cases.Bad, tmp_path: Path) -> None:
    clock = Clock(None)
    for cell in case.cells[: case.row]:
        clock.read(cell)
    before = clock.kind, clock.format
    with pytest.raises(ValueError, match=re.escape(case.by_line or case.text)) as caught:
        clock.read(case.cells[case.row])
    assert f", got '{str(case.cells[case.row])[:60]}" in str(caught.value)
    assert (clock.kind, clock.format) == before
    if not are_texts(case.cells):
        return
    save_model(tmp_path / "model.safetensors")
    lines = [
        _line({"t": cell, "host": str(place), "load": 1, "heat": 2})
        for place, cell in enumerate(case.cells)
    ]
    state = tmp_path / "state"
    for _ in range(2):  # the state that is saved starts again
        _, err = live(tmp_path, lines[case.row], format="jsonl", state=state, on_error="skip")
    state.unlink()
    _, err = live(tmp_path, "".join(lines[: case.row + 1]), format="jsonl", state=state)
    assert f"{case.row} rows" in err
    assert "1 malformed" in err


@pytest.mark.parametrize(
    ("times", "text"),
    [
        ([10**400, 0], "time: expected a number of at most 64 bits, got 1000"),
        ([10**5000, 0], "at most 64 bits, got a number of thousands of digits in row 0"),
        ([-1, 2**63], "none below 0 beside 9223372036854775808, got -1 in row 0"),
        ([0.5, 2**53 + 1], "expected whole numbers up to 2**53 beside fractions"),
        ([datetime.datetime(2024, 1, 1), None], "expected a time in every row, got None in row 1"),
        ([1, None], "expected a time in every row, got None in row 1"),
        ([1, pd.NA], "expected a time in every row, got <NA> in row 1"),
        ([datetime.datetime(2024, 1, 1), pd.NaT], "every row, got NaT in row 1"),
        ([datetime.datetime(9999, 12, 31)] * 2, "years 1678 to 2261, got 9999-12-31"),
        (
            [datetime.datetime(2024, 1, 1), pd.Timestamp("2024-01-02", tz="UTC")],
            "without a zone, as '2024-01-01 00:00:00' in row 0, got 2024-01-02 00:00:00+00:00 in",
        ),
        ([datetime.datetime(2024, 1, 1), 5], "expected a date as '2024-01-01 00:00:00' in row 0"),
    ],
)
def test_bad_times_of_entity_offsets(times: list[Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        sc.entity_offsets(["a", "a"], time=times)


def test_zoned_times_of_entity_offsets_are_instants() -> None:
    # The clock goes back at 03:00 on this day: 02:00 comes twice.
    times = pd.date_range("2024-10-27", periods=5, freq="h", tz="Europe/Berlin")
    hour = pd.Timedelta("1h")
    for time in (times, pd.Series(times), list(times), times.to_pydatetime()):
        assert sc.entity_offsets(["a"] * 5, time=time, max_gap=hour).tolist() == [0, 5]
    nanoseconds = [pd.Timestamp(100, unit="ns", tz="UTC"), pd.Timestamp(200, unit="ns", tz="UTC")]
    gap = pd.Timedelta(99, "ns")
    assert sc.entity_offsets([0, 0], time=nanoseconds, max_gap=gap).tolist() == [0, 1, 2]
    polars = pytest.importorskip("polars")
    assert sc.entity_offsets([0] * 5, time=polars.Series(list(times))).tolist() == [0, 5]


def test_gaps_between_the_ends_of_dates_do_not_wrap() -> None:
    ends = np.array(["1678-01-01", "2262-01-01"], "M8[ns]")
    found = sc.entity_offsets([0, 0], time=ends, max_gap=np.timedelta64(1, "D"))
    assert found.tolist() == [0, 1, 2]
    table = make_table(pd.DataFrame({"t": ends, "x": 1.0}), TableOptions(time="t", max_gap="1d"))
    assert table.offsets.tolist() == [0, 1, 2]


@pytest.mark.parametrize("word", time_cases.EMPTY)
def test_empty_times_are_said_to_be_empty(word: str, tmp_path: Path) -> None:
    cells = [f"2024-01-01 0{hour}:00" for hour in range(4)]
    cells[2] = word
    frame = pd.DataFrame({"t": cells, "x": 1.0})
    frame.to_csv(tmp_path / "in.csv", index=False)
    for door in (
        lambda: make_table(frame, TableOptions(time="t")),
        lambda: read_table(tmp_path / "in.csv", TableOptions(time="t")),
    ):
        with pytest.raises(ValueError, match=r"time column 't': .*data row 3") as caught:
            door()
        assert "empty" in str(caught.value)
    with pytest.raises(ValueError, match=r"expected a number or a date such as .*, got"):
        Clock(None).read(word)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([2**63 - 2, 2**63 + 1], np.uint64), [2**63 - 2, 2**63 + 1]),
        (np.array([3, 1], np.uint64), [3, 1]),
        (np.array([0.5, -1.5], np.float16), [0.5, -1.5]),
        (np.array([1, 2], "m8[s]"), [10**9, 2 * 10**9]),
        (np.array(["2024-01-31", "1969-12-31"], "M8[D]"), [1706659200 * 10**9, -86400 * 10**9]),
        (np.array(["2024", "1700"], "M8[Y]"), [1704067200 * 10**9, -8520336000 * 10**9]),
        (np.array([100, 200], "M8[ns]"), [100, 200]),
    ],
)
def test_arrays_are_columns_of_times(values: np.ndarray, expected: list[Any]) -> None:
    frame = pd.DataFrame({"t": values, "x": 1.0}) if values.dtype.kind != "M" else None
    assert read_times(values).values.tolist() == expected
    if frame is not None:
        order = time_order(frame, time="t")[0]
        assert [expected[row] for row in order] == sorted(expected)


@pytest.mark.parametrize(
    ("values", "row", "text"),
    [
        (np.array([0.0, np.inf]), 1, "expected a number or a date"),
        (np.array([True]), 0, "expected a number or a date"),
        (np.array([1j]), 0, "expected a number or a date"),
        (np.array(["2024", "9999"], "M8[Y]"), 1, "years 1678 to 2261"),
        (np.array(["2024-01-01", "0001-01-01"], "M8[s]"), 1, "years 1678 to 2261"),
        (np.array(["2024-01-01", "9999-12-31"], "M8[us]"), 1, "years 1678 to 2261"),
        (np.array([1, 2], "m8[M]"), 0, "expected a number or a date"),
    ],
)
def test_arrays_that_are_no_times(values: np.ndarray, row: int, text: str) -> None:
    with pytest.raises(BadTimeError, match=text) as caught:
        read_times(values)
    assert caught.value.row == row
    if values.dtype.kind in "fbc":
        with pytest.raises(ValueError, match=f"time column 't': .* in data row {row + 1}: {text}"):
            time_order(pd.DataFrame({"t": values, "x": 1.0}), time="t")


def test_sentinel_dates_of_pandas_are_refused() -> None:
    far = pd.Series(np.array(["2024-01-01", "9999-12-31"], "M8[s]"))
    with pytest.raises(ValueError, match=r"data row 2: expected a date of the years 1678 to 2261"):
        time_order(pd.DataFrame({"t": far, "x": 1.0}), time="t")


def test_columns_of_extension_types() -> None:
    texts = pd.Series(["2024-01-02", "2024-01-01"])
    columns = {
        "zoned": pd.to_datetime(texts).dt.tz_localize("Europe/Berlin"),
        "category": texts.astype("category"),
        "period": pd.Series(pd.PeriodIndex(["2024-02", "2024-01"], freq="M")),
        "Int64": pd.Series([2, 1], dtype="Int64"),
        "UInt64": pd.Series([2**63 + 2, 2**63 + 1], dtype="UInt64"),
        "duration": pd.to_timedelta(pd.Series([2, 1]), unit="s"),
        "arrow": pd.Series(pd.to_datetime(texts), dtype="timestamp[ns][pyarrow]"),
        "date32": pd.Series(pd.to_datetime(texts).dt.date, dtype="date32[pyarrow]"),
    }
    for name, column in columns.items():
        assert time_order(pd.DataFrame({"t": column}), time="t")[0].tolist() == [1, 0], name
        if name not in {"category", "period"}:
            polars = pytest.importorskip("polars")
            given = polars.DataFrame({"t": polars.from_pandas(column)})
            assert time_order(given, time="t")[0].tolist() == [1, 0], name
    seconds = make_table(pd.DataFrame({"t": columns["duration"], "x": 1.0}), TableOptions(time="t"))
    assert seconds.times.values.tolist() == [10**9, 2 * 10**9]


_DATES = st.integers(-(2**63) // 10**9 + 10**5, 2**63 // 10**9 - 10**5)


@given(st.lists(_DATES, min_size=1, max_size=8), st.integers(0, 10**9 - 1), st.sampled_from("T "))
@settings(max_examples=60, deadline=None)
def test_plain_dates_are_read_as_one_by_one(
    seconds: list[int], fraction: int, separator: str
) -> None:
    """The quick way for ISO 8601 has the instants of the long one, and of numpy."""
    stamps = [np.datetime64(second * 10**9 + fraction, "ns") for second in seconds]
    texts = [str(stamp).replace("T", separator) for stamp in stamps]
    texts += [text[:10] for text in texts[:2]] + [text[:16] for text in texts[:1]]
    long = [readings[0].instant for readings in map(read_date, texts)]
    assert read_times(texts).values.tolist() == long
    assert long[: len(stamps)] == [int(stamp.astype(np.int64)) for stamp in stamps]
    assert read_times([*texts[:1], texts[0][:10] + " 00:00"]).kind == "date"


@given(
    st.lists(st.integers(-9 * 10**9, 9 * 10**9), min_size=1, max_size=6),
    st.sampled_from(
        [
            *("%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y", "%d-%m-%YT%H:%M:%S.%f"),
            *("%m/%d/%Y %I:%M:%S %p", "%Y-%m-%d %I:%M AM", "%d/%m/%Y %H:%M %p"),
            *("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M UTC", "%d.%m.%Y %H:%M:%S+05:30"),
            *("%Y-%m-%d %H:%M-25:00", "%Y-%d-%m"),
        ]
    ),
)
@settings(max_examples=150, deadline=None)
def test_plain_shapes_are_read_as_one_by_one(seconds: list[int], form: str) -> None:
    start = datetime.datetime(1970, 1, 1)
    dates = [start + datetime.timedelta(seconds=second) for second in seconds]
    texts = [date.strftime(form) for date in dates]
    long = [{r.format: r.instant for r in read_date(text)} for text in texts]
    shared = set.intersection(*(set(readings) for readings in long))
    quick = read_plain_dates(texts)
    if quick is not None:
        instants, found = quick
        assert shared == {found}
        assert instants.tolist() == [readings[found] for readings in long]
    elif form in {"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"}:
        assert min(dates).year < 1700 or max(dates).year > 2255


@given(_DATES, st.sampled_from(["%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d %B %Y %H:%M:%S"]))
@settings(max_examples=60, deadline=None)
def test_formatted_dates_come_back(second: int, form: str) -> None:
    date = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=second)
    instants = {reading.instant for reading in read_date(date.strftime(form))}
    assert second * 10**9 in instants
    assert len(instants) == (1 if date.day > 12 or date.day == date.month or "B" in form else 2)


@given(st.text(max_size=12) | st.from_regex(r"[0-9/. :TZ+-]{0,24}", fullmatch=True))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        line: Any = TimeReader().read(text)
    except BadTimeError:
        line = None
    try:
        column: Any = read_times([text]).values.tolist()[0]
    except BadTimeError:
        column = None
    # A column may hold one date whose day and month are equal; a line waits for the next.
    assert column == line or (line is None and len(read_date(text.strip())) == 2)


def test_the_format_is_kept_and_decides_for_ambiguous_dates(tmp_path: Path) -> None:
    first = pd.DataFrame({"t": ["13.02.2024", "01.03.2024"], "x": [1.0, 2.0]})
    options = make_table(first, TableOptions(time="t")).options
    assert options.time_format == "d.m.Y"
    later = pd.DataFrame({"t": ["03.04.2024", "01.05.2024"], "x": [1.0, 2.0]})
    with pytest.raises(ValueError, match="day and month could be swapped"):
        make_table(later, TableOptions(time="t"))
    table = make_table(later, options)
    assert [table.times.text(row) for row in (0, 1)] == ["2024-04-03", "2024-05-01"]
    # Dates that can be read in one way only are read in that way.
    other = pd.DataFrame({"t": ["04.13.2024", "05.01.2024"], "x": [1.0, 2.0]})
    assert make_table(other, options).times.text(1) == "2024-05-01"
    assert make_table(other, options).options.time_format == "m.d.Y"
    with pytest.raises(ValueError, match="time_format: expected a format of dates such as"):
        make_table(later, TableOptions(time="t", time_format="%d.%m.%Y"))


def test_a_stream_reads_in_the_order_that_its_model_was_fitted_on(tmp_path: Path) -> None:
    detect = {"time": "t", "entity": "host", "time_format": "d.m.Y"}
    model = save_model(tmp_path / "model.safetensors", extra={"detect": detect})
    state = tmp_path / "state"
    lines = "load,heat,host,t\n1,2,a,01.02.2024\n1,2,a,02.02.2024\n1,2,a,03.01.2024\n"
    _, err = live(tmp_path, lines, time=None, entity=None, state=state)
    assert "0 malformed, 1 out of order" in err
    kept = Monitor.load(model, state).extra
    assert kept["entities"][0]["time"] == int(np.datetime64("2024-02-02", "ns").astype(np.int64))
    # Without it, the first date has to say its order; until then lines are refused, not guessed.
    (tmp_path / "model.safetensors").unlink()
    model = save_model(tmp_path / "model.safetensors")
    lines = "load,heat,host,t\n1,2,a,01.02.2024\n1,2,a,13.02.2024\n1,2,a,01.03.2024\n"
    state.unlink()
    _, err = live(tmp_path, lines, state=state)
    assert "line 2: expected a first date that can be read in one way" in err
    assert "2 rows" in err
    # The state goes on in the order that was found.
    _, err = live(tmp_path, "load,heat,host,t\n1,2,a,02.03.2024\n1,2,a,03.02.2024\n", state=state)
    assert "0 malformed, 1 out of order" in err
    kept = Monitor.load(model, state).extra
    assert kept["time_format"] == "d.m.Y"


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%Y/%m/%d", "%Y-%m-%d %H:%M UTC", "%m/%d/%Y %I %p"])
def test_a_stream_reads_what_detect_and_score_read(form: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from slidecell.jobs.score import ScoreOptions, run_score
    from tests import detect_cases

    frame = detect_cases.panel(users=2, days=30).drop(columns="label")
    frame["day"] = frame["day"].dt.strftime(form)
    table = TableOptions(time="day", entity="user")
    result = detect_cases.run(tmp_path, frame, table=table)
    assert result.table.times.text(0) == "2024-01-01"
    # The first days alone do not tell day from month.
    rows = frame.groupby("user").head(12)
    assert len(rows) == 24
    rows.to_csv(tmp_path / "rows.csv", index=False)
    scored = run_score(ScoreOptions(tmp_path / "out", tmp_path / "rows.csv", tmp_path / "again"))
    assert scored.table.times.text(11) == "2024-01-12"
    options = {"model": tmp_path / "out" / "model.safetensors", "time": None, "entity": None}
    out, err = live(tmp_path, rows.to_csv(index=False), **options)
    assert "24 rows" in err
    assert "0 malformed, 0 out of order" in err
    written = pd.read_csv(tmp_path / "again" / "scores.csv")["score"].to_numpy(np.float32)
    streamed = [line.split(",")[2] or "nan" for line in out.splitlines()[1:]]
    assert np.array_equal(np.array(streamed, np.float32), written, equal_nan=True)
    assert np.isfinite(written).any()


def test_streams_keep_nanoseconds(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors")
    lines = "".join(
        f"1,2,a,2024-01-31 12:00:00.{tick:07d}\n" for tick in (1, 2, 3)
    )  # ticks of 100 ns
    _, err = live(tmp_path, "load,heat,host,t\n" + lines)
    assert "3 rows" in err
    assert "0 malformed, 0 out of order" in err


def test_states_of_a_format_that_is_none_are_refused() -> None:
    for form in ("%d.%m.%Y", 5, "d.m/Y"):
        with pytest.raises(ValueError, match="time_format: expected a format of dates such as"):
            Clock(None, "date", format=form)
    for form in ("Y-m-d", "m/d/Y 12h", "d.m.Y 24h zoned"):
        assert str(DateFormat.from_text(form)) == form


@pytest.mark.parametrize(
    ("text", "cells", "expected"),
    [
        ("2024-01-31", ["13.02.2024"], "2024-01-31"),
        ("01.02.2024", ["13.02.2024"], "2024-02-01"),
        ("2024-01-31T02:00+02:00", ["2024-01-01"], "2024-01-31"),
        ("Jan 31 2024", ["2024-01-01"], "2024-01-31"),
        ("7", ["5"], 7),
        (str(2**63), ["5"], 2**63),
    ],
)
def test_a_typed_time_is_read_as_the_column_is(text: str, cells: list[str], expected: Any) -> None:
    found = read_times(cells)
    times = Times(found.values, found.kind, found.format)
    want = expected if found.kind == "number" else int(np.datetime64(expected, "ns").astype(int))
    assert parse_time(text, times, flag="--train-until") == want


@pytest.mark.parametrize("text", ["now", "today", "NaT", "", "9999-12-31", "01/02/2024", "5"])
def test_a_typed_time_that_is_none_is_refused(text: str) -> None:
    times = Times(np.zeros(1, np.int64), "date", DateFormat("Y-m-d", False))
    with pytest.raises(ValueError, match="--train-until: expected a date like 2024-01-31, got"):
        parse_time(text, times, flag="--train-until")


def test_two_tables_have_times_of_one_kind(tmp_path: Path) -> None:
    from slidecell.tables.table import join_tables

    def table(*cells: Any) -> Any:
        column = pd.Series(list(cells), dtype=object)
        return make_table(pd.DataFrame({"t": column, "x": 1.0}), TableOptions(time="t"))

    joined = join_tables(table(5, 2**63), table(7))
    assert joined.times.values.tolist() == [5, 2**63, 7]
    with pytest.raises(ValueError, match="name no zone, those of the table name their zone"):
        join_tables(table("2024-01-01 00:00Z"), table("2024-01-02"))
    with pytest.raises(ValueError, match="holds dates, that of the table numbers"):
        join_tables(table(5), table("2024-01-02"))


def test_an_index_of_times_orders_the_rows_of_a_detector(frame: pd.DataFrame) -> None:
    from slidecell.detect import RollingVarianceDetector

    frame["x"] = np.arange(6.0) ** 2 % 5
    rising, named = frame[::-1], frame.rename_axis("when")
    want = RollingVarianceDetector(window=3).fit(rising).decision_scores_
    plain = RollingVarianceDetector(window=3).fit(rising.reset_index(drop=True)).decision_scores_
    assert np.array_equal(want, plain, equal_nan=True)
    for time, rows in ((None, frame), (None, named), ("when", named)):
        detector = RollingVarianceDetector(window=3, time=time).fit(rows)
        assert np.array_equal(detector.decision_scores_, want[::-1], equal_nan=True)
        assert np.array_equal(detector.score_samples(rows), want[::-1], equal_nan=True)
        assert time_order(rows, time=time)[0].tolist() == [5, 4, 3, 2, 1, 0]
    # Numbers are times where they are named; a plain index is no time.
    numbered = frame.set_axis(pd.Index([5, 4, 3, 2, 1, 0], name="step"))
    assert time_order(numbered)[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert time_order(numbered, time="step")[0].tolist() == [5, 4, 3, 2, 1, 0]
    with pytest.raises(ValueError, match="time: no column 'stop' in frame"):
        time_order(numbered, time="stop")


def test_levels_of_an_index_are_keys() -> None:
    index = pd.MultiIndex.from_tuples(
        [("b", "2024-01-02"), ("a", "2024-01-02"), ("b", "2024-01-01")], names=["user", "day"]
    )
    order, offsets = time_order(
        pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=index), entity="user", time="day"
    )
    assert (order.tolist(), offsets.tolist()) == ([1, 2, 0], [0, 1, 3])


def test_an_index_of_times_of_a_file_orders_its_rows(frame: pd.DataFrame, tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    frame.to_parquet(file)
    table = read_table(file, TableOptions())
    assert table.features[:, 0].tolist() == [5, 4, 3, 2, 1, 0]
    assert table.times.text(0) == "2024-01-01"
    assert table.notes == (
        "times are those of the table's index, 'index'",
        "rows were not in order of time; they were sorted for scoring",
    )
    frame.rename_axis("when").to_parquet(file)
    named = read_table(file, TableOptions(time="when"))
    assert named.features.tolist() == table.features.tolist()
    twice = pd.concat([frame, frame])
    twice.to_parquet(file)
    with pytest.raises(ValueError, match=r"'index': 6 duplicate .*, data rows 6 and 12 share 2024"):
        read_table(file, TableOptions())
