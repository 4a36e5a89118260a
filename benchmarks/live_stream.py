"""``python -m benchmarks.live_stream``: rows a second of ``slidecell stream`` on one core.

A detector with an LSTM 64 of W=7 over four features scores lines of CSV of 20 entities that
interleave: alone (``plain``), with lines of events and their columns (``--output both``), with
``--metrics`` that a client polls once a second, with ``--page`` that a client looks at beside that,
with a challenger of the same size (``--shadow``), with its drift advisory (``drift``), and with
everything. Each run is a process of its own on one core, in
turn, a b c a b c ...; imports and a first short run are not counted. CPU time is that of the whole
process, its server included: on a core of its own a run takes that long.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.command import add_json, conditions, print_conditions
from slidecell.bench.command import positive
from slidecell.bench.report import markdown, write_json
from slidecell.live import LiveOptions, run_live

ENTITIES, FEATURES = 20, "abcd"
TRAINING = 6000  # rows
WARM_UP = 500  # rows
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "events": {"output": "both"},
    "metrics": {"metrics": 0},
    "page": {"metrics": 0, "page": 0},
    "shadow": {"shadow": "challenger"},
    "drift": {"drift": True},
    "metrics, page, shadow": {"metrics": 0, "page": 0, "shadow": "challenger"},
    "all": {"metrics": 0, "page": 0, "shadow": "challenger", "drift": True},
}


@dataclass(frozen=True)
class Run:
    """What a process took for its rows, in seconds."""

    wall: float
    cpu: float


def write_rows(path: Path, rows: int, *, seed: int) -> None:
    """Write a table of entities in turn, whose values follow a slow wave."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(rows)[:, None] / 400.0 + np.arange(len(FEATURES)))
    values = waves + rng.normal(scale=0.2, size=waves.shape)
    with path.open("w", encoding="utf-8") as file:
        file.write(f"t,host,{','.join(FEATURES)}\n")
        for row, numbers in enumerate(values.tolist()):
            cells = ",".join(f"{number:.4f}" for number in numbers)
            file.write(f"{row // ENTITIES},h{row % ENTITIES},{cells}\n")


def prepare(folder: Path, rows: int) -> None:
    """Fit champion and challenger, and write the rows that they score."""
    import pandas as pd

    from slidecell.detect import ForecastDetector

    write_rows(folder / "training.csv", TRAINING, seed=0)
    write_rows(folder / "warm-up.csv", WARM_UP, seed=1)
    write_rows(folder / "rows.csv", rows, seed=2)
    frame = pd.read_csv(folder / "training.csv")
    for seed, name in enumerate(("champion", "challenger")):
        detector = ForecastDetector(
            window=7, hidden_size=64, epochs=2, entity="host", time="t", random_state=seed
        )
        detector.fit(frame).save(folder / name)


def options(folder: Path, variant: str) -> LiveOptions:
    """Return the options of a variant."""
    settings = {"drift": False, **VARIANTS[variant]}
    if "shadow" in settings:
        settings["shadow"] = folder / settings["shadow"]
    return LiveOptions(folder / "champion", time="t", entity="host", **settings)


def run_here(folder: Path, variant: str) -> Run:
    """Score all rows in this process, on one core where the system lets it be chosen."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with Path(os.devnull).open("wb") as nowhere:
        with (folder / "warm-up.csv").open("rb") as lines:
            run_live(
                options(folder, variant), stdin=lines.fileno(), stdout=nowhere, stderr=io.StringIO()
            )
        with (folder / "rows.csv").open("rb") as lines:
            wall, cpu = time.perf_counter(), time.process_time()
            run_live(options(folder, variant), stdin=lines.fileno(), stdout=nowhere)
            return Run(time.perf_counter() - wall, time.process_time() - cpu)


class Clients:
    """Polls what a run serves, and looks at its page, as soon as it says where."""

    def __init__(self) -> None:
        self.bytes = 0
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def hear(self, line: str) -> None:
        """Take a line of the run's reports."""
        what, found, url = line.removeprefix("slidecell stream: ").strip().partition(" at http://")
        follow = {"metrics": self._poll, "page": self._look}.get(what)
        if found and follow is not None:
            thread = threading.Thread(target=follow, args=(f"http://{url}",), daemon=True)
            thread.start()
            self._threads.append(thread)

    def end(self) -> None:
        """Wait for all clients."""
        self._ended.set()
        for thread in self._threads:
            thread.join(20)

    def _poll(self, url: str) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
                self.bytes += len(answer.read())
            self._ended.wait(1.0)

    def _look(self, url: str) -> None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}live", timeout=10) as page:
            for line in page:
                self.bytes += len(line)
                if self._ended.is_set():
                    return


def run_apart(folder: Path, variant: str) -> Run:
    """Score all rows in a process of its own, which clients look at."""
    command = [sys.executable, "-m", "benchmarks.live_stream", "--child", str(folder), variant]
    pipe = subprocess.PIPE
    clients, said = Clients(), []
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            said.append(line)
            clients.hear(line)
        out = process.stdout.read()
    clients.end()
    if process.returncode:
        raise RuntimeError(f"{variant}: the run has failed: {''.join(said)}")
    if "metrics" in VARIANTS[variant] and not clients.bytes:
        raise RuntimeError(f"{variant}: nobody could read what it serves")
    return Run(**json.loads(out))


def measure(folder: Path, variants: Sequence[str], repeats: int) -> dict[str, list[Run]]:
    """Return the runs of each variant, made in turn."""
    runs: dict[str, list[Run]] = {variant: [] for variant in variants}
    for _ in range(repeats):
        for variant in variants:
            runs[variant].append(run_apart(folder, variant))
    return runs


def table(runs: dict[str, list[Run]], rows: int) -> str:
    """Return medians, and what each variant adds to the first one."""
    first = next(iter(runs.values()))
    base = median(run.cpu for run in first)
    lines = [["run", "CPU us a row", "rows a second of CPU", "rows a second", "added CPU"]]
    for variant, found in runs.items():
        cpu, wall = (median(getattr(run, name) for run in found) for name in ("cpu", "wall"))
        added = "" if found is first else f"{100 * (cpu / base - 1):+.0f} %"
        numbers = (f"{1e6 * cpu / rows:.1f}", f"{rows / cpu:,.0f}", f"{rows / wall:,.0f}")
        lines.append([variant, *numbers, added])
    return markdown(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.live_stream",
        description="Rows a second of slidecell stream on one core, and what options add.",
    )
    parser.add_argument("--rows", type=positive, default=200_000, help="default: 200000")
    parser.add_argument("--repeats", type=positive, default=5, help="of each variant; default: 5")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)  # a folder and a variant
    add_json(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    given = parse(arguments)
    if given.child:
        folder, variant = given.child
        print(json.dumps(vars(run_here(Path(folder), variant))))
        return 0
    about = conditions(
        "benchmarks.live_stream", f"{given.repeats} runs of each", 1, arguments=arguments
    )
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), given.rows)
        runs = measure(Path(folder), given.variants, given.repeats)
    print(table(runs, given.rows))
    print_conditions(about)
    if given.json is not None:
        plain = {variant: [vars(run) for run in found] for variant, found in runs.items()}
        write_json(given.json, {"conditions": about, "rows": given.rows, "runs": plain})
    return 0


if __name__ == "__main__":
    sys.exit(main())
