"""What an installed wheel must do with numpy alone: `.ci/wheel` and cibuildwheel run this."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import slidecell as sc

OLD = Path(__file__).parent / "golden" / "v01"


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def lstm_is_right(isa: str) -> None:
    sc.set_isa(isa)
    rng = np.random.default_rng(0)
    layer = sc.LSTM(3, 5)
    shapes = {"weight_ih": (20, 3), "weight_hh": (20, 5), "bias_ih": (20,), "bias_hh": (20,)}
    weights = {f"{name}_l0": rng.normal(0, 0.5, shape) for name, shape in shapes.items()}
    layer.load_state_dict(weights)
    x = rng.normal(size=(4, 6, 3))
    out, _ = layer.forward(x.astype(np.float32))
    h, c = np.zeros((4, 5)), np.zeros((4, 5))
    for t in range(6):
        gates = x[:, t] @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]
        gates += h @ weights["weight_hh_l0"].T + weights["bias_hh_l0"]
        i, f, g, o = np.split(gates, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        assert np.abs(out[:, t] - h).max() < 1e-5, isa


def model_and_stream_agree(isa: str) -> None:
    sc.set_isa(isa)
    model = sc.SequenceModel.load(OLD / "models" / "lstm.safetensors")
    series = np.random.default_rng(1).normal(size=(60, model.input_size)).astype(np.float32)
    scores = model.score(series)
    stream = model.stream()
    live = np.array([stream.push(row) for row in series], np.float32)
    assert np.isfinite(scores).sum() > 30, isa
    assert np.array_equal(scores, live, equal_nan=True), isa


def main() -> None:
    assert "torch" not in sys.modules
    for isa in sc.available_isas():
        lstm_is_right(isa)
        model_and_stream_agree(isa)
    assert (Path(sc.get_include()) / "slidecell" / "slidecell.hpp").exists()
    assert list(Path(sc.get_cmake_dir()).glob("slidecell-config.cmake"))
    print(f"slidecell {sc.__version__} in {Path(sc.__file__).parent}: {sc.available_isas()}")


if __name__ == "__main__":
    main()
