"""``python -m benchmarks.low_errors DATA``: what ``precision="low"`` costs on trained networks.

DATA has the folders ``asd`` and ``smd`` that `slidecell.datasets` loads. On each series, and on
`datasets.ensemble_series`, a forecaster is trained with a fixed seed; then the test part is scored
at ``"highest"`` and ``"low"``. A row of the table: percentiles of the difference over the 95th
percentile of the exact scores, and the ROC-AUC of both against the labels and of ``"low"`` against
the one percent of rows that are highest exactly.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import slidecell as sc
from benchmarks.trained_nets import trained
from slidecell import datasets
from slidecell.bench.report import markdown
from slidecell.evaluate import roc_auc

SERIES = ("omi-1", "machine-1-6", "ensemble")
CELLS = ("lstm", "gru")
WINDOWS = (7, 32, 50)
TRAINED_ROWS = 6000


@dataclass(frozen=True)
class Errors:
    """Of one network's scores at ``"low"``."""

    p99: float  # of the differences, over the 95th percentile of the exact scores
    largest: float
    auc: float | None  # of the exact scores against the labels, None with labels of one class
    auc_change: float | None
    top_auc: float | None  # of "low" against the highest percent of exact scores


def scaled_parts(folder: Path, name: str) -> tuple[npt.NDArray[np.float32], ...]:
    """Return training rows and test rows within the range of the former, and the test's labels."""
    if name == "ensemble":
        whole = datasets.ensemble_series()
        half = len(whole.series) // 2
        train, test, labels = whole.series[:half], whole.series[half:], whole.label[half:]
    else:
        asd = name.startswith("omi")
        load = datasets.load_asd if asd else datasets.load_smd
        found = load(folder / ("asd" if asd else "smd"), name)
        train, test, labels = found.train, found.test, found.test_label
    low, span = train.min(0), np.ptp(train, axis=0)
    span = np.where(span > 0, span, 1)
    scale = [((rows - low) / span).astype(np.float32) for rows in (train, test)]
    return scale[0], scale[1], np.asarray(labels, np.float32)


def errors_of(model: sc.SequenceModel, rows: npt.ArrayLike, labels: npt.ArrayLike) -> Errors:
    """Score at both precisions and compare."""
    exact, low = model.score(rows), model.score(rows, precision="low")
    scored = np.isfinite(exact)
    exact, low, truth = exact[scored], low[scored], np.asarray(labels)[scored]
    difference = np.abs(low - exact) / np.percentile(exact, 95)
    top = exact >= np.percentile(exact, 99)
    auc, low_auc = roc_auc(truth, exact), roc_auc(truth, low)
    return Errors(
        float(np.percentile(difference, 99)),
        float(difference.max()),
        auc,
        None if auc is None or low_auc is None else low_auc - auc,
        roc_auc(top, low),
    )


def measured(
    folder: Path, names: Sequence[str], units: int, epochs: int, windows: Sequence[int]
) -> Iterator[tuple[str, Errors]]:
    """Yield the name of every case and its errors."""
    for name in names:
        train, test, labels = scaled_parts(folder, name)
        for cell in CELLS:
            for window in windows:
                model = trained(
                    train[-TRAINED_ROWS:], cell, window, units, epochs=epochs, batch_size=128
                )
                yield f"{name}, {cell} {units}, W={window}", errors_of(model, test, labels)


def line(case: str, errors: Errors) -> list[str]:
    """Return a row of the table."""
    auc = "-" if errors.auc is None else f"{errors.auc:.4f}"
    change = "-" if errors.auc_change is None else f"{errors.auc_change:+.1e}"
    top = "-" if errors.top_auc is None else f"{1 - errors.top_auc:.1e}"
    return [case, f"{errors.p99:.2%}", f"{errors.largest:.2%}", auc, change, top]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.low_errors", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--series", nargs="+", default=list(SERIES), choices=SERIES)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--windows", type=int, nargs="+", default=list(WINDOWS))
    given = parser.parse_args(arguments)
    lines = [
        ["case", "p99 / p95", "largest / p95", "ROC-AUC", "its change", "1 - AUC of the top 1 %"]
    ]
    for case, errors in measured(
        given.data, given.series, given.units, given.epochs, given.windows
    ):
        lines.append(line(case, errors))
        print(*lines[-1], sep="  ", flush=True)
    print(markdown(lines))


if __name__ == "__main__":
    main()
