"""What the commands here share: the options that they read, and the conditions that they print."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slidecell.bench import conditions as bench
from slidecell.bench.command import json_file


def commit() -> str:
    """Return the commit that the benchmarks come from, "no git" where git does not know."""
    command = ["git", "describe", "--always", "--dirty"]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no git"
    return done.stdout.strip()


def conditions(
    command: str,
    effort: str,
    threads: int | Sequence[int] | str,
    *,
    arguments: Sequence[str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return the conditions of ``python -m command``, whose arguments are those of this process.

    `more` goes to `slidecell.bench.conditions.conditions`.
    """
    given = sys.argv[1:] if arguments is None else arguments
    whole = " ".join(["python -m", command, *given])
    return bench.conditions(threads, effort, command=whole, commit=commit(), **more)


def print_conditions(about: dict[str, Any]) -> None:
    """Print the conditions, and keep the load at the end beside the load at the start in them."""
    about |= bench.with_load_at_end(about)
    for key, value in about.items():
        print(f"{key}: {value}")


def thread_count(text: str) -> int:
    """Return a number of threads from its text; the machine must have cores for them."""
    cores = os.cpu_count() or 1
    if not text.isdecimal() or not 1 <= int(text) <= cores:
        raise argparse.ArgumentTypeError(f"expected 1 to {cores}, the cores here, got {text!r}")
    return int(text)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--json FILE``."""
    parser.add_argument("--json", type=json_file, metavar="FILE", help="write all there, too")
