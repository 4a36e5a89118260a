"""Compute all metrics of scores against labels, each beside that of random scores."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_number
from slidecell.evaluate.affiliation import affiliation
from slidecell.evaluate.curves import Ranking, pr_auc, roc_auc
from slidecell.evaluate.delay import Delay, detection_delay
from slidecell.evaluate.events import event_f1, point_adjusted_f1
from slidecell.evaluate.inputs import (
    Bools,
    Ints,
    Scored,
    as_flags,
    as_labels,
    as_offsets,
    as_window,
    runs_of,
    scored_part,
)
from slidecell.evaluate.points import classification_report, harmonic, point_scores, ratio
from slidecell.evaluate.ranges import range_f1
from slidecell.evaluate.table import as_html, as_table
from slidecell.evaluate.vus import vus

__all__ = ["Evaluation", "default_vus_window", "evaluate"]

_DRAWS = 5  # of random scores: one lucky hit moves a point-adjusted F1 by tenths
_DRAWN = (
    "range_f1",
    "event_f1",
    "affiliation_f1",
    "point_adjusted_f1_inflated",
    "events_found_share",
)


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`; a metric is None where one class or no flags leave it undefined.

    Parameters
    ----------
    rows, positives : int
        Rows with a score, and anomalies among them; the metrics are about these rows.
    prevalence : float
        Their share: the precision and the PR-AUC of random scores.
    unscored_rows, unscored_positives : int
        Rows left out because they have no score.
    entities : int
    events, unscored_events : int
        Anomalies (runs of labelled rows) with a scored row, and those without, left out.
    threshold : float
    threshold_origin : str
        "given"; or "oracle": it has the best F1 on these very labels, which in use are unknown.
        "flags": flags were given instead.
    flagged : int
        Scored rows above the threshold, or flagged as given.
    roc_auc, pr_auc, vus_roc, vus_pr : float
        Whatever the threshold.
    vus_window : int
        Greatest buffer of the volumes, in rows: the one that was given, else `default_vus_window`.
    precision, recall, f1, accuracy : float
        Row by row.
    true_positives, false_positives, false_negatives, true_negatives : int
    range_f1, event_f1, affiliation_precision, affiliation_recall, affiliation_f1 : float
    point_adjusted_f1_inflated : float
        For comparison with papers; look at the random one first.
    events_found : int
    events_found_share, delay_median, delay_mean : float
        Delays in rows, those without a score included, of the events that are found.
    random : dict
        The same metrics of random scores with as many flags: expected values where they are known
        (row by row, ROC-AUC, PR-AUC), else means over five draws.
    classification_report : str
        scikit-learn's.
    note : str
        Why something is undefined.
    """

    rows: int
    positives: int
    prevalence: float | None
    unscored_rows: int
    unscored_positives: int
    entities: int
    events: int
    unscored_events: int
    threshold: float | None
    threshold_origin: str
    flagged: int | None = None
    roc_auc: float | None = None
    pr_auc: float | None = None
    vus_roc: float | None = None
    vus_pr: float | None = None
    vus_window: int | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    accuracy: float | None = None
    true_positives: int | None = None
    false_positives: int | None = None
    false_negatives: int | None = None
    true_negatives: int | None = None
    range_f1: float | None = None
    event_f1: float | None = None
    affiliation_precision: float | None = None
    affiliation_recall: float | None = None
    affiliation_f1: float | None = None
    point_adjusted_f1_inflated: float | None = None
    events_found: int | None = None
    events_found_share: float | None = None
    delay_median: float | None = None
    delay_mean: float | None = None
    random: dict[str, float | None] = field(default_factory=dict)
    classification_report: str | None = None
    note: str | None = None

    @property
    def confusion_matrix(self) -> list[list[int]] | None:
        """Rows: normal, anomaly; columns: not flagged, flagged."""
        if self.true_positives is None or self.true_negatives is None:
            return None
        return [
            [self.true_negatives, self.false_positives or 0],
            [self.false_negatives or 0, self.true_positives],
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return all fields and the confusion matrix, ready for JSON."""
        return {**asdict(self), "confusion_matrix": self.confusion_matrix}

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the table of `__str__`."""
        return as_html(self.to_dict())

    def __str__(self) -> str:
        return as_table(self.to_dict())


def evaluate(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    threshold: float | None = None,
    flags: npt.ArrayLike | None = None,
    offsets: npt.ArrayLike | None = None,
    vus_window: int | None = None,
    random_state: int = 0,
) -> Evaluation:
    """Measure scores [S] against labels [S] (1 = anomaly) in every way of this package.

    Rows without a score (NaN) are left out and counted; what remains of an entity closes up. Only
    delays are in rows of the input. No buffer, event or zone crosses an entity. An infinite score
    ranks above (or below) all finite ones.

    Rows are in order of time within an entity, as thresholds and smoothing need them too. Scores of
    a DataFrame in another order, which detectors answer in the order of its rows, are brought into
    it by `slidecell.detect.time_order`.

    Parameters
    ----------
    labels : array_like, [S]
    scores : array_like, [S]
        Higher = more anomalous.
    threshold : float, optional
        A row is flagged if its score is above it. Default: that of the best F1 on these labels,
        named "oracle".
    flags : array_like, [S], optional
        Rows that are flagged by a rule without a threshold. Only ROC, PR and VUS then depend on
        the scores.
    offsets : array_like of int, [G+1], optional
        Entity g owns rows ``offsets[g]:offsets[g+1]``. Default: one entity.
    vus_window : int, optional
        Greatest buffer of VUS, in rows; half of it lies on each side of an anomaly. Default:
        `default_vus_window`, from the lengths of the anomalies in these labels. Volumes of
        different buffers cannot be compared: give one number for all series of a table.
    random_state : int
        Seed of the random scores.

    Returns
    -------
    Evaluation

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.evaluate import evaluate
    >>> labels = np.zeros(100, int)
    >>> labels[40:50] = 1
    >>> scores = np.where(labels == 1, 0.9, np.linspace(0, 1, 100))
    >>> scores[40:43] = np.nan
    >>> found = evaluate(labels, scores, threshold=0.85)
    >>> found.rows, found.recall, round(found.precision, 3), found.delay_median
    (97, 1.0, 0.318, 3.0)
    >>> round(found.roc_auc, 3), round(found.random["pr_auc"], 3)
    (0.889, 0.072)
    >>> found.vus_window, round(found.vus_pr, 3)
    (10, 0.412)
    >>> wide = evaluate(labels, scores, threshold=0.85, vus_window=100)
    >>> wide.vus_window, round(wide.vus_pr, 3)
    (100, 0.43)
    >>> print(str(evaluate(labels, scores)).splitlines()[1])
    threshold 0.899495 (oracle: the best F1 on these labels): 17 rows flagged

    Two entities in a DataFrame whose rows are in no order:

    >>> import pandas as pd
    >>> from slidecell.detect import time_order
    >>> frame = pd.DataFrame({"user": ["b", "a", "b", "a"], "day": [2, 2, 1, 1]})
    >>> frame["label"], scores = [1, 0, 1, 0], np.array([0.9, 0.2, 0.4, 0.1])
    >>> order, offsets = time_order(frame, entity="user", time="day")
    >>> found = evaluate(frame["label"].to_numpy()[order], scores[order], offsets=offsets)
    >>> found.entities, found.events, found.f1
    (2, 1, 1.0)
    """
    part = scored_part(labels, scores, offsets)
    if flags is None:
        limit, origin = _threshold(part, threshold)
        raised = None if limit is None else part.scores > limit
    else:
        if threshold is not None:
            raise ValueError(f"flags: expected none beside threshold={threshold!r}")
        limit, origin, raised = None, "flags", as_flags(flags, len(part.kept))[part.kept]
    everything = _all_rows(as_labels(labels), part.kept, offsets)
    if vus_window is None:
        window = default_vus_window(part.labels, part.offsets)
    else:
        window = as_window("vus_window", vus_window)
    counts = _counts(part, everything)
    found = _volumes(part, window)
    found["roc_auc"] = roc_auc(part.labels, part.scores)
    found["pr_auc"] = pr_auc(part.labels, part.scores)
    random: dict[str, float | None] = {}
    rng = np.random.default_rng(random_state)
    if part.both_classes:
        draws = [_volumes(_with_random_scores(part, rng), window) for _ in range(_DRAWS)]
        random = _means(draws) | {"roc_auc": 0.5, "pr_auc": counts["prevalence"]}
    if raised is not None:
        found |= _judged(part, raised, everything)
        found["classification_report"] = _report(part, raised)
        flagged = int(raised.sum())
        draws = [
            _judged(part, _random_flags(rng, len(raised), flagged), everything)
            for _ in range(_DRAWS)
        ]
        random |= _means([{name: draw[name] for name in _DRAWN} for draw in draws])
        random |= _expected(len(raised), counts["positives"], flagged)
    return Evaluation(
        **counts,
        **found,
        threshold=limit,
        threshold_origin=origin,
        vus_window=window,
        random=random,
        note=_note(part, judged=raised is not None),
    )


def default_vus_window(labels: npt.ArrayLike, offsets: npt.ArrayLike | None = None) -> int | None:
    """Median length of the anomalies in labels [S], at least 10 and at most 100; None without one.

    So a flag counts in part up to half an anomaly's length away, and at least 5 rows; the periods
    of the series, from which others take it, are no property of the labels.

    Examples
    --------
    >>> from slidecell.evaluate import default_vus_window
    >>> default_vus_window([0] * 10 + [1] * 30 + [0] * 10)
    30
    """
    truth = as_labels(labels)
    first, end = runs_of(truth, as_offsets(offsets, len(truth)))
    return int(np.clip(np.median(end - first), 10, 100)) if len(first) else None


def _threshold(part: Scored, threshold: float | None) -> tuple[float | None, str]:
    if threshold is not None:
        limit = as_number("threshold", threshold)
        if not np.isfinite(limit):
            raise ValueError(f"threshold: expected a finite number, got {threshold!r}")
        return limit, "given"
    if not part.both_classes:
        return None, "oracle"
    return Ranking(part.scores, part.labels.astype(np.int64)).best_threshold(), "oracle"


@dataclass(frozen=True)
class _AllRows:
    """The input's rows: its events with a scored row, and which rows have a score."""

    labels: Bools
    kept: Bools
    offsets: Ints
    events: int
    unscored_events: int
    unscored_positives: int


def _all_rows(truth: Bools, kept: Bools, offsets: npt.ArrayLike | None) -> _AllRows:
    bounds = as_offsets(offsets, len(truth))
    first, end = runs_of(truth, bounds)
    before = np.concatenate(([0], np.cumsum(kept)))
    scored = before[end] > before[first]
    labels = truth.copy()
    for begin, stop in zip(first[~scored], end[~scored], strict=True):
        labels[begin:stop] = False
    missed = int(np.count_nonzero(truth & ~kept))
    return _AllRows(labels, kept, bounds, int(scored.sum()), int((~scored).sum()), missed)


def _counts(part: Scored, everything: _AllRows) -> dict[str, Any]:
    rows, positives = len(part.labels), int(part.labels.sum())
    return {
        "rows": rows,
        "positives": positives,
        "prevalence": ratio(positives, rows),
        "unscored_rows": int((~part.kept).sum()),
        "unscored_positives": everything.unscored_positives,
        "entities": int(np.count_nonzero(np.diff(part.offsets))),
        "events": everything.events,
        "unscored_events": everything.unscored_events,
    }


def _volumes(part: Scored, window: int | None) -> dict[str, Any]:
    if window is None:
        return {}
    vus_roc, vus_pr = vus(part.labels, part.scores, window, part.offsets)
    return {"vus_roc": vus_roc, "vus_pr": vus_pr}


def _judged(part: Scored, flags: Bools, everything: _AllRows) -> dict[str, Any]:
    """Metrics of flags [n]."""
    points = point_scores(part.labels, flags)
    near = affiliation(part.labels, flags, part.offsets)
    everywhere = np.zeros(len(everything.kept), np.bool_)
    everywhere[everything.kept] = flags
    delay: Delay = detection_delay(everything.labels, everywhere, everything.offsets)
    return {
        **asdict(points),
        "flagged": int(np.count_nonzero(flags)),
        "precision": points.precision,
        "recall": points.recall,
        "f1": points.f1,
        "accuracy": points.accuracy,
        "range_f1": range_f1(part.labels, flags, part.offsets),
        "event_f1": event_f1(everything.labels, everywhere, everything.offsets),
        "affiliation_precision": near[0],
        "affiliation_recall": near[1],
        "affiliation_f1": None if near[1] is None else harmonic(near[0] or 0.0, near[1]),
        "point_adjusted_f1_inflated": point_adjusted_f1(part.labels, flags, part.offsets),
        "events_found": delay.found,
        "events_found_share": delay.found_share,
        "delay_median": delay.median,
        "delay_mean": delay.mean,
    }


def _with_random_scores(part: Scored, rng: np.random.Generator) -> Scored:
    return Scored(part.labels, rng.random(len(part.labels)), part.offsets, part.kept)


def _random_flags(rng: np.random.Generator, n: int, flagged: int) -> Bools:
    """Return the given number of flags at random rows."""
    flags = np.zeros(n, np.bool_)
    flags[rng.choice(n, flagged, replace=False, shuffle=False)] = True
    return flags


def _expected(n: int, positives: int, flagged: int) -> dict[str, float | None]:
    """Return the expected metrics by row of so many flags at random rows."""
    hits = ratio(positives * flagged, n) or 0.0
    return {
        "precision": ratio(hits, flagged),
        "recall": ratio(hits, positives),
        "f1": ratio(2 * hits, positives + flagged),
        "accuracy": ratio(n - positives - flagged + 2 * hits, n),
    }


def _means(draws: list[dict[str, Any]]) -> dict[str, float | None]:
    """Means of the metrics that are defined in all draws."""
    means: dict[str, float | None] = {}
    for name in draws[0]:
        values = [draw[name] for draw in draws]
        means[name] = None if None in values else float(np.mean(values))
    return means


def _report(part: Scored, flags: Bools) -> str | None:
    return classification_report(part.labels, flags) if len(flags) else None


def _note(part: Scored, *, judged: bool) -> str | None:
    if len(part.labels) == 0:
        return "no row has a score"
    if part.both_classes:
        return None
    only = "anomalous" if part.labels[0] else "normal"
    needs = "ROC-AUC and PR-AUC need both"
    if not judged:
        needs = "a threshold chosen on them, ROC-AUC and PR-AUC need both"
    return f"all {len(part.labels)} scored rows are labelled {only}: {needs}"
