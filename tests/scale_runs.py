"""Runs over files in processes of their own that are killed, or whose disk is full."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

__all__ = ["fill_disk", "kill_runs"]

_KILLED = """
    import itertools, os, shutil, signal, sys, threading
    from slidecell import scale
    from slidecell.detect import load_detector
    from slidecell.scale import csv_files, runs
    import pyarrow.parquet, pandas

    out, rows, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    score = scale.score_csv if out.endswith(".csv") else scale.score_parquet
    runs._PART_BATCHES, csv_files._PIECE_BYTES = 2, 1500

    def run(kill_at):
        # Each call of a function of the room, in each of its threads, is a place to be killed at.
        seen = itertools.count(1)
        last = 0
        def trace(frame, event, arg):
            nonlocal last
            if event == "call" and "slidecell/scale" in frame.f_code.co_filename:
                last = next(seen)
                if last == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
        detector = load_detector("detector")
        threading.setprofile(trace)
        sys.setprofile(trace)
        score(detector, "in", out, events="events.csv", batch_rows=rows)
        sys.setprofile(None)
        open("calls", "w").write(str(last))

    def forked(kill_at):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run(kill_at)
                code = 0
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    names = (out, "events.csv")
    assert forked(0) == 0
    calls = int(open("calls").read())
    want = [open(name, "rb").read() for name in names]
    again = 0
    for n in range(1, kills + 1):
        for name in names:
            os.unlink(name)
        assert forked(calls * n // (kills + 1)) == -signal.SIGKILL, n
        # What goes on is killed too, earlier and later, before one comes to its end.
        again += forked(1 + calls * (n % 5) // 6) == -signal.SIGKILL
        assert forked(0) == 0
        assert [open(name, "rb").read() for name in names] == want, n
    print(again)
"""

_FULL = """
    import os, resource, signal, sys
    from slidecell import scale
    from slidecell.detect.loading import load_saved
    from slidecell.scale import runs

    out, limits = sys.argv[1], sys.argv[2:]
    score = scale.score_csv if out.endswith(".csv") else scale.score_parquet
    runs._PART_BATCHES = 2
    detector = load_saved("model.safetensors")

    def run(name):
        found = score(
            detector, "in", name, entity="id", time="at", events=name + ".events", batch_rows=40
        )
        return found

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in limits:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
        try:
            run(out)
        except OSError as error:
            print(str(error).replace(os.sep.join([os.getcwd(), ""]), ""))
        # What is whole stays for the next run, and nothing else.
        left = sorted(os.listdir())
        assert [name for name in left if name != f".{out}.parts"] == ["in", "model.safetensors"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    found, whole = run(out), run("whole" + out)
    assert open(out, "rb").read() == open("whole" + out, "rb").read()
    assert open(out + ".events").read() == open("whole" + out + ".events").read()
    print(found.rows, found.resumed > 0)
"""


def kill_runs(folder: Path, out: str, *, batch_rows: int, kills: int = 20) -> None:
    """Kill runs over the files of ``in`` with ``detector`` at so many places; those that go on too.

    Every run that comes to its end afterwards has to write the bytes of one that nothing disturbs.
    """
    done = _run(_KILLED, folder, out, str(batch_rows), str(kills))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= kills // 2
    assert not list(folder.glob(".*"))


def fill_disk(folder: Path, out: str, limits: list[int]) -> list[str]:
    """Score files of ``in`` by ``model.safetensors`` where no file may be longer than a limit.

    Limit after limit, and then without one. Return the texts of the errors.

    The last text says how many rows there are, and whether the last run went on where one stopped.
    """
    done = _run(_FULL, folder, out, *map(str, limits))
    assert done.returncode == 0, done.stderr
    assert not list(folder.glob(".*"))
    return done.stdout.splitlines()


def _run(script: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
