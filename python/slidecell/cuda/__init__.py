"""Scores, predictions, codes and windows on an NVIDIA GPU, with hand-written kernels.

Importing this needs no GPU, no CuPy and no Numba; using it does, and says what is missing. Arrays
of CuPy, torch and Numba are taken and given without copies, host arrays are staged.

The kernels have not run on a GPU yet: they are compiled for GPUs, and run and tested on the host
by an emulation of blocks, warps and matrix units.
"""

from __future__ import annotations

from slidecell.cuda.api import encode, plan, predict, score, sliding_windows
from slidecell.cuda.availability import is_available
from slidecell.cuda.cells import forward, step
from slidecell.cuda.device import DEVICES, Device

__all__ = [
    "DEVICES",
    "Device",
    "encode",
    "forward",
    "is_available",
    "plan",
    "predict",
    "score",
    "sliding_windows",
    "step",
]
