"""Affiliation precision and recall: how close flags and anomalies are, beside random ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slidecell.evaluate.inputs import Floats, Ints, as_flags, as_labels, as_offsets, runs_of
from slidecell.evaluate.points import harmonic

__all__ = ["affiliation", "affiliation_f1"]


def affiliation(
    labels: npt.ArrayLike, flags: npt.ArrayLike, offsets: npt.ArrayLike | None = None
) -> tuple[float | None, float | None]:
    """Affiliation precision and recall [1]_ of labels [S] and flags [S].

    Each anomaly has a zone: what is nearer to it than to any other one. Precision of
    its zone: the mean over the flagged time x in it of the probability that a random moment of the
    zone lies farther from the anomaly than x does; recall: the mean over the anomaly's time y of
    the probability that a random moment of the zone lies farther from y than the nearest flagged
    one does. Rows are intervals of length 1, the integrals are exact. The
    means over anomalies follow, for precision over those with a flag in their zone.

    Zones end where the entity does; entities without an anomaly take no part, as nothing is
    defined there: their false alarms do not count.

    Parameters
    ----------
    labels : array_like, [S]
    flags : array_like, [S]
    offsets : array_like of int, [G+1], optional

    Returns
    -------
    precision, recall : float
        Both None without an anomaly, precision None without a flag in any zone.

    References
    ----------
    .. [1] A. Huet, J. M. Navarro, D. Rossi (2022), "Local Evaluation of Time Series Anomaly
       Detection Algorithms", KDD.

    Examples
    --------
    >>> from slidecell.evaluate import affiliation
    >>> affiliation([0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0, 0])
    (1.0, 1.0)
    >>> [round(x, 3) for x in affiliation([0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 0])]
    [0.188, 0.312]
    """
    truth = as_labels(labels)
    flagged = as_flags(flags, len(truth))
    bounds = as_offsets(offsets, len(truth))
    first, end = runs_of(truth, bounds)
    if len(first) == 0:
        return None, None
    left, right = _zones(first, end, bounds)
    zone, start, stop = _flags_by_zone(*runs_of(flagged, bounds), left, right)
    far = _Zones(first.astype(np.float64), end.astype(np.float64), left, right)
    amount = np.bincount(zone, stop - start, len(first))
    if not amount.any():
        return None, 0.0
    gained = np.bincount(zone, far.precision(zone, start, stop), len(first))
    known = amount > 0
    precision = float((gained[known] / amount[known]).mean())
    recall = np.bincount(*far.recall(zone, start, stop), len(first)) / (end - first)
    return precision, float(recall.mean())


def affiliation_f1(
    labels: npt.ArrayLike, flags: npt.ArrayLike, offsets: npt.ArrayLike | None = None
) -> float | None:
    """Harmonic mean of `affiliation` precision and recall of labels [S] and flags [S].

    Flags anywhere reach up to two thirds. None without an anomaly, 0 without a flag near one.

    Examples
    --------
    >>> from slidecell.evaluate import affiliation_f1
    >>> round(affiliation_f1([0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]), 3)
    0.968
    """
    precision, recall = affiliation(labels, flags, offsets)
    return None if recall is None else harmonic(precision or 0.0, recall)


def _zones(first: Ints, end: Ints, bounds: Ints) -> tuple[Floats, Floats]:
    """Where zones [M] begin and end: midway to the next anomaly, or where the entity does."""
    entity = np.searchsorted(bounds, first, side="right") - 1
    left, right = bounds[entity].astype(np.float64), bounds[entity + 1].astype(np.float64)
    same = entity[1:] == entity[:-1]
    midway = (end[:-1] + first[1:]) / 2
    right[:-1][same] = midway[same]
    left[1:][same] = midway[same]
    return left, right


def _flags_by_zone(
    first: Ints, end: Ints, left: Floats, right: Floats
) -> tuple[Ints, Floats, Floats]:
    """Cut runs of flags [K] at the borders of zones [M]: zone, begin and end of each piece."""
    lowest = np.searchsorted(right, first, side="right")
    count = np.maximum(np.searchsorted(left, end, side="left") - lowest, 0)
    run = np.repeat(np.arange(len(first)), count)
    ordinal = np.arange(len(run)) - np.repeat(np.cumsum(count) - count, count)
    zone = (lowest[run] + ordinal).astype(np.int64)
    return zone, np.maximum(first[run], left[zone]), np.minimum(end[run], right[zone])


class _Zones:
    """Anomalies [M] from `first` to `end`, each in its zone from `left` to `right`."""

    def __init__(self, first: Floats, end: Floats, left: Floats, right: Floats) -> None:
        self.first, self.end, self.left, self.right = first, end, left, right
        self.length = right - left

    def precision(self, zone: Ints, start: Floats, stop: Floats) -> Floats:
        """Integrals over flagged pieces [p] of the chance to lie farther from the anomaly."""
        a, b = self.first[zone], self.end[zone]
        inside = np.maximum(np.minimum(stop, b) - np.maximum(start, a), 0.0)
        before = self._farther(zone, a - np.minimum(stop, a), a - np.minimum(start, a))
        after = self._farther(zone, np.maximum(start, b) - b, np.maximum(stop, b) - b)
        gained: Floats = inside + before + after
        return gained

    def _farther(self, zone: Ints, near: Floats, far: Floats) -> Floats:
        """Integral over d = near .. far of the share of the zone farther than d."""
        closer = (self.end - self.first)[zone] * (far - near)
        for room in ((self.first - self.left)[zone], (self.right - self.end)[zone]):
            closer += _capped(far, room) - _capped(near, room)
        share: Floats = (far - near) - closer / self.length[zone]
        return share

    def recall(self, zone: Ints, start: Floats, stop: Floats) -> tuple[Ints, Floats]:
        """Zones of pieces of anomalies, and integrals over them of the chance to be farther.

        An anomaly's time is covered by flags, or goes with the end of flags that is nearest.
        """
        again = zone[1:] == zone[:-1]  # the piece before is in the same zone
        midway = (stop[:-1] + start[1:]) / 2
        lowest, highest = self.left[zone], self.right[zone]
        lowest[1:][again] = midway[again]
        highest[:-1][again] = midway[again]
        a, b = self.first[zone], self.end[zone]
        covered = np.maximum(np.minimum(stop, b) - np.maximum(start, a), 0.0)
        # Time before a piece of flags is time after one, seen from the other end of the zone.
        after = _until(np.maximum(stop, a), np.minimum(highest, b), stop, self.right[zone])
        before = _until(-np.minimum(start, b), -np.maximum(lowest, a), -start, -self.left[zone])
        length = self.length[zone]
        for span, closer in (after, before):
            covered += span - closer / length
        return zone, covered


def _until(start: Floats, stop: Floats, origin: Floats, edge: Floats) -> tuple[Floats, Floats]:
    """Length of start .. stop, and the integral over its y of what is closer to y than origin is.

    That is y - origin on the one side, and on the other as much or what is left before the edge.
    """
    stop = np.maximum(start, stop)
    near, far, room = start - origin, stop - origin, edge - origin
    # min(d, room - d) = d up to half the room
    total = (far * far - near * near) / 2
    for d, sign in ((far, 1.0), (near, -1.0)):
        total = total + sign * np.where(
            2 * d <= room, d * d / 2, room * d - d * d / 2 - room * room / 4
        )
    return stop - start, total


def _capped(d: Floats, cap: Floats) -> Floats:
    """Integral of min(x, cap) over x = 0 .. d."""
    return np.where(d <= cap, d * d / 2, cap * d - cap * cap / 2)
