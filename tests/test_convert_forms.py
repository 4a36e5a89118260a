"""Forms in which people write recurrent networks: the same numbers, or the node and what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.scaling import fit_scaler

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

W, F, H = 6, 4, 8
TOLERANCE = 1e-5  # of the module in float32

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported:UserWarning")


class Net(nn.Module):
    """Parts by name, and what `run` does with them."""

    def __init__(self, run: Callable[[Any, Tensor], Any], **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            if isinstance(part, Tensor):
                self.register_buffer(name, part)
            else:
                self.add_module(name, part)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def rnn(kind: Any = nn.LSTM, inputs: int = F, hidden: int = H, **options: Any) -> nn.Module:
    return kind(inputs, hidden, **{"batch_first": True, **options})


def head(inputs: int = H, outputs: int = F) -> nn.Linear:
    return nn.Linear(inputs, outputs)


def last(net: Any, x: Tensor) -> Tensor:
    """The head on the last step of layer `r`."""
    return net.head(net.r(x)[0][:, -1])


def decode(net: Any, code: Tensor) -> Tensor:
    """The head on all steps of layer `d`, which reads the code at each row."""
    return net.head(net.d(code.unsqueeze(1).repeat(1, W, 1))[0])


def cells(net: Any, x: Tensor) -> Tensor:
    """Two layers of cells, row by row, behind a dense layer."""
    h, c = x.new_zeros(len(x), H), torch.zeros(x.size(0), H)
    above = torch.zeros_like(h)
    outs = []
    for t in range(x.size(1)):
        h, c = net.a(net.i(x[:, t]), (h, c))
        above = net.b(h, above)
        outs.append(above)
    return net.head(torch.stack(outs, 1)[:, -1])


def decoder_cell(net: Any, x: Tensor) -> Tensor:
    """An autoencoder whose decoder is a cell that reads the code at each step."""
    code, h = net.e(x)[1][0][-1], torch.zeros(len(x), H)
    rows = []
    for _ in range(W):
        h = net.d(code, h)
        rows.append(net.head(h))
    return torch.stack(rows, dim=1)


def step_by_step(net: Any, x: Tensor) -> Tensor:
    """A stack of layers that gets one row at a time and its own state."""
    state = None
    for t in range(W):
        out, state = net.r(x[:, t : t + 1], state)
    return net.head(out[:, -1])


def both_ends(net: Any, x: Tensor) -> Tensor:
    """The forward direction's last row, the backward one's first."""
    out = net.r(x)[0]
    return net.head(torch.cat([out[:, -1, :H], out[:, 0, H:]], dim=1))


def weight_normed() -> nn.Module:
    net = Net(last, r=rnn(), head=head())
    nn.utils.parametrizations.weight_norm(net.head)
    nn.utils.parametrizations.weight_norm(net.r, "weight_hh_l0")
    return net


def normed() -> nn.BatchNorm1d:
    """A batch norm that has seen something."""
    norm = nn.BatchNorm1d(F)
    norm.running_mean.copy_(torch.linspace(-1, 1, F))
    norm.running_var.copy_(torch.linspace(0.5, 4, F))
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 1.5, F))
        norm.bias.copy_(torch.linspace(1, -1, F))
    return norm


def over_channels(part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return part(x.transpose(1, 2)).transpose(1, 2)


# Name -> (horizon, module).
ACCEPTED: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "last step": (1, lambda: Net(last, r=rnn(), head=head())),
    "h_n": (1, lambda: Net(lambda n, x: n.head(n.r(x)[1][0][-1]), r=rnn(), head=head())),
    "rnn relu": (1, lambda: Net(last, r=rnn(nn.RNN, nonlinearity="relu"), head=head())),
    "projection, no bias": (1, lambda: Net(last, r=rnn(proj_size=5, bias=False), head=head(5))),
    "dropout": (
        1,
        lambda: Net(
            lambda n, x: n.head(n.d(n.r(x)[0][:, -1])),
            r=rnn(num_layers=2, dropout=0.3),
            d=nn.Dropout(0.5),
            head=head(),
        ),
    ),
    "three recurrent parts": (
        1,
        lambda: Net(
            lambda n, x: n.head(n.r(n.b(n.a(x)[0])[0])[0][:, -1:].flatten(1)),
            a=rnn(hidden=9, num_layers=2),
            b=rnn(nn.GRU, 9, 5, bidirectional=True),
            r=rnn(nn.RNN, 10),
            head=head(),
        ),
    ),
    "in a Sequential": (
        1,
        lambda: nn.Sequential(Net(lambda n, x: n.r(x)[0][:, -1], r=rnn()), nn.Identity(), head()),
    ),
    "time first inside": (
        1,
        lambda: Net(
            lambda n, x: n.head(n.r(x.permute(1, 0, 2))[0][-1]),
            r=rnn(batch_first=False),
            head=head(),
        ),
    ),
    "h_n of both directions": (
        1,
        lambda: Net(
            lambda n, x: n.head(n.r(x)[1][0][-2:].transpose(0, 1).reshape(len(x), -1)),
            r=rnn(bidirectional=True, num_layers=2),
            head=head(2 * H),
        ),
    ),
    "h_n by layer and direction": (
        1,
        lambda: Net(
            lambda n, x: n.head(torch.cat(tuple(n.r(x)[1].view(2, 2, len(x), H)[-1]), -1)),
            r=rnn(nn.GRU, bidirectional=True, num_layers=2),
            head=head(2 * H),
        ),
    ),
    "both directions added": (
        1,
        lambda: Net(
            lambda n, x: n.head(n.r(x)[1][-1] + n.r(x)[1][-2]),
            r=rnn(nn.GRU, bidirectional=True),
            head=head(),
        ),
    ),
    "first and last row": (1, lambda: Net(both_ends, r=rnn(bidirectional=True), head=head(2 * H))),
    "cells in a loop": (
        1,
        lambda: Net(
            cells, i=head(F, 5), a=nn.LSTMCell(5, H), b=nn.GRUCell(H, H), head=head()
        ),
    ),
    "row by row": (1, lambda: Net(step_by_step, r=rnn(num_layers=2), head=head())),
    "dense layers before": (
        1,
        lambda: Net(
            lambda n, x: last(n, n.i(x)), i=nn.Sequential(head(F, 7), head(7, 3)), r=rnn(inputs=3),
            head=head(),
        ),
    ),
    "batch norm before, without biases": (
        1,
        lambda: Net(
            lambda n, x: last(n, over_channels(n.norm, x)), norm=normed(),
            r=rnn(nn.GRU, bias=False), head=head(),
        ),
    ),
    "scaled inside and back": (
        1,
        lambda: Net(
            lambda n, x: last(n, (x - n.center) / n.scale) * n.scale + n.center,
            center=torch.linspace(-1, 1, F), scale=torch.linspace(0.5, 2, F), r=rnn(), head=head(),
        ),
    ),
    "batch norm on h": (
        1,
        lambda: Net(
            lambda n, x: n.head(n.norm(n.head2(n.r(x)[0][:, -1]))), r=rnn(), head2=head(),
            norm=normed(), head=head(F),
        ),
    ),
    "columns chosen": (
        1, lambda: Net(lambda n, x: last(n, x[:, :, [2, 0]]), r=rnn(inputs=2), head=head())
    ),
    "by matmul": (
        1, lambda: Net(lambda n, x: n.r(x)[0][:, -1] @ n.head.weight.T, r=rnn(), head=head())
    ),
    "clamp that cuts nothing": (
        1, lambda: Net(lambda n, x: n.head(n.r(x)[0][:, -1].clamp(-1, 1)), r=rnn(), head=head())
    ),
    "rows in the last axis": (
        3,
        lambda: Net(
            lambda n, x: last(n, x).view(-1, F, 3).transpose(1, 2), r=rnn(), head=head(H, 3 * F)
        ),
    ),
    "in place": (1, lambda: Net(lambda n, x: last(n, x).mul_(2).add_(1), r=rnn(), head=head())),
    "without gradients": (
        1, lambda: Net(torch.no_grad()(last), r=rnn(), head=head())
    ),
    "weight norm": (1, weight_normed),
    "double": (1, lambda: Net(last, r=rnn(), head=head()).double()),
    "data parallel": (1, lambda: nn.DataParallel(Net(last, r=rnn(), head=head()))),
    "compiled": (1, lambda: torch.compile(Net(last, r=rnn(), head=head()), backend="eager")),
    "a compiled part": (
        1, lambda: Net(last, r=torch.compile(rnn(), backend="eager"), head=head())
    ),
    "autoencoder": (
        0, lambda: Net(lambda n, x: decode(n, n.e(x)[1][0][-1]), e=rnn(hidden=3), d=rnn(inputs=3),
                       head=head())
    ),
    "autoencoder, dense bottleneck": (
        0,
        lambda: Net(
            lambda n, x: decode(n, n.up(n.down(n.e(x)[0][:, -1]))),
            e=rnn(nn.GRU, num_layers=2), down=head(H, 2), up=head(2, 5), d=rnn(nn.GRU, inputs=5),
            head=head(),
        ),
    ),
    "autoencoder, repeated and viewed": (
        0,
        lambda: Net(
            lambda n, x: n.head(
                n.d(n.e(x)[1][0][0].repeat(1, W).view(len(x), W, -1))[0].reshape(-1, H)
            ).view(-1, W, F),
            e=rnn(hidden=3), d=rnn(inputs=3), head=head(),
        ),
    ),
    "autoencoder without head": (
        0,
        lambda: Net(
            lambda n, x: n.d(n.e(x)[1][0][0].unsqueeze(1).expand(-1, W, -1))[0],
            e=rnn(), d=rnn(inputs=H, hidden=F),
        ),
    ),
    "autoencoder, decoder of cells": (
        0, lambda: Net(decoder_cell, e=rnn(), d=nn.GRUCell(H, H), head=head())
    ),
}  # fmt: skip


def windows(horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """A series with large values, and its windows."""
    series = np.random.default_rng(0).normal(size=(30, F)).astype(np.float32)
    series[18:24] *= 30
    return series, sc.sliding_windows(series, window=W, horizon=horizon)[0]


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_forms_give_the_numbers_of_the_module(name: str) -> None:
    horizon, make = ACCEPTED[name]
    torch.manual_seed(0)
    module = make().eval()
    series, x = windows(horizon or 1)
    inputs = torch.from_numpy(x)
    with torch.no_grad():
        theirs = module(inputs.double() if name == "double" else inputs).numpy()
    model = sc.SequenceModel.from_torch(module, window=W, horizon=horizon or None)
    assert (model.window, model.horizon, model.input_size) == (W, horizon, F)
    ours = model.predict(series)[: len(theirs)]
    assert ours.shape == (len(theirs), horizon or W, F)
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=0, atol=TOLERANCE)


def seeded_state(net: Any, x: Tensor) -> Tensor:
    """A decoder that starts from the encoder's state and reads the window again."""
    return net.head(net.d(x, net.e(x)[1])[0])


