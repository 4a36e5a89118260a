"""Models of Keras in memory and in the files that they save: Keras' own answers, or the layer."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests.keras_files import TOLERANCE, as_series, predicted

os.environ.setdefault("KERAS_BACKEND", "torch")  # read when Keras is imported
if importlib.util.find_spec("keras") is None:
    pytest.skip("Keras is not installed: see .ci/adapters", allow_module_level=True)
pytest.importorskip("h5py", reason="writes and reads .keras files")

import keras
from keras import layers

GOLDEN = np.load(Path(__file__).parent / "golden" / "keras_layers.npz")
W, F = 6, 4

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Of Keras itself, with newer NumPy and torch.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*legacy:UserWarning"),
]


def sequential(*parts: Any, window: int | None = W) -> Any:
    return keras.Sequential([keras.Input((window, F)), *parts])


def functional(run: Callable[[Any], Any]) -> Any:
    x = keras.Input((W, F))
    return keras.Model(x, run(x))


def repeated(code: Any) -> Any:
    """An autoencoder's second half."""
    y = layers.LSTM(5, return_sequences=True)(layers.RepeatVector(W)(code))
    return layers.TimeDistributed(layers.Dense(F))(y)


def state(x: Any) -> Any:
    """The decoder reads the encoder's h, which is its second output."""
    return repeated(layers.LSTM(5, return_sequences=True, return_state=True)(x)[1])


def shared(x: Any) -> Any:
    """A dense layer that is called before and behind the recurrent layer."""
    dense = layers.Dense(F)
    return dense(layers.GRU(F)(dense(x)))


def adapted() -> Any:
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(1).normal(2.0, 3.0, (40, W, F)))
    return layer


FORMS: dict[str, Callable[[], Any]] = {
    "lstm": lambda: sequential(layers.LSTM(5), layers.Dense(F)),
    "lstm hard": lambda: sequential(
        layers.LSTM(5, recurrent_activation="hard_sigmoid", activation="sigmoid"), layers.Dense(F)
    ),
    "gru": lambda: sequential(layers.GRU(5), layers.Dense(F)),
    "gru linear": lambda: sequential(layers.GRU(5, activation="linear"), layers.Dense(F)),
    "gru before": lambda: sequential(layers.GRU(5, reset_after=False), layers.Dense(F)),
    "gru no bias": lambda: sequential(layers.GRU(5, use_bias=False), layers.Dense(F)),
    "rnn": lambda: sequential(layers.SimpleRNN(5), layers.Dense(F, use_bias=False)),
    "cell": lambda: sequential(layers.RNN(layers.GRUCell(5)), layers.Dense(F)),
    "both ways": lambda: sequential(layers.Bidirectional(layers.LSTM(5)), layers.Dense(F)),
    "both ways of cells": lambda: sequential(
        layers.Bidirectional(layers.RNN(layers.LSTMCell(3), return_sequences=True)),
        layers.Bidirectional(layers.GRU(4, reset_after=False)),
        layers.Dense(F),
    ),
    "both ways given": lambda: sequential(
        layers.Bidirectional(
            layers.SimpleRNN(3), backward_layer=layers.SimpleRNN(3, go_backwards=True)
        ),
        layers.Dense(F),
    ),
    "autoencoder": lambda: functional(lambda x: repeated(layers.LSTM(3)(x))),
    "autoencoder flat": lambda: functional(
        lambda x: repeated(layers.Flatten()(layers.Reshape((3,))(layers.LSTM(3)(x))))
    ),
    "autoencoder by state": lambda: functional(state),
    "head of layers": lambda: sequential(
        layers.LSTM(5),
        layers.Dense(6, activation="tanh"),
        layers.Dropout(0.5),
        layers.Dense(7),
        layers.ReLU(),
        layers.Dense(5),
        layers.LeakyReLU(negative_slope=0.2),
        layers.Dense(F),
        layers.Activation("sigmoid"),
    ),
    "leaky and gelu": lambda: sequential(
        layers.LSTM(5), layers.Dense(6, activation="leaky_relu"), layers.Dense(6, "gelu"),
        layers.ReLU(negative_slope=0.3), layers.Dense(F),
    ),
    "scaled": lambda: sequential(
        adapted(), layers.Rescaling([1.0, 2.0, 3.0, 4.0], 0.5),
        layers.Normalization(axis=None, mean=1.0, variance=4.0),
        layers.Normalization(mean=[1.0] * F, variance=[2.0] * F, invert=True),
        layers.BatchNormalization(center=False), layers.Dense(3),
        layers.BatchNormalization(scale=False), layers.LSTM(5), layers.BatchNormalization(),
        layers.Dense(F),
    ),
    "noise": lambda: sequential(
        layers.GaussianNoise(0.3), layers.LSTM(5, dropout=0.2, return_sequences=True),
        layers.SpatialDropout1D(0.2), layers.GRU(4, recurrent_dropout=0.3), layers.Dense(F),
    ),
    "three rows": lambda: sequential(
        layers.GRU(5), layers.Dense(3 * F), layers.Reshape((-1, F))
    ),
    "last step": lambda: functional(
        lambda x: layers.Dense(F)(layers.GRU(5, return_sequences=True)(x)[:, -1, :])
    ),
    "model inside": lambda: sequential(
        sequential(layers.LSTM(5, return_sequences=True), layers.Dropout(0.1)),
        layers.GRU(3), keras.Sequential([keras.Input((3,)), layers.Dense(F)]),
    ),
    "model called": lambda: functional(sequential(layers.LSTM(5), layers.Dense(F))),
    "called twice": lambda: functional(shared),
    "double": lambda: sequential(layers.LSTM(5, dtype="float64"), layers.Dense(F, dtype="float64")),
}  # fmt: skip


