"""`fit`: it learns, reproduces, splits, and refuses what it cannot use."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from slidecell.training import (  # noqa: E402
    Autoencoder,
    Forecaster,
    seeded,
)
from slidecell.training.batches import WindowBatches  # noqa: E402
from tests.fit_cases import quick, same, sine, state  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("targets", [None, (2, 0)])
@pytest.mark.parametrize("horizon", [0, 1, 3])
def test_gather_equals_naive_windows(horizon: int, targets: tuple[int, ...] | None) -> None:
    series = np.random.default_rng(0).random((40, 3)).astype(np.float32)
    starts = np.array([30, 0, 7, 7])
    batches = WindowBatches(
        torch.from_numpy(series), window=5, horizon=horizon, targets=targets if horizon else None
    )
    x, y = batches.gather(torch.from_numpy(starts))
    assert np.array_equal(x, np.stack([series[s : s + 5] for s in starts]))
    if horizon:
        columns = slice(None) if targets is None else list(targets)
        ahead = [series[s + 5 : s + 5 + horizon, columns].ravel() for s in starts]
        assert np.array_equal(y, np.stack(ahead))
    else:
        assert y is x


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_forecaster_learns_a_sine(cell: str) -> None:
    history = quick(Forecaster(1, 16, cell=cell, window=8), sine(), epochs=15, lr=1e-2)
    assert history.validation_loss[-1] < 0.02 * history.validation_loss[0]
    assert history.train_loss[-1] < 0.02 * history.train_loss[0]


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "relu", "single_bias": True}, {"cell": "gru", "reset_after": False}],
)
def test_autoencoder_learns_a_sine(options: dict[str, Any]) -> None:
    module = Autoencoder(1, (16, 8), (8, 16), window=4, **options)
    history = quick(module, sine(), epochs=20, lr=1e-2)
    assert history.validation_loss[history.best_epoch - 1] < 0.1 * history.validation_loss[0]


def test_loss_is_the_mean_over_windows() -> None:
    """Without moving weights both losses can be computed by hand, odd last batch included."""
    series = sine(100, 2).astype(np.float32)
    module = Forecaster(2, 4, window=5, horizon=2)
    still = {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.0)}
    history = quick(module, series, batch_size=7, epochs=1, **still)

    def by_hand(first: int, last: int) -> float:
        x = np.stack([series[s : s + 5] for s in range(first, last)])
        y = np.stack([series[s + 5 : s + 7].ravel() for s in range(first, last)])
        with torch.no_grad():
            return float(((module(torch.from_numpy(x)).numpy() - y) ** 2).mean())

    windows = 100 - 7 + 1
    held = round(0.2 * windows)
    assert (history.training_windows, history.validation_windows) == (windows - held - 6, held)
    assert history.purged_windows == 6
    assert history.train_loss[0] == pytest.approx(by_hand(0, windows - held - 6), rel=1e-5)
    assert history.validation_loss[0] == pytest.approx(by_hand(windows - held, windows), rel=1e-5)


def test_seed_reproduces_and_leaves_torch_alone() -> None:
    before = torch.get_rng_state()
    runs = []
    for seed in (5, 5, 6):
        torch.rand(3)  # the global state must not matter
        module = Forecaster(1, 8, 2, window=6, dropout=0.3)
        expected = torch.get_rng_state()
        history = quick(module, sine(), seed=seed)
        assert torch.equal(torch.get_rng_state(), expected)
        runs.append((state(module), history.train_loss))
    assert same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not same(runs[0][0], runs[2][0])
    torch.set_rng_state(before)


def test_fit_without_a_seed_draws_from_torchs_generator() -> None:
    losses = []
    for _ in range(2):
        torch.manual_seed(11)
        losses.append(quick(Forecaster(1, 4, window=6), sine(200), seed=None).train_loss)
    assert losses[0] == losses[1]
    torch.manual_seed(11)
    module = Forecaster(1, 4, window=6)
    assert quick(module, sine(200), seed=None).seed != quick(module, sine(200), seed=None).seed


def test_entities_and_keys() -> None:
    offsets = np.arange(0, 601, 60)
    history = quick(Forecaster(1, 4, window=5), sine(), offsets)
    assert history.training_windows == 8 * 55
    assert history.validation_windows == 2 * 55
    assert history.purged_windows == 0
    keys = np.repeat(["a", "b", "c", "d", "e"], 2)
    history = quick(Forecaster(1, 4, window=5), sine(), offsets, keys=keys)
    held = history.validation_rows
    assert held is not None
    assert held.sum() == 120
    assert len(set(keys[np.flatnonzero(held) // 60])) == 1


def test_own_validation_series() -> None:
    module = Forecaster(1, 4, window=5)
    other = sine(50)
    other[10] = np.nan
    history = quick(module, sine(), validation=(other, [0, 25, 50]))
    assert history.training_windows == 595
    assert history.validation_windows == 2 * 20 - 6
    assert history.skipped_windows == 6
    assert history.validation_rows is None


def test_no_validation_keeps_the_last_epoch() -> None:
    module = Forecaster(1, 4, window=5)
    history = quick(module, sine(), validation=0)
    assert history.validation_loss == []
    assert history.training_windows == 595
    assert history.best_epoch == 2
    assert history.validation_rows is None


def test_rows_with_nan_do_not_reach_the_weights() -> None:
    clean, dirty = sine(), sine()
    dirty[[100, 300]] = [[np.nan], [np.inf]]
    history = quick(Forecaster(1, 4, window=5), dirty)
    assert history.skipped_windows == 12
    assert np.isfinite(history.train_loss).all()
    assert history.training_windows + history.validation_windows + history.purged_windows == 583
    # What lies in skipped rows does not matter at all.
    clean[[100, 300]] = 1e300  # infinite in float32
    assert quick(Forecaster(1, 4, window=5), clean).train_loss == history.train_loss


def test_gradient_clipping_bounds_the_step() -> None:
    module = Forecaster(1, 8, window=6)
    options = {"optimizer": "sgd", "lr": 1.0, "epochs": 1, "batch_size": 1000, "validation": 0}
    quick(module, 100 * sine(), clip_grad_norm=1e-3, **options)
    with seeded(0):
        start = state(Forecaster(1, 8, window=6))
    moved = sum(float(((a - start[name]) ** 2).sum()) for name, a in state(module).items())
    assert moved**0.5 == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("loss", ["mse", "mae", "huber"])
def test_optimizers_and_losses(optimizer: str, loss: str) -> None:
    history = quick(
        Forecaster(1, 8, window=6), sine(300), optimizer=optimizer, loss=loss, lr=1e-2, epochs=4
    )
    assert history.train_loss[-1] < history.train_loss[0]


def test_own_optimizer_and_loss() -> None:
    asked = []

    def optimizer(parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        asked.extend(parameters)
        return torch.optim.Adagrad(asked, lr=0.1)

    def loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (prediction - target).abs().pow(1.5).mean()

    module = Forecaster(1, 8, window=6)
    history = quick(module, sine(300), optimizer=optimizer, loss=loss, epochs=4)
    assert len(asked) == len(list(module.parameters()))
    assert history.train_loss[-1] < history.train_loss[0]


def test_history_is_json() -> None:
    history = quick(Forecaster(1, 4, window=6), sine(200))
    result = json.loads(json.dumps(history.to_dict()))
    assert result["epochs"] == 2
    assert result["train_loss"] == history.train_loss
    assert result["seed"] == 0
    assert result["seconds"] > 0
    assert "validation_rows" not in result


@pytest.mark.parametrize(("rows", "expected"), [(300, 32), (5013, 80), (200_000, 2048)])
def test_default_batch_size(rows: int, expected: int) -> None:
    class Still(torch.nn.Linear):
        window, horizon = 6, 1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x[:, -1])

    series = sine(rows)
    assert quick(Still(1, 1), series, epochs=1).batch_size == expected


def test_any_module_with_window_and_horizon_trains() -> None:
    """Any module with a window and a horizon trains; its parts draw the weights anew."""

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.window, self.horizon = 6, 1
            self.rnn = torch.nn.GRU(2, 4, batch_first=True)
            self.fc = torch.nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(self.rnn(x)[0][:, -1])

    module = Plain()
    first = quick(module, sine(200, 2)).train_loss
    assert quick(module, sine(200, 2)).train_loss == first
    module.scale = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="Plain has weights but no reset_parameters"):
        quick(module, sine(200, 2))
    quick(module, sine(200, 2), warm_start=True)
    module.fc = torch.nn.Linear(4, 1)
    with pytest.raises(ValueError, match=r"module: expected it to return \[39, 2\], got \[39, 1\]"):
        quick(module, sine(200, 2), warm_start=True)


def test_series_of_any_layout_and_dtype_train_alike() -> None:
    module = Forecaster(2, 4, window=6)
    series = sine(200, 2).astype(np.float32)
    expected = quick(module, series).train_loss
    frozen = series.copy()
    frozen.flags.writeable = False
    wide = np.zeros((200, 4), np.float32)
    wide[:, ::2] = series
    for other in (
        frozen,
        wide[:, ::2],
        np.asfortranarray(series),
        series.astype(">f4"),
        series.astype(np.float64),
        torch.from_numpy(series),
    ):
        assert quick(module, other).train_loss == expected
    assert np.isfinite(quick(module.double(), series).train_loss).all()
    assert module.head.weight.dtype == torch.float64


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"epochs": 0}, ValueError, "epochs: expected an integer >= 1, got 0"),
        ({"batch_size": 0}, ValueError, "batch_size: expected an integer >= 1"),
        ({"lr": 0.0}, ValueError, "lr: expected a finite number > 0"),
        ({"lr": float("nan")}, ValueError, "lr: expected a finite number > 0"),
        ({"patience": 0}, ValueError, "patience: expected an integer >= 1"),
        ({"patience": 3, "validation": 0}, ValueError, "patience: early stopping needs"),
        ({"clip_grad_norm": -1}, ValueError, "clip_grad_norm: expected a finite number > 0"),
        ({"validation": 1.0}, ValueError, "validation: expected a number >= 0 and < 1"),
        ({"validation": (1, 2, 3)}, ValueError, r"validation: expected \(series, offsets\)"),
        ({"validation": (np.zeros((9, 1)), None)}, ValueError, r"validation: expected \[S, 2\]"),
        ({"validation": (np.zeros((3, 2)), None)}, ValueError, "validation: expected at least"),
        ({"seed": -1}, ValueError, "seed: expected an integer >= 0"),
        ({"stride": 0}, ValueError, "stride"),
        ({"optimizer": "lion"}, ValueError, "optimizer: expected one of adam, .*, got 'lion'"),
        ({"optimizer": lambda p: None}, TypeError, "optimizer: expected the callable to return"),
        ({"loss": "rmse"}, ValueError, "loss: expected one of mse, .*, got 'rmse'"),
        ({"progress": 3}, TypeError, "progress: expected a bool or a callable, got 3"),
        ({"offsets": [0, 50]}, ValueError, "offsets: expected to end at 100"),
        ({"offsets": [0, 60, 50, 100]}, ValueError, "offsets"),
        ({"keys": ["a", "b"]}, ValueError, r"keys: expected \[1\]"),
        ({"series": np.zeros((100, 3))}, ValueError, r"series: expected \[S, 2\] \(module inp"),
        ({"series": np.zeros(100)}, ValueError, r"series: expected \[S, F\]"),
        ({"series": np.zeros((4, 2))}, ValueError, "series: expected at least one window of 7"),
        ({"series": np.full((99, 2), np.nan)}, ValueError, "series: expected at least one window"),
        ({"series": np.zeros((0, 2))}, ValueError, "series: expected at least one window"),
        ({"series": [["a", "b"]] * 99}, TypeError, "series: expected real numbers, got dtype"),
        ({"series": np.zeros((99, 2), complex)}, TypeError, "series: expected real numbers"),
        ({"module": torch.nn.Linear(2, 2)}, TypeError, "module: expected a Forecaster"),
        ({"module": "lstm"}, TypeError, "module: expected a torch module, got str"),
    ],
)
def test_bad_arguments_are_refused(
    options: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments = {"module": Forecaster(2, 4, window=6), "series": sine(100, 2)} | options
    with pytest.raises(error, match=text):
        quick(arguments.pop("module"), arguments.pop("series"), **arguments)


def test_frozen_module_is_refused() -> None:
    module = Forecaster(1, 4, window=6).requires_grad_(False)
    with pytest.raises(ValueError, match="module: expected parameters that require gradients"):
        quick(module, sine(100))
