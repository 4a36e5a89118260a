"""How much was looked at: scored rows, the time that they stand for, entities at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slidecell._instants import read_times
from slidecell._time_values import BadTimeError, shown
from slidecell.evaluate.inputs import as_offsets
from slidecell.thresholds.scores import Floats, as_scores

__all__ = ["Exposure", "read_exposure"]

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Exposure:
    """Scores [S] with what a rate of events is measured by.

    Attributes
    ----------
    scores : ndarray of float64, [S]
    offsets : ndarray of int64, [G+1]
        Where each segment begins: events end there.
    steps : ndarray of float64, [S], or None
        Nanoseconds that each row stands for: up to the next row of its segment, of a segment's last
        row the median of these. None without dates.
    why_no_time : str
        Why there are no steps.
    at_once : float
        Segments that are observed at the same time, on average; 1 without dates.
    """

    scores: Floats
    offsets: Ints
    steps: Floats | None = None
    why_no_time: str = ""
    at_once: float = 1.0

    def rows(self, chosen: Bools) -> int:
        """Return how many of the chosen rows [S] have a score."""
        return int((chosen & ~np.isnan(self.scores)).sum())

    def time(self, chosen: Bools) -> float:
        """Return the nanoseconds, of all entities, that the chosen rows with a score stand for."""
        assert self.steps is not None
        return float(self.steps[chosen & ~np.isnan(self.scores)].sum())


def read_exposure(
    scores: npt.ArrayLike, offsets: npt.ArrayLike | None = None, times: npt.ArrayLike | None = None
) -> Exposure:
    """Return scores [S] with what a rate of events is measured by.

    Parameters
    ----------
    scores : array_like, [S]
    offsets : array_like of int, [G+1], optional
        Default: one entity.
    times : array_like, [S], optional
        Dates, in order within an entity; numbers are as good as none.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.thresholds.exposure import read_exposure
    >>> times = np.array(["2024-01-01", "2024-01-02", "2024-01-01"], "datetime64[s]")
    >>> exposure = read_exposure([1.0, 2.0, 3.0], [0, 2, 3], times)
    >>> (exposure.steps / (24 * 3600 * 1e9)).tolist(), exposure.at_once
    ([1.0, 1.0, 1.0], 1.5)
    """
    values = as_scores(scores)
    bounds = as_offsets(offsets, len(values))
    if times is None:
        return Exposure(values, bounds, why_no_time="there are no times")
    try:
        found = read_times(times)
    except BadTimeError as error:
        raise ValueError(f"times: {error}, got {shown(error.value)}") from None
    if len(found.values) != len(values):
        raise ValueError(f"times: expected {len(values)}, one per score, got {len(found.values)}")
    if found.kind != "date":
        return Exposure(values, bounds, why_no_time="the times are numbers without a unit")
    return _timed(values, bounds, found.values.astype(np.int64))


def _timed(values: Floats, bounds: Ints, instants: Ints) -> Exposure:
    if len(values) == 0:
        return Exposure(values, bounds, np.zeros(0))
    firsts, ends = bounds[:-1], bounds[1:]
    firsts, ends = firsts[firsts < ends], ends[firsts < ends]
    steps = np.zeros(len(values))
    steps[:-1] = np.diff(instants)
    inner = np.ones(len(values), np.bool_)
    inner[ends - 1] = False
    if (steps[inner] < 0.0).any():
        row = int(np.flatnonzero(inner & (steps < 0.0))[0]) + 1
        raise ValueError(f"times: expected them in order within an entity, row {row} goes back")
    usual = float(np.median(steps[inner])) if inner.any() else 0.0
    for first, end in zip(firsts.tolist(), ends.tolist(), strict=True):
        own = steps[first : end - 1]
        steps[end - 1] = np.median(own) if len(own) else usual
    last = instants[ends - 1] + steps[ends - 1]
    covered = _union(instants[firsts].astype(np.float64), last)
    spans = float((last - instants[firsts]).sum())
    return Exposure(values, bounds, steps, at_once=spans / covered if covered > 0.0 else 1.0)


def _union(first: Floats, last: Floats) -> float:
    """Return the length that intervals cover together."""
    order = np.argsort(first, kind="stable")
    first, last = first[order], last[order]
    reach = np.maximum.accumulate(last)
    begins = np.maximum(first[1:], reach[:-1])
    return float(last[0] - first[0] + np.maximum(last[1:] - begins, 0.0).sum())
