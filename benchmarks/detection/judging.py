"""Fit the detectors on a series' training part, score its test part, measure the scores."""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.detection.alarms import Counted, count_alarms, rule_of
from benchmarks.detection.contestants import DEFAULTS, RANDOM, Contestant, alignment
from benchmarks.detection.series import TsbFile
from slidecell.datasets import LabelledSeries
from slidecell.evaluate import default_vus_window, event_f1, pr_auc, vus
from slidecell.evaluate.curves import Ranking
from slidecell.evaluate.inputs import scored_part

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

# The greatest buffer of VUS-PR: flags up to half of it away from an anomaly count in part. One
# value for all series, so that the mean over a set is of one measure.
VUS_WINDOW = 100
_RANDOM_FLAGGED = 0.05  # of the rows, by the random score's own threshold


@dataclass(frozen=True)
class Found:
    """One detector on one series.

    `event_f1` is of the detector's own threshold, `event_f1_oracle` of the one with the best F1 by
    row on these very labels.
    """

    set: str
    series: str
    detector: str
    alignment: str
    vus_pr: float
    pr_auc: float
    event_f1: float
    event_f1_oracle: float
    vus_window: int
    rows: int
    fit_seconds: float  # of CPU time
    score_seconds: float


@dataclass(frozen=True)
class Job:
    """One series of a set, the greatest buffer that judges it (None: its own), and by whom.

    `submit` is where the scores of all rows are written.
    """

    set: str
    series: LabelledSeries | TsbFile
    vus_window: int | None = VUS_WINDOW
    contestants: tuple[Contestant, ...] = DEFAULTS
    name: str = ""
    seed: int = 0
    submit: Path | None = None

    @property
    def title(self) -> str:
        """The set and the name of the series."""
        return f"{self.set} {self.series.name}"

    @property
    def size(self) -> int:
        """About how much there is to do, to begin with the longest."""
        if isinstance(self.series, TsbFile):
            return self.series.path.stat().st_size
        return int(self.series.train.size)


@dataclass(frozen=True)
class Judged:
    """What became of a series: figures, or why there are none; faults are of files and detectors.

    What is left out is no fault: nothing can be measured there. Events are counted all the same.
    """

    found: list[Found] = field(default_factory=list)
    left_out: str = ""
    faults: list[str] = field(default_factory=list)
    counted: list[Counted] = field(default_factory=list)


@dataclass(frozen=True)
class _Scored:
    """The scores of one detector on the test rows."""

    scores: Floats
    flags: Bools
    alignment: str
    fit_seconds: float
    score_seconds: float


