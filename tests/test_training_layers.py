"""`training.LSTM`, `GRU`, `RNN`: torch's modules with other kernels, nothing else changed."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest

import slidecell as sc

torch = pytest.importorskip("torch")
from torch._subclasses import FakeTensorMode  # noqa: E402
from torch.nn.utils.rnn import pack_sequence  # noqa: E402

from slidecell.training import (  # noqa: E402
    GRU,
    LSTM,
    RNN,
    Autoencoder,
    Forecaster,
    kernels_of,
    recurrent_layer,
)
from slidecell.training.layers import Compiled  # noqa: E402

KINDS = {"lstm": (LSTM, torch.nn.LSTM), "gru": (GRU, torch.nn.GRU), "rnn": (RNN, torch.nn.RNN)}
ERRORS = (RuntimeError, ValueError, AttributeError, TypeError, IndexError)
CELLS = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])


def pair(cell: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """Return our layer and torch's with the same weights."""
    torch.manual_seed(3)
    ours, theirs = (kind(*args, **options) for kind in KINDS[cell])
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def flat(result: Any) -> list[torch.Tensor]:
    out, state = result
    return [out, *state] if isinstance(state, tuple) else [out, state]


def state_of(cell: str, *shape: int) -> Any:
    states = tuple(torch.rand(shape) - 0.5 for _ in range(2))
    return states if cell == "lstm" else states[0]


def compare(ours: Any, theirs: Any, x: torch.Tensor, hx: Any = None, seed: int = 0) -> None:
    """Outputs within 1e-6, gradients of all outputs within 2e-5 of the largest."""
    results = []
    for layer in (ours, theirs):
        layer.zero_grad()
        given = x.clone().requires_grad_()
        torch.manual_seed(seed)
        values = flat(layer(given) if hx is None else layer(given, hx))
        generator = torch.Generator().manual_seed(1)
        sum((v * torch.rand(v.shape, generator=generator)).sum() for v in values).backward()
        results.append((values, [given.grad, *(p.grad for p in layer.parameters())]))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        assert (a - b).abs().max() <= 2e-5 * b.abs().max()


@CELLS
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_outputs_and_gradients_equal_torchs(
    cell: str, bidirectional: bool, batch_first: bool, bias: bool
) -> None:
    options = {"bidirectional": bidirectional, "batch_first": batch_first, "bias": bias}
    ours, theirs = pair(cell, 3, 5, num_layers=2, **options)
    x = torch.rand(4, 6, 3)
    compare(ours, theirs, x)
    N = 4 if batch_first else 6
    compare(ours, theirs, x, state_of(cell, 4 if bidirectional else 2, N, 5))
    assert ours.ran == f"compiled: {sc.active_isa()}"
    assert ours(x)[0].is_contiguous()


@CELLS
@pytest.mark.parametrize("bidirectional", [False, True])
def test_dropout_between_layers_is_torchs(cell: str, bidirectional: bool) -> None:
    ours, theirs = pair(
        cell, 3, 8, num_layers=3, dropout=0.4, batch_first=True, bidirectional=bidirectional
    )
    x = torch.rand(5, 6, 3)
    compare(ours, theirs, x)
    assert not torch.equal(ours(x)[0], ours(x)[0])
    compare(ours.eval(), theirs.eval(), x)
    assert torch.equal(ours(x)[0], ours(x)[0])


@CELLS
def test_last_hidden_is_a_part_of_the_state(cell: str) -> None:
    for options in ({}, {"bidirectional": True, "num_layers": 2}):
        ours, _ = pair(cell, 3, 5, batch_first=True, **options)
        x = torch.rand(4, 6, 3)
        for layer in (ours, copy.deepcopy(ours).double()):
            given = x.to(next(layer.parameters()))
            state = layer(given)[1]
            h_n = state[0] if cell == "lstm" else state
            assert torch.equal(layer.last_hidden(given), h_n[-2:])
        assert ours.ran.startswith("compiled")
        check_gradients_of_last_hidden(ours, x)


def check_gradients_of_last_hidden(layer: Any, x: torch.Tensor) -> None:
    gradients = []
    for hidden in (layer.last_hidden(x), layer(x)[1]):
        layer.zero_grad()
        h_n = hidden[0] if isinstance(hidden, tuple) else hidden
        h_n[-2:].square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in layer.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@CELLS
