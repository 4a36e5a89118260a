"""Carried scores and audited flags of one long series, and who computes them.

Peers that carry states run through our blocks but the first and the last one, two of hundreds: what
these should give is put in for them.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.carried_peers import CarriedNetwork, block_rows, chains, openvino_runs, torch_runs
from slidecell._choices import Precision
from slidecell.bench.accuracy import Verdict, equal_within
from slidecell.bench.contestants import OURS, Peer, Ways
from slidecell.bench.peers import absent, score_peers
from slidecell.bench.peers_slidecell import runs_otherwise
from slidecell.bench.workloads import Floats, ScoreWorkload

__all__ = ["CarriedWorkload", "FlagWorkload", "carried_contestants", "flag_contestants"]

PERCENTILE = 99.0  # of the exact scores: the threshold
NEAR = 10  # scores on each side of it, among which the widest gap has it
EVERY_WINDOW_ROWS = 10_000  # of peers that score each window from its first row
SIZES = (256, 1024)  # chains in a batch of a carried peer
# What flags by carried states are called: nobody checks them.
UNCHECKED = "low"


class CarriedWorkload(ScoreWorkload):
    """Score every window by states that are carried through blocks: [N], of one entity."""

    kind: ClassVar[str] = "carried"

    @cached_property
    def chains(self) -> Floats:
        """Whole blocks with the rows before them, [C, W + B, F]."""
        return chains(self.series, self.window)

    @cached_property
    def carried(self) -> npt.NDArray[np.float64]:
        """Carried scores [N] in float64."""
        network, W, B = CarriedNetwork(self.model).double(), self.window, block_rows(self.window)
        last = (len(self.chains) + 1) * B - W
        parts = [self.series[None, :B], self.chains, self.series[None, last:]]
        with torch.inference_mode():
            return np.concatenate([
                network(torch.from_numpy(part).double().transpose(0, 1)).T.numpy().ravel()
                for part in parts
                if part.shape[0] and part.shape[1] > W
            ])  # fmt: skip

    @cached_property
    def truth(self) -> npt.NDArray[np.float64]:
        """Carried scores [N] in float64."""
        return self.carried


class FlagWorkload(CarriedWorkload):
    """Find the windows whose score is above a threshold, [N]: one that no rounding decides."""

    kind: ClassVar[str] = "flags"

    @cached_property
    def exact(self) -> Floats:
        """Scores [N] of `SequenceModel.score`, which the cases of scores hold against float64."""
        return self.model.score(self.series)[self.window :]

    @cached_property
    def threshold(self) -> float:
        """The middle of the widest gap between scores near the percentile."""
        scores = np.sort(self.exact).astype(np.float64)
        at = int(PERCENTILE / 100 * len(scores))
        first = max(0, at - NEAR)
        widest = first + int(np.argmax(np.diff(scores[first : at + NEAR])))
        return float((scores[widest] + scores[widest + 1]) / 2)

    @cached_property
    def truth(self) -> npt.NDArray[np.float64]:
        """1.0 where a window's exact score is above the threshold, [N]."""
        return (self.exact > self.threshold).astype(np.float64)

    def judge(self, answer: Any, precision: str) -> Verdict:
        """Hold flags against the truth: all must be equal."""
        return equal_within(answer, self.truth, rtol=0.0, atol=0.0)


def has_chains(workload: CarriedWorkload) -> bool:
    """Return whether the series has a whole block but its first."""
    return len(workload.chains) > 0


def carried(workload: CarriedWorkload, threads: int, *, precision: Precision = "highest") -> Ways:
    """`SequenceModel.score`. Prepared: the model."""
    return {
        "": lambda: workload.model.score(
            workload.series, windows="carried", precision=precision, num_threads=threads
        )[workload.window :]
    }


def carried_by(workload: CarriedWorkload, threads: int, *, library: str) -> Ways:
    """Run torch's or OpenVINO's layers over all chains. Prepared: chains in batches, the model."""
    runs_of = {"torch": torch_runs, "openvino": openvino_runs}[library]
    W, B = workload.window, block_rows(workload.window)
    rows = workload.chains
    if not len(rows):
        return {"": lambda: workload.carried.astype(np.float32)}
    found = workload.carried.astype(np.float32)
    inside = slice(B - W, B - W + len(rows) * B)

    def filled(run: Any) -> Floats:
        found[inside] = run().ravel()
        return found

    return {
        f"{size} chains": partial(filled, runs_of(workload.model, rows, threads, size=size))
        for size in SIZES
    }


def flag(workload: FlagWorkload, threads: int) -> Ways:
    """`SequenceModel.flag`, with all that it audits and computes again. Prepared: the model."""
    return {
        "": lambda: workload.model.flag(
            workload.series, workload.threshold, num_threads=threads
        ).flagged[workload.window :]
    }


def every_window(workload: FlagWorkload, threads: int) -> Ways:
    """`SequenceModel.score` of every window. Prepared: the model."""
    score, threshold = workload.model.score, np.float32(workload.threshold)
    return {"": lambda: score(workload.series, num_threads=threads)[workload.window :] > threshold}


def flags_by(workload: FlagWorkload, threads: int, *, scores: Any) -> Ways:
    """Return the flags of scores, which a contestant of scores or of carried states gives."""
    threshold = np.float32(workload.threshold)
    return {
        setting: lambda run=run: run() > threshold
        for setting, run in scores(workload, threads).items()
    }


def carried_contestants() -> dict[str, Peer]:
    """Return who carries states through a series, ours first."""
    below: tuple[Precision, ...] = ("medium", "low")
    peers = {OURS: Peer(carried)}
    for precision in below:
        peers[f"{OURS} {precision}"] = Peer(
            partial(carried, precision=precision), precision, takes=runs_otherwise(precision)
        )
    return peers | {
        name: Peer(partial(carried_by, library=name), takes=has_chains)
        for name in ("torch", "openvino")
        if name not in absent()
    }


def flag_contestants() -> dict[str, Peer]:
    """Return who flags the windows of a series: audited flags, exact scores, unchecked states."""
    every = score_peers()
    peers = {OURS: Peer(flag), f"{OURS} every window": Peer(every_window)}
    for name in ("torch", "onnxruntime", "openvino"):
        if name in every:
            ways = partial(flags_by, scores=every[name].ways)
            limited = every[name].isa_limited
            peers[name] = Peer(ways, rows=EVERY_WINDOW_ROWS, isa_limited=limited)
    return peers | {
        f"{name} carried": Peer(
            partial(flags_by, scores=partial(carried_by, library=name)),
            UNCHECKED,
            takes=has_chains,
        )
        for name in ("torch", "openvino")
        if name not in absent()
    }
