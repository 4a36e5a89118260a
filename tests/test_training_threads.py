"""Threads of training: torch's, and those of the compiled layers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from slidecell.training import Autoencoder, Forecaster, fit, torch_threads  # noqa: E402
from slidecell.training import fused as fused_layers  # noqa: E402
from slidecell.training.layers import mostly_compiled  # noqa: E402
from slidecell.training.threads import kernel_threads  # noqa: E402

SERIES = np.random.default_rng(3).random((900, 5), np.float32)


@contextlib.contextmanager
def threads_of_torch(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Seen(list[tuple[int, int]]):
    """A loss that notes the threads of torch and of the compiled layers."""

    def __call__(self, prediction: Any, target: Any) -> Any:
        self.append((torch.get_num_threads(), kernel_threads()))
        return torch.nn.functional.mse_loss(prediction, target)


class Convolution(torch.nn.Module):
    """A forecaster without a recurrent layer."""

    window, horizon, input_size = 6, 1, 5

    def __init__(self) -> None:
        super().__init__()
        self.flat = torch.nn.Linear(30, 5)

    def forward(self, x: Any) -> Any:
        return self.flat(x.flatten(1))


class WideHead(Forecaster):
    """A forecaster whose head has more weights than its layer."""

    def __init__(self) -> None:
        super().__init__(5, 4, window=6)
        self.more = torch.nn.Linear(5, 2000)
        self.less = torch.nn.Linear(2000, 5)

    def forward(self, x: Any) -> Any:
        return self.less(self.more(super().forward(x)))


def test_threads_of_a_block() -> None:
    with threads_of_torch(2):
        assert kernel_threads() == 2
        with torch_threads(1, kernels=3):
            assert (torch.get_num_threads(), kernel_threads()) == (1, 3)
            with torch_threads(4):
                assert (torch.get_num_threads(), kernel_threads()) == (4, 4)
            with torch_threads(None, kernels=5), torch_threads(None):
                assert (torch.get_num_threads(), kernel_threads()) == (1, 5)
            assert (torch.get_num_threads(), kernel_threads()) == (1, 3)
        assert (torch.get_num_threads(), kernel_threads()) == (2, 2)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Forecaster(5, 8, window=6), (1, 3)),
        (lambda: Forecaster(5, (8, 8), window=6, cell="gru"), (1, 3)),
        (lambda: Autoencoder(5, (8, 4), window=6), (1, 3)),
        (lambda: Forecaster(5, 8, window=6, proj_size=3), (3, 3)),
        (Convolution, (3, 3)),
        (WideHead, (3, 3)),
    ],
    ids=["lstm", "gru", "autoencoder", "projected", "torch alone", "wide head"],
)
def test_fit_gives_all_threads_to_compiled_layers(make: Any, expected: tuple[int, int]) -> None:
    seen = Seen()
    with threads_of_torch(3):
        fit(make(), SERIES, epochs=1, loss=seen, progress=False, seed=0)
        assert torch.get_num_threads() == 3
    assert set(seen) == {expected}


def test_fit_heeds_the_threads_around_it_and_gives_torch_its_own_back() -> None:
    seen = Seen()
    with threads_of_torch(2), torch_threads(2, kernels=4):
        fit(Forecaster(5, 8, window=6), SERIES, epochs=1, loss=seen, progress=False, seed=0)
        assert (torch.get_num_threads(), kernel_threads()) == (2, 4)

        def failing(prediction: Any, target: Any) -> Any:
            raise RuntimeError("no loss")

        with pytest.raises(RuntimeError, match="no loss"):
            fit(Forecaster(5, 8, window=6), SERIES, loss=failing, progress=False, seed=0)
        assert (torch.get_num_threads(), kernel_threads()) == (2, 4)
    assert set(seen) == {(1, 4)}


def test_both_passes_use_the_threads_of_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    used: dict[str, list[int]] = {"training_forward": [], "training_backward": []}
    for name, numbers in used.items():
        real = getattr(fused_layers._core, name)

        def noted(*args: Any, real: Any = real, numbers: list[int] = numbers) -> Any:
            numbers.append(args[-2])
            return real(*args)

        monkeypatch.setattr(fused_layers._core, name, noted)
    with threads_of_torch(3):
        fit(Forecaster(5, 8, window=6), SERIES, epochs=1, progress=False, seed=0)
    assert set(used["training_forward"]) == set(used["training_backward"]) == {3}


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_fit_gives_the_same_bits_on_any_number_of_threads(cell: Any) -> None:
    found = []
    for threads in (1, 2, 3):
        module = Forecaster(5, 32, window=6, cell=cell)
        with threads_of_torch(threads):
            history = fit(module, SERIES, epochs=3, batch_size=512, progress=False, seed=1)
        found.append((history.train_loss, history.validation_loss, module.state_dict()))
    for train, validation, state in found[1:]:
        assert (train, validation) == found[0][:2]
        assert all(torch.equal(state[name], value) for name, value in found[0][2].items())


def test_what_is_mostly_compiled() -> None:
    module = Forecaster(5, 8, window=6)
    assert mostly_compiled(module)
    assert not mostly_compiled(module.double())
    assert not mostly_compiled(torch.nn.LSTM(3, 4))
    assert not mostly_compiled(WideHead())
    with torch.autocast("cpu", torch.bfloat16):
        assert not mostly_compiled(Forecaster(5, 8, window=6))


@pytest.mark.parametrize(
    ("layers", "batch", "expected"),
    [({}, 64, (1, 1)), ({}, 256, (1, 3)), ({"proj_size": 8}, 256, (1, 1))],
    ids=["small", "large", "by torch"],
)
@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_detectors_train_on_threads_where_they_pay(
    layers: dict[str, int], batch: int, expected: tuple[int, int]
) -> None:
    from slidecell.training.settings import TrainingSettings
    from slidecell.training.train_network import train_network

    seen = Seen()
    with threads_of_torch(3):
        train_network(
            lambda features: Forecaster(features, 32, window=6, **layers),
            (SERIES, np.array([0, len(SERIES)])),
            (SERIES[:0], np.array([0, 0])),
            scaler="minmax",
            settings=TrainingSettings(epochs=1, batch_size=batch, loss=seen),
        )
    assert set(seen) == {expected}