def randomised(model: Any, seed: int = 0) -> Any:
    """The model with weights that leave no gate and no bias as they begin."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "float" in str(variable.dtype):
            noise = rng.normal(0, 0.3, variable.shape)
            value = np.asarray(keras.ops.convert_to_numpy(variable)) + noise
            variable.assign(np.abs(value) + 0.1 if "variance" in variable.path else value)
    return model


def answers_of(model: Any, x: np.ndarray) -> list[np.ndarray]:
    answered = model(x, training=False)
    several = answered if isinstance(answered, list) else [answered]
    return [keras.ops.convert_to_numpy(one) for one in several]


@pytest.mark.parametrize("form", FORMS)
def test_keras_form_in_memory_and_from_its_file(form: str, tmp_path: Path) -> None:
    model = randomised(FORMS[form]())
    x = np.random.default_rng(2).normal(0, 1, (5, W, F)).astype(np.float32)
    (y,) = answers_of(model, x)
    live = sc.SequenceModel.from_keras(model)
    np.testing.assert_allclose(predicted(live, x).reshape(y.shape), y, rtol=0, atol=TOLERANCE)
    kinds = ["model.keras"] if "inside" in form or "called" in form else ["model.keras", "model.h5"]
    for name in kinds:
        model.save(tmp_path / name)
        saved = sc.SequenceModel.from_keras(tmp_path / name)
        assert saved.metadata == live.metadata
        assert saved.tensors.keys() == live.tensors.keys()
        for key, tensor in live.tensors.items():
            np.testing.assert_array_equal(saved.tensors[key], tensor)


def test_keras_two_outputs(tmp_path: Path) -> None:
    x = keras.Input((W, F))
    y = layers.Dense(7, activation="tanh")(layers.LSTM(5)(x))
    model = randomised(keras.Model(x, [layers.Dense(F)(y), layers.Dense(F)(y)]))
    model.save(tmp_path / "model.keras")
    rows = np.random.default_rng(3).normal(0, 1, (5, W, F)).astype(np.float32)
    mean, log_variance = answers_of(model, rows)
    for source in (model, tmp_path / "model.keras"):
        compiled = sc.SequenceModel.from_keras(source)
        np.testing.assert_allclose(predicted(compiled, rows)[:, 0], mean, rtol=0, atol=TOLERANCE)
        got = compiled.predict_log_variance(*as_series(compiled, rows))
        np.testing.assert_allclose(got[:, 0], log_variance, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("window", [1, 6])
def test_keras_published_autoencoder(window: int, tmp_path: Path) -> None:
    """LSTM 16 -> 8 -> RepeatVector -> 8 -> 16 -> Dense with relu cells, of 29 columns."""
    case = f"autoencoder{window}"
    x = keras.Input((window, 29))
    y = layers.LSTM(16, activation="relu", return_sequences=True)(x)
    y = layers.RepeatVector(window)(layers.LSTM(8, activation="relu", name="bottleneck")(y))
    y = layers.LSTM(8, activation="relu", return_sequences=True)(y)
    y = layers.LSTM(16, activation="relu", return_sequences=True)(y)
    model = keras.Model(x, layers.TimeDistributed(layers.Dense(29))(y))
    check_golden(model, case, tmp_path)


def test_keras_published_forecaster(tmp_path: Path) -> None:
    """LSTM 64 -> Dropout -> LSTM 32 -> Dropout -> Dense."""
    model = keras.Sequential(
        [
            keras.Input((30, F)),
            layers.LSTM(64, return_sequences=True),
            layers.Dropout(0.2),
            layers.LSTM(32, return_sequences=False),
            layers.Dropout(0.2),
            layers.Dense(F),
        ]
    )
    model.compile(optimizer="adam", loss="mse")  # its state lies in the file, too
    check_golden(model, "stacked", tmp_path)


def check_golden(model: Any, case: str, folder: Path) -> None:
    names = sorted(key for key in GOLDEN.files if key.startswith(f"{case}/w"))
    model.set_weights([GOLDEN[name] for name in names])
    x, y = GOLDEN[f"{case}/x"], GOLDEN[f"{case}/y"]
    for name in ("model.keras", "model.h5"):
        model.save(folder / name)
        compiled = sc.SequenceModel.from_keras(folder / name)
        got = predicted(compiled, x).reshape(y.shape)
        np.testing.assert_allclose(got, y, rtol=0, atol=TOLERANCE)
    assert sc.SequenceModel.from_keras(model).metadata == compiled.metadata


def custom() -> Any:
    class Mine(layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    return sequential(layers.LSTM(5), Mine(name="mine"), layers.Dense(F))


def doubled(x: Any) -> Any:
    return 2 * x


def joined(x: Any) -> Any:
    return layers.Dense(F)(layers.Concatenate()([layers.LSTM(3)(x), layers.GRU(3)(x)]))


def continued(x: Any) -> Any:
    """A decoder that starts from the encoder's state."""
    _, h, c = layers.LSTM(3, return_state=True)(x)
    return layers.Dense(F)(layers.LSTM(3)(x, initial_state=[h, c]))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "lambda": (
        lambda: sequential(layers.LSTM(5), layers.Lambda(lambda x: x, name="l"), layers.Dense(F)),
        "'l' is a Lambda, whose code slidecell never runs",
    ),
    "custom": (custom, r"'mine' is a layer of its own class \(custom"),
    "function": (
        lambda: sequential(layers.LSTM(5), layers.Dense(F, activation=doubled, name="own")),
        r"'own' has a custom activation \(.*doubled\), whose code slidecell never runs",
    ),
    "unknown function": (
        lambda: sequential(layers.LSTM(5), layers.Dense(F, activation=np.tanh)),
        "expected one that Keras can save, got 'sequential.*a function of your own among its acti",
    ),
    "mask": (
        lambda: sequential(layers.Masking(), layers.LSTM(5), layers.Dense(F)),
        "'masking.*' masks rows by their values; leave it out",
    ),
    "backwards": (
        lambda: sequential(layers.LSTM(5, go_backwards=True), layers.Dense(F)),
        "reads the window from its end",
    ),
    "sum": (
        lambda: sequential(layers.Bidirectional(layers.LSTM(5), "sum"), layers.Dense(F)),
        "merges its directions by 'sum'; expected merge_mode='concat'",
    ),
    "joined": (lambda: functional(joined), r"joins 2 tensors \(Concatenate\)"),
    "continued": (lambda: functional(continued), "starts from the state of another layer"),
    "arithmetic": (
        lambda: functional(lambda x: layers.Dense(F)(layers.LSTM(3)(x) * 2.0)),
        "computes Multiply; expected layers",
    ),
    "first step": (
        lambda: functional(
            lambda x: layers.Dense(F)(layers.LSTM(3, return_sequences=True)(x)[:, 0])
        ),
        "computes GetItem; expected layers",
    ),
    "trained": (
        lambda: functional(
            lambda x: layers.Dense(F)(layers.Dropout(0.1)(layers.LSTM(3)(x), training=True))
        ),
        "is called with training=True",
    ),
    "all steps": (
        lambda: sequential(
            layers.LSTM(5, return_sequences=True), layers.Flatten(), layers.Dense(F)
        ),
        "joins the 6 rows of a sequence to one vector; forecast from the last step",
    ),
    "pooled": (
        lambda: sequential(layers.LSTM(5, return_sequences=True), layers.GlobalAveragePooling1D(),
                           layers.Dense(F)),
        "sums up all steps of the window",
    ),
    "stacked cells": (
        lambda: sequential(layers.RNN([layers.LSTMCell(3), layers.LSTMCell(3)]), layers.Dense(F)),
        "runs StackedRNNCells; expected LSTMCell",
    ),
    "no layer": (lambda: sequential(layers.Dense(F)), "answers at every row|with an LSTM, GRU"),
}  # fmt: skip


