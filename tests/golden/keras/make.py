"""Makes the files of this folder: KERAS_BACKEND=torch python tests/golden/keras/make.py.

Made with Keras 3.15.1 on torch 2.13. Each file is what `model.save` writes; `.keras` files are
packed once more, deflated, as HDF5 is mostly zeros at these sizes. `answers.npz` holds for each the
windows `<case>/x` and what Keras answers, `<case>/y` (`<case>/y1` where it answers twice).
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

HERE = Path(__file__).parent
W, F = 6, 4


def stacked() -> Any:
    return keras.Sequential(
        [
            keras.Input((W, F)),
            layers.LSTM(8, return_sequences=True),
            layers.Dropout(0.2),
            layers.LSTM(6),
            layers.Dropout(0.2),
            layers.Dense(F),
        ]
    )


def autoencoder() -> Any:
    x = keras.Input((W, F))
    y = layers.LSTM(6, activation="relu", return_sequences=True)(x)
    y = layers.LSTM(3, activation="relu", name="bottleneck")(y)
    y = layers.RepeatVector(W)(y)
    y = layers.LSTM(3, activation="relu", return_sequences=True)(y)
    y = layers.LSTM(6, activation="relu", return_sequences=True)(y)
    return keras.Model(x, layers.TimeDistributed(layers.Dense(F))(y))


def gru_before() -> Any:
    gru = layers.GRU(5, reset_after=False, recurrent_activation="hard_sigmoid")
    return keras.Sequential([keras.Input((W, F)), gru, layers.Dense(F)])


def gru_after() -> Any:
    gru = layers.GRU(5, activation="sigmoid")
    head = [layers.Dense(7, activation="gelu"), layers.Dense(2 * F), layers.Reshape((2, F))]
    return keras.Sequential([keras.Input((None, F)), gru, *head])


def both_ways() -> Any:
    rnn = layers.SimpleRNN(3, activation="relu", return_sequences=True)
    gru = layers.Bidirectional(layers.GRU(3, use_bias=False))
    return keras.Sequential([keras.Input((W, F)), layers.Bidirectional(rnn), gru, layers.Dense(F)])


def functional() -> Any:
    """Mean and log variance, behind scalings, a model inside the model and x[:, -1]."""
    x = keras.Input((W, F))
    scale = layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 3.0, 4.0])
    adapted = layers.Normalization()
    adapted.adapt(np.random.default_rng(5).normal(1.0, 2.0, (50, W, F)))
    inner = keras.Sequential(
        [keras.Input((W, F)), adapted, layers.LSTM(5, return_sequences=True)], name="inner"
    )
    y = layers.BatchNormalization()(layers.Rescaling(0.5, offset=[1.0, 0.0, -1.0, 2.0])(scale(x)))
    y = layers.LeakyReLU(negative_slope=0.1)(layers.Dense(5)(inner(y)[:, -1]))
    return keras.Model(x, [layers.Dense(F, name="mean")(y), layers.Dense(F, name="variance")(y)])


def main() -> None:
    answers: dict[str, Any] = {}
    makers = (stacked, autoencoder, gru_before, gru_after, both_ways, functional)
    for seed, make in enumerate(makers):
        keras.utils.set_random_seed(seed)
        rng = np.random.default_rng(seed)
        model = make()
        for variable in model.weights:
            noise = rng.normal(0, 0.3, variable.shape)
            if "count" not in variable.path:
                new = keras.ops.convert_to_numpy(variable) + noise
                variable.assign(np.abs(new) if "variance" in variable.path else new)
        for layer in model._flatten_layers():
            if isinstance(layer, layers.Normalization):
                layer.finalize_state()
        x = rng.normal(0, 1, (5, W, F)).astype(np.float32)
        answered = model(x, training=False)
        for place, y in enumerate(keras.tree.flatten(answered)):
            answers[f"{make.__name__}/y{place or ''}"] = keras.ops.convert_to_numpy(y)
        answers[f"{make.__name__}/x"] = x
        path = HERE / f"{make.__name__}.keras"
        model.save(path)
        pack(path)
        if make is both_ways:
            model.save(HERE / f"{make.__name__}.h5")
    np.savez_compressed(HERE / "answers.npz", **answers)


def pack(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    keras.saving.load_model(path)  # it is still a file of Keras


if __name__ == "__main__":
    main()
