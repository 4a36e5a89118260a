"""The commit that a run comes from; the rest that is told of one is `slidecell.bench.report`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from slidecell.bench.report import load_average
from slidecell.config import cpu_name as cpu_model

__all__ = ["commit", "cpu_model", "load_average"]


def commit() -> str:
    """Return the commit that the benchmarks come from, if git knows."""
    command = ["git", "describe", "--always", "--dirty"]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no git"
    return done.stdout.strip()
