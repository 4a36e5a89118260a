"""What is to be computed: the data of a case, its work per call, and the truth in float64.

A job knows nothing of who does it (that is `peers`), nor of clocks (that is `measure`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import slidecell as sc

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

TRUTH_BATCH = 2048


class Job(Protocol):
    """What `measure` needs of a job."""

    unit: ClassVar[str]  # "windows/s" or "us/step"
    rtol: ClassVar[float]  # an answer is right if |answer - truth| <= atol + rtol |truth|
    atol: ClassVar[float]
    threaded: ClassVar[bool]  # whether more threads than one mean anything

    @property
    def case(self) -> str:
        """The case's name."""

    @property
    def kind(self) -> str:
        """Whose peers do it: a key of `peers.PEERS`."""

    @property
    def shape(self) -> str:
        """Sizes, for the report."""

    @property
    def work(self) -> int:
        """Windows or steps per call."""

    @property
    def truth(self) -> Any:
        """Return the right answer: an array, or a tuple of arrays."""

    def first(self, rows: int) -> Job:
        """Return the same with at most `rows` rows, to choose settings by short runs."""


def window_starts(offsets: Ints, span: int) -> Ints:
    """First rows [N] of all windows that need `span` rows, by numpy alone."""
    ends = np.repeat(offsets[1:], np.diff(offsets))  # [S] where the row's entity ends
    return np.flatnonzero(np.arange(len(ends)) + span <= ends)


def squared_errors(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of each window: [N, ...] twice -> [N]."""
    return (prediction.flatten(1) - truth.flatten(1)).square().mean(1)


@dataclass(frozen=True)
class _SeriesJob:
    """A series [S, F] of entities, and its windows."""

    case: str
    series: Floats  # [S, F]
    offsets: Ints  # [G+1]
    window: int
    horizon: int

    def first(self, rows: int) -> Any:
        """Return the same on the first `rows` rows."""
        rows = min(rows, len(self.series))
        inside = self.offsets[self.offsets < rows]
        return replace(self, series=self.series[:rows], offsets=np.append(inside, rows))

    @property
    def shape(self) -> str:
        """Sizes, for the report."""
        return (
            f"W={self.window} F={self.series.shape[1]} S={len(self.series):,} "
            f"entities={len(self.offsets) - 1:,}"
        )

    @property
    def work(self) -> int:
        """Number of windows."""
        return len(self.starts)

    @cached_property
    def starts(self) -> Ints:
        """First row of each window, [N]."""
        return window_starts(self.offsets, self.window + self.horizon)

    def gathered(self, starts: Ints) -> tuple[Floats, Floats]:
        """Windows x [n, W, F] and what follows them, y [n, K, F], by numpy's fancy indexing."""
        x = self.series[starts[:, None] + np.arange(self.window)]
        return x, self.series[starts[:, None] + self.window + np.arange(self.horizon)]


@dataclass(frozen=True)
class ScoreJob(_SeriesJob):
    """Score every window of the series: the mean squared error of each, [N]."""

    module: nn.Module
    kind: ClassVar[str] = "score"
    unit: ClassVar[str] = "windows/s"
    # Float32 accuracy: what the tests promise of `score`, with room for the largest of a million
    # windows.
    rtol: ClassVar[float] = 1e-6
    atol: ClassVar[float] = 2e-7
    threaded: ClassVar[bool] = True

    @cached_property
    def model(self) -> sc.SequenceModel:
        """The module, compiled."""
        return sc.SequenceModel.from_torch(self.module, window=self.window, horizon=self.horizon)

    @cached_property
    def windows(self) -> tuple[Tensor, Tensor]:
        """All windows x [N, W, F] and targets, materialised: [N, K, F], or x itself."""
        x, y = (torch.from_numpy(part) for part in self.gathered(self.starts))
        return x, y if self.horizon else x

    @cached_property
    def truth(self) -> npt.NDArray[np.float64]:
        """Scores [N] by torch in float64."""
        module = copy.deepcopy(self.module).double()
        with torch.inference_mode():
            parts = [
                squared_errors(module(x.double()), y.double())
                for x, y in zip(*(part.split(TRUTH_BATCH) for part in self.windows), strict=True)
            ]
            return torch.cat(parts).numpy()


@dataclass(frozen=True)
class StepJob:
    """One cell, one row at a time: each step's state feeds the next one."""

    case: str
    cell: nn.LSTMCell | nn.GRUCell
    rows: Floats  # [T, I]
    kind: ClassVar[str] = "step"
    unit: ClassVar[str] = "us/step"
    rtol: ClassVar[float] = 0.0
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

    def first(self, rows: int) -> StepJob:
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
class WindowsJob(_SeriesJob):
    """Copy all windows out of the series, in order: into new arrays, or into the caller's."""

    kind: str
    unit: ClassVar[str] = "windows/s"
    rtol: ClassVar[float] = 0.0
    atol: ClassVar[float] = 0.0
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
class GatherJob(_SeriesJob):
    """Copy all windows in random order, a batch at a time into reused buffers, as training does.

    The answer is the last batch.
    """

    batch: int
    kind: ClassVar[str] = "gather"
    unit: ClassVar[str] = "windows/s"
    rtol: ClassVar[float] = 0.0
    atol: ClassVar[float] = 0.0
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
class TrainJob:
    """One step of training on one batch, from zero_grad to the optimizer's update.

    The answer is the step's gradients, each in units of its largest number, which only the first
    call of a way computes at the job's own weights.
    """

    case: str
    module: nn.Module  # x [N, W, F] -> [N, F]
    x: Tensor  # [N, W, F]
    y: Tensor  # [N, F]
    kind: ClassVar[str] = "train"
    unit: ClassVar[str] = "windows/s"
    rtol: ClassVar[float] = 0.0
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

    def first(self, rows: int) -> TrainJob:
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
    """An answer to a `TrainJob`, made an array where it is looked at and not while it is timed."""

    job: TrainJob
    parameters: list[nn.Parameter]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.float64]:
        return self.job.scaled(parameter.grad for parameter in self.parameters)
