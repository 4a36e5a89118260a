"""How a network is trained: the one list of settings of detectors, jobs and command line."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

__all__ = ["WITHOUT_FLAG", "TrainingSettings"]


# Settings, and an option of tables, that only Python has: the command line has no flag for them.
WITHOUT_FLAG = frozenset({"optimizer", "loss", "clip_grad_norm", "device", "time_format"})


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of a training; each is an argument of `slidecell.training.fit` but the threads.

    Parameters
    ----------
    epochs : int
        At most.
    patience : int, optional
        Stop after so many epochs in a row without a lower error on the rows held out.
    batch_size : int, optional
        Windows per step. Default: a fiftieth of the training windows, within 32 and 2048.
    lr : float
    validation : float
        Share of the windows that are held out.
    seed : int
    num_threads : int, optional
        Default: one where more would not pay, else as torch is set.
    optimizer, loss, clip_grad_norm, device
        See `slidecell.training.fit`.

    Examples
    --------
    >>> from slidecell.training.settings import TrainingSettings
    >>> TrainingSettings(epochs=3).patience
    5
    """

    epochs: int = 50
    patience: int | None = 5
    batch_size: int | None = None
    lr: float = 1e-3
    validation: float = 0.2
    seed: int = 0
    num_threads: int | None = None
    optimizer: Any = "adam"
    loss: Any = "mse"
    clip_grad_norm: float | None = None
    device: Any = None

    @classmethod
    def of(cls, source: Any, **others: Any) -> TrainingSettings:
        """Return the settings that another object has as attributes; ``others`` replace them."""
        names = (field.name for field in fields(TrainingSettings))
        return TrainingSettings(
            **{name: getattr(source, name) for name in names if name not in others}, **others
        )

    def check_flags(self) -> None:
        """Raise a ValueError that names the flag of the command line."""
        least = {"epochs": 1, "patience": 1, "batch_size": 1, "seed": 0, "num_threads": 1}
        for name, low in least.items():
            refuse_below(name, getattr(self, name), low)
        if not self.lr > 0.0:
            raise ValueError(f"--lr: expected a number above 0, got {self.lr:g}")
        if not 0.0 <= self.validation < 1.0:
            raise ValueError(f"--validation: expected 0 up to below 1, got {self.validation:g}")


def refuse_below(name: str, value: Any, low: int) -> None:
    """Raise a ValueError that names the flag unless value is None or a whole number >= low.

    Examples
    --------
    >>> from slidecell.training.settings import refuse_below
    >>> refuse_below("num_threads", 0, 1)
    Traceback (most recent call last):
    ValueError: --threads: expected a whole number >= 1, got 0
    """
    flag = {"num_threads": "threads"}.get(name, name).replace("_", "-")
    whole = isinstance(value, (int, float)) and value % 1 == 0  # not infinite
    if value is not None and (not whole or value < low):
        raise ValueError(f"--{flag}: expected a whole number >= {low}, got {value}")
