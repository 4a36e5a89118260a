"""Scoring makes no windows: memory does not grow with the rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROWS = 10_000_000
LIMIT_MB = 64

# A process of its own: the peak (VmHWM) never falls, and the tests before left theirs.
CODE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import numpy as np
import slidecell as sc
from tests.models import layer, random_model

def kilobytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name + ":"))

rng = np.random.default_rng(0)
metadata, tensors = random_model(rng, [layer("lstm", 16)], features=7, window=7)
model = sc.SequenceModel(metadata, tensors)
model.score(rng.random((100, 7), dtype=np.float32))  # imports, packing, threads
series = np.empty(({ROWS}, 7), np.float32)
for first in range(0, {ROWS}, 100_000):
    series[first : first + 100_000] = rng.random((100_000, 7), dtype=np.float32)
out = np.zeros({ROWS}, np.float32)
out[:] = 1.0  # touch every page
before = kilobytes("VmRSS")
offsets = np.append(np.arange(0, {ROWS}, 2500), {ROWS})
for choice in (None, offsets):
    model.score(series, choice, out=out)
    assert np.isnan(out[:7]).all() and np.isfinite(out[7:2500]).all()
print((kilobytes("VmHWM") - before) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_memory_of_ten_million_rows() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < LIMIT_MB
