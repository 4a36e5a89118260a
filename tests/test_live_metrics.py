"""Metrics of a live run: their values, their names, health, ports, and clients that hang."""

from __future__ import annotations

import errno
import json
import math
import re
import select
import signal
import socket
import urllib.request
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from prometheus_client.parser import text_string_to_metric_families

from slidecell.live import LiveOptions
from slidecell.live.web import guard
from slidecell.live.web.counts import PUSH_BOUNDS, SCORE_BOUNDS, Histogram
from slidecell.live.web.sockets import open_port
from tests.live_lines import Command, as_csv, live, save_model, table
from tests.web_run import WebRun, closed_within

EXAMPLES = Path(__file__).parents[1] / "python" / "examples"


def rows(S: int = 40) -> list[list[float]]:
    return np.random.default_rng(1).random((S, 2)).round(3).tolist()


def test_metrics_count_what_happened(tmp_path: Path) -> None:
    with WebRun(tmp_path, metrics=0, metrics_entities=True) as run:
        scores = []
        for t, values in enumerate(rows()):
            scores.append(run.push(f"h{t % 2}", str(t), values))
        run.observers.skipped("malformed")
        run.observers.skipped("out of order")
        run.observers.skipped("malformed")
        found = run.metrics()
    known = np.array([score for score in scores if not math.isnan(score)])
    assert len(known) == 34  # all but the first three of each entity
    assert found["slidecell_rows_total"] == 40
    assert found["slidecell_scores_total"] == 34
    assert found["slidecell_alarms_total"] == (known > 0.45).sum() > 3
    assert found['slidecell_skipped_lines_total{reason="malformed"}'] == 2
    assert found['slidecell_skipped_lines_total{reason="out_of_order"}'] == 1
    assert found["slidecell_entities"] == 2
    assert found["slidecell_threshold"] == 0.45
    assert found["slidecell_score_count"] == 34
    assert found["slidecell_score_sum"] == pytest.approx(known.sum())
    assert found['slidecell_score_bucket{le="0.2"}'] == (known <= 0.2).sum() > 0
    assert found["slidecell_push_seconds_sum"] == pytest.approx(40 * 20e-6)
    assert found['slidecell_push_seconds_bucket{le="1e-05"}'] == 0
    assert found['slidecell_push_seconds_bucket{le="2.5e-05"}'] == 40
    begun = found["slidecell_events_total"]
    own = [np.array(scores[n::2]) > 0.45 for n in (0, 1)]
    assert begun == sum((np.diff(flags, prepend=False) & flags).sum() for flags in own) > 2
    assert found["slidecell_open_events"] == sum(bool(flags[-1]) for flags in own)
    for n in (0, 1):
        assert found[f'slidecell_entity_rows_total{{entity="h{n}"}}'] == 20
        assert found[f'slidecell_entity_alarms_total{{entity="h{n}"}}'] == own[n].sum()
        assert found[f'slidecell_entity_score{{entity="h{n}"}}'] == scores[38 + n]


def test_metrics_go_on_with_the_events_of_a_saved_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    high = [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [9.0, 9.0]]
    with WebRun(tmp_path, metrics=0, state=state) as run:
        for t, values in enumerate(high):
            run.push("pump", t, values)
        assert run.metrics()["slidecell_open_events"] == 1
        assert "slidecell_state_age_seconds" not in run.metrics()
        run.entities.save()
    with WebRun(tmp_path, metrics=0, state=state) as run:
        found = run.metrics()
        assert found["slidecell_open_events"] == 1
        assert found["slidecell_events_total"] == found["slidecell_rows_total"] == 0
        assert 0.0 <= found["slidecell_state_age_seconds"] < 3600.0
        for t in range(4, 12):
            run.push("pump", t, [0.0, 0.0])
        assert run.metrics()["slidecell_open_events"] == 0


def test_names_are_those_of_prometheus(tmp_path: Path) -> None:
    with WebRun(tmp_path, metrics=0, metrics_entities=True) as run:
        run.push("pump", 1, [0.5, 0.5])
        status, text, headers = run.get("/metrics")
        openmetrics = run.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    assert openmetrics[1].endswith("# EOF\n")
    families = [f for f in text_string_to_metric_families(text) if f.name.startswith("slidecell")]
    assert len(families) > 15
    for family in families:
        assert re.fullmatch(r"slidecell(_[a-z0-9]+)*", family.name)
        assert family.documentation[0].isupper()
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        assert not re.search(r"_(ms|us|minutes|milliseconds)$", family.name)


