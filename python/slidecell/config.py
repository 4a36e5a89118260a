"""What this installation runs on."""

from __future__ import annotations

import platform
import sys
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


def show_config() -> None:
    """Print which instruction set the kernels use, and what else is there.

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
