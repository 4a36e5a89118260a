"""Memory that a column of a file takes: bounded before it is taken, and the bound can be moved."""

from __future__ import annotations

import gzip
import io
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from slidecell.jobs.command_line import command_line  # noqa: E402
from slidecell.tables.budget import COLUMN_BYTES  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from slidecell.tables.table import read_table  # noqa: E402
from tests.live_lines import save_model  # noqa: E402

KEYS = {"time": "t", "entity": "host"}
ROWS = pd.DataFrame(
    {"t": range(100), "host": ["web-1", "db-12"] * 50, "load": np.arange(100.0), "heat": 0.5}
)
LONGEST = 100 * 8 + 100 * 5  # the column of hosts: where a text begins, and its characters


def test_tables_the_bound_is_a_gibibyte_and_no_detector_remembers_it():
    options = TableOptions(max_bytes=5)
    assert TableOptions().max_bytes == COLUMN_BYTES == 2**30
    assert "max_bytes" not in options.to_dict()
    assert options.with_features(("a",)).max_bytes == 5
    for wrong, error in ((0, ValueError), (1.5, TypeError), ("1GiB", TypeError)):
        with pytest.raises(error, match="max_bytes: expected an integer"):
            TableOptions(max_bytes=wrong)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_a_column_that_takes_too_much_is_named(tmp_path, kind):
    path = tmp_path / f"in.{kind}"
    if kind == "csv":
        ROWS.to_csv(path, index=False)
        need, shown = LONGEST, "1.3 KiB"
    else:
        # Each name is stored once, and read for each row.
        pq.write_table(pa.Table.from_pandas(ROWS.assign(host="x" * 200)), path)
        need, shown = 100 * 208, "20.4 KiB"
    assert len(read_table(path, TableOptions(**KEYS, max_bytes=need))) == 100
    with pytest.raises(ValueError, match=rf"in\.{kind}: column 'host' takes {shown}.*--max-memory"):
        read_table(path, TableOptions(**KEYS, max_bytes=need - 1))
    with pytest.raises(ValueError, match=r"column '[a-z]*' takes .*, expected at most 799"):
        read_table(path, TableOptions(**KEYS, max_bytes=799))


def test_tables_a_column_is_counted_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "in.csv"
    ROWS.to_csv(path, index=False)
    frame = read_table(path, TableOptions(**KEYS, max_bytes=LONGEST))
    seen = []
    read_csv = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *a, **k: seen.append(k) or read_csv(*a, **k))
    with pytest.raises(ValueError, match="column 'host'"):
        read_table(path, TableOptions(**KEYS, max_bytes=LONGEST - 1))
    assert [bool(call.get("chunksize")) for call in seen] == [True]
    seen.clear()
    # A file in which no column can take as much is read once, as ever.
    whole = read_table(path, TableOptions(**KEYS))
    assert [bool(call.get("chunksize")) for call in seen] == [False]
    np.testing.assert_array_equal(whole.features, frame.features)


def test_tables_damage_is_named_where_columns_are_counted(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("a,b\n" + "1,2\n" * 50 + "1,2,3\n")
    with pytest.raises(ValueError, match="line 52: expected 2 cells, got 3"):
        read_table(path, TableOptions(max_bytes=500))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_what_gzip_unpacks_is_bounded(tmp_path, kind):
    buffer = io.BytesIO()
    frame = pd.DataFrame({"load": np.zeros(100_000), "heat": np.zeros(100_000)})
    if kind == "csv":
        frame.to_csv(buffer, index=False)
    else:
        pq.write_table(
            pa.Table.from_pandas(frame), buffer, use_dictionary=False, compression="none"
        )
    path = tmp_path / f"in.{kind}.gz"
    path.write_bytes(gzip.compress(buffer.getvalue()))
    size = len(buffer.getvalue())
    assert path.stat().st_size < size / 50
    assert len(read_table(path, TableOptions(max_bytes=size))) == 100_000
    with pytest.raises(ValueError, match=r"in.*gz: its content takes more than .*--max-memory"):
        read_table(path, TableOptions(max_bytes=size - 1))


def write_later(path, text):
    def write():
        with path.open("w") as stream:
            try:
                stream.write(text)
            except BrokenPipeError:
                return

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_tables_a_pipe_is_bounded(tmp_path, monkeypatch):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    text = ROWS.to_csv(index=False)
    write_later(path, text)
    assert len(read_table(path, TableOptions(**KEYS, max_bytes=len(text)))) == 100
    write_later(path, text)
    with pytest.raises(ValueError, match=r"pipe: its content takes more than 1.2 KiB"):
        read_table(path, TableOptions(**KEYS, max_bytes=1200))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    with pytest.raises(ValueError, match=r"standard input: its content takes more than 1.2 KiB"):
        read_table("-", TableOptions(**KEYS, max_bytes=1200))


def command(*words):
    return [sys.executable, "-m", "slidecell", *map(str, words)]


@pytest.mark.parametrize("interrupt", [True, False])
def test_score_of_a_pipe_waits_for_its_end_and_can_be_interrupted(tmp_path, interrupt):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    pytest.importorskip("typer")
    save_model(tmp_path / "model.safetensors")
    pipe, out = tmp_path / "pipe", tmp_path / "out"
    os.mkfifo(pipe)
    keys = ("--time", "t", "--entity", "host")
    words = command("score", tmp_path / "model.safetensors", pipe, *keys, "--out", out)
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        with pipe.open("w") as stream:  # which waits until the command opens it
            stream.write(ROWS.to_csv(index=False))
            stream.flush()
            if interrupt:
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=60) == 130
        assert process.stderr is not None
        told = process.stderr.read().decode()
        assert process.wait(timeout=60) == (130 if interrupt else 0), told
    assert (out / "scores.csv").exists() != interrupt
    if interrupt:
        assert told == "interrupted: nothing was written\n"
    else:
        assert len((out / "scores.csv").read_text().splitlines()) == 101


