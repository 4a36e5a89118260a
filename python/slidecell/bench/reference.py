"""The plain way: a loop over the steps of materialised windows, in NumPy.

In float64 it is the truth of every case, in float32 a contestant.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.bench.layers import Layer, layers_of
from slidecell.model import SequenceModel

__all__ = ["scores_of_windows"]

Array = npt.NDArray[Any]


def scores_of_windows(
    model: SequenceModel, x: Array, y: Array, *, dtype: Any, batch: int = 512
) -> Array:
    """Mean squared error of each window, [N]: x [N, W, F], y [N, K, F], or x itself.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.cases import SCORE_CASES
    >>> from slidecell.bench.reference import scores_of_windows
    >>> workload = SCORE_CASES[0].workload(100)
    >>> x, y = workload.windows
    >>> scores_of_windows(workload.model, x, y, dtype=np.float64).shape == (workload.work,)
    True
    """
    encoder, decoder = layers_of(model, dtype)
    weight, bias = (model.tensors[f"head.{part}"].astype(dtype) for part in ("weight", "bias"))
    scores = np.empty(len(x), dtype)
    for at in range(0, len(x), batch):
        rows = x[at : at + batch].astype(dtype).transpose(1, 0, 2)  # [W, n, F]
        target = y[at : at + batch].astype(dtype)
        for layer in encoder:
            rows = _run(layer, rows)
        rows = rows[-1:] if not decoder else np.repeat(rows[-1:], model.window, axis=0)
        for layer in decoder:
            rows = _run(layer, rows)
        predicted = (rows @ weight.T + bias).transpose(1, 0, 2)  # [n, W or 1, K*F]
        error = predicted.reshape(len(target), -1) - target.reshape(len(target), -1)
        scores[at : at + batch] = np.square(error).mean(1)
    return scores


def _run(layer: Layer, x: Array) -> Array:
    """Run a layer: x [T, n, I] -> hidden states [T, n, H]."""
    H = layer.hidden_size
    step = _lstm_step if layer.cell == "lstm" else _gru_step
    h, c = np.zeros((2, x.shape[1], H), x.dtype)
    out = np.empty((*x.shape[:2], H), x.dtype)
    for t, row in enumerate(x):
        h, c = step(layer, row, h, c)
        out[t] = h
    return out


def _lstm_step(layer: Layer, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    gates = x @ layer.weight_ih.T + layer.bias_ih + h @ layer.weight_hh.T + layer.bias_hh
    i, f, g, o = np.split(gates, 4, axis=1)
    c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(c), c


def _gru_step(layer: Layer, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    ahead = np.split(x @ layer.weight_ih.T + layer.bias_ih, 3, axis=1)
    back = np.split(h @ layer.weight_hh.T + layer.bias_hh, 3, axis=1)
    r, z = (_sigmoid(a + b) for a, b in zip(ahead[:2], back[:2], strict=True))
    n = np.tanh(ahead[2] + r * back[2])
    return (1 - z) * n + z * h, c


def _sigmoid(x: Array) -> Array:
    # The argument of exp is bounded: with large weights it would overflow, with a warning.
    result: Array = 1 / (1 + np.exp(-np.maximum(x, -80)))
    return result
