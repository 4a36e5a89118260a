"""`fit` beside its epochs: early stopping, warm starts, interrupts, progress."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from slidecell.training import Forecaster, TrainingInterrupted  # noqa: E402
from slidecell.training.progress import make_reporter  # noqa: E402
from tests.fit_cases import quick, same, sine, state  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def test_early_stopping_restores_the_best_epoch() -> None:
    noise = np.random.default_rng(0).normal(size=(150, 1))
    module = Forecaster(1, 32, window=5)
    seen: list[dict[str, torch.Tensor]] = []

    def remember(epoch: int, *rest: Any) -> None:
        seen.append(state(module))

    history = quick(module, noise, epochs=200, patience=3, lr=1e-2, progress=remember)
    assert history.stopped_early
    assert history.epochs == history.best_epoch + 3 < 200
    best = history.best_epoch - 1
    assert history.validation_loss[best] == min(history.validation_loss)
    assert same(state(module), seen[best])
    assert not same(state(module), seen[-1])
    assert not module.training


def test_warm_start_goes_on() -> None:
    module = Forecaster(1, 16, window=8)
    first = quick(module, sine(), epochs=8, lr=1e-2)
    warm = quick(module, sine(), epochs=2, lr=1e-3, warm_start=True)
    assert warm.train_loss[0] < 2 * first.train_loss[-1] < 0.2 * first.train_loss[0]
    assert quick(module, sine()).train_loss[0] > 0.2 * first.train_loss[0]


def test_warm_start_never_gets_worse() -> None:
    module = Forecaster(1, 16, window=8)
    quick(module, sine(), epochs=8, lr=1e-2)
    before = state(module)
    history = quick(module, sine(), epochs=3, lr=10.0, warm_start=True, patience=1)
    assert history.best_epoch == 0
    assert history.stopped_early
    assert same(state(module), before)


def test_interrupt_keeps_the_best_weights() -> None:
    module = Forecaster(1, 8, window=6)
    seen = []

    def interrupt(epoch: int, epochs: int, train: float, validation: float | None) -> None:
        seen.append(state(module))
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="after 3 epochs") as caught:
        quick(module, sine(), epochs=9, progress=interrupt)
    assert isinstance(caught.value, KeyboardInterrupt)
    history = caught.value.history
    assert history.epochs == 3
    assert history.seconds > 0
    assert same(state(module), seen[history.best_epoch - 1])
    assert not module.training


def test_interrupt_within_an_epoch_goes_back_to_the_best() -> None:
    module = Forecaster(1, 8, window=6)
    calls = 0

    def loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return torch.nn.functional.mse_loss(prediction, target)

    with pytest.raises(TrainingInterrupted) as caught:
        quick(module, sine(), epochs=9, loss=loss)
    history = caught.value.history
    assert history.best_epoch == history.epochs == 1
    again = Forecaster(1, 8, window=6)
    quick(again, sine(), epochs=1)
    assert same(state(module), state(again))


def test_loss_that_is_not_finite() -> None:
    module = Forecaster(1, 8, window=6, activation="linear")
    huge = {"optimizer": "sgd", "lr": 1e6, "epochs": 5}
    with pytest.raises(ValueError, match=r"loss .* is not finite; scale the series .* lower lr"):
        quick(module, 100 * sine(), **huge)
    quick(module, sine())
    before = state(module)
    with pytest.raises(ValueError, match="is not finite"):
        quick(module, 100 * sine(), warm_start=True, **huge)
    assert all(torch.isfinite(tensor).all() for tensor in state(module).values())
    assert same(state(module), before)


def test_progress_callable() -> None:
    calls: list[tuple[Any, ...]] = []
    history = quick(
        Forecaster(1, 4, window=6), sine(200), epochs=3, progress=lambda *a: calls.append(a)
    )
    assert calls == [
        (epoch, 3, history.train_loss[epoch - 1], history.validation_loss[epoch - 1])
        for epoch in (1, 2, 3)
    ]
    quick(Forecaster(1, 4, window=6), sine(200), validation=0, progress=lambda *a: calls.append(a))
    assert calls[-1][3] is None


def test_progress_bar_goes_to_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich")
    quick(Forecaster(1, 4, window=6), sine(200), progress=True)
    assert capsys.readouterr() == ("", "")  # not a terminal
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    quick(Forecaster(1, 4, window=6), sine(200), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 2/2" in err
    assert "validation" in err


def test_progress_without_rich(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "rich", None)
    reporter = make_reporter(True)
    reporter.start(2, 10)
    reporter.batch()
    reporter.epoch(1, 0.5, None)
    reporter.epoch(2, 0.25, 0.75)
    reporter.close()
    err = capsys.readouterr().err
    assert "epoch 1/2 loss 0.5\x1b[K\r" in err
    assert err.endswith("epoch 2/2 loss 0.25, validation 0.75\x1b[K\n")
