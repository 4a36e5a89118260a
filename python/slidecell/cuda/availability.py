"""Find out whether a GPU and its libraries can be used, and if not, why."""

from __future__ import annotations

import importlib

from slidecell._core import UnsupportedError

BACKENDS = ("cupy", "numba", "cpu")

_INSTALL = "pip install 'slidecell[cuda12]' or 'slidecell[cuda13]', as the driver's CUDA version is"


def _why_not_cupy() -> str | None:
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        return f"CuPy cannot be imported ({error}): {_INSTALL}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's own error class: no driver, no device, too old a driver
        return f"CuPy finds no usable GPU ({error})"
    if count < 1:
        return "CuPy finds no GPU"
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # cuda-pathfinder's own error class, or CuPy's
        return f"CuPy finds no compiler, NVRTC ({error}): {_INSTALL}"
    return None


def _why_not_numba() -> str | None:
    try:
        cuda = importlib.import_module("numba.cuda")
    except ImportError as error:
        return f"Numba cannot be imported ({error}): {_INSTALL}"
    return None if cuda.is_available() else "Numba finds no usable GPU"


def why_not(backend: str) -> str | None:
    """Return the reason why a backend cannot run here, or None if it can.

    Examples
    --------
    >>> from slidecell.cuda.availability import why_not
    >>> why_not("cpu") is None
    True
    """
    if backend not in BACKENDS:
        raise ValueError(
            f"backend: expected one of {', '.join(map(repr, BACKENDS))}, got {backend!r}"
        )
    if backend == "cpu":
        return None
    return _why_not_cupy() if backend == "cupy" else _why_not_numba()


def require(backend: str) -> None:
    """Raise UnsupportedError with the reason if a backend cannot run here.

    Examples
    --------
    >>> from slidecell.cuda.availability import require
    >>> require("cpu")
    """
    reason = why_not(backend)
    if reason is not None:
        raise UnsupportedError(f"cuda: backend {backend!r} is not available: {reason}")


def is_available(backend: str | None = None) -> bool:
    """Whether a GPU can be used through ``backend``, by default through CuPy or Numba.

    Examples
    --------
    >>> from slidecell import cuda
    >>> cuda.is_available("cpu")
    True
    """
    if backend is None:
        return why_not("cupy") is None or why_not("numba") is None
    return why_not(backend) is None