INTERRUPTED_READERS = """
import os, random, signal, sys, time
from slidecell.tables.source import Source

signal.signal(signal.SIGINT, signal.default_int_handler)
ended = []
for _ in range(400):
    reader = os.fork()
    if reader == 0:
        try:
            Source.of(sys.argv[1])
        except KeyboardInterrupt:
            os._exit(130)
        os._exit(0)
    with open(sys.argv[1], "wb", buffering=0) as pipe:
        pipe.write(b"x" * 800)
        until = time.perf_counter() + random.uniform(0, 3e-4)  # about when it reads on
        while time.perf_counter() < until:
            pass
        os.kill(reader, signal.SIGINT)
        deadline = time.monotonic() + 10
        while os.waitid(os.P_PID, reader, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > deadline:
                os.kill(reader, signal.SIGKILL)
            time.sleep(2e-4)
    ended.append(os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]))
    if ended[-1] != 130:
        break
print(set(ended))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_an_interrupt_just_before_a_read_of_a_pipe_is_not_lost(tmp_path):
    # CPython notes it, and the read that follows would wait for who holds the pipe open.
    os.mkfifo(tmp_path / "pipe")
    words = [sys.executable, "-c", INTERRUPTED_READERS, str(tmp_path / "pipe")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr) == ("{130}\n", "")


@pytest.mark.parametrize("job", ["detect", "score", "retrain"])
def test_commands_take_the_bound(tmp_path, job):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    testing = pytest.importorskip("typer.testing")
    from slidecell.cli.main import app

    save_model(tmp_path / "model.safetensors")
    ROWS.to_csv(tmp_path / "in.csv", index=False)
    words = [job, *([] if job == "detect" else [str(tmp_path / "model.safetensors")])]
    words += [str(tmp_path / "in.csv"), "--time", "t", "--entity", "host"]
    words += ["--out", str(tmp_path / "out"), "--max-memory"]
    for memory, error in (
        ("1299", r"column 'host' takes 1.3 KiB, expected at most 1.3 KiB: .*--max-memory"),
        ("much", "--max-memory: expected bytes, as 500MB or 2GiB, got 'much'"),
    ):
        result = testing.CliRunner().invoke(app, [*words, memory])
        assert result.exit_code == 1
        assert re.search(error, " ".join(result.output.split()))
    assert not (tmp_path / "out").exists()


def test_the_bound_is_in_the_command_and_not_in_the_detector(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    from slidecell.detect import DetectOptions, ScoreOptions, load_detector, run_detect, run_score

    ROWS.to_csv(tmp_path / "in.csv", index=False)
    table = TableOptions(**KEYS, max_bytes=5000)
    options = DetectOptions(tmp_path / "in.csv", tmp_path / "out", table, detector="zscore")
    report = run_detect(options, progress=False).report
    assert "--max-memory 5000" in command_line("detect", options)
    assert report["options"]["max_bytes"] == 5000
    saved = tmp_path / "out" / "detector"
    assert not any(b"max_bytes" in path.read_bytes() for path in saved.iterdir())
    assert "max_bytes" not in load_detector(saved).table_options()
    again = ScoreOptions(tmp_path / "out", tmp_path / "in.csv", tmp_path / "again", max_bytes=1299)
    with pytest.raises(ValueError, match="column 'host' takes"):
        run_score(again)
    assert len(run_score(replace(again, max_bytes=COLUMN_BYTES)).scores) == 100
