"""Which rows of a live run are missing, how its memory grows, and what its state remembers."""

from __future__ import annotations

import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.live.monitor import Monitor
from slidecell.tables.options import TableOptions
from slidecell.tables.table import read_table
from tests.live_lines import KEYS, as_csv, as_lines, live, save_model, table
from tests.models import layer, random_model

ALONE = {"time": None, "entity": None}


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    save_model(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def save_column_model(path: Path) -> None:
    parts = random_model(np.random.default_rng(0), [layer("gru", 4)], features=1, window=3)
    sc.SequenceModel(*parts).with_metadata(features=["x"]).save(path)


def scores_of(lines: str) -> list[float | None]:
    return [json.loads(line)["score"] for line in lines.splitlines()]


def test_live_json_line_without_a_feature_is_a_missing_row(tmp_path: Path) -> None:
    save_column_model(tmp_path / "model.safetensors")
    lines = [f'{{"x": {i % 7 / 7}}}\n' for i in range(20)]
    options = {"format": "jsonl", **ALONE}
    for hole in ('{"y": 1}', '{"x": "1"}', "[1]", "?", '{"x": 1', "9" * 5000):
        with_null = [*lines[:10], '{"x": null}\n', *lines[11:]]
        want, _ = live(tmp_path, "".join(with_null), **options)
        out, err = live(tmp_path, "".join([*lines[:10], hole + "\n", *lines[11:]]), **options)
        assert "line 11: " in err
        assert scores_of(out) == scores_of(want)[:10] + scores_of(want)[11:]
        assert scores_of(out).count(None) == 3 + 3
    # A first line that cannot be read settles nothing.
    out, _ = live(tmp_path, '{"y": "a"}\n' + "".join(lines), **options)
    assert len(scores_of(out)) == 20


def test_live_blank_line_of_one_column_is_a_missing_row(tmp_path: Path) -> None:
    save_column_model(tmp_path / "model.safetensors")
    rows = [f"{i % 7 / 7}\n" for i in range(20)]
    for blank in ("\n", "  \n", "\r\n"):
        out, _ = live(tmp_path, "x\n" + "".join([*rows[:9], blank, *rows[10:]]), **ALONE)
        lines = out.splitlines()[1:]
        assert len(lines) == 20
        assert [n for n, line in enumerate(lines) if line == ",0"] == [0, 1, 2, 9, 10, 11, 12]


def test_live_unreadable_row_is_not_filled(model_file: Path, tmp_path: Path) -> None:
    rows = [{"t": t, "host": "a", "load": t % 3, "heat": 1.0} for t in range(12)]
    lines = as_csv(rows).splitlines(keepends=True)
    want, _ = live(tmp_path, "".join([*lines[:6], "5,a,,\n", *lines[7:]]), missing="ffill")
    assert want.count(",,") == 3
    out, _ = live(tmp_path, "".join([*lines[:6], "5,a,x,\n", *lines[7:]]), missing="ffill")
    assert out.count(",,") == 3 + 3
    assert out.splitlines()[-3:] == want.splitlines()[-3:]


def test_live_gap_after_a_lost_row_begins_anew(model_file: Path, tmp_path: Path) -> None:
    rows = [{"t": t + 100 * (t > 5), "host": "a", "load": t % 3, "heat": 1.0} for t in range(12)]
    lines = as_csv(rows).splitlines(keepends=True)
    want, _ = live(tmp_path, "".join(lines), max_gap="50")
    out, _ = live(tmp_path, "".join([*lines[:7], "?\n", *lines[7:]]), max_gap="50")
    assert out == want


def test_live_clients_with_other_delimiters_get_one_form_of_answers(model_file: Path) -> None:
    from slidecell.live import LiveOptions
    from slidecell.live.formats import make_format

    options = LiveOptions(model_file, time="t", entity="host")
    reader = make_format(options, sc.SequenceModel.load(model_file))
    assert reader.read('"a;b;c;d",t,host,load,heat') is None  # quoted ones do not count
    assert reader.header == "t,host,score,alarm\n"


def test_live_any_error_of_a_line_is_its_own(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_block = Monitor.push_block

    def fragile(self: Monitor, ids: Any, rows: Any, **settings: Any) -> Any:
        if (rows[:, 0] == 7.0).any():
            raise ZeroDivisionError("seven")
        return push_block(self, ids, rows, **settings)

    monkeypatch.setattr(Monitor, "push_block", fragile)
    text = "load,heat,host,t\n" + "".join(f"{t},1,a,{t}\n" for t in range(16))
    out, err = live(tmp_path, text)
    assert "line 9: ZeroDivisionError: seven; skipped: a missing row\n" in err
    scored = [line.split(",")[0] for line in out.splitlines()[1:] if ",," not in line]
    assert scored == ["3", "4", "5", "6", "11", "12", "13", "14", "15"]


def test_live_reports_are_short_and_printable(model_file: Path, tmp_path: Path) -> None:
    text = as_lines([{"t": 1, "host": "a", "load": 1, "heat": 2}])
    bad = json.dumps({f"\ud800\x1b[2J{n}": n for n in range(30_000)})
    _, err = live(tmp_path, text + bad + "\n", format="jsonl")
    line = err.splitlines()[0]
    assert line.startswith("slidecell stream: line 2: --entity: no key 'host' (there are: ")
    assert len(line) < 1500
    assert line.isprintable()
    with pytest.raises(ValueError, match=r"there are: c0, .*, c19 and 39980 more\)") as caught:
        live(tmp_path, ",".join(f"c{n}" for n in range(40_000)) + "\n")
    assert len(str(caught.value)) < 600


def test_live_room_grows_with_the_entities(model_file: Path, tmp_path: Path) -> None:
    """Across every growth, of the stream's layouts too, scores keep their bits."""
    model = sc.SequenceModel.load(model_file)
    rng = np.random.default_rng(2)
    hosts = [f"h{n}" for n in range(37)]
    rows = [
        {"t": t, "host": host, "load": load, "heat": heat}
        for t in range(12)
        for host in hosts[: 1 + 4 * t]
        for load, heat in [np.round(rng.random(2), 3).tolist()]
    ]
    state = tmp_path / "state"
    text = as_csv(rows)
    out, _ = live(tmp_path, text, state=state)
    got = [float(line.split(",")[2] or "nan") for line in out.splitlines()[1:]]
    want = np.empty(len(rows), np.float32)
    of = np.array([row["host"] for row in rows])
    series = np.array([[row["load"], row["heat"]] for row in rows])
    for host in hosts:
        want[of == host] = model.score(series[of == host], kernel="fma")
    np.testing.assert_array_equal(np.float32(got), want)
    assert np.isfinite(want).sum() > 100
    assert Monitor.load(model, state).stream.num_entities == 64
    # The limit is kept with the state.
    more = "t,host,load,heat\n" + "".join(f"20,n{n},1,2\n" for n in range(1000))
    _, err = live(tmp_path, more, state=state)
    assert "987 rows" in err
    assert err.count("there is room for 1024 (--max-entities) and all are taken; skipped\n") == 13
    _, err = live(tmp_path, "t,host,load,heat\n30,h0,1,2\n", state=state, max_entities=1024)
    assert "1 rows" in err


def test_live_old_state_with_room_for_all_goes_on_in_little(
    model_file: Path, tmp_path: Path
) -> None:
    """0.1 saved room for 1,024 entities, and no limit beside it."""
    model = sc.SequenceModel.load(model_file)
    rows = [{"t": t, "host": f"h{t % 3}", "load": t % 5, "heat": 1.0} for t in range(40)]
    whole, _ = live(tmp_path, as_csv(rows))
    state = tmp_path / "state"
    first, _ = live(tmp_path, as_csv(rows[:20]), state=state)
    old = Monitor.load(model, state)
    old.resize(1024)
    del old.extra["max_entities"]
    old.save(state)
    second, _ = live(tmp_path, as_csv(rows[20:]), state=state)
    assert first + second.partition("\n")[2] == whole
    found = Monitor.load(model, state)
    assert (found.stream.num_entities, found.extra["max_entities"]) == (4, 1024)


def test_live_entity_names_are_bounded(model_file: Path, tmp_path: Path) -> None:
    text = "load,heat,host,t\n" + f"1,2,{'n' * 1024},0\n1,2,{'n' * 1025},0\n"
    out, err = live(tmp_path, text)
    assert out.count("\n") == 2
    assert "expected a name of at most 1024 characters, got 1025; skipped\n" in err


def test_monitor_writes_no_state_that_cannot_be_read(model_file: Path, tmp_path: Path) -> None:
    model = sc.SequenceModel.load(model_file)
    monitor = sc.Monitor.from_model(model)
    path = tmp_path / "state"
    monitor.save(path)
    before = path.read_bytes()
    monitor.push([1.0, 2.0])
    monitor.extra["time"] = 10**400

    def check(extra: Any) -> None:
        if extra["time"] >= 1 << 63:
            raise ValueError("time: too large")

    with pytest.raises(ValueError, match=r"state: not written, .*: time: too large"):
        monitor.save(path, check=check)
    monitor.extra["time"] = math.nan
    with pytest.raises(ValueError, match="JSON"):
        monitor.save(path)
    monitor.extra["time"] = {1}
    with pytest.raises(TypeError):
        monitor.save(path)
    assert path.read_bytes() == before
    monitor.extra["time"] = 1
    monitor.save(path, check=check)
    assert sc.Monitor.load(model, path).extra == {"time": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"entities": [{"id": "a", "time": 10**400, "values": []}]},
        {"entities": [{"id": "a", "time": math.nan, "values": []}]},
        {"entities": [{"id": "a", "time": 1, "values": [math.inf, 1.0]}]},
        {"entities": [{"id": "a", "time": 1, "values": [], "missed": 1}]},
        {"entities": [{"id": "a", "time": 2**64, "values": []}]},
        {"entities": [{"id": "a", "time": -(2**63) - 1, "values": []}]},
        {"entities": [{"id": "a", "time": True, "values": []}]},
        {"entities": [{"id": "a", "time": "1", "values": []}]},
        {"time": "date", "entities": [{"id": "a", "time": 2**63, "values": []}]},
        {"time": "date", "entities": [{"id": "a", "time": -(2**63), "values": []}]},
        {"time": "date", "entities": [{"id": "a", "time": 1.5, "values": []}]},
        {"max_entities": 0},
        {"max_entities": 1.5},
        {"max_entities": 1},
    ],
)
def test_live_damaged_state_is_refused(
    model_file: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    state = tmp_path / "state"
    text = "load,heat,host,t\n1,2,a,0\n1,2,b,0\n"
    live(tmp_path, text, state=state)
    with zipfile.ZipFile(state) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    found = json.loads(parts["monitor.json"])
    found["extra"].update(change)
    parts["monitor.json"] = json.dumps(found).encode()
    with zipfile.ZipFile(state, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(ValueError, match=f"{state}: "):
        live(tmp_path, text, state=state)


def test_live_duplicates(tmp_path: Path) -> None:
    text = "load,heat,host,t\n" + "".join(f"{n},1,a,{n // 2}\n" for n in range(8))
    for trained, given, used in (("error", None, 4), ("keep", None, 8), ("last", "error", 4)):
        kept = {**KEYS, "duplicates": trained}
        save_model(tmp_path / "model.safetensors", extra={"detect": kept})
        _, err = live(tmp_path, text, duplicates=given)
        assert f"{used} rows" in err
        assert f"{8 - used} out of order" in err
    for given, text_of in ((None, "got last from the model"), ("last", "got last: ")):
        with pytest.raises(ValueError, match=f"--duplicates: expected error or keep, {text_of}"):
            live(tmp_path, text, duplicates=given)
    live(tmp_path, "load,heat\n1,2\n", time="", entity="")  # no times, no equal ones
    with pytest.raises(ValueError, match="--duplicates: expected error, keep, last, got 'first'"):
        live(tmp_path, text, duplicates="first")


def test_live_line_that_states_the_delimiter_is_read(model_file: Path, tmp_path: Path) -> None:
    rows = table(12)
    want, _ = live(tmp_path, as_csv(rows, ";"))
    for start in ("sep=;\n", "\ufeffsep=;\r\n", '\n"SEP=;"\n\n'):
        out, err = live(tmp_path, start + as_csv(rows, ";"))
        assert out == want
        assert "0 malformed" in err
    # It holds for the names too: no other delimiter is looked for.
    with pytest.raises(ValueError, match="line 2: --time: no column 't'"):
        live(tmp_path, "sep=|\n" + as_csv(rows, ";"))


def test_live_names_that_count_are_names(tmp_path: Path) -> None:
    parts = random_model(np.random.default_rng(0), [layer("lstm", 4)], features=2, window=3)
    sc.SequenceModel(*parts).save(tmp_path / "model.safetensors")
    none = {"time": None, "entity": None}
    out, _ = live(tmp_path, "0,1\n5,6\n7,8\n", **none)
    assert len(out.splitlines()) == 3
    with pytest.raises(ValueError, match=r"line 1: expected the names .* numbers \('5', '6'\)"):
        live(tmp_path, "5,6\n7,8\n", **none)


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_live_number_beyond_float64_is_too_large_and_not_missing(
    tmp_path: Path, format: str
) -> None:
    pd = pytest.importorskip("pandas")
    scaler = {"kind": "standard", "center": [-9.0, 1.0], "scale": [0.5, 3.0], "constant": []}
    parts = random_model(
        np.random.default_rng(0), [layer("lstm", 4)], features=2, window=3, scaler=scaler
    )
    model = sc.SequenceModel(*parts).with_metadata(features=["load", "heat"])
    model.save(tmp_path / "model.safetensors")
    series = np.round(np.random.default_rng(1).random((24, 2)), 3)
    cells = series.astype(str).astype(object)
    cells[5, 0], cells[12, 1], cells[18, 1] = "1e400", "-1" + "0" * 400, "Infinity"
    if format == "csv":
        text = "load,heat\n" + "".join(",".join(row) + "\n" for row in cells)
        (tmp_path / "in.csv").write_text(text)
        batch = read_table(tmp_path / "in.csv", TableOptions()).features
    else:
        text = "".join(f'{{"load": {a}, "heat": {b}}}\n' for a, b in cells)
        batch = None
    out, _ = live(tmp_path, text, format=format, time=None, entity=None)
    large = np.finfo(np.float64).max
    series[5, 0], series[12, 1], series[18, 1] = large, -large, np.nan
    want = model.score(series, kernel="fma")
    assert np.flatnonzero(np.isposinf(want)).tolist() == [5, 12]
    if batch is None:
        got = [json.loads(line)["score"] for line in out.splitlines()]
        got = [np.nan if score is None else float(score) for score in got]
    else:
        got = pd.read_csv(io.StringIO(out))["score"].tolist()
        np.testing.assert_array_equal(batch, series)
    np.testing.assert_array_equal(np.float32(got), want)


def test_live_numbers_are_names_where_the_model_asks_for_them(tmp_path: Path) -> None:
    parts = random_model(np.random.default_rng(0), [layer("lstm", 4)], features=2, window=3)
    model = sc.SequenceModel(*parts).with_metadata(features=["103", "101"])
    model.save(tmp_path / "model.safetensors")
    none = {"time": None, "entity": None}
    out, _ = live(tmp_path, "103,101\n5,6\n7,8\n9,1\n", **none)
    assert live(tmp_path, "101,103\n6,5\n8,7\n1,9\n", **none)[0] == out
    assert len(out.splitlines()) == 4
    with pytest.raises(ValueError, match=r"line 1: expected the names .* numbers \('103', '5'\)"):
        live(tmp_path, "103,5\n7,8\n", **none)


@pytest.mark.parametrize(
    ("gap", "bad", "good"),
    [
        ("2", ["2024-01-01", "2024-01-02"], [0, 1, 2, 3, 4]),
        ("2h", [0, 1], [f"2024-01-01 0{hour}:00" for hour in range(5)]),
    ],
)
def test_live_gap_decides_the_scale_of_times(
    model_file: Path, tmp_path: Path, gap: str, bad: list[Any], good: list[Any]
) -> None:
    lines = [f"1,2,a,{time}\n" for time in bad + good]
    state = tmp_path / "state"
    out, err = live(tmp_path, "load,heat,host,t\n" + "".join(lines), max_gap=gap, state=state)
    assert err.count("--max-gap: expected a") == len(bad)
    assert f"unused lines: {len(bad)} malformed, 0 out of order" in err
    assert [line.split(",")[0] for line in out.splitlines()[1:]] == list(map(str, good))
    kept = Monitor.load(sc.SequenceModel.load(model_file), state).extra
    assert kept["time"] == ("number" if gap == "2" else "date")
