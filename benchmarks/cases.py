"""What is measured. A new case is one more entry of `CASES`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import nn

from benchmarks.jobs import (
    Floats,
    GatherJob,
    Ints,
    Job,
    ScoreJob,
    StepJob,
    TrainJob,
    WindowsJob,
)
from benchmarks.networks import gru, lstm
from slidecell.training import Autoencoder

FEATURES = 7  # of the insider-threat forecaster: seven daily counts per user
USER_ROWS = 350  # about a year of days per user


def random_series(entities: int, rows: int, features: int, max_rows: int) -> tuple[Floats, Ints]:
    """Series [S, F] in [0, 1) and offsets [G+1], of about `rows` rows per entity."""
    rng = np.random.default_rng(0)
    rows = min(rows, max_rows)
    entities = max(1, min(entities, max_rows // rows))
    lengths = rng.integers(rows - rows // 16, rows + rows // 16, entities, endpoint=True)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return rng.random((offsets[-1], features), dtype=np.float32), offsets


class Case(Protocol):
    """A name, and a job made of it."""

    @property
    def name(self) -> str:
        """What ``--only`` looks at."""

    @property
    def kind(self) -> str:
        """Whose peers do it: a key of `peers.PEERS`."""

    def job(self, max_rows: int) -> Job:
        """Make data of at most about `max_rows` rows."""


@dataclass(frozen=True)
class ScoreCase:
    """Scores of all windows of a series. Sizes let torch take about a second per call."""

    name: str
    network: Callable[[], nn.Module]
    entities: int
    rows: int = USER_ROWS
    window: int = 7
    horizon: int = 1
    features: int = FEATURES
    kind: ClassVar[str] = ScoreJob.kind

    def job(self, max_rows: int) -> ScoreJob:
        """Make data of at most about `max_rows` rows, and torch's own initial weights."""
        series, offsets = random_series(self.entities, self.rows, self.features, max_rows)
        torch.manual_seed(0)
        module = self.network().eval()
        return ScoreJob(self.name, series, offsets, self.window, self.horizon, module)


@dataclass(frozen=True)
class StepCase:
    """Latency of one step of one row."""

    name: str
    cell: Callable[[int, int], Any]
    hidden_size: int
    steps: int = 2_000
    kind: ClassVar[str] = StepJob.kind

    def job(self, max_rows: int) -> StepJob:
        """Make data of at most `max_rows` steps."""
        torch.manual_seed(0)
        rows = np.random.default_rng(0).random(
            (min(self.steps, max_rows), FEATURES), dtype=np.float32
        )
        return StepJob(self.name, self.cell(FEATURES, self.hidden_size).eval(), rows)


@dataclass(frozen=True)
class WindowsCase:
    """All windows of a series, copied in order."""

    name: str
    entities: int
    rows: int
    kind: str = "windows"  # or "windows into out"

    def job(self, max_rows: int) -> WindowsJob:
        """Make data of at most about `max_rows` rows."""
        series, offsets = random_series(self.entities, self.rows, FEATURES, max_rows)
        return WindowsJob(self.name, series, offsets, 7, 1, self.kind)


@dataclass(frozen=True)
class GatherCase:
    """All windows of a series, copied in random order by batches."""

    name: str
    entities: int
    batch: int
    kind: ClassVar[str] = GatherJob.kind

    def job(self, max_rows: int) -> GatherJob:
        """Make data of at most about `max_rows` rows."""
        series, offsets = random_series(self.entities, USER_ROWS, FEATURES, max_rows)
        return GatherJob(self.name, series, offsets, 7, 1, self.batch)


@dataclass(frozen=True)
class TrainCase:
    """A step of training on one batch."""

    name: str
    network: Callable[[], nn.Module]
    batch: int = 2048
    window: int = 7
    kind: ClassVar[str] = TrainJob.kind

    def job(self, max_rows: int) -> TrainJob:
        """Make a batch of at most `max_rows` windows, and torch's own initial weights."""
        torch.manual_seed(0)
        module = self.network()
        rows = torch.rand(min(self.batch, max_rows), self.window + 1, FEATURES)
        return TrainJob(self.name, module, rows[:, :-1].contiguous(), rows[:, -1].contiguous())


# Windows of seven days of seven features, one day ahead: the five networks of the insider-threat
# forecaster, whose 4,000 users give 1.4 million rows. Wider networks get fewer users.
CASES: list[Case] = [
    ScoreCase("score LSTM 16, 4,000 users", lambda: lstm(FEATURES, 16), 4_000),
    ScoreCase("score LSTM 64", lambda: lstm(FEATURES, 64), 400),
    ScoreCase("score GRU 64", lambda: gru(FEATURES, 64), 400),
    ScoreCase("score LSTM 64 x 2 layers", lambda: lstm(FEATURES, 64, 2), 200),
    ScoreCase("score LSTM 128", lambda: lstm(FEATURES, 128), 200),
    ScoreCase("score LSTM 64, one long series", lambda: lstm(FEATURES, 64), 1, rows=140_000),
    ScoreCase("score LSTM 64, W=50", lambda: lstm(FEATURES, 64), 100, window=50),
    # The card-fraud autoencoder's sizes. Its own activation is relu, which torch's LSTM lacks;
    # tanh lets torch run its fastest layer.
    ScoreCase(
        "score autoencoder 16-8-8-16",
        lambda: Autoencoder(29, (16, 8), (8, 16), window=10),
        400,
        window=10,
        horizon=0,
        features=29,
    ),
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
