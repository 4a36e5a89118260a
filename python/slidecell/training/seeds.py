"""Seed random numbers inside a block, and restore the generators after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def draw_seed() -> int:
    """Return a seed drawn from torch's global generator, so that ``torch.manual_seed`` rules it."""
    return int(torch.randint(2**31 - 1, ()).item())


@contextmanager
def seeded(seed: int, *, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed torch for the block, on the CPU and on `device`, and restore its state afterwards.

    Parameters
    ----------
    seed : int
        0 or more.
    device : torch.device or str
        A CUDA device has a generator of its own, which is seeded and restored as well.

    Examples
    --------
    >>> import torch
    >>> from slidecell.training import seeded
    >>> with seeded(0):
    ...     first = torch.rand(2)
    >>> with seeded(0):
    ...     second = torch.rand(2)
    >>> bool((first == second).all())
    True
    """
    device = torch.device(device)
    cuda = device.type == "cuda"
    devices: list[torch.device] = [device] if cuda else []
    with torch.random.fork_rng(devices=devices):
        # torch.manual_seed would also reseed every GPU of the process, which fork_rng would not
        # restore.
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield
