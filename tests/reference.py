"""The plain float64 truth that the kernels are tested against: numpy, one step at a time.

Never tuned: what it says must be obvious. The gate equations are those of
`slidecell.bench.reference`, which the benchmarks are held against too and which golden answers of
Keras and torch check; here are directions, stacks, lengths, scalers, windows and scores. Weights
are as torch keeps them, windows materialised, one entity after the other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._cells import CELLS
from slidecell.bench.layers import Layer
from slidecell.bench.reference import step

Array = npt.NDArray[np.float64]
Tensors = Mapping[str, npt.NDArray[Any]]
Spec = Mapping[str, Any]

GATES: dict[str, int] = {name: cell.gates for name, cell in CELLS.items()}
DEFAULTS: dict[str, Any] = {
    "cell": "lstm",
    "proj_size": 0,
    "bidirectional": False,
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "reset_after": True,
}


def _f64(tensors: Tensors, name: str, size: int) -> Array:
    """Tensor `name` as float64, zeros [size] if there is none (a layer without bias)."""
    return np.asarray(tensors[name], np.float64) if name in tensors else np.zeros(size)


def _layer(spec: Spec, tensors: Tensors, suffix: str) -> Layer:
    """One direction of a layer, in float64."""
    rows = GATES[spec["cell"]] * spec["hidden_size"]
    return Layer(
        spec["cell"],
        _f64(tensors, f"weight_ih{suffix}", 0),
        _f64(tensors, f"weight_hh{suffix}", 0),
        _f64(tensors, f"bias_ih{suffix}", rows),
        _f64(tensors, f"bias_hh{suffix}", rows),
        weight_hr=_f64(tensors, f"weight_hr{suffix}", 0) if spec["proj_size"] else None,
        activation=spec["activation"],
        recurrent_activation=spec["recurrent_activation"],
        reset_after=spec["reset_after"],
    )


def _direction(
    layer: Layer,
    x: Array,
    h: Array,
    c: Array,
    lengths: npt.NDArray[np.int64],
    reverse: bool,
) -> tuple[Array, Array, Array]:
    """x [N,T,I], h [N,P or H], c [N,H] -> out [N,T,P or H], h_n, c_n of one direction."""
    N, T, _ = x.shape
    out = np.zeros((N, T, h.shape[1]))
    for t in reversed(range(T)) if reverse else range(T):
        h_new, c_new = step(layer, x[:, t], h, c)
        valid = (t < lengths)[:, None]
        h, c = np.where(valid, h_new, h), np.where(valid, c_new, c)
        out[:, t] = np.where(valid, h_new, 0.0)
    return out, h, c


def stack_forward(
    specs: Sequence[Spec],
    tensors: Tensors,
    x: npt.ArrayLike,
    h0: npt.ArrayLike | None = None,
    c0: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None,
) -> tuple[Array, Array, Array]:
    """x [N,T,I], h0 [L*D,N,P or H], c0 [L*D,N,H] -> out [N,T,D*(P or H)], h_n, c_n.

    Tensors carry torch's names: `weight_ih_l0`, ..., `bias_hh_l1_reverse`. A GRU's c_n is zero.
    With layers of different sizes h0 and c0 must be None, and h_n, c_n are those of the last layer.
    """
    y = np.asarray(x, np.float64)
    N, T, _ = y.shape
    n = np.full(N, T) if lengths is None else np.asarray(lengths, np.int64)
    all_h, all_c = [], []
    for layer, given in enumerate(specs):
        spec = DEFAULTS | dict(given)
        directions = 2 if spec["bidirectional"] else 1
        outs = []
        all_h, all_c = (all_h, all_c) if _equal_sizes(specs) else ([], [])
        for d in range(directions):
            s = layer * directions + d
            h_size = spec["proj_size"] or spec["hidden_size"]
            h = np.zeros((N, h_size)) if h0 is None else np.asarray(h0, np.float64)[s]
            c = np.zeros((N, spec["hidden_size"])) if c0 is None else np.asarray(c0, np.float64)[s]
            suffix = f"_l{layer}" + ("_reverse" if d else "")
            out, h_n, c_n = _direction(_layer(spec, tensors, suffix), y, h, c, n, bool(d))
            outs.append(out)
            all_h.append(h_n)
            all_c.append(c_n)
        y = np.concatenate(outs, axis=2)
    return y, np.stack(all_h), np.stack(all_c)


def _equal_sizes(specs: Sequence[Spec]) -> bool:
    return len({(s["hidden_size"], s.get("proj_size", 0)) for s in specs}) == 1


def _recurrent(
    cell: str, x: npt.ArrayLike, tensors: Tensors, options: Mapping[str, Any]
) -> tuple[list[Spec], dict[str, Any]]:
    """Layer specs from the shapes of the tensors, and the options that are no part of them."""
    rest = dict(options)
    spec = {k: rest.pop(k) for k in tuple(rest) if k in DEFAULTS}
    G = GATES[cell]
    names = [k for k in tensors if k.startswith("weight_hh") and not k.endswith("_reverse")]
    H = tensors["weight_hh_l0"].shape[0] // G
    proj = tensors["weight_hr_l0"].shape[0] if "weight_hr_l0" in tensors else 0
    both = "weight_hh_l0_reverse" in tensors
    layer = {**spec, "cell": cell, "hidden_size": H, "proj_size": proj, "bidirectional": both}
    return [layer] * len(names), rest


def lstm_forward(
    x: npt.ArrayLike, tensors: Tensors, **options: Any
) -> tuple[Array, tuple[Array, Array]]:
    """x [N,T,I] -> out [N,T,D*(P or H)], (h_n, c_n); options: activation, ..., h0, c0, lengths."""
    specs, rest = _recurrent("lstm", x, tensors, options)
    out, h_n, c_n = stack_forward(specs, tensors, x, **rest)
    return out, (h_n, c_n)


def gru_forward(x: npt.ArrayLike, tensors: Tensors, **options: Any) -> tuple[Array, Array]:
    """x [N,T,I] -> out [N,T,D*H], h_n [L*D,N,H]; options: reset_after, ..., h0, lengths."""
    specs, rest = _recurrent("gru", x, tensors, options)
    out, h_n, _ = stack_forward(specs, tensors, x, **rest)
    return out, h_n


def rnn_forward(x: npt.ArrayLike, tensors: Tensors, **options: Any) -> tuple[Array, Array]:
    """x [N,T,I] -> out [N,T,D*H], h_n [L*D,N,H]; options: activation, h0, lengths."""
    specs, rest = _recurrent("rnn", x, tensors, options)
    out, h_n, _ = stack_forward(specs, tensors, x, **rest)
    return out, h_n


# --- models ---------------------------------------------------------------------------------------


def scaled_rows(metadata: Mapping[str, Any], series: npt.ArrayLike) -> Array:
    """Series [S,F] -> what the network sees: scaled in float64, rounded to float32."""
    rows = np.asarray(series)
    scaler = metadata.get("scaler")
    with np.errstate(over="ignore", invalid="ignore"):
        if scaler is not None:
            rows = (rows.astype(np.float64) - scaler["center"]) / np.asarray(scaler["scale"])
        return rows.astype(np.float32).astype(np.float64)


def window_starts(
    rows: int, offsets: npt.ArrayLike | None, window: int, horizon: int, stride: int = 1
) -> list[int]:
    """First rows of all windows: none crosses an entity, each has its `horizon` rows after it."""
    ends = [0, rows] if offsets is None else [int(o) for o in np.asarray(offsets)]
    starts = []
    for first, last in itertools.pairwise(ends):
        starts += list(range(first, last - window - horizon + 1, stride))
    return starts


def _stack(metadata: Mapping[str, Any], tensors: Tensors, part: str) -> tuple[Any, Tensors]:
    """Specs of `encoder` or `decoder`, and its tensors under stack_forward's names."""
    named = {}
    for name, value in tensors.items():
        if name.startswith(part + "."):
            _, layer, tensor = name.split(".")
            named[tensor.replace("_l0", f"_l{layer}")] = value
    return metadata[part], named


