"""``python -m benchmarks.latency``: single steps and streams, one core, microseconds.

The C++ figures come from ``latency.cpp``, built here against the installed package. Latency of a
stream runs from `push` of a row until `predict_next` with that row included is ready; ``in all``
runs until `advance` has moved the other windows on as well (median), and ``sustained`` is the mean
of that, with whatever interrupted the program.
The figures through Python follow, and those of torch's own layers, which compute each window anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import slidecell as sc
from benchmarks.command import add_json, conditions, print_conditions
from slidecell.bench.command import positive
from slidecell.bench.peers_torch import Network
from slidecell.bench.report import markdown, write_json
from slidecell.training import Forecaster

HERE = Path(__file__).parent
# Microseconds per step of RTNeural on one core of a 2018 CPU, from its published benchmarks.
RTNEURAL = {
    "step, LSTM 16": 0.32,
    "step, LSTM 32": 0.88,
    "step, LSTM 64": 3.22,
    "step, GRU 64": 2.40,
}


def build(folder: Path) -> Path:
    """Build latency.cpp against the installed package."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL}
    prefix = f"-DCMAKE_PREFIX_PATH={sc.get_cmake_dir()}"
    release = "-DCMAKE_BUILD_TYPE=Release"
    subprocess.run(["cmake", "-S", HERE, "-B", folder, prefix, release], check=True, **quiet)
    subprocess.run(["cmake", "--build", folder], check=True, **quiet)
    return folder / "latency"


def run_cpp(pushes: int) -> Iterator[dict[str, Any]]:
    """Yield one row per case of latency.cpp."""
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        lines = subprocess.run([program, str(pushes)], check=True, capture_output=True, text=True)
    for line in lines.stdout.splitlines():
        yield json.loads(line)


def histogram(
    name: str,
    call: Callable[[int], object],
    n: int,
    after: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Time n calls one by one; `after` each runs outside the clock."""
    for i in range(min(n, 200)):
        call(i)
        after()
    us = np.empty(n)
    for i in range(n):
        start = time.perf_counter_ns()
        call(i)
        us[i] = (time.perf_counter_ns() - start) / 1e3
        after()
    p50, p90, p99 = np.percentile(us, [50, 90, 99])
    return {"case": name, "n": n, "p50_us": p50, "p90_us": p90, "p99_us": p99, "max_us": us.max()}


def python_rows(pushes: int) -> Iterator[dict[str, Any]]:
    """Push through Python, and torch on the same shapes."""
    torch.set_num_threads(1)
    shapes = [(8, 64, 1, 50, None), (100, 100, 2, 50, [0])]
    for features, hidden, layers, window, targets in shapes:
        torch.manual_seed(0)
        module = Forecaster(features, hidden, layers, window=window, targets=targets).eval()
        model = sc.SequenceModel.from_torch(module)
        # The layers of `Forecaster` are this package's, in inference too: torch gets its own.
        peer = Network(model)
        stream = model.stream()
        rows = list(np.random.default_rng(0).random((1024, features), dtype=np.float32))
        shape = f"{features} features, LSTM {hidden} x {layers}, W={window}"

        def push(i: int, stream: Any = stream, rows: Any = rows) -> None:
            stream.push(rows[i % 1024])

        def answer(i: int, stream: Any = stream, rows: Any = rows) -> None:
            stream.push(rows[i % 1024])
            stream.predict_next()

        # Without advance() a push first does what the one before it left: both are shown.
        yield histogram(f"Python push, advance in it, {shape}", push, pushes // 10)
        yield histogram(
            f"Python push + predict_next, {shape}", answer, pushes // 10, after=stream.advance
        )
        x = torch.rand(1, window, features)
        with torch.inference_mode():
            yield histogram(
                f"torch.nn.LSTM, whole window, {shape}", lambda _, m=peer, x=x: m(x), pushes // 100
            )
    for kind in ("LSTM", "GRU"):
        cell = getattr(nn, f"{kind}Cell")(64, 64)
        layer = getattr(sc, kind).from_torch(cell)
        x = np.random.default_rng(0).random((1, 64), dtype=np.float32)
        state: Any = layer.step(x)
        yield histogram(
            f"Python step, {kind} 64", lambda _, a=layer, x=x, s=state: a.step(x, s), pushes // 10
        )
        xt = torch.from_numpy(x)
        with torch.inference_mode():
            yield histogram(f"torch {kind}Cell 64", lambda _, c=cell, xt=xt: c(xt), pushes // 100)


HEADER = ("case", "p50", "p90", "p99", "in all", "sustained", "beside it")


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return the cases as a table, in microseconds."""
    lines = [HEADER]
    for row in rows:
        if "share" in row:
            rate = f"{row['rows_per_s']:,.0f} rows/s"
            beside = f"{row['share']:.0%} of score's {row['score_windows_per_s']:,.0f} windows/s"
            memory = f"{row['bytes_per_entity']:,} bytes/entity"
            lines.append((row["case"], "", "", "", "", rate, f"{beside}, {memory}"))
            continue
        p50, p90, p99 = (f"{row[f'{name}_us']:.2f}" for name in HEADER[1:4])
        whole, sustained = (
            f"{row[name]:.2f}" if name in row else "" for name in ("in_all_p50_us", "sustained_us")
        )
        published = RTNEURAL.get(row["case"])
        beside = f"published by RTNeural: {published:.2f}" if published else ""
        lines.append((row["case"], p50, p90, p99, whole, sustained, beside))
    return markdown(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all cases and print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--pushes", type=positive, default=100_000, help="samples per histogram")
    add_json(parser)
    options = parser.parse_args(arguments)
    about = conditions("benchmarks.latency", f"{options.pushes:,} pushes", 1, arguments=arguments)
    rows: list[dict[str, Any]] = []
    for source in (run_cpp, python_rows):
        for row in source(options.pushes):
            rows.append(row)
            print(row.get("case", "machine"), file=sys.stderr)
    print_conditions(about)
    print(f"\nMicroseconds\n\n{table(row for row in rows if 'case' in row)}")
    if options.json:
        write_json(options.json, {"conditions": about, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
