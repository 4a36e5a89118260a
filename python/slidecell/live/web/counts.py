"""What a live run has done, counted by one thread and read by another."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell.live.observers import Observer, Reason, ScoredBlock

if TYPE_CHECKING:
    from slidecell.live.entity_events import EventLine
    from slidecell.live.rows import Row

__all__ = ["PUSH_BOUNDS", "SCORE_BOUNDS", "Counts", "EntityCounts", "Histogram"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# 1, 2 and 5 of every power of ten: scores of one detector are errors, of another distances.
SCORE_BOUNDS: Floats = np.array([d * 10.0**e for e in range(-6, 6) for d in (1, 2, 5)])
PUSH_BOUNDS: Floats = np.array([d * 10.0**e for e in range(-6, 0) for d in (1, 2.5, 5)])  # seconds

_FOLD = 1024  # rows whose scores are counted at once: fewer would cost as much


class Histogram:
    """Values in buckets, each with all values up to and including its bound.

    Parameters
    ----------
    bounds : ndarray of float64, [B]
        Ascending; a last bucket takes what is above.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.live.web.counts import Histogram
    >>> histogram = Histogram(np.array([1.0, 10.0]))
    >>> histogram.add(np.array([0.5, 1.0, 2.0, np.inf, np.nan]))
    >>> histogram.counts.tolist(), histogram.sum
    ([2, 1, 1], 3.5)
    """

    def __init__(self, bounds: Floats) -> None:
        self.bounds = bounds
        self.counts: Ints = np.zeros(len(bounds) + 1, np.int64)
        self.sum = 0.0
        """Of the finite values."""

    def add(self, values: Floats) -> None:
        """Count values; NaN is none."""
        known = values[~np.isnan(values)]
        places = np.searchsorted(self.bounds, known)
        self.counts += np.bincount(places, minlength=len(self.counts))
        with np.errstate(over="ignore"):
            self.sum += float(known[np.isfinite(known)].sum())

    def add_times(self, value: float, times: int) -> None:
        """Count a value so many times."""
        self.counts[np.searchsorted(self.bounds, value)] += times
        self.sum += value * times

    def quantile(self, level: float) -> float | None:
        """Return the bound of the bucket in which a quantile lies, as a line between its ends.

        None without values, and beyond the last bound.
        """
        below = self.counts.cumsum()
        wanted = level * below[-1]
        place = int(np.searchsorted(below, wanted))
        if below[-1] == 0 or place >= len(self.bounds):
            return None
        low = self.bounds[place - 1] if place else 0.0
        before = below[place - 1] if place else 0
        share = (wanted - before) / max(self.counts[place], 1)
        return float(low + share * (self.bounds[place] - low))

    def copy(self) -> Histogram:
        """Return one that does not change any more."""
        other = Histogram(self.bounds)
        other.counts, other.sum = self.counts.copy(), self.sum
        return other


@dataclass
class EntityCounts:
    """What is counted of one entity."""

    rows: int = 0
    alarms: int = 0
    score: float = float("nan")  # the last


@dataclass
class Totals:
    """All counts at one moment."""

    rows: int = 0
    scores: int = 0
    alarms: int = 0
    events: int = 0
    open_events: int = 0
    missed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    score: Histogram = field(default_factory=lambda: Histogram(SCORE_BOUNDS))
    push: Histogram = field(default_factory=lambda: Histogram(PUSH_BOUNDS))
    threshold: float = float("nan")
    last_row: float | None = None  # by the clock of this machine, seconds since 1970
    entities: dict[str, EntityCounts] = field(default_factory=dict)


class Counts(Observer):
    """Counts what a run does; `totals` is for any thread.

    Parameters
    ----------
    per_entity : bool
        Whether rows, alarms and last scores are kept of each entity.
    open_events : int
        Those that are open at the start, from a saved state.
    """

    name = "metrics"
    in_order = False

    def __init__(self, *, per_entity: bool = False, open_events: int = 0) -> None:
        self._lock = threading.Lock()
        self._per_entity = per_entity
        self._waiting: list[Floats] = []  # scores
        self._held = 0  # of them
        self._totals = Totals(open_events=open_events)
        self.started = time.time()
        self.ended = False

    def scored(self, rows: ScoredBlock) -> None:
        """Take rows; they are counted many at a time, or when they are asked for."""
        answers = rows.answers
        with self._lock:
            totals = self._totals
            totals.last_row = time.time()
            totals.rows += len(rows)
            totals.alarms += int(answers.alarms.sum())
            totals.threshold = float(answers.thresholds[-1])
            totals.push.add_times(rows.nanoseconds / 1e9, len(rows))
            if self._per_entity:
                self._count_entities(rows)
            self._waiting.append(answers.smoothed)
            self._held += len(rows)
            if self._held >= _FOLD:
                self._fold()

    def missed(self, row: Row) -> None:
        """Count a missing row."""
        with self._lock:
            self._totals.missed += 1

    def skipped(self, reason: Reason) -> None:
        """Count a line that was not used."""
        with self._lock:
            self._totals.skipped[reason] += 1

    def event(self, line: EventLine) -> None:
        """Count an event."""
        opened = line.change == "opened"
        with self._lock:
            self._totals.events += opened
            self._totals.open_events += 1 if opened else -1

    def close(self) -> None:
        """Say that nothing follows."""
        self.ended = True

    def rows(self) -> int:
        """Return the rows so far."""
        with self._lock:
            return self._totals.rows

    def totals(self) -> Totals:
        """Return all counts as they are now."""
        with self._lock:
            self._fold()
            now = self._totals
            copied = Totals(**vars(now))
            copied.skipped = Counter(now.skipped)
            copied.score, copied.push = now.score.copy(), now.push.copy()
            copied.entities = {
                name: EntityCounts(**vars(found)) for name, found in now.entities.items()
            }
        return copied

    def _count_entities(self, rows: ScoredBlock) -> None:
        answers = zip(rows.answers.alarms.tolist(), rows.answers.smoothed.tolist(), strict=True)
        for entity, (alarm, score) in zip(rows.rows.entities, answers, strict=True):
            found = self._totals.entities.setdefault(entity, EntityCounts())
            found.rows += 1
            found.alarms += alarm
            found.score = score

    def _fold(self) -> None:
        if not self._waiting:
            return
        scores = np.concatenate(self._waiting)
        self._waiting, self._held = [], 0
        self._totals.scores += int((~np.isnan(scores)).sum())
        self._totals.score.add(scores)
