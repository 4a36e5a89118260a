"""Models of RNN layers: scores, streams, files, training, and what refuses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import slidecell as sc
from tests.reference import encode_reference, predict_reference, score_reference

torch = pytest.importorskip("torch")

from slidecell.training import (  # noqa: E402
    RNN,
    Autoencoder,
    Forecaster,
    fit,
    kernels_of,
    recurrent_layer,
    to_module,
)

NETWORKS: dict[str, Any] = {
    "stacked": lambda: Forecaster(3, (17, 5), cell="rnn", window=7, horizon=2),
    "relu": lambda: Forecaster(3, 33, cell="rnn", window=7, activation="relu"),
    "both": lambda: Forecaster(3, (9, 4), cell="rnn", window=5, bidirectional=True),
    "autoencoder": lambda: Autoencoder(3, (8, 4), (4, 8), cell="rnn", window=6),
}


class OneRNN(torch.nn.Module):
    """A user's own module: an nn.RNN and a linear head on its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.RNN(3, 9, 2, nonlinearity="relu", batch_first=True)
        self.head = torch.nn.Linear(9, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` [N, W, 3] -> [N, 3]."""
        return self.head(self.rnn(x)[0][:, -1])


@pytest.mark.parametrize("name", NETWORKS)
def test_rnn_model_equals_the_reference_and_its_stream(isa: str, name: str) -> None:
    torch.manual_seed(1)
    model = sc.SequenceModel.from_torch(NETWORKS[name]())
    series = np.random.default_rng(2).standard_normal((90, 3)).astype(np.float32)
    offsets = [0, 40, 90]
    metadata, tensors = model.metadata, model.tensors
    scores = model.score(series, offsets)
    assert_allclose(scores, score_reference(metadata, tensors, series, offsets), rtol=3e-6)
    for ours, reference in ((model.predict, predict_reference), (model.encode, encode_reference)):
        want = reference(metadata, tensors, series, offsets)
        assert_allclose(ours(series, offsets), want, rtol=0, atol=1e-6)
    stream = model.stream(num_entities=2)
    entities = np.repeat([0, 1], [40, 50])
    fma = model.score(series, offsets, kernel="fma")
    assert_array_equal(stream.push_many(entities, series), fma)
    one = model.stream()
    assert_array_equal(np.float32([one.push(row) for row in series[:40]]), fma[:40])


def test_rnn_model_is_saved_rebuilt_and_refused_where_it_cannot_run(tmp_path: Path) -> None:
    model = sc.SequenceModel.from_torch(OneRNN(), window=5)
    assert [layer["cell"] for layer in model.metadata["encoder"]] == ["rnn", "rnn"]
    assert {layer["activation"] for layer in model.metadata["encoder"]} == {"relu"}
    model.save(tmp_path / "m.safetensors")
    again = sc.SequenceModel.load(tmp_path / "m.safetensors")
    series = np.random.default_rng(2).standard_normal((30, 3))
    assert_array_equal(again.score(series), model.score(series))
    module = to_module(again)
    assert isinstance(module, Forecaster)
    assert_array_equal(sc.SequenceModel.from_torch(module).score(series), model.score(series))
    text = (tmp_path / "m.safetensors").read_bytes().replace(b'"cell": "rnn"', b'"cell": "cnn"')
    text = text.replace(b'\\"cell\\": \\"rnn\\"', b'\\"cell\\": \\"cnn\\"')
    (tmp_path / "other.safetensors").write_bytes(text)
    with pytest.raises(ValueError, match="'cell': expected one of lstm, gru, rnn, got 'cnn'"):
        sc.SequenceModel.load(tmp_path / "other.safetensors")
    with pytest.raises(TypeError, match=r"use slidecell\.RNN\.from_torch"):
        sc.SequenceModel.from_torch(torch.nn.RNN(3, 4), window=5)


def test_rnn_network_is_trained_by_the_compiled_kernels() -> None:
    series = np.sin(np.arange(400)[:, None] / np.array([5.0, 9.0])).astype(np.float32)
    module = Forecaster(2, 8, cell="rnn", window=9)
    history = fit(module, series, epochs=8, batch_size=32, lr=0.01, seed=0, progress=False)
    assert history.train_loss[-1] < 0.2 * history.train_loss[0]
    module.train()
    module(torch.rand(4, 9, 2)).sum().backward()
    assert all(ran and ran.startswith("compiled") for ran in kernels_of(module).values())


@pytest.mark.parametrize(
    "options",
    [
        {"recurrent_activation": "hard_sigmoid"},
        {"reset_after": False},
        {"proj_size": 2},
        {"single_bias": True},
    ],
)
def test_rnn_layer_refuses_what_an_rnn_has_not(options: dict[str, Any]) -> None:
    assert isinstance(recurrent_layer("rnn", 3, 5), RNN)
    with pytest.raises(ValueError, match="an RNN has no gates"):
        recurrent_layer("rnn", 3, 5, **options)
    with pytest.raises(ValueError, match="activation: expected one of 'tanh', 'relu'"):
        recurrent_layer("rnn", 3, 5, activation="linear")
