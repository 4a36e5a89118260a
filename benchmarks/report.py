"""What is told: the conditions, a Markdown table, and everything as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import slidecell as sc
from benchmarks.measure import Effort, Result
from benchmarks.peers import OURS

HEADER = (
    "case",
    "threads",
    "contestant",
    "setting",
    "rate",
    "lowest - highest",
    "slidecell is",
    "max error",
    "max difference",
    "check",
)


def conditions(threads: Sequence[int], effort: Effort) -> dict[str, Any]:
    """Machine, versions and effort of a run."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "load average": load_average(),
        "isa": sc.active_isa(),
        "threads": list(threads),
        "slidecell": f"{sc.__version__} ({commit()})",
        "torch": f"{torch.__version__} ({torch.backends.cpu.get_cpu_capability()})",
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "effort": effort.name,
        "repeats": effort.repeats,
        "command": "python -m benchmarks " + " ".join(sys.argv[1:]),
    }


def load_average() -> float | None:
    """Return the load of the last minute, where the system tells."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def cpu_model() -> str:
    """Return the processor as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def commit() -> str:
    """Return the commit that the benchmarks come from, if git knows."""
    command = ["git", "describe", "--always", "--dirty"]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no git"
    return done.stdout.strip()


def short_number(value: float) -> str:
    """Three digits: 1.23M, 456k, 7.89."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{_three_digits(value / size)}{letter}"
    return _three_digits(value)


def _three_digits(value: float) -> str:
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )


def figure(result: Result, seconds: float) -> str:
    """One call's seconds in the result's unit, without the unit."""
    if result.unit == "us/step":
        return _three_digits(seconds / result.work * 1e6)
    return short_number(result.work / seconds)


def row(result: Result) -> list[str]:
    """One line of the table, in the order of `HEADER`."""
    ours = result.contestant == OURS
    ends = sorted((min(result.seconds), max(result.seconds)), reverse=result.unit == "windows/s")
    return [
        f"{result.case} ({result.shape})" if ours else "",
        str(result.threads) if ours else "",
        result.contestant,
        result.setting,
        f"{figure(result, result.seconds_per_call)} {result.unit}",
        " - ".join(figure(result, seconds) for seconds in ends),
        "" if ours else f"{result.ratio:.2f}x",
        f"{result.max_error:.1e}",
        "" if ours else f"{result.max_difference:.1e}",
        "ok" if result.right else "WRONG",
    ]


def table(results: Sequence[Result]) -> str:
    """Markdown, aligned so that it reads as plain text too."""
    lines = [list(HEADER), *(row(result) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def summary(results: Sequence[Result]) -> str:
    """Name the losses and the wrong answers."""
    lost = [r for r in results if r.contestant != OURS and r.ratio < 1.0]
    wrong = [r for r in results if not r.right]
    lines = [f"Lost: {_named(r)}, {r.ratio:.2f}x" for r in lost] or ["Lost: none"]
    lines += [f"WRONG: {_named(r)}, error {r.max_error:.1e}" for r in wrong]
    return "\n".join(lines)


def _named(result: Result) -> str:
    return f"{result.case}, threads={result.threads}, {result.contestant}"


def write_json(path: Path, about: dict[str, Any], results: Sequence[Result]) -> None:
    """Write conditions and results, every sample among them: whole, or not at all."""
    # JSON has no infinity: an error that cannot be stated is null.
    found = [
        {k: None if v == math.inf else v for k, v in asdict(result).items()} for result in results
    ]
    temporary = path.with_name(path.name + ".tmp")
    text = json.dumps({"conditions": about, "results": found}, indent=1, allow_nan=False)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
