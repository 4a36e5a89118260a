"""Times of `score` and the machine's peaks, in turn: a noisy neighbour hits both."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time

import numpy as np
import numpy.typing as npt

import slidecell as sc
from benchmarks.roofline.cases import Case
from benchmarks.roofline.model import (
    FAMILIES,
    PRECISIONS,
    Least,
    Machine,
    Network,
    best_of,
    families,
    least_time,
    network,
)
from benchmarks.roofline.probes import Probes
from slidecell.bench.timer import no_garbage_collection

MANY_CHAINS = 96  # where a kernel is not run: the share of the first block hardly counts


@dataclass(frozen=True)
class Effort:
    """How much to spend on each case and instruction set."""

    name: str
    seconds: float  # of all rounds
    call_seconds: float  # of a call of `score`: short, so that some calls are not disturbed
    least_rounds: int
    probe_repeats: int = 2  # in a round


FULL = Effort("full", seconds=0.8, call_seconds=0.002, least_rounds=10)
QUICK = Effort("quick", seconds=0.15, call_seconds=0.002, least_rounds=3)


@dataclass(frozen=True)
class Kernel:
    """A family of products at a precision, and whether slidecell runs it."""

    family: str
    precision: str  # of the products
    asked: tuple[str, ...] = ()  # precisions that get it; none: it is not run
    name: str = ""  # in the plan


@dataclass(frozen=True)
class Row:
    """One kernel on one case; times in nanoseconds per window."""

    case: str
    isa: str
    kernel: Kernel
    network: Network
    machine: Machine  # at its best in all rounds
    least: Least
    windows: int  # per call
    samples: list[float]  # one a round; none if not run
    least_samples: list[float]  # least times by what the machine did in the same rounds

    @property
    def time(self) -> float:
        """Best of the samples."""
        return min(self.samples)

    @property
    def share(self) -> float:
        """Least time over the best sample: 1 is the roofline."""
        return self.least.time / self.time

    @property
    def share_in_turn(self) -> float:
        """The same where activations follow products."""
        return self.least.in_turn / self.time

    @property
    def median_share(self) -> float:
        """Median of the shares within each round."""
        rounds = zip(self.least_samples, self.samples, strict=True)
        return median(least / time for least, time in rounds)


def kernels_of(model: sc.SequenceModel, machine: Machine) -> list[Kernel]:
    """Return the kernels that run by the plan, and those that could."""
    found: dict[tuple[str, str], Kernel] = {
        key: Kernel(family=key[0], precision=key[1]) for key in families(machine)
    }
    for asked in PRECISIONS:
        plan = model.plan(asked)
        # The longest: tiles of codes are "int8 amx".
        family = max((f for f in FAMILIES if plan["kernel"].startswith(f)), key=len)
        key = family, plan["precision"]
        before = found[key].asked if key in found else ()
        found[key] = Kernel(*key, (*before, asked), plan["kernel"])
    return sorted(
        found.values(), key=lambda k: (FAMILIES.index(k.family), PRECISIONS.index(k.precision))
    )


@dataclass(frozen=True)
class Rounds:
    """What was measured in turn."""

    machines: list[Machine]
    windows: dict[Kernel, int]  # per call, of the kernels that run
    lanes: dict[Kernel, int]  # of vectors: windows, or chains that carry states
    samples: dict[Kernel, list[float]]  # nanoseconds per window


def rows_of(case: Case, isa: str, probes: Probes, effort: Effort) -> list[Row]:
    """Measure a case with one instruction set, which stays set, and state its least times."""
    sc.set_isa(isa)
    model = case.model()
    kernels = kernels_of(model, probes.machine(isa, 1))
    rounds = measure(case, model, isa, kernels, probes=probes, effort=effort)
    best = best_of(rounds.machines)
    rows = []
    for kernel in kernels:
        windows = rounds.windows.get(kernel, 0)
        counts = network(
            model.metadata,
            targets=model.num_targets,
            rows_per_window=case.rows(windows) / windows if windows else 1.0,
            carried=case.chains(rounds.lanes.get(kernel, MANY_CHAINS)),
        )
        least = functools.partial(
            least_time, counts, family=kernel.family, precision=kernel.precision
        )
        rows.append(
            Row(
                case=case.name,
                isa=isa,
                kernel=kernel,
                network=counts,
                machine=best,
                least=least(best),
                windows=windows,
                samples=rounds.samples.get(kernel, []),
                least_samples=[least(m).time for m in rounds.machines] if windows else [],
            )
        )
    return rows


def measure(
    case: Case,
    model: sc.SequenceModel,
    isa: str,
    kernels: Sequence[Kernel],
    *,
    probes: Probes,
    effort: Effort,
) -> Rounds:
    """In each round, run the probes and a call of `score` for each kernel that slidecell runs."""
    lanes = {k: lanes_per_call(case, model, k.asked[0], effort) for k in kernels if k.asked}
    windows = {kernel: case.windows_of(count) for kernel, count in lanes.items()}
    series = {kernel: case.series(count) for kernel, count in windows.items()}
    samples: dict[Kernel, list[float]] = {kernel: [] for kernel in windows}
    machines: list[Machine] = []
    with no_garbage_collection():
        stop = perf_counter() + effort.seconds
        while len(machines) < effort.least_rounds or perf_counter() < stop:
            machines.append(probes.machine(isa, effort.probe_repeats))
            for kernel, count in windows.items():
                seconds = call_seconds(case, model, series[kernel], kernel.asked[0])
                samples[kernel].append(seconds * 1e9 / count)
    return Rounds(machines, windows, lanes, samples)


def call_seconds(
    case: Case, model: sc.SequenceModel, series: npt.NDArray[np.float32], precision: str
) -> float:
    """Return the processor's seconds of one call of `score`.

    Chains take longer than a slice of time: by the clock, other programs would be in all of them.
    """
    begin = process_time()
    model.score(series, precision=precision, windows=case.windows, num_threads=1)
    return process_time() - begin


def lanes_per_call(case: Case, model: sc.SequenceModel, precision: str, effort: Effort) -> int:
    """Windows or chains of whole tiles, as many as a call may do; packs weights and warms up."""
    tile: int = model.plan(precision)["tile"]
    series = case.series(case.windows_of(tile))
    seconds = min(call_seconds(case, model, series, precision) for _ in range(3))
    return tile * max(1, round(effort.call_seconds / seconds))
