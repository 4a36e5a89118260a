"""The ways of a notebook: windows per user from a frame, a cell in NumPy, a DataLoader, a loop.

The parameters are those of an insider-threat forecaster that was published as a notebook: seven
rows per window, windows of one user at a time, found in the frame by a comparison with the whole
column; ``DataLoader(TensorDataset)`` with batches of 2,048 and no workers; ``nn.LSTM`` or
``nn.GRU``, batch-first, its last step and a linear head; mean squared error, Adam at 1e-3 that
leaves the choice of its implementation to torch; the loss read after every batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.networks import LastStep
from slidecell.bench.workloads import Floats, Ints
from slidecell.recurrent import TORCH_NAMES

Loader = DataLoader[tuple[Tensor, ...]]

WINDOW = 7
BATCH_SIZE = 2048
LR = 1e-3
_CLIP = 500.0  # of a gate's sum, so that exp does not overflow


def network(config: Mapping[str, Any], features: int) -> LastStep:
    """Make the torch module of an architecture: x [N, W, F] -> [N, F]."""
    layers = config.get("num_layers", 1)
    kind = getattr(nn, TORCH_NAMES[config["cell"]][0])
    dropout = config.get("dropout", 0.0) if layers > 1 else 0.0
    return LastStep(
        kind(features, config["hidden_size"], layers, batch_first=True, dropout=dropout)
    )


# Windows: x [N, W, F] and the row after each, y [N, F]


def windows_by_user(
    frame: pd.DataFrame, rows: Floats, users: Iterable[str]
) -> tuple[Floats, Floats]:
    """Return the windows of `users`, the first ones of the frame, each with the rows it has there.

    The frame is compared with every user as a whole: the time goes as its rows times the users.
    """
    lengths = [len(frame[frame["user"] == user]) for user in users]
    return windows_by_offsets(rows, np.cumsum([0, *lengths]))


def windows_by_offsets(rows: Floats, offsets: Ints) -> tuple[Floats, Floats]:
    """Do the same where it is known which rows [S, F] are whose."""
    x, y = [], []
    for first, end in pairwise(offsets.tolist()):
        own = rows[first:end]
        if len(own) > WINDOW:
            x.append(sliding_window_view(own, (WINDOW, own.shape[1])).squeeze(1)[:-1])
            y.append(own[WINDOW:])
    return np.concatenate(x), np.concatenate(y)


# The cell


class NumpyCell:
    """An LSTM cell with a product of its own for each gate, on one window at a time."""

    def __init__(self, module: LastStep) -> None:
        parts = {
            name: [part.numpy() for part in value.detach().chunk(4)]
            for name, value in module.recurrent.named_parameters()
        }
        names = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")
        self._gates = list(zip(*(parts[name] for name in names), strict=True))
        self._head = [value.detach().numpy() for value in module.head.parameters()]
        self._hidden_size = module.recurrent.hidden_size

    def last_hidden(self, window: Floats) -> Floats:
        """`window` [W, F] -> h [H] after its last row."""
        c = h = np.zeros(self._hidden_size, np.float32)
        for x in window:
            i, f, g, o = (x @ wx.T + bx + h @ wh.T + bh for wx, bx, wh, bh in self._gates)
            c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
            h = _sigmoid(o) * np.tanh(c)
        return h

    def scores(self, x: Floats, y: Floats) -> Floats:
        """Return the mean squared error of each window in turn: x [N, W, F], y [N, F] -> [N]."""
        weight, bias = self._head
        errors = [
            np.mean((self.last_hidden(window) @ weight.T + bias - target) ** 2)
            for window, target in zip(x, y, strict=True)
        ]
        return np.array(errors, np.float32)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-np.clip(x, -_CLIP, _CLIP)))


# The loader, and what is done with its batches


def loader(x: Floats, y: Floats, *, shuffle: bool = False) -> Loader:
    """Copy windows and targets to tensors, and serve them item by item."""
    dataset = TensorDataset(torch.tensor(x), torch.tensor(y))
    return DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=shuffle, num_workers=0)


def loader_scores(module: nn.Module, batches: Loader) -> npt.NDArray[np.float32]:
    """Return the mean squared error of each window, [N], gathered in a list."""
    module.eval()
    errors: list[np.float32] = []
    with torch.no_grad():
        for x, y in batches:
            errors.extend(torch.mean((module(x) - y) ** 2, dim=1).numpy())
    return np.array(errors)


def adam(module: nn.Module) -> torch.optim.Optimizer:
    """Make the optimizer."""
    return torch.optim.Adam(module.parameters(), lr=LR)


def train_batches(
    module: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterable[Any]
) -> Iterator[float]:
    """Train on each batch, and yield its loss."""
    module.train()
    for x, y in batches:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(module(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield loss.item()


def validation_batches(module: nn.Module, batches: Iterable[Any]) -> Iterator[float]:
    """Yield the loss of each batch."""
    module.eval()
    with torch.no_grad():
        for x, y in batches:
            yield nn.functional.mse_loss(module(x), y).item()


def train(module: nn.Module, training: Loader, validation: Loader, epochs: int) -> list[float]:
    """Train, and return the validation loss after each epoch, the mean over its batches."""
    optimizer, losses = adam(module), []
    for _ in range(epochs):
        for _loss in train_batches(module, optimizer, training):
            pass
        losses.append(float(np.mean(list(validation_batches(module, validation)))))
    return losses


def seconds_of_steps(steps: Iterator[float], count: int) -> list[float]:
    """Return seconds of the first `count` steps each; the first has the epoch's start, too."""
    seconds = []
    for _ in range(count):
        began = perf_counter()
        if next(steps, None) is None:
            break
        seconds.append(perf_counter() - began)
    return seconds
