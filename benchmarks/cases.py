"""What is measured: the scores, which ``slidecell bench`` has too, and the rest.

A new case is one more entry of `CASES`, or of the scores' own list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from benchmarks.carried_workloads import CarriedWorkload, FlagWorkload
from benchmarks.networks import gru, lstm
from benchmarks.workloads import (
    GatherWorkload,
    StepWorkload,
    TrainWorkload,
    WindowsWorkload,
)
from slidecell._cells import CellName
from slidecell.bench.cases import FEATURES, SCORE_CASES, USER_ROWS, Case, ScoreCase, random_series

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class SeriesCase:
    """One long series, by states that are carried through it: its scores, or its flags."""

    name: str
    of: type[CarriedWorkload]
    cell: CellName
    window: int
    rows: int = 250_000
    hidden_size: int = 64
    threaded: ClassVar[bool] = True
    in_mean: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        """Whose peers do it."""
        return self.of.kind

    def workload(self, max_rows: int) -> CarriedWorkload:
        """Make data of at most about `max_rows` rows, of fewer where windows are long."""
        usual = ScoreCase(
            self.name,
            self.cell,
            (self.hidden_size,),
            entities=1,
            rows=self.rows,
            window=self.window,
        ).workload(max_rows)
        return self.of(**{field.name: getattr(usual, field.name) for field in fields(usual)})


@dataclass(frozen=True)
class StepCase:
    """Latency of one step of one row."""

    name: str
    cell: Callable[[int, int], Any]
    hidden_size: int
    steps: int = 2_000
    kind: ClassVar[str] = StepWorkload.kind
    threaded: ClassVar[bool] = StepWorkload.threaded
    in_mean: ClassVar[bool] = False

    def workload(self, max_rows: int) -> StepWorkload:
        """Make data of at most `max_rows` steps."""
        torch.manual_seed(0)
        rows = np.random.default_rng(0).random(
            (min(self.steps, max_rows), FEATURES), dtype=np.float32
        )
        return StepWorkload(self.name, self.cell(FEATURES, self.hidden_size).eval(), rows)


@dataclass(frozen=True)
class WindowsCase:
    """All windows of a series, copied in order."""

    name: str
    entities: int
    rows: int
    kind: str = "windows"  # or "windows into out"
    threaded: ClassVar[bool] = WindowsWorkload.threaded
    in_mean: ClassVar[bool] = False

    def workload(self, max_rows: int) -> WindowsWorkload:
        """Make data of at most about `max_rows` rows."""
        series, offsets = random_series(self.entities, self.rows, FEATURES, max_rows)
        return WindowsWorkload(self.name, series, offsets, 7, 1, self.kind)


@dataclass(frozen=True)
class GatherCase:
    """All windows of a series, copied in random order by batches."""

    name: str
    entities: int
    batch: int
    kind: ClassVar[str] = GatherWorkload.kind
    threaded: ClassVar[bool] = GatherWorkload.threaded
    in_mean: ClassVar[bool] = False

    def workload(self, max_rows: int) -> GatherWorkload:
        """Make data of at most about `max_rows` rows."""
        series, offsets = random_series(self.entities, USER_ROWS, FEATURES, max_rows)
        return GatherWorkload(self.name, series, offsets, 7, 1, self.batch)


@dataclass(frozen=True)
class TrainCase:
    """A step of training on one batch."""

    name: str
    network: Callable[[], nn.Module]
    batch: int = 2048
    window: int = 7
    kind: ClassVar[str] = TrainWorkload.kind
    threaded: ClassVar[bool] = TrainWorkload.threaded
    in_mean: ClassVar[bool] = False

    def workload(self, max_rows: int) -> TrainWorkload:
        """Make a batch of at most `max_rows` windows, and torch's own initial weights."""
        torch.manual_seed(0)
        module = self.network()
        rows = torch.rand(min(self.batch, max_rows), self.window + 1, FEATURES)
        return TrainWorkload(self.name, module, rows[:, :-1].contiguous(), rows[:, -1].contiguous())


CASES: list[Case] = [
    *SCORE_CASES,
    SeriesCase("carried LSTM 64, W=50", CarriedWorkload, "lstm", 50),
    SeriesCase("carried GRU 64, W=50", CarriedWorkload, "gru", 50),
    SeriesCase("flags LSTM 64, W=50", FlagWorkload, "lstm", 50),
    StepCase("step LSTM 64", nn.LSTMCell, 64),
    StepCase("step GRU 64", nn.GRUCell, 64),
    WindowsCase("windows, one long series", 1, 140_000),
    WindowsCase("windows, 400 users", 400, USER_ROWS),
    WindowsCase("windows into out=, one long series", 1, 140_000, kind="windows into out"),
    WindowsCase("windows into out=, 400 users", 400, USER_ROWS, kind="windows into out"),
    GatherCase("gather random windows", 400, 2048),
    TrainCase("train LSTM 16", lambda: lstm(FEATURES, 16)),
    TrainCase("train LSTM 64", lambda: lstm(FEATURES, 64)),
    TrainCase("train GRU 64", lambda: gru(FEATURES, 64)),
    TrainCase("train LSTM 64 x 2 layers", lambda: lstm(FEATURES, 64, 2)),
    TrainCase("train LSTM 128", lambda: lstm(FEATURES, 128)),
    TrainCase("train LSTM 64, W=50", lambda: lstm(FEATURES, 64), window=50),
]
