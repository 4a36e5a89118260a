"""``backend="numba"``: windows are built in chunks, and all hidden states are written.

Float32 alone, no Mahalanobis distance and no averaging of rows: those need ``backend="cupy"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._core import UnsupportedError
from slidecell.cuda import numba_kernels as kernels
from slidecell.cuda.arrays import device_array, host_array, is_device_array
from slidecell.cuda.chunks import Vectors
from slidecell.cuda.engine import ScoreOptions, head_of
from slidecell.cuda.network import Layer, Network, network_of_model
from slidecell.cuda.numba_kernels import cuda
from slidecell.windows import WindowPlan

if TYPE_CHECKING:
    from slidecell.model import SequenceModel

_THREADS = 64
_CHUNK = 2**14  # windows


def _launch(kernel: Any, items: int, *arguments: Any) -> None:
    """Start a kernel with a thread for each item."""
    threads = max(1, min(_THREADS, items))
    kernel[max(1, -(-items // threads)), threads](*arguments)


def _empty(*shape: int) -> Any:
    return cuda.device_array(shape, np.float32)


def _upload(array: npt.ArrayLike) -> Any:
    return cuda.to_device(np.ascontiguousarray(array))


class _Input:
    """An array of the caller on the device, and how results go back to where it came from."""

    def __init__(
        self, value: Any, name: str, shape: Sequence[int | str], *, as_float32: bool = False
    ) -> None:
        self.library: str | None = None
        if is_device_array(value):
            found = device_array(value, name, shape)
            self.library, self.shape = found.library, found.shape
            self.array = cuda.as_cuda_array(value)
        else:
            host = host_array(value, name, shape)
            self.shape = host.shape
            # Numba knows no float16 and no bool arrays in all versions; float32 holds both.
            narrow = as_float32 or host.dtype.itemsize < 4 or host.dtype.kind == "b"
            self.array = _upload(host.astype(np.float32) if narrow else host)

    def give(self, array: Any) -> Any:
        """Hand a device array to the caller."""
        if self.library is None:
            return array.copy_to_host()
        if self.library == "torch":
            import torch

            return torch.as_tensor(array, device="cuda")
        if self.library == "cupy":
            import cupy

            return cupy.asarray(array)
        return array


def _sequence(layer: Layer, x: Any, steps: int, state: Sequence[Any] | None) -> tuple[Any, ...]:
    """One layer over x [N,T or 1,I]: out [N,T,H] and the final states [N,H]."""
    N, H = x.shape[0], layer.hidden_size
    zeros = np.zeros((2, N, H), np.float32)
    h = _upload(zeros)
    if state is not None:
        h[0].copy_to_device(state[0])
    out = _empty(N, steps, H)
    _, act, gates = layer.codes
    w_ih, w_hh, bias = _upload(layer.w_ih), _upload(layer.w_hh), _upload(layer.bias)
    threads = min(256, H)
    if layer.cell == "lstm":
        c = _upload(zeros[0])
        if state is not None:
            c.copy_to_device(state[1])
        kernels.lstm_sequence[N, threads](x, w_ih, w_hh, bias, act, gates, h, c, out)
        return out, h[steps % 2], c
    after = layer.b_hn is not None
    reset = _empty(1, 1) if after else _empty(N, H)
    b_hn = _upload(np.zeros(1, np.float32) if layer.b_hn is None else layer.b_hn)
    kernels.gru_sequence[N, threads](x, w_ih, w_hh, bias, b_hn, act, gates, h, after, reset, out)
    return out, h[steps % 2]


def _stack(layers: Sequence[Layer], x: Any, steps: int) -> tuple[Any, Any]:
    """Top layer's sequence [N,T,H] and last h [N,H], from zero states."""
    found: tuple[Any, ...] = (x, None)
    for layer in layers:
        found = _sequence(layer, found[0], steps, None)
    return found[0], found[1]


