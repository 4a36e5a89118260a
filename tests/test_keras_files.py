"""Files of Keras read without Keras: its answers, what is refused by layer, and old files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests.keras_files import (
    GOLDEN,
    TOLERANCE,
    as_series,
    layer_of,
    predicted,
    with_config,
)

h5py = pytest.importorskip("h5py", reason="reads .keras files")

CASES = ("stacked", "autoencoder", "gru_before", "gru_after", "both_ways", "functional")


@pytest.fixture(scope="module")
def answers() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "answers.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("case", CASES)
def test_keras_file_answers_what_keras_does(
    case: str, answers: dict[str, np.ndarray], isa: str
) -> None:
    window = 6 if case == "gru_after" else None  # its input is [None, None, 4]
    model = sc.SequenceModel.from_keras(GOLDEN / f"{case}.keras", window=window)
    x, y = answers[f"{case}/x"], answers[f"{case}/y"]
    np.testing.assert_allclose(predicted(model, x).reshape(y.shape), y, rtol=0, atol=TOLERANCE)
    assert model.horizon == {"autoencoder": 0, "gru_after": 2}.get(case, 1)


def test_keras_file_two_outputs_are_mean_and_log_variance(answers: dict[str, np.ndarray]) -> None:
    model = sc.SequenceModel.from_keras(GOLDEN / "functional.keras")
    x, y1 = answers["functional/x"], answers["functional/y1"]
    got = model.predict_log_variance(*as_series(model, x))
    np.testing.assert_allclose(got[:, 0], y1, rtol=0, atol=TOLERANCE)
    assert model.metadata["distribution"] == "gaussian"


def test_keras_file_of_the_old_format(answers: dict[str, np.ndarray]) -> None:
    model = sc.SequenceModel.from_keras(str(GOLDEN / "both_ways.h5"))
    x, y = answers["both_ways/x"], answers["both_ways/y"]
    np.testing.assert_allclose(predicted(model, x)[:, 0], y, rtol=0, atol=TOLERANCE)


def test_keras_file_arguments(answers: dict[str, np.ndarray]) -> None:
    path = GOLDEN / "stacked.keras"
    features = ["a", "b", "c", "d"]
    center, scale = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 0.5, 4.0])
    scaler = {"kind": "minmax", "center": center.tolist(), "scale": scale.tolist()}
    model = sc.SequenceModel.from_keras(
        path, features=features, targets=["d", "c", "b", "a"], scaler=scaler
    )
    assert model.features == features
    assert model.metadata["targets"] == [3, 2, 1, 0]
    raw = (answers["stacked/x"] * scale + center).astype(np.float32)
    expected = answers["stacked/y"] * scale[::-1] + center[::-1]
    np.testing.assert_allclose(predicted(model, raw)[:, 0], expected, rtol=0, atol=4 * TOLERANCE)
    with pytest.raises(ValueError, match="window: expected 6, which the model's input tells, got"):
        sc.SequenceModel.from_keras(path, window=7)
    with pytest.raises(ValueError, match="window: expected W"):
        sc.SequenceModel.from_keras(GOLDEN / "gru_after.keras")
    with pytest.raises(ValueError, match=r"horizon: expected 2, the rows that the model answers"):
        sc.SequenceModel.from_keras(GOLDEN / "gru_after.keras", window=6, horizon=1)


def test_keras_file_saved_and_loaded(tmp_path: Path, answers: dict[str, np.ndarray]) -> None:
    model = sc.SequenceModel.from_keras(GOLDEN / "autoencoder.keras")
    model.save(tmp_path / "model.safetensors")
    again = sc.SequenceModel.load(tmp_path / "model.safetensors")
    x = answers["autoencoder/x"]
    np.testing.assert_array_equal(predicted(again, x), predicted(model, x))


def test_keras_file_needs_neither_keras_nor_torch() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'keras', 'pickle5'): sys.modules[name] = None\n"
        "import slidecell as sc\n"
        f"print(sc.SequenceModel.from_keras({str(GOLDEN / 'stacked.keras')!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.startswith("SequenceModel(4 features, lstm 8 -> lstm 6"), done.stderr


def layer(kind: str, **options: Any) -> Any:
    """Change options of the first layer of a class."""
    return lambda config: layer_of(config, kind)["config"].update(options)


def become(kind: str, **given: Any) -> Any:
    """Let the Dropout be a layer of another class."""

    def change(config: dict[str, Any]) -> None:
        found = layer_of(config, "Dropout")
        found.update({"class_name": kind, **given})
        found["config"].update(given.get("config", {}))

    return change


@pytest.mark.parametrize(
    ("case", "change", "text"),
    [
        ("stacked", become("Lambda"), "'dropout' is a Lambda, whose code slidecell never runs"),
        (
            "stacked",
            become("Mine", module="mine.layers", registered_name="mine>Mine"),
            r"'dropout' is a custom object \(mine>Mine\)",
        ),
        ("stacked", become("Dropout", module="os"), r"'dropout' is a custom object \(os.Dropout\)"),
        ("stacked", become("Masking"), "'dropout' masks rows .* leave it out: slidecell skips"),
        ("stacked", become("LayerNormalization"), "normalises each vector by itself; leave it out"),
        ("stacked", become("Conv1D"), "mixes neighbouring rows"),
        ("stacked", become("PReLU"), "is a PReLU, which models do not have"),
        ("stacked", layer("LSTM", stateful=True), "'lstm' keeps its state .* stateful=False"),
        ("stacked", layer("LSTM", go_backwards=True), "'lstm' reads the window from its end"),
        ("stacked", layer("LSTM", activation="elu"), "'lstm' has activation='elu'; expected one"),
        (
            "stacked",
            layer("LSTM", recurrent_activation="softsign"),
            "has recurrent_activation='softsign'; expected one of sigmoid, hard_sigmoid",
        ),
        (
            "stacked",
            layer("LSTM", activation={"class_name": "function", "module": "builtins", "config": "f",
                                      "registered_name": "mine>f"}),
            r"'lstm' has a custom activation \(f\), whose code slidecell never runs",
        ),
        ("stacked", layer("Dense", activation="hard_sigmoid"), "'dense' has activation='hard_sig"),
        ("stacked", layer("Dense", activation="softmax"), "has activation='softmax'"),
        ("stacked", layer("LSTM", dtype={"class_name": "QuantizedDTypePolicy",
                                         "config": {"name": "int8_from_float32"}}),
         "'lstm' computes in 'int8_from_float32'; save the model before it is quantized"),
        ("both_ways", layer("Bidirectional", merge_mode="sum"), "merges its directions by 'sum'"),
        ("autoencoder", layer("RepeatVector", n=7), "repeats a vector 7 times, the window has 6"),
        ("autoencoder", layer("RepeatVector", n=0), "'repeat_vector' has n=0; expected a whole"),
        ("autoencoder", layer("LSTM", return_sequences=False), "'bottleneck' reads a vector"),
        ("gru_after", layer("Reshape", target_shape=[3, 4]), r"makes \[3, 4\] of 8 numbers"),
    ],
)  # fmt: skip
def test_keras_file_refused_by_layer(case: str, change: Any, text: str, tmp_path: Path) -> None:
    path = with_config(tmp_path / "changed.keras", case, change)
    with pytest.raises(ValueError, match=text):
        sc.SequenceModel.from_keras(path, window=6)


def test_keras_file_mask_state_and_branches(tmp_path: Path) -> None:
    def call(config: dict[str, Any], name: str) -> dict[str, Any]:
        layers = {layer["name"]: layer for layer in config["config"]["layers"]}
        found: dict[str, Any] = layers[name]["inbound_nodes"][0]
        return found

    def masked(config: dict[str, Any]) -> None:
        tensor = call(config, "bottleneck")["args"][0]
        call(config, "bottleneck")["kwargs"]["mask"] = {"of": tensor, "class_name": "x"}

    def started(config: dict[str, Any]) -> None:
        inner = call(config, "bottleneck")
        inner["kwargs"]["initial_state"] = [inner["args"][0]]

    def training(config: dict[str, Any]) -> None:
        call(config, "bottleneck")["kwargs"]["training"] = True

    def circle(config: dict[str, Any]) -> None:
        history = call(config, "repeat_vector")["args"][0]["config"]["keras_history"]
        history[0] = "time_distributed"

    for change, text in (
        (masked, "'bottleneck' joins 2 tensors"),
        (started, "'bottleneck' starts from the state of another layer"),
        (training, "'bottleneck' is called with training=True"),
        (circle, "a chain of layers, got a circle"),
    ):
        path = with_config(tmp_path / "changed.keras", "autoencoder", change)
        with pytest.raises(ValueError, match=text):
            sc.SequenceModel.from_keras(path)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_keras_file_of_keras_2(libver: str, tmp_path: Path, answers: dict[str, np.ndarray]) -> None:
    """As TensorFlow's Keras 2 wrote it: other names of options, tensors by place."""
    path = tmp_path / "old.h5"
    rng = np.random.default_rng(3)
    shapes = {"gru/gru/gru_cell/kernel:0": (4, 9), "gru/gru/gru_cell/recurrent_kernel:0": (3, 9),
              "gru/gru/gru_cell/bias:0": (2, 9), "dense/dense/kernel:0": (3, 4)}  # fmt: skip
    weights = {name: rng.normal(0, 0.4, shape).astype("f4") for name, shape in shapes.items()}
    gru = {"name": "gru", "units": 3, "activation": "tanh", "recurrent_activation": "sigmoid",
           "use_bias": True, "return_sequences": False, "reset_after": True, "time_major": False,
           "go_backwards": False, "stateful": False, "dtype": "float32"}  # fmt: skip
    config = {
        "class_name": "Functional",
        "config": {
            "name": "model",
            "layers": [
                {"class_name": "InputLayer", "name": "input_1", "inbound_nodes": [],
                 "config": {"batch_input_shape": [None, 6, 4], "name": "input_1"}},
                {"class_name": "GRU", "config": gru, "name": "gru",
                 "inbound_nodes": [[["input_1", 0, 0, {}]]]},
                {"class_name": "Dense", "name": "dense", "inbound_nodes": [[["gru", 0, 0, {}]]],
                 "config": {"name": "dense", "units": 4, "use_bias": False}},
            ],
            "input_layers": [["input_1", 0, 0]],
            "output_layers": [["dense", 0, 0]],
        },
    }  # fmt: skip

    def write(version: str) -> None:
        with h5py.File(path, "w", libver=libver) as file:
            file.attrs["keras_version"] = version.encode()
            file.attrs["model_config"] = json.dumps(config).encode()
            for name in ("gru", "dense"):
                group = file.create_group(f"model_weights/{name}")
                mine = [key for key in weights if key.startswith(f"{name}/")]
                group.attrs["weight_names"] = [key.split("/", 1)[1].encode() for key in mine]
                for key in mine:
                    group[key.split("/", 1)[1]] = weights[key]

    write("2.11.0")
    model = sc.SequenceModel.from_keras(path)
    kernel, recurrent, bias, head = weights.values()
    order = np.r_[3:6, 0:3, 6:9]  # z r h -> r z n
    ours = sc.GRU(4, 3)
    ours.load_state_dict(
        {
            "weight_ih_l0": np.ascontiguousarray(kernel.T[order]),
            "weight_hh_l0": np.ascontiguousarray(recurrent.T[order]),
            "bias_ih_l0": bias[0][order],
            "bias_hh_l0": bias[1][order],
        }
    )
    x = answers["stacked/x"]
    expected = ours.forward(x)[0][:, -1] @ head
    np.testing.assert_allclose(predicted(model, x)[:, 0], expected, rtol=0, atol=TOLERANCE)

    gru["recurrent_activation"] = "hard_sigmoid"
    write("2.11.0")
    with pytest.raises(ValueError, match="'gru' has gates hard_sigmoid of Keras 2"):
        sc.SequenceModel.from_keras(path)
    write("3.0.0")
    sc.SequenceModel.from_keras(path)  # the same name, ours
