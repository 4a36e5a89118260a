"""Causal smoothing of scores, the same in a batch and one score at a time.

Both ways do the same float64 operations in the same order, so that they agree bit for bit. A score
that is not finite is passed on as it is; it leaves the state unchanged, but where rows are counted.
Each entity begins anew.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_number
from slidecell._arrays import one_number
from slidecell.thresholds.scores import Floats, as_scores, entity_slices
from slidecell.thresholds.state_values import mapping, number, numbers, whole

__all__ = ["EWMA", "MovingAverage", "Smoothing", "TrailingMean", "smoothing_from_state"]


_FEW = 16  # scores that are smoothed one by one: so many are not worth arrays


class Smoothing(ABC):
    """The interface of smoothings: `update` for streams, `apply` for series."""

    kind: ClassVar[str]

    def update(self, score: float) -> float:
        """Take the next score and return the smoothed one."""
        value = one_number(score, name="score")
        if not -np.inf < value < np.inf:
            return value
        return self._next(value)

    def update_block(self, scores: Floats) -> Floats:
        """Take the next scores [n], one or more, and return the smoothed ones [n].

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.thresholds.smoothing import EWMA
        >>> smoothing = EWMA(0.5)
        >>> smoothing.update_block(np.array([1.0, 3.0])).tolist(), smoothing.update(4.0)
        ([1.0, 2.0], 3.0)
        """
        return np.array([self.update(score) for score in scores.tolist()], np.float64)

    def apply(self, scores: npt.ArrayLike, offsets: npt.ArrayLike | None = None) -> Floats:
        """Smooth scores [S], each entity from its own beginning: [S].

        The object's own state takes no part and stays as it is.

        Parameters
        ----------
        scores : array_like, [S]
            In time order within an entity.
        offsets : array_like of int, [G+1], optional
            Entity g owns scores ``offsets[g]:offsets[g+1]``. Default: one entity.

        Returns
        -------
        ndarray, [S]
        """
        smoothed = as_scores(scores)
        for rows in entity_slices(offsets, len(smoothed)):
            part = smoothed[rows]  # a view
            finite = np.isfinite(part)
            part[finite] = self._series(part[finite])
        return smoothed

    def state(self) -> dict[str, Any]:
        """Return settings and running state, ready for JSON."""
        return {"kind": self.kind, **self._settings(), "running": self.running()}

    @abstractmethod
    def reset(self) -> None:
        """Forget all scores: the next one is the first of an entity."""

    @abstractmethod
    def fresh(self) -> Smoothing:
        """Return a smoothing with the same settings that has seen no score."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: Mapping[str, Any]) -> Smoothing:
        """Return the smoothing whose `state` this is; it goes on bit for bit."""

    @abstractmethod
    def running(self) -> list[float]:
        """Return the part of the state that scores change."""

    @abstractmethod
    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]: ...

    @abstractmethod
    def _next(self, score: float) -> float: ...

    @abstractmethod
    def _series(self, scores: Floats) -> Floats: ...


M = TypeVar("M", bound="_LastScores")


class _LastScores(Smoothing):
    """The mean of some of the last scores, its sum always from the oldest to the newest."""

    _last: deque[float]

    def __init__(self, n: int) -> None:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise ValueError(f"n: expected a whole number >= 1, got {n!r}")
        self.n = int(n)
        self.reset()

    def fresh(self: M) -> M:
        """Return one with the same n that has seen no score."""
        return type(self)(self.n)

    @classmethod
    def from_state(cls: type[M], state: Mapping[str, Any]) -> M:
        """Return the mean whose `state` this is."""
        made = cls(whole(state, "n"))
        made.load_running(state.get("running", []))
        return made

    def _settings(self) -> dict[str, Any]:
        return {"n": self.n}

    def _next(self, score: float) -> float:
        self._last.append(score)
        total = 0.0
        for value in self._last:  # the built-in sum compensates from Python 3.12 on
            total += value
        return total / len(self._last)

    def _means(self, scores: Floats, finite: npt.NDArray[np.bool_]) -> Floats:
        """Scores [S], 0 where there is none -> means [S]."""
        S = len(scores)
        total, lags = np.zeros(S), range(min(self.n, S) - 1, -1, -1)
        for lag in lags:
            total[lag:] += scores[: S - lag]
        if finite.all():
            return total / np.minimum(np.arange(1, S + 1), self.n)
        count = np.zeros(S, np.int64)
        for lag in lags:
            count[lag:] += finite[: S - lag]
        return total / np.maximum(count, 1)

    def _series(self, scores: Floats) -> Floats:
        return self._means(scores, np.ones(len(scores), np.bool_))


