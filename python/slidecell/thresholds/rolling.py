"""A threshold that follows: a quantile of the last scores."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from typing import Any

import numpy as np

from slidecell._arguments import as_number
from slidecell.thresholds.base import Bools, Threshold
from slidecell.thresholds.scores import Floats
from slidecell.thresholds.state_values import numbers

__all__ = ["RollingQuantileThreshold"]

# In a batch, selecting in every window of 100 scores takes 2.3 us a score, keeping the window
# sorted 3.3 us; at 1,000 scores it is 29 against 5.
_MOST_SELECTED = 128
_CHUNK = 1 << 20  # scores of all windows that are copied at a time: 8 MB


class RollingQuantileThreshold(Threshold):
    """A quantile of the last finite scores before the one that is judged.

    Interpolated linearly, with the bits of `numpy.quantile`. Anomalies enter the window as all
    scores do.

    Parameters
    ----------
    quantile : float
        0 to 1.
    window : int
        Scores that are remembered.
    min_scores : int, optional
        No alarm before so many scores were seen. Default: the whole window.

    Examples
    --------
    >>> from slidecell.thresholds import RollingQuantileThreshold
    >>> rule = RollingQuantileThreshold(1.0, window=3)
    >>> rule.apply([1.0, 2.0, 3.0, 4.0, 4.0, 5.0]).tolist()
    [False, False, False, True, False, True]
    """

    kind = "rolling_quantile"

    def __init__(
        self, quantile: float = 0.99, window: int = 1000, *, min_scores: int | None = None
    ) -> None:
        self.quantile = as_number("quantile", quantile)
        if not 0.0 <= self.quantile <= 1.0:
            raise ValueError(f"quantile: expected 0 to 1, got {quantile!r}")
        if isinstance(window, bool) or not isinstance(window, (int, np.integer)) or window < 1:
            raise ValueError(f"window: expected a whole number >= 1, got {window!r}")
        least = window if min_scores is None else min_scores
        whole = isinstance(least, (int, np.integer)) and not isinstance(least, bool)
        if not whole or not 1 <= least <= window:
            raise ValueError(f"min_scores: expected 1 to {window} (window), got {min_scores!r}")
        self.window, self.min_scores = int(window), int(least)
        self.reset()

    def reset(self) -> None:
        """Begin a new entity: forget all scores."""
        self._last: deque[float] = deque()
        self._sorted: list[float] = []

    @property
    def threshold(self) -> float:
        """The quantile of the scores so far; NaN while they are fewer than `min_scores`."""
        n = len(self._sorted)
        if n < self.min_scores:
            return math.nan
        below, above, part = self._place(n)
        low, high = self._sorted[below], self._sorted[above]
        # numpy's way: from the nearer end
        return low + (high - low) * part if part < 0.5 else high - (high - low) * (1.0 - part)

    def _place(self, n: int) -> tuple[int, int, float]:
        """Ranks between which the quantile of n scores lies, and how far above the lower one."""
        place = (n - 1) * self.quantile
        below = int(place)
        return below, min(below + 1, n - 1), place - below

    def _judge(self, score: float) -> bool:
        alarm = score > self.threshold
        if not math.isinf(score):
            self._remember(score)
        return alarm

    def _remember(self, score: float) -> None:
        if len(self._last) == self.window:
            del self._sorted[bisect_left(self._sorted, self._last.popleft())]
        self._last.append(score)
        insort(self._sorted, score)

    def _series(self, scores: Floats) -> Bools:
        finite = np.isfinite(scores)
        seen = np.cumsum(finite) - finite  # finite scores before each
        return np.asarray(scores > self._thresholds(scores[finite])[seen])

    def _thresholds(self, scores: Floats) -> Floats:
        """Finite scores [n] -> the threshold before each and after the last, [n+1]."""
        n, window = len(scores), self.window
        one_by_one = min(window, n) if window <= _MOST_SELECTED else n
        found = np.empty(n + 1)
        for count, score in enumerate(scores[:one_by_one].tolist()):
            found[count] = self.threshold
            self._remember(score)
        found[one_by_one] = self.threshold
        below, above, part = self._place(window)
        for first in range(one_by_one + 1, n + 1, _CHUNK // window):
            last = min(first + _CHUNK // window, n + 1)
            windows = np.lib.stride_tricks.sliding_window_view(
                scores[first - window : last - 1], window
            )
            ranked = np.partition(windows, (below, above), axis=1)
            low, step = ranked[:, below], ranked[:, above] - ranked[:, below]
            found[first:last] = (
                low + step * part if part < 0.5 else ranked[:, above] - step * (1.0 - part)
            )
        return found

    def _settings(self) -> dict[str, Any]:
        return {"quantile": self.quantile, "window": self.window, "min_scores": self.min_scores}

    def running(self) -> list[float]:
        """Return the remembered scores, oldest first."""
        return list(self._last)

    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""
        self._last = deque(numbers({"running": running}, "running", most=self.window))
        self._sorted = sorted(self._last)
