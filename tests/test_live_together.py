"""Rows that come together are scored together: nothing shows it."""

from __future__ import annotations

import fcntl
import io
import json
import os
import struct
import termios
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slidecell.live import LiveOptions, run_live
from slidecell.live.entity_events import EntityEvents
from slidecell.live.observers import Observer
from tests.live_lines import KEYS, as_csv, save_model, table


class Moments(Observer):
    """Writes down the moments of rows and events, in the order in which they are told."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def scored(self, rows: Any) -> None:
        self.heard += [(row.row.entity, row.row.time, row.moment) for row in rows]

    def event(self, line: Any) -> None:
        self.heard.append((line.change, line.entity, line.start))

    def skipped(self, reason: str) -> None:
        self.heard.append(reason)


def both_ways(folder: Path, text: str, **options: Any) -> list[tuple[Any, ...]]:
    """Scores, reports, state and what observers hear: all lines at once, and one by one."""
    found = []
    for at_once in (True, False):
        state = folder / f"state {at_once}"
        source, sink = os.pipe()
        settings = {**KEYS, "output": "both", "event_gap": 1, "state": state, **options}
        out, err, moments = io.BytesIO(), io.StringIO(), Moments()
        if at_once:
            os.write(sink, text.encode())
            os.close(sink)
        else:
            slow(sink, text)
        failed = ""
        try:
            run_live(
                LiveOptions(folder / "model.safetensors", **settings),
                stdin=source,
                stdout=out,
                stderr=err,
                observers=[moments],
            )
        except ValueError as error:
            failed = str(error)
        finally:
            os.close(source)
        reports = [line.partition("; push p50")[0] for line in err.getvalue().splitlines()]
        with zipfile.ZipFile(state) as saved:  # which has the time of its making in it
            kept = {name: saved.read(name) for name in saved.namelist()}
        found.append((out.getvalue(), reports, kept, moments.heard, failed))
    return found


def slow(sink: int, text: str) -> None:
    """Give a reader one line at a time."""

    def write() -> None:
        for line in text.splitlines(keepends=True):
            os.write(sink, line.encode())
            while struct.unpack("i", fcntl.ioctl(sink, termios.FIONREAD, b"    "))[0]:
                time.sleep(0.0001)  # until it has been read
        os.close(sink)

    threading.Thread(target=write, daemon=True).start()


def hostile_lines() -> str:
    """Rows of seven hosts, high ones among them, some lines that cannot be used."""
    rows = table(240, entities=7)
    for n in range(60, 90):
        rows[n]["heat"] = 9.0
    lines = as_csv(rows).splitlines()
    lines[50] = "x,hot,h2,49,0.5"  # the entity is known
    lines[70] = "only,three,cells"  # it is not
    lines[71:71] = ["x,0.1,h1,3,0.5", ""]  # too early
    lines[120] = lines[119]  # equal times
    lines[150] = "x,0.5,,149,0.5"
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("options", [{}, {"max_gap": "20"}, {"missing": "ffill"}, {"time": ""}])
def test_lines_at_once_give_what_they_give_one_by_one(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    save_model(tmp_path / "model.safetensors")
    together, apart = both_ways(tmp_path, hostile_lines(), **options)
    for ours, theirs in zip(together, apart, strict=True):
        assert ours == theirs
    scores, reports, _, heard, _ = together
    assert scores.count(b"opened") > 4
    assert any("not" in line or "expected" in line for line in reports)
    assert heard.count("malformed") == 3
    if "time" in options:
        moments = [one[2] for one in heard if one[0] not in {"opened", "closed"} and len(one) == 3]
        assert moments == list(range(1, len(moments) + 1))
        assert len(moments) > 230


def test_a_line_that_ends_the_run_ends_it_at_its_place(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors")
    together, apart = both_ways(tmp_path, hostile_lines(), on_error="fail", output="scores")
    assert together == apart
    assert together[-1].startswith("line 51: column 'heat': expected a number, got 'hot'")
    assert together[0].count(b"\n") == 50  # the header and the rows before


def test_rows_are_scored_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All lines that have come take one call, and a line that comes alone is a block of one."""
    from slidecell.live.monitor import Monitor

    sizes = []
    push_block = Monitor.push_block

    def counted(self: Monitor, ids: Any, rows: Any, **settings: Any) -> Any:
        sizes.append(len(ids))
        return push_block(self, ids, rows, **settings)

    monkeypatch.setattr(Monitor, "push_block", counted)
    save_model(tmp_path / "model.safetensors")
    rows = [{"t": n // 100, "host": f"h{n % 100}", "load": 0.1, "heat": 0.2} for n in range(300)]
    both_ways(tmp_path, as_csv(rows))
    at_once, one_by_one = sizes[:-300], sizes[-300:]
    assert sum(at_once) == 300
    assert len(at_once) < 8  # at most one whenever room is made, and few more
    assert one_by_one == [1] * 300


def test_cells_of_plain_lines_are_those_of_the_csv_module(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors")
    from slidecell.live.formats import CsvFormat, UnreadableRowError
    from slidecell.model import SequenceModel

    model = SequenceModel.load(tmp_path / "model.safetensors")
    reader = CsvFormat(LiveOptions(tmp_path, **KEYS), model)
    assert reader.read("t,host,load,heat") is None
    read = {
        "1,a,1,2": [1.0, 2.0],
        " 1 ,a, 1.5 ,-2e3": [1.5, -2000.0],
        '1,"a,b",1,"2"': [1.0, 2.0],
        "1,a_b,1,2": [1.0, 2.0],
        "1,a,,nan": [np.nan, np.nan],
        "1,a,true,NA": [1.0, np.nan],
        "1,a,inf,-Infinity": [np.inf, -np.inf],
        "1,a,1e400,-1e999": [np.finfo(float).max, -np.finfo(float).max],
        f"1,a,1e308,{'9' * 308}": [1e308, float("9" * 308)],
    }
    for line, values in read.items():
        row = reader.read(line)
        assert row is not None
        np.testing.assert_array_equal(row.values, values)
    for line in ("1,a,1_000,2", "1,a,0x10,2", "1,a,1 2,2", "1,a,hot,2"):
        with pytest.raises(UnreadableRowError, match="expected a number"):
            reader.read(line)
    with pytest.raises(ValueError, match="not readable as CSV"):
        reader.read(f"1,{'a' * 200_000},1,2")
    with pytest.raises(ValueError, match="not readable as CSV"):
        reader.read("1,a\rb,1,2")


def test_rows_that_pass_by_count_for_events() -> None:
    apart, events = EntityEvents("a", gap=1, threshold=1.0), EntityEvents("a", gap=1, threshold=1.0)
    found = []
    for row, score in enumerate([0.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0, float("nan"), 3.0]):
        lines = events.push(score > 1.0, score, row)
        found += [(line.change, line.start, line.end, line.event.start) for line in lines]
    assert found == [("opened", 1, 1, 1), ("closed", 1, 3, 1), ("opened", 8, 8, 8)]
    assert apart.state() != events.state()
    apart.load_state(json.loads(json.dumps(events.state())))
    assert apart.open_event == events.open_event


def test_the_time_of_the_row_before_is_read_once() -> None:
    from slidecell.live.times import Clock

    clock = Clock(None)
    for _ in range(2):
        assert clock.read("2024-03-01 00:00:01") == 1_709_251_201_000_000_000
        with pytest.raises(ValueError, match="expected a date"):
            clock.read("7")
    numbers = Clock(None)
    assert [numbers.read(value) for value in ("5", "5", 5, 5.5, "5.5")] == [5, 5, 5, 5.5, 5.5]