class MovingAverage(_LastScores):
    """Mean of the last n finite scores; of those that there are, at the beginning.

    It reaches back over rows without a score, however many they are; `TrailingMean` does not. The
    sum runs from the oldest to the newest score every time, in O(n): a running sum would drift,
    and drift differently wherever one begins.

    Parameters
    ----------
    n : int
        At least 1.

    Examples
    --------
    >>> from slidecell.thresholds.smoothing import MovingAverage
    >>> smoothing = MovingAverage(2)
    >>> [smoothing.update(score) for score in (1.0, 3.0, float("nan"), 4.0)]
    [1.0, 2.0, nan, 3.5]
    >>> smoothing.apply([1.0, 3.0, 4.0, 8.0], offsets=[0, 3, 4]).tolist()
    [1.0, 2.0, 3.5, 8.0]
    """

    kind = "moving_average"

    def reset(self) -> None:
        """Forget all scores."""
        self._last = deque(maxlen=self.n)

    def update_block(self, scores: Floats) -> Floats:
        """Take the next scores [n] and return the smoothed ones [n]; see `Smoothing.update_block`.

        All sums are built at once, each in its own order.
        """
        if len(scores) < _FEW:
            return super().update_block(scores)
        smoothed, finite = scores.copy(), np.isfinite(scores)
        before = len(self._last)
        known = np.concatenate([np.array(self._last, np.float64), scores[finite]])
        smoothed[finite] = self._series(known)[before:]
        self._last.extend(scores[finite].tolist())
        return smoothed

    def running(self) -> list[float]:
        """Return the last scores, oldest first."""
        return list(self._last)

    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""
        self._last = deque(numbers({"running": running}, "running", most=self.n), maxlen=self.n)


class TrailingMean(_LastScores):
    """Mean of the finite scores among the last n rows; of those that there are, at the beginning.

    A row without a score takes its place among the n, so that a mean never reaches back further
    than n rows. The sum runs from the oldest to the newest score every time, as in `MovingAverage`.

    Parameters
    ----------
    n : int
        At least 1.

    Examples
    --------
    >>> from slidecell.thresholds.smoothing import TrailingMean
    >>> smoothing = TrailingMean(2)
    >>> [smoothing.update(score) for score in (1.0, 3.0, float("nan"), 4.0)]
    [1.0, 2.0, nan, 4.0]
    >>> smoothing.apply([1.0, 3.0, 4.0, 8.0], offsets=[0, 3, 4]).tolist()
    [1.0, 2.0, 3.5, 8.0]
    """

    kind = "trailing_mean"

    def reset(self) -> None:
        """Forget all scores."""
        # Finite scores of the last n rows, the row of each, and how many rows there were.
        self._last = deque()
        self._rows: deque[int] = deque()
        self._count = 0

    def update(self, score: float) -> float:
        """Take the next row's score and return the smoothed one."""
        value = one_number(score, name="score")
        self._count += 1
        while self._rows and self._rows[0] <= self._count - self.n:
            self._rows.popleft()
            self._last.popleft()
        if not -np.inf < value < np.inf:
            return value
        self._rows.append(self._count)
        return self._next(value)

    def update_block(self, scores: Floats) -> Floats:
        """Take the next scores [n] and return the smoothed ones [n]; see `Smoothing.update_block`.

        All sums are built at once, each in its own order.
        """
        if len(scores) < _FEW:
            return super().update_block(scores)
        before = np.full(self.n - 1, np.nan)  # of the n - 1 rows before, the oldest first
        oldest = self._count - len(before) + 1
        for row, score in zip(self._rows, self._last, strict=True):
            if row >= oldest:
                before[row - oldest] = score
        rows = np.concatenate([before, scores])
        finite = np.isfinite(rows)
        means = self._means(np.where(finite, rows, 0.0), finite)
        self._count += len(scores)
        kept = np.flatnonzero(finite[-self.n :])
        first = self._count - min(self.n, len(rows)) + 1
        self._rows = deque((kept + first).tolist())
        self._last = deque(rows[-self.n :][kept].tolist())
        smoothed: Floats = np.where(finite, means, rows)[self.n - 1 :]
        return smoothed

    def apply(self, scores: npt.ArrayLike, offsets: npt.ArrayLike | None = None) -> Floats:
        """Smooth scores [S], each entity from its own beginning: [S]; see `Smoothing.apply`."""
        smoothed = as_scores(scores)
        for rows in entity_slices(offsets, len(smoothed)):
            part = smoothed[rows]  # a view
            finite = np.isfinite(part)
            part[finite] = self._means(np.where(finite, part, 0.0), finite)[finite]
        return smoothed

    def running(self) -> list[float]:
        """Return how many rows ago a score was, and the score, of each, oldest first."""
        ages = [self._count - row for row in self._rows]
        return [value for pair in zip(ages, self._last, strict=True) for value in pair]

    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""
        found = numbers({"running": running}, "running", most=2 * self.n)
        ages = [self.n, *found[::2]]
        if len(found) % 2 or any(
            not (0 <= later < age and later == int(later))
            for age, later in itertools.pairwise(ages)
        ):
            raise ValueError(
                f"'running': expected ages below {self.n}, each lower than the one before, and a "
                f"score after each, got {found!r}"
            )
        self._count = 0
        self._rows, self._last = deque(-int(age) for age in found[::2]), deque(found[1::2])


