"""Delays of detection: rows from the first one of an anomaly to the first flag in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slidecell.evaluate.inputs import Floats, as_flags, as_labels, as_offsets, runs_of
from slidecell.evaluate.points import ratio

__all__ = ["Delay", "detection_delay", "event_delays"]


@dataclass(frozen=True)
class Delay:
    """The number of anomalies that are found, and their delays.

    Parameters
    ----------
    events, found : int
    median, mean : float
        Rows; None where none is found.
    """

    events: int
    found: int
    median: float | None
    mean: float | None

    @property
    def found_share(self) -> float | None:
        """Share of the anomalies that are found; None without one."""
        return ratio(self.found, self.events)


def event_delays(
    labels: npt.ArrayLike, flags: npt.ArrayLike, offsets: npt.ArrayLike | None = None
) -> Floats:
    """Rows from the first row of each anomaly to the first flag in it: float64 [M].

    NaN where there is none: a flag after the anomaly does not find it.

    Parameters
    ----------
    labels : array_like, [S]
        1 = anomaly; an anomaly is a run of them within an entity.
    flags : array_like, [S]
    offsets : array_like of int, [G+1], optional

    Examples
    --------
    >>> from slidecell.evaluate import event_delays
    >>> event_delays([1, 1, 1, 0, 1, 0], [0, 0, 1, 0, 0, 1]).tolist()
    [2.0, nan]
    """
    truth = as_labels(labels)
    flagged = np.flatnonzero(as_flags(flags, len(truth)))
    first, end = runs_of(truth, as_offsets(offsets, len(truth)))
    following = np.append(flagged, len(truth))[np.searchsorted(flagged, first)]
    return np.where(following < end, following - first, np.nan).astype(np.float64)


def detection_delay(
    labels: npt.ArrayLike, flags: npt.ArrayLike, offsets: npt.ArrayLike | None = None
) -> Delay:
    """Summarise `event_delays` of labels [S] and flags [S].

    Examples
    --------
    >>> from slidecell.evaluate import detection_delay
    >>> detection_delay([1, 1, 1, 0, 1, 0], [0, 0, 1, 0, 0, 1])
    Delay(events=2, found=1, median=2.0, mean=2.0)
    """
    delays = event_delays(labels, flags, offsets)
    found = delays[np.isfinite(delays)]
    median = float(np.median(found)) if len(found) else None
    mean = float(found.mean()) if len(found) else None
    return Delay(len(delays), len(found), median, mean)
