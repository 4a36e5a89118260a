"""Windows, cells, head and scores as plain Numba CUDA kernels: to be read, and as a fallback.

A block computes one sequence, a thread some of its hidden units; states lie in device memory.
What the CUDA C++ kernels do beyond this is make it fast. Run with ``NUMBA_ENABLE_CUDASIM=1`` these
kernels need no GPU.
"""

# Kernels take arrays by position, as many as there are.
# ruff: noqa: PLR0917

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

cuda: Any = importlib.import_module("numba.cuda")

ONE, ZERO, HALF, SIXTH = np.float32(1.0), np.float32(0.0), np.float32(0.5), np.float32(1.0 / 6.0)
SMALLEST = np.float32(-88.0)  # e^88 is within float32, and 1 / e^88 below its normal numbers
TANH, RELU, SIGMOID = 0, 1, 2  # structs.ACTIVATIONS
HARD_SIGMOID = 1  # structs.RECURRENT_ACTIVATIONS


def _kernel(function: Callable[..., Any]) -> Any:
    return cuda.jit(function)


def _device(function: Callable[..., Any]) -> Any:
    return cuda.jit(device=True)(function)


@_device
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    if x < SMALLEST:  # the simulator's exponential raises OverflowError where a GPU's is infinite
        return ZERO
    return ONE / (ONE + math.exp(-x))


@_device
def candidate(kind: Any, x: Any) -> Any:
    """Activate candidate or output."""
    if kind == TANH:
        return math.tanh(x)
    if kind == RELU:
        return max(ZERO, x)
    if kind == SIGMOID:
        return sigmoid(x)
    return x


@_device
def gate(kind: Any, x: Any) -> Any:
    """Activate a gate."""
    if kind == HARD_SIGMOID:
        return min(ONE, max(ZERO, x * SIXTH + HALF))
    return sigmoid(x)


@_device
def product(w: Any, row: Any, v: Any) -> Any:
    """Row of w [rows, depth] times v [depth]."""
    total = ZERO
    for k in range(v.shape[0]):
        total += w[row, k] * v[k]
    return total


@_device
def entity_of(first: Any, index: Any) -> Any:
    """Return the last entity whose first number, first [G+1], is at most ``index``."""
    low, high = 0, first.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if first[middle] <= index:
            low = middle
        else:
            high = middle
    return low


@_device
def start_of(offsets: Any, first_window: Any, stride: Any, window: Any) -> Any:
    """First row of a window, given by its number in the whole series."""
    g = entity_of(first_window, window)
    return offsets[g] + (window - first_window[g]) * stride


@_kernel
def cast_rows(raw: Any, center: Any, scale: Any, x: Any, bad: Any) -> None:
    """Raw [S,F] -> x float32 [S,F], scaled in float64; bad rows zeroed and marked in bad [S]."""
    row = cuda.grid(1)
    if row >= raw.shape[0]:
        return
    missing = 0
    for f in range(raw.shape[1]):
        value = np.float32((np.float64(raw[row, f]) - center[f]) / scale[f])
        if math.isnan(value) or math.isinf(value):
            missing = 1
        x[row, f] = value
    bad[row] = missing
    if missing:
        for f in range(raw.shape[1]):
            x[row, f] = ZERO


@_kernel
def gather_windows(
    series: Any, offsets: Any, first_window: Any, stride: Any, first: Any, out: Any, shift: Any
) -> None:
    """Series [S,F] -> out [n,rows,F]: rows from ``shift`` on of windows first, first+1, ..."""
    n = cuda.grid(1)
    if n >= out.shape[0]:
        return
    start = start_of(offsets, first_window, stride, first + n) + shift
    for t in range(out.shape[1]):
        for f in range(out.shape[2]):
            out[n, t, f] = series[start + t, f]


@_kernel
def lstm_sequence(
    x: Any, w_ih: Any, w_hh: Any, bias: Any, act: Any, gates: Any, h: Any, c: Any, out: Any
) -> None:
    """Run x [N,T or 1,I], states h [2,N,H] (turn 0 first), c [N,H] -> out [N,T,H]; c in place.

    An input of one row is the same at every step.
    """
    n, T, H = cuda.blockIdx.x, out.shape[1], out.shape[2]
    for t in range(T):
        row = x[n, min(t, x.shape[1] - 1)]
        before, after = h[t % 2, n], h[(t + 1) % 2, n]
        for j in range(cuda.threadIdx.x, H, cuda.blockDim.x):
            i = product(w_hh, j, before) + (bias[j] + product(w_ih, j, row))
            f = product(w_hh, H + j, before) + (bias[H + j] + product(w_ih, H + j, row))
            g = product(w_hh, 2 * H + j, before) + (bias[2 * H + j] + product(w_ih, 2 * H + j, row))
            o = product(w_hh, 3 * H + j, before) + (bias[3 * H + j] + product(w_ih, 3 * H + j, row))
            c[n, j] = gate(gates, f) * c[n, j] + gate(gates, i) * candidate(act, g)
            after[j] = gate(gates, o) * candidate(act, c[n, j])
            out[n, t, j] = after[j]
        cuda.syncthreads()