def _last_h(specs: Sequence[Spec], out: Array) -> Array:
    """Out [N,W,D*H] -> both directions' final h, concatenated [N,D*H]."""
    if not specs[-1].get("bidirectional"):
        return out[:, -1]
    half = out.shape[2] // 2
    return np.concatenate([out[:, -1, :half], out[:, 0, half:]], axis=1)


HEAD_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "gelu": lambda x: x * 0.5 * np.vectorize(math.erfc, otypes=[float])(-x / np.sqrt(2)),
    "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


def head_activation(name: str, x: Array, slope: float = 0.0) -> Array:
    """What a head does with each number."""
    if name == "leaky_relu":
        return np.where(x < 0, slope * x, x)
    with np.errstate(over="ignore"):
        return HEAD_ACTIVATIONS[name](x)


def _head(metadata: Mapping[str, Any], tensors: Tensors, x: Array) -> Array:
    """x [..,depth] -> [..,rows]: dense layers, each with its activation."""
    given = metadata.get("head")
    for n, layer in enumerate([{"output_size": 0}] if given is None else given):
        if "output_size" in layer:
            prefix = "head." if given is None else f"head.{n}."
            w = np.asarray(tensors[prefix + "weight"], np.float64)
            x = x @ w.T + _f64(tensors, prefix + "bias", w.shape[0])
        x = head_activation(layer.get("activation", "linear"), x, layer.get("slope", 0.0))
    return x


