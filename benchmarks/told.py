"""What the commands beside the main one tell of a run, and the threads that they take."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from typing import Any

import numpy as np
import torch

import slidecell as sc
from benchmarks.commit import commit
from slidecell.bench.report import load_average
from slidecell.config import cpu_name


def conditions(command: str, effort: str) -> dict[str, Any]:
    """Machine and versions of a run."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load average": load_average(),
        "isa": sc.active_isa(),
        "slidecell": f"{sc.__version__} ({commit()})",
        "torch": f"{torch.__version__} ({torch.backends.cpu.get_cpu_capability()})",
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "effort": effort,
        "command": " ".join(["python -m", command, *sys.argv[1:]]),
    }


def print_conditions(about: dict[str, Any]) -> None:
    """Print the conditions, the load at the end beside the load at the start."""
    about["load average"] = [about["load average"], load_average()]
    for key, value in about.items():
        print(f"{key}: {value}")


def thread_count(text: str) -> int:
    """Read a number of threads, which the machine must have cores for."""
    cores = os.cpu_count() or 1
    if not text.isdecimal() or not 1 <= int(text) <= cores:
        raise argparse.ArgumentTypeError(f"expected 1 to {cores}, the cores here, got {text!r}")
    return int(text)
