"""CUSUM: alarms on a lasting shift of the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_number
from slidecell.thresholds.base import Threshold
from slidecell.thresholds.scores import training_part
from slidecell.thresholds.state_values import mapping, number, whole

__all__ = ["CusumThreshold"]


class CusumThreshold(Threshold):
    """Cumulative sums of standardised scores, up and down [1]_.

    With z = (score - mean) / sd: up = max(0, up + z - k), down = max(0, down - z - k), and an
    alarm where one of them exceeds h. mean and sd (ddof 0) come from `fit`, or else from the first
    scores of each entity, which raise no alarm.

    Parameters
    ----------
    k : float
        Allowance, in sd: half the shift that matters.
    h : float
        Decision interval, in sd.
    two_sided : bool
        False: rising scores only.
    first : int, optional
        Without `fit`: so many finite scores make the baseline (more, until two of them differ).
    decay : float, optional
        Weight of the newest score in a baseline that follows: mean and variance are updated after
        each judgement, so that a lasting shift becomes the new normal. Default: it stays.
    restart : bool
        Begin at 0 again after an alarm. Default: the sums go on, and so does the alarm.

    References
    ----------
    .. [1] E. S. Page (1954), "Continuous inspection schemes", Biometrika 41, 100-115.

    Examples
    --------
    >>> from slidecell.thresholds import CusumThreshold
    >>> rule = CusumThreshold(k=0.5, h=2.0).fit([0.0, 2.0])
    >>> [rule.update(score) for score in (1.0, 2.5, 2.5, 2.5)]
    [False, False, False, True]
    """

    kind = "cusum"

    def __init__(
        self,
        k: float = 0.5,
        h: float = 5.0,
        *,
        two_sided: bool = True,
        first: int | None = None,
        decay: float | None = None,
        restart: bool = False,
    ) -> None:
        self.k, self.h = as_number("k", k), as_number("h", h)
        if not (0.0 <= self.k < math.inf and 0.0 < self.h < math.inf):
            raise ValueError(f"k, h: expected k >= 0 and h > 0, got {k!r} and {h!r}")
        if first is not None and (
            isinstance(first, bool) or not isinstance(first, (int, np.integer)) or first < 2
        ):
            raise ValueError(f"first: expected at least 2 scores (whole), got {first!r}")
        self.decay = None if decay is None else as_number("decay", decay)
        if self.decay is not None and not 0.0 < self.decay < 1.0:
            raise ValueError(f"decay: expected 0 < decay < 1, got {decay!r}")
        self.two_sided, self.restart = bool(two_sided), bool(restart)
        self.first = None if first is None else int(first)
        self._fitted: tuple[float, float] | None = None  # mean, sd
        self.reset()

    def fit(self, training_scores: npt.ArrayLike) -> CusumThreshold:
        """Take mean and sd of the finite training scores [S].

        Raises
        ------
        ValueError
            If fewer than two are finite, or all are equal.
        """
        scores = training_part(training_scores, least=2)
        sd = float(scores.std())
        if scores.min() == scores.max() or sd == 0.0:
            raise ValueError(
                f"training_scores: expected scores that differ, got {len(scores)} times {scores[0]}"
            )
        self._fitted = (float(scores.mean()), sd)
        self.reset()
        return self

    def reset(self) -> None:
        """Begin a new entity: sums of 0, the fitted baseline or none."""
        self._up = self._down = 0.0
        self._count, self._m2 = 0, 0.0  # Welford's sums, while there is no baseline
        self._mean, self._sd = self._fitted or (0.0, 0.0)
        self._ready = self._fitted is not None

    @property
    def sums(self) -> tuple[float, float]:
        """The cumulative sums up and down, in sd."""
        return self._up, self._down

    @property
    def threshold(self) -> float:
        """The score above which the next one raises an alarm (up to rounding)."""
        self._need_reference()
        return self._mean + self._sd * (self.h + self.k - self._up) if self._ready else math.nan

    def _is_fitted(self) -> bool:
        return self._fitted is not None or self.first is not None

    def _judge(self, score: float) -> bool:
        if not self._ready:
            self._learn(score)
            return False
        z = (score - self._mean) / self._sd
        up = max(0.0, self._up + z - self.k)
        down = max(0.0, self._down - z - self.k) if self.two_sided else 0.0
        alarm = up > self.h or down > self.h
        if not math.isfinite(z):  # an infinite sum would never fall again
            return alarm
        self._up, self._down = (0.0, 0.0) if alarm and self.restart else (up, down)
        if self.decay is not None:
            self._follow(score, self.decay)
        return alarm

    def _learn(self, score: float) -> None:
        if not math.isfinite(score):
            return
        self._count += 1
        step = score - self._mean
        self._mean += step / self._count
        self._m2 += step * (score - self._mean)
        self._sd = math.sqrt(self._m2 / self._count)
        self._ready = self._count >= (self.first or 0) and self._sd > 0.0

    def _follow(self, score: float, weight: float) -> None:
        step = score - self._mean
        self._mean += weight * step
        variance = (1.0 - weight) * (self._sd * self._sd + weight * step * step)
        # After very many equal scores it would underflow to a division by zero.
        self._sd = max(math.sqrt(variance), np.finfo(np.float64).tiny)

    def _settings(self) -> dict[str, Any]:
        return {
            "k": self.k,
            "h": self.h,
            "two_sided": self.two_sided,
            "first": self.first,
            "decay": self.decay,
            "restart": self.restart,
        }

    def _reference(self) -> dict[str, Any]:
        return {} if self._fitted is None else {"mean": self._fitted[0], "sd": self._fitted[1]}

    def _load_reference(self, state: Mapping[str, Any]) -> None:
        self._fitted = None
        if "mean" in state or "sd" in state:
            self._fitted = (number(state, "mean"), number(state, "sd"))
            if not self._fitted[1] > 0.0:
                raise ValueError(f"state: 'sd': expected a number above 0, got {self._fitted[1]}")

    def running(self) -> dict[str, Any]:
        """Return sums and baseline."""
        return {
            "up": self._up,
            "down": self._down,
            "count": self._count,
            "m2": self._m2,
            "mean": self._mean,
            "sd": self._sd,
        }

    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""
        found = mapping(running, "running")
        up, down, m2, mean, sd = (number(found, k) for k in ("up", "down", "m2", "mean", "sd"))
        count = whole(found, "count")
        if min(up, down, m2, sd) < 0.0 or (self._fitted is not None and sd == 0.0):
            raise ValueError("state: 'up', 'down', 'm2', 'sd': expected numbers that can be")
        self._up, self._down, self._m2, self._mean, self._sd = up, down, m2, mean, sd
        self._count = count
        self._ready = self._fitted is not None or (count >= (self.first or 0) and sd > 0.0)
