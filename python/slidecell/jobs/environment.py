"""What this installation is and runs on, for people and for bug reports."""

from __future__ import annotations

import platform
from importlib import metadata

from slidecell.config import config, cpu_name

__all__ = ["cpu_name", "environment", "versions"]

_PACKAGES = (
    "numpy", "torch", "pandas", "pyarrow", "scikit-learn", "matplotlib", "typer", "rich",
    "safetensors",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python, this package and those that it uses; absent ones are left out.

    Examples
    --------
    >>> from slidecell.jobs.environment import versions
    >>> "numpy" in versions()
    True
    """
    from slidecell import __version__

    found = {"slidecell": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def environment() -> dict[str, str]:
    """Return instruction sets, threads, processor and versions as text.

    Examples
    --------
    >>> from slidecell.jobs.environment import environment
    >>> list(environment())[:3]
    ['slidecell', 'isa', 'available isas']
    """
    here = config()
    found = {
        "slidecell": here["slidecell"],
        "isa": here["isa"],
        "available isas": ", ".join(here["available_isas"]),
        "threads": str(here["threads"]),
        "processor": cpu_name(),
        "platform": platform.platform(),
    }
    for package, version in versions().items():
        found.setdefault(package, version)
    for package in _PACKAGES:
        found.setdefault(package, "not installed")
    return found
