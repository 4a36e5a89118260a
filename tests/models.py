"""Small models made of random numbers, for tests that need no training."""

from __future__ import annotations

from typing import Any

import numpy as np

Model = tuple[dict[str, Any], dict[str, np.ndarray]]


def layer(cell: str, hidden_size: int, **options: Any) -> dict[str, Any]:
    """One entry of `encoder` or `decoder`, without its input_size."""
    defaults = {
        "cell": cell,
        "hidden_size": hidden_size,
        "proj_size": 0,
        "bidirectional": False,
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
        "reset_after": True,
    }
    return defaults | options


def output_size(spec: dict[str, Any]) -> int:
    return (spec["proj_size"] or spec["hidden_size"]) * (2 if spec["bidirectional"] else 1)


def layer_tensors(
    rng: np.random.Generator, prefix: str, spec: dict[str, Any], bias: bool
) -> dict[str, np.ndarray]:
    """Weights as torch initialises them: uniform within 1 / sqrt(hidden_size)."""
    H, P = spec["hidden_size"], spec["proj_size"]
    rows = {"lstm": 4, "gru": 3, "rnn": 1}[spec["cell"]] * H
    shapes: dict[str, tuple[int, ...]] = {}
    for suffix in ("_l0", "_l0_reverse") if spec["bidirectional"] else ("_l0",):
        shapes[f"weight_ih{suffix}"] = (rows, spec["input_size"])
        shapes[f"weight_hh{suffix}"] = (rows, P or H)
        if bias:
            shapes[f"bias_ih{suffix}"] = shapes[f"bias_hh{suffix}"] = (rows,)
        if P:
            shapes[f"weight_hr{suffix}"] = (P, H)
    bound = H**-0.5
    return {prefix + k: rng.uniform(-bound, bound, s).astype(np.float32) for k, s in shapes.items()}


def random_model(
    rng: np.random.Generator,
    encoder: list[dict[str, Any]],
    decoder: list[dict[str, Any]] | None = None,
    *,
    features: int = 3,
    window: int = 5,
    horizon: int = 1,
    targets: list[int] | None = None,
    bias: bool = True,
    scaler: dict[str, Any] | None = None,
    error: bool = False,
    head: list[dict[str, Any]] | None = None,
    gaussian: bool = False,
) -> Model:
    """Metadata and tensors; a model with a decoder reconstructs (horizon 0)."""
    tensors: dict[str, np.ndarray] = {}
    size = features
    parts: dict[str, list[dict[str, Any]]] = {"encoder": [], "decoder": []}
    for part, layers in (("encoder", encoder), ("decoder", decoder or [])):
        for n, given in enumerate(layers):
            spec = {**given, "input_size": size}
            tensors |= layer_tensors(rng, f"{part}.{n}.", spec, bias)
            parts[part].append(spec)
            size = output_size(spec)
    horizon = 0 if decoder else horizon
    D = len(targets or range(features)) * (horizon or 1)
    given = [{"output_size": D * (1 + gaussian)}] if head is None else head
    for n, dense in enumerate(given):
        if "output_size" not in dense:
            continue
        prefix = "head." if head is None else f"head.{n}."
        rows, bound = dense["output_size"], size**-0.5
        tensors[prefix + "weight"] = rng.uniform(-bound, bound, (rows, size)).astype(np.float32)
        if bias:
            tensors[prefix + "bias"] = rng.uniform(-bound, bound, rows).astype(np.float32)
        size = rows
    statistics = None
    if error:
        statistics = {
            "mean": rng.normal(0, 0.1, D).tolist(),
            "whiten": np.tril(rng.normal(0, 1, (D, D)) + 2 * np.eye(D)).tolist(),
        }
        if horizon and scaler is not None:
            own = np.random.default_rng(D)
            statistics["slope"] = own.uniform(0.5, 20.0, D).tolist()
            statistics["intercept"] = own.uniform(-8.0, 0.0, D).tolist()
    metadata = {
        "format": 1,
        "window": window,
        "horizon": horizon,
        **parts,
        "features": None,
        "targets": targets,
        "scaler": scaler,
        "error": statistics,
        "smoothing": None,
        "threshold": None,
        "extra": {},
    }
    if head is not None or gaussian:
        more = {"head": head, "distribution": "gaussian" if gaussian else None}
        metadata |= {"format": 2, **more}
    return metadata, tensors


