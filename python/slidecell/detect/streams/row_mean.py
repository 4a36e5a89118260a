"""The mean of the last rows' scores, one row at a time: what `row_means` gives of a series."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from slidecell._arguments import whole_number
from slidecell._arrays import one_number
from slidecell.thresholds.scores import Floats
from slidecell.thresholds.smoothing import Smoothing
from slidecell.thresholds.state_values import numbers, whole

__all__ = ["RowMean"]


class RowMean(Smoothing):
    """Mean of the finite scores among the last n rows, the own one included.

    A row without a score has none here, and an infinite one stays infinite; both take a place among
    the n rows, so that no score reaches further back.

    Parameters
    ----------
    n : int
        At least 1.

    Examples
    --------
    >>> from slidecell.detect.streams.row_mean import RowMean
    >>> mean = RowMean(2)
    >>> [mean.update(score) for score in (1.0, 3.0, float("nan"), 4.0)]
    [1.0, 2.0, nan, 4.0]
    """

    kind = "row_mean"

    def __init__(self, n: int) -> None:
        self.n = whole_number("n", n, least=1)
        self.reset()

    def reset(self) -> None:
        """Forget all scores."""
        self._last: deque[float] = deque(maxlen=self.n)  # NaN for a row without a finite one

    def fresh(self) -> RowMean:
        """Return one with the same n that has seen no score."""
        return RowMean(self.n)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RowMean:
        """Return the mean whose `state` this is."""
        made = cls(whole(state, "n"))
        made.load_running(state.get("running", []))
        return made

    def update(self, score: float) -> float:
        """Take the next row's score and return the mean."""
        value = one_number(score, name="score")
        finite = math.isfinite(value)
        self._last.append(value if finite else math.nan)
        return self._mean() if finite else value

    def running(self) -> list[Any]:
        """Return the last rows' scores, oldest first, and None where there is none."""
        return [None if math.isnan(score) else score for score in self._last]

    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""
        given = running if isinstance(running, list) else [running]
        finite = [score for score in given if score is not None]
        found = iter(numbers({"running": finite}, "running"))
        if not isinstance(running, list) or len(given) > self.n:
            raise ValueError(f"state: 'running': expected a list of at most {self.n} scores")
        scores = [math.nan if score is None else next(found) for score in given]
        self._last = deque(scores, maxlen=self.n)

    def _settings(self) -> dict[str, Any]:
        return {"n": self.n}

    def _mean(self) -> float:
        total, count = 0.0, 0
        for score in self._last:
            if score == score:  # noqa: PLR0124  # NaN differs from itself
                total += score
                count += 1
        return total / count

    def _next(self, score: float) -> float:
        return self.update(score)

    def _series(self, scores: Floats) -> Floats:
        each = self.fresh()
        return np.array([each.update(score) for score in scores.tolist()], np.float64)
