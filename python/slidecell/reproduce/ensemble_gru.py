"""System D's GRU as the source runs it, a NumPy step at a time, beside the compiled kernel."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from slidecell.detect import RandomGRUDetector

Floats = npt.NDArray[np.float64]

__all__ = ["KernelCheck", "check_kernel", "gru_loop"]


@dataclass(frozen=True)
class KernelCheck:
    """How far compiled codes lie from the loop's, and how long each takes for a window.

    Parameters
    ----------
    windows, loop_windows : int
        How many each of them read.
    difference : float
        Largest difference of a code, in the windows that both read.
    kernel_us, loop_us : float
        Microseconds for a window.
    """

    windows: int
    loop_windows: int
    difference: float
    kernel_us: float
    loop_us: float


def gru_loop(
    window: Floats,  # [W,F]
    weight_ih: Floats,  # [3H,F]
    weight_hh: Floats,  # [3H,H]
) -> Floats:
    """Last h [H] of a GRU without biases, reset gate before the recurrent product: Cho (2014).

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.reproduce.ensemble_gru import gru_loop
    >>> gru_loop(np.zeros((5, 2)), np.ones((3, 2)), np.ones((3, 1))).tolist()
    [0.0]
    """
    W_r, W_z, W_n = np.split(weight_ih, 3)
    U_r, U_z, U_n = np.split(weight_hh, 3)
    h = np.zeros(weight_hh.shape[1])
    for x in window:
        r = 1.0 / (1.0 + np.exp(-(W_r @ x + U_r @ h)))
        z = 1.0 / (1.0 + np.exp(-(W_z @ x + U_z @ h)))
        n = np.tanh(W_n @ x + U_n @ (r * h))
        h = (1.0 - z) * n + z * h
    return h


def check_kernel(detector: RandomGRUDetector, X: Floats, *, loop_windows: int = 64) -> KernelCheck:
    """Encode all windows of rows [S, F] compiled, and some of them by the loop.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import RandomGRUDetector
    >>> from slidecell.reproduce.ensemble_gru import check_kernel
    >>> X = np.random.default_rng(0).normal(size=(200, 3))
    >>> check_kernel(RandomGRUDetector(random_state=0).fit(X), X, loop_windows=4).difference < 1e-6
    True
    """
    model = detector.model_
    scaler = model.scaler
    assert scaler is not None
    tensors = {name: value.astype(np.float64) for name, value in model.tensors.items()}
    weights = tensors["encoder.0.weight_ih_l0"], tensors["encoder.0.weight_hh_l0"]
    scaled = (X - np.asarray(scaler["center"])) / np.asarray(scaler["scale"])
    detector.encode(X[: 2 * model.window])  # packs the weights
    began = time.perf_counter()
    codes = detector.encode(X)
    kernel = time.perf_counter() - began
    starts = np.unique(np.linspace(0, len(codes) - 1, loop_windows).round().astype(np.int64))
    began = time.perf_counter()
    loop = np.stack([gru_loop(scaled[s : s + model.window], *weights) for s in starts])
    took = time.perf_counter() - began
    return KernelCheck(
        windows=len(codes),
        loop_windows=len(starts),
        difference=float(np.nanmax(np.abs(codes[starts] - loop))),
        kernel_us=1e6 * kernel / len(codes),
        loop_us=1e6 * took / len(starts),
    )