class _Job:
    """The windows of one call on the device, chunk by chunk."""

    def __init__(
        self, model: SequenceModel, series: Any, offsets: Any, window: tuple[int, int, int]
    ) -> None:
        metadata = model.metadata
        self.network: Network = network_of_model(metadata, model.tensors)
        self.head = head_of(metadata)
        F = model.input_size
        self.input = _Input(series, "series", ["S", F])
        self.rows = self.input.shape[0]
        self.vectors = _vectors(self.rows, offsets, window)
        self.offsets = _upload(self.vectors.offsets)
        self.first_window = _upload(self.vectors.first_window)
        self.x, self.bad = _empty(max(1, self.rows), F), _upload(np.zeros(max(1, self.rows), "u1"))
        if self.rows:
            center = np.zeros(F) if self.head.center is None else self.head.center
            scale = np.ones(F) if self.head.scale is None else self.head.scale
            _launch(
                kernels.cast_rows,
                self.rows,
                self.input.array,
                _upload(center),
                _upload(scale),
                self.x,
                self.bad,
            )

    def chunks(self) -> list[tuple[int, int]]:
        """First windows and how many there are."""
        N = self.vectors.windows
        return [(first, min(_CHUNK, N - first)) for first in range(0, N, _CHUNK)]

    def codes(self, first: int, count: int) -> Any:
        """[n,H] of windows first .. first+count-1."""
        windows = _empty(count, self.vectors.window, self.x.shape[1])
        _launch(
            kernels.gather_windows,
            count,
            self.x,
            self.offsets,
            self.first_window,
            self.vectors.stride,
            first,
            windows,
            0,
        )
        return _stack(self.network.encoder, windows, self.vectors.window)[1]

    def predictions(self, first: int, count: int) -> Any:
        """[n,K or W,T] in scaled units."""
        code = self.codes(first, count)
        h = code.reshape(count, 1, code.shape[1])
        if self.network.decoder:
            h, _ = _stack(self.network.decoder, h, self.vectors.window)
        w, b = _upload(self.network.head_w), _upload(self.network.head_b)
        out = _empty(count, h.shape[1], len(self.network.head_b))
        _launch(kernels.linear, out.size, h, w, b, out)
        return out.reshape(count, self.vectors.horizon or self.vectors.window, -1)

    def mask(self, first: int, values: Any) -> None:
        """NaN for windows with a missing row: values [n, ...]."""
        count = values.shape[0]
        _launch(
            kernels.mask_windows,
            count,
            self.bad,
            self.offsets,
            self.first_window,
            self.vectors.stride,
            first,
            self.vectors.window,
            values.reshape(count, -1),
        )


def _vectors(rows: int, offsets: Any, window: tuple[int, int, int]) -> Vectors:
    W, K, stride = window
    plan = WindowPlan([0, rows] if offsets is None else offsets, window=W, horizon=K, stride=stride)
    if plan.offsets[-1] != rows:
        raise ValueError(
            f"offsets: expected to end at {rows} (rows of series), got {plan.offsets[-1]}"
        )
    return Vectors.of(plan)


def score(
    model: SequenceModel,
    series: Any,
    offsets: Any,
    window: tuple[int, int, int],
    *,
    options: ScoreOptions,
    out: Any,
) -> Any:
    """Scores [S] or [S, T]."""
    for name, value, known in (
        ("reduction", options.reduction, ("mse", "mae")),
        ("aggregate", options.aggregate, ("window", "last")),
    ):
        if value not in known:
            raise UnsupportedError(f"{name}: backend 'numba' has no {value!r}; use backend='cupy'")
    if out is not None:
        raise UnsupportedError("out: backend 'numba' makes its own; use backend='cupy'")
    job = _Job(model, series, offsets, window)
    vectors, T = job.vectors, len(job.head.targets)
    values = T if options.per_feature else 1
    result = _upload(np.full((job.rows, values), np.nan, np.float32))
    targets = _upload(np.asarray(job.head.targets, np.int64))
    first_row = vectors.window - 1 if options.aggregate == "last" else 0
    for first, count in job.chunks():
        _launch(
            kernels.score_windows,
            count,
            job.predictions(first, count),
            job.x,
            job.bad,
            targets,
            job.offsets,
            job.first_window,
            vectors.stride,
            first,
            vectors.window + vectors.horizon,
            (first_row, vectors.window if vectors.horizon else 0),
            options.reduction == "mae",
            result,
        )
    return job.input.give(result if options.per_feature else result.reshape(job.rows))


