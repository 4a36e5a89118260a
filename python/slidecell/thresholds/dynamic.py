"""The threshold of telemanom: each batch gets a new one, chosen from the scores before it."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np

from slidecell.thresholds.base import Bools, Threshold
from slidecell.thresholds.dynamic_parts import Average, best_epsilon, near
from slidecell.thresholds.scores import Floats
from slidecell.thresholds.state_values import mapping, number, numbers, whole

__all__ = ["DynamicThreshold"]

_CHUNK = 256  # windows of a batch that are looked at a time: 4 MB


class DynamicThreshold(Threshold):
    """Non-parametric dynamic threshold [1]_ in a causal form: from past scores alone.

    Scores are averaged exponentially. After each batch the averages in the window choose a
    threshold, the epsilon of section 3.2, for the next batch; an average raises an alarm above it
    if it also exceeds the window's highest normal average by the separation (section 3.3, where
    sequences are pruned afterwards). Anomalies enter the window as all scores do.

    `dynamic_threshold` is the published algorithm: it judges a batch by a window that includes it,
    and widens what it finds.

    Memory per entity: ``window`` numbers.

    Parameters
    ----------
    batch : int
        Scores between two choices.
    window : int
        Averages that choose; at least ``batch``.
    smoothing : float
        Span of the average as a share of the window.
    buffer : int
        Averages on both sides of an excess that count as anomalous with it.
    separation : float
        The least drop, as a share, from an alarm to the highest normal average.
    min_scores : int, optional
        No alarm before so many scores. Default: 500, or the window if that is shorter.
    two_sided : bool
        Raise alarms on low averages, too.

    References
    ----------
    .. [1] K. Hundman, V. Constantinou, C. Laporte, I. Colwell, T. Soderstrom (2018), "Detecting
       Spacecraft Anomalies Using LSTMs and Nonparametric Dynamic Thresholding", KDD, 387-395.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.thresholds import DynamicThreshold
    >>> scores = np.random.default_rng(0).random(3000)
    >>> scores[2000:2050] += 5.0
    >>> alarms = np.flatnonzero(DynamicThreshold(window=700).apply(scores))
    >>> int(alarms.min()), bool(alarms.max() < 2100)
    (2000, True)
    """

    kind = "dynamic"

    def __init__(
        self,
        batch: int = 70,
        window: int = 2100,
        *,
        smoothing: float = 0.05,
        buffer: int = 100,
        separation: float = 0.13,
        min_scores: int | None = None,
        two_sided: bool = False,
    ) -> None:
        for name, value, least in (("batch", batch, 1), ("window", window, batch)):
            _need_whole(name, value, least)
        _need_whole("buffer", buffer, 1)
        if not 0.0 < smoothing <= 1.0 or window * smoothing < 1.0:
            raise ValueError(f"smoothing: expected {1.0 / window:.3g} to 1, got {smoothing!r}")
        if not 0.0 <= separation < 1.0:
            raise ValueError(f"separation: expected 0 <= separation < 1, got {separation!r}")
        least = min(500, int(window)) if min_scores is None else min_scores
        _need_whole("min_scores", least, 1)
        if least > window:
            raise ValueError(f"min_scores: expected 1 to {window} (window), got {min_scores!r}")
        self.batch, self.window, self.buffer = int(batch), int(window), int(buffer)
        self.smoothing, self.separation = float(smoothing), float(separation)
        self.min_scores, self.two_sided = int(least), bool(two_sided)
        self.reset()

    def reset(self) -> None:
        """Begin a new entity: forget all scores."""
        self._average = Average(int(self.window * self.smoothing))
        self._last: deque[float] = deque(maxlen=self.window)
        self._count = 0
        self._highest, self._lowest = math.nan, math.nan  # averages without alarm

    @property
    def threshold(self) -> float:
        """The score above which the average is too high; NaN before `min_scores`."""
        return self._average.needed(self._highest)

    @property
    def lower_threshold(self) -> float:
        """The score below which the average is too low; NaN before `min_scores`."""
        return self._average.needed(self._lowest)

    def _judge(self, score: float) -> bool:
        alarm = score > self.threshold or (self.two_sided and score < self.lower_threshold)
        if math.isinf(score):
            return alarm
        self._last.append(self._average.push(score))
        self._count += 1
        waited = self._count - self.min_scores
        if waited >= 0 and waited % self.batch == 0:
            self._choose()
        return alarm

    def _choose(self) -> None:
        self._highest, self._lowest = (
            float(limit[0]) for limit in self._limits(np.array(self._last)[None])
        )

    def _limits(self, windows: Floats) -> tuple[Floats, Floats]:
        """Find the greatest and the least average without alarm: windows [N, n] -> [N] each."""
        # Row by row, so that a sum has the same order however many windows there are.
        mean = np.array([window.mean() for window in windows])
        sd = np.array([window.std() for window in windows])
        highest = self._limit(windows, mean, sd)
        if not self.two_sided:
            return highest, np.full(len(windows), np.nan)
        mirrored = mean[:, None] + (mean[:, None] - windows)
        return highest, 2.0 * mean - self._limit(mirrored, mean, sd)

    def _limit(self, windows: Floats, mean: Floats, sd: Floats) -> Floats:
        epsilon = best_epsilon(windows, mean, sd, self.buffer)
        highest = windows.max(axis=1)  # of the normal averages
        for i in np.flatnonzero((highest >= epsilon) & (sd > 0.0)):
            excesses = np.flatnonzero(windows[i] >= epsilon[i])
            normal = windows[i, ~near(excesses, windows.shape[1], self.buffer)]
            highest[i] = normal.max(initial=-math.inf)
        limit: Floats = np.maximum(epsilon, highest / (1.0 - self.separation))
        return limit

    def _series(self, scores: Floats) -> Bools:
        finite = np.isfinite(scores)
        seen = np.cumsum(finite) - finite  # finite scores before each
        value, weight = self._averages(scores[finite])
        highest, lowest = self._levels(value[1:])
        older = weight * self._average.decay
        alarms = scores > (highest * (older + 1.0) - older * value)[seen]
        if self.two_sided:
            alarms |= scores < (lowest * (older + 1.0) - older * value)[seen]
        return np.asarray(alarms)

    def _averages(self, scores: Floats) -> tuple[Floats, Floats]:
        """Averages and weights before each of the scores [n] and after the last, [n+1]."""
        average = self._average
        value, weight = [average.value], [average.weight]
        for score in scores.tolist():
            value.append(average.push(score))
            weight.append(average.weight)
        return np.array(value), np.array(weight)

    def _levels(self, averages: Floats) -> tuple[Floats, Floats]:
        """Limits in force after none, one .. all of the averages [n]: [n+1] each."""
        n, window = len(averages), self.window
        choices = np.arange(self.min_scores, n + 1, self.batch)
        highest, lowest = np.full((2, len(choices)), np.nan)
        early = int(np.searchsorted(choices, window))
        for i, count in enumerate(choices[:early]):
            highest[i : i + 1], lowest[i : i + 1] = self._limits(averages[None, :count])
        for i in range(early, len(choices), _CHUNK):
            every = np.lib.stride_tricks.sliding_window_view(averages, window)
            windows = every[choices[i : i + _CHUNK] - window]
            highest[i : i + _CHUNK], lowest[i : i + _CHUNK] = self._limits(windows)
        last = (np.arange(n + 1) - self.min_scores) // self.batch  # choice before each
        unset = last < 0
        found = np.full((2, n + 1), np.nan)
        found[:, ~unset] = np.stack((highest, lowest))[:, last[~unset]]
        return found[0], found[1]

    def _settings(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "window": self.window,
            "smoothing": self.smoothing,
            "buffer": self.buffer,
            "separation": self.separation,
            "min_scores": self.min_scores,
            "two_sided": self.two_sided,
        }

    def running(self) -> dict[str, Any]:
        """Return the window, the average, and the limits of the averages."""
        return {
            "last": list(self._last),
            "count": self._count,
            "average": self._average.value,
            "weight": self._average.weight,
            "highest": None if math.isnan(self._highest) else self._highest,
            "lowest": None if math.isnan(self._lowest) else self._lowest,
        }

    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""
        found = mapping(running, "running")
        last = numbers(found, "last", most=self.window)
        count, weight = whole(found, "count"), number(found, "weight")
        if len(last) != min(count, self.window) or weight < 0.0:
            raise ValueError("state: 'last', 'count', 'weight': expected numbers that can be")
        limits = [
            math.nan if found.get(key, 0.0) is None else number(found, key)
            for key in ("highest", "lowest")
        ]
        self._average.value, self._average.weight = number(found, "average"), weight
        self._last.extend(last)
        self._count = count
        self._highest, self._lowest = limits


def _need_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}: expected a whole number >= {least}, got {value!r}")