def network(metadata: Mapping[str, Any], tensors: Tensors, windows: Array) -> tuple[Array, Array]:
    """Windows [N,W,F] -> code [N,C] and prediction [N,K or W,targets], in scaled units.

    With a distribution the log variances follow the means: [N,K,2*targets].
    """
    specs, named = _stack(metadata, tensors, "encoder")
    N, W, _ = windows.shape
    code = _last_h(specs, stack_forward(specs, named, windows)[0])
    if not metadata["decoder"]:
        halves = 2 if metadata.get("distribution") else 1
        pred = _head(metadata, tensors, code).reshape(N, halves, metadata["horizon"], -1)
        return code, np.concatenate(list(np.moveaxis(pred, 1, 0)), axis=2)
    specs, named = _stack(metadata, tensors, "decoder")
    y, _, _ = stack_forward(specs, named, np.repeat(code[:, None], W, axis=1))
    return code, _head(metadata, tensors, y)


def _windows(
    metadata: Mapping[str, Any], series: npt.ArrayLike, offsets: npt.ArrayLike | None, stride: int
) -> tuple[Array, npt.NDArray[np.bool_], list[int]]:
    """Scaled rows [S,F] with bad rows zeroed, which rows are bad [S], and the window starts."""
    rows = scaled_rows(metadata, series)
    bad = ~np.isfinite(rows).all(axis=1)
    rows[bad] = 0.0
    starts = window_starts(len(rows), offsets, metadata["window"], metadata["horizon"], stride)
    return rows, bad, starts


def _materialise(rows: Array, starts: Sequence[int], length: int) -> Array:
    """Rows [S,F] -> [N,length,F]."""
    return np.stack([rows[s : s + length] for s in starts])


def predict_reference(
    metadata: Mapping[str, Any],
    tensors: Tensors,
    series: npt.ArrayLike,
    offsets: npt.ArrayLike | None = None,
    *,
    variances: bool = False,
) -> Array:
    """Series [S,F] -> [N,K or W,targets] in raw units; NaN where the W input rows are touched.

    variances: the predictions' log variances in their place.
    """
    W = metadata["window"]
    rows, bad, starts = _windows(metadata, series, offsets, 1)
    targets = _targets(metadata, rows.shape[1])
    if not starts:
        return np.zeros((0, metadata["horizon"] or W, len(targets)))
    _, pred = network(metadata, tensors, _materialise(rows, starts, W))
    pred, log_variance = pred[:, :, : len(targets)], pred[:, :, len(targets) :]
    if variances:
        pred = log_variance
        if metadata.get("scaler") is not None:
            pred = pred + np.log(np.square(np.asarray(metadata["scaler"]["scale"])[targets]))
    elif metadata.get("scaler") is not None:
        scaler = metadata["scaler"]
        pred = pred * np.asarray(scaler["scale"])[targets] + np.asarray(scaler["center"])[targets]
    pred[[bool(bad[s : s + W].any()) for s in starts]] = np.nan
    return pred


