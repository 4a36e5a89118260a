"""The last scores of every entity at several scales, in memory that has a bound."""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell.live.observers import Observer, ScoredBlock

__all__ = ["FACTOR", "LENGTH", "SCALES", "Points", "Trace", "Traces"]

Floats = npt.NDArray[np.float64]

LENGTH = 480  # points of each scale: about what a screen shows
FACTOR = 8  # rows of a point of one scale become one point of the next
SCALES = 5  # the last one has the rows of 480 * 8**4: 22 days of seconds

_FOLD = 240  # rows that wait to be folded in: half a ring, as up to twice as many are at once
_POINT = np.dtype([("moment", "f8"), ("score", "f4"), ("threshold", "f4"), ("alarms", "i4")])
_MOST = 2000  # entities, of which each takes up to 60 KB


class Points(NamedTuple):
    """What is drawn: [n] each, the oldest first.

    Attributes
    ----------
    moments : ndarray of float64
        When each point's first row was, as a number.
    scores : ndarray of float32
        The highest score of its rows; NaN where none has one.
    thresholds : ndarray of float32
        At its last row; NaN where there was none.
    alarms : ndarray of int32
        Flagged rows.
    rows_per_point : int
    """

    moments: Floats
    scores: npt.NDArray[np.float32]
    thresholds: npt.NDArray[np.float32]
    alarms: npt.NDArray[np.int32]
    rows_per_point: int


class Trace:
    """The scores of one entity: its last 480 rows, and 480 points of 8, 64, 512 and 4096 rows each.

    A coarser scale begins when the one before it is full.

    Examples
    --------
    >>> from slidecell.live.web.traces import Trace
    >>> trace = Trace()
    >>> for row in range(1000):
    ...     trace.add([[row, 3.0 if row == 500 else 1.0, 2.0, row == 500]])
    >>> trace.scales
    2
    >>> found = trace.points(1)
    >>> found.moments[:3].tolist(), len(found.moments), found.rows_per_point
    ([0.0, 8.0, 16.0], 125, 8)
    >>> float(found.scores[62]), int(found.alarms.sum())
    (3.0, 1)
    """

    def __init__(self) -> None:
        self._waiting: list[Floats] = []
        self._held = 0  # rows that wait
        self._levels: list[npt.NDArray[np.void]] = [np.zeros(LENGTH, _POINT)]
        self.rows = 0
        """Rows so far, those that wait included."""
        self.score = self.threshold = math.nan
        """Of the last row."""
        self.last_alarm = 0
        """The number of the last flagged row, from 1; 0 before the first."""

    @property
    def scales(self) -> int:
        """How many scales there are."""
        return len(self._levels)

    @property
    def quiet_rows(self) -> float:
        """Rows since the last flagged one; infinite before the first."""
        return self.rows - self.last_alarm if self.last_alarm else math.inf

    def add(self, rows: npt.ArrayLike) -> None:
        """Take one or more rows [n, 4]: moment, score, threshold, and 1 for an alarm or else 0."""
        table = np.array(rows, np.float64)  # what waits keeps nothing of other entities
        alarms = np.flatnonzero(table[:, 3])
        if len(alarms):
            self.last_alarm = self.rows + int(alarms[-1]) + 1
        self.score, self.threshold = table[-1, 1:3].tolist()
        for first in range(0, len(table), _FOLD):
            part = table[first : first + _FOLD]
            self._waiting.append(part)
            self._held += len(part)
            self.rows += len(part)
            if self._held >= _FOLD:
                self._fold()

    def points(self, scale: int) -> Points:
        """Return the points of a scale; of the last one there is, if it is beyond."""
        self._fold()
        scale = max(0, min(scale, self.scales - 1))
        size = FACTOR**scale
        last = -(-self.rows // size)  # points so far
        kept = self._levels[scale][np.arange(max(0, last - LENGTH), last) % LENGTH]
        return Points(
            kept["moment"].copy(),
            kept["score"].copy(),
            kept["threshold"].copy(),
            kept["alarms"].copy(),
            size,
        )

    def _fold(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        self._waiting, self._held = [], 0
        first = self.rows - len(rows)
        points = np.zeros(len(rows), _POINT)
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            for place, name in enumerate(("moment", "score", "threshold", "alarms")):
                points[name] = rows[:, place]
        coarsest = FACTOR ** (self.scales - 1)
        if self.rows > LENGTH * coarsest and self.scales < SCALES:
            # The one that is full has all rows so far: none has been overwritten yet.
            kept = self._levels[-1][: -(-first // coarsest)]
            self._levels.append(np.zeros(LENGTH, _POINT))
            starts = np.arange(len(kept)) * coarsest
            _put(self._levels[-1], kept, starts, FACTOR * coarsest)
        starts = first + np.arange(len(points))
        for scale, level in enumerate(self._levels):
            _put(level, points, starts, FACTOR**scale)


def _put(
    level: npt.NDArray[np.void],  # [LENGTH], a ring
    points: npt.NDArray[np.void],  # [n], fewer
    starts: npt.NDArray[np.int64],  # [n]: the numbers of their first rows
    size: int,  # rows of the level's points
) -> None:
    """Join points with those of a level."""
    if len(points) == 0:
        return
    places = starts // size
    firsts = np.flatnonzero(np.diff(places, prepend=-1))
    joined = points[firsts]
    joined["score"] = np.fmax.reduceat(points["score"], firsts)
    joined["alarms"] = np.add.reduceat(points["alarms"], firsts)
    joined["threshold"] = points["threshold"][np.append(firsts[1:], len(points)) - 1]
    rings = places[firsts] % LENGTH
    if starts[0] % size:  # it has begun before
        before = level[rings[0]]
        joined["moment"][0] = before["moment"]
        joined["score"][0] = np.fmax(before["score"], joined["score"][0])
        joined["alarms"][0] += before["alarms"]
    level[rings] = joined


class Traces(Observer):
    """The scores of all entities, of 2,000 at most: those that came first.

    Examples
    --------
    >>> from slidecell.live.web.traces import Traces
    >>> Traces().points("pump", 0) is None
    True
    """

    name = "page"
    in_order = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._traces: dict[str, Trace] = {}

    def scored(self, rows: ScoredBlock) -> None:
        """Take rows."""
        answers, traces = rows.answers, self._traces
        order, parts = rows.by_entity
        moments = np.array(rows.moments, np.float64)
        table = np.stack([moments, answers.smoothed, answers.thresholds, answers.alarms], axis=1)
        table = table[order]
        with self._lock:
            for entity, part in parts:
                trace = traces.get(entity)
                if trace is None:
                    if len(traces) == _MOST:
                        continue
                    trace = traces[entity] = Trace()
                trace.add(table[part])

    def points(self, entity: str, scale: int) -> tuple[Points, list[int]] | None:
        """Return an entity's points of a scale, and how many rows the points of each scale have.

        None where nothing is kept of it.
        """
        with self._lock:
            trace = self._traces.get(entity)
            if trace is None:
                return None
            points = trace.points(scale)
            return points, [FACTOR**n for n in range(trace.scales)]

    def now(self) -> list[tuple[str, Trace]]:
        """Return the entities in the order in which they came, with their traces as they are."""
        with self._lock:
            return list(self._traces.items())

    def rows_of(self, entity: str) -> int:
        """Return how many rows an entity had."""
        trace = self._traces.get(entity)
        return 0 if trace is None else trace.rows
