"""Modules of which no graph is known: what they do beside their layers is seen at any value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import slidecell as sc

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402

from slidecell.training import Autoencoder, Forecaster  # noqa: E402


def same(x: Tensor) -> Tensor:
    """Return it."""
    return x


class Net(nn.Module):
    """A recurrent layer and a head, with a function before, between and after."""

    def __init__(
        self,
        before: Callable[[Tensor], Tensor] = same,
        between: Callable[[Tensor], Tensor] = same,
        after: Callable[[Tensor], Tensor] = same,
        *,
        kind: str = "LSTM",
        **options: Any,
    ) -> None:
        super().__init__()
        self.layer = getattr(nn, kind)(2, 8, **{"batch_first": True, **options})
        self.head = nn.Linear(16 if self.layer.bidirectional else 8, 2)
        self.before, self.between, self.after = before, between, after

    def forward(self, x: Tensor) -> Tensor:
        """[N, W, 2] -> [N, 2]."""
        if x.flatten()[0] == 0.123:  # a branch on values, which export cannot follow
            return self.after(x[:, 0])
        x = self.before(x)
        out, state = self.layer(x if self.layer.batch_first else x.transpose(0, 1))
        h = state[0] if isinstance(state, tuple) else state
        last = out[:, -1] if self.layer.batch_first else out[-1]
        code = torch.cat([h[-2], h[-1]], -1) if self.layer.bidirectional else last
        return self.after(self.head(self.between(code)))


FUNCTIONS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "clamp near": ("before", lambda x: x.clamp(-5, 5)),
    "clamp far": ("before", lambda x: x.clamp(-1e6, 1e6)),
    "nan_to_num": ("before", torch.nan_to_num),
    "no infinity": ("before", lambda x: torch.where(torch.isinf(x), 0.0, x)),
    "spikes cut": ("before", lambda x: torch.where(x.abs() > 1e3, 1e3 * x.sign(), x)),
    "negative": ("before", lambda x: torch.where(x < -4, 0.0, x)),
    "zero": ("before", lambda x: torch.where(x == 0, 1.0, x)),
    "clamp of h": ("between", lambda h: h.clamp(-0.9, 0.9)),
    "clamp of the output": ("after", lambda y: y.clamp(-100, 100)),
    "lower clamp": ("after", lambda y: y.clamp(min=-2)),
    "nan_to_num after": ("after", torch.nan_to_num),
}


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_functions_beside_the_layers_are_refused(name: str, kind: str, bidirectional: bool) -> None:
    place, function = FUNCTIONS[name]
    torch.manual_seed(0)
    module = Net(**{place: function}, kind=kind, bidirectional=bidirectional)
    with pytest.raises(ValueError, match=r"^module: it"):
        sc.SequenceModel.from_torch(module, window=4)


def test_the_text_names_place_and_values() -> None:
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="its input before the layers, at NaN and infinity: "):
        sc.SequenceModel.from_torch(Net(torch.nan_to_num), window=4)
    with pytest.raises(ValueError, match="its output after the head, at large values: "):
        sc.SequenceModel.from_torch(Net(after=lambda y: y.clamp(-100, 100)), window=4)


class ClampedForecaster(Forecaster):
    """Looks at less than it is given."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, W, F] -> [N, K*F]."""
        return super().forward(x.clamp(-1e4, 1e4))


class ClampedAutoencoder(Autoencoder):
    """Answers less than it could."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, W, F] -> [N, W, F]."""
        return super().forward(x).clamp(-1e4, 1e4)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ClampedForecaster(2, 4, window=4),
        lambda: ClampedAutoencoder(2, (4,), (4,), window=4),
    ],
)
def test_subclasses_of_own_modules_are_seen(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"becomes -?10000"):
        sc.SequenceModel.from_torch(make())


class StepByStep(Net):
    """Hands the state on by itself."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, W, 2] -> [N, 2]."""
        state = None
        for t in range(x.shape[1]):
            out, state = self.layer(x[:, t : t + 1], state)
        return self.head(out[:, -1])


class HeadOnAllSteps(Net):
    """Applies the head to every step and takes the last."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, W, 2] -> [N, 2]."""
        return self.head(self.layer(x)[0])[:, -1]


class WithChecks(Net):
    """Refuses values that are not finite."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, W, 2] -> [N, 2]."""
        assert torch.isfinite(x).all()
        return super().forward(x)


class FinalState(Net):
    """Leaves the layers' dimension in its answer."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, W, 2] -> [1, N, 2]."""
        return self.head(self.layer(x)[1][0])


@pytest.mark.parametrize(
    "make",
    [
        Net,
        lambda: Net(kind="GRU", bidirectional=True, num_layers=2),
        lambda: Net(kind="RNN", nonlinearity="relu"),
        lambda: Net(batch_first=False),
        lambda: Net(between=lambda h: h.clamp(-1, 1)),  # h lies within
        StepByStep,
        HeadOnAllSteps,
        WithChecks,
        FinalState,
    ],
)
@pytest.mark.parametrize("gain", [1.0, 4.0])
def test_valid_forms_are_accepted_and_the_same(make: Callable[[], nn.Module], gain: float) -> None:
    torch.manual_seed(0)
    module = make().eval()
    if getattr(module.layer, "nonlinearity", "tanh") != "relu":  # it would grow without bound
        for parameter in module.parameters():
            parameter.data *= gain
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32) * 10
    ours = sc.SequenceModel.from_torch(module, window=4).predict(x)[:, 0]
    with torch.no_grad():
        theirs = module(torch.from_numpy(sc.sliding_windows(x, window=4)[0])).numpy()
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=1e-5, atol=1e-5)
