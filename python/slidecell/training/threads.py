"""Set the number of threads that torch and the compiled layers train on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_KERNELS: ContextVar[int | None] = ContextVar("slidecell_kernel_threads", default=None)


@contextmanager
def torch_threads(num_threads: int | None, *, kernels: int | None = None) -> Iterator[None]:
    """Let torch use so many threads in the block; its own setting comes back afterwards.

    Parameters
    ----------
    num_threads : int, optional
        None: torch's setting stays.
    kernels : int, optional
        Threads of the compiled layers; default: as many as torch. torch's threads spin for
        milliseconds when their work is done, on cores that the next layer would need: where most of
        the work is in compiled layers, ``torch_threads(1, kernels=n)`` is the fastest. `fit` does
        that by itself.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training import torch_threads
    >>> with torch_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    unchanged = num_threads is None and kernels is None
    token = _KERNELS.set(_KERNELS.get() if unchanged else kernels)
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _KERNELS.reset(token)


def kernel_threads() -> int:
    """Return the threads of the compiled layers.

    Examples
    --------
    >>> from slidecell.training import torch_threads
    >>> from slidecell.training.threads import kernel_threads
    >>> with torch_threads(1, kernels=3):
    ...     kernel_threads()
    3
    """
    return _KERNELS.get() or torch.get_num_threads()
