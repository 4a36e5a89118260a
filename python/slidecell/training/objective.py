"""Optimizers and losses by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
OptimizerFactory: TypeAlias = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

LOSSES: dict[str, Loss] = {
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "huber": functional.huber_loss,
}
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}


def make_loss(loss: str | Loss) -> Loss:
    """Return the loss of that name, or `loss` itself if it can be called."""
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]
    if isinstance(loss, str) or not callable(loss):
        raise ValueError(f"loss: expected one of {', '.join(LOSSES)} or a callable, got {loss!r}")
    return loss


def make_optimizer(
    optimizer: str | OptimizerFactory, parameters: list[nn.Parameter], lr: float
) -> torch.optim.Optimizer:
    """Return an optimizer over `parameters`; a callable gets them alone, without `lr`."""
    if isinstance(optimizer, str) and optimizer in OPTIMIZERS:
        kind = OPTIMIZERS[optimizer]
        if "fused" in inspect.signature(kind).parameters:
            # One kernel for all tensors: with a small network and batch of 32 the plain loop
            # over tensors takes a fifth of the step. Older torch has it on CUDA only.
            try:
                return kind(parameters, lr=lr, fused=True)  # type: ignore[call-arg]
            except RuntimeError:
                return kind(parameters, lr=lr)  # type: ignore[call-arg]
        return kind(parameters, lr=lr)  # type: ignore[call-arg]
    if isinstance(optimizer, str) or not callable(optimizer):
        raise ValueError(
            f"optimizer: expected one of {', '.join(OPTIMIZERS)} or a callable, got {optimizer!r}"
        )
    result = optimizer(parameters)
    if not isinstance(result, torch.optim.Optimizer):
        raise TypeError(
            "optimizer: expected the callable to return a torch.optim.Optimizer, "
            f"got {type(result).__name__}"
        )
    return result
