"""Peak memory of one call of `score`, in a process of its own that has numpy and slidecell alone.

``python -m benchmarks.scaling_memory MODEL ROWS DTYPE THREADS`` prints bytes beyond series and
scores. An allocator keeps what an earlier call gave back, and torch's threads take their own:
hence a process per figure.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import slidecell as sc

_CLEAR_REFS = Path("/proc/self/clear_refs")  # "5" sets the peak of resident memory back

SUPPORTED = _CLEAR_REFS.exists()


@dataclass(frozen=True)
class Memory:
    """Peak of one call."""

    case: str
    dtype: str
    rows: int
    threads: int
    series_mb: float
    scores_mb: float
    peak_mb: float  # beyond both


def measure_memory(
    case: str, model: sc.SequenceModel, sizes: Sequence[int], *, threads: int
) -> list[Memory]:
    """Score one entity of each size, of float32 and of float64 rows."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        model.save(file)
        for dtype in ("float32", "float64"):
            for rows in sizes:
                arguments = [str(file), str(rows), dtype, str(threads)]
                done = subprocess.run(
                    [sys.executable, "-m", __name__, *arguments],
                    cwd=Path(__file__).parent.parent,
                    capture_output=True,
                    text=True,
                    check=True,
                )
                series = rows * model.input_size * np.dtype(dtype).itemsize / 1e6
                peak = int(done.stdout) / 1e6
                found.append(Memory(case, dtype, rows, threads, series, rows * 4 / 1e6, peak))
    return found


def peak_bytes(model: sc.SequenceModel, rows: int, dtype: str, threads: int) -> int:
    """Peak while scoring so many random rows, beyond what was there before."""
    series = np.empty((rows, model.input_size), dtype)
    rng = np.random.default_rng(0)
    for first in range(0, rows, 100_000):
        part = series[first : first + 100_000]
        part[:] = rng.random(part.shape)
    scores = np.ones(rows, np.float32)  # every page touched
    model.score(series[:100], num_threads=threads)  # packs the weights
    _CLEAR_REFS.write_text("5", encoding="ascii")
    before = _kilobytes("VmRSS")
    model.score(series, num_threads=threads, out=scores)
    return (_kilobytes("VmHWM") - before) * 1024


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))


if __name__ == "__main__":
    path, count, kind, cores = sys.argv[1:]
    print(peak_bytes(sc.SequenceModel.load(path), int(count), kind, int(cores)))
