"""The report of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass
class History:
    """The losses of one `fit` by epoch, and how it ended.

    Attributes
    ----------
    train_loss : list of float
        Mean loss over the training windows of each epoch, taken while the weights moved.
    validation_loss : list of float
        Mean loss over the validation windows after each epoch; empty without a validation part.
    best_epoch : int
        Epoch (from 1) whose weights the module holds. 0: those it started from, because no epoch
        of a warm start was better.
    stopped_early : bool
        Whether `patience` ended the run before `epochs`.
    training_windows, validation_windows : int
        Windows used.
    skipped_windows : int
        Windows left out because they touch a row with NaN or infinity.
    purged_windows : int
        Windows left out because they straddle the cut between training and validation.
    batch_size, seed : int
        As used, drawn or derived where they were not given.
    seconds : float
        Wall-clock time of the run.
    validation_rows : ndarray of bool, [S] or None
        Rows of `series` held out for validation; None if there was no such part in it.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int = 0
    stopped_early: bool = False
    training_windows: int = 0
    validation_windows: int = 0
    skipped_windows: int = 0
    purged_windows: int = 0
    batch_size: int = 0
    seed: int = 0
    seconds: float = 0.0
    validation_rows: npt.NDArray[np.bool_] | None = field(default=None, repr=False, compare=False)

    @property
    def epochs(self) -> int:
        """Number of epochs that were completed."""
        return len(self.train_loss)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but `validation_rows`, ready for JSON.

        Examples
        --------
        >>> from slidecell.training import History
        >>> History(train_loss=[0.5], best_epoch=1).to_dict()["epochs"]
        1
        """
        result: dict[str, Any] = {
            name: list(value) if isinstance(value, list) else value
            for name, value in vars(self).items()
            if name != "validation_rows"
        }
        result["epochs"] = self.epochs
        return result


class TrainingInterrupted(KeyboardInterrupt):
    """Training was interrupted; the module holds its best weights and `history` the course."""

    def __init__(self, history: History) -> None:
        super().__init__(f"training interrupted after {history.epochs} epochs")
        self.history = history

    def __reduce__(self) -> tuple[type[TrainingInterrupted], tuple[History]]:
        # Exceptions are rebuilt from their text otherwise, when they come from another process.
        return type(self), (self.history,)
