"""Set the number of threads that torch trains on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def torch_threads(num_threads: int | None) -> Iterator[None]:
    """Let torch use so many threads in the block; its own setting comes back afterwards.

    Parameters
    ----------
    num_threads : int, optional
        None: torch's setting stays. Small networks train fastest on one.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training import torch_threads
    >>> with torch_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
