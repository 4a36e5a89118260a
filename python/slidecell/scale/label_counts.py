"""Flags of rows that come in batches, compared with their labels by exact counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell.evaluate.inputs import runs_of
from slidecell.evaluate.points import PointScores, harmonic, ratio
from slidecell.evaluate.summary import Evaluation
from slidecell.scale.arrivals import Arranged, grown
from slidecell.tables.rows import Ints
from slidecell.thresholds.state_values import mapping, whole

__all__ = ["LabelCounts"]

Bools = npt.NDArray[np.bool_]

_NOTE = (
    "of rows that come in parts only counts are measured: the areas under curves, range and "
    "affiliation metrics and those of random scores need all rows at once"
)
_COUNTS = (
    *("true_positives", "false_positives", "false_negatives", "true_negatives"),
    *("unscored_rows", "unscored_positives", "series", "events", "unscored_events"),
)


class _Event(NamedTuple):
    """An anomaly that may go on: where it began, the delay of its first flag, whether it counts."""

    segment: int
    start: int
    delay: int | None
    scored: bool


class LabelCounts:
    """Counts rows and anomalies, those that run from batch to batch among them.

    The figures are those of `slidecell.evaluate.evaluate` on the same rows at once. Memory is that
    of the entities, and of the different delays.

    Examples
    --------
    >>> import numpy as np
    >>> import pyarrow as pa
    >>> from slidecell.scale.arrivals import Arrivals
    >>> from slidecell.scale.label_counts import LabelCounts
    >>> from slidecell.scale.sources import Batch
    >>> from slidecell.tables.options import TableOptions
    >>> arrivals, counts = Arrivals(TableOptions(), {}), LabelCounts()
    >>> batch = Batch(pa.table({"x": [0.0, 0.0]}), "rows", 0, 0)
    >>> for flags in ([False, False], [True, True]):
    ...     arranged = arrivals.arrange(batch, sort=False)
    ...     counts.add(arranged, np.array([False, True]), np.ones(2), np.array(flags))
    >>> found = counts.evaluation(threshold=0.5)
    >>> found.precision, found.recall, found.events, found.events_found, found.delay_mean
    (0.5, 0.5, 2, 1, 0.0)
    """

    def __init__(self) -> None:
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._delays: dict[int, int] = {}
        self._open: dict[int, _Event] = {}
        self._last = np.zeros(0, np.int64)  # segment of each entity that was counted last

    def add(
        self, arranged: Arranged, labels: Bools, scores: npt.NDArray[Any], flags: Bools
    ) -> None:
        """Take the rows of a batch [B], as they are arranged."""
        scored = ~np.isnan(scores)
        counts = self._counts
        positives, flagged = labels & scored, flags & scored
        hits = int(np.count_nonzero(positives & flagged))
        counts["true_positives"] += hits
        counts["false_positives"] += int(np.count_nonzero(flagged)) - hits
        counts["false_negatives"] += int(np.count_nonzero(positives)) - hits
        counts["true_negatives"] += int(np.count_nonzero(scored & ~labels & ~flags))
        counts["unscored_rows"] += len(scored) - int(np.count_nonzero(scored))
        counts["unscored_positives"] += int(np.count_nonzero(labels & ~scored))
        cuts = arranged.cuts()
        self._count_series(arranged, cuts, scored)
        self._follow(arranged, cuts, labels, scored=scored, flags=flagged)

    def _count_series(self, arranged: Arranged, cuts: Ints, scored: Bools) -> None:
        """Count the segments in which a row has a score for the first time."""
        some = cuts[np.logical_or.reduceat(scored, cuts)]
        codes, segments = arranged.codes[some], arranged.segments(some)
        self._last = grown(self._last, int(arranged.entities[-1]) + 1, -1)
        self._counts["series"] += int(np.count_nonzero(segments > self._last[codes]))
        self._last[codes] = segments  # of an entity's segments the last one stays

    def _follow(
        self, arranged: Arranged, cuts: Ints, labels: Bools, *, scored: Bools, flags: Bools
    ) -> None:
        """Follow the anomalies: those that end are counted, others are kept open."""
        offsets = np.append(cuts, len(labels)).astype(np.int64)
        first, end = runs_of(labels, offsets)
        begins_run = np.zeros(len(labels) + 1, np.bool_)
        begins_run[arranged.runs] = True
        ends_run = begins_run.copy()
        ends_run[-1] = True
        # An open anomaly of an entity of this batch goes on in its first row, or has ended.
        starts = set(arranged.codes[first[begins_run[first] & ~arranged.begins[first]]].tolist())
        for entity in set(self._open) & set(arranged.entities.tolist()) - starts:
            self._count(self._open.pop(entity))
        before = np.concatenate([[0], np.cumsum(scored)])
        flagged = np.flatnonzero(flags)
        following = np.append(flagged, len(labels))[np.searchsorted(flagged, first)]
        delays = np.where(following < end, following - first, -1)
        columns = (
            *(arranged.codes[first], arranged.segments(first), arranged.numbers(first), delays),
            *(before[end] > before[first], ends_run[end], begins_run[first]),
        )
        listed = (column.tolist() for column in columns)
        for entity, segment, start, delay, counts, stays, leads in zip(*listed, strict=True):
            event = _Event(segment, start, delay if delay >= 0 else None, counts)
            known = self._open.pop(entity, None) if leads else None
            if known is not None:
                late = None if event.delay is None else start - known.start + event.delay
                found = late if known.delay is None else known.delay
                event = _Event(segment, known.start, found, known.scored or counts)
            if stays:
                self._open[entity] = event
            else:
                self._count(event)

    def _count(self, event: _Event) -> None:
        self._counts["events" if event.scored else "unscored_events"] += 1
        if event.delay is not None:
            self._delays[event.delay] = self._delays.get(event.delay, 0) + 1

    def evaluation(self, *, threshold: float | None) -> Evaluation:
        """Return the figures of all rows so far: anomalies that are open have ended.

        Parameters
        ----------
        threshold : float, optional
            What all scores were compared with. None: a rule flagged them.
        """
        for _, event in sorted(self._open.items()):
            self._count(event)
        self._open.clear()
        counts = self._counts
        points = PointScores(*(counts[name] for name in _COUNTS[:4]))
        positives = points.true_positives + points.false_negatives
        rows = positives + points.false_positives + points.true_negatives
        found = sum(self._delays.values())
        share = ratio(found, counts["events"])
        return Evaluation(
            rows=rows,
            positives=positives,
            prevalence=ratio(positives, rows),
            unscored_rows=counts["unscored_rows"],
            unscored_positives=counts["unscored_positives"],
            entities=counts["series"],
            events=counts["events"],
            unscored_events=counts["unscored_events"],
            threshold=threshold,
            threshold_origin="flags" if threshold is None else "given",
            flagged=points.true_positives + points.false_positives,
            precision=points.precision,
            recall=points.recall,
            f1=points.f1,
            accuracy=points.accuracy,
            true_positives=points.true_positives,
            false_positives=points.false_positives,
            false_negatives=points.false_negatives,
            true_negatives=points.true_negatives,
            event_f1=None if share is None else harmonic(points.precision or 0.0, share),
            events_found=found,
            events_found_share=share,
            delay_median=_median(self._delays),
            delay_mean=ratio(sum(delay * count for delay, count in self._delays.items()), found),
            note=_NOTE if rows else "no row has a score",
        )

    def state(self) -> dict[str, Any]:
        """Return the state, ready for JSON."""
        return {
            "counts": dict(self._counts),
            "delays": sorted(self._delays.items()),
            "open": {str(entity): list(event) for entity, event in sorted(self._open.items())},
            "last": self._last.tolist(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        counts = mapping(state.get("counts"), "counts")
        self._counts = {name: whole(counts, name) for name in _COUNTS}
        self._delays = {int(delay): int(count) for delay, count in state["delays"]}
        found = mapping(state.get("open"), "open")
        self._open = {int(entity): _Event(*event) for entity, event in found.items()}
        self._last = np.array(state["last"], np.int64)


def _median(counted: Mapping[int, int]) -> float | None:
    """Return the median of values that come so many times each; None without one."""
    if not counted:
        return None
    values = np.array(sorted(counted))
    below = np.cumsum([counted[value] for value in values.tolist()])
    middle = [(below[-1] - 1) // 2, below[-1] // 2]
    return float(values[np.searchsorted(below, middle, side="right")].mean())
