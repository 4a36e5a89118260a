"""Heads of several layers, and heads of means and log variances, as torch modules have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import slidecell as sc

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from tests.test_convert_forms import TOLERANCE, F, H, Net, W, decode, head, last, rnn, windows  # noqa: E402


def chain(*parts: nn.Module) -> Callable[[], nn.Module]:
    return lambda: Net(last, r=rnn(), head=nn.Sequential(*parts))


def normed(size: int) -> nn.BatchNorm1d:
    norm = nn.BatchNorm1d(size)
    norm.running_mean.copy_(torch.linspace(-1, 1, size))
    norm.running_var.copy_(torch.linspace(0.5, 4, size))
    return norm


# Name -> (module, the head's entries: sizes and activations).
HEADS: dict[str, tuple[Callable[[], nn.Module], list[tuple[int | None, str]]]] = {
    "relu": (chain(head(H, 7), nn.ReLU(), head(7)), [(7, "relu"), (F, "linear")]),
    "in place": (chain(head(H, 7), nn.ReLU(inplace=True), head(7)), [(7, "relu"), (F, "linear")]),
    "tanh": (chain(head(H, 7), nn.Tanh(), head(7)), [(7, "tanh"), (F, "linear")]),
    "sigmoid at the end": (chain(head(), nn.Sigmoid()), [(F, "sigmoid")]),
    "gelu": (chain(head(H, 7), nn.GELU(), head(7)), [(7, "gelu"), (F, "linear")]),
    "gelu_tanh": (
        chain(head(H, 7), nn.GELU(approximate="tanh"), head(7)), [(7, "gelu_tanh"), (F, "linear")]
    ),
    "leaky relu": (
        chain(head(H, 7), nn.LeakyReLU(0.2), head(7)), [(7, "leaky_relu"), (F, "linear")]
    ),
    "relu of h": (chain(nn.ReLU(), head()), [(None, "relu"), (F, "linear")]),
    "four layers": (
        chain(head(H, 9), nn.ReLU(), head(9, 5), nn.Tanh(), head(5, 3), nn.GELU(), head(3)),
        [(9, "relu"), (5, "tanh"), (3, "gelu"), (F, "linear")],
    ),
    "six layers, two of them products": (
        chain(head(H, 9), head(9, 5), nn.ReLU(), nn.Dropout(0.5), head(5, 6), normed(6), nn.ReLU(),
              normed(6), head(6, 7), head(7)),
        [(5, "relu"), (6, "relu"), (F, "linear")],
    ),
    "no dense layer": (
        lambda: Net(lambda n, x: torch.relu(n.r(x)[0][:, -1]), r=rnn(hidden=F)),
        [(None, "relu"), (F, "linear")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_heads_give_the_numbers_of_the_module(name: str) -> None:
    torch.manual_seed(0)
    make, entries = HEADS[name]
    module = make().eval()
    series, x = windows(1)
    with torch.no_grad():
        theirs = module(torch.from_numpy(x)).numpy()
    model = sc.SequenceModel.from_torch(module, window=W)
    written = [(e.get("output_size"), e["activation"]) for e in model.metadata["head"]]
    assert written == entries
    np.testing.assert_allclose(model.predict(series)[:, 0], theirs, rtol=0, atol=TOLERANCE)


def test_head_on_every_step_of_an_autoencoder() -> None:
    torch.manual_seed(0)
    module = Net(
        lambda n, x: decode(n, n.e(x)[1][0][-1]),
        e=rnn(hidden=3),
        d=rnn(inputs=3),
        head=nn.Sequential(head(H, 7), nn.ReLU(), head(7)),
    )
    series, x = windows(1)
    with torch.no_grad():
        theirs = module(torch.from_numpy(x)).numpy()
    ours = sc.SequenceModel.from_torch(module, window=W).predict(series)[: len(theirs)]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_activations_of_parts_that_export_cannot_follow_are_refused() -> None:
    """Where a graph is missing, a head is one dense layer."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.r, self.head = rnn(), head()

        def forward(self, x: Tensor) -> Tensor:
            if x.sum() == 0.123:
                raise ValueError("no such windows")
            return torch.relu(last(self, x))

    with pytest.raises(ValueError, match="its outputs differ from the layers and the head"):
        sc.SequenceModel.from_torch(Branches(), window=W)


