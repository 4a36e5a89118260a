"""``python -m benchmarks.detection --data FOLDER``: detectors on labelled series, by VUS-PR.

The forecaster and the autoencoder run with untouched defaults beside two simple baselines and a
random score, on every channel or machine of SMAP, MSL, SMD and ASD that the folder holds. Each
detector is fitted on a series' training part and scores its test part; all are judged on the same
test rows, those that every detector scores.

VUS-PR depends on the greatest buffer. ``--vus-window 100``, the default, is that of the tables in
README.md and of results/detection.json, and ``evaluate(labels, scores, vus_window=100)`` gives the
same figure for one series. ``--vus-window auto`` is what `evaluate` takes without that argument:
the median length of the series' own anomalies, between 10 and 100 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import slidecell as sc
from slidecell import datasets
from slidecell.datasets import LabelledSeries
from slidecell.detect import AutoencoderDetector, ForecastDetector, PCADetector, ZScoreDetector
from slidecell.evaluate import default_vus_window, pr_auc, vus

# The greatest buffer of VUS-PR: flags up to half of it away from an anomaly count in part. One
# value for all series, so that the mean over a set is of one measure.
VUS_WINDOW = 100
AUTO = "auto"

DETECTORS: dict[str, Callable[[], Any]] = {
    "forecaster": lambda: ForecastDetector(random_state=0),
    "autoencoder": lambda: AutoencoderDetector(random_state=0),
    "z-score": ZScoreDetector,
    "PCA": PCADetector,
}
NETWORKS = ("forecaster", "autoencoder")
BASELINES = ("z-score", "PCA")
RANDOM = "random"


@dataclass(frozen=True)
class Found:
    """One detector on one series."""

    set: str
    series: str
    detector: str
    vus_pr: float
    pr_auc: float
    vus_window: int
    rows: int
    fit_seconds: float
    score_seconds: float


def labelled_sets(folder: Path) -> Iterator[tuple[str, LabelledSeries]]:
    """All series of the folder with the name of their set."""
    for name, load in (
        ("smap_msl", datasets.load_smap_msl),
        ("smd", datasets.load_smd),
        ("asd", datasets.load_asd),
    ):
        if (folder / name).is_dir():
            for series in load(folder / name):
                # SMAP's channels have 25 columns, MSL's 55.
                title = {"smap_msl": "SMAP" if series.test.shape[1] == 25 else "MSL"}
                yield title.get(name, name.upper()), series


@dataclass(frozen=True)
class Job:
    """One series of a set, and the greatest buffer that judges it (None: the series' own)."""

    set: str
    series: LabelledSeries
    vus_window: int | None = VUS_WINDOW


def judge(job: Job) -> list[Found] | str:
    """Return all detectors' figures on one series, from one thread; or why it is left out."""
    import torch

    torch.set_num_threads(1)
    title, series = job.set, job.series
    if (series.train == series.train[0]).all():
        return f"{title} {series.name}: left out, no column of its training part varies"
    scores: dict[str, npt.NDArray[np.float64]] = {}
    seconds: dict[str, tuple[float, float]] = {}
    for name, make in DETECTORS.items():
        detector = make()
        began = time.perf_counter()
        detector.fit(series.train)
        fitted = time.perf_counter()
        scores[name] = detector.score_samples(series.test)
        seconds[name] = fitted - began, time.perf_counter() - fitted
    scores[RANDOM] = np.random.default_rng(0).random(len(series.test))
    seconds[RANDOM] = 0.0, 0.0
    judged = np.isfinite(np.stack(list(scores.values()))).all(axis=0)
    labels = series.test_label[judged]
    if labels.min() == labels.max():
        return f"{title} {series.name}: left out, all rows that are judged have one label"
    window = default_vus_window(labels) if job.vus_window is None else job.vus_window
    return [
        Found(
            title,
            series.name,
            name,
            vus(labels, score[judged], window)[1],
            pr_auc(labels, score[judged]),
            window,
            int(judged.sum()),
            *seconds[name],
        )
        for name, score in scores.items()
    ]


def run(jobs: Sequence[Job], processes: int) -> list[Found]:
    """Judge all series, the longest first; prints a line for each."""
    ordered = sorted(jobs, key=lambda job: -job.series.train.size)
    found: list[Found] = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for count, results in enumerate(pool.map(judge, ordered), start=1):
            if isinstance(results, str):
                print(results)
                continue
            found += results
            values = ", ".join(f"{r.detector} {r.vus_pr:.3f}" for r in results)
            print(f"{count}/{len(ordered)} {results[0].set} {results[0].series}: {values}")
            sys.stdout.flush()
    return found


def table(found: Sequence[Found]) -> str:
    """Means per set, and on how many series each network loses to the better baseline."""
    names = [*DETECTORS, RANDOM]
    lines = [
        "| set (series) | " + " | ".join(names) + " | below a baseline |",
        "|---|" + "---|" * (len(names) + 1),
    ]
    for title in sorted({f.set for f in found}):
        here = [f for f in found if f.set == title]
        count = len({f.series for f in here})
        cells = [f"{title} ({count})"]
        for name in names:
            own = [f for f in here if f.detector == name]
            cells.append(
                f"{np.mean([f.vus_pr for f in own]):.3f} / {np.mean([f.pr_auc for f in own]):.3f}"
            )
        cells.append(", ".join(f"{name} {losses(here, name)}" for name in NETWORKS))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def losses(found: Sequence[Found], network: str) -> int:
    """Count the series on which a baseline's VUS-PR is above the network's."""
    value = {(f.series, f.detector): f.vus_pr for f in found}
    return sum(
        value[series, network] < max(value[series, name] for name in BASELINES)
        for series in {f.series for f in found}
    )


def buffer(text: str) -> int | None:
    """Return the buffer that ``--vus-window`` names; None for ``auto``."""
    if text == AUTO:
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of rows or {AUTO}, got {text!r}")
    return int(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with smap_msl, smd, asd")
    parser.add_argument("--only", default="", metavar="TEXT", help="series whose name has this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--vus-window",
        type=buffer,
        default=VUS_WINDOW,
        metavar="ROWS",
        help=f"greatest buffer of VUS-PR in rows, or {AUTO}: each series' own, as evaluate() "
        f"chooses it (default: {VUS_WINDOW}, as in README.md)",
    )
    options = parser.parse_args(arguments)
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json: expected a file in a folder that is there, got {options.json}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parse(arguments)
    jobs = [
        Job(title, series, options.vus_window)
        for title, series in labelled_sets(options.data)
        if options.only in series.name
    ]
    if not jobs:
        print(f"{options.data}: no series of SMAP, MSL, SMD or ASD found", file=sys.stderr)
        return 2
    began = time.perf_counter()
    found = run(jobs, options.processes)
    own = options.vus_window is None
    buffers = "each series' own buffer" if own else f"buffers up to {options.vus_window} rows"
    print(f"\nVUS-PR ({buffers}) / PR-AUC, mean over the series of each set\n")
    print(table(found))
    print(f"\nslidecell {sc.__version__}, {len(jobs)} series, {time.perf_counter() - began:.0f} s")
    if options.json:
        window = AUTO if own else options.vus_window
        report = {"vus_window": window, "found": [asdict(f) for f in found]}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
