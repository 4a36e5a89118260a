"""How many events each threshold makes of scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell.thresholds.scores import Floats

__all__ = ["EventCounts", "count_events"]

Ints = npt.NDArray[np.int64]


class EventCounts(NamedTuple):
    """Thresholds and the number of events above each.

    Parameters
    ----------
    thresholds : ndarray of float64, [n]
        The distinct finite scores that begin or part events, and the lowest score, falling.
    events : ndarray of int64, [n]
        Those that `find_events` finds where scores are above each.
    """

    thresholds: Floats
    events: Ints

    @property
    def most(self) -> int:
        """The most events that a threshold makes."""
        return int(self.events.max(initial=0))

    def highest(self, events: float) -> float:
        """Return the highest threshold that makes at least so many events: at most `most`."""
        return float(self.thresholds[(self.events >= events).argmax()])


def count_events(scores: Floats, offsets: Ints, gap: int) -> EventCounts:
    """Return how many events there are above each threshold, of scores [S] and offsets [G+1].

    A row begins an event while the threshold lies below its score, but not below the highest of
    the scores at most ``gap`` rows before it: each row gives one interval of thresholds, and the
    number of events is that of the intervals that hold the threshold.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.thresholds.event_counts import count_events
    >>> counts = count_events(np.array([5.0, 1.0, 4.0, 1.0, 1.0, 3.0]), np.array([0, 6]), gap=1)
    >>> dict(zip(counts.thresholds.tolist(), counts.events.tolist()))
    {5.0: 0, 3.0: 1, 1.0: 2}
    """
    values = np.where(np.isnan(scores), -np.inf, scores)
    before = _highest_before(values, offsets, gap + 1)
    begins = values > before
    up, down = np.sort(values[begins]), np.sort(before[begins])
    ends = np.concatenate([up, down])
    finite = np.append(ends[np.isfinite(ends)], values[np.isfinite(values)].min(initial=np.inf))
    thresholds = np.unique(finite[np.isfinite(finite)])[::-1]
    above = len(up) - np.searchsorted(up, thresholds, side="right")
    merged = len(down) - np.searchsorted(down, thresholds, side="right")
    return EventCounts(thresholds, above - merged)


def _highest_before(values: Floats, offsets: Ints, width: int) -> Floats:
    """Return the highest of the ``width`` values before each, in its segment: [S]."""
    lengths = np.diff(offsets)
    width = min(width, int(lengths.max(initial=0)))
    if width < 1:
        return np.full(len(values), -np.inf)
    place = np.arange(len(values)) - np.repeat(offsets[:-1], lengths)

    def earlier(of: Floats, by: int) -> Floats:
        moved = np.full(len(of), -np.inf)
        moved[by:] = of[: len(of) - by]
        return np.where(place >= by, moved, -np.inf)

    highest, covered = earlier(values, 1), 1
    while covered < width:
        by = min(covered, width - covered)
        highest = np.maximum(highest, earlier(highest, by))
        covered += by
    return highest
