"""Show the progress of training: by a bar on a terminal, by a callable, or not at all."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress

ProgressCallback: TypeAlias = Callable[[int, int, float, "float | None"], object]

# Seconds between redraws within an epoch: a redraw per batch would slow small networks down.
_INTERVAL = 0.1


class Reporter:
    """The base of all reporters; it shows nothing."""

    def start(self, epochs: int, batches: int) -> None:
        """Training begins, with so many batches per epoch."""

    def batch(self) -> None:
        """One more batch is done."""

    def epoch(self, epoch: int, train_loss: float, validation_loss: float | None) -> None:
        """Epoch number `epoch`, from 1, is done."""

    def close(self) -> None:
        """Training has ended, in whichever way."""


class _Callback(Reporter):
    """Calls ``callback(epoch, epochs, train_loss, validation_loss)`` after each epoch."""

    def __init__(self, callback: ProgressCallback) -> None:
        self._callback = callback
        self._epochs = 0

    def start(self, epochs: int, batches: int) -> None:
        del batches
        self._epochs = epochs

    def epoch(self, epoch: int, train_loss: float, validation_loss: float | None) -> None:
        self._callback(epoch, self._epochs, train_loss, validation_loss)


class _Bar(Reporter):
    """A rich progress bar over all batches, losses beside it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._pending = 0
        self._last = 0.0
        self._epochs = 0

    def start(self, epochs: int, batches: int) -> None:
        self._epochs = epochs
        self._task = self._progress.add_task(f"epoch 1/{epochs}", total=epochs * batches, losses="")
        self._progress.start()

    def batch(self) -> None:
        self._pending += 1
        now = time.monotonic()
        if now - self._last >= _INTERVAL:
            self._progress.advance(self._task, self._pending)
            self._pending, self._last = 0, now

    def epoch(self, epoch: int, train_loss: float, validation_loss: float | None) -> None:
        self._progress.update(
            self._task,
            advance=self._pending,
            description=f"epoch {min(epoch + 1, self._epochs)}/{self._epochs}",
            losses=_losses(train_loss, validation_loss),
        )
        self._pending = 0

    def close(self) -> None:
        self._progress.stop()


class _Line(Reporter):
    """One line that is written over, where rich is not installed."""

    def __init__(self) -> None:
        self._epochs = 0

    def start(self, epochs: int, batches: int) -> None:
        del batches
        self._epochs = epochs

    def epoch(self, epoch: int, train_loss: float, validation_loss: float | None) -> None:
        losses = _losses(train_loss, validation_loss)
        sys.stderr.write(f"\repoch {epoch}/{self._epochs} {losses}\x1b[K")
        sys.stderr.flush()

    def close(self) -> None:
        sys.stderr.write("\n")


def _losses(train_loss: float, validation_loss: float | None) -> str:
    text = f"loss {train_loss:.3g}"
    return text if validation_loss is None else f"{text}, validation {validation_loss:.3g}"


def make_reporter(progress: bool | ProgressCallback) -> Reporter:
    """Return a bar on stderr if that is a terminal, the callable's reporter, or a silent one."""
    if not isinstance(progress, bool):
        if not callable(progress):
            raise TypeError(f"progress: expected a bool or a callable, got {progress!r}")
        return _Callback(progress)
    if not progress or not sys.stderr.isatty():
        return Reporter()
    try:
        from rich import progress as rich_progress
        from rich.console import Console
    except ModuleNotFoundError:
        return _Line()
    return _Bar(
        rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.TextColumn("{task.fields[losses]}"),
            rich_progress.TimeRemainingColumn(),
            console=Console(stderr=True),
        )
    )
