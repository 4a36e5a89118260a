"""What `benchmarks.scaling` times: one network on series of several sizes and on threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from torch import nn

import slidecell as sc
from benchmarks.networks import forecaster
from benchmarks.sampled_truth import largest_error, sample, true_scores
from slidecell._cells import CellName
from slidecell.bench.timer import Timed, interleaved
from slidecell.bench.workloads import Floats, Ints
from slidecell.training import seeded

FEATURES = 7
ENTITY_ROWS = 350
# Windows of a short entity: whole vectors, so that the threads are looked at and not the lanes
# that an entity's last windows leave empty.
SHORT_WINDOWS, SHORT_LONG_WINDOWS = 32, 16
_CHECKED = 1_000  # windows of a series whose scores are compared with float64


@dataclass(frozen=True)
class Network:
    """A forecaster of the next row."""

    cell: CellName
    hidden_size: int
    layers: int = 1
    window: int = 7

    def module(self) -> nn.Module:
        """Make it, with torch's own initial weights."""
        with seeded(0):
            return forecaster(self.cell, FEATURES, self.hidden_size, self.layers).eval()

    def model(self) -> sc.SequenceModel:
        """Compile it."""
        return sc.SequenceModel.from_torch(self.module(), window=self.window)


@dataclass(frozen=True)
class RowsResult:
    """One series."""

    case: str
    rows: int
    entities: int
    threads: int
    windows: int  # per call
    timed: Timed
    max_error: float | None  # of some windows, against float64
    right: bool

    @property
    def rates(self) -> list[float]:
        """Windows per second of each round."""
        return [self.windows / seconds for seconds in self.timed.seconds]

    @property
    def rate(self) -> float:
        """Windows per second, median."""
        return median(self.rates)


@dataclass(frozen=True)
class ThreadsResult:
    """One series on one thread and on several."""

    case: str
    rows: int
    entities: int
    threads: int
    windows: int
    one: Timed  # on one thread
    several: Timed
    max_error: float | None
    right: bool  # which needs the same bits on any number of threads, too

    @property
    def speedups(self) -> list[float]:
        """Speedups of each round."""
        return _ratios(self.one.seconds, self.several.seconds)

    @property
    def speedup(self) -> float:
        """Median of the rounds."""
        return median(self.speedups)

    @property
    def cpu_ratio(self) -> float:
        """Processor time on several threads over that on one: 1 is work that is only divided."""
        return median(_ratios(self.several.cpu_seconds, self.one.cpu_seconds))


def scale_rows(
    case: str,
    network: Network,
    sizes: Sequence[int],
    *,
    threads: int,
    rounds: int,
    min_seconds: float,
) -> list[RowsResult]:
    """Score series of all sizes, as one entity and as many, in turn."""
    model, series = network.model(), _random_rows(max(sizes))
    shapes = [(S, offsets) for offsets in (_one, _many) for S in sizes]
    parts = [(series[:S], offsets(S)) for S, offsets in shapes]
    runs = [_call(model, rows, bounds, threads) for rows, bounds in parts]
    checks = [
        _check(network, rows, bounds, run())
        for (rows, bounds), run in zip(parts, runs, strict=True)
    ]
    timed = _interleaved(runs, rounds, min_seconds)
    return [
        RowsResult(
            case=case,
            rows=len(rows),
            entities=len(bounds) - 1,
            threads=threads,
            windows=_windows(network, bounds),
            timed=timed[i],
            max_error=checks[i][0],
            right=checks[i][1],
        )
        for i, (rows, bounds) in enumerate(parts)
    ]


def scale_threads(
    case: str,
    network: Network,
    entities: int,
    *,
    threads: int,
    rounds: int,
    min_seconds: float,
) -> list[ThreadsResult]:
    """Score one long series and as many windows of short entities, on 1 and `threads` threads."""
    model, span = network.model(), network.window + 1
    own = SHORT_WINDOWS if network.window <= SHORT_LONG_WINDOWS else SHORT_LONG_WINDOWS
    one = np.array([0, own * entities + span - 1])
    short = np.arange(entities + 1, dtype=np.int64) * (own + span - 1)
    found = []
    for bounds in (one, short):
        rows = _random_rows(int(bounds[-1]))
        runs = [_call(model, rows, bounds, n) for n in (1, threads)]
        checks = [_check(network, rows, bounds, run()) for run in runs]
        same = np.array_equal(runs[0](), runs[1](), equal_nan=True)
        timed = _interleaved(runs, rounds, min_seconds)
        found.append(
            ThreadsResult(
                case=case,
                rows=len(rows),
                entities=len(bounds) - 1,
                threads=threads,
                windows=_windows(network, bounds),
                one=timed[0],
                several=timed[1],
                max_error=checks[1][0],
                right=same and all(right for _, right in checks),
            )
        )
    return found


def _interleaved(
    runs: Sequence[Callable[[], Floats]], rounds: int, min_seconds: float
) -> list[Timed]:
    by_place = {str(place): run for place, run in enumerate(runs)}
    timed = interleaved(by_place, repeats=rounds, min_seconds=min_seconds)
    return [timed[place] for place in by_place]


def _ratios(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def _random_rows(rows: int) -> Floats:
    return np.random.default_rng(0).random((rows, FEATURES), dtype=np.float32)


def _one(rows: int) -> Ints:
    return np.array([0, rows])


def _many(rows: int) -> Ints:
    return np.append(np.arange(0, rows, ENTITY_ROWS), rows)


def _call(
    model: sc.SequenceModel, rows: Floats, bounds: Ints, threads: int
) -> Callable[[], Floats]:
    return lambda: model.score(rows, bounds, num_threads=threads)


def _windows(network: Network, bounds: Ints) -> int:
    return int(np.maximum(np.diff(bounds) - network.window, 0).sum())


def _check(
    network: Network, rows: Floats, bounds: Ints, answer: Floats
) -> tuple[float | None, bool]:
    """Return the largest error on some windows; whether they are right and all have a score."""
    starts = sample(bounds, network.window + 1, _CHECKED)
    truth = true_scores(network.module(), rows, starts, network.window)
    error, right = largest_error(answer[starts + network.window], truth)
    return error, right and int(np.isfinite(answer).sum()) == _windows(network, bounds)
