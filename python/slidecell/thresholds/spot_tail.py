"""The tail that SPOT fits: libspot's, in a form that can be saved, copied and gone on from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell._extras import require

if TYPE_CHECKING:
    import libspot

__all__ = ["Tail", "new_spot"]

_LEVEL = 0.98  # of the detector that holds a tail: its own thresholds are not used


def new_spot(q: float, level: float, max_excess: int) -> libspot.Spot:
    """Return a detector of libspot; ImportError with the extra's name without the package."""
    require("libspot", extra="detect")
    import libspot

    return libspot.Spot(q=q, level=level, max_excess=max_excess)


class Tail:
    """Excesses above a threshold, and the generalised Pareto distribution fitted to the last ones.

    libspot can tell its state but not take one, so a state is kept as the excesses that lead to
    it. They stay few: when libspot overwrites the least or the greatest excess of its ring it
    computes all its sums anew, and what came before the ring no longer matters. That happens about
    every max_excess / 2 excesses. libspot's object is made at the first `push`.

    Examples
    --------
    >>> from slidecell.thresholds.spot_tail import Tail
    >>> tail = Tail(3, [1.0])
    >>> for excess in (5.0, 2.0, 3.0, 4.0):
    ...     gamma, sigma = tail.push(excess)
    >>> tail.history
    [5.0, 5.0, 2.0, 3.0, 4.0]
    """

    def __init__(self, max_excess: int, history: list[float]) -> None:
        self.max_excess = max_excess
        self.history: list[float] = []
        self._ring: list[float] = []  # as in libspot: by place, not by age
        self._next = 0
        self._spot: libspot.Spot | None = None
        for excess in history:
            self.remember(excess)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy as the excesses: libspot's object can be neither."""
        return Tail, (self.max_excess, list(self.history))

    def remember(self, excess: float) -> None:
        """Take an excess without a fit; the first of all is above 0."""
        ring, place = self._ring, self._next
        self._next = (place + 1) % self.max_excess
        if len(ring) < self.max_excess:
            ring.append(excess)
            self.history.append(excess)
            return
        if ring[place] <= min(*ring, excess) or ring[place] >= max(*ring, excess):
            # Something positive fills the first place, then come the ring from the second place
            # on, and round again up to the place that is overwritten now.
            self.history = [max(*ring, 1.0), *ring[1:], *ring[: place or self.max_excess]]
        self.history.append(excess)
        ring[place] = excess

    def push(self, excess: float) -> tuple[float, float]:
        """Take the next excess; return gamma and sigma of the fit that includes it."""
        if self._spot is None:
            self._spot = self._replayed()
        self.remember(excess)
        self._spot.step(excess)
        return self._spot.gamma, self._spot.sigma

    def _replayed(self) -> libspot.Spot:
        """Return a detector in units of excess whose tail has seen the history."""
        require("libspot", extra="detect")
        import libspot

        spot = libspot.Spot(
            q=(1 - _LEVEL) / 2, level=_LEVEL, max_excess=self.max_excess, discard_anomalies=False
        )
        # libspot's estimate of a quantile of five numbers is their median: the excess threshold
        # is 0, and the one number above it is the first excess.
        spot.fit(np.array([-1.0, -1.0, 0.0, 0.0, self.history[0]]))
        for excess in self.history[1:]:
            spot.step(excess)
        return spot
