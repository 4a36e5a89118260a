"""Weights by name, without their module: the same numbers as the module's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import slidecell as sc

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from slidecell.training import Autoencoder, Forecaster  # noqa: E402


class Stacked(nn.Module):
    """Two recurrent parts and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(3, 6, 2, batch_first=True, proj_size=4, bidirectional=True)
        self.second = nn.RNN(8, 5, batch_first=True, bias=False)
        self.out = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.second(self.first(x)[0])[0][:, -1])


def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning")
@pytest.mark.parametrize("wrapped", [False, True])
def test_state_dict_of_a_module(wrapped: bool) -> None:
    torch.manual_seed(0)
    module = Stacked()
    weights: dict[str, Any] = (nn.DataParallel(module) if wrapped else module).state_dict()
    if wrapped:
        weights = {name: tensor.numpy() for name, tensor in weights.items()}
    ours = sc.SequenceModel.from_state_dict(weights, window=5)
    theirs = sc.SequenceModel.from_torch(module, window=5)
    assert ours.metadata == theirs.metadata
    assert ours.predict(rows()).tobytes() == theirs.predict(rows()).tobytes()


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Forecaster(3, (8, 4), window=5, horizon=2, cell="gru"), {"horizon": 2}),
        (Forecaster(3, 4, window=5, targets=(2, 0)), {"targets": (2, 0)}),
        (Autoencoder(3, (6, 2), (2, 6), window=5), {}),
        (Autoencoder(3, (6,), (6,), window=5, activation="relu"), {"activation": "relu"}),
        (Forecaster(3, 4, cell="gru", window=5, reset_after=False), {"reset_after": False}),
        (
            Forecaster(3, 4, window=5, recurrent_activation="hard_sigmoid"),
            {"recurrent_activation": "hard_sigmoid"},
        ),
    ],
)
def test_state_dict_of_own_modules(module: nn.Module, said: dict[str, Any]) -> None:
    ours = sc.SequenceModel.from_state_dict(module.state_dict(), window=5, **said)
    theirs = sc.SequenceModel.from_torch(module)
    assert ours.metadata == theirs.metadata
    assert ours.predict(rows()).tobytes() == theirs.predict(rows()).tobytes()


def test_decoder_by_name() -> None:
    state = Autoencoder(3, (6, 2), (2, 6), window=5).state_dict()
    renamed = {
        name.replace("decoder", "up").replace("encoder", "down"): t for name, t in state.items()
    }
    ours = sc.SequenceModel.from_state_dict(renamed, window=5, decoder=["up"])
    theirs = sc.SequenceModel.from_state_dict(state, window=5)
    assert ours.predict(rows()).tobytes() == theirs.predict(rows()).tobytes()


def cells(**changes: Any) -> dict[str, Any]:
    """The weights of a GRU of 4 units on 3 columns, and of its head."""
    return {
        "gru.weight_ih_l0": np.ones((12, 3)),
        "gru.weight_hh_l0": np.ones((12, 4)),
        "fc.weight": np.ones((3, 4)),
        **changes,
    }


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (cells(**{"norm.running_mean": np.ones(3)}), "alone, got 'norm.running_mean'; use from_t"),
        (
            cells(**{"fc2.weight": np.ones((3, 3))}),
            "one dense layer, .*'fc', 'fc2': .* activations",
        ),
        (
            cells(**{"fc.weight": np.ones((3, 5))}),
            r"'fc\.weight' of shape \[outputs, 4\], got \[3,",
        ),
        (
            cells(**{"gru.weight_hh_l0": np.ones((12, 5))}),
            "'gru' to have 4, 3 or 1 rows per hidden",
        ),
        (cells(**{"gru.weight_hh_l1": np.ones((12, 4))}), "a matrix 'gru.weight_ih_l1', got none"),
        (
            cells(**{"b.weight_ih_l0": np.ones((5, 7)), "b.weight_hh_l0": np.ones((5, 5))}),
            "expected 'b' to read 4 numbers, .* got 7; list the parts in the order",
        ),
        ({"fc.weight": np.ones((3, 4))}, "expected weights of an LSTM, GRU or RNN, got none"),
        (cells(**{"fc.weight": np.ones((2, 4))}), r"out_features=3 .*, got 2; pass targets"),
    ],
)
def test_other_networks_are_refused(state: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^state_dict: .*{text}"):
        sc.SequenceModel.from_state_dict(state, window=5)


def test_arguments_are_checked() -> None:
    with pytest.raises(
        TypeError, match="state_dict: expected a mapping of names to arrays, got Fo"
    ):
        sc.SequenceModel.from_state_dict(Forecaster(3, 4, window=5), window=5)
    with pytest.raises(ValueError, match=r"decoder: expected names of some of .* 'gru', got"):
        sc.SequenceModel.from_state_dict(cells(), window=5, decoder=["up"])
    with pytest.raises(TypeError, match=r"expected numbers as 'fc\.weight', got dtype <U1"):
        sc.SequenceModel.from_state_dict(cells(**{"fc.weight": np.array([["a"]])}), window=5)
    with pytest.raises(ValueError, match=r"activation: expected one of 'tanh', .*, got 'silu'"):
        sc.SequenceModel.from_state_dict(cells(), window=5, activation="silu")
