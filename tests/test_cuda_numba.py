"""The Numba kernels on Numba's CUDA simulator, which a process chooses when it imports Numba."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba")

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("part", ["models", "cells and windows"])
def test_cuda_numba_on_the_simulator(part: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cuda_numba_checks", part],
        cwd=ROOT,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