class EWMA(Smoothing):
    """Exponentially weighted moving average: s = s + alpha (score - s), from the first score on.

    Parameters
    ----------
    alpha : float
        Weight of the newest score, 0 < alpha <= 1.

    Examples
    --------
    >>> from slidecell.thresholds.smoothing import EWMA
    >>> smoothing = EWMA(0.5)
    >>> [smoothing.update(score) for score in (1.0, 3.0, float("nan"), 4.0)]
    [1.0, 2.0, nan, 3.0]
    """

    kind = "ewma"

    def __init__(self, alpha: float) -> None:
        self.alpha = as_number("alpha", alpha)
        if not 0.0 < self.alpha <= 1.0:
            raise ValueError(f"alpha: expected 0 < alpha <= 1, got {alpha!r}")
        self.reset()

    def reset(self) -> None:
        """Forget all scores."""
        self._average: float | None = None

    def fresh(self) -> EWMA:
        """Return one with the same alpha that has seen no score."""
        return EWMA(self.alpha)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> EWMA:
        """Return the average whose `state` this is."""
        made = cls(number(state, "alpha"))
        made.load_running(state.get("running", []))
        return made

    def running(self) -> list[float]:
        """Return the average, if there is one."""
        return [] if self._average is None else [self._average]

    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""
        found = numbers({"running": running}, "running", most=1)
        self._average = found[0] if found else None

    def _settings(self) -> dict[str, Any]:
        return {"alpha": self.alpha}

    def _next(self, score: float) -> float:
        before = self._average
        self._average = score if before is None else before + self.alpha * (score - before)
        return self._average

    def _series(self, scores: Floats) -> Floats:
        each = self.fresh()
        return np.array([each._next(score) for score in scores.tolist()], np.float64)


_KINDS: dict[str, type[Smoothing]] = {
    kind.kind: kind for kind in (MovingAverage, TrailingMean, EWMA)
}


def smoothing_from_state(state: object) -> Smoothing:
    """Return the smoothing whose `state` this is, or which a model's metadata describes.

    Examples
    --------
    >>> from slidecell.thresholds.smoothing import smoothing_from_state
    >>> smoothing_from_state({"kind": "ewma", "alpha": 0.25}).update(2.0)
    2.0
    """
    found = mapping(state, "smoothing")
    kind = found.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"smoothing: expected kind {' or '.join(map(repr, _KINDS))}, got {kind!r}")
    return _KINDS[kind].from_state(found)