def test_entities_are_told_on_request_only(tmp_path: Path) -> None:
    with WebRun(tmp_path, metrics=0) as run:
        run.push('a "b"\n', 1, [0.5, 0.5])
        assert not any("entity=" in name for name in run.metrics())
    with WebRun(tmp_path, metrics=0, metrics_entities=True) as run:
        run.push('a "b"\n', 1, [0.5, 0.5])
        assert run.metrics()['slidecell_entity_rows_total{entity="a \\"b\\"\\n"}'] == 1
    with pytest.raises(ValueError, match="--metrics-entities: expected with --metrics"):
        LiveOptions(tmp_path, metrics_entities=True)


def test_ready_as_long_as_rows_are_taken(tmp_path: Path) -> None:
    with WebRun(tmp_path, metrics=0) as run:
        assert run.get("/healthz")[:2] == (200, "ok\n")
        assert run.get("/readyz")[:2] == (200, "ok\n")
        run.not_ready = "the run is ending"
        assert run.get("/readyz")[:2] == (503, "the run is ending\n")
        assert run.get("/healthz")[:2] == (200, "ok\n")


def test_dashboard_asks_for_metrics_that_there_are(tmp_path: Path) -> None:
    board = json.loads((EXAMPLES / "grafana_dashboard.json").read_text(encoding="utf-8"))
    with WebRun(tmp_path, metrics=0, metrics_entities=True, state=tmp_path / "state") as run:
        run.push("pump", 1, [0.5, 0.5])
        run.entities.save()
        found = {name.partition("{")[0] for name in run.metrics()}
    from slidecell.live.web.metrics import ColumnDrift, DriftNow, drift_families

    drift = DriftNow("watch", 9, [ColumnDrift("heat", *range(6))])
    found |= {sample.name for family in drift_families(drift) for sample in family.samples}
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    names = {name for text in asked for name in re.findall(r"\bslidecell_\w+|\bprocess_\w+", text)}
    assert names <= found
    for word in ("rows", "alarms", "open_events", "score", "push", "drift", "skipped", "state"):
        assert any(word in name for name in names), word
    assert all(panel["title"] and panel["datasource"]["uid"] for panel in panels)
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_a_port_that_cannot_be_had_is_an_error_that_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = rf"--page: cannot listen on 127\.0\.0\.1:{port}: the port is in use; choose another"
        with pytest.raises(OSError, match=text):
            WebRun(tmp_path, page=port)
        with pytest.raises(OSError, match="--page: cannot"):  # the port before it is free again
            WebRun(tmp_path, metrics=0, page=port)
    with pytest.raises(OSError, match=r"192\.0\.2\.1:0: this machine has no such address"):
        open_port("--metrics", 0, "192.0.2.1")
    with pytest.raises(OSError, match="--bind no such host: "):
        open_port("--metrics", 0, "no such host")
    with pytest.raises(ValueError, match="--metrics: expected a port, 0 to 65535, got 70000"):
        LiveOptions(tmp_path, metrics=70000)


def test_no_permission_for_a_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:80: no permission; ports below"):
        open_port("--metrics", 80)


def test_other_hosts_names_and_methods_are_refused(tmp_path: Path) -> None:
    with WebRun(tmp_path, metrics=0, page=0) as run:
        assert len(set(run.ports)) == 1
        for host in ("evil.example", "127.evil.example", "localhost.evil.example:80"):
            status, text, headers = run.get("/metrics", host=host)
            assert (status, text) == (421, "expected the host localhost or 127.0.0.1\n")
        for host in (f"localhost:{run.ports[0]}", "127.0.0.1", "[::1]:1"):
            assert run.get("/metrics", host=host)[0] == 200
        for path in ("/", "/metrics", "/live", "/healthz"):
            connection = run.connect()
            connection.request("POST", path, body="x")
            assert connection.getresponse().status == 405
            connection.close()
        assert run.get("/../service.py")[0] == run.get("/page.html")[0] == 404
        assert headers["content-security-policy"].startswith("default-src 'none'; ")