@_kernel
def gru_sequence(
    x: Any,
    w_ih: Any,
    w_hh: Any,
    bias: Any,
    b_hn: Any,
    act: Any,
    gates: Any,
    h: Any,
    reset_after: Any,
    reset: Any,
    out: Any,
) -> None:
    """Run x [N,T or 1,I], h [2,N,H] -> out [N,T,H].

    With the reset gate before the product ``reset`` [N,H] is scratch, else it is not used.
    """
    n, T, H = cuda.blockIdx.x, out.shape[1], out.shape[2]
    for t in range(T):
        row = x[n, min(t, x.shape[1] - 1)]
        before, after = h[t % 2, n], h[(t + 1) % 2, n]
        if not reset_after:
            # The candidate's product needs r h of all units.
            for j in range(cuda.threadIdx.x, H, cuda.blockDim.x):
                r = gate(gates, product(w_hh, j, before) + (bias[j] + product(w_ih, j, row)))
                reset[n, j] = r * before[j]
            cuda.syncthreads()
        for j in range(cuda.threadIdx.x, H, cuda.blockDim.x):
            z = gate(
                gates, product(w_hh, H + j, before) + (bias[H + j] + product(w_ih, H + j, row))
            )
            of_input = bias[2 * H + j] + product(w_ih, 2 * H + j, row)
            if not reset_after:
                candidate_h = candidate(act, product(w_hh, 2 * H + j, reset[n]) + of_input)
            else:
                r = gate(gates, product(w_hh, j, before) + (bias[j] + product(w_ih, j, row)))
                of_h = product(w_hh, 2 * H + j, before) + b_hn[j]
                candidate_h = candidate(act, of_input + r * of_h)
            after[j] = candidate_h + z * (before[j] - candidate_h)
            out[n, t, j] = after[j]
        cuda.syncthreads()


@_kernel
def rnn_sequence(x: Any, w_ih: Any, w_hh: Any, bias: Any, act: Any, h: Any, out: Any) -> None:
    """Run x [N,T or 1,I], h [2,N,H] -> out [N,T,H]."""
    n, T, H = cuda.blockIdx.x, out.shape[1], out.shape[2]
    for t in range(T):
        row = x[n, min(t, x.shape[1] - 1)]
        before, after = h[t % 2, n], h[(t + 1) % 2, n]
        for j in range(cuda.threadIdx.x, H, cuda.blockDim.x):
            of_input = bias[j] + product(w_ih, j, row)
            after[j] = candidate(act, product(w_hh, j, before) + of_input)
            out[n, t, j] = after[j]
        cuda.syncthreads()


@_kernel
def linear(h: Any, w: Any, b: Any, out: Any) -> None:
    """Head: h [N,T,H], w [D,H], b [D] -> out [N,T,D]."""
    i = cuda.grid(1)
    steps, D = out.shape[1], out.shape[2]
    if i >= out.shape[0] * steps * D:
        return
    n, t, d = i // (steps * D), i // D % steps, i % D
    out[n, t, d] = b[d] + product(w, d, h[n, t])


@_device
def touches_bad(bad: Any, first: Any, rows: Any) -> Any:
    """Whether any of the rows is missing."""
    count = 0
    for r in range(first, first + rows):
        count += bad[r]
    return count > 0


@_kernel
def mask_windows(
    bad: Any, offsets: Any, first_window: Any, stride: Any, first: Any, rows: Any, out: Any
) -> None:
    """Out [n,...items]: NaN where one of the window's rows is missing."""
    n = cuda.grid(1)
    if n >= out.shape[0]:
        return
    if touches_bad(bad, start_of(offsets, first_window, stride, first + n), rows):
        for i in range(out.shape[1]):
            out[n, i] = np.float32(math.nan)


@_kernel
def score_windows(
    prediction: Any,
    x: Any,
    bad: Any,
    targets: Any,
    offsets: Any,
    first_window: Any,
    stride: Any,
    first: Any,
    span: Any,
    shape: Any,
    absolute: Any,
    out: Any,
) -> None:
    """Prediction [n,rows,T] -> out [S,T or 1]: mean errors, at the last row a window needs.

    ``shape`` is (first predicted row that counts, row of the window that it is compared with).
    """
    n = cuda.grid(1)
    if n >= prediction.shape[0]:
        return
    start = start_of(offsets, first_window, stride, first + n)
    if touches_bad(bad, start, span):
        return
    first_row, truth_row = shape
    rows, T = prediction.shape[1], prediction.shape[2]
    values = out.shape[1]
    count = (rows - first_row) * (T // values)
    for v in range(values):
        total = ZERO
        for r in range(first_row, rows):
            for f in range(v, T if values == 1 else v + 1):
                error = prediction[n, r, f] - x[start + truth_row + r, targets[f]]
                total += abs(error) if absolute else error * error
        out[start + span - 1, v] = total / np.float32(count)
