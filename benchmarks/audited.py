"""Wrong flags of `SequenceModel.flag` on trained nets, what it computes again, and its speed.

``python -m benchmarks.audited DATA`` prints one line per series, cell, window, threshold and
method. DATA is a folder with ``asd/``, ``smd/`` and ``smap_msl/channels/``, each series an ``.npz``
of ``train`` and ``test`` rows. Rows are scaled to the range of the training rows; test rows are
repeated with noise of 1 % of that range where a series is shorter than ``--rows``. Nets are trained
on the last 8,000 training rows with a fixed seed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.trained_nets import trained
from slidecell.bench.workloads import Floats

FOLDERS = ("asd", "smd", "smap_msl/channels")
TRAINED_ROWS = 8000
NOISE = 0.01  # of the range of a column
HEADER = (
    "series        cell  W    method   threshold  missed  false  bound  exact %   seam p99"
    "  x exact  how"
)


def series_of(data: Path, name: str, length: int) -> tuple[Floats, Floats]:
    """Return training rows, and test rows repeated to `length`, both scaled."""
    paths = [data / folder / f"{name}.npz" for folder in FOLDERS]
    file = np.load(next(path for path in paths if path.is_file()))
    train, test = file["train"].astype(np.float64), file["test"].astype(np.float64)
    low, span = train.min(axis=0), np.ptp(train, axis=0)
    span[span == 0] = 1
    repeats = -(-length // len(test))
    many = np.tile((test - low) / span, (repeats, 1))[: max(length, len(test))]
    many[len(test) :] += np.random.default_rng(0).normal(0, NOISE, many[len(test) :].shape)
    return ((train - low) / span).astype(np.float32), many.astype(np.float32)


def thresholds(exact: Floats) -> Iterator[tuple[str, float]]:
    """Return percentiles of the exact scores, and thresholds that are hard to get right."""
    scores = np.sort(exact[~np.isnan(exact)]).astype(np.float64)
    for percentile in (95.0, 99.0, 99.9):
        yield f"p{percentile:g}", float(np.percentile(scores, percentile))
    rank = int(0.98 * len(scores))
    yield "on a score", float(scores[rank])
    gaps = np.diff(scores[rank - 500 : rank + 500])
    near = rank - 500 + int(np.argmin(np.where(gaps > 0, gaps, np.inf)))
    yield "between", float((scores[near] + scores[near + 1]) / 2)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and the seconds it took."""
    begin = time.perf_counter()
    result = call()
    return result, time.perf_counter() - begin


def lines(model: Any, rows: Floats, audit: int, methods: list[str]) -> Iterator[str]:
    """Return one line for each threshold and method."""
    exact, usual = timed(lambda: model.score(rows))
    for name, threshold in thresholds(exact):
        truth = exact.astype(np.float64) > threshold
        for method in methods:
            flags, seconds = timed(
                lambda t=threshold, m=method: model.flag(rows, t, audit=audit, speculate=m)
            )
            missed = int((truth & ~flags.flagged).sum())
            false = int((flags.flagged & ~truth).sum())
            found = flags.audit
            yield (
                f"{method:8} {name:10} {missed:6} {false:6} {found.wrong_at_most:6.0f}"
                f" {100 * found.share_recomputed:8.2f} {found.seam_p99:10.1e}"
                f" {usual / seconds:8.1f}  {found.method}"
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--series", nargs="+", default=["omi-1", "machine-1-6", "P-1"])
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru"])
    parser.add_argument("--windows", nargs="+", type=int, default=[32, 50, 100])
    parser.add_argument("--methods", nargs="+", default=["carried", "medium", "auto"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--hidden-size", type=int, default=64)
    parser.add_argument("--audit", type=int, default=1024)
    given = parser.parse_args(arguments)
    print(HEADER, flush=True)
    for name in given.series:
        train, rows = series_of(given.data, name, given.rows)
        for cell in given.cells:
            for window in given.windows:
                model = trained(
                    train[-TRAINED_ROWS:],
                    cell,
                    window,
                    given.hidden_size,
                    epochs=given.epochs,
                    batch_size=128,
                    patience=5,
                )
                for line in lines(model, rows, given.audit, given.methods):
                    print(f"{name:13} {cell:5} {window:<4} {line}", flush=True)


if __name__ == "__main__":
    main()
