"""Whether rows still look like those that a detector was fitted on: fine, watch or retrain."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from slidecell._arrays import real_array
from slidecell.detect.advisory import Advice, Advisory, Cause, Reason
from slidecell.detect.entity_windows import MOST_CELLS, EntityWindows
from slidecell.detect.repetitions import Repetitions
from slidecell.detect.streams.state import Saved, array_of, part_of
from slidecell.detect.streams.state_bytes import pack_state, unpack_state
from slidecell.detect.stretches import LEAST_TRAINING, QUANTILES
from slidecell.detect.training_statistics import (
    LEVELS,
    Drift,
    Sketch,
    Statistics,
    TrainingStatistics,
    compare,
)
from slidecell.frames import match_features

__all__ = [
    "LEVELS",
    "Advice",
    "Advisory",
    "Cause",
    "Drift",
    "DriftMonitor",
    "Reason",
    "Sketch",
    "Statistics",
    "TrainingStatistics",
    "compare",
]

Floats = npt.NDArray[np.float64]
_CHECKS = 5  # in the time of a window: how often rows are compared with training
_MOST_REASONS = 50  # of single entities
_UNMOVED, _LACKING = "it has not moved for {} rows", "{:.0f} % of it is missing"


class _Fitted(Protocol):
    """What is asked of a detector."""

    @property
    def training_statistics_(self) -> TrainingStatistics | None: ...

    def feature_texts(self) -> list[str] | None: ...


@dataclass
class _Window:
    """The last rows [n, C], in no order."""

    values: Floats
    seen: int = 0

    @property
    def full(self) -> bool:
        return self.seen >= len(self.values)

    def add(self, values: Floats) -> None:
        size = len(self.values)
        kept = values[-size:]
        self.seen += len(values)
        last = self.seen % size
        if len(kept) <= last:
            self.values[last - len(kept) : last] = kept
        else:
            self.values[np.arange(self.seen - len(kept), self.seen) % size] = kept


class DriftMonitor:
    """Compares the rows that came last with those that a detector was fitted on.

    A window of recent rows is compared with the stretch of training that is most like it. It is far
    where it is farther than stretches of training are from each other, so that a level that follows
    the hour of the day is not taken for drift. Rows of all entities are one series, in the order in
    which they come. Where training had several entities, the rows of each are compared with its own
    training too, so that one that drifts alone is found among many.

    Parameters
    ----------
    detector : Detector
        Fitted on at least 160 rows by version 0.2 or later.
    every : int, optional
        After how many rows they are compared. Default: five times in a window.
    entity_cells : int
        Values of entities that are kept at most, in 4 bytes each. Entities that find no room take
        turns with those that have.

    Attributes
    ----------
    advisory : Advisory
        As of the last comparison.
    window : int
        How many rows are compared: 150, or an eighth of a shorter training.
    every : int
        After how many rows they are compared.
    names : tuple of str
        Of the columns.
    missing : ndarray of float64, [C]
        Share of the last rows that lacks a value.
    on_advisory : callable or None
        Gets the advisory of each comparison.
    entity_window : int or None
        How many rows of an entity are compared; None: entities are not looked at one by one.

    Raises
    ------
    ValueError
        If the detector keeps no statistics of its training.

    Notes
    -----
    The distance is Wasserstein's, of twenty quantiles. `compare` gives the population stability
    index, the distance of Kolmogorov and Smirnov, level, spread and range of any rows: `drift`
    those of the window.

    An entity takes ``4 * entity_window * C`` bytes, and 16 C more to tell what stands still. An
    entity that has drifted is named after one to two of its own windows.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.drift import DriftMonitor
    >>> rng = np.random.default_rng(0)
    >>> detector = ZScoreDetector().fit(rng.normal(size=(2000, 2)))
    >>> monitor = DriftMonitor(detector).update(rng.normal(size=(300, 2)))
    >>> str(monitor.advisory)
    'fine'
    >>> moved = monitor.update(rng.normal(size=(200, 2)) + [0.0, 2.0]).advisory
    >>> moved.advice, moved.columns
    ('watch', ('1',))
    >>> monitor.update(rng.normal(size=(300, 2)) + [0.0, 2.0]).advisory.advice
    'retrain'
    """

    def __init__(
        self, detector: _Fitted, *, every: int | None = None, entity_cells: int = MOST_CELLS
    ) -> None:
        kept = detector.training_statistics_
        if kept is None or kept.stretches is None:
            raise ValueError(
                "detector: expected one that keeps statistics of its training, got one that was "
                + (
                    "loaded from a model file or from a folder of version 0.1"
                    if kept is None
                    else f"fitted on fewer than {LEAST_TRAINING} rows, or by an earlier version"
                )
            )
        self._training, self._stretches = kept.columns, kept.stretches
        self._scores = kept.scores
        columns = len(kept.columns.mean)
        self.names = tuple(detector.feature_texts() or map(str, range(columns)))
        self._features = detector.feature_texts()
        self.window = self._stretches.rows
        self.every = max(self.window // _CHECKS, 1) if every is None else every
        if self.every < 1:
            raise ValueError(f"every: expected at least 1, got {every}")
        self._entity_stretches, self._entity_cells = kept.entities, entity_cells
        self.entity_window = None if kept.entities is None else kept.entities.rows
        self.on_advisory: Callable[[Advisory], object] | None = None
        self._begin()

    def _begin(self) -> None:
        """Be as before the first row."""
        columns = len(self.names)
        self._recent = _Window(np.full((self.window, columns), np.nan))
        self._recent_scores = _Window(np.full((self.window, 1), np.nan))
        self._runs = Repetitions(self._stretches.still)
        own = self._entity_stretches
        self._entities = None if own is None else EntityWindows(own, most_cells=self._entity_cells)
        self._names: list[Hashable] = []  # whose the rows are that no entity's window has yet
        self._far_since: int | None = None
        self.advisory = Advisory()
        self.missing: Floats = np.zeros(columns)
        unknown = np.full((columns, len(QUANTILES)), np.nan)
        self._sketch: Floats = unknown.copy()  # of the rows of the last comparison
        self._like: Floats = unknown  # of stretches of training that rows were like of late

    @property
    def fingerprint(self) -> str:
        """64 digits of the training that rows are compared with."""
        return self._stretches.fingerprint()

    @property
    def rows(self) -> int:
        """Rows so far."""
        return self._recent.seen

    @property
    def distance(self) -> Floats:
        """How far the rows of the last comparison are from training, in its deviations: [C].

        From the stretch of training that is most like them; NaN before the window is full.
        """
        return self._stretches.nearest(self._sketch)[1]

    @property
    def limits(self) -> Floats:
        """From which distance on each column is far from training, [C]."""
        return self._stretches.far

    def update(
        self,
        rows: npt.ArrayLike,
        *,
        entities: Sequence[Hashable] | None = None,
        scores: npt.ArrayLike | None = None,
    ) -> DriftMonitor:
        """Take the next rows, [n, C] or one row [C], and return the monitor.

        Parameters
        ----------
        rows : array_like, [n, C] or [C], or DataFrame
            A DataFrame's columns are matched by name where the detector knows its features.
        entities : sequence, [n], optional
            Whose row each is: only rows of one entity repeat a value. Default: all of one.
        scores : array_like, [n], optional
            Of these rows, NaN where there is none, for `score_drift`.

        Raises
        ------
        ValueError, TypeError
            Before any row is taken.
        """
        given = real_array(match_features(rows, self._features, name="rows"), name="rows")
        table = np.atleast_2d(given).astype(np.float64)
        if table.ndim != 2 or table.shape[1] != len(self.names):
            raise ValueError(
                f"rows: expected [n, {len(self.names)}] or [{len(self.names)}] (n_features_in_), "
                f"got {list(given.shape)}"
            )
        if entities is not None and len(entities) != len(table):
            raise ValueError(f"entities: expected {len(table)}, one per row, got {len(entities)}")
        if scores is not None:
            told = np.atleast_1d(real_array(scores, name="scores")).astype(np.float64)
            if told.shape != (len(table),):
                raise ValueError(
                    f"scores: expected [{len(table)}], one per row, got {list(told.shape)}"
                )
            self._recent_scores.add(told[:, None])
        table[np.isinf(table)] = np.nan
        # All rows at once where no value is repeated for long, as is usual.
        counted = self._runs.add_if_none_stands(table, entities)
        first = 0
        while first < len(table):
            ends = (size - self.rows % size for size in (self.every, self.window))
            last = min(first + min(ends), len(table))
            names = None if entities is None else entities[first:last]
            if not counted:
                self._runs.add(table[first:last], names)
            self._take(table[first:last], names)
            first = last
        return self

    def _take(self, table: Floats, entities: Sequence[Hashable] | None) -> None:
        """Take rows that reach to the next comparison, or not so far."""
        self._recent.add(table)
        if entities is None:
            self._names = []
        elif self._entities is not None:
            self._names += entities
            if self.rows % self.window == 0:
                rows = self._recent.values[-len(self._names) :]
                self._entities.add(rows, self._names)
                self._names = []
        if self.rows % self.every == 0:
            self._compare()

    def state_bytes(self) -> bytes:
        """Return all state as bytes, to go on from elsewhere as if it were one monitor.

        Raises
        ------
        TypeError
            If entities are named by something else than text and whole numbers.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.detect import ZScoreDetector
        >>> from slidecell.detect.drift import DriftMonitor
        >>> rows = np.random.default_rng(0).normal(size=(2000, 1))
        >>> detector = ZScoreDetector().fit(rows)
        >>> first, second = DriftMonitor(detector).update(rows[:100]), DriftMonitor(detector)
        >>> second.restore(first.state_bytes())
        >>> second.update(rows[100:] + 5.0).advisory == first.update(rows[100:] + 5.0).advisory
        True
        """
        if not all(name is None or isinstance(name, (str, int)) for name in self._runs.names):
            raise TypeError("entities: expected names of text or whole numbers to save them")
        text: dict[str, Any] = {
            "rows": self.rows,
            "scores": self._recent_scores.seen,
            "far_since": self._far_since,
            "advisory": self.advisory.to_dict(),
            "names": self._names,
        }
        parts = {name: kept.astype("<f8").tobytes() for name, kept in self._arrays().items()}
        for name, watch in self._watches().items():
            own = watch.saved()
            text[name] = own.text
            parts |= {f"{name}/{part}": data for part, data in own.parts.items()}
        return pack_state(Saved(text, parts), self.fingerprint)

    def restore(self, state: bytes) -> None:
        """Take what `state_bytes` returned of a monitor of the same detector.

        Raises
        ------
        ValueError
            If it is damaged, or of another detector. Nothing is changed then.
        """
        saved = unpack_state(state, self.fingerprint, kind="monitor's detector")
        again = copy.copy(self)
        again._begin()
        try:
            text = saved.text
            for name, kept in again._arrays().items():
                kept[:] = array_of(saved, name, kept)
            again._recent.seen, again._recent_scores.seen = int(text["rows"]), int(text["scores"])
            again._far_since, again._names = text["far_since"], list(text["names"])
            again.advisory = Advisory.from_dict(text["advisory"])
            for name, watch in again._watches().items():
                watch.restore(Saved(text[name], part_of(saved.parts, f"{name}/")))
        except (KeyError, TypeError) as error:
            raise ValueError(f"state: damaged: {error!r}") from None
        self.__dict__.update(again.__dict__)

    def _arrays(self) -> dict[str, Floats]:
        """Return what is kept of the rows, beside what is kept of entities."""
        return {
            "recent": self._recent.values,
            "recent_scores": self._recent_scores.values,
            "missing": self.missing,
            "sketch": self._sketch,
        }

    def _watches(self) -> dict[str, Repetitions | EntityWindows]:
        own = {} if self._entities is None else {"entities": self._entities}
        return {"repetitions": self._runs, **own}

    def drift(self) -> Drift:
        """Return how the rows of the window differ from all rows of training."""
        return self._drift_of(np.arange(len(self.names)))

    def score_drift(self) -> Drift | None:
        """Return how the last scores differ from those of training, one column.

        None before scores have come that fill the window. An advisory does not depend on it: scores
        of rows that a detector was not fitted on are always a little higher.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.detect import ZScoreDetector
        >>> from slidecell.detect.drift import DriftMonitor
        >>> rows = np.random.default_rng(0).normal(size=(2000, 1))
        >>> detector = ZScoreDetector().fit(rows)
        >>> monitor = DriftMonitor(detector).update(rows, scores=detector.score_samples(rows) + 5.0)
        >>> monitor.score_drift().distance.tolist()
        [1.0]
        """
        if not self._recent_scores.full or np.isnan(self._recent_scores.values).all():
            return None
        sketch = self._scores.sketch()
        sketch.add(self._recent_scores.values)
        return compare(self._scores, sketch.statistics())

    def _compare(self) -> None:
        reasons = [*self._of_window(), *self._of_still()]
        if self._entities is not None:
            told = {(reason.entity, reason.column) for reason in reasons}
            reasons += [r for r in self._of_entities() if (r.entity, r.column) not in told]
        self._advise(sorted(reasons, key=lambda reason: -reason.times))
        if self.on_advisory is not None:
            self.on_advisory(self.advisory)

    def _of_window(self) -> Iterator[Reason]:
        """Yield what is far from training in the last rows of all, and does not stand still."""
        if not self._recent.full:
            return
        recent, kept = self._recent.values, self._stretches
        unknown = np.isnan(recent)
        self._sketch = kept.sketch(recent)
        self.missing = unknown.mean(axis=0) if unknown.any() else np.zeros(len(self.names))
        lacking = set(np.flatnonzero(self.missing > kept.missing).tolist())
        # Rows are near training if they are near those stretches that they were like of late.
        if kept.is_near(self._sketch, self._like) and not lacking:
            return
        places, distance = kept.nearest(self._sketch)
        self._like = kept.at(places)
        with np.errstate(invalid="ignore"):
            far = np.flatnonzero((distance > kept.far) & ~self._runs.still).tolist()
        frozen = {c for c in far if np.ptp(recent[~unknown[:, c], c]) == 0.0}
        moved = [c for c in far if c not in frozen and c not in lacking]
        for column, text in zip(moved, self._describe(np.array(moved, np.int64)), strict=True):
            times = float(distance[column] / kept.far[column])
            yield Reason(self.names[column], "distribution", times, text)
        for column in sorted(frozen - lacking):
            yield Reason(self.names[column], "still", 1.0, _UNMOVED.format(self.window))
        for column in sorted(lacking - set(np.flatnonzero(self._runs.still).tolist())):
            times = float(self.missing[column] / kept.missing[column])
            text = _LACKING.format(100 * self.missing[column])
            yield Reason(self.names[column], "missing", times, text)

    def _of_still(self) -> Iterator[Reason]:
        """Yield what repeats its last value, in any entity."""
        for column in np.flatnonzero(self._runs.still).tolist():
            run, entity = self._runs.longest(column)
            whose = "" if entity is None or entity == "" else f" of {entity!r}"
            text = f"it repeats its last value for {run} rows{whose}"
            times = float(run / self._stretches.still[column])
            yield Reason(self.names[column], "still", times, text, entity)

    def _of_entities(self) -> list[Reason]:
        """Return what is far from training in single entities, the farthest few."""
        assert self._entities is not None
        reasons = []
        for entity, far in self._entities.far()[:_MOST_REASONS]:
            text = {
                "distribution": _text(far.level, far.spread, 0.0, math.nan),
                "still": _UNMOVED.format(self.entity_window),
                "missing": _LACKING.format(100 * far.missing),
            }[far.cause]
            text = f"of {entity!r}: {text}"
            reasons.append(Reason(self.names[far.column], far.cause, far.times, text, entity))
        return reasons

    def _advise(self, reasons: Sequence[Reason]) -> None:
        """Set the advisory: values that are far for a whole window more ask for a training."""
        if not any(one.cause == "distribution" and one.entity is None for one in reasons):
            self._far_since = None
        elif self._far_since is None:
            self._far_since = self.rows
        if not reasons:
            self.advisory = Advisory(rows=self.rows)
            return
        lasting = self._far_since is not None and self.rows - self._far_since >= self.window
        since = self.rows if self.advisory.since is None else self.advisory.since
        advice: Advice = "retrain" if lasting else "watch"
        self.advisory = Advisory(advice, self.rows, since, tuple(reasons))

    def _drift_of(self, columns: npt.NDArray[np.int64]) -> Drift:
        training = self._training.take(columns)
        sketch = training.sketch()
        sketch.add(self._recent.values[: self.rows, columns])
        return compare(training, sketch.statistics())

    def _describe(self, columns: npt.NDArray[np.int64]) -> list[str]:
        """Return what is far from training in each of these columns."""
        if len(columns) == 0:
            return []
        drift = self._drift_of(columns)
        return [
            _text(level, spread, outside, stability)
            for level, spread, outside, stability in zip(
                drift.level, drift.spread, drift.outside, drift.stability, strict=True
            )
        ]


def _text(level: float, spread: float, outside: float, stability: float) -> str:
    found = []
    if abs(level) >= 0.5:
        amount = f"{level:+.2g}" if abs(level) < 1e6 else f"{level:+.0e}"
        found.append(f"level {amount} training standard deviations")
    if spread >= 1.25 or spread <= 0.8:
        found.append(f"spread {spread:.2g} times as wide")
    if outside >= 0.05:
        found.append(f"{100 * outside:.0f} % outside the training range")
    if not found and math.isfinite(stability):
        found.append(f"population stability index {stability:.2g}")
    return ", ".join(found) or "its values lie where no stretch of training had them"
