"""Rate and peak memory of `slidecell.scale.score_parquet`, by the rows of the file.

Each file is scored in a process of its own, which does not import torch. Between its runs a million
rows in memory are scored by `SequenceModel.score`, which the rate is compared with.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slidecell.bench.command import positive
from slidecell.bench.report import markdown
from slidecell.model import SequenceModel

_ENTITIES, _CHUNK = 100, 1 << 20
_IN_MEMORY = 1 << 20  # rows
_BYTES = 20  # of a row: of the file 9, of its scores 4, and of the parts of a run 5
_HEAD = (
    "rows",
    "rows/s",
    "s / million",
    "processor s / million",
    "rate / in memory",
    "the same of processor s",
    "after imports (MB)",
    "peak above it (MB)",
    "file + scores (GB)",
)


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


def score(path: str, repeats: int, found: Any) -> None:
    """Score a file, and rows in memory between; put what each took."""
    import pyarrow.parquet  # noqa: F401  # what is imported is no part of the peak
    import sklearn.utils.validation  # noqa: F401

    from slidecell.detect.model_detector import ModelDetector
    from slidecell.scale import score_parquet

    model = untrained_lstm(16, 7, ["x"])
    detector = ModelDetector.of(model)
    source = Path(path)
    out, events = source.with_name("out.parquet"), source.with_name("events.csv")
    features = np.random.default_rng(0).normal(size=(_IN_MEMORY, 1)).astype(np.float32)
    offsets = np.linspace(0, _IN_MEMORY, _ENTITIES + 1).astype(np.int64)
    model.score(features, offsets)  # the first call is no part of it
    before = peak = resident()
    stop = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.01):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    runs = []
    for _ in range(repeats):
        start = Clock()
        done = score_parquet(detector, source, out, entity="id", time="at", events=events)
        whole = start.per_million(done.rows)
        start = Clock()
        model.score(features, offsets)
        runs.append((*whole, *start.per_million(_IN_MEMORY)))
    stop.set()
    watcher.join()
    assert "torch" not in sys.modules
    taken = [source.stat().st_size, out.stat().st_size]
    found.put((np.median(runs, axis=0).tolist(), before, peak - before, taken))


class Clock:
    """Seconds and processor seconds since it was made."""

    def __init__(self) -> None:
        self._seconds, self._processor = time.perf_counter(), time.process_time()

    def per_million(self, rows: int) -> tuple[float, float]:
        """Return both of a million rows."""
        seconds, processor = time.perf_counter(), time.process_time()
        each = 1e6 / rows
        return (seconds - self._seconds) * each, (processor - self._processor) * each


def line(rows: int, found: Any) -> tuple[str, ...]:
    """Return a line of the table."""
    (seconds, processor, memory, memory_processor), before, peak, taken = found
    return (
        f"{rows:,}",
        f"{1e6 / seconds:,.0f}",
        f"{seconds:.3f}",
        f"{processor:.3f}",
        f"{memory / seconds:.2f}",
        f"{memory_processor / processor:.2f}",
        f"{before:.0f}",
        f"{peak:.0f}",
        " + ".join(f"{size / 1e9:.2f}" for size in taken),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Score files of growing length and print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parquet_files", description=__doc__)
    parser.add_argument("--rows", type=positive, nargs="+", default=[1_000_000, 12_000_000])
    parser.add_argument("--repeats", type=positive, default=3, help="of each; medians are printed")
    parser.add_argument("--folder", type=Path, help="where the files are, for the time of the run")
    options = parser.parse_args(arguments)
    lines: list[tuple[str, ...]] = [_HEAD]
    processes = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        free = shutil.disk_usage(folder).free
        needed = max(options.rows) * _BYTES
        if needed > free:
            parser.error(f"--rows: the files take {needed:,} bytes, and {free:,} are free")
        for rows in options.rows:
            path = Path(folder) / "in.parquet"
            write_rows(path, rows)
            found = processes.SimpleQueue()
            child = processes.Process(target=score, args=(str(path), options.repeats, found))
            child.start()
            child.join()
            if child.exitcode:
                return 1
            lines.append(line(rows, found.get()))
    print(markdown(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
