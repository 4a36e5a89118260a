"""Jobs: the data of a case, the work of one call, and the right answer in float64.

A workload does not depend on the peers (`contestants`) or on the timer (`timer`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from slidecell.bench.accuracy import Verdict, within
from slidecell.bench.reference import scores_of_windows
from slidecell.model import SequenceModel

__all__ = ["BATCHES", "ScoreWorkload", "SeriesWorkload", "Workload", "window_starts"]

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# The most promising first: a search may be cut short.
BATCHES = (512, 1024, 256, 2048, 4096, 8192)


class Workload(Protocol):
    """What `measure` needs of a workload."""

    unit: ClassVar[str]  # "windows/s" or "us/step"
    threaded: ClassVar[bool]  # whether more threads than one mean anything

    @property
    def case(self) -> str:
        """The case's name."""

    @property
    def kind(self) -> str:
        """Whose peers do it."""

    @property
    def shape(self) -> str:
        """Sizes, for the report."""

    @property
    def work(self) -> int:
        """Windows or steps per call."""

    @property
    def truth(self) -> Any:
        """Return the right answer: an array, or a tuple of arrays."""

    def first(self, rows: int) -> Workload:
        """Return the same with at most `rows` rows, to choose settings by short runs."""

    def judge(self, answer: Any, precision: str) -> Verdict:
        """Hold an answer against the truth."""


def window_starts(offsets: Ints, span: int) -> Ints:
    """First rows [N] of all windows that need `span` rows, by numpy alone.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.workloads import window_starts
    >>> window_starts(np.array([0, 4, 6, 9]), 3).tolist()
    [0, 1, 6]
    """
    ends = np.repeat(offsets[1:], np.diff(offsets))  # [S] where the row's entity ends
    return np.flatnonzero(np.arange(len(ends)) + span <= ends)


@dataclass(frozen=True)
class SeriesWorkload:
    """A series [S, F] of entities, and its windows.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.workloads import SeriesWorkload
    >>> workload = SeriesWorkload("tiny", np.zeros((9, 2), np.float32), np.array([0, 9]), 3, 1)
    >>> workload.work, workload.first(5).work, workload.shape
    (6, 2, 'W=3 F=2 S=9 entities=1')
    """

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
class ScoreWorkload(SeriesWorkload):
    """Score every window of the series: the mean squared error of each, [N]."""

    model: SequenceModel
    labels: Bools  # [S] rows that were made anomalous
    batches: tuple[int, ...] = BATCHES  # sizes of batches that peers may choose from
    kind: ClassVar[str] = "score"
    unit: ClassVar[str] = "windows/s"
    threaded: ClassVar[bool] = True

    def first(self, rows: int) -> Any:
        """Return the same on the first `rows` rows."""
        return replace(super().first(rows), labels=self.labels[:rows])

    @property
    def rows(self) -> npt.NDArray[Any]:
        """What `SequenceModel.score` is given."""
        return self.series

    @cached_property
    def targets(self) -> list[int]:
        """The columns that the model predicts."""
        chosen = self.model.metadata["targets"]
        return list(range(self.series.shape[1])) if chosen is None else list(chosen)

    @cached_property
    def windows(self) -> tuple[Floats, Floats]:
        """All windows x [N, W, F] and targets, materialised: [N, K, C], or x itself."""
        x, y = self.gathered(self.starts)
        if len(self.targets) < y.shape[2]:
            y = y[:, :, self.targets]
        return x, y if self.horizon else x

    @cached_property
    def window_labels(self) -> Bools:
        """Whether the rows that a window is judged by hold an anomaly, [N]."""
        first, rows = (self.window, self.horizon) if self.horizon else (0, self.window)
        labels: Bools = self.labels[self.starts[:, None] + first + np.arange(rows)].any(1)
        return labels

    @cached_property
    def truth(self) -> npt.NDArray[np.float64]:
        """Scores [N] in float64."""
        return scores_of_windows(self.model, *self.windows, dtype=np.float64)

    def judge(self, answer: Any, precision: str) -> Verdict:
        """Hold scores against the truth: the bound is the precision's."""
        return within(answer, self.truth, precision, self.window_labels)
