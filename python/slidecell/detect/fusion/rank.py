"""Normalisation by rank: what share of the training scores lies below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from slidecell.detect.fusion.base import Normaliser, spread_or_one
from slidecell.thresholds.scores import Floats
from slidecell.thresholds.state_values import number, numbers

__all__ = ["RankNormaliser"]

# Knots of the stored distribution: some ten kilobytes of JSON, whatever the training length. The
# upper tail, where thresholds lie, has every score of its own.
_EVEN_KNOTS = 512
_UPPER_KNOTS = 512


class RankNormaliser(Normaliser):
    """Empirical distribution function of the training scores, continued beyond its ends.

    A training score becomes its mean rank, from 0 to 1; between two of them it is interpolated,
    so that different scores stay different. With the training range r = max - min, a score s above
    the maximum becomes rank(max) + ln(1 + (s - max) / r), and one below the minimum
    rank(min) - ln(1 + (min - s) / r): the order of new extremes is kept, and a logarithm of the
    distance keeps a single member from drowning the others.

    Outliers among the training scores take their ranks and nothing more, except that they
    lengthen r. Of more than 1,024 different training scores the greatest 512 and 512 evenly spaced
    ranks are kept; the others are interpolated.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.fusion import RankNormaliser
    >>> normaliser = RankNormaliser().fit([1.0, 2.0, 2.0, 4.0, 5.0])
    >>> normaliser.apply([1.0, 2.0, 3.0, 5.0, np.nan]).tolist()
    [0.0, 0.375, 0.5625, 1.0, nan]
    >>> normaliser.apply([5.0, 9.0, 13.0]).round(3).tolist()
    [1.0, 1.693, 2.099]
    """

    kind = "rank"
    _scores: Floats | None = None  # [knots], rising
    _ranks: Floats | None = None  # [knots], rising, within [0, 1]
    _spread = 1.0

    def _fit(self, scores: Floats) -> None:
        values, counts = np.unique(scores, return_counts=True)
        below = np.cumsum(counts) - counts
        ranks = (below + (counts - 1) / 2) / max(len(scores) - 1, 1)
        if len(scores) == 1:
            ranks = np.array([0.5])  # as of any number of equal scores
        kept = _knots(len(values))
        self._scores, self._ranks = values[kept], ranks[kept]
        self._spread = spread_or_one(float(values[-1] - values[0]), scores)

    def _apply(self, scores: Floats) -> Floats:
        assert self._scores is not None
        assert self._ranks is not None
        knots, ranks = self._scores, self._ranks
        result = np.full(len(scores), np.nan)
        # Each step is monotone in floating point; the minimum keeps a rounding up at the end of an
        # interval below the next one's beginning.
        j = np.searchsorted(knots, scores, side="right") - 1
        inside = (j >= 0) & (j < len(knots) - 1)  # NaN sorts last
        left = j[inside]
        part = (scores[inside] - knots[left]) / (knots[left + 1] - knots[left])
        rank = ranks[left] + (ranks[left + 1] - ranks[left]) * part
        result[inside] = np.minimum(rank, ranks[left + 1])
        above, below = scores >= knots[-1], scores < knots[0]
        result[above] = ranks[-1] + np.log1p((scores[above] - knots[-1]) / self._spread)
        result[below] = ranks[0] - np.log1p((knots[0] - scores[below]) / self._spread)
        return result

    def _is_fitted(self) -> bool:
        return self._scores is not None

    def _settings(self) -> dict[str, Any]:
        return {}

    def _reference(self) -> dict[str, Any]:
        if self._scores is None or self._ranks is None:
            return {}
        return {
            "scores": self._scores.tolist(),
            "ranks": self._ranks.tolist(),
            "spread": self._spread,
        }

    def _load_reference(self, state: Mapping[str, Any]) -> None:
        if not {"scores", "ranks", "spread"} & set(state):
            return
        scores = np.array(numbers(state, "scores"), np.float64)
        ranks = np.array(numbers(state, "ranks"), np.float64)
        spread = number(state, "spread")
        with np.errstate(over="ignore"):
            near = bool(np.isfinite(scores[-1:] - scores[:1]).all())
        rising = near and (np.diff(scores) > 0.0).all() and (np.diff(ranks) > 0.0).all()
        if not (len(scores) == len(ranks) > 0 and rising and spread > 0.0):
            raise ValueError(
                "state: expected as many 'scores' as 'ranks', at least one, both rising within a "
                "range that float64 holds, and a "
                f"'spread' above 0, got {len(scores)}, {len(ranks)} and {spread}"
            )
        self._scores, self._ranks, self._spread = scores, ranks, spread


def _knots(n: int) -> Any:
    """Return which of n rising values are kept: the first and the last among them."""
    if n <= _EVEN_KNOTS + _UPPER_KNOTS:
        return slice(None)
    even = np.linspace(0, n - 1, _EVEN_KNOTS).round().astype(np.int64)
    return np.union1d(even, np.arange(n - _UPPER_KNOTS, n))