def encode_reference(
    metadata: Mapping[str, Any],
    tensors: Tensors,
    series: npt.ArrayLike,
    offsets: npt.ArrayLike | None = None,
) -> Array:
    """Series [S,F] -> [N,C]; NaN where the W input rows are touched."""
    W = metadata["window"]
    rows, bad, starts = _windows(metadata, series, offsets, 1)
    if not starts:
        last = metadata["encoder"][-1]
        size = last.get("proj_size", 0) or last["hidden_size"]
        return np.zeros((0, size * (2 if last.get("bidirectional") else 1)))
    code, _ = network(metadata, tensors, _materialise(rows, starts, W))
    code[[bool(bad[s : s + W].any()) for s in starts]] = np.nan
    return code


def _targets(metadata: Mapping[str, Any], features: int) -> list[int]:
    chosen = metadata.get("targets")
    return list(range(features)) if chosen is None else list(chosen)


def window_errors(
    metadata: Mapping[str, Any],
    tensors: Tensors,
    series: npt.ArrayLike,
    offsets: npt.ArrayLike | None = None,
    stride: int = 1,
) -> tuple[Array, npt.NDArray[np.bool_], list[int]]:
    """Errors [N,K or W,targets] in scaled units, which windows are bad [N], first rows [N].

    With a distribution the log variances follow the errors.
    """
    W, K = metadata["window"], metadata["horizon"]
    rows, bad, starts = _windows(metadata, series, offsets, stride)
    targets = _targets(metadata, rows.shape[1])
    if not starts:
        return np.zeros((0, K or W, len(targets))), np.zeros(0, bool), starts
    whole = _materialise(rows, starts, W + K)  # [N,W+K,F]
    _, pred = network(metadata, tensors, whole[:, :W])
    truth = whole[:, W:] if K else whole
    touched = np.array([bool(bad[s : s + W + K].any()) for s in starts])
    pred[:, :, : len(targets)] -= truth[:, :, targets]
    return pred, touched, starts


def _squared_distance(metadata: Mapping[str, Any], errors: Array) -> Array:
    """Errors [..,D] -> squared Mahalanobis distance [..]."""
    statistics = metadata["error"]
    z = (errors - np.asarray(statistics["mean"])) @ np.asarray(statistics["whiten"]).T
    return (z * z).sum(axis=-1)


def _beyond_usual(metadata: Mapping[str, Any], errors: Array) -> Array:
    """Errors [N,K,targets] -> how far each is beyond its usual size, in its spreads."""
    slope, intercept = (
        np.asarray(metadata["error"][name]).reshape(errors.shape[1:])
        for name in ("slope", "intercept")
    )
    return np.maximum(slope * np.abs(errors) + intercept, 0.0)


def score_reference(
    metadata: Mapping[str, Any],
    tensors: Tensors,
    series: npt.ArrayLike,
    offsets: npt.ArrayLike | None = None,
    *,
    reduction: str = "mse",
    aggregate: str = "window",
    per_feature: bool = False,
    stride: int = 1,
) -> Array:
    """Series [S,F] -> score [S], or [S,targets] per feature; NaN where a row has none."""
    W, K = metadata["window"], metadata["horizon"]
    err, bad, starts = window_errors(metadata, tensors, series, offsets, stride)
    S = len(np.asarray(series))
    if metadata.get("distribution"):
        err, log_variance = np.split(err, 2, axis=2)
    if reduction == "nll":
        v = np.maximum(log_variance, np.log(1e-6))
        own = 0.5 * (v + err * err / np.exp(v))
    elif reduction == "mahalanobis":
        if per_feature:
            raise ValueError("mahalanobis has no per-feature scores")
        if K:
            err = err.reshape(len(err), 1, -1)
        own = _squared_distance(metadata, err)[:, :, None]  # [N,W or 1,1]
    elif reduction == "calibrated":
        own = _beyond_usual(metadata, err)
    else:
        own = err * err if reduction == "mse" else np.abs(err)  # [N,K or W,targets]
    if not per_feature:
        own = own.mean(axis=2, keepdims=True)

    total, count = np.zeros((S, own.shape[2])), np.zeros((S, 1))
    for n, start in enumerate(starts):
        if bad[n]:
            continue
        if K or aggregate == "window":
            total[start + W + K - 1] = own[n].mean(axis=0)
            count[start + W + K - 1] = 1
        elif aggregate == "last":
            total[start + W - 1] = own[n, -1]
            count[start + W - 1] = 1
        else:
            total[start : start + W] += own[n]
            count[start : start + W] += 1
    score = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return score if per_feature else score[:, 0]
