"""The networks whose least time is stated, each on one long series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import slidecell as sc
from benchmarks.carried_peers import block_rows
from benchmarks.networks import gru, lstm
from benchmarks.roofline.model import Carried
from slidecell.training import Autoencoder, Forecaster

FEATURES = 7  # as in the other benchmarks


@dataclass(frozen=True)
class Case:
    """A network and its window."""

    name: str
    module: Callable[[], nn.Module]
    window: int = 7
    horizon: int = 1
    features: int = FEATURES
    windows: Literal["exact", "carried"] = "exact"

    def model(self) -> sc.SequenceModel:
        """Make it, with torch's initial weights."""
        torch.manual_seed(0)
        module = self.module().eval()
        return sc.SequenceModel.from_torch(module, window=self.window, horizon=self.horizon)

    def chains(self, count: int) -> Carried | None:
        """Count the steps of so many chains that carry states; None where none does."""
        if self.windows == "exact":
            return None
        return Carried.of(window=self.window, block=block_rows(self.window), chains=count)

    def windows_of(self, lanes: int) -> int:
        """Count the windows of so many lanes of vectors: windows, or whole chains."""
        found = self.chains(lanes)
        return found.windows if found else lanes

    def series(self, windows: int) -> npt.NDArray[np.float32]:
        """Rows in [0, 1) that hold this many windows."""
        shape = (self.rows(windows), self.features)
        return np.random.default_rng(0).random(shape, dtype=np.float32)

    def rows(self, windows: int) -> int:
        """Count the rows of this many windows."""
        return windows + self.window + self.horizon - 1


def gru_reset_before() -> nn.Module:
    """Make the GRU whose reset gate comes before the product; torch has none."""
    return Forecaster(FEATURES, 64, cell="gru", reset_after=False, window=7)


CASES = [
    Case("LSTM 16", lambda: lstm(FEATURES, 16)),
    Case("LSTM 64", lambda: lstm(FEATURES, 64)),
    Case("LSTM 128", lambda: lstm(FEATURES, 128)),
    Case("LSTM 64 x 2 layers", lambda: lstm(FEATURES, 64, 2)),
    Case("GRU 64", lambda: gru(FEATURES, 64)),
    Case("GRU 64, reset before", gru_reset_before),
    Case("LSTM 64, W=50", lambda: lstm(FEATURES, 64), window=50),
    Case("LSTM 64, W=50, carried", lambda: lstm(FEATURES, 64), window=50, windows="carried"),
    Case("GRU 64, W=50, carried", lambda: gru(FEATURES, 64), window=50, windows="carried"),
    Case(
        "autoencoder 16-8-8-16",
        lambda: Autoencoder(29, (16, 8), (8, 16), window=10),
        window=10,
        horizon=0,
        features=29,
    ),
]
