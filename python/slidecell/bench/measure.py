"""A contest: each peer's best setting, its answer checked, and all of them timed in turn.

Ratios are taken within a round, then their median: what disturbs the machine in a round disturbs
both sides (`timer`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

from slidecell import active_isa
from slidecell.bench.accuracy import flat, largest
from slidecell.bench.contestants import OURS, Peer, Ways
from slidecell.bench.limits import LIMITS
from slidecell.bench.timer import interleaved, sample
from slidecell.bench.workloads import BATCHES, Workload

__all__ = [
    "FULL",
    "QUICK",
    "SMOKE",
    "Effort",
    "Result",
    "best_setting",
    "contest",
    "paired_ratio",
]


@dataclass(frozen=True)
class Effort:
    """How many repeats and how much time a run may take."""

    name: str
    repeats: int  # samples of each contestant
    min_seconds: float  # of a sample
    max_rows: int  # of a case's data
    search_rows: int  # of the short runs that choose a peer's setting
    search_repeats: int = 1  # of the settings that the first short run left
    search_seconds: float = 4.0  # of a peer: settings that come too late are not tried
    batches: tuple[int, ...] = BATCHES  # sizes that peers may choose from


FULL = Effort("full", repeats=5, min_seconds=0.2, max_rows=2_000_000, search_rows=8_500)
QUICK = Effort(
    "quick",
    repeats=3,
    min_seconds=0.03,
    max_rows=10_000,
    search_rows=4_200,
    search_seconds=0.6,
    batches=(512, 1024, 256),
)
SMOKE = Effort(
    "smoke: times mean nothing",
    repeats=1,
    min_seconds=0.0,
    max_rows=500,
    search_rows=250,
    search_repeats=0,
    batches=(128,),
)

# Settings whose first short run took longer than this share of the best one's are not tried again.
HOPELESS = 1.5


@dataclass(frozen=True)
class Result:
    """The samples and the checked answer of one contestant."""

    kind: str
    case: str
    shape: str
    threads: int
    contestant: str
    precision: str
    setting: str
    unit: str
    work: int  # windows or steps per call
    seconds: list[float]  # per call, one figure per sample
    ratio: float  # times that ours is as fast as this one, median of the rounds
    max_error: float  # against the truth in float64; inf if the shape is wrong
    max_difference: float  # against ours
    relative_error: float | None  # max_error in units of the 95th-percentile score
    auc_difference: float | None  # from the ROC-AUC of the true scores
    right: bool
    in_mean: bool = False  # whether the case counts in the geometric mean
    isa_limited: bool = True  # False: it uses newer instructions than ours is limited to

    @property
    def seconds_per_call(self) -> float:
        """Median of the samples."""
        return median(self.seconds)

    @property
    def acceptable(self) -> bool:
        """Whether the answer is right, or a peer's at a lower precision than it can be held to."""
        return self.right or (not self.is_ours and self.precision != "highest")

    @property
    def is_ours(self) -> bool:
        """Whether it runs on our kernels."""
        return self.contestant.startswith(OURS)


def paired_ratio(theirs: Result, ours: Result) -> float:
    """How many times as fast ours is: median of the ratios within each round."""
    pairs = zip(theirs.seconds, ours.seconds, strict=True)
    return median(their / mine for their, mine in pairs) * ours.work / theirs.work


def best_setting(ways: Ways, repeats: int, *, seconds: float = math.inf) -> str:
    """Return the setting whose best short run is the fastest; the slow ones run once only.

    After `seconds` no further setting is tried.

    Examples
    --------
    >>> from time import sleep
    >>> from slidecell.bench.measure import best_setting
    >>> best_setting({"slow": lambda: sleep(0.02), "fast": lambda: None}, 1)
    'fast'
    """
    if len(ways) == 1:
        return next(iter(ways))
    best: dict[str, float] = {}
    end = perf_counter() + seconds
    for setting, run in ways.items():
        if best and perf_counter() > end:
            break
        run()
        best[setting] = sample(run, 1).seconds
    hopeless = HOPELESS * min(best.values())
    left = {setting: ways[setting] for setting in best if best[setting] <= hopeless}
    for setting, timed in interleaved(left, repeats=repeats).items():
        best[setting] = min(best[setting], *timed.seconds, math.inf)
    return min(best, key=lambda setting: best[setting])


def contest(
    workload: Workload,
    peers: Mapping[str, Peer],
    threads: int,
    effort: Effort,
    *,
    in_mean: bool = False,
    until: float = 0.0,
) -> list[Result]:
    """Choose each peer's setting, check its answer, then measure all of them in turn."""
    short = workload.first(effort.search_rows)
    peers = {name: peer for name, peer in peers.items() if peer.takes(workload)}
    workloads = {
        name: workload if peer.rows is None else workload.first(peer.rows)
        for name, peer in peers.items()
    }
    settings, runs = {}, {}
    for name, peer in peers.items():
        settings[name] = best_setting(
            peer.ways(short, threads), effort.search_repeats, seconds=effort.search_seconds
        )
        runs[name] = peer.ways(workloads[name], threads)[settings[name]]
    # Judged at once: a way may use the same array for each of its answers.
    answers: dict[str, Any] = {}
    verdicts = {}
    for name, run in runs.items():
        answer = flat(run())
        verdicts[name] = workloads[name].judge(answer, peers[name].precision)
        answers[name] = answer
    timed = interleaved(runs, repeats=effort.repeats, min_seconds=effort.min_seconds, until=until)
    ours, work = answers[OURS], workload.work
    results = []
    for name, verdict in verdicts.items():
        rounds = zip(timed[name].seconds, timed[OURS].seconds, strict=True)
        same_shape = answers[name].shape == ours.shape
        results.append(
            Result(
                kind=workload.kind,
                case=workload.case,
                shape=workload.shape,
                threads=threads,
                contestant=name,
                precision=peers[name].precision,
                setting=settings[name],
                unit=workload.unit,
                work=workloads[name].work,
                seconds=timed[name].seconds,
                ratio=median(theirs / mine for theirs, mine in rounds)
                * work
                / workloads[name].work,
                max_error=verdict.max_error,
                max_difference=largest(answers[name] - ours) if same_shape else math.inf,
                relative_error=verdict.relative_error,
                auc_difference=verdict.auc_difference,
                right=verdict.right,
                in_mean=in_mean,
                isa_limited=peers[name].isa_limited or active_isa() not in LIMITS,
            )
        )
    return results
