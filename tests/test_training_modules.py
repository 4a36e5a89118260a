"""Forecaster and Autoencoder: sizes, meanings, errors."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from slidecell.training import Autoencoder, Forecaster  # noqa: E402


def test_only_training_needs_torch() -> None:
    script = """
import sys
sys.modules["torch"] = None  # as if it were not installed
import slidecell, slidecell.scaling, slidecell.training
try:
    from slidecell.training import fit
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "slidecell.training needs torch: pip install 'slidecell[train]'\n"


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_card_fraud_network_has_the_published_parameters() -> None:
    module = Autoencoder(29, (16, 8), (8, 16), window=1, activation="relu", single_bias=True)
    assert count(module) == 6381
    assert [count(layer) for layer in (*module.encoder, *module.decoder)] == [2944, 800, 544, 1600]
    two = Autoencoder(29, (16, 8), (8, 16), window=1, activation="relu")
    assert count(two) == 6381 + 4 * (16 + 8 + 8 + 16)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_forecaster_shapes(cell: str, bidirectional: bool) -> None:
    module = Forecaster(
        3,
        (6, 4),
        cell=cell,
        window=5,
        horizon=2,
        bidirectional=bidirectional,
        targets=(2, 0),
        dropout=0.1,
        head_dropout=0.1,
    )
    x = torch.rand(7, 5, 3)
    assert module(x).shape == (7, 4)
    assert module.code_size == (8 if bidirectional else 4)
    assert module.encode(x).shape == (7, module.code_size)
    assert module.head.in_features == module.code_size


@pytest.mark.parametrize("window", [1, 6])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_autoencoder_shapes(window: int, bidirectional: bool) -> None:
    module = Autoencoder(3, (6, 4), (4, 6), cell="gru", window=window, bidirectional=bidirectional)
    x = torch.rand(7, window, 3)
    assert module(x).shape == (7, window, 3)
    assert module.encode(x).shape == (7, module.code_size) == (7, 8 if bidirectional else 4)
    assert module.horizon == 0


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_forecaster_is_a_stacked_lstm_with_a_head() -> None:
    torch.manual_seed(0)
    module = Forecaster(3, 5, 2, window=6, bidirectional=True, proj_size=2).eval()
    stacked = torch.nn.LSTM(3, 5, 2, batch_first=True, bidirectional=True, proj_size=2)
    stacked.load_state_dict(
        {
            name.replace("_l0", f"_l{index}"): tensor
            for index, layer in enumerate(module.encoder)
            for name, tensor in layer.state_dict().items()
        }
    )
    x = torch.rand(4, 6, 3)
    h_n = stacked(x)[1][0]
    expected = module.head(torch.cat((h_n[-2], h_n[-1]), dim=1))
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-6)


def test_autoencoder_decodes_the_repeated_code() -> None:
    torch.manual_seed(0)
    module = Autoencoder(3, (5, 2), (2, 5), window=4).eval()
    x = torch.rand(6, 4, 3)
    y = module.encode(x)[:, None].repeat(1, 4, 1)
    for layer in module.decoder:
        y = layer(y)[0]
    torch.testing.assert_close(module(x), module.head(y), rtol=0, atol=0)


def test_names_of_tensors() -> None:
    module = Autoencoder(3, (5,), (5,), window=4)
    assert set(module.state_dict()) == {
        *(
            f"{stack}.0.{name}_l0"
            for stack in ("encoder", "decoder")
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ),
        "head.weight",
        "head.bias",
    }


def test_dropout_acts_between_layers_in_training_only() -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 6, 3)
    between = Forecaster(3, 8, 2, window=6, dropout=0.5)
    assert not torch.equal(between(x), between(x))
    between.eval()
    assert torch.equal(between(x), between(x))
    one_layer = Forecaster(3, 8, window=6, dropout=0.5)  # nothing to stand between
    assert torch.equal(one_layer(x), one_layer(x))
    head = Forecaster(3, 8, window=6, head_dropout=0.5)
    assert torch.equal(head.encode(x), head.encode(x))
    assert not torch.equal(head(x), head(x))


