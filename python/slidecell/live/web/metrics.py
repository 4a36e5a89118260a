"""Metrics of a live run in Prometheus' form."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from slidecell import __version__
from slidecell.live.web.counts import Counts, EntityCounts, Histogram, Totals

__all__ = ["ColumnDrift", "DriftNow", "RunMetrics", "drift_families", "exposition", "make_registry"]

REASONS = ("malformed", "out of order")


class RunMetrics(Collector):  # type: ignore[misc]
    """Turns counts into metrics whenever they are asked for.

    Parameters
    ----------
    counts : Counts
    entities : callable
        Returns how many entities there are.
    state : Path, optional
        The file of the state, whose age is told.
    drift : callable, optional
        Returns how recent rows differ from those of training, or None.
    """

    def __init__(
        self,
        counts: Counts,
        *,
        entities: Callable[[], int],
        state: Path | None = None,
        drift: Callable[[], DriftNow | None] | None = None,
    ) -> None:
        self._counts, self._entities = counts, entities
        self._state, self._drift = state, drift

    def collect(self) -> Iterator[Any]:
        """Yield all families of metrics."""
        totals = self._counts.totals()
        yield InfoMetricFamily("slidecell", "The program", {"version": __version__})
        yield from self._lines(totals)
        yield _histogram(
            "score", "Scores of rows, smoothed as the threshold takes them", totals.score
        )
        yield _histogram("push_seconds", "Time to score a row", totals.push)
        yield from self._gauges(totals)
        drift = None if self._drift is None else self._drift()
        if drift is not None:
            yield from drift_families(drift)
        if totals.entities:
            yield from _of_entities(totals.entities)

    def _lines(self, totals: Totals) -> Iterator[Any]:
        for name, about, value in (
            ("rows", "Rows that were scored", totals.rows),
            (
                "scores",
                "Rows that have a score: all but those whose window is not full",
                totals.scores,
            ),
            ("alarms", "Rows that were flagged", totals.alarms),
            ("events", "Events that have begun", totals.events),
            ("missing_rows", "Rows that were lost and count as missing", totals.missed),
        ):
            yield CounterMetricFamily(f"slidecell_{name}", about, value)
        skipped = CounterMetricFamily(
            "slidecell_skipped_lines", "Lines that could not be used", labels=["reason"]
        )
        for reason in REASONS:
            skipped.add_metric([reason.replace(" ", "_")], totals.skipped[reason])
        yield skipped

    def _gauges(self, totals: Totals) -> Iterator[Any]:
        now = time.time()
        found: list[tuple[str, str, float | None]] = [
            ("open_events", "Events that have begun and not ended", totals.open_events),
            ("entities", "Entities that had rows", self._entities()),
            (
                "threshold",
                "Threshold that the last row's score was compared with",
                totals.threshold,
            ),
            ("start_time_seconds", "Start of the run since 1970", self._counts.started),
            ("last_row_time_seconds", "When the last row came, since 1970", totals.last_row),
            ("state_age_seconds", "Age of the saved state", _age(self._state, now)),
        ]
        for name, about, value in found:
            if value is not None:
                yield GaugeMetricFamily(f"slidecell_{name}", about, value)


class ColumnDrift(NamedTuple):
    """How the recent values of one column differ from those of training, as `Drift` says it."""

    name: str
    level: float
    spread: float
    outside: float
    missing: float
    distance: float
    stability: float


class DriftNow(NamedTuple):
    """How recent rows differ from those of training.

    Attributes
    ----------
    advice : {"fine", "watch", "retrain"}
    rows : int
        Recent rows that were compared.
    columns : list of ColumnDrift
        Those that are told: the farthest from training, where there are many.
    """

    advice: str
    rows: int
    columns: list[ColumnDrift]


def make_registry(metrics: RunMetrics) -> CollectorRegistry:
    """Return what is served: the run's metrics, and the process's memory and time."""
    registry = CollectorRegistry()
    registry.register(metrics)
    ProcessCollector(registry=registry)
    return registry


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return all metrics as text and its content type, in the form that a client accepts."""
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


def _histogram(name: str, about: str, found: Histogram) -> Any:
    total = found.counts.cumsum().tolist()
    bounds = [f"{bound:g}" for bound in found.bounds.tolist()] + ["+Inf"]
    buckets = list(zip(bounds, total, strict=True))
    return HistogramMetricFamily(f"slidecell_{name}", about, buckets, found.sum)


def drift_families(found: DriftNow) -> Iterator[Any]:
    """Yield the metrics of how recent rows differ from those of training."""
    advice = GaugeMetricFamily(
        "slidecell_drift_advice", "1 for the advice that holds", labels=["advice"]
    )
    for text in ("fine", "watch", "retrain"):
        advice.add_metric([text], float(text == found.advice))
    yield advice
    yield GaugeMetricFamily("slidecell_drift_rows", "Recent rows that were compared", found.rows)
    for field, name, about in (
        ("level", "level_sd", "Shift of a column in standard deviations of training"),
        ("spread", "spread_ratio", "Spread of a column, as a multiple of training's"),
        ("outside", "outside_ratio", "Share of values outside the range of training"),
        ("missing", "missing_ratio", "Share of missing values, less that of training"),
        ("distance", "distance", "Greatest difference of the distributions (Kolmogorov, Smirnov)"),
        ("stability", "stability_index", "Population stability index"),
    ):
        gauge = GaugeMetricFamily(f"slidecell_drift_{name}", about, labels=["column"])
        for column in found.columns:
            gauge.add_metric([column.name], getattr(column, field))
        yield gauge


def _of_entities(found: dict[str, EntityCounts]) -> Iterator[Any]:
    rows = CounterMetricFamily("slidecell_entity_rows", "Rows of an entity", labels=["entity"])
    alarms = CounterMetricFamily(
        "slidecell_entity_alarms", "Flagged rows of an entity", labels=["entity"]
    )
    score = GaugeMetricFamily(
        "slidecell_entity_score", "Last score of an entity", labels=["entity"]
    )
    for name, counts in found.items():
        for family, value in ((rows, counts.rows), (alarms, counts.alarms), (score, counts.score)):
            family.add_metric([name], value)
    yield from (rows, alarms, score)


def _age(path: Path | None, now: float) -> float | None:
    """Return the seconds since a file was written; None where there is none."""
    try:
        return None if path is None else max(0.0, now - os.stat(path).st_mtime)
    except OSError:
        return None
