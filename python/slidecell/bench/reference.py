"""The gate equations of LSTM, GRU and RNN in plain NumPy, and a loop over the steps of windows.

In float64 they are the truth of every benchmark and of the tests, in float32 a contestant. Nothing
here is tuned or shares code with the kernels: what it says must be obvious. Gates are in torch's
order, `ifgo` and `rzn`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.bench.layers import Layer, layers_of
from slidecell.model import SequenceModel

__all__ = ["ACTIVATIONS", "activate", "scores_of_windows", "step"]

Array = npt.NDArray[Any]

ACTIVATIONS = ("tanh", "relu", "sigmoid", "hard_sigmoid", "linear")


def activate(name: str, x: Array) -> Array:
    """Apply tanh, relu, sigmoid, linear or hard_sigmoid = clip(x/6 + 1/2, 0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.reference import activate
    >>> activate("sigmoid", np.array([-1e9, 0.0])).tolist(), activate("relu", np.array([-1.0]))
    ([0.0, 0.5], array([0.]))
    """
    if name == "tanh":
        return np.tanh(x)
    if name == "relu":
        return np.maximum(x, 0.0)
    if name == "sigmoid":  # by tanh, which does not overflow
        return 0.5 * (1.0 + np.tanh(0.5 * x))
    if name == "hard_sigmoid":
        return np.clip(x / 6.0 + 0.5, 0.0, 1.0)
    if name != "linear":
        raise ValueError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {name!r}")
    return x


def step(layer: Layer, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """One step of a layer: x [n, I], h [n, P or H], c [n, H] -> h, c; only an LSTM's c changes.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.layers import Layer
    >>> from slidecell.bench.reference import step
    >>> layer = Layer("lstm", np.zeros((8, 3)), np.zeros((8, 2)), np.zeros(8), np.zeros(8))
    >>> h, c = step(layer, np.ones((1, 3)), np.zeros((1, 2)), np.ones((1, 2)))
    >>> c.tolist()  # half of c is kept: the forget gate of 0 is open halfway
    [[0.5, 0.5]]
    """
    if layer.cell == "lstm":
        return _lstm_step(layer, x, h, c)
    if layer.cell == "rnn":
        z = x @ layer.weight_ih.T + layer.bias_ih + h @ layer.weight_hh.T + layer.bias_hh
        return activate(layer.activation, z), c
    return _gru_step(layer, x, h), c


def _lstm_step(layer: Layer, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    act, gate = layer.activation, layer.recurrent_activation
    z = x @ layer.weight_ih.T + layer.bias_ih + h @ layer.weight_hh.T + layer.bias_hh  # [n, 4H]
    i, f, g, o = np.split(z, 4, axis=1)
    c = activate(gate, f) * c + activate(gate, i) * activate(act, g)
    h = activate(gate, o) * activate(act, c)
    return (h if layer.weight_hr is None else h @ layer.weight_hr.T), c


def _gru_step(layer: Layer, x: Array, h: Array) -> Array:
    H, act, gate = layer.hidden_size, layer.activation, layer.recurrent_activation
    a = x @ layer.weight_ih.T + layer.bias_ih  # [n, 3H]
    b = h @ layer.weight_hh.T + layer.bias_hh  # [n, 3H]
    r = activate(gate, a[:, :H] + b[:, :H])
    z = activate(gate, a[:, H : 2 * H] + b[:, H : 2 * H])
    if layer.reset_after:
        n = activate(act, a[:, 2 * H :] + r * b[:, 2 * H :])
    else:
        inside = (r * h) @ layer.weight_hh[2 * H :].T + layer.bias_hh[2 * H :]
        n = activate(act, a[:, 2 * H :] + inside)
    new: Array = (1.0 - z) * n + z * h
    return new


def scores_of_windows(
    model: SequenceModel, x: Array, y: Array, *, dtype: Any, batch: int = 512
) -> Array:
    """Return the mean squared error of each window, [N]: x [N, W, F], y [N, K, F], or x itself.

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
    h, c = np.zeros((2, x.shape[1], H), x.dtype)
    out = np.empty((*x.shape[:2], H), x.dtype)
    for t, row in enumerate(x):
        h, c = step(layer, row, h, c)
        out[t] = h
    return out
