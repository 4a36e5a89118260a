"""The command stream as a process: pipes, signals, connections."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from tests.live_lines import Command, as_csv, live, save_model, table


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    save_model(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def command(model_file: Path) -> list[object]:
    for module in ("typer", "pandas"):
        pytest.importorskip(module)
    return [model_file, "--time", "t", "--entity", "host", "--max-entities", "4"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stream_answers_at_once_and_ends_at_a_signal(
    command: list[object], tmp_path: Path, number: int
) -> None:
    rows = table()
    whole, _ = live(tmp_path, as_csv(rows))
    state = tmp_path / "state"
    first = Command(*command, "--state", state)
    lines = as_csv(rows[:40]).splitlines(keepends=True)
    got = ""
    first.send(lines[0])
    got += first.line()
    for line in lines[1:]:  # each answer comes before the next row is there
        first.send(line)
        got += first.line()
    first.process.send_signal(signal.SIGUSR1)
    counters = first.report()
    assert counters.startswith("slidecell stream: 40 rows, ")
    for word in ("push p50 ", "p99 ", "max "):
        assert word in counters
    first.send("half a li")
    rest, err = first.end(number)
    assert (rest, first.process.returncode) == ("", 0)
    assert err.count("\n") == 1
    assert "40 rows" in err
    second = Command(*command, "--state", state)
    second.send(as_csv(rows[40:]))
    rest, err = second.end()
    assert second.process.returncode == 0
    assert "50 rows" in err
    assert got + rest.partition("\n")[2] == whole


def test_stream_ends_when_its_reader_goes(command: list[object], tmp_path: Path) -> None:
    state = tmp_path / "state"
    run = Command(*command, "--state", state)
    rows = table()
    run.send(as_csv(rows[:3]))
    assert run.process.stdout is not None
    run.line()
    run.process.stdout.close()
    run.send(as_csv(rows[3:5]).partition("\n")[2])
    assert run.process.wait(timeout=60) == 0
    assert run.process.stderr is not None
    err = run.process.stderr.read().decode()
    assert "the reader of the scores has gone" in err
    assert "Traceback" not in err
    assert "Error" not in err
    assert state.exists()
    for pipe in (run.process.stdin, run.process.stderr):
        assert pipe is not None
        pipe.close()


def test_stream_listens_on_loopback(command: list[object], tmp_path: Path) -> None:
    rows = table()
    whole, _ = live(tmp_path, as_csv(rows))
    run = Command(*command, "--listen", "0")
    port = int(run.report().rpartition(":")[2])
    text = as_csv(rows)
    header, _, body = text.partition("\n")
    lines = body.splitlines(keepends=True)
    got = ""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as one,
        socket.create_connection(("127.0.0.1", port), timeout=30) as two,
    ):
        one.sendall(f"{header}\n{lines[0]}".encode())
        got += run.line() + run.line()
        two.sendall(f"{header}\n{lines[1]}".encode())
        got += run.line()
        for n, line in enumerate(lines[2:60]):
            (one, two)[n % 2].sendall(line.encode())
            got += run.line()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as bad:
        bad.sendall(b"a,b\n")
        assert "line 1: --time: no column 't' (there are: a, b); connection closed" in run.report()
        assert bad.recv(1) == b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as last:
        last.sendall(f"{header}\n{''.join(lines[60:])}".strip().encode())  # no newline at the end
    while got.count("\n") < 91:
        got += run.line()
    rest, err = run.end(signal.SIGTERM)
    assert (rest, run.process.returncode) == ("", 0)
    assert "90 rows" in err
    assert got == whole
    with socket.create_server(("127.0.0.1", 0)) as taken:
        again = Command(*command, "--listen", taken.getsockname()[1])
        _, err = again.end()
        assert again.process.returncode == 1
        assert err.startswith("error: --listen ")


def test_stream_errors_are_one_line(command: list[object], tmp_path: Path) -> None:
    run = Command(*command, "--on-error", "fail")
    run.send("t,host,load,heat\n1,a,2,hot\n")
    out, err = run.end()
    assert run.process.returncode == 1
    assert out == "t,host,score,alarm\n"
    assert err.splitlines()[-1] == ("error: line 2: column 'heat': expected a number, got 'hot'")
    assert "Traceback" not in err
