"""The result of a job: rows with their parts and scores, and the facts of its report."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._html import figure, html_table
from slidecell.detect.event_shares import stated_threshold
from slidecell.detect.table_scores import score_table
from slidecell.evaluate import evaluate
from slidecell.jobs.environment import cpu_name, versions
from slidecell.jobs.report import Report
from slidecell.tables.options import TableOptions
from slidecell.tables.rows import Rows
from slidecell.tables.split import PARTS
from slidecell.thresholds.events import Event, find_events, worst_first
from slidecell.thresholds.per_entity import PerEntityThreshold

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.model import SequenceModel

__all__ = [
    "Result",
    "Stopwatch",
    "check_key_names",
    "compare_rate",
    "count_flagged",
    "count_too_large",
    "default_event_gap",
    "judge",
    "judge_result",
    "judged_rows",
    "machine",
    "parameters",
    "refuse_overwriting",
    "score_table",
    "summarise_data",
    "summarise_parts",
    "why_no_score",
]

_OUTPUT_COLUMNS = ("score", "flagged", "part")
_SHOWN_EVENTS = 5  # in a notebook


class Stopwatch:
    """Seconds of each stage, and of all of them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Note the time since the last lap."""
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now
        self.seconds["total"] = now - self._start


@dataclass(frozen=True)
class Result:
    """The S rows of a table with their parts and scores, and what else a job has to tell.

    Parameters
    ----------
    table : Rows
    part : ndarray, [S]
        ``train``, ``validation`` or ``test``.
    scores : ndarray, [S]
    detector : Detector
    report : dict
        The facts as numbers and texts: what ``report.json`` holds.
    document : Report
        The report for people: sections of text, tables and figures.
    event_gap : int
        Rows that are not flagged between two flags of one event, at most.
    """

    table: Rows
    part: npt.NDArray[Any]  # [S]
    scores: npt.NDArray[np.floating[Any]]  # [S]
    detector: Detector
    report: dict[str, Any]
    document: Report = field(default_factory=Report)
    event_gap: int = 0

    @property
    def threshold(self) -> float | None:
        """Scores above it are flagged; None also where the model's rule is no single value."""
        return stated_threshold(self.detector)

    @property
    def model(self) -> SequenceModel | None:
        """The compiled network behind the scores; None if there is none."""
        return self.detector.network

    def _repr_html_(self) -> str:
        """Return what a notebook shows: rows, threshold, and the worst events."""
        facts = [
            ("rows", len(self.scores)),
            ("with a score", int((~np.isnan(self.scores)).sum())),
            ("threshold", figure(self.threshold)),
            ("flagged", int(self.flagged.sum())),
            ("events", len(self.events)),
        ]
        about = html_table(f"{type(self.detector).__name__}: {self.table.source}", facts)
        if not self.events:
            return about
        names = self.table.entity_names
        worst = [
            (
                str(event.entity) if names is None else names[event.entity],
                f"{event.start} - {event.end}",
                event.flagged,
                figure(event.peak),
            )
            for event in self.events[:_SHOWN_EVENTS]
        ]
        header = ("entity", "rows", "flagged", "peak")
        return about + html_table("Worst events", worst, header=header)

    @cached_property
    def flagged(self) -> npt.NDArray[np.bool_]:
        """Rows that the detector's rule flags, [S]; never one without a score."""
        return self.detector.flag_rows(self.table, self.scores)

    @cached_property
    def events(self) -> list[Event]:
        """The events of the flagged rows, worst first.

        Their rows are those of `scores`, their entities those of ``table.entity_names``. None
        crosses a gap of the table, or from the rows before the test part into it.
        """
        test = self.part == "test"
        cuts = np.flatnonzero(test[1:] != test[:-1]) + 1
        bounds = np.union1d(self.table.offsets, cuts)
        found = find_events(
            self.flagged,
            self.scores,
            bounds,
            gap=self.event_gap,
            threshold=self._limits(bounds),
        )
        entities = self.table.entities
        if entities is None:
            entities = np.repeat(
                np.arange(len(self.table.offsets) - 1), np.diff(self.table.offsets)
            )
        return worst_first(event._replace(entity=int(entities[event.start])) for event in found)

    def _limits(self, bounds: npt.NDArray[np.int64]) -> float | npt.NDArray[np.float64] | None:
        """Return the threshold, or that of each segment between ``bounds``, if it is a value."""
        rule = self.detector.fitted_rule()
        if not isinstance(rule, PerEntityThreshold) or not rule.pooled.is_constant:
            return self.threshold
        names = self.table.segment_names()
        segments = np.searchsorted(self.table.offsets, bounds[:-1], side="right") - 1
        limits = {name: rule.for_entity(name).threshold for name in set(names)}
        return np.array([limits[names[segment]] for segment in segments.tolist()])


def why_no_score(rows: Rows, detector: Detector) -> str:
    """Return why no row of a file has a score."""
    longest = int(np.diff(rows.offsets).max(initial=0))
    return (
        f"no row has a score: a window takes {detector.shortest_series()} rows without missing "
        f"cells, the longest segment has {longest}"
    )


def check_key_names(options: TableOptions) -> None:
    """Refuse key columns that a column of the scores file would overwrite."""
    for flag, name in (("--time", options.time), ("--entity", options.entity)):
        if name in _OUTPUT_COLUMNS:
            raise ValueError(
                f"{flag}: column {name!r} has the name of a column of the scores file; rename it"
            )