def judge(job: Job) -> Judged:
    """Return all detectors' figures on one series, from one thread."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    with threadpool_limits(1):
        return _judge(job)


def _judge(job: Job) -> Judged:
    try:
        series = job.series.read() if isinstance(job.series, TsbFile) else job.series
    except (ValueError, OSError) as error:
        return Judged(faults=[f"{job.title}: left out, {error}"])
    if (series.train == series.train[0]).all():
        return Judged(left_out=f"{job.title}: left out, no column of its training part varies")
    scored: dict[str, _Scored] = {}
    counted: list[Counted] = []
    faults: list[str] = []
    for contestant in job.contestants:
        try:
            detector, scored[contestant.title] = _score(contestant, series, job.seed)
            alarms = count_alarms(detector, series, scored[contestant.title].scores, job.seed)
            counted.append(Counted(job.set, series.name, contestant.title, alarms))
        except Exception as error:  # one that fails says so, and the others go on
            faults.append(f"{job.title}: {contestant.title}: {type(error).__name__}: {error}")
    if not scored:
        return Judged(left_out=f"{job.title}: left out, no detector scores it", faults=faults)
    if job.submit is not None:
        for title, own in scored.items():
            write_scores(job.submit, title, job.name or series.name, own.scores)
    draws = np.random.default_rng(job.seed).random(len(series.test))
    scored[RANDOM] = _Scored(draws, draws > 1 - _RANDOM_FLAGGED, "-", 0.0, 0.0)
    kept = ~np.isnan(np.stack([own.scores for own in scored.values()])).any(axis=0)
    labels = series.test_label[kept]
    if not kept.any():
        text = f"{job.title}: left out, no row is scored by all detectors"
        return Judged(left_out=text, faults=faults, counted=counted)
    if labels.min() == labels.max():
        text = f"{job.title}: left out, all rows that are judged have one label"
        return Judged(left_out=f"{text} ({labels[0]})", faults=faults, counted=counted)
    window = default_vus_window(labels) if job.vus_window is None else job.vus_window
    assert window is not None  # there is an anomaly
    found = [
        Found(
            job.set,
            series.name,
            title,
            own.alignment,
            *_measures(labels, own.scores[kept], own.flags[kept], window),
            window,
            int(kept.sum()),
            own.fit_seconds,
            own.score_seconds,
        )
        for title, own in scored.items()
    ]
    return Judged(found, faults=faults, counted=counted)


def _score(contestant: Contestant, series: LabelledSeries, seed: int) -> tuple[Any, _Scored]:
    detector = contestant.make(seed)
    began = time.process_time()
    detector.fit(series.train)
    fitted = time.process_time()
    scores = np.asarray(detector.score_samples(series.test), np.float64)
    ended = time.process_time()
    if np.isnan(scores).all():
        raise ValueError("no row of the test part has a score")
    flags = rule_of(detector).apply(scores)
    found = _Scored(scores, flags, alignment(detector), fitted - began, ended - fitted)
    return detector, found


def _measures(
    labels: npt.NDArray[np.int64], scores: Floats, flags: Bools, window: int
) -> tuple[Any, Any, Any, Any]:
    """Return VUS-PR, PR-AUC and the event F1 at the detector's threshold and at the best F1."""
    part = scored_part(labels, scores)
    best = Ranking(part.scores, labels).best_threshold()
    return (
        vus(labels, scores, window)[1],
        pr_auc(labels, scores),
        event_f1(labels, flags),
        event_f1(labels, part.scores > best),
    )


def write_scores(folder: Path, detector: str, name: str, scores: Floats) -> None:
    """Write ``FOLDER/DETECTOR/NAME.csv``: row, counted from 0 in the test part, and score.

    The score of a row without one is left blank.
    """
    path = folder / "".join(c if c.isalnum() or c in "-_.=" else "_" for c in detector)
    path = path / f"{name.removesuffix('.csv')}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["row", "score"])
        for row, score in enumerate(scores.tolist()):
            lines.writerow([row, "" if math.isnan(score) else repr(score)])


def run(jobs: Sequence[Job], processes: int) -> list[Judged]:
    """Judge all series, the longest first; prints a line for each detector of each."""
    ordered = sorted(jobs, key=lambda job: -job.size)
    results: list[Judged] = []
    with (
        ProcessPoolExecutor(processes, get_context("spawn")) as pool,
        _bar(len(ordered)) as advance,
    ):
        for count, result in enumerate(pool.map(judge, ordered), start=1):
            results.append(result)
            print("\n".join(lines_of(result, f"{count}/{len(ordered)}")), flush=True)
            advance()
    return results


def lines_of(result: Judged, place: str) -> Iterator[str]:
    """Yield what there is to say about one series."""
    yield from (f"{place} failed: {fault}" for fault in result.faults)
    if result.left_out:
        yield f"{place} {result.left_out}"
    if result.found:
        first = result.found[0]
        about = f"{first.rows} rows, buffers up to {first.vus_window}"
        yield f"{place} {first.set} {first.series} ({about})"
        width = max(len(found.detector) for found in result.found)
    for found in result.found:
        yield (
            f"    {found.detector:{width}} {found.alignment:5}  VUS-PR {found.vus_pr:.3f}  "
            f"PR-AUC {found.pr_auc:.3f}  event F1 {found.event_f1:.3f} "
            f"(oracle {found.event_f1_oracle:.3f})  "
            f"{found.fit_seconds:.2f} + {found.score_seconds:.2f} s"
        )


@contextmanager
def _bar(total: int) -> Iterator[Any]:
    """Show a bar on a terminal's stderr; yield what moves it on."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    # Lines go through the bar only where both are on the terminal.
    lines = sys.stdout.isatty()
    off = not console.is_terminal
    with Progress(console=console, redirect_stdout=lines, transient=True, disable=off) as bar:
        task = bar.add_task("series", total=total)
        yield lambda: bar.advance(task)
