"""The scores that are measured. A new case is one more entry of `SCORE_CASES`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from slidecell._cells import CELLS, CellName
from slidecell.bench.layers import PLAIN
from slidecell.bench.workloads import Bools, Floats, Ints, ScoreWorkload, Workload
from slidecell.model import SequenceModel

__all__ = ["FEATURES", "SCORE_CASES", "Case", "ScoreCase", "random_model", "random_series"]

FEATURES = 7  # of the insider-threat forecaster: seven daily counts per user
WEEK = 7  # days, the window of most cases
USER_ROWS = 350  # about a year of days per user
ANOMALOUS = 0.01  # share of the rows
SHIFT = 0.2  # of an anomalous row: easy to miss, so that a spoilt score costs ROC-AUC


class Case(Protocol):
    """A name, and a workload made of it."""

    @property
    def name(self) -> str:
        """What ``--only`` looks at."""

    @property
    def kind(self) -> str:
        """Whose peers do it."""

    @property
    def threaded(self) -> bool:
        """Whether more threads than one mean anything."""

    @property
    def in_mean(self) -> bool:
        """Whether it counts in the geometric mean of scores."""

    def workload(self, max_rows: int) -> Workload:
        """Make data of at most about `max_rows` rows."""


def random_series(entities: int, rows: int, features: int, max_rows: int) -> tuple[Floats, Ints]:
    """Series [S, F] in [0, 1) and offsets [G+1], of about `rows` rows per entity.

    Examples
    --------
    >>> from slidecell.bench.cases import random_series
    >>> series, offsets = random_series(3, 100, 2, 1_000)
    >>> series.shape == (offsets[-1], 2), len(offsets)
    (True, 4)
    """
    rng = np.random.default_rng(0)
    rows = min(rows, max_rows)
    entities = max(1, min(entities, max_rows // rows))
    lengths = rng.integers(rows - rows // 16, rows + rows // 16, entities, endpoint=True)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    return rng.random((offsets[-1], features), dtype=np.float32), offsets


def with_anomalies(series: Floats) -> tuple[Floats, Bools]:
    """Shift some rows of a series [S, F]: the new one, and which rows [S].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.cases import with_anomalies
    >>> series, labels = with_anomalies(np.zeros((1000, 2), np.float32))
    >>> bool((series[labels] > 0).all()), bool((series[~labels] == 0).all()), labels.any()
    (True, True, np.True_)
    """
    labels = np.random.default_rng(1).random(len(series)) < ANOMALOUS
    return series + np.float32(SHIFT) * labels[:, None].astype(np.float32), labels


def random_model(
    cell: CellName,
    encoder: tuple[int, ...],
    decoder: tuple[int, ...] = (),
    *,
    features: int = FEATURES,
    window: int = 7,
    horizon: int = 1,
) -> SequenceModel:
    """Make a model with weights as torch initialises them: uniform within 1 / sqrt(H).

    Examples
    --------
    >>> from slidecell.bench.cases import random_model
    >>> random_model("gru", (8, 4))
    SequenceModel(7 features, gru 8 -> gru 4, window=7, horizon=1)
    """
    rng = np.random.default_rng(0)
    tensors: dict[str, npt.NDArray[Any]] = {}
    metadata: dict[str, Any] = {"window": window, "horizon": horizon}
    gates, size = CELLS[cell].gates, features
    for part, sizes in (("encoder", encoder), ("decoder", decoder)):
        metadata[part] = []
        for number, H in enumerate(sizes):
            metadata[part].append({"cell": cell, "input_size": size, "hidden_size": H, **PLAIN})
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (gates * H, size),
                "weight_hh": (gates * H, H),
                "bias_ih": (gates * H,),
                "bias_hh": (gates * H,),
            }
            for name, shape in shapes.items():
                tensors[f"{part}.{number}.{name}_l0"] = rng.uniform(-1, 1, shape) / np.sqrt(H)
            size = H
    tensors["head.weight"] = rng.uniform(-1, 1, (features, size)) / np.sqrt(size)
    tensors["head.bias"] = rng.uniform(-1, 1, features) / np.sqrt(size)
    return SequenceModel(metadata, tensors)


@dataclass(frozen=True)
class ScoreCase:
    """Scores of all windows of a series. Sizes let torch take about a fifth of a second per call.

    Examples
    --------
    >>> from slidecell.bench.cases import ScoreCase
    >>> ScoreCase("tiny", "lstm", (4,), entities=2).workload(1_000).shape
    'W=7 F=7 S=721 entities=2'
    """

    name: str
    cell: CellName
    encoder: tuple[int, ...]
    decoder: tuple[int, ...] = ()
    entities: int = 100
    rows: int = USER_ROWS
    window: int = 7
    features: int = FEATURES
    in_mean: bool = True  # whether it counts in the geometric mean
    kind: ClassVar[str] = ScoreWorkload.kind
    threaded: ClassVar[bool] = True

    def workload(self, max_rows: int) -> ScoreWorkload:
        """Make data of at most about `max_rows` rows, of fewer where windows are long."""
        max_rows = max(4 * self.window, max_rows * WEEK // self.window)
        series, offsets = random_series(self.entities, self.rows, self.features, max_rows)
        series, labels = with_anomalies(series)
        horizon = 0 if self.decoder else 1
        model = random_model(
            self.cell,
            self.encoder,
            self.decoder,
            features=self.features,
            window=self.window,
            horizon=horizon,
        )
        return ScoreWorkload(self.name, series, offsets, self.window, horizon, model, labels)


# Windows of seven days of seven features, one day ahead: the five networks of the insider-threat
# forecaster. Wider networks get fewer users.
SCORE_CASES = [
    ScoreCase("score LSTM 16", "lstm", (16,), entities=400),
    ScoreCase("score LSTM 64", "lstm", (64,)),
    ScoreCase("score GRU 64", "gru", (64,)),
    ScoreCase("score LSTM 64 x 2 layers", "lstm", (64, 64), entities=50),
    ScoreCase("score LSTM 128", "lstm", (128,), entities=50),
    ScoreCase("score LSTM 64, W=50", "lstm", (64,), entities=25, window=50),
    ScoreCase(
        "score LSTM 64, one long series", "lstm", (64,), entities=1, rows=35_000, in_mean=False
    ),
    # The card-fraud autoencoder's sizes. Its own activation is relu, which the peers' LSTM lack;
    # tanh lets them run their fastest layer.
    ScoreCase(
        "score autoencoder 16-8-8-16",
        "lstm",
        (16, 8),
        (8, 16),
        window=10,
        features=29,
        in_mean=False,
    ),
]
