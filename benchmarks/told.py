"""What the smaller commands tell: the conditions of a run, Markdown tables, a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import slidecell as sc
from benchmarks.report import commit, cpu_model, load_average
from slidecell._whole_files import replacing


def conditions(command: str, effort: str) -> dict[str, Any]:
    """Machine and versions of a run."""
    return {
        "cpu": cpu_model(),
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


def short_number(value: float) -> str:
    """Three digits: 1.23M, 456k, 7.89."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{_three_digits(value / size)}{letter}"
    return _three_digits(value)


def _three_digits(value: float) -> str:
    places = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{places}f}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table, aligned so that it reads as plain text too."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    cells = [[c.ljust(w) for c, w in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def write_json(path: Path, about: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Write conditions and results: whole, or not at all."""
    text = json.dumps({"conditions": about, **found}, indent=1, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def json_file(text: str) -> Path:
    """Read ``--json``: a file in a folder that is there."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"expected a file in a folder that is there, got {text}")
    return path


def thread_count(text: str) -> int:
    """Read a number of threads, which the machine must have cores for."""
    cores = os.cpu_count() or 1
    if not text.isdecimal() or not 1 <= int(text) <= cores:
        raise argparse.ArgumentTypeError(f"expected 1 to {cores}, the cores here, got {text!r}")
    return int(text)
