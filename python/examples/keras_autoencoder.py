"""Score with an autoencoder that was written and trained in Keras."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # any of Keras 3 will do

import keras
import numpy as np

import slidecell as sc

WINDOW = 10


def main() -> None:
    """Train on calm rows, compile, find the rows that are not calm."""
    keras.utils.set_random_seed(0)
    t = np.arange(1200)[:, None]
    series = np.sin(t / [5.0, 8.0, 13.0]).astype(np.float32)
    series[900:905, 2] -= 1.5

    net = keras.Sequential(
        [
            keras.layers.Input((WINDOW, 3)),
            keras.layers.LSTM(16),
            keras.layers.RepeatVector(WINDOW),
            keras.layers.LSTM(16, return_sequences=True),
            keras.layers.TimeDistributed(keras.layers.Dense(3)),
        ]
    )
    net.compile(keras.optimizers.Adam(0.01), "mse")
    calm = sc.sliding_windows(series[:600], window=WINDOW, horizon=0)
    net.fit(calm, calm, batch_size=64, epochs=5, verbose=0)

    model = sc.SequenceModel.from_keras(net)  # or the path of a .keras file, without Keras
    scores = model.score(series)

    windows = sc.sliding_windows(series, window=WINDOW, horizon=0)
    own = np.square(net.predict(windows, verbose=0) - windows).mean((1, 2))
    worst = np.abs(scores[WINDOW - 1 :] - own).max()
    print(f"{model}: at most {worst:.0e} from Keras")
    print(f"the highest score is that of row {np.nanargmax(scores)}")


if __name__ == "__main__":
    main()
