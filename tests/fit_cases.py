"""Series, networks' weights and quick fits that several test files use."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from slidecell.training import History, fit


def sine(rows: int = 600, columns: int = 1) -> np.ndarray:
    time = np.arange(rows)[:, None] / np.linspace(4, 6, columns)
    return np.sin(time)


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def quick(module: torch.nn.Module, series: Any, *args: Any, **options: Any) -> History:
    """`fit` of few epochs, silently."""
    return fit(module, series, *args, **({"epochs": 2, "seed": 0, "progress": False} | options))
