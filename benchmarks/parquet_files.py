"""Rows a second and peak memory of `slidecell.scale.score_parquet`, by the rows of the file.

Each file is scored in a process of its own, which does not import torch.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slidecell.bench.command import positive
from slidecell.bench.report import markdown
from slidecell.model import SequenceModel

_ENTITIES, _CHUNK = 100, 1 << 20


def untrained_lstm(hidden_size: int, window: int, features: Sequence[str]) -> SequenceModel:
    """Return an untrained forecaster of the next row, with a threshold."""
    rng, H, F = np.random.default_rng(0), hidden_size, len(features)
    shapes = {"weight_ih": (4 * H, F), "weight_hh": (4 * H, H), "bias_ih": (4 * H,)}
    shapes |= {"bias_hh": (4 * H,)}
    tensors = {
        f"encoder.0.{name}_l0": rng.uniform(-0.25, 0.25, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    tensors["head.weight"] = rng.uniform(-0.25, 0.25, (F, H)).astype(np.float32)
    tensors["head.bias"] = np.zeros(F, np.float32)
    layer = {"cell": "lstm", "input_size": F, "hidden_size": H, "proj_size": 0}
    layer |= {"bidirectional": False, "activation": "tanh", "recurrent_activation": "sigmoid"}
    metadata: dict[str, Any] = {"window": window, "horizon": 1, "features": list(features)}
    metadata |= {"encoder": [layer | {"reset_after": True}], "decoder": []}
    return SequenceModel(metadata | {"threshold": {"kind": "fixed", "value": 12.0}}, tensors)


def write_rows(path: Path, rows: int) -> None:
    """Write a file of 100 entities that interleave."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    schema = pa.schema([("id", pa.int32()), ("at", pa.int64()), ("x", pa.float32())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, _CHUNK):
            at = np.arange(start, min(rows, start + _CHUNK))
            columns = [(at % _ENTITIES).astype(np.int32), at]
            columns.append(rng.normal(size=len(at)).astype(np.float32))
            writer.write_table(pa.table(list(map(pa.array, columns)), schema=schema))


def resident() -> float:
    """Return the memory of this process in MB."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def score(path: str, found: Any) -> None:
    """Score a file, and put what it took."""
    import pyarrow.parquet  # noqa: F401  # what is imported is no part of the peak
    import sklearn.utils.validation  # noqa: F401

    from slidecell.detect.model_detector import ModelDetector
    from slidecell.scale import score_parquet

    detector, before = ModelDetector.of(untrained_lstm(16, 7, ["x"])), resident()
    peak, stop = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.01):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    source = Path(path)
    out, events = source.with_name("out.parquet"), source.with_name("events.csv")
    done = score_parquet(detector, source, out, entity="id", time="at", events=events)
    stop.set()
    watcher.join()
    assert "torch" not in sys.modules
    found.put((done.rows, done.seconds, before, peak - before))


def main(arguments: Sequence[str] | None = None) -> int:
    """Score files of growing length and print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parquet_files", description=__doc__)
    parser.add_argument("--rows", type=positive, nargs="+", default=[1_000_000, 12_000_000])
    options = parser.parse_args(arguments)
    lines = [("rows", "seconds", "rows/s", "after imports (MB)", "peak above it (MB)")]
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for rows in options.rows:
            path = Path(folder) / "in.parquet"
            write_rows(path, rows)
            found = processes.SimpleQueue()
            child = processes.Process(target=score, args=(str(path), found))
            child.start()
            child.join()
            if child.exitcode:
                return 1
            count, seconds, before, peak = found.get()
            rate = f"{count / seconds:,.0f}"
            lines.append((f"{count:,}", f"{seconds:.1f}", rate, f"{before:.0f}", f"{peak:.0f}"))
    print(markdown(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