def test_state_dict_is_torchs(cell: str) -> None:
    ours, theirs = pair(cell, 3, 5, num_layers=2, bidirectional=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert isinstance(ours, KINDS[cell][1])
    other = KINDS[cell][0](3, 5, num_layers=2, bidirectional=True)
    other.load_state_dict(theirs.state_dict())
    x = torch.rand(6, 4, 3)
    expected = ours(x)[0]
    assert torch.equal(other(x)[0], expected)
    file = io.BytesIO()
    torch.save(ours, file)
    file.seek(0)
    for twin in (copy.deepcopy(ours), torch.load(file, weights_only=False)):
        assert torch.equal(twin(x)[0], expected)
        assert twin._memory is not ours._memory


@pytest.mark.filterwarnings("ignore:.torch.jit.trace(_method)?. is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of torch's own checks
@CELLS
def test_options_that_the_kernels_lack_run_on_torchs_layers(cell: str) -> None:
    x = torch.rand(4, 6, 3)
    ours, theirs = pair(cell, 3, 5, batch_first=True)
    compare(copy.deepcopy(ours), theirs, x)
    packed = pack_sequence([x[0], x[1, :4]])
    assert torch.equal(ours(packed)[0].data, theirs(packed)[0].data)
    assert ours.ran == "torch: a packed sequence"
    assert torch.equal(ours(x[0])[0], theirs(x[0])[0])
    assert ours.ran == "torch: one sequence without a batch axis"
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours(x)
    assert ours.ran == "torch: autocast"
    torch.func.grad(lambda x: ours(x)[0].sum())(x)
    assert ours.ran == "torch: torch.func"
    traced = torch.jit.trace(ours, x, check_trace=False)
    assert ours.ran == "torch: tracing"
    torch.testing.assert_close(traced(x)[0], ours(x)[0], rtol=0, atol=1e-6)
    assert ours.ran.startswith("compiled")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert ours(mode.from_tensor(x))[0].shape == (4, 6, 5)
    assert ours.ran == "torch: FakeTensor"
    ours(x[:0])
    assert ours.ran == "torch: an empty tensor"
    ours.double()(x.double())
    assert ours.ran == "torch: float64"


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projection_runs_on_torchs_layers() -> None:
    ours, theirs = pair("lstm", 3, 5, batch_first=True, proj_size=2)
    compare(ours, theirs, torch.rand(4, 6, 3))
    assert ours.ran == "torch: a projection"


@CELLS
def test_errors_are_torchs(cell: str) -> None:
    ours, theirs = pair(cell, 3, 5, batch_first=True)
    x = torch.rand(4, 6, 3)
    bad = state_of(cell, 1, 3, 5)
    swapped = state_of(cell, 1, 4, 5)
    swapped = swapped[0] if cell == "lstm" else (swapped, swapped)
    for given in ((x[..., :2],), (x, bad), (x.double(),), (x[None],), (x[:, :0],), (x, swapped)):
        texts = []
        for layer in (ours, theirs):
            with pytest.raises(ERRORS) as caught:
                layer(*given)
            texts.append((caught.type, str(caught.value)))
        assert texts[0] == texts[1]


@CELLS
def test_forward_without_gradients_equals_torch(cell: str) -> None:
    ours, theirs = pair(cell, 3, 5, batch_first=True)
    x = torch.rand(50, 6, 3)
    with torch.no_grad():
        expected = flat(theirs(x))
        for a, b in zip(flat(ours(x)), expected, strict=True):
            assert not a.requires_grad
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    kept = flat(ours(x))
    with torch.inference_mode():
        free = flat(ours(x))
    for a, b in zip(kept, free, strict=True):
        assert torch.equal(a, b)


@CELLS
def test_second_derivatives_are_refused(cell: str) -> None:
    layer = KINDS[cell][0](3, 5, batch_first=True)
    x = torch.rand(4, 6, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        (gradient.square().sum() + layer.weight_hh_l0.sum()).backward()


@CELLS
def test_graph_may_be_walked_twice_if_it_is_retained(cell: str) -> None:
    layer = KINDS[cell][0](3, 5, batch_first=True)
    loss = layer(torch.rand(50, 6, 3))[0].square().sum()
    loss.backward(retain_graph=True)
    once = [parameter.grad.clone() for parameter in layer.parameters()]
    loss.backward()
    for a, parameter in zip(once, layer.parameters(), strict=True):
        assert torch.equal(parameter.grad, 2 * a)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@CELLS
def test_weights_must_not_change_between_the_passes(cell: str) -> None:
    for name in ("weight_ih_l0", "weight_hh_l0"):
        layer = KINDS[cell][0](3, 5, batch_first=True)
        loss = layer(torch.rand(4, 6, 3))[0].sum()
        with torch.no_grad():
            getattr(layer, name).add_(1.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@CELLS
def test_saved_tensor_hooks_see_all_kept_steps(cell: str) -> None:
    """torch's hooks and checkpoints see all that is kept."""
    ours, theirs = pair(cell, 3, 5, batch_first=True)
    x = torch.rand(50, 6, 3)
    with torch.autograd.graph.save_on_cpu():
        compare(ours, theirs, x)
    x.requires_grad_()
    ours.zero_grad()
    ours(x)[0].sum().backward()
    expected = [p.grad.clone() for p in ours.parameters()]
    ours.zero_grad()
    again = torch.utils.checkpoint.checkpoint(ours, x, use_reentrant=False)
    again[0].sum().backward()
    for a, p in zip(expected, ours.parameters(), strict=True):
        assert torch.equal(a, p.grad)


def test_eval_frees_the_memory_of_kept_steps() -> None:
    layer = LSTM(3, 5, batch_first=True)
    layer(torch.rand(50, 6, 3))[0].sum().backward()
    where = layer._memory.take(50 * 6 * 30).data_ptr()
    assert layer._memory.take(50 * 6 * 30).data_ptr() == where
    layer.eval()
    assert layer.training is False
    block = torch.empty(50 * 6 * 30 * 2)  # what the allocator might hand out instead
    assert layer.train() is layer
    del block


@pytest.mark.parametrize("bidirectional", [False, True])
def test_rnn_with_relu_equals_torch(bidirectional: bool) -> None:
    options = {"nonlinearity": "relu", "batch_first": True, "bidirectional": bidirectional}
    ours, theirs = pair("rnn", 3, 5, num_layers=2, **options)
    for N in (1, 47, 60):
        compare(ours, theirs, torch.rand(N, 7, 3))
    assert ours.ran.startswith("compiled")


@pytest.mark.parametrize(
    ("cell", "single_bias"),
    [("lstm", False), ("lstm", True), ("gru", False), ("gru", True), ("rnn", False)],
)
def test_networks_train_on_compiled_kernels(cell: str, single_bias: bool) -> None:
    """The same losses as on torch's kernels, step by step."""
    networks = [
        Forecaster(3, (6, 4), window=7, cell=cell, single_bias=single_bias, bidirectional=True),
        Forecaster(3, 6, window=7, cell=cell, single_bias=single_bias, targets=(1,)),
        Autoencoder(3, (6, 4), (4, 6), window=7, cell=cell, single_bias=single_bias),
    ]
    for module in networks:
        double = copy.deepcopy(module).double()
        x = torch.rand(60, 7, 3)
        losses = []
        for network, given in ((module, x), (double, x.double())):
            optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
            for _ in range(5):
                optimizer.zero_grad()
                loss = network(given).sub(0.3).square().mean()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
        torch.testing.assert_close(losses[:5], losses[5:], rtol=1e-4, atol=0)
        assert {ran.partition(":")[0] for ran in kernels_of(module).values()} == {"compiled"}
        assert set(kernels_of(double).values()) == {"torch: float64"}


def test_reasons_of_layers_that_torch_lacks() -> None:
    x = torch.rand(2, 5, 3)
    reasons = {
        "relu": {"cell": "lstm", "activation": "relu"},
        "hard_sigmoid": {"cell": "gru", "recurrent_activation": "hard_sigmoid"},
        "reset_after=False": {"cell": "gru", "reset_after": False},
        "a projection": {"cell": "lstm", "proj_size": 2, "single_bias": True},
    }
    for reason, options in reasons.items():
        layer = recurrent_layer(input_size=3, hidden_size=4, **options)
        assert isinstance(layer, Compiled)
        assert layer.ran is None
        out, state = layer(x)
        assert layer.ran == f"torch: {reason}"
        assert torch.equal(layer.last_hidden(x), flat((out, state))[1])
        assert layer.ran == f"torch: {reason}"
    assert kernels_of(torch.nn.Sequential(torch.nn.GRU(2, 3))) == {"0": "torch"}