def test_attributes_keep_the_given_names() -> None:
    module = Forecaster(3, (64, 32), window=7, targets=[1], cell="gru", reset_after=False)
    assert (module.input_size, module.hidden_size, module.num_layers) == (3, (64, 32), 2)
    assert (module.cell, module.window, module.horizon) == ("gru", 7, 1)
    assert (module.targets, module.reset_after, module.activation) == ((1,), False, "tanh")
    assert Forecaster(3, 8, 2, window=7).hidden_size == 8


def test_reset_parameters_draws_from_the_global_generator() -> None:
    module = Autoencoder(3, window=4, activation="relu")
    torch.manual_seed(3)
    module.reset_parameters()
    first = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    module.reset_parameters()
    assert not torch.equal(module.head.weight, first["head.weight"])
    torch.manual_seed(3)
    module.reset_parameters()
    assert all(torch.equal(tensor, first[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"window": 0}, ValueError, "window: expected an integer >= 1, got 0"),
        ({"window": 2.5}, TypeError, "window: expected an integer, got 2.5"),
        ({"horizon": 0}, ValueError, "horizon: expected an integer >= 1, got 0"),
        ({"cell": "cnn"}, ValueError, "cell: expected one of 'lstm', 'gru', 'rnn', got 'cnn'"),
        ({"activation": "gelu"}, ValueError, "activation: expected one of 'tanh', 'relu'"),
        ({"recurrent_activation": "relu"}, ValueError, "recurrent_activation: expected one of"),
        ({"dropout": 1.0}, ValueError, "dropout: expected a number >= 0 and < 1, got 1.0"),
        ({"head_dropout": -0.1}, ValueError, "head_dropout: expected a number >= 0"),
        ({"dropout": "0.1"}, TypeError, "dropout: expected a number, got '0.1'"),
        ({"targets": [3]}, ValueError, r"targets: expected distinct .* in 0..2, got \[3\]"),
        ({"targets": [1, 1]}, ValueError, "targets: expected distinct column indices"),
        ({"targets": []}, ValueError, "targets: expected distinct column indices"),
        ({"proj_size": 8}, ValueError, "proj_size: expected less than every hidden size"),
        ({"proj_size": 2, "cell": "gru"}, ValueError, "proj_size: a GRU has no projection"),
        ({"reset_after": False}, ValueError, "reset_after: False needs cell='gru'"),
        ({"num_layers": 0}, ValueError, "num_layers: expected an integer >= 1"),
        ({"hidden_size": ()}, ValueError, "hidden_size: expected at least one layer"),
        ({"hidden_size": (8, 0)}, ValueError, "hidden_size: expected an integer >= 1, got 0"),
        (
            {"hidden_size": (8, 4), "num_layers": 3},
            ValueError,
            "num_layers: expected 2, the length of hidden_size, got 3",
        ),
        ({"input_size": 0}, ValueError, "input_size: expected an integer >= 1, got 0"),
    ],
)
def test_forecaster_argument_errors(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments = {"input_size": 3, "hidden_size": 8, "window": 4} | options
    with pytest.raises(error, match=text):
        Forecaster(**arguments)


def test_autoencoder_argument_errors() -> None:
    with pytest.raises(ValueError, match="encoder_sizes: expected at least one layer"):
        Autoencoder(3, (), window=4)
    with pytest.raises(TypeError, match="decoder_sizes: expected a sequence of integers, got 8"):
        Autoencoder(3, (8,), 8, window=4)


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 4, 2), (4, 3)])
def test_input_shape_error(shape: tuple[int, ...]) -> None:
    for module in (Forecaster(3, 8, window=4), Autoencoder(3, window=4)):
        with pytest.raises(ValueError, match=r"x: expected \[N, 4, 3\] \(window=4, input_size=3"):
            module(torch.zeros(shape))
