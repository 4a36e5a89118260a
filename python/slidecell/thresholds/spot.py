"""SPOT and DSPOT: thresholds from extreme value theory, fitted by their authors' library."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_number
from slidecell.thresholds.base import Threshold
from slidecell.thresholds.scores import Floats, training_part
from slidecell.thresholds.spot_tail import Tail, new_spot
from slidecell.thresholds.state_values import mapping, number, numbers, whole

__all__ = ["SpotThreshold"]


class SpotThreshold(Threshold):
    """Streaming peaks over threshold [1]_: alarms of a chosen probability, whatever the scores.

    `fit` finds a high quantile of the training scores and fits a generalised Pareto distribution
    to what exceeds it; the threshold is the value that a score exceeds with probability q. Each
    later score between the two is one more excess, and the threshold follows. Scores that raise an
    alarm take no part. The fits are those of ``libspot``, with the bits of its own detector; a
    score costs a fit (about 30 us) only where it is an excess.

    Memory per entity: about 3 max_excess numbers, and depth ones.

    Parameters
    ----------
    q : float
        Probability of an alarm on a normal score, 0 < q < 1 - level.
    level : float
        Quantile above which scores are excesses.
    max_excess : int
        The last so many excesses are fitted, at least 2.
    depth : int
        DSPOT: judge the score minus the mean of the last so many scores without alarm. 0: SPOT.

    References
    ----------
    .. [1] A. Siffer, P.-A. Fouque, A. Termier, C. Largouet (2017), "Anomaly Detection in Streams
       with Extreme Value Theory", KDD, 1067-1075: algorithms 1 (SPOT) and 2 (DSPOT).

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.thresholds import SpotThreshold
    >>> scores = np.random.default_rng(0).exponential(size=3000)
    >>> rule = SpotThreshold(q=1e-4).fit(scores)
    >>> rule.update(3.0), rule.update(30.0)
    (False, True)
    >>> bool(scores.max() < rule.threshold < 15.0)
    True
    """

    kind = "spot"

    # What scores change; set by `reset`.
    _threshold: float
    _n: int
    _num_excesses: int
    _tail: Tail
    _drift: deque[float]

    def __init__(
        self, q: float = 1e-4, *, level: float = 0.98, max_excess: int = 200, depth: int = 0
    ) -> None:
        self.q, self.level = as_number("q", q), as_number("level", level)
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"level: expected 0 < level < 1, got {level!r}")
        if not 0.0 < self.q < 1.0 - self.level:
            raise ValueError(f"q: expected 0 < q < {1.0 - level:.6g} (1 - level), got {q!r}")
        for name, value, least in (("max_excess", max_excess, 2), ("depth", depth, 0)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise ValueError(f"{name}: expected a whole number, got {value!r}")
            if value < least:
                raise ValueError(f"{name}: expected at least {least}, got {value!r}")
        self.max_excess, self.depth = int(max_excess), int(depth)
        self._fitted: dict[str, Any] | None = None
        self._excess_threshold = math.nan

    def fit(self, training_scores: npt.ArrayLike) -> SpotThreshold:
        """Find the excess threshold and the first threshold from training scores [S].

        Raises
        ------
        ValueError
            If the finite scores are too few or too alike to have a tail.
        ImportError
            Without libspot.
        """
        scores = training_part(training_scores, least=self.depth + 5)
        drift = scores[len(scores) - self.depth :].tolist()
        scores = self._without_drift(scores)
        spot = new_spot(self.q, self.level, self.max_excess)
        try:
            spot.fit(scores)
            threshold = spot.anomaly_threshold
        except RuntimeError:
            threshold = math.nan
        if not math.isfinite(threshold):
            raise ValueError(
                f"training_scores: expected a tail above their quantile {self.level:g}, found none "
                f"in {len(scores)} scores: give more, or a lower level"
            )
        self._excess_threshold = spot.excess_threshold
        excesses = scores - self._excess_threshold
        tail = Tail(self.max_excess, excesses[excesses > 0.0].tolist())
        self._fitted = {
            "threshold": threshold,
            "scores": spot.n,
            "excesses": spot.Nt,
            "tail": tail.history,
            "drift": drift,
        }
        self.reset()
        return self

    def _without_drift(self, scores: Floats) -> Floats:
        """Scores [n] -> [n - depth]: each minus the mean of the `depth` before it."""
        d = self.depth
        if d == 0:
            return scores
        values = scores.tolist()
        means = [math.fsum(values[i - d : i]) / d for i in range(d, len(values))]
        return np.asarray(scores[d:] - np.array(means))

    def reset(self) -> None:
        """Begin a new entity: as after `fit`."""
        if self._fitted is not None:
            self.load_running(self._fitted)

    @property
    def threshold(self) -> float:
        """The value that the next score is compared with."""
        self._need_reference()
        return self._mean() + self._threshold

    @property
    def excess_threshold(self) -> float:
        """Scores (less the drift) from here on are excesses."""
        self._need_reference()
        return self._excess_threshold

    def _mean(self) -> float:
        # fsum is exact, so that no rounding is carried from score to score.
        return math.fsum(self._drift) / self.depth if self.depth else 0.0

    def _is_fitted(self) -> bool:
        return self._fitted is not None

    def _judge(self, score: float) -> bool:
        x = score - self._mean()
        if x > self._threshold:
            return True
        if math.isinf(score):
            return False
        self._n += 1
        if x >= self._excess_threshold:
            self._num_excesses += 1
            gamma, sigma = self._tail.push(x - self._excess_threshold)
            self._threshold = self._excess_threshold + self._quantile(gamma, sigma)
        if self.depth:
            self._drift.append(score)
        return False

    def _quantile(self, gamma: float, sigma: float) -> float:
        """Excess of probability q, equation (1) of the paper."""
        ratio = self.q / (self._num_excesses / self._n)
        if gamma == 0.0:
            return -sigma * math.log(ratio)
        try:
            return (sigma / gamma) * (math.pow(ratio, -gamma) - 1.0)
        except OverflowError:
            return math.inf

    def _settings(self) -> dict[str, Any]:
        return {
            "q": self.q,
            "level": self.level,
            "max_excess": self.max_excess,
            "depth": self.depth,
        }

    def _reference(self) -> dict[str, Any]:
        if self._fitted is None:
            return {}
        return {"excess_threshold": self._excess_threshold, "fitted": self._fitted}

    def _load_reference(self, state: Mapping[str, Any]) -> None:
        self._fitted = None
        if "fitted" in state:
            self._excess_threshold = number(state, "excess_threshold")
            self._fitted = dict(mapping(state["fitted"], "fitted"))

    def running(self) -> dict[str, Any] | None:
        """Return counts, threshold, excesses and drift; None before `fit`."""
        if self._fitted is None:
            return None
        return {
            "threshold": self._threshold if math.isfinite(self._threshold) else None,
            "scores": self._n,
            "excesses": self._num_excesses,
            "tail": list(self._tail.history),
            "drift": list(self._drift),
        }

    def load_running(self, running: object) -> None:
        """Go on from what `running` returned."""
        found = mapping(running, "running")
        tail = numbers(found, "tail")
        n, num_excesses = whole(found, "scores"), whole(found, "excesses")
        drift = numbers(found, "drift")
        if not tail or tail[0] <= 0.0 or min(tail) < 0.0:
            raise ValueError("state: 'tail': expected excesses, the first above 0")
        if not 0 < num_excesses <= n or len(drift) != self.depth:
            raise ValueError("state: 'scores', 'excesses', 'drift': expected numbers that can be")
        # A fit that overflowed has no threshold that a score could exceed.
        unset = found.get("threshold", 0.0) is None
        self._threshold = math.inf if unset else number(found, "threshold")
        self._n, self._num_excesses = n, num_excesses
        self._drift = deque(drift, maxlen=self.depth or 1)
        self._tail = Tail(self.max_excess, tail)
