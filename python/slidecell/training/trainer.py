"""The epochs of a training run, with the best weights kept aside."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from slidecell.training.batches import WindowBatches, shuffled
from slidecell.training.history import History
from slidecell.training.objective import Loss
from slidecell.training.progress import Reporter

# Window rows per validation batch: 32 MB of hidden state at H = 128, large enough that the
# calls themselves cost nothing.
_VALIDATION_ROWS = 1 << 16


class DivergenceError(ValueError):
    """The loss became infinite or NaN; the module holds its best weights so far."""


@dataclass(frozen=True)
class Part:
    """Windows that train or validate, on the device.

    Attributes
    ----------
    batches : WindowBatches
    starts : Tensor of int64, [n]
    """

    batches: WindowBatches
    starts: Tensor


class Step:
    """One batch: prediction, loss, gradients, update."""

    def __init__(
        self,
        module: nn.Module,
        loss: Loss,
        optimizer: torch.optim.Optimizer,
        clip: float | None,
    ) -> None:
        self.module = module
        self._loss = loss
        self._optimizer = optimizer
        self._clip = clip
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """`x` [N, W, F], y as the module predicts it -> the mean loss, a scalar."""
        prediction = self.module(x)
        if not isinstance(prediction, Tensor) or prediction.shape != y.shape:
            came = (
                list(prediction.shape)
                if isinstance(prediction, Tensor)
                else type(prediction).__name__
            )
            raise ValueError(f"module: expected it to return {list(y.shape)}, got {came}")
        return self._loss(prediction, y)

    def update(self, x: Tensor, y: Tensor) -> Tensor:
        """Move the weights by one batch; returns its loss, a scalar left on the device."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = self.loss(x, y)
        loss.backward()  # type: ignore[no-untyped-call]
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self._optimizer.step()
        return loss.detach()


class Run:
    """The epochs of one `fit`, with the best weights kept aside."""

    def __init__(
        self,
        step: Step,
        training: Part,
        held_out: Part,
        history: History,
        reporter: Reporter,
    ) -> None:
        self._step = step
        self._module = step.module
        self._training = training
        self._held_out = held_out
        self._history = history
        self._reporter = reporter
        self._best_loss = float("inf")
        self._best: dict[str, Any] | None = None
        self._order = torch.Generator().manual_seed(history.seed)

    def train(self, epochs: int, *, patience: int | None, warm: bool) -> None:
        """Run the epochs; the best weights are restored in whichever way this ends."""
        history = self._history
        validates = len(self._held_out.starts) > 0
        batches = -(-len(self._training.starts) // history.batch_size)
        try:
            if warm:
                self._best = _weights(self._module)
                if validates:
                    self._best_loss = self._validate(0)
            self._reporter.start(epochs, batches)
            for epoch in range(1, epochs + 1):
                train_loss = self._epoch(epoch)
                validation_loss = self._validate(epoch) if validates else None
                history.train_loss.append(train_loss)
                if validation_loss is not None:
                    history.validation_loss.append(validation_loss)
                if validation_loss is None or validation_loss < self._best_loss:
                    self._best = _weights(self._module)
                    self._best_loss = train_loss if validation_loss is None else validation_loss
                    history.best_epoch = epoch
                self._reporter.epoch(epoch, train_loss, validation_loss)
                if patience is not None and epoch - history.best_epoch >= patience:
                    history.stopped_early = epoch < epochs
                    break
        finally:
            self._reporter.close()
            if self._best is not None:
                self._module.load_state_dict(self._best)

    def _epoch(self, epoch: int) -> float:
        """Train on every window once, in a random order."""
        self._module.train()
        starts = shuffled(self._training.starts, self._order)
        parts = torch.split(starts, self._history.batch_size)
        losses: list[Tensor] = []  # left on the device: reading one would wait for it
        for part in parts:
            losses.append(self._step.update(*self._training.batches.gather(part)))
            self._reporter.batch()
        return _mean_loss(losses, parts, f"training loss of epoch {epoch}")

    def _validate(self, epoch: int) -> float:
        """Return the mean loss over the windows held out."""
        self._module.eval()
        window = int(self._module.window)  # type: ignore[arg-type]
        parts = torch.split(self._held_out.starts, max(1, _VALIDATION_ROWS // window))
        with torch.inference_mode():
            losses = [self._step.loss(*self._held_out.batches.gather(part)) for part in parts]
        return _mean_loss(losses, parts, f"validation loss after epoch {epoch}")


def _mean_loss(losses: list[Tensor], parts: tuple[Tensor, ...], what: str) -> float:
    """Batch means -> mean over windows."""
    values = torch.stack(losses).cpu().to(torch.float64)
    if not bool(torch.isfinite(values).all()):
        raise DivergenceError(
            f"{what} is not finite; scale the series (see slidecell.scaling), lower lr, or set "
            "clip_grad_norm=1.0. The module holds its best weights so far"
        )
    sizes = torch.tensor([len(part) for part in parts], dtype=torch.float64)
    return float((values * sizes).sum() / sizes.sum())


def _weights(module: nn.Module) -> dict[str, Any]:
    """Return a copy of the state that later updates do not touch."""
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
        for name, value in module.state_dict().items()
    }