@pytest.mark.parametrize("form", REFUSED)
def test_keras_refused_by_layer(form: str) -> None:
    make, text = REFUSED[form]
    with pytest.raises((ValueError, TypeError), match=text):
        sc.SequenceModel.from_keras(make())


def test_keras_stateful_is_refused() -> None:
    x = keras.Input((W, F), batch_size=2)
    model = keras.Model(x, layers.Dense(F)(layers.LSTM(5, stateful=True)(x)))
    with pytest.raises(ValueError, match=r"keeps its state from one batch to the next"):
        sc.SequenceModel.from_keras(model)


def test_keras_models_of_own_classes() -> None:
    class Derived(keras.Model):
        def __init__(self) -> None:
            x = keras.Input((W, F))
            super().__init__(x, layers.Dense(F)(layers.LSTM(3)(x)))

    class Doubled(Derived):
        def call(self, x: Any, training: Any = None, mask: Any = None) -> Any:
            return 2 * super().call(x)

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.dense = layers.LSTM(3), layers.Dense(F)

        def call(self, x: Any) -> Any:
            return self.dense(self.lstm(x))

    x = np.random.default_rng(4).normal(0, 1, (5, W, F)).astype(np.float32)
    derived = Derived()
    compiled = sc.SequenceModel.from_keras(derived)
    (y,) = answers_of(derived, x)
    np.testing.assert_allclose(predicted(compiled, x)[:, 0], y, rtol=0, atol=TOLERANCE)
    with pytest.raises(ValueError, match="its outputs differ from the layers"):
        sc.SequenceModel.from_keras(Doubled())
    model = Own()
    (y,) = answers_of(model, x)
    with pytest.raises(ValueError, match=r"got .*Own, whose own code joins its layers; with x"):
        sc.SequenceModel.from_keras(model)
    given = keras.Input((W, F))  # what the text says to do
    compiled = sc.SequenceModel.from_keras(keras.Model(given, model.call(given)))
    np.testing.assert_allclose(predicted(compiled, x)[:, 0], y, rtol=0, atol=TOLERANCE)


