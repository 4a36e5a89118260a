"""What others may do to the command stream: readers that do not read, clients without manners."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import slidecell as sc
from slidecell.live import LiveOptions, lines, run_live, sources
from slidecell.live.formats import make_format
from slidecell.live.lines import LONGEST_LINE, Lines, drop_longest
from slidecell.live.signals import Signals
from slidecell.live.sources import Chunk, Sources
from tests.live_lines import Command, as_csv, live, save_model, table

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and pipes of POSIX")


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    save_model(tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


@pytest.fixture
def command(model_file: Path) -> list[object]:
    for module in ("typer", "pandas"):
        pytest.importorskip(module)
    return [model_file, "--time", "t", "--entity", "host", "--state", model_file.parent / "state"]


def rows_in(state: Path, model: Path) -> int:
    """Rows that a saved state has seen, all entities together."""
    stream = sc.Monitor.load(sc.SequenceModel.load(model), state).stream
    return sum(stream.rows_seen(e) for e in range(stream.num_entities))


def small_pipe() -> tuple[int, int]:
    """A pipe that holds a page."""
    read, write = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    return read, write


def test_live_stalled_reader_of_scores_keeps_no_signal_waiting(
    command: list[object], model_file: Path
) -> None:
    source = model_file.parent / "in.csv"
    source.write_text("t,host,load,heat\n" + "".join(f"{t},a,1,2\n" for t in range(20_000)))
    read, write = small_pipe()
    with source.open("rb") as file:
        run = Command(*command, stdin=file, stdout=write)
    os.close(write)
    assert os.read(read, 4) == b"t,ho"  # it has begun
    counters = [""]
    while len(counters) < 3 or counters[-1] != counters[-2]:  # it stands still, and answers
        time.sleep(0.1)
        run.process.send_signal(signal.SIGUSR1)
        counters.append(run.report().partition(", ")[0])
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(timeout=30) == 0
    os.close(read)
    _, err = run.end()
    assert "bytes of scores were not taken by their reader" in err
    assert "lines that were read were not scored" in err
    rows = rows_in(model_file.parent / "state", model_file)
    assert counters[-1] == f"slidecell stream: {rows} rows"
    assert 1000 < rows < 20_000


def test_live_stalled_reader_of_reports_keeps_no_answer_waiting(
    command: list[object], model_file: Path
) -> None:
    read, write = small_pipe()
    run = Command(*command, stderr=write)
    os.close(write)
    run.send("t,host,load,heat\n")
    for t in range(5):
        run.send("?" * 400 + "\n" + f"{t},a,1,2\n" + "?\n" * 400)
        while not (line := run.line()).startswith(f"{t},a,"):
            assert line == "t,host,score,alarm\n"
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(timeout=30) == 0
    os.close(read)
    run.end()
    # Behind the first row there is a hole before each: 5 + 4 rows.
    assert rows_in(model_file.parent / "state", model_file) == 9


def test_live_dropped_reports_are_counted(model_file: Path, tmp_path: Path) -> None:
    """A report is dropped while 64 KiB wait; the next one that has room says how many."""

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            time.sleep(0.3)  # longer than the lines take
            return super().write(text)

    err = Slow()
    source = tmp_path / "bad.csv"
    source.write_text("load,heat,host,t\n" + f"{'?' * 500}\n" * 1000)
    options = LiveOptions(tmp_path / "model.safetensors", time="t", entity="host")
    with source.open("rb") as file:
        run_live(options, stdin=file.fileno(), stdout=io.BytesIO(), stderr=err)
    said = err.getvalue().splitlines()
    skipped = sum("skipped" in line for line in said)
    counted = [line for line in said if "reports were dropped: nobody read them" in line]
    assert 100 < skipped < 1000
    assert [int(line.split()[2]) for line in counted] == [1000 - skipped]
    assert "1000 malformed" in said[-1]


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def test_live_more_connections_than_files_are_refused(
    command: list[object], model_file: Path
) -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    run = Command(*command, "--listen", "0", preexec_fn=few_files)
    port = int(run.report().rpartition(":")[2])
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(connect(port))
        first.sendall(b"t,host,load,heat\n0,a,1,2\n")
        run.line()
        assert run.line().startswith("0,a,")
        others = [stack.enter_context(connect(port)) for _ in range(60)]
        for other in reversed(others[40:]):
            assert other.recv(1) == b""  # refused
        assert "a connection was refused: there are " in run.report()
        first.sendall(b"1,a,1,2\n")  # and the others go on
        assert run.line().startswith("1,a,")
        others[0].close()
        others[1].close()
        first.sendall(b"2,a,1,2\n")
        assert run.line().startswith("2,a,")
        with connect(port) as new:
            new.sendall(b"t,host,load,heat\n3,a,1,2\n")
            assert run.line().startswith("3,a,")
        _, err = run.end(signal.SIGTERM)
    assert run.process.returncode == 0
    assert "Traceback" not in err
    assert rows_in(model_file.parent / "state", model_file) == 4


def next_chunk(chunks: Any) -> Chunk:
    return next(chunk for chunk in chunks if chunk is not None)


def test_live_accept_without_a_descriptor_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    accept, said = socket.socket.accept, []
    until = time.monotonic() + 0.12

    def scarce(server: socket.socket) -> Any:
        if time.monotonic() < until:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return accept(server)

    monkeypatch.setattr(sources, "_PAUSE", 0.05)
    monkeypatch.setattr(socket.socket, "accept", scarce)
    with contextlib.closing(Sources(None, 0)) as found, Signals() as signals:
        assert found.port is not None
        with connect(found.port) as client:
            client.sendall(b"x\n")
            assert next_chunk(found.chunks(signals, said.append)).data == b"x\n"
    assert set(said) == {"a connection cannot be taken yet: Too many open files"}
    assert len(said) <= 3  # not all the time


def test_live_silent_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(sources, "_MOST_CONNECTIONS", 2)
    monkeypatch.setattr(sources, "_IDLE", 0.0)
    with contextlib.closing(Sources(None, 0)) as found, Signals() as signals:
        chunks = found.chunks(signals, said.append)
        assert found.port is not None
        with connect(found.port) as one, connect(found.port) as two:
            for client in (one, two, one):  # the second one is silent for longest
                client.sendall(b"x")
                assert next_chunk(chunks).data == b"x"
            with connect(found.port) as three:
                three.sendall(b"y")
                assert next_chunk(chunks) == Chunk(2, b"", broken=True)
                assert two.recv(1) == b""
                assert next_chunk(chunks) == Chunk(3, b"y")
                one.sendall(b"x")
                assert next_chunk(chunks) == Chunk(1, b"x")
    assert said == ["a connection without a byte for 0 s was closed for a new one"]


def test_live_client_that_is_cut_off_within_a_line(command: list[object]) -> None:
    """The end of its line is lost: a missing row for what it fed, and for nobody else."""
    run = Command(*command, "--listen", "0")
    port = int(run.report().rpartition(":")[2])
    header = b"t,host,load,heat\n"
    with connect(port) as one, connect(port) as two:
        one.sendall(header + b"".join(b"%d,a,1,2\n" % t for t in range(5)))
        for _ in range(6):
            run.line()
        two.sendall(header + b"".join(b"%d,b,1,2\n" % t for t in range(5)))
        for _ in range(5):
            run.line()
        one.sendall(b"5,a,1,2")
        time.sleep(0.1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()  # with a reset
        assert "closed by force before the end of the line; skipped" in run.report()
        two.sendall(b"5,b,1,2\n5,a,1,2\n")
        assert not run.line().startswith("5,b,,")
        assert run.line() == "5,a,,0\n"
        run.end(signal.SIGTERM)
    assert run.process.returncode == 0


def test_live_client_that_sends_one_byte_at_a_time(command: list[object], tmp_path: Path) -> None:
    rows = table(12)
    whole, _ = live(tmp_path, as_csv(rows))
    run = Command(*command, "--listen", "0")
    port = int(run.report().rpartition(":")[2])
    with connect(port) as slow, connect(port) as other:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other.sendall(b"t,host,load,heat\n")
        for byte in as_csv(rows).encode():
            slow.sendall(bytes([byte]))
        got = "".join(run.line() for _ in range(13))
        other.sendall(b"100,x,1,2\n")
        assert run.line() == "100,x,,0\n"
        run.end(signal.SIGTERM)
    assert got == whole


def test_live_lines_without_an_end_are_not_kept(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = sc.SequenceModel.load(model_file)

    def new() -> Lines:
        return Lines(make_format(LiveOptions(model_file), model))

    one = new()
    assert one.cut(b"a\nb") == [(1, b"a")]
    assert one.cut(b"c" * LONGEST_LINE) == []
    assert (one.held, one.unfinished) == (0, True)
    assert one.cut(b"c" * LONGEST_LINE) == []
    assert one.cut(b"c\nd") == [(2, None)]
    assert one.cut(b"") == [(3, b"d")]
    assert one.cut(b"") == []
    # Of all together, the longest ones go.
    monkeypatch.setattr(lines, "_MOST_HELD", 100)
    feeds = {number: new() for number in range(5)}
    for number, feed in feeds.items():
        feed.cut(b"x" * 15 * (number + 1))
    assert drop_longest(feeds, sum(feed.held for feed in feeds.values())) == 90
    assert [feed.held for feed in feeds.values()] == [15, 30, 45, 0, 0]
    assert feeds[4].cut(b"x\n") == [(1, None)]
    assert feeds[2].cut(b"x\n") == [(1, b"x" * 46)]


def test_live_sigusr1_and_sighup_that_was_ignored(command: list[object]) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    run = Command(*command, preexec_fn=ignore)
    run.send("t,host,load,heat\n0,a,1,2\n")
    run.line()
    run.line()
    run.process.send_signal(signal.SIGHUP)
    run.send("1,a,1,2\n")
    assert run.line() == "1,a,,0\n"
    run.end(signal.SIGTERM)
    assert run.process.returncode == 0


@pytest.mark.parametrize(
    ("closed", "arguments", "text"),
    [
        ("<&-", "stream {model}", "error: standard input: it is closed\n"),
        (">&- <{table}", "stream {model}", "error: standard output: it is closed\n"),
        ("2>&- <{table}", "stream {model}", ""),
        ("<&-", "score {model} - --out -", "error: standard input: it is closed\n"),
        (">&- <{table}", "score {model} - --out -", "error: standard output: it is closed\n"),
        (">&-", "info", "error: standard output: it is closed\n"),
    ],
)
def test_cli_closed_standard_files(
    command: list[object], tmp_path: Path, closed: str, arguments: str, text: str
) -> None:
    source = tmp_path / "in.csv"
    source.write_text("t,host,load,heat\n" + "".join(f"{t},a,1,2\n" for t in range(9)))
    given = f"{arguments} {closed}".format(model=tmp_path / "model.safetensors", table=source)
    run = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m slidecell {given}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stderr == text
    assert run.returncode == (1 if text else 0)
    if not text:
        assert len(run.stdout.splitlines()) == 10


def test_live_files_that_are_no_files(model_file: Path, tmp_path: Path) -> None:
    """A named pipe as a file would be waited for."""
    pytest.importorskip("safetensors")
    from slidecell.datasets.folders import read_npy, read_npz, read_text

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    model = sc.SequenceModel.load(model_file)
    with pytest.raises(OSError, match=r"expected a regular file, got a named pipe.*pipe"):
        sc.Monitor.load(model, pipe)
    with pytest.raises(OSError, match=r"pipe: cannot be read: not a regular file"):
        model.stream(state=pipe)
    with pytest.raises(OSError, match=r"pipe: not a regular file"):
        sc.SequenceModel.load(pipe)
    for read in (read_npy, read_npz, read_text):
        with pytest.raises((OSError, ValueError), match="got a named pipe"):
            read(pipe)
    with pytest.raises(OSError, match="got a device"):
        sc.Monitor.load(model, "/dev/zero")
    with pytest.raises(IsADirectoryError):
        sc.Monitor.load(model, tmp_path)


def test_live_full_disk_ends_with_the_state(command: list[object], model_file: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with open("/dev/full", "wb") as full:
        run = Command(*command, stdout=full)
    run.send("t,host,load,heat\n0,a,1,2\n")
    assert run.process.wait(timeout=30) == 1
    _, err = run.end()
    assert err.endswith("error: standard output: cannot be written: No space left on device\n")
    assert rows_in(model_file.parent / "state", model_file) == 1
