"""``backend="numba"``: windows are built in chunks, and all hidden states are written.

Float32 alone, no Mahalanobis distance and no averaging of rows: those need ``backend="cupy"``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell._core import UnsupportedError
from slidecell.cuda import numba_kernels as kernels
from slidecell.cuda.chunks import Vectors, vectors_of
from slidecell.cuda.engine import ScoreOptions, head_of
from slidecell.cuda.network_weights import Layer, Network, network_of_model
from slidecell.cuda.numba_arrays import Input, empty, on_device_of, upload
from slidecell.cuda.sequences import given_states

if TYPE_CHECKING:
    from slidecell.model import SequenceModel

_THREADS = 64
_CHUNK = 2**14  # windows


def _launch(kernel: Any, items: int, *arguments: Any) -> None:
    """Start a kernel with a thread for each item."""
    threads = max(1, min(_THREADS, items))
    kernel[max(1, -(-items // threads)), threads](*arguments)


def _lstm_sequence(
    layer: Layer, x: Any, steps: int, h: Any, state: Sequence[Any] | None
) -> tuple[Any, ...]:
    N, H = x.shape[0], layer.hidden_size
    _, act, gates = layer.codes
    w_ih, w_hh, bias = upload(layer.w_ih), upload(layer.w_hh), upload(layer.bias)
    c, out = upload(np.zeros((N, H), np.float32)), empty(N, steps, H)
    if state is not None:
        c.copy_to_device(state[1])
    kernels.lstm_sequence[N, min(256, H)](x, w_ih, w_hh, bias, act, gates, h, c, out)
    return out, h[steps % 2], c


def _gru_sequence(
    layer: Layer, x: Any, steps: int, h: Any, _state: Sequence[Any] | None
) -> tuple[Any, ...]:
    N, H = x.shape[0], layer.hidden_size
    _, act, gates = layer.codes
    w_ih, w_hh, bias = upload(layer.w_ih), upload(layer.w_hh), upload(layer.bias)
    after, out = layer.b_hn is not None, empty(N, steps, H)
    reset = empty(1, 1) if after else empty(N, H)
    b_hn = upload(np.zeros(1, np.float32) if layer.b_hn is None else layer.b_hn)
    kernels.gru_sequence[N, min(256, H)](
        x, w_ih, w_hh, bias, b_hn, act, gates, h, after, reset, out
    )
    return out, h[steps % 2]


def _rnn_sequence(
    layer: Layer, x: Any, steps: int, h: Any, _state: Sequence[Any] | None
) -> tuple[Any, ...]:
    N, H = x.shape[0], layer.hidden_size
    _, act, _ = layer.codes
    w_ih, w_hh, bias = upload(layer.w_ih), upload(layer.w_hh), upload(layer.bias)
    out = empty(N, steps, H)
    kernels.rnn_sequence[N, min(256, H)](x, w_ih, w_hh, bias, act, h, out)
    return out, h[steps % 2]


_SEQUENCES = {
    "lstm": _lstm_sequence,
    "gru": _gru_sequence,
    "gru_reset_before": _gru_sequence,
    "rnn": _rnn_sequence,
}


def _sequence(layer: Layer, x: Any, steps: int, state: Sequence[Any] | None) -> tuple[Any, ...]:
    """One layer over x [N,T or 1,I]: out [N,T,H] and the final states [N,H]."""
    if layer.cell not in _SEQUENCES:
        raise UnsupportedError(f"cuda: backend 'numba' has no kernel of cell {layer.cell!r}")
    h = upload(np.zeros((2, x.shape[0], layer.hidden_size), np.float32))
    if state is not None:
        h[0].copy_to_device(state[0])
    return _SEQUENCES[layer.cell](layer, x, steps, h, state)


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
        self.input = Input(series, "series", ["S", F])
        self.rows = self.input.shape[0]
        self.vectors = vectors_of(self.rows, offsets, window)
        self.offsets = upload(self.vectors.offsets)
        self.first_window = upload(self.vectors.first_window)
        self.x, self.bad = empty(max(1, self.rows), F), upload(np.zeros(max(1, self.rows), "u1"))
        if self.rows:
            center = np.zeros(F) if self.head.center is None else self.head.center
            scale = np.ones(F) if self.head.scale is None else self.head.scale
            _launch(
                kernels.cast_rows,
                self.rows,
                self.input.array,
                upload(center),
                upload(scale),
                self.x,
                self.bad,
            )

    def chunks(self) -> list[tuple[int, int]]:
        """First windows and how many there are."""
        N = self.vectors.windows
        return [(first, min(_CHUNK, N - first)) for first in range(0, N, _CHUNK)]

    def codes(self, first: int, count: int) -> Any:
        """[n,H] of windows first .. first+count-1."""
        windows = empty(count, self.vectors.window, self.x.shape[1])
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
        w, b = upload(self.network.head_w), upload(self.network.head_b)
        out = empty(count, h.shape[1], len(self.network.head_b))
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
    with on_device_of(series, "series"):
        job = _Job(model, series, offsets, window)
        return _score(job, options)


def _score(job: _Job, options: ScoreOptions) -> Any:
    vectors, T = job.vectors, len(job.head.targets)
    values = T if options.per_feature else 1
    result = upload(np.full((job.rows, values), np.nan, np.float32))
    targets = upload(np.asarray(job.head.targets, np.int64))
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


def _of_each_window(job: _Job, values_of: Callable[[int, int], Any], shape: Sequence[int]) -> Any:
    """[N, ...shape] on the host, NaN for windows with a missing row."""
    parts = []
    for first, count in job.chunks():
        values = values_of(first, count)
        job.mask(first, values)
        parts.append(values.copy_to_host())
    return np.concatenate(parts) if parts else np.zeros((0, *shape), np.float32)


def predict(model: SequenceModel, series: Any, offsets: Any, window: tuple[int, int]) -> Any:
    """Predictions [N, K or W, T] in raw units."""
    with on_device_of(series, "series"):
        job = _Job(model, series, offsets, (*window, 1))
        steps, targets = job.vectors.horizon or job.vectors.window, list(job.head.targets)
        whole = _of_each_window(job, job.predictions, (steps, len(targets)))
        if job.head.center is not None and job.head.scale is not None:
            raw = whole.astype(np.float64) * job.head.scale[targets] + job.head.center[targets]
            whole = raw.astype(np.float32)
        return job.input.give_host(whole)


def encode(model: SequenceModel, series: Any, offsets: Any, window: tuple[int, int]) -> Any:
    """Codes [N, H]."""
    with on_device_of(series, "series"):
        job = _Job(model, series, offsets, (*window, 1))
        return job.input.give_host(_of_each_window(job, job.codes, (model.code_size,)))


def forward(network: Network, x: Any, state: Any) -> tuple[Any, tuple[Any, ...]]:
    """Run x [N,T,I], states [L,N,H] -> out [N,T,H], final states [L,N,H]."""
    with on_device_of(x, "x"):
        given = Input(x, "x", ["N", "T", network.input_size])
        N, T, _ = given.shape
        if N < 1 or T < 1:
            raise ValueError(f"x: expected [N, T, I] with N, T >= 1, got {list(given.shape)}")
        return _forward(network, given, _states(network, given, state))


def _states(network: Network, x: Input, state: Any) -> list[Any]:
    """Return the initial states [L,N,H] where x lies, none for None."""
    shape = [len(network.encoder), x.shape[0], network.encoder[0].hidden_size]
    return [
        Input(part, name, shape, beside=x).array
        for name, part in given_states(network, state).items()
    ]


def _forward(network: Network, x: Input, states: list[Any]) -> tuple[Any, tuple[Any, ...]]:
    N, T, _ = x.shape
    sequence = empty(*x.shape)
    _launch(
        kernels.gather_windows,
        N,
        x.array.reshape(N * T, -1),
        upload([0, N * T]),
        upload([0, N]),
        T,
        0,
        sequence,
        0,
    )
    finals = []
    for n, layer in enumerate(network.encoder):
        own = [part[n] for part in states] if states else None
        sequence, *final = _sequence(layer, sequence, T, own)
        finals.append([part.copy_to_host() for part in final])
    stacked = tuple(x.give_host(np.stack(part)) for part in zip(*finals, strict=True))
    return x.give(sequence), stacked


def sliding_windows(series: Any, offsets: Any, window: tuple[int, int, int]) -> Any:
    """Copy windows: X [N, W, F], with a horizon the pair of it and y [N, K, F]."""
    with on_device_of(series, "series"):
        given = Input(series, "series", ["S", "F"])
        vectors = vectors_of(given.shape[0], offsets, window)
        x = _gathered(given, vectors, vectors.window, 0)
        if not vectors.horizon:
            return x
        return x, _gathered(given, vectors, vectors.horizon, vectors.window)


def _gathered(series: Input, vectors: Vectors, rows: int, shift: int) -> Any:
    """Rows ``shift`` .. of all windows: [N, rows, F]."""
    out = empty(vectors.windows, rows, series.shape[1])
    if vectors.windows:
        _launch(
            kernels.gather_windows,
            vectors.windows,
            series.array,
            upload(vectors.offsets),
            upload(vectors.first_window),
            vectors.stride,
            0,
            out,
            shift,
        )
    return series.give(out)