def two(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    h = net.r(x)[0][:, -1]
    return net.mean(h), net.variance(h)


def behind_one(net: Any, x: Tensor) -> dict[str, Tensor]:
    h = torch.relu(net.head(net.r(x)[0][:, -1]))
    return {"mean": net.mean(h), "log_variance": net.variance(h)}


def halves(net: Any, x: Tensor) -> tuple[Tensor, ...]:
    return last(net, x).chunk(2, dim=-1)


GAUSSIAN: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "two dense layers": (1, lambda: Net(two, r=rnn(), mean=head(), variance=head())),
    "two rows ahead": (2, lambda: Net(two, r=rnn(), mean=head(H, 2 * F), variance=head(H, 2 * F))),
    "behind one layer": (
        1, lambda: Net(behind_one, r=rnn(), head=head(H, 7), mean=head(7), variance=head(7))
    ),
    "two chains": (
        1,
        lambda: Net(two, r=rnn(), mean=nn.Sequential(head(H, 7), nn.Tanh(), head(7)),
                    variance=nn.Sequential(nn.Linear(H, 5, bias=False), nn.Tanh(), head(5))),
    ),
    "relu of h, twice": (
        1,
        lambda: Net(two, r=rnn(), mean=nn.Sequential(nn.ReLU(), head()),
                    variance=nn.Sequential(nn.ReLU(), head())),
    ),
    "halves of one layer": (1, lambda: Net(halves, r=rnn(), head=head(H, 2 * F))),
    "halves of a chain": (
        1, lambda: Net(halves, r=rnn(), head=nn.Sequential(head(H, 7), nn.GELU(), head(7, 2 * F)))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GAUSSIAN)
def test_mean_and_log_variance(name: str) -> None:
    torch.manual_seed(0)
    horizon, make = GAUSSIAN[name]
    module = make().eval()
    series, x = windows(horizon)
    with torch.no_grad():
        answers = module(torch.from_numpy(x))
        mean, variance = answers.values() if isinstance(answers, dict) else answers
    model = sc.SequenceModel.from_torch(module, window=W, horizon=horizon)
    assert model.metadata["distribution"] == "gaussian"
    for ours, theirs in (
        (model.predict(series), mean),
        (model.predict_log_variance(series), variance),
    ):
        assert ours.shape == (len(x), horizon, F)
        expected = theirs.numpy().reshape(ours.shape)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE)
    truth = torch.from_numpy(sc.sliding_windows(series, window=W, horizon=horizon)[1]).flatten(1)
    each = functional.gaussian_nll_loss(mean, truth, variance.exp(), eps=1e-6, reduction="none")
    scores = model.score(series, reduction="nll")[W + horizon - 1 :]
    np.testing.assert_allclose(scores, each.mean(dim=1).numpy(), rtol=2e-5)


def exponential(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    mean, variance = two(net, x)
    return mean, variance.exp()


def reconstruction(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    code = net.e(x)[1][0][-1]
    return decode(net, code), decode(net, code) * 2


def other_layers(net: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    return net.mean(net.r(x)[0][:, -1]), net.variance(net.r2(x)[0][:, -1])


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "five layers": (
        chain(*(part for _ in range(4) for part in (head(H, H), nn.ReLU())), head()),
        "'linear_4 of head.8' is one more than the 4 dense layers of a head .*; use fewer",
    ),
    "variance itself": (
        lambda: Net(exponential, r=rnn(), mean=head(), variance=head()),
        "'exp' takes the exponential; return the log variance itself",
    ),
    "another depth": (
        lambda: Net(two, r=rnn(), mean=head(), variance=nn.Sequential(head(), nn.ReLU(), head(F))),
        "'linear_2 of variance.2' computes the log variance by other layers than the mean's; give",
    ),
    "another size": (
        lambda: Net(two, r=rnn(), mean=head(), variance=head(H, 3)),
        "expected as many log variances as means, 4, got 3; return the prediction alone",
    ),
    "other recurrent layers": (
        lambda: Net(other_layers, r=rnn(), r2=rnn(), mean=head(), variance=head()),
        r"of the same recurrent layers, got them of different ones \('lstm of r', 'lstm_1 of r2'\)",
    ),
    "of an autoencoder": (
        lambda: Net(reconstruction, e=rnn(), d=rnn(inputs=H), head=head()),
        "expected log variances of a forecaster alone, got those of an autoencoder",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_heads_name_the_node_and_what_to_do(name: str) -> None:
    make, text = REFUSED[name]
    with pytest.raises(ValueError, match=f"^module: .*{text}"):
        sc.SequenceModel.from_torch(make(), window=W, horizon=1)
