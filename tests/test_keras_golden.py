"""Keras' own answers (tests/golden): cells, the autoencoder of windows 1 and 6, a stacked model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests.reference import encode_reference, predict_reference

GOLDEN = np.load(Path(__file__).parent / "golden" / "keras_layers.npz")
TOLERANCE = 1e-6  # absolute, Keras in float32 being as far from the truth as we may be


def from_keras(cell: str, kernel: Any, recurrent: Any, bias: Any) -> dict[str, np.ndarray]:
    """Transpose, and for GRU permute Keras' gates z r h to torch's r z n; i f c o is i f g o."""
    ih, hh = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    tensors = {"weight_ih": kernel.T, "weight_hh": recurrent.T, "bias_ih": ih, "bias_hh": hh}
    if cell == "gru":
        H = recurrent.shape[0]
        order = np.r_[H : 2 * H, :H, 2 * H : 3 * H]
        tensors = {name: tensor[order] for name, tensor in tensors.items()}
    return {f"{name}_l0": np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("lstm_tanh", {}),
        ("lstm_relu", {"activation": "relu"}),
        ("lstm_hardsig", {"recurrent_activation": "hard_sigmoid"}),
        ("gru_after", {"reset_after": True}),
        ("gru_before", {"reset_after": False}),
        ("gru_before_relu", {"reset_after": False, "activation": "relu"}),
    ],
)
def test_golden_cell(isa: str, case: str, options: dict[str, Any]) -> None:
    arrays = {k: GOLDEN[f"{case}/{k}"] for k in ("x", "y", "kernel", "recurrent_kernel", "bias")}
    cell = case.split("_", maxsplit=1)[0]
    features, hidden = arrays["x"].shape[2], arrays["y"].shape[2]
    ours: Any = {"lstm": sc.LSTM, "gru": sc.GRU}[cell](features, hidden, **options)
    ours.load_state_dict(
        from_keras(cell, arrays["kernel"], arrays["recurrent_kernel"], arrays["bias"])
    )
    out, _ = ours.forward(arrays["x"])
    np.testing.assert_allclose(out, arrays["y"], rtol=0, atol=TOLERANCE)


def keras_model(
    case: str, layers: list[str], activation: str, horizon: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Metadata and tensors from `get_weights()`: three arrays per layer, then the Dense head."""
    names = sorted(k.split("/")[1] for k in GOLDEN.files if k.startswith(f"{case}/w"))
    weights = [GOLDEN[f"{case}/{k}"] for k in names]
    parts: dict[str, list[Any]] = {"encoder": [], "decoder": []}
    tensors: dict[str, np.ndarray] = {}
    for n, part in enumerate(layers):
        kernel, recurrent, bias = weights[3 * n : 3 * n + 3]
        prefix = f"{part}.{len(parts[part])}."
        tensors |= {prefix + k: v for k, v in from_keras("lstm", kernel, recurrent, bias).items()}
        parts[part].append(
            {
                "cell": "lstm",
                "input_size": kernel.shape[0],
                "hidden_size": recurrent.shape[0],
                "proj_size": 0,
                "bidirectional": False,
                "activation": activation,
                "recurrent_activation": "sigmoid",
                "reset_after": True,
            }
        )
    tensors["head.weight"] = np.ascontiguousarray(weights[-2].T)
    tensors["head.bias"] = weights[-1]
    metadata = {
        "format": 1,
        "window": GOLDEN[f"{case}/x"].shape[1],
        "horizon": horizon,
        **parts,
        "features": None,
        "targets": None,
        "scaler": None,
        "error": None,
        "smoothing": None,
        "threshold": None,
        "extra": {},
    }
    return metadata, tensors


@pytest.mark.parametrize("window", [1, 6])
def test_golden_autoencoder(isa: str, window: int) -> None:
    """LSTM 16 -> 8 (the code) -> RepeatVector -> 8 -> 16 -> Dense, relu, 6,381 parameters."""
    case = f"autoencoder{window}"
    layers = ["encoder", "encoder", "decoder", "decoder"]
    metadata, tensors = keras_model(case, layers, "relu", 0)
    assert sum(t.size for k, t in tensors.items() if "bias_hh" not in k) == 6381
    x, y, code = (GOLDEN[f"{case}/{k}"] for k in ("x", "y", "code"))
    N, W, F = x.shape
    series, offsets = x.reshape(N * W, F), np.arange(N + 1) * W
    model = sc.SequenceModel(metadata, tensors)
    for got, truth, keras in (
        (model.predict(series, offsets), predict_reference, y),
        (model.encode(series, offsets), encode_reference, code),
    ):
        np.testing.assert_allclose(got, keras, rtol=0, atol=TOLERANCE)
        want = truth(metadata, tensors, series, offsets)
        np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE)
    score = model.score(series, offsets)[W - 1 :: W]
    np.testing.assert_allclose(score, ((y - x) ** 2).mean(axis=(1, 2)), rtol=1e-5, atol=1e-7)


def test_golden_stacked_forecaster(isa: str) -> None:
    """LSTM 64 -> LSTM 32 -> Dense; each window is an entity, with a target row that is not seen."""
    metadata, tensors = keras_model("stacked", ["encoder", "encoder"], "tanh", 1)
    x, y = GOLDEN["stacked/x"], GOLDEN["stacked/y"]
    N, W, F = x.shape
    series = np.concatenate([x, np.zeros((N, 1, F), np.float32)], axis=1).reshape(-1, F)
    offsets = np.arange(N + 1) * (W + 1)
    pred = sc.SequenceModel(metadata, tensors).predict(series, offsets)
    np.testing.assert_allclose(pred[:, 0], y, rtol=0, atol=TOLERANCE)
