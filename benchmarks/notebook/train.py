"""Training: architectures trained the notebook's way and ours, on the same windows.

Both begin with scaled rows and a column of users and end with the last validation loss. The
notebook cuts its list of windows at four fifths; ours gets the same windows, as rows on both sides
of the cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import mean, median
from time import perf_counter
from typing import Any

import numpy as np
import torch

import slidecell as sc
from benchmarks.networks import LastStep
from benchmarks.notebook import ways
from benchmarks.notebook.score import Users
from benchmarks.notebook.ways import BATCH_SIZE, LR, WINDOW, Loader
from slidecell.bench.progress import Progress
from slidecell.bench.workloads import Floats, Ints, window_starts
from slidecell.detect import search_architectures
from slidecell.training import Forecaster, History, fit, seeded, torch_threads

EPOCHS = 3
TRAIN_SHARE = 0.8
# Of the last validation loss, from equal initial weights: other orders of the batches moved it by
# 0.5 % at most where it was tried, other dropout masks by 3 % after a dozen steps.
LOSS_TOLERANCE = 0.05

Part = tuple[Floats, Ints]  # rows [S, F], offsets [G+1]


@dataclass(frozen=True)
class Trained:
    """One architecture, both ways."""

    case: str
    theirs: float  # seconds, without windows and loaders
    ours: float  # seconds, everything
    scaled_from: int  # batches of the notebook's that were timed; 0: all of them, no scaling
    their_loss: float | None  # None where not all batches were trained on
    our_loss: float
    right: bool


@dataclass(frozen=True)
class Training:
    """All architectures trained, and what comes before on the notebook's side."""

    users: int
    training_windows: int
    validation_windows: int
    threads: int
    by_user: float  # seconds to build the windows, as the source does
    users_timed: int  # of `users`, for that figure
    loaders: float  # seconds to copy windows to tensors
    cases: list[Trained] = field(default_factory=list)

    @property
    def theirs(self) -> float:
        """Seconds of the notebook, windows included."""
        return self.by_user + self.loaders + sum(case.theirs for case in self.cases)

    @property
    def ours(self) -> float:
        """Seconds of ours, everything included."""
        return sum(case.ours for case in self.cases)