def refuse_overwriting(out: Path, *inputs: Path | None) -> None:
    """Refuse an input file that a file of the results would replace."""
    names = (
        *("scores.csv", "scores.parquet", "scores.png", "events.csv"),
        *("report.json", "report.html", "retrain.json"),
    )
    results = {(out / name).resolve() for name in names}
    for given in inputs:
        if given is not None and given.resolve() in results:
            raise ValueError(f"--out: its {given.name} would replace the input {given}")


def summarise_data(table: Rows, part: npt.NDArray[Any], *, max_gap: str | None) -> dict[str, Any]:
    """Return what was read: features, rows, entities, rows of each part, and gaps.

    ``max_gap`` is the option that gaps were looked for with; None: they were not.
    """
    return table.summary() | {"parts": summarise_parts(part), "max_gap": max_gap}


def count_too_large(detector: Detector, rows: Rows) -> dict[str, int]:
    """Return how many cells of a file are too large for the scores, for the facts of its data."""
    return {"too_large_cells": int(detector.too_large_cells(rows).sum())}


def summarise_parts(part: npt.NDArray[Any]) -> dict[str, int]:
    """Count rows per part."""
    return {name: int((part == name).sum()) for name in PARTS}


def parameters(detector: Detector) -> dict[str, Any]:
    """Return the parameters of a detector and of its members, as JSON has them or as text."""
    found: dict[str, Any] = {}
    for name, value in detector.get_params().items():
        if name.rsplit("__", 1)[-1] in {"members", "progress"} or hasattr(value, "score_rows"):
            continue
        items = list(value) if isinstance(value, tuple) else value
        plain = items is None or isinstance(items, (bool, int, float, str, list))
        found[name] = items if plain else str(items)
    return found


def machine(plan: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return versions, the processor and, where a network scored, its plan.

    The plan is that of `slidecell.SequenceModel.plan`: kernel, instruction set, threads.
    """
    facts = {"versions": versions(), "platform": platform.platform(), "processor": cpu_name()}
    return facts if plan is None else facts | {"plan": dict(plan)}


def judge(
    table: Rows,
    scores: npt.NDArray[np.floating[Any]],  # [S]
    part: npt.NDArray[np.bool_],  # [S]
    rule: Mapping[str, Any] | None,
    flags: npt.NDArray[np.bool_] | None,  # [S]
) -> dict[str, Any]:
    """Compare the scores of a part with its labels: at the rule's value, or else by its flags.

    Without a rule the threshold is the oracle's.
    """
    assert table.labels is not None  # or there is nothing to compare with
    known = part & (table.labels >= 0)
    limit = None if rule is None else rule.get("value")
    return evaluate(
        table.labels[known],
        scores[known],
        threshold=limit,
        flags=None if flags is None or limit is not None else flags[known],
        offsets=np.concatenate(([0], np.cumsum(known)))[table.offsets],
    ).to_dict()


def judge_result(result: Result) -> dict[str, Any] | None:
    """Compare scores with the labels of the test part; None without labels or a rule."""
    rule = result.detector.threshold_state()
    test = result.part == "test"
    if result.table.labels is None or rule is None:
        return None
    return judge(result.table, result.scores, test, rule, result.flagged)


def compare_rate(result: Result) -> dict[str, Any] | None:
    """Compare the rate that was asked with that of the test part; None without such a rule.

    Rows that are labelled as anomalies do not count, as they are what is looked for. All rows take
    the place of a test part that has no score.

    Returns
    -------
    dict
        The fields of `slidecell.thresholds.RateSeen`, and ``part``, the rows in words.
    """
    chosen, name = judged_rows(result)
    if result.table.labels is not None:
        normal = result.table.labels != 1
        if (chosen & normal & ~np.isnan(result.scores)).any():
            chosen = chosen & normal
            name += " without its labelled rows" if (~normal).any() else ""
    found = result.detector.rate_seen(result.table, result.scores, chosen)
    return None if found is None else {**found._asdict(), "part": name}


def default_event_gap(detector: Detector) -> int:
    """Return the gap between the flags of one event where none is asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import RollingVarianceDetector, ZScoreDetector
    >>> from slidecell.jobs.results import default_event_gap
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> detectors = (ZScoreDetector(), RollingVarianceDetector(window=30))
    >>> [default_event_gap(detector.fit(X)) for detector in detectors]
    [0, 29]
    """
    return detector.event_gap()


def judged_rows(result: Result) -> tuple[npt.NDArray[np.bool_], str]:
    """Return the rows [S] of the test part and its name; all rows where none of it has a score."""
    test: npt.NDArray[np.bool_] = result.part == "test"
    chosen = np.ones(len(test), np.bool_) if np.isnan(result.scores[test]).all() else test
    return chosen, "all rows" if chosen.all() else "the test part"


def count_flagged(result: Result) -> dict[str, dict[str, int]]:
    """Rows, scored rows and flagged rows per part."""
    counts = {}
    scored, flagged = ~np.isnan(result.scores), result.flagged
    for name in PARTS:
        here = result.part == name
        counts[name] = {
            "rows": int(here.sum()),
            "scored": int((here & scored).sum()),
            "flagged": int((here & flagged).sum()),
        }
    return counts
