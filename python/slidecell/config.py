"""Describe what this installation runs on: instruction set, threads, versions."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from slidecell import _core


def config() -> dict[str, Any]:
    """ISA, threads and versions, as `show_config` prints them.

    Returns
    -------
    dict
        With the keys ``slidecell``, ``isa``, ``available_isas``, ``refused_isas`` (with
        the reason), ``threads``, ``machine``,
        ``python`` and ``numpy``.

    Examples
    --------
    >>> from slidecell.config import config
    >>> config()["isa"] in config()["available_isas"]
    True
    """
    return {
        "slidecell": _core.__version__,
        "isa": _core.active_isa(),
        "available_isas": _core.available_isas(),
        "refused_isas": _core.refused_isas(),
        "threads": _core.default_num_threads(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def cpu_name() -> str:
    """Return the processor's name, as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def show_config() -> None:
    """Print the instruction set in use, those that are available, threads and versions.

    Examples
    --------
    >>> import slidecell as sc
    >>> sc.show_config()  # doctest: +ELLIPSIS
    slidecell ...
    """
    for key, value in config().items():
        if isinstance(value, dict):
            text = ", ".join(f"{name} ({reason})" for name, reason in value.items())
        else:
            text = ", ".join(value) if isinstance(value, list) else value
        sys.stdout.write(f"{key:<15} {text}\n")