def test_clients_that_hang_are_closed_and_hinder_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PATIENCE", 0.5)
    with WebRun(tmp_path, metrics=0, page=0) as run:
        address = ("127.0.0.1", run.ports[0])
        run.push("pump", 1, [0.5, 0.5])
        with (
            socket.create_connection(address) as silent,
            socket.create_connection(address) as half,
            socket.create_connection(address) as wrong,
        ):
            half.sendall(b"GET /metrics HTTP/1.1\r\nHost: local")
            wrong.sendall(b"\x16\x03\x01 hello\r\n\r\n")
            assert run.metrics()["slidecell_rows_total"] == 1
            assert all(closed_within(client, 20.0) for client in (silent, half, wrong))
        # A client that asks again and again, and takes nothing of what it is sent.
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            deaf.connect(address)
            deaf.settimeout(0.2)
            with pytest.raises((TimeoutError, ConnectionError)):
                deaf.sendall(10**5 * b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert run.metrics()["slidecell_rows_total"] == 1
            ended = select.poll()
            ended.register(deaf, 0)  # for the end by force alone
            assert ended.poll(20_000)


def test_histogram_has_prometheus_buckets() -> None:
    assert SCORE_BOUNDS[[0, -1]].tolist() == pytest.approx([1e-6, 5e5])
    assert PUSH_BOUNDS[[0, -1]].tolist() == pytest.approx([1e-6, 0.5])
    histogram = Histogram(np.array([1.0, 2.0, 4.0]))
    assert histogram.quantile(0.5) is None
    histogram.add(np.array([0.5, 1.5, 1.5, 3.0]))
    assert histogram.quantile(0.5) == pytest.approx(1.5)
    assert histogram.quantile(1.0) == 4.0
    before = histogram.copy()
    histogram.add(np.array([9.0, np.inf, -1.0]))
    assert histogram.counts.tolist() == [2, 2, 1, 2]
    assert before.counts.tolist() == [1, 2, 1, 0]
    assert histogram.quantile(0.99) is None  # beyond the last bound
    assert histogram.sum == 14.5


def test_reports_are_json_lines_on_request(tmp_path: Path) -> None:
    save_model(tmp_path / "model.safetensors")
    text = as_csv(table()) + "1,2,3\n" + as_csv(table()).splitlines()[1] + "\n"
    _, reports = live(tmp_path, text, log="json")
    plain = live(tmp_path, text)[1].splitlines()
    found = [json.loads(line) for line in reports.splitlines()]
    assert [f"slidecell stream: {line['text']}" for line in found[:2]] == plain[:2]
    assert [line["kind"] for line in found] == ["skipped", "skipped", "counters"]
    assert [line["level"] for line in found] == ["warning", "warning", "info"]
    assert [(line["line"], line["reason"]) for line in found[:2]] == [
        (92, "malformed"),
        (93, "out of order"),
    ]
    last = found[-1]
    assert [last[key] for key in ("rows", "malformed", "out_of_order")] == [90, 1, 1]
    assert last["entities"] == 3
    assert 0.0 < last["p50_us"] <= last["max_us"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", x["time"]) for x in found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_and_ends_at_a_signal(tmp_path: Path, number: int) -> None:
    pytest.importorskip("typer")
    save_model(tmp_path / "model.safetensors")
    options = ("--time", "t", "--entity", "host", "--metrics", "0", "--page", "0", "--log", "json")
    run = Command(tmp_path / "model.safetensors", *options)
    urls = [json.loads(run.report())["url"] for _ in range(2)]
    assert urls[0] == urls[1] + "metrics"
    run.send(as_csv(table()[:30]))
    for _ in range(31):
        run.line()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urls[0], timeout=30) as answer:
        assert b"slidecell_rows_total 30.0" in answer.read()
    with opener.open(urls[1] + "live", timeout=30) as page:  # a page that stays open
        assert page.readline() == b"retry: 2000\n"
        _, err = run.end(number)
        assert run.process.returncode == 0
        assert page.read().endswith(b"event: ended\ndata: {}\n\n")
    last = json.loads(err.splitlines()[-1])
    assert (last["kind"], last["rows"]) == ("counters", 30)
    with pytest.raises(OSError, match=r"Connection refused|refused"):
        opener.open(urls[0], timeout=5)


def test_the_command_says_its_errors_in_json_too(tmp_path: Path) -> None:
    pytest.importorskip("typer")
    save_model(tmp_path / "model.safetensors")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = Command(tmp_path / "model.safetensors", "--metrics", port, "--log", "json")
        out, err = run.end()
    assert (out, run.process.returncode) == ("", 1)
    found = json.loads(err)
    assert (found["level"], found["kind"]) == ("error", "error")
    assert f"--metrics: cannot listen on 127.0.0.1:{port}: the port is in use" in found["text"]
