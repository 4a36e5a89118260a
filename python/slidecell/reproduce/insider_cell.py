"""An LSTM cell written by hand in NumPy, beside torch's and the compiled one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CellCheck", "check_lstm_cell", "lstm_cell"]

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CellCheck:
    """Largest differences from ``torch.nn.LSTMCell`` over all steps, of h and c.

    Parameters
    ----------
    steps, input_size, hidden_size : int
    by_hand, compiled : float
    """

    steps: int
    input_size: int
    hidden_size: int
    by_hand: float
    compiled: float


def lstm_cell(
    x: Floats, state: tuple[Floats, Floats], weights: dict[str, Floats]
) -> tuple[Floats, Floats]:
    """`x` [I], (h [H], c [H]) -> h, c after one step (Hochreiter and Schmidhuber 1997; gates ifgo).

    Parameters
    ----------
    x : ndarray, [I]
    state : h and c, [H] each
    weights : dict
        ``weight_ih`` [4H, I], ``weight_hh`` [4H, H], ``bias_ih`` and ``bias_hh`` [4H].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.reproduce.insider_cell import lstm_cell
    >>> shapes = {"weight_ih": (8, 3), "weight_hh": (8, 2), "bias_ih": (8,), "bias_hh": (8,)}
    >>> weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    >>> h, c = lstm_cell(np.ones(3, np.float32), (np.zeros(2), np.ones(2)), weights)
    >>> c.tolist()  # half of c is kept: the forget gate of 0 is open halfway
    [0.5, 0.5]
    """
    h, c = state
    sums = weights["weight_ih"] @ x + weights["bias_ih"]
    sums = sums + weights["weight_hh"] @ h + weights["bias_hh"]
    i, f, g, o = np.split(sums, 4)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _sigmoid(x: Floats) -> Floats:
    gate: Floats = np.reciprocal(1 + np.exp(-x))
    return gate


def check_lstm_cell(rows: npt.ArrayLike, *, hidden_size: int = 4, seed: int = 0) -> CellCheck:
    """Run rows [T, I] through the cell by hand, torch's and the compiled one, with equal weights.

    Parameters
    ----------
    rows : array_like, [T, I]
        Scaled.
    hidden_size : int
        H.
    seed : int
        Of the weights, drawn as torch draws them.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.reproduce.insider_cell import check_lstm_cell
    >>> check = check_lstm_cell(np.random.default_rng(0).random((7, 7)))
    >>> check.by_hand < 1e-6, check.compiled < 1e-6
    (True, True)
    """
    import torch

    import slidecell as sc
    from slidecell.training import seeded

    x = np.asarray(rows, np.float32)
    with seeded(seed):
        cell = torch.nn.LSTMCell(x.shape[1], hidden_size)
    weights = {name: value.detach().numpy() for name, value in cell.named_parameters()}
    lstm = sc.LSTM.from_torch(cell)
    states: dict[str, Any] = {
        "torch": (torch.zeros(1, hidden_size), torch.zeros(1, hidden_size)),
        "by hand": (np.zeros(hidden_size, np.float32), np.zeros(hidden_size, np.float32)),
        "compiled": None,
    }
    largest = {"by hand": 0.0, "compiled": 0.0}
    for row in x:
        with torch.inference_mode():
            states["torch"] = cell(torch.from_numpy(row[None]), states["torch"])
        states["by hand"] = lstm_cell(row, states["by hand"], weights)
        states["compiled"] = lstm.step(row[None], states["compiled"])
        truth = np.concatenate([part.numpy().ravel() for part in states["torch"]])
        for name, before in largest.items():
            values = np.concatenate([np.ravel(part) for part in states[name]])
            largest[name] = max(before, float(np.abs(values - truth).max()))
    return CellCheck(len(x), x.shape[1], hidden_size, largest["by hand"], largest["compiled"])