def predict(model: SequenceModel, series: Any, offsets: Any, window: tuple[int, int]) -> Any:
    """Predictions [N, K or W, T] in raw units."""
    job = _Job(model, series, offsets, (*window, 1))
    T, steps = len(job.head.targets), job.vectors.horizon or job.vectors.window
    parts = []
    for first, count in job.chunks():
        values = job.predictions(first, count)
        job.mask(first, values)
        parts.append(values.copy_to_host())
    whole = np.concatenate(parts) if parts else np.zeros((0, steps, T), np.float32)
    if job.head.center is not None and job.head.scale is not None:
        targets = list(job.head.targets)
        raw = whole.astype(np.float64) * job.head.scale[targets] + job.head.center[targets]
        whole = raw.astype(np.float32)
    return whole if job.input.library is None else job.input.give(_upload(whole))


def encode(model: SequenceModel, series: Any, offsets: Any, window: tuple[int, int]) -> Any:
    """Codes [N, H]."""
    job = _Job(model, series, offsets, (*window, 1))
    parts = []
    for first, count in job.chunks():
        codes = job.codes(first, count)
        job.mask(first, codes)
        parts.append(codes.copy_to_host())
    whole = np.concatenate(parts) if parts else np.zeros((0, model.code_size), np.float32)
    return whole if job.input.library is None else job.input.give(_upload(whole))


def forward(network: Network, x: Any, state: Any) -> tuple[Any, tuple[Any, ...]]:
    """Run x [N,T,I], states [L,N,H] -> out [N,T,H], final states [L,N,H]."""
    given = _Input(x, "x", ["N", "T", network.input_size])
    N, T, _ = given.shape
    if N < 1 or T < 1:
        raise ValueError(f"x: expected [N, T, I] with N, T >= 1, got {list(given.shape)}")
    layers, lstm = network.encoder, network.encoder[0].cell == "lstm"
    parts = () if state is None else (tuple(state) if lstm else (state,))
    shape = [len(layers), N, layers[0].hidden_size]
    states = [_Input(part, "state", shape, as_float32=True).array for part in parts]
    sequence = _empty(*given.shape)
    _launch(
        kernels.gather_windows,
        N,
        given.array.reshape(N * T, -1),
        _upload([0, N * T]),
        _upload([0, N]),
        T,
        0,
        sequence,
        0,
    )
    finals = []
    for n, layer in enumerate(layers):
        own = [part[n] for part in states] if states else None
        sequence, *final = _sequence(layer, sequence, T, own)
        finals.append([part.copy_to_host() for part in final])
    stacked = tuple(np.stack(part) for part in zip(*finals, strict=True))
    if given.library is None:
        return sequence.copy_to_host(), stacked
    return given.give(sequence), tuple(given.give(_upload(part)) for part in stacked)


def sliding_windows(series: Any, offsets: Any, window: tuple[int, int, int]) -> Any:
    """Copy windows: X [N, W, F], with a horizon the pair of it and y [N, K, F]."""
    given = _Input(series, "series", ["S", "F"])
    vectors = _vectors(given.shape[0], offsets, window)
    held = (_upload(vectors.offsets), _upload(vectors.first_window))
    results = []
    for rows, shift in ((vectors.window, 0), (vectors.horizon, vectors.window)):
        out = _empty(vectors.windows, rows, given.shape[1])
        if vectors.windows and rows:
            _launch(
                kernels.gather_windows,
                vectors.windows,
                given.array,
                *held,
                vectors.stride,
                0,
                out,
                shift,
            )
        results.append(given.give(out))
    return tuple(results) if vectors.horizon else results[0]
