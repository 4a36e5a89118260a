"""The conditions of a run: the machine, its load, threads, versions and the command."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from typing import Any

import slidecell as sc
from slidecell.bench.limits import LIMITS
from slidecell.config import cpu_name

__all__ = ["PACKAGES", "conditions", "load_average", "with_load_at_end"]

PACKAGES = ("numpy", "torch", "onnxruntime", "openvino")
_LOAD = "load average"


def conditions(
    threads: int | Sequence[int] | str,
    effort: str,
    *,
    command: str,
    absent: Mapping[str, str] | None = None,
    packages: Sequence[str] = PACKAGES,
    commit: str = "",
) -> dict[str, Any]:
    """Return the conditions of a run that begins now.

    Parameters
    ----------
    threads : int, list of int or str
        Numbers of threads that are compared, or "default".
    effort : str
        Name of the effort: how much data, how many repeats.
    command : str
        The command that repeats the run.
    absent : mapping, optional
        Peers that are not installed, and the command that installs them.
    packages : sequence of str
        Distributions whose versions count; those that are not installed are left out.
    commit : str
        Of the source, where it is known.

    Examples
    --------
    >>> from slidecell.bench.conditions import conditions
    >>> about = conditions([1, 2], "quick", command="slidecell bench")
    >>> about["threads"], about["effort"], about["command"]
    ([1, 2], 'quick', 'slidecell bench')
    """
    isa = sc.active_isa()
    limits = [name for name in LIMITS.get(isa, {}) if name in os.environ]
    about: dict[str, Any] = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        _LOAD: load_average(),
        "isa": isa,
        "peers limited by": " ".join(f"{name}={os.environ[name]}" for name in limits) or "nothing",
        "threads": threads,
        "slidecell": sc.__version__ + (f" ({commit})" if commit else ""),
    }
    for package in packages:
        try:
            about[package] = metadata.version(package) + _kernels_of(package)
        except metadata.PackageNotFoundError:
            continue
    for name, remedy in (absent or {}).items():
        about[name] = f"absent: {remedy}"
    return about | {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "effort": effort,
        "command": command,
    }


def _kernels_of(package: str) -> str:
    """Return the instruction set of torch's own kernels, where torch is loaded."""
    torch = sys.modules.get("torch") if package == "torch" else None
    return f" ({torch.backends.cpu.get_cpu_capability()})" if torch else ""


def load_average() -> float | None:
    """Return the load of the last minute, or None if the system does not measure it.

    Examples
    --------
    >>> from slidecell.bench.conditions import load_average
    >>> load = load_average()
    >>> load is None or load >= 0
    True
    """
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def with_load_at_end(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions of a run that ends now: the load at its start and at its end.

    Examples
    --------
    >>> from slidecell.bench.conditions import with_load_at_end
    >>> with_load_at_end({"cores": 2, "load average": 0.1})["load average"][0]
    0.1
    """
    return {**about, _LOAD: [about[_LOAD], load_average()]}
