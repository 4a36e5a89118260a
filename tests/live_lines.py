"""Rows as lines, and a run of `run_live` on them."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import slidecell as sc
from slidecell.live import LiveOptions, run_live
from slidecell.live.observers import Observer
from tests.models import layer, random_model

KEYS = {"time": "t", "entity": "host"}


def save_model(path: Path, **metadata: Any) -> sc.SequenceModel:
    parts = random_model(np.random.default_rng(0), [layer("lstm", 8)], features=2, window=3)
    model = sc.SequenceModel(*parts)
    threshold = {"kind": "percentile", "percentile": 90.0, "value": 0.45}
    model = model.with_metadata(features=["load", "heat"], threshold=threshold, **metadata)
    model.save(path)
    return model


def table(S: int = 90, entities: int = 3) -> list[dict[str, Any]]:
    """Rows of interleaved entities, some cells missing."""
    rng = np.random.default_rng(1)
    rows = []
    for t in range(S):
        heat, load = np.round(rng.random(2), 3)
        rows.append(
            {"note": "x", "heat": heat, "host": f"h{rng.integers(entities)}", "t": t, "load": load}
        )
    rows[S // 2]["heat"] = None
    rows[S // 3]["load"] = float("inf")
    return rows


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def live(
    tmp_path: Path, text: str | bytes, *, observers: Sequence[Observer] = (), **options: Any
) -> tuple[str, str]:
    """Run on a text; what comes out on stdout and on stderr."""
    source = tmp_path / "stdin"
    source.write_bytes(text.encode() if isinstance(text, str) else text)
    out, err = io.BytesIO(), io.StringIO()
    settings = {"model": tmp_path / "model.safetensors", **KEYS, **options}
    with source.open("rb") as file:
        try:
            run_live(
                LiveOptions(**settings),
                stdin=file.fileno(),
                stdout=out,
                stderr=err,
                observers=observers,
            )
        except (ValueError, OSError) as error:
            error.args = (*error.args, out.getvalue().decode())
            raise
    return out.getvalue().decode(), err.getvalue()


def live_in_pieces(
    text: bytes, cuts: Sequence[int], *, observers: Sequence[Observer] = (), **options: Any
) -> tuple[bytes, list[str]]:
    """Run on a text cut at these places, each piece when the one before has been read.

    Returns what comes out, and the reports without how long a row took.
    """
    source, sink = os.pipe()
    taken = threading.Semaphore(0)

    class Taken(Observer):
        def attend(self) -> None:
            taken.release()

    def write() -> None:
        with contextlib.suppress(BrokenPipeError):  # the run has ended before
            for first, last in zip([0, *cuts], [*cuts, len(text)], strict=True):
                at = first
                while at < last:
                    at += os.write(sink, text[at : min(last, at + 8000)])
                    taken.acquire(timeout=10)
        os.close(sink)

    out, err = io.BytesIO(), io.StringIO()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        run_live(
            LiveOptions(**options),
            stdin=source,
            stdout=out,
            stderr=err,
            observers=[*observers, Taken()],
        )
    finally:
        os.close(source)
        taken.release()
        writer.join(20)
    reports = [line.partition("; push p50")[0] for line in err.getvalue().splitlines()]
    return out.getvalue(), reports


class Command:
    """``slidecell stream`` as a process, with pipes."""

    def __init__(self, *arguments: object, **settings: Any) -> None:
        command = [sys.executable, "-m", "slidecell", "stream", *map(str, arguments)]
        pipe = subprocess.PIPE
        pipes = {"stdin": pipe, "stdout": pipe, "stderr": pipe, **settings}
        self.process = subprocess.Popen(command, **pipes)

    def send(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode()

    def report(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline().decode()

    def end(self, number: int | None = None) -> tuple[str, str]:
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return (out or b"").decode(), (err or b"").decode()
