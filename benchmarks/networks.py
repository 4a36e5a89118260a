"""The forecasters as users write them: one of torch's layers and a linear head."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from slidecell._cells import CellName
from slidecell.recurrent import TORCH_NAMES


class LastStep(nn.Module):
    """A recurrent layer of torch's own and a linear head on its last step.

    x [N, W, F] -> [N, F]; x [W, N, F] where the layer is not batch-first.
    """

    def __init__(self, recurrent: nn.RNNBase) -> None:
        super().__init__()
        self.recurrent = recurrent
        self.head = nn.Linear(recurrent.hidden_size, recurrent.input_size)

    def forward(self, x: Tensor) -> Tensor:
        """Predict the row after each window."""
        out = self.recurrent(x)[0]
        prediction: Tensor = self.head(out[:, -1] if self.recurrent.batch_first else out[-1])
        return prediction

    def time_major(self) -> LastStep:
        """Return the same network for x [W, N, F], which saves torch a transposition."""
        network = copy.deepcopy(self)
        network.recurrent.batch_first = False
        return network


class LastHidden(LastStep):
    """The same network read by the layer's last h: no gradient is a sequence of zeros but one."""

    def forward(self, x: Tensor) -> Tensor:
        """Predict the row after each window."""
        state = self.recurrent(x)[1]
        prediction: Tensor = self.head((state[0] if isinstance(state, tuple) else state)[-1])
        return prediction


def forecaster(cell: CellName, input_size: int, hidden_size: int, num_layers: int = 1) -> LastStep:
    """Make a forecaster with torch's layers of a cell."""
    layers = getattr(nn, TORCH_NAMES[cell][0])
    return LastStep(layers(input_size, hidden_size, num_layers, batch_first=True))


def cell_of(layers: nn.RNNBase) -> CellName:
    """Return the cell of torch's layers."""
    kinds = {cell: getattr(nn, names[0]) for cell, names in TORCH_NAMES.items()}
    return next(cell for cell, kind in kinds.items() if isinstance(layers, kind))


def lstm(input_size: int, hidden_size: int, num_layers: int = 1) -> LastStep:
    """Make a forecaster with `nn.LSTM`."""
    return forecaster("lstm", input_size, hidden_size, num_layers)


def gru(input_size: int, hidden_size: int, num_layers: int = 1) -> LastStep:
    """Make a forecaster with `nn.GRU`."""
    return forecaster("gru", input_size, hidden_size, num_layers)