def train_sampled(
    configs: Mapping[str, Mapping[str, Any]],
    data: Users,
    threads: int,
    *,
    batches: int,
    users_timed: int,
    steps: Progress,
) -> Training:
    """Train ours completely, and so many batches the notebook's way, half before ours, half after.

    The notebook's seconds are its median batch times the batches of three epochs, and three times
    what an epoch's first batch takes longer.
    """
    result, training, validation = _prepared(data, threads, users_timed)
    for name, config in configs.items():
        steps.begin(f"train {name}")
        with torch_threads(threads):
            module = _network(config, data.rows.shape[1])
            clock = _Clock(module, training, validation)
            clock.run(batches // 2)
            ours, history = fit_ours(config, data)
            clock.run(batches - batches // 2)
        result.cases.append(
            Trained(
                case=name,
                theirs=EPOCHS * clock.epoch_seconds(),
                ours=ours,
                scaled_from=clock.timed,
                their_loss=None,
                our_loss=history.validation_loss[-1],
                right=_same_windows(result, history),
            )
        )
        steps.end()
    return result


def train_complete(
    configs: Mapping[str, Mapping[str, Any]], data: Users, threads: int, *, steps: Progress
) -> Training:
    """Train both ways completely, from equal weights, and compare the last validation losses."""
    result, training, validation = _prepared(data, threads, len(data.names))
    for name, config in configs.items():
        steps.begin(f"train {name}")
        with torch_threads(threads):
            module = _network(config, data.rows.shape[1])
            began = perf_counter()
            with seeded(0):
                losses = ways.train(module, training, validation, EPOCHS)
            theirs = perf_counter() - began
            ours, history = fit_ours(config, data)
        mine = history.validation_loss[-1]
        result.cases.append(
            Trained(
                case=name,
                theirs=theirs,
                ours=ours,
                scaled_from=0,
                their_loss=losses[-1],
                our_loss=mine,
                right=_same_windows(result, history)
                and abs(mine - losses[-1]) <= LOSS_TOLERANCE * losses[-1],
            )
        )
        steps.end()
    return result


def fit_ours(config: Mapping[str, Any], data: Users) -> tuple[float, History]:
    """Train with `fit` on the windows before the cut; seconds and history."""
    began = perf_counter()
    training, validation = cut(data.rows, sc.entity_offsets(data.frame["user"]))
    forecaster = _forecaster(config, data.rows.shape[1])
    history = fit(forecaster, *training, validation=validation, **_options())
    return perf_counter() - began, history


def search_ours(
    configs: Mapping[str, Mapping[str, Any]], data: Users, processes: int
) -> tuple[float, list[float]]:
    """Train all with `search_architectures`, one thread each; seconds and validation losses."""
    began = perf_counter()
    training, validation = cut(data.rows, sc.entity_offsets(data.frame["user"]))
    found = search_architectures(
        configs, *training, window=WINDOW, validation=validation, n_jobs=processes, **_options()
    )
    return perf_counter() - began, [result.validation_loss for result in found.results]


def _options() -> dict[str, Any]:
    return {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "lr": LR, "seed": 0, "progress": False}


def cut(rows: Floats, offsets: Ints) -> tuple[Part, Part]:
    """Return rows of the first four fifths of the windows, and of the rest; they share a few."""
    starts = window_starts(offsets, WINDOW + 1)
    at = int(TRAIN_SHARE * len(starts))
    end, first = int(starts[at - 1]) + WINDOW + 1, int(starts[at])
    before = np.append(offsets[offsets < end], end)
    after = np.insert(offsets[offsets > first], 0, first)
    return (rows[:end], before), (rows[first:], after - first)


def _prepared(data: Users, threads: int, users_timed: int) -> tuple[Training, Loader, Loader]:
    """Build the windows as the source does, `users_timed` of the users timed, and its loaders."""
    timed = data.first(users_timed)
    began = perf_counter()
    built = ways.windows_by_user(data.frame, data.rows, timed.names)
    by_user = (perf_counter() - began) * len(data.names) / len(timed.names)
    complete = len(timed.names) == len(data.names)
    x, y = built if complete else ways.windows_by_offsets(data.rows, data.offsets)
    began = perf_counter()
    at = int(TRAIN_SHARE * len(x))
    training = ways.loader(x[:at], y[:at], shuffle=True)
    validation = ways.loader(x[at:], y[at:])
    loaders = perf_counter() - began
    result = Training(
        users=len(data.names),
        training_windows=at,
        validation_windows=len(x) - at,
        threads=threads,
        by_user=by_user,
        users_timed=len(timed.names),
        loaders=loaders,
    )
    return result, training, validation


def _same_windows(result: Training, history: History) -> bool:
    theirs = result.training_windows, result.validation_windows
    return theirs == (history.training_windows, history.validation_windows)


def _network(config: Mapping[str, Any], features: int) -> LastStep:
    """Make the notebook's network, with the weights that our `fit` draws."""
    module, forecaster = ways.network(config, features), _forecaster(config, features)
    with seeded(0):
        forecaster.reset_parameters()
    with torch.no_grad():
        for theirs, mine in zip(module.parameters(), forecaster.parameters(), strict=True):
            theirs.copy_(mine)
    return module


def _forecaster(config: Mapping[str, Any], features: int) -> Forecaster:
    with seeded(0):
        return Forecaster(features, window=WINDOW, **config)


class _Clock:
    """Times batches of an epoch the notebook's way, on one network that goes on learning."""

    def __init__(self, module: LastStep, training: Loader, validation: Loader) -> None:
        self._module = module
        self._optimizer = ways.adam(module)
        self._loaders = training, validation
        self._seconds: tuple[list[list[float]], list[list[float]]] = ([], [])
        self._steps(2)  # the first calls allocate and start threads

    def _steps(self, count: int) -> tuple[list[float], list[float]]:
        training, validation = self._loaders
        steps = ways.train_batches(self._module, self._optimizer, training)
        checks = ways.validation_batches(self._module, validation)
        return (
            ways.seconds_of_steps(steps, count),
            ways.seconds_of_steps(checks, max(2, count // 4)),
        )

    def run(self, count: int) -> None:
        """Time so many batches, at the start of an epoch, and a quarter as many that validate."""
        for kept, seconds in zip(self._seconds, self._steps(count), strict=True):
            kept.append(seconds)

    @property
    def timed(self) -> int:
        """Batches of training that were timed."""
        return sum(map(len, self._seconds[0]))

    def epoch_seconds(self) -> float:
        """Scale to the whole epoch."""
        total = 0.0
        for blocks, batches in zip(self._seconds, self._loaders, strict=True):
            usual = median(seconds for block in blocks for seconds in block[1:] or block)
            total += max(0.0, mean(block[0] for block in blocks) - usual)
            total += usual * len(batches)
        return total