FORECASTERS: dict[str, dict[str, Any]] = {
    "lstm": {"encoder": [layer("lstm", 9)]},
    "lstm16": {"encoder": [layer("lstm", 16)], "features": 7, "window": 7},
    "lstm_no_bias": {"encoder": [layer("lstm", 5)], "bias": False},
    "lstm_window1": {"encoder": [layer("lstm", 8)], "window": 1},
    "lstm_horizon3": {"encoder": [layer("lstm", 8)], "horizon": 3},
    "lstm_targets": {
        "encoder": [layer("lstm", 8)],
        "features": 5,
        "targets": [4, 1],
        "horizon": 2,
    },
    "lstm_projected": {"encoder": [layer("lstm", 17, proj_size=5), layer("lstm", 6, proj_size=3)]},
    "lstm_bidirectional": {"encoder": [layer("lstm", 7, bidirectional=True)]},
    "lstm_bidirectional_stack": {
        "encoder": [layer("lstm", 6, bidirectional=True), layer("lstm", 9, bidirectional=True)]
    },
    "lstm_bidirectional_projected": {
        "encoder": [layer("lstm", 9, bidirectional=True, proj_size=4), layer("lstm", 5)]
    },
    "lstm_64_32": {"encoder": [layer("lstm", 64), layer("lstm", 32)], "window": 9},
    "lstm_relu": {"encoder": [layer("lstm", 6, activation="relu")]},
    "gru": {"encoder": [layer("gru", 9)]},
    "gru_before": {"encoder": [layer("gru", 17, reset_after=False)]},
    "gru_before_stack": {
        "encoder": [layer("gru", 6, reset_after=False, bidirectional=True), layer("gru", 33)],
        "window": 4,
    },
    "gru_stack3": {"encoder": [layer("gru", 6), layer("gru", 7), layer("gru", 8)]},
    "mixed": {
        "encoder": [layer("lstm", 8), layer("gru", 5, recurrent_activation="hard_sigmoid")],
        "horizon": 2,
    },
    "rnn": {"encoder": [layer("rnn", 5)]},
    "rnn_relu_stack": {
        "encoder": [layer("rnn", 17, activation="relu"), layer("rnn", 9, activation="relu")],
        "features": 7,
        "window": 6,
    },
}

AUTOENCODERS: dict[str, dict[str, Any]] = {
    "ae_lstm": {"encoder": [layer("lstm", 8)], "decoder": [layer("lstm", 8)]},
    "ae_relu_stack": {
        "encoder": [layer("lstm", 16, activation="relu"), layer("lstm", 8, activation="relu")],
        "decoder": [layer("lstm", 8, activation="relu"), layer("lstm", 16, activation="relu")],
        "features": 9,
        "window": 6,
    },
    "ae_window1": {
        "encoder": [layer("lstm", 7)],
        "decoder": [layer("lstm", 7)],
        "window": 1,
    },
    "ae_gru_before": {
        "encoder": [layer("gru", 9, reset_after=False)],
        "decoder": [layer("gru", 9, reset_after=False)],
    },
    "ae_mixed_bidirectional": {
        "encoder": [layer("lstm", 5, bidirectional=True), layer("gru", 4, bidirectional=True)],
        "decoder": [layer("gru", 6, bidirectional=True), layer("lstm", 7, proj_size=3)],
    },
    "rnn_autoencoder": {
        "encoder": [layer("rnn", 9), layer("gru", 4)],
        "decoder": [layer("rnn", 4, activation="relu"), layer("rnn", 8)],
    },
}

MODELS = FORECASTERS | AUTOENCODERS


def dense(output_size: int | None, activation: str = "linear", **slope: float) -> dict[str, Any]:
    """One layer of a head; without an output size the activation alone."""
    size = {} if output_size is None else {"output_size": output_size}
    return {**size, "activation": activation, **slope}


# Heads of several layers, by the sizes that kernels find awkward.
HEADS: dict[str, dict[str, Any]] = {
    "relu_64_32": {
        "encoder": [layer("lstm", 64)],
        "head": [dense(64, "relu"), dense(32, "relu"), dense(3)],
        "window": 7,
    },
    "one_unit": {
        "encoder": [layer("lstm", 1)],
        "head": [dense(1, "tanh"), dense(1, "sigmoid"), dense(3)],
    },
    "four_layers": {
        "encoder": [layer("gru", 17)],
        "head": [dense(3, "gelu"), dense(17, "gelu_tanh"), dense(33, "sigmoid"), dense(6, "tanh")],
        "horizon": 2,
    },
    "leaky": {
        "encoder": [layer("lstm", 9)],
        "head": [dense(33, "leaky_relu", slope=0.25), dense(64, "leaky_relu", slope=-2), dense(2)],
        "features": 5,
        "targets": [4, 1],
    },
    "activation_first": {
        "encoder": [layer("rnn", 5)],
        "head": [dense(None, "relu"), dense(7), dense(None, "gelu"), dense(3, "sigmoid")],
        "bias": False,
    },
    "ae_per_step": {
        "encoder": [layer("lstm", 9), layer("lstm", 4)],
        "decoder": [layer("lstm", 4), layer("lstm", 17)],
        "head": [dense(33, "gelu"), dense(3, "sigmoid")],
    },
    "ae_bidirectional": {
        "encoder": [layer("gru", 5, bidirectional=True)],
        "decoder": [layer("lstm", 6, bidirectional=True)],
        "head": [dense(None, "tanh"), dense(17, "relu"), dense(3)],
        "window": 6,
    },
    "gaussian": {"encoder": [layer("lstm", 9)], "gaussian": True, "horizon": 3},
    "gaussian_layers": {
        "encoder": [layer("gru", 17, bidirectional=True)],
        "head": [dense(33, "gelu"), dense(8)],
        "gaussian": True,
        "features": 5,
        "targets": [3, 0],
        "horizon": 2,
    },
    "gaussian_scaled": {
        "encoder": [layer("lstm", 16)],
        "gaussian": True,
        "scaler": {
            "kind": "standard",
            "center": [1.0, -2.0, 0.5],
            "scale": [2.0, 0.25, 1.0],
            "constant": [],
        },
    },
}
