"""The layers that torch lacks: equal to torch's where torch has them, right where it has not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from slidecell.training import GRU, LSTM, recurrent_layer  # noqa: E402
from slidecell.training.cells import GRULayer, LSTMLayer  # noqa: E402
from tests.reference import gru_forward  # noqa: E402

ACTIVATIONS = ("tanh", "relu", "sigmoid", "linear")
GATES = ("sigmoid", "hard_sigmoid")


def double(layer: torch.nn.Module, *shape: int) -> tuple[torch.nn.Module, torch.Tensor]:
    """Return the layer in float64 with weights twice torch's, and an input."""
    layer = layer.double()
    generator = torch.Generator().manual_seed(0)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return layer, torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("proj_size", [0, 3])
@pytest.mark.parametrize("initial", [False, True])
@pytest.mark.parametrize("steps", [1, 6])
def test_lstm_loop_equals_torch(
    bidirectional: bool, proj_size: int, initial: bool, steps: int
) -> None:
    ours, x = double(LSTMLayer(4, 5, bidirectional=bidirectional, proj_size=proj_size), 3, steps, 4)
    theirs = torch.nn.LSTM(
        4, 5, batch_first=True, bidirectional=bidirectional, proj_size=proj_size
    ).double()
    theirs.load_state_dict(ours.state_dict())
    directions = 2 if bidirectional else 1
    state = None
    if initial:
        state = (
            torch.rand(directions, 3, proj_size or 5, dtype=torch.float64),
            torch.rand(directions, 3, 5, dtype=torch.float64),
        )
    expected, (h, c) = theirs(x, state)
    for run in (ours, ours.loop):
        out, (h_n, c_n) = run(x, state)
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(h_n, h, rtol=0, atol=1e-12)
        torch.testing.assert_close(c_n, c, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("initial", [False, True])
def test_gru_loop_equals_torch(bidirectional: bool, initial: bool) -> None:
    ours, x = double(GRULayer(4, 5, bidirectional=bidirectional), 3, 6, 4)
    theirs = torch.nn.GRU(4, 5, batch_first=True, bidirectional=bidirectional).double()
    theirs.load_state_dict(ours.state_dict())
    h0 = torch.rand(2 if bidirectional else 1, 3, 5, dtype=torch.float64) if initial else None
    expected, h = theirs(x, h0)
    for run in (ours, ours.loop):
        out, h_n = run(x, h0)
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(h_n, h, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer_type", [LSTMLayer, GRULayer])
def test_single_bias_is_a_second_bias_of_zeros(layer_type: type) -> None:
    ours, x = double(layer_type(4, 5, single_bias=True, bidirectional=True), 3, 6, 4)
    assert not any(name.startswith("bias_hh") for name in ours.state_dict())
    two = layer_type(4, 5, bidirectional=True).double()
    missing = two.load_state_dict(ours.state_dict(), strict=False).missing_keys
    assert sorted(missing) == ["bias_hh_l0", "bias_hh_l0_reverse"]
    for name in missing:
        torch.nn.init.zeros_(getattr(two, name))
    for run in (ours, ours.loop):
        torch.testing.assert_close(run(x)[0], two(x)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gate", GATES)
def test_gradients_of_lstm(activation: str, gate: str) -> None:
    layer, x = double(
        LSTMLayer(2, 3, activation=activation, recurrent_activation=gate, proj_size=2), 2, 3, 2
    )
    check_gradients(layer, x)
    check_gradients(layer, x[:, :1].detach())  # a single step takes a way of its own


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gate", GATES)
def test_gradients_of_gru(activation: str, gate: str, reset_after: bool) -> None:
    layer, x = double(
        GRULayer(2, 3, activation=activation, recurrent_activation=gate, reset_after=reset_after),
        2,
        3,
        2,
    )
    check_gradients(layer, x)


def check_gradients(layer: torch.nn.Module, x: torch.Tensor) -> None:
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def run(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        state = dict(zip(names, values, strict=True))
        return torch.func.functional_call(layer, state, (x,))[0]

    values = tuple(parameter.detach().requires_grad_() for parameter in parameters)
    assert torch.autograd.gradcheck(run, (x.requires_grad_(), *values))


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_variants_equal_the_reference(reset_after: bool) -> None:
    layer, x = double(
        GRULayer(
            2, 3, activation="relu", recurrent_activation="hard_sigmoid", reset_after=reset_after
        ),
        1,
        4,
        2,
    )
    tensors = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    _, h = gru_forward(
        x.numpy(),
        tensors,
        activation="relu",
        recurrent_activation="hard_sigmoid",
        reset_after=reset_after,
    )
    np.testing.assert_allclose(layer(x)[1].detach().numpy(), h, rtol=0, atol=1e-12)


KERAS = Path(__file__).parent / "golden" / "keras_layers.npz"
KERAS_CASES = {
    "lstm_tanh": {"cell": "lstm"},
    "lstm_relu": {"cell": "lstm", "activation": "relu"},
    "lstm_hardsig": {"cell": "lstm", "recurrent_activation": "hard_sigmoid"},
    "gru_before": {"cell": "gru", "reset_after": False},
    "gru_before_relu": {"cell": "gru", "activation": "relu", "reset_after": False},
}


@pytest.mark.parametrize("case", KERAS_CASES)
def test_keras_answers(case: str) -> None:
    with np.load(KERAS) as golden:
        x, y, kernel, recurrent, bias = (
            golden[f"{case}/{name}"] for name in ("x", "y", "kernel", "recurrent_kernel", "bias")
        )
    options = KERAS_CASES[case]
    layer = recurrent_layer(
        input_size=kernel.shape[0], hidden_size=recurrent.shape[0], single_bias=True, **options
    )
    # Keras: LSTM i f c o, as torch; GRU z r h where torch has r z n.
    order = (0, 1, 2, 3) if options["cell"] == "lstm" else (1, 0, 2)

    def permuted(array: np.ndarray) -> torch.Tensor:
        parts = np.split(array, len(order), axis=-1)
        return torch.from_numpy(np.concatenate([parts[i] for i in order], axis=-1).T.copy())

    layer.load_state_dict(
        {
            "weight_ih_l0": permuted(kernel),
            "weight_hh_l0": permuted(recurrent),
            "bias_ih_l0": permuted(bias),
        }
    )
    with torch.no_grad():
        out = layer(torch.from_numpy(x))[0].numpy()
    np.testing.assert_allclose(out, y, rtol=0, atol=2e-6)


def test_factory_prefers_torch() -> None:
    assert type(recurrent_layer("lstm", 2, 3, proj_size=1)) is torch.nn.LSTM
    assert type(recurrent_layer("gru", 2, 3, bidirectional=True)) is GRU
    assert type(recurrent_layer("lstm", 2, 3)) is LSTM
    assert type(recurrent_layer("lstm", 2, 3, activation="relu")) is LSTMLayer
    assert type(recurrent_layer("lstm", 2, 3, single_bias=True)) is LSTMLayer
    assert type(recurrent_layer("gru", 2, 3, recurrent_activation="hard_sigmoid")) is GRULayer
    assert type(recurrent_layer("gru", 2, 3, reset_after=False)) is GRULayer


@pytest.mark.parametrize("layer_type", [LSTMLayer, GRULayer])
@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 5), (2, 0, 4)])
def test_input_shape_error(layer_type: type, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x: expected \[N, T, 4\] .*input_size=4.*, got"):
        layer_type(4, 3)(torch.zeros(shape))
