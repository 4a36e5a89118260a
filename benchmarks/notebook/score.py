"""Scores of every window: the notebook's ways on a sample, slidecell on the whole series.

Each way begins with users in a frame and ends with a number per window. The notebook's ways run on
a sample of the users, but look for them in the whole frame as there. The NumPy cell gets its
windows ready made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

import slidecell as sc
from benchmarks.networks import LastStep
from benchmarks.notebook import ways
from benchmarks.notebook.ways import WINDOW
from benchmarks.sampled_truth import largest_error, sample, true_scores
from slidecell.bench.timer import interleaved
from slidecell.bench.workloads import Floats, Ints, window_starts
from slidecell.training import seeded, torch_threads

OURS = "slidecell, whole series"
BY_USER = "DataLoader + torch, windows by user as there"
BY_OFFSETS = "DataLoader + torch, users' rows known"
CELL = "NumPy cell, windows given"

_CHECKED = 1_000  # windows of the whole series, beside all of the sample


@dataclass(frozen=True)
class Users:
    """Rows of users, one after the other, and the frame that says whose they are."""

    frame: pd.DataFrame  # column user [S]
    rows: Floats  # [S, F], scaled
    offsets: Ints  # [G+1]
    names: list[str]  # [G]

    def first(self, users: int) -> Users:
        """Return the first ones."""
        users = min(users, len(self.names))
        end = int(self.offsets[users])
        return Users(
            self.frame.iloc[:end], self.rows[:end], self.offsets[: users + 1], self.names[:users]
        )

    @property
    def windows(self) -> int:
        """Windows that have a row after them."""
        return len(window_starts(self.offsets, WINDOW + 1))


@dataclass(frozen=True)
class Scored:
    """One way to score, timed."""

    case: str
    threads: int
    contestant: str
    windows: int  # per call
    seconds: list[float]  # per call, one figure per round
    ratio: float  # of ours: windows/s over this one's, median of the rounds
    max_error: float | None  # against float64
    right: bool

    @property
    def rate(self) -> float:
        """Windows per second, median."""
        return self.windows / median(self.seconds)


@dataclass(frozen=True)
class ScoreEffort:
    """How much of the data each way gets."""

    rounds: int
    users: int  # scored by ours; a wide or deep network gets an eighth
    sample_users: int  # scored the notebooks' way
    cell_windows: int  # scored by the NumPy cell


def score_case(
    name: str, config: Mapping[str, Any], data: Users, threads: int, effort: ScoreEffort
) -> list[Scored]:
    """Time every way in turn, `effort.rounds` times, and check every answer."""
    with seeded(0):
        module = ways.network(config, data.rows.shape[1]).eval()
    wide = config.get("num_layers", 1) > 1 or config["hidden_size"] > 64
    whole = data.first(max(1, effort.users // 8) if wide else effort.users)
    few = data.first(min(effort.sample_users, len(whole.names)))
    x, y = ways.windows_by_offsets(few.rows, few.offsets)
    cell_windows = min(effort.cell_windows, len(x))
    runs = _runs(module, data, whole=whole, few=few, threads=threads)
    windows = {OURS: whole.windows, BY_USER: len(x), BY_OFFSETS: len(x)}
    if config["cell"] == "lstm" and config.get("num_layers", 1) == 1:
        cell = ways.NumpyCell(module)
        runs[CELL] = partial(cell.scores, x[:cell_windows], y[:cell_windows])
        windows[CELL] = cell_windows
    answers = {way: run() for way, run in runs.items()}
    checks = _check(module, whole, few, answers)
    timed = interleaved(runs, repeats=effort.rounds)
    seconds = {way: found.seconds for way, found in timed.items()}
    mine = [windows[OURS] / s for s in seconds[OURS]]
    return [
        Scored(
            case=name,
            threads=threads,
            contestant=way,
            windows=windows[way],
            seconds=taken,
            ratio=median(m * s / windows[way] for m, s in zip(mine, taken, strict=True)),
            max_error=checks[way][0],
            right=checks[way][1],
        )
        for way, taken in seconds.items()
    ]


def _runs(
    module: LastStep, data: Users, *, whole: Users, few: Users, threads: int
) -> dict[str, Callable[[], Any]]:
    """Return the ways that begin with users in a frame and end with a score per window."""
    model = sc.SequenceModel.from_torch(module, window=WINDOW)

    def ours() -> Floats:
        offsets = sc.entity_offsets(whole.frame["user"])
        return model.score(whole.rows, offsets, num_threads=threads)

    def theirs(windows: Callable[[], tuple[Floats, Floats]]) -> Floats:
        with torch_threads(threads):
            return ways.loader_scores(module, ways.loader(*windows()))

    by_user = partial(ways.windows_by_user, data.frame, data.rows, few.names)
    by_offsets = partial(ways.windows_by_offsets, few.rows, few.offsets)
    return {OURS: ours, BY_USER: partial(theirs, by_user), BY_OFFSETS: partial(theirs, by_offsets)}


def _check(
    module: LastStep, whole: Users, few: Users, answers: Mapping[str, Any]
) -> dict[str, tuple[float | None, bool]]:
    """Return the largest error of each way: on the sample, ours on the whole series, too."""
    starts = window_starts(few.offsets, WINDOW + 1)
    truth = true_scores(module, few.rows, starts, WINDOW)
    further = sample(whole.offsets, WINDOW + 1, _CHECKED)
    whole_truth = true_scores(module, whole.rows, further, WINDOW)
    found = {}
    for way, answer in answers.items():
        if way == OURS:
            rows = np.concatenate((starts, further)) + WINDOW
            error, right = largest_error(answer[rows], np.concatenate((truth, whole_truth)))
            found[way] = error, right and int(np.isfinite(answer).sum()) == whole.windows
        else:
            expected = truth[: len(answer)] if way == CELL else truth
            found[way] = largest_error(answer, expected)
    return found
