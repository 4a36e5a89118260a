"""A case of the user's own: a model and rows of a file, for the contest that random series have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from slidecell.bench.layers import layers_of
from slidecell.bench.workloads import Floats, Ints, ScoreWorkload, window_starts
from slidecell.model import SequenceModel
from slidecell.scaling import apply_scaler

__all__ = ["OwnCase", "OwnWorkload"]


@dataclass(frozen=True)
class OwnWorkload(ScoreWorkload):
    """Score a user's rows: the peers get them scaled, our model raw where it has a scaler.

    Windows with a missing value have no score and are no work.
    """

    given: npt.NDArray[Any] | None = None  # [S, F]

    def first(self, rows: int) -> Any:
        """Return the same on the first `rows` rows, or on those up to the first window's end."""
        rows = max(rows, int(self.starts[0]) + self.window + self.horizon)
        return replace(super().first(rows), given=None if self.given is None else self.given[:rows])

    @cached_property
    def starts(self) -> Ints:
        """First row of each window that has a score, [N]."""
        span = self.window + self.horizon
        starts = window_starts(self.offsets, span)
        before = np.concatenate(([0], np.cumsum(np.isnan(self.series).any(axis=1))))
        found: Ints = starts[before[starts + span] == before[starts]]
        return found

    @property
    def rows(self) -> npt.NDArray[Any]:
        """What `SequenceModel.score` is given."""
        return self.series if self.given is None else self.given


@dataclass(frozen=True)
class OwnCase:
    """A model and rows [S, F] of a file, in order of entity and time.

    Raises
    ------
    ValueError
        If the peers lack something that the model has, or if no window fits.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.bench.cases import random_model
    >>> from slidecell.bench.own_case import OwnCase
    >>> rows = np.random.default_rng(0).random((50, 7))
    >>> case = OwnCase("mine", random_model("gru", (4,)), rows, np.array([0, 20, 50]))
    >>> case.workload(1_000).shape, case.workload(40).shape
    ('W=7 F=7 S=50 entities=2', 'W=7 F=7 S=40 entities=2')
    """

    name: str
    model: SequenceModel
    rows: npt.NDArray[Any]  # [S, F]
    offsets: Ints  # [G+1]
    kind: ClassVar[str] = ScoreWorkload.kind
    threaded: ClassVar[bool] = True
    in_mean: ClassVar[bool] = True

    def __post_init__(self) -> None:
        metadata = self.model.metadata
        lacked = [
            text
            for text, has in (
                ("a head of several layers", metadata.get("head") is not None),
                ("predicted variances", metadata.get("distribution") is not None),
                (
                    "an autoencoder of some columns only",
                    self.model.horizon == 0 and self.model.num_targets < self.model.input_size,
                ),
            )
            if has
        ]
        if lacked:
            raise ValueError(f"model: expected what the peers can run, got {', '.join(lacked)}")
        layers_of(self.model)  # which refuses other layers
        span = self.model.window + self.model.horizon
        longest = int(np.diff(self.offsets).max(initial=0))
        if longest < span:
            raise ValueError(
                f"data: expected {span} rows of one entity for a window, got at most {longest}"
            )

    @cached_property
    def _scaled(self) -> tuple[npt.NDArray[Any], Floats]:
        """The rows as our model gets them and as the peers do: the same ones are missing."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaler = self.model.scaler
            scaled = self.rows if scaler is None else apply_scaler(scaler, self.rows)
            series = np.asarray(scaled).astype(np.float32)
        missing = ~np.isfinite(series).all(axis=1)
        series[missing] = np.nan
        rows = np.array(self.rows, np.float64)
        rows[missing] = np.nan
        return rows, series

    @property
    def missing(self) -> int:
        """Rows with a missing value, or one that float32 cannot hold."""
        return int(np.isnan(self._scaled[1][:, 0]).sum())

    def workload(self, max_rows: int) -> OwnWorkload:
        """Return the first rows, at most `max_rows` of them or what a window needs."""
        rows, series = self._scaled
        model = self.model
        whole = OwnWorkload(
            self.name,
            series,
            self.offsets,
            model.window,
            model.horizon,
            model,
            np.zeros(len(series), np.bool_),
            given=rows,
        )
        if not len(whole.starts):
            raise ValueError("data: expected a window without a missing value, got none")
        found: OwnWorkload = whole if len(series) <= max_rows else whole.first(max_rows)
        return found
