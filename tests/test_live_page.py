"""The live page: what it is sent, that it needs nothing else, and what a browser makes of it."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import time
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from slidecell.live.monitor import Event
from slidecell.live.web.event_book import EventBook
from slidecell.live.web.traces import FACTOR, LENGTH, SCALES, Trace, Traces
from tests.web_run import WebRun, messages

HOSTILE = '<img src=x onerror="document.title=1">'


def heard(run: WebRun, path: str = "/live", kinds: int = 5) -> dict[str, Any]:
    """What a page is sent first, by kind."""
    connection = run.connect()
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    found: dict[str, Any] = {}
    for kind, value in messages(answer):
        found.setdefault(kind, value)
        if len(found) == kinds:
            break
    connection.close()
    return found


def flow(run: WebRun, entity: str, high: range, rows: int = 30) -> list[float]:
    """Rows of one entity, some of them far off in heat, the second feature."""
    rng = np.random.default_rng(0)
    return [
        run.push(entity, t, [*(0.1 * rng.random(1)), 9.0 if t in high else 0.1])
        for t in range(rows)
    ]


def test_page_is_told_scores_events_and_counts(tmp_path: Path) -> None:
    with WebRun(tmp_path, page=0, event_gap=3) as run:
        scores = flow(run, "b", range(10, 12))
        flow(run, "a", range(27, 30))
        found = heard(run)
    assert found["run"]["rows"] == 60
    assert found["run"]["title"] == "model.safetensors"
    assert found["run"]["open"] == 1
    opened, closed = found["events"]
    assert (opened["state"], opened["entity"], opened["start"]) == ("open", "a", 27)
    assert (closed["state"], closed["entity"], closed["start"]) == ("closed", "b", 10)
    assert closed["peak"] == pytest.approx(np.nanmax(scores), rel=1e-4)
    assert closed["columns"][0][0] == "heat"
    assert sum(share for _, share in closed["columns"]) == pytest.approx(1.0, abs=0.011)
    assert [item["name"] for item in found["entities"]["shown"]] == ["a", "b"]
    assert [item["open"] for item in found["entities"]["shown"]] == [True, False]
    trace = found["trace"]  # of the entity with an open event, as none was chosen
    assert (trace["entity"], trace["sizes"], trace["t"]) == ("a", [1], list(range(30)))
    assert trace["s"][:3] == [None] * 3
    assert np.flatnonzero(trace["a"]).tolist()[0] == 27


def test_page_shows_the_entity_and_the_scale_that_are_asked_for(tmp_path: Path) -> None:
    with WebRun(tmp_path, page=0) as run:
        scores = np.array(flow(run, "b", range(300, 303), rows=600), np.float32)
        flow(run, "a c", range(0))
        found = heard(run, "/live?entity=b&scale=1")["trace"]
        assert found["entity"] == "b"
        assert (found["sizes"], found["size"]) == ([1, 8], 8)
        assert found["t"] == list(range(0, 600, 8))
        want = np.fmax.reduce(scores.reshape(75, 8), axis=1)
        np.testing.assert_allclose(np.array(found["s"], float), want, rtol=1e-4)
        assert sum(found["a"]) == (scores > 0.45).sum()
        assert heard(run, "/live?entity=a%20c")["trace"]["t"] == list(range(30))
        assert heard(run, "/live?entity=nobody&scale=99")["trace"]["t"] == []
        assert run.get("/live?scale=x")[0] == 400


def test_page_json_has_no_infinity(tmp_path: Path) -> None:
    with WebRun(tmp_path, page=0) as run:
        for t in range(5):
            run.push("a", t, [0.1, 0.1])
        assert run.push("a", 5, [1e300, 0.1]) == np.inf
        found = heard(run)
    assert found["trace"]["s"][5] == found["events"][0]["peak"] == "Infinity"


def test_page_goes_on_and_tells_the_end(tmp_path: Path) -> None:
    with WebRun(tmp_path, page=0) as run, contextlib.ExitStack() as stack:
        run.push("a", 1, [0.1, 0.1])
        connection = stack.enter_context(contextlib.closing(run.connect()))
        connection.request("GET", "/live")
        told = messages(connection.getresponse())
        assert {next(told)[0] for _ in range(5)} == {"run", "events", "entities", "drift", "trace"}
        run.push("a", 2, [0.1, 0.1])
        later = dict(next(told) for _ in range(2))
        assert later["run"]["rows"] == 2
        assert later["trace"]["t"] == [1, 2]
        run.service.close()
        assert list(told)[-1] == ("ended", {})


def test_no_more_pages_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slidecell.live.web.page._MOST_READERS", 2)
    with WebRun(tmp_path, page=0) as run, contextlib.ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(contextlib.closing(run.connect()))
            connection.request("GET", "/live")
            assert connection.getresponse().readline() == b"retry: 2000\n"
        assert run.get("/live")[:2] == (503, "2 pages are open already\n")
        connection.close()
        end = time.monotonic() + 30.0
        while run.get("/live?scale=x")[0] != 400:  # the place is free once its client has gone
            assert time.monotonic() < end


def test_scoring_does_not_wait_for_a_page_that_takes_nothing(tmp_path: Path) -> None:
    with WebRun(tmp_path, page=0) as run:
        for name in range(300):
            run.push(f"entity {name}", 1, [0.1, 0.1])
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.connect(("127.0.0.1", run.ports[0]))
            deaf.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            heard(run)
            for t in range(2, 100):
                run.push("entity 7", t, [0.1, 0.1])
            assert heard(run, "/live?entity=entity+7")["trace"]["t"] == list(range(1, 100))
        assert not [text for text in run.said if "looks on no more" in text]


def test_page_files_need_nothing_else(tmp_path: Path) -> None:
    with WebRun(tmp_path, page=0) as run:
        files = {path: run.get(path) for path in ("/", "/page.css", "/page.js")}
    kinds = ("text/html", "text/css", "text/javascript")
    for (status, text, headers), kind in zip(files.values(), kinds, strict=True):
        assert status == 200
        assert headers["content-type"].startswith(kind)
        assert headers["x-content-type-options"] == "nosniff"
        urls = [
            url for url in re.findall(r"https?://[\w./]+", text) if "www.w3.org/2000/svg" not in url
        ]
        assert urls == []
    policy = files["/"][2]["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'" in policy
    script = files["/page.js"][1]
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
        assert word not in script
    assert re.findall(r'(?:src|href)="([^"]*)"', files["/"][1]) == ["data:,", "page.css", "page.js"]
    folder = resources.files("slidecell.live.web")
    ids = set(
        re.findall(r'id="([\w-]+)"', folder.joinpath("page.html").read_text(encoding="utf-8"))
    )
    assert set(re.findall(r'\$\("([\w-]+)"\)', script)) <= ids


@pytest.mark.parametrize("rows", [1, 100, LENGTH, LENGTH + 1, 5000, LENGTH * FACTOR**2 + 77])
def test_traces_keep_the_highest_scores(rows: int) -> None:
    rng = np.random.default_rng(rows)
    scores = rng.random(rows).astype(np.float32)
    scores[rng.random(rows) < 0.05] = np.nan
    alarms = scores > 0.9
    trace = Trace()
    table = np.column_stack([np.arange(rows), scores, 0.9 + np.arange(rows), alarms])
    first = 0
    while first < rows:
        many = int(rng.choice([1, 2, 100, 700]))
        trace.add(table[first : first + many])
        first += many
        if rows <= LENGTH + 1 or rng.random() < 0.001:
            trace.points(0)  # whoever looks changes nothing
    assert trace.rows == rows
    assert trace.last_alarm == (np.flatnonzero(alarms)[-1] + 1 if alarms.any() else 0)
    need = [scale for scale in range(SCALES) if scale == 0 or rows > LENGTH * FACTOR ** (scale - 1)]
    assert trace.scales == len(need)
    for scale in need:
        size = FACTOR**scale
        found = trace.points(scale)
        firsts = np.arange(0, rows, size)[-LENGTH:]
        parts = [slice(first, first + size) for first in firsts]
        assert found.moments.tolist() == firsts.tolist()
        want = [np.fmax.reduce(scores[part]) for part in parts]
        np.testing.assert_array_equal(found.scores, np.array(want, np.float32))
        assert found.alarms.tolist() == [int(alarms[part].sum()) for part in parts]
        lasts = np.minimum(firsts + size, rows) - 1
        np.testing.assert_array_equal(found.thresholds, (0.9 + lasts).astype(np.float32))


def test_traces_are_kept_of_so_many_entities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slidecell.live.web.traces._MOST", 2)
    traces = Traces()
    from slidecell.live.rows import Row
    from slidecell.live.scored import ScoredBlock, ScoredRow

    answer = Event(1.0, 1.0, 2.0, False, None)
    for name in ("a", "b", "c", "a"):
        traces.scored(ScoredBlock.of([ScoredRow(Row(name, 1, [], []), answer, 1, 1)]))
    assert [traces.rows_of(name) for name in "abc"] == [2, 1, 0]
    assert traces.points("c", 0) is None


def test_a_row_after_a_gap_belongs_to_the_next_event(tmp_path: Path) -> None:
    """It is told before the event that the gap has ended."""
    with WebRun(tmp_path, page=0, max_gap="5", event_gap=3) as run:
        book = next(o for o in run.service.observers if isinstance(o, EventBook))
        calm, heat, load = [0.1, 0.1], [0.1, 9.0], [9.0, 0.1]
        for t in range(6):
            run.push("a", t, heat if t > 3 else calm)
        assert [event["state"] for event in book.events()] == ["open"]
        for t in range(20, 30):
            run.push("a", t, load if t > 26 else calm)
        opened, closed = book.events()
    assert closed["columns"][0][0] == "heat"
    assert opened["columns"][0][0] == "load"
    assert opened["columns"][0][1] > 0.5


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_shows_the_run(tmp_path: Path) -> None:
    with WebRun(tmp_path, page=0, event_gap=3) as run:
        flow(run, HOSTILE, range(10, 12))
        flow(run, "pump", range(27, 30))
        browser = subprocess.Popen(
            [
                *("chromium", "--headless=new", "--no-sandbox", "--disable-gpu"),
                *("--virtual-time-budget=3000", f"--user-data-dir={tmp_path / 'profile'}"),
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                *("--dump-dom", f"http://127.0.0.1:{run.ports[0]}/#entity=pump"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        page = next(o for o in run.service.pages)
        end = time.monotonic() + 60.0
        while page.readers == 0:
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)
    dom = browser.communicate(timeout=60)[0]
    assert "the run has ended" in dom
    assert "Scores of pump" in dom
    assert re.search(r"<dt>rows</dt><dd>60</dd>", dom)
    assert dom.count('class="mark"') == 3  # flagged rows
    assert 'class="limit" d="M' in dom
    assert "&lt;img src=x onerror=" in dom
    assert "<img" not in dom
    assert re.search(r"heat\xa0(100|9\d|8\d|7\d)\xa0%|heat&nbsp;", dom)
    assert "<title>(1) model.safetensors · slidecell stream</title>" in dom
