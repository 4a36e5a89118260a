"""``python -m benchmarks.detector_streams``: a row in the streams of all detectors, microseconds.

Eight features, defaults of every detector, one thread, through Python. ``one entity`` is the median
processor time of `push`, with what the row before it left to do; ``1,000 entities`` that of a
`push_many` of all of them, by row. The network alone is the stream of its model, without the
detector's. A second table has what it takes to name the columns of an event when it closes in
``slidecell stream``, by how many of its rows are flagged.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest

from benchmarks.command import add_json, conditions, print_conditions
from slidecell.bench.command import positive
from slidecell.bench.report import markdown, write_json
from slidecell.detect import (
    AutoencoderDetector,
    Detector,
    Ensemble,
    ForecastDetector,
    KMeansDetector,
    NeighborDetector,
    PCADetector,
    RandomGRUDetector,
    RidgeDetector,
    RollingVarianceDetector,
    SklearnDetector,
    WindowPCADetector,
    ZScoreDetector,
)
from slidecell.live.event_rows import EventRows
from slidecell.live.explainer import Explainer

FEATURES = 8
FLAGGED = (1, 10, 100)  # rows of an event; of more the highest 100 count
_SLOW = {"sklearn": 100, "neighbors": 10}  # times fewer pushes


def detectors() -> Iterator[tuple[str, Detector]]:
    """Yield unfitted detectors, each on one thread; a network's weights change no time."""
    one: dict[str, Any] = {"num_threads": 1}
    drawn: dict[str, Any] = {"random_state": 0}
    network: dict[str, Any] = {"epochs": 1, **one, **drawn}
    yield "forecast", ForecastDetector(**network)
    yield "autoencoder", AutoencoderDetector(**network)
    yield "kmeans", KMeansDetector(**one, **drawn)
    yield "window-pca", WindowPCADetector(**one)
    yield "ridge", RidgeDetector(**one)
    yield "neighbors", NeighborDetector(**one)
    yield "random-gru", RandomGRUDetector(**one, **drawn)
    yield "pca", PCADetector()
    yield "zscore", ZScoreDetector()
    yield "variance", RollingVarianceDetector()
    yield "sklearn", SklearnDetector(IsolationForest(n_estimators=300, random_state=0))
    windows = [("kmeans", KMeansDetector(**one, **drawn)), ("window-pca", WindowPCADetector(**one))]
    for name, first in (("forecast", ForecastDetector(**network)), ("ridge", RidgeDetector(**one))):
        yield f"ensemble of {name}, kmeans, window-pca", Ensemble([(name, first), *windows], "z")


def series(rows: int) -> np.ndarray:
    """Waves with noise: float64 [S, F]."""
    waves = np.sin(np.arange(rows)[:, None] / np.linspace(3, 9, FEATURES))
    return waves + np.random.default_rng(0).normal(0.0, 0.1, waves.shape)


def median_us(call: Callable[[int], object], n: int) -> float:
    """Return the median time of calls that this thread has run, after a few that do not count."""
    for i in range(min(n, 100)):
        call(i)
    us = np.empty(n)
    for i in range(n):
        start = time.thread_time_ns()
        call(i)
        us[i] = (time.thread_time_ns() - start) / 1e3
    return float(np.median(us))


def measure(name: str, make: Any, rows: np.ndarray, pushes: int, entities: int) -> dict[str, Any]:
    """Return the times of the streams that ``make(num_entities)`` makes."""
    one, many = make(1), make(entities)
    ids = np.arange(entities)
    batches = [np.roll(rows, i, axis=0)[:entities] for i in range(4)]
    n = max(pushes // _SLOW.get(name, 1), 3)
    single = median_us(lambda i: one.push(rows[i % len(rows)]), n)
    calls = max(n // 100, 3)
    together = median_us(lambda i: many.push_many(ids, batches[i % 4], num_threads=1), calls)
    return {
        "case": name,
        "push_us": single,
        "push_many_us": together / entities,
        "bytes_per_entity": one.bytes_per_entity,
    }


def naming_ms(detector: Detector, rows: np.ndarray) -> dict[str, float] | None:
    """Return what naming an event's columns takes, by its flagged rows; None if it names none."""
    explainer = Explainer.of(detector)
    if explainer is None:
        return None
    found = {}
    for flagged in FLAGGED:
        ms = []
        for _ in range(7):
            kept = EventRows(explainer)
            for number, row in enumerate(rows[: explainer.rows + max(FLAGGED)], 1):
                kept.add(row.tobytes())
                if number > explainer.rows + max(FLAGGED) - flagged:
                    kept.flagged(float(number))
            start = time.thread_time_ns()
            kept.close()
            ms.append((time.thread_time_ns() - start) / 1e6)
        found[str(flagged)] = float(np.median(ms))
    return found


def cases(pushes: int, entities: int) -> Iterator[dict[str, Any]]:
    """Yield the times of each detector, and of a network alone."""
    rows = series(max(entities, 2000))
    for name, detector in detectors():
        detector.fit(rows)
        model = detector.scoring_model
        if model is not None:
            yield measure(f"{name}, the network alone", model.stream, rows, pushes, entities)
        own = measure(name, detector.stream, rows, pushes, entities)
        yield {**own, "naming_ms": naming_ms(detector, rows)}


def table(rows: Iterable[dict[str, Any]], entities: int) -> str:
    """Return the cases as a table."""
    lines = [("stream of", "one entity", f"{entities:,} entities", "bytes per entity")]
    for row in rows:
        times = (f"{row['push_us']:.1f}", f"{row['push_many_us']:.1f}")
        lines.append((row["case"], *times, f"{row['bytes_per_entity']:,}"))
    return markdown(lines)


def naming_table(rows: Iterable[dict[str, Any]]) -> str:
    """Return what naming the columns of events takes as a table."""
    lines = [("columns of an event", *(f"{n} flagged, ms" for n in FLAGGED))]
    for row in rows:
        found = row.get("naming_ms")
        if found is not None:
            lines.append((row["case"], *(f"{ms:.2f}" for ms in found.values())))
    return markdown(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all cases and print the table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detector_streams", description=__doc__
    )
    parser.add_argument("--pushes", type=positive, default=3000, help="rows of one entity")
    parser.add_argument("--entities", type=positive, default=1000, help="of push_many")
    add_json(parser)
    options = parser.parse_args(arguments)
    effort = f"{options.pushes:,} pushes"
    about = conditions("benchmarks.detector_streams", effort, 1, arguments=arguments)
    rows: list[dict[str, Any]] = []
    for row in cases(options.pushes, options.entities):
        rows.append(row)
        print(row["case"], file=sys.stderr)
    print(table(rows, options.entities))
    print(f"\n{naming_table(rows)}\n")
    print_conditions(about)
    if options.json:
        write_json(options.json, {"conditions": about, "rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