def attention(net: Any, x: Tensor) -> Tensor:
    out = net.r(x)[0]
    return net.head((functional.softmax(net.a(out), dim=1) * out).sum(1))


def variational(net: Any, x: Tensor) -> Tensor:
    mean = net.r(x)[0][:, -1]
    return net.head(mean + torch.randn_like(mean))


# Name -> (module, what the text says).
REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "layer norm": (
        lambda: Net(lambda n, x: n.head(n.norm(n.r(x)[0][:, -1])), r=rnn(), norm=nn.LayerNorm(H),
                    head=head()),
        "'layer_norm of norm' normalises each vector .*; leave it out, or train with BatchNorm1d",
    ),
    "residual": (
        lambda: Net(lambda n, x: x[:, -1] + last(n, x), r=rnn(), head=head()),
        "'add' reads row 5 alone, not h of a layer; leave the skip connection out",
    ),
    "skip over a layer": (
        lambda: Net(lambda n, x: n.head((n.r(x)[0] + x)[:, -1]), r=rnn(hidden=F), head=head(F)),
        r"'add' adds what different layers give \('lstm of r' is in one alone\); leave the skip",
    ),
    "average of all rows": (
        lambda: Net(lambda n, x: n.head(n.r(x)[0].mean(1)), r=rnn(), head=head()),
        r"'mean' averages over an axis; read the last step: out\[:, -1\] or h_n",
    ),
    "attention": (
        lambda: Net(attention, r=rnn(), a=head(H, 1), head=head()),
        "'softmax' weighs steps by attention; read the last step",
    ),
    "convolution": (
        lambda: Net(lambda n, x: last(n, over_channels(n.c, x)), r=rnn(), head=head(),
                    c=nn.Conv1d(F, F, 3, padding=1)),
        "'conv1d of c' convolves; leave it out",
    ),
    "activation between layers": (
        lambda: Net(lambda n, x: last(n, torch.tanh(n.i(x))), i=head(F, F), r=rnn(), head=head()),
        r"'tanh' is an activation \(tanh\) before the recurrent layer 'lstm of r'; leave it out",
    ),
    "another activation": (
        lambda: Net(lambda n, x: n.head(functional.silu(n.r(x)[0][:, -1])), r=rnn(), head=head()),
        "'silu' is silu, which no head has; use relu, tanh, sigmoid, gelu or leaky_relu",
    ),
    "turned around": (
        lambda: Net(lambda n, x: last(n, x.flip(1)), r=rnn(), head=head()),
        "'flip' turns an axis around; use bidirectional=True",
    ),
    "first step": (
        lambda: Net(lambda n, x: n.head(n.r(x)[0][:, 0]), r=rnn(), head=head()),
        "'lstm of r' is read at row 0 of the window; read its last step, row 5",
    ),
    "out of both directions": (
        lambda: Net(last, r=rnn(bidirectional=True), head=head(2 * H)),
        "'lstm of r' is bidirectional and read at row 5, .*; read both directions' final h, h_n",
    ),
    "part of the window": (
        lambda: Net(lambda n, x: last(n, x[:, 2:]), r=rnn(), head=head()),
        "'slice_1' takes 4 rows of 6; take all of them or the last one, or give a shorter window",
    ),
    "cell state": (
        lambda: Net(lambda n, x: n.head(n.r(x)[1][1][-1]), r=rnn(), head=head()),
        "'linear of head' reads c, the cell state of an LSTM; read h instead",
    ),
    "h of two layers": (
        lambda: Net(lambda n, x: n.head(n.r(x)[1].transpose(0, 1).flatten(1)),
                    r=rnn(nn.GRU, num_layers=2), head=head(2 * H)),
        "'linear of head' multiplies along feature and layer",
    ),
    "learnt first state": (
        lambda: Net(lambda n, x: n.head(n.r(x, n.h.expand(1, len(x), H).contiguous())[0][:, -1]),
                    r=rnn(nn.GRU), h=torch.ones(1, 1, H), head=head()),
        "'gru of r' starts from a state that is not zero; start from zeros",
    ),
    "state handed to the decoder": (
        lambda: Net(seeded_state, e=rnn(), d=rnn(), head=head()),
        "'lstm_1 of d' starts from another layer's state; start from zeros and .* repeat it",
    ),
    "gate": (
        lambda: Net(lambda n, x: n.head(n.r(x)[0][:, -1] * n.g(n.r(x)[0][:, -1])), r=rnn(),
                    g=head(H, H), head=head()),
        "'mul' multiplies values with each other; leave the gate or attention out",
    ),
    "numbers per row": (
        lambda: Net(lambda n, x: last(n, x + n.p), p=torch.rand(W, F), r=rnn(), head=head()),
        "'add' adds or multiplies by numbers that differ between rows; leave it out",
    ),
    "dropout in eval mode": (
        lambda: Net(lambda n, x: n.head(functional.dropout(n.r(x)[0][:, -1])), r=rnn(),
                    head=head()),
        "'dropout' drops values in eval mode too; use nn.Dropout",
    ),
    "random numbers": (
        lambda: Net(variational, r=rnn(), head=head()), "'randn_like' draws random numbers"
    ),
    "clamp": (
        lambda: Net(lambda n, x: last(n, x.clamp(-5, 5)), r=rnn(), head=head()),
        r"'clamp' cuts values to -5 \.\. 5; leave it out; slidecell skips missing values itself",
    ),
    "forecast by a decoder": (
        lambda: Net(lambda n, x: decode(n, n.e(x)[1][0][-1])[:, -1], e=rnn(), d=rnn(inputs=H),
                    head=head()),
        "'lstm_1 of d' takes the last step of a decoder; answer at all of its steps",
    ),
    "one row alone": (
        lambda: Net(lambda n, x: n.head(x[:, -1]), r=rnn(), head=head(F)),
        "'output' reads row 5 alone, not h of a layer",
    ),
    "no window": (
        lambda: Net(lambda n, x: n.head(torch.ones(len(x), F)), r=rnn(), head=head(F)),
        "expected it to return one prediction, .*, got what no window changes",
    ),
    "three answers": (
        lambda: Net(lambda n, x: (last(n, x),) * 3, r=rnn(), head=head()),
        "one prediction, or mean and log variance, got 3 values; return the prediction alone",
    ),
    "two rows for one": (
        lambda: Net(last, r=rnn(), head=head(H, 2 * F)),
        "out_features=4 .*, got 8; pass horizon=2; return mean and log variance as two tensors",
    ),
    "one column": (
        lambda: Net(last, r=rnn(), head=head(H, 1)),
        r"out_features=4 .*, got 1; pass targets=\[\.\.\.\] .*, in its order, among 0\.\.3",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_forms_name_the_node_and_what_to_do(name: str) -> None:
    make, text = REFUSED[name]
    with pytest.raises(ValueError, match=f"^module: .*{text}"):
        sc.SequenceModel.from_torch(make(), window=W, horizon=1)


@pytest.mark.parametrize("horizon", [1, 0])
def test_modules_that_read_time_first_are_taken(horizon: int) -> None:
    torch.manual_seed(0)
    if horizon:
        module = Net(lambda n, x: n.head(n.r(x)[0][-1]), r=rnn(batch_first=False), head=head())
    else:
        module = Net(
            lambda n, x: n.head(n.d(n.e(x)[1][0].repeat(W, 1, 1))[0]),
            e=rnn(hidden=3, batch_first=False),
            d=rnn(inputs=3, batch_first=False),
            head=head(),
        )
    series, x = windows(horizon or 1)
    with torch.no_grad():
        theirs = module(torch.from_numpy(x).transpose(0, 1)).numpy()  # [N, F] or [W, N, F]
    ours = sc.SequenceModel.from_torch(module, window=W).predict(series)[: len(x)]
    theirs = theirs[:, None] if horizon else theirs.transpose(1, 0, 2)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("window", [1, 2])
def test_short_windows(window: int) -> None:
    torch.manual_seed(0)
    series = np.random.default_rng(0).normal(size=(20, F)).astype(np.float32)
    x = torch.from_numpy(sc.sliding_windows(series, window=window, horizon=0))
    both = Net(
        lambda n, x: n.head(torch.cat(tuple(n.r(x)[1][0]), -1)),
        r=rnn(bidirectional=True),
        head=head(2 * H),
    )
    auto = Net(
        lambda n, x: n.head(n.d(n.e(x)[1][0][-1].unsqueeze(1).repeat(1, window, 1))[0]),
        e=rnn(hidden=3),
        d=rnn(inputs=3),
        head=head(),
    )
    for module, horizon in ((both, 1), (auto, 0)):
        model = sc.SequenceModel.from_torch(module, window=window)
        assert model.horizon == horizon
        ours = model.predict(series)
        with torch.no_grad():
            theirs = module(x[: len(ours)]).numpy().reshape(ours.shape)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_targets_features_and_scaler() -> None:
    torch.manual_seed(0)
    module = Net(last, r=rnn(), head=head(H, 2))
    names = ["a", "b", "c", "d"]
    rows = np.random.default_rng(0).normal(5, 3, size=(30, F))
    scaler = fit_scaler(rows, "standard")
    model = sc.SequenceModel.from_torch(
        module, window=W, features=names, targets=["d", "b"], scaler=scaler
    )
    assert (model.features, model.metadata["targets"], model.scaler) == (names, [3, 1], scaler)
    center, scale = np.array(scaler["center"]), np.array(scaler["scale"])
    scaled = ((rows - center) / scale).astype(np.float32)
    with torch.no_grad():
        theirs = module(torch.from_numpy(sc.sliding_windows(scaled, window=W)[0])).numpy()
    theirs = theirs * scale[[3, 1]] + center[[3, 1]]
    np.testing.assert_allclose(model.predict(rows)[:, 0], theirs, rtol=0, atol=1e-4)
    # A named target is scored as its column.
    truth = rows[W:, [3, 1]]
    errors = (((theirs - truth) / scale[[3, 1]]) ** 2).mean(axis=1)
    np.testing.assert_allclose(model.score(rows)[W:], errors, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"targets": ["d"]}, "targets: expected a name among features=, which name the columns"),
        ({"targets": [4]}, r"targets: expected distinct column indices in 0\.\.3, got \[4\]"),
        ({"features": ["a", "b"]}, r"module: it fails on x \[32, 6, 2\]"),
        ({"features": list("aabc")}, "features: expected distinct names"),
        ({"scaler": {"center": [0, 0], "scale": [1, 1]}}, "scaler: expected 4 finite numbers as c"),
        ({"scaler": {"center": [0] * 4}}, "scaler: expected the keys center and scale, scale is m"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        sc.SequenceModel.from_torch(Net(last, r=rnn(), head=head()), window=W, **arguments)


def test_scalers_of_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    torch.manual_seed(0)
    module = Net(last, r=rnn(), head=head())
    rows = np.random.default_rng(0).normal(5, 3, size=(30, F))
    for scaler in (
        preprocessing.MinMaxScaler((-1, 1)),
        preprocessing.StandardScaler(),
        preprocessing.StandardScaler(with_mean=False),
        preprocessing.RobustScaler(),
        preprocessing.MaxAbsScaler(),
    ):
        model = sc.SequenceModel.from_torch(module, window=W, scaler=scaler.fit(rows))
        scaled = scaler.transform(rows).astype(np.float32)
        with torch.no_grad():
            theirs = module(torch.from_numpy(sc.sliding_windows(scaled, window=W)[0])).numpy()
        expected = scaler.inverse_transform(theirs)
        np.testing.assert_allclose(model.predict(rows)[:, 0], expected, rtol=0, atol=1e-4)
    for scaler, error, text in (
        (preprocessing.StandardScaler(), TypeError, r"got StandardScaler \(it is not fitted\)"),
        (preprocessing.MinMaxScaler(clip=True).fit(rows), ValueError, "expected one that does not"),
        (preprocessing.StandardScaler().fit(rows[:, :2]), ValueError, "4 columns .* got one of 2"),
        (preprocessing.PowerTransformer().fit(rows), TypeError, "got PowerTransformer; scale the"),
    ):
        with pytest.raises(error, match=f"scaler: .*{text}"):
            sc.SequenceModel.from_torch(module, window=W, scaler=scaler)
