"""What is to be computed beside scores: steps, windows, training.

Those of the scores are in `slidecell.bench.workloads`. A workload knows nothing of who computes
it, nor of clocks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from slidecell.bench.accuracy import Verdict, equal_within
from slidecell.bench.peers_torch import squared_errors
from slidecell.bench.workloads import Floats, Ints, SeriesWorkload, window_starts

__all__ = [
    "Floats",
    "GatherWorkload",
    "Gradients",
    "Ints",
    "StepWorkload",
    "TrainWorkload",
    "WindowsWorkload",
    "window_starts",
]


class _Judged:
    """An answer is right if |answer - truth| <= atol everywhere."""

    atol: ClassVar[float] = 0.0
    truth: Any

    def judge(self, answer: Any, precision: str) -> Verdict:
        """Hold an answer against the truth; there is one precision."""
        return equal_within(answer, self.truth, rtol=0.0, atol=self.atol)


@dataclass(frozen=True)
class StepWorkload(_Judged):
    """One cell, one row at a time: each step's state feeds the next one."""

    case: str
    cell: nn.LSTMCell | nn.GRUCell
    rows: Floats  # [T, I]
    kind: ClassVar[str] = "step"
    unit: ClassVar[str] = "us/step"
    atol: ClassVar[float] = 1e-6  # of h after the last step
    threaded: ClassVar[bool] = False

    @property
    def shape(self) -> str:
        """Sizes, for the report."""
        return f"N=1 I={self.rows.shape[1]} H={self.cell.hidden_size}"

    @property
    def work(self) -> int:
        """Number of steps."""
        return len(self.rows)

    def first(self, rows: int) -> StepWorkload:
        """Return the same for the first `rows` steps."""
        return replace(self, rows=self.rows[:rows])

    @cached_property
    def truth(self) -> npt.NDArray[np.float64]:
        """H after the last step, [1, H], in float64."""
        cell, state = copy.deepcopy(self.cell).double(), None
        with torch.inference_mode():
            for row in torch.from_numpy(self.rows).double():
                state = cell(row[None], state)
        return (state[0] if isinstance(state, tuple) else state).numpy()


@dataclass(frozen=True)
class WindowsWorkload(SeriesWorkload, _Judged):
    """Copy all windows out of the series, in order: into new arrays, or into the caller's."""

    kind: str
    unit: ClassVar[str] = "windows/s"
    threaded: ClassVar[bool] = True

    @property
    def into_out(self) -> bool:
        """Whether the caller's arrays are to be filled."""
        return self.kind == "windows into out"

    def buffers(self) -> tuple[Floats, Floats]:
        """Arrays for the windows [N, W, F] and the targets [N, K, F], every page touched."""
        F = self.series.shape[1]
        shapes = ((self.work, self.window, F), (self.work, self.horizon, F))
        x, y = (np.ones(shape, np.float32) for shape in shapes)
        return x, y

    @cached_property
    def truth(self) -> tuple[Floats, Floats]:
        """Windows and targets."""
        return self.gathered(self.starts)


@dataclass(frozen=True)
class GatherWorkload(SeriesWorkload, _Judged):
    """Copy all windows in random order, a batch at a time into reused buffers, as training does.

    The answer is the last batch.
    """

    batch: int
    kind: ClassVar[str] = "gather"
    unit: ClassVar[str] = "windows/s"
    threaded: ClassVar[bool] = True

    @property
    def shape(self) -> str:
        """Sizes, for the report."""
        return f"{super().shape} N={self.batch}"

    @property
    def work(self) -> int:
        """Number of windows: whole batches only."""
        return len(self.batches) * len(self.batches[0])

    @cached_property
    def batches(self) -> list[Ints]:
        """Numbers of the windows of each batch: [N] each."""
        order = np.random.default_rng(0).permutation(len(self.starts))
        batch = min(self.batch, len(order))
        return [order[at : at + batch] for at in range(0, len(order) - batch + 1, batch)]

    def buffers(self) -> tuple[Floats, Floats]:
        """Arrays for a batch: [N, W, F] and [N, K, F]."""
        F, N = self.series.shape[1], len(self.batches[0])
        x, y = (np.ones((N, rows, F), np.float32) for rows in (self.window, self.horizon))
        return x, y

    @cached_property
    def truth(self) -> tuple[Floats, Floats]:
        """Windows and targets of the last batch."""
        return self.gathered(self.starts[self.batches[-1]])


@dataclass(frozen=True)
class TrainWorkload(_Judged):
    """One step of training on one batch, from zero_grad to the optimizer's update.

    The answer is the step's gradients, each in units of its largest number, which only the first
    call of a way computes at the workload's own weights.
    """

    case: str
    module: nn.Module  # x [N, W, F] -> [N, F]
    x: Tensor  # [N, W, F]
    y: Tensor  # [N, F]
    kind: ClassVar[str] = "train"
    unit: ClassVar[str] = "windows/s"
    atol: ClassVar[float] = 1e-4  # torch's own error is 7e-5 with W=50
    threaded: ClassVar[bool] = True

    @property
    def shape(self) -> str:
        """Sizes, for the report."""
        N, W, F = self.x.shape
        return f"N={N:,} W={W} F={F}"

    @property
    def work(self) -> int:
        """Windows per step."""
        return len(self.x)

    def first(self, rows: int) -> TrainWorkload:
        """Return the same for at most `rows` windows."""
        return replace(self, x=self.x[:rows], y=self.y[:rows])

    @cached_property
    def gradients(self) -> list[Tensor]:
        """Gradients of the first step in float64."""
        module = copy.deepcopy(self.module).double()
        squared_errors(module(self.x.double()), self.y.double()).mean().backward()
        return [parameter.grad for parameter in module.parameters()]

    def scaled(self, gradients: Iterable[Tensor]) -> npt.NDArray[np.float64]:
        """Gradients -> one array [n], each in units of the largest number that it should have."""
        pairs = zip(gradients, self.gradients, strict=True)
        parts = [(mine.double() / right.abs().max()).flatten() for mine, right in pairs]
        return torch.cat(parts).numpy()

    @property
    def truth(self) -> npt.NDArray[np.float64]:
        """Gradients of the first step, scaled."""
        return self.scaled(self.gradients)


@dataclass(frozen=True)
class Gradients:
    """The answer to a `TrainWorkload`: an array only when it is looked at, never while timed."""

    workload: TrainWorkload
    parameters: list[nn.Parameter]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.float64]:
        return self.workload.scaled(parameter.grad for parameter in self.parameters)