def test_keras_model_that_is_not_built_or_none() -> None:
    model = keras.Sequential([layers.LSTM(5), layers.Dense(F)])
    with pytest.raises(ValueError, match="expected one that is built, got 'sequential"):
        sc.SequenceModel.from_keras(model)
    model(np.zeros((1, W, F), np.float32))
    assert sc.SequenceModel.from_keras(model).window == W
    for other in (3, None, layers.Dense(3)):
        with pytest.raises(TypeError, match="expected a model of Keras 3 or the path of its file"):
            sc.SequenceModel.from_keras(other)


def test_keras_window_of_any_length() -> None:
    model = sequential(layers.LSTM(5), layers.Dense(F), window=None)
    with pytest.raises(ValueError, match="window: expected W, as the model reads windows of any"):
        sc.SequenceModel.from_keras(model)
    assert sc.SequenceModel.from_keras(model, window=9).window == 9


def test_keras_half_precision() -> None:
    """Weights are read in full; Keras computes with a few digits."""
    model = sequential(
        layers.LSTM(5, dtype="mixed_bfloat16"), layers.Dense(F, dtype="mixed_bfloat16")
    )
    full = sequential(layers.LSTM(5), layers.Dense(F))
    full.set_weights(model.get_weights())
    x = np.random.default_rng(5).normal(0, 1, (5, W, F)).astype(np.float32)
    (y,) = answers_of(full, x)
    got = predicted(sc.SequenceModel.from_keras(model), x)[:, 0]
    np.testing.assert_allclose(got, y, rtol=0, atol=TOLERANCE)


def test_keras_model_becomes_a_detector() -> None:
    pytest.importorskip("sklearn")
    from slidecell.detect import ForecastDetector

    rng = np.random.default_rng(6)
    rows = np.sin(np.arange(400)[:, None] * [0.1, 0.2, 0.3, 0.4]) + rng.normal(0, 0.05, (400, F))
    compiled = sc.SequenceModel.from_keras(sequential(layers.LSTM(5), layers.Dense(F)))
    detector = ForecastDetector.from_model(compiled).calibrate(rows[:300])
    assert np.isfinite(detector.score_samples(rows)[W:]).all()
