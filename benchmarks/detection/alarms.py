"""What a detector's own threshold gives a person to look at: events, and the rate that was asked.

All rows of a series are judged, those that it was fitted on too: their labels took no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.datasets import LabelledSeries
from slidecell.detect.drift import compare
from slidecell.evaluate.inputs import runs_of
from slidecell.jobs.drift_report import how_far
from slidecell.thresholds import FixedThreshold, RateThreshold, Threshold, find_events

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_DRAWS = 100  # of random events
_ENOUGH = 30  # events, from which on a rate is held to a factor
FACTOR = 1.5


@dataclass(frozen=True)
class Alarms:
    """The events of one detector on one series, at its own threshold.

    `hit_by_random` is the mean number of labelled windows that events of the same number and
    lengths at random places hit. The fields from `asked` on are those of
    `slidecell.thresholds.RateSeen` on the label-free rows of the test part; `asked` is empty
    without a rate. `drifted` numbers the columns of the test part that are far from training, as
    the notes of ``slidecell detect`` name them, the farthest first; it is None where the detector
    keeps no statistics of what it was fitted on.
    """

    windows: int
    hit: int
    hit_by_random: float
    outside: int  # events that touch no labelled row
    events: int
    rows_inside: int  # unlabelled rows that lie in events
    rows_unlabelled: int
    gap: int
    asked: str = ""
    unit: str = ""
    expected: float = 0.0
    low: int | None = None
    high: int | None = None
    seen: int = 0
    drifted: tuple[int, ...] | None = None

    @property
    def ratio(self) -> float:
        """What is seen over what is expected."""
        return self.seen / self.expected if self.expected > 0.0 else np.nan

    @property
    def within(self) -> bool:
        """Whether the rate is kept: within a factor, or if few events are expected, by chance."""
        if self.unit == "events" and self.expected < _ENOUGH and self.low is not None:
            return self.low <= self.seen <= (self.high or 0)
        return 1.0 / FACTOR <= self.ratio <= FACTOR


@dataclass(frozen=True)
class Counted:
    """The alarms of one detector on one series."""

    set: str
    series: str
    detector: str
    alarms: Alarms


def count_alarms(detector: Any, series: LabelledSeries, scores: Floats, seed: int) -> Alarms:
    """Return the events of a fitted detector, whose scores of the test part are given.

    Parameters
    ----------
    detector : estimator
        With ``threshold_``; one without ``decision_scores_`` scores the training part again.
    series : LabelledSeries
    scores : ndarray of float64, [S]
        Of the test part.
    seed : int
        Of the random events.
    """
    fitted = getattr(detector, "decision_scores_", None)
    if fitted is None:
        fitted = detector.score_samples(series.train)
    both = np.concatenate([np.asarray(fitted, np.float64), scores])
    offsets = np.array([0, len(fitted), len(both)])
    rule = rule_of(detector)
    flags = rule.apply(both, offsets)
    gap = detector.event_gap() if hasattr(detector, "event_gap") else 0
    known = series.train_label
    labels = np.concatenate([
        np.zeros(len(fitted), np.int64) if known is None else known, series.test_label
    ])  # fmt: skip
    test = np.arange(len(both)) >= len(fitted)
    found = find_events(flags, both, gap=gap)
    spans = [(event.start, event.end + 1) for event in found]
    alarms = _judge(spans, labels == 1, gap, seed)
    alarms["drifted"] = drifted_columns(detector, series.test)
    if isinstance(rule, RateThreshold) and (test & (labels == 0) & ~np.isnan(both)).any():
        seen = rule.seen(both, offsets, rows=test & (labels == 0))
        fields = {name: getattr(seen, name) for name in ("asked", "unit", "expected", "low")}
        return Alarms(**alarms, **fields, high=seen.high, seen=seen.seen)
    return Alarms(**alarms)


def drifted_columns(detector: Any, rows: npt.NDArray[Any]) -> tuple[int, ...] | None:
    """Return the columns of rows [S, F] that the notes call far from training, the farthest first.

    None where the detector keeps no statistics of what it was fitted on.
    """
    kept = getattr(detector, "training_statistics_", None)
    if kept is None:
        return None
    recent = kept.columns.sketch()
    recent.add(rows)
    far = how_far(compare(kept.columns, recent.statistics()))
    return tuple(c for c in np.argsort(-far, kind="stable").tolist() if far[c] >= 1.0)


def rule_of(detector: Any) -> Threshold:
    """Return the rule of a detector, or its value."""
    rule = getattr(detector, "rule_", None)
    return rule if isinstance(rule, Threshold) else FixedThreshold(float(detector.threshold_))


def _judge(
    spans: Sequence[tuple[int, int]], labelled: Bools, gap: int, seed: int
) -> dict[str, Any]:
    size = len(labelled)
    first, end = runs_of(labelled, np.array([0, size]))
    before = np.concatenate([[0], np.cumsum(labelled)])
    inside = np.zeros(size, np.bool_)
    for begin, stop in spans:
        inside[begin:stop] = True
    rng = np.random.default_rng(seed)
    lengths = np.array([stop - begin for begin, stop in spans], np.int64)
    drawn = []
    for _ in range(_DRAWS if spans and len(first) else 0):
        begins = rng.integers(0, size - lengths + 1)
        drawn.append(_hit(begins, begins + lengths, first, end))
    starts, stops = np.array(spans, np.int64).reshape(-1, 2).T
    return {
        "windows": len(first),
        "hit": _hit(starts, stops, first, end),
        "hit_by_random": float(np.mean(drawn)) if drawn else 0.0,
        "outside": int((before[stops] == before[starts]).sum()),
        "events": len(spans),
        "rows_inside": int((inside & ~labelled).sum()),
        "rows_unlabelled": int((~labelled).sum()),
        "gap": gap,
    }


def _hit(starts: Any, stops: Any, first: Any, end: Any) -> int:
    """Return how many of the windows [first, end) one of the events [start, stop) touches."""
    touches = (starts[:, None] < end) & (stops[:, None] > first)
    return int(touches.any(axis=0).sum())
