"""Audited flags beside exact scores: windows too short for carried states, nets that remember."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._choices import Speculate
from slidecell.bench.report import markdown
from slidecell.bench.timer import interleaved
from slidecell.model import SequenceModel

__all__ = ["BesideExact", "beside_exact", "remembering", "table_beside_exact", "timed"]

Floats = npt.NDArray[np.float32]
Runs = Mapping[str, tuple[Callable[[], Any], int]]  # and the rows that each scores
Rounds = dict[str, list[float]]

OPEN = 10.0  # added to the forget gates' biases


@dataclass(frozen=True)
class BesideExact:
    """What flags of one network took, and what they found."""

    network: str
    rows: int
    asked: Speculate
    seam_p99: float | None  # of carried states, where they are among what was asked for
    exact_us: float  # a row
    flag_us: dict[float, float]  # by percentile of the threshold
    times: dict[float, float]  # as fast as exact scores
    cpu_times: dict[float, float]  # the same of processor time
    methods: dict[float, str]
    recomputed: dict[float, float]
    missed: dict[float, int]
    bound: dict[float, float]


def timed(runs: Runs, repeats: int) -> tuple[Rounds, Rounds]:
    """Return microseconds a row in each round, by the clock and of all threads' processor time.

    Examples
    --------
    >>> from benchmarks.audited_beside_exact import timed
    >>> took, cpu = timed({"nothing": (lambda: None, 5)}, 2)
    >>> len(took["nothing"]), len(cpu["nothing"])
    (2, 2)
    """
    for run, _ in runs.values():
        run()
    found = interleaved({name: run for name, (run, _) in runs.items()}, repeats=repeats)
    took = {name: [x * 1e6 / runs[name][1] for x in t.seconds] for name, t in found.items()}
    cpu = {name: [x * 1e6 / runs[name][1] for x in t.cpu_seconds] for name, t in found.items()}
    return took, cpu


def remembering(model: SequenceModel) -> SequenceModel:
    """Return an LSTM whose forget gates stay open, so that its state never fades."""
    tensors = model.tensors
    H = tensors["encoder.0.weight_hh_l0"].shape[1]
    tensors["encoder.0.bias_ih_l0"][H : 2 * H] += OPEN  # ifgo
    return SequenceModel(model.metadata, tensors)


def beside_exact(
    network: str,
    model: SequenceModel,
    series: Floats,
    shares: Sequence[float],
    asked: Speculate,
    *,
    threads: int,
    repeats: int,
) -> BesideExact:
    """Time flags and exact scores of all rows in turn, at percentiles of the exact scores."""
    exact = partial(model.score, series, num_threads=threads)
    whole = exact()
    thresholds = {share: float(np.nanpercentile(whole, share)) for share in shares}
    flags = {
        share: partial(model.flag, series, value, speculate=asked, num_threads=threads)
        for share, value in thresholds.items()
    }
    runs: dict[str, tuple[Callable[[], Any], int]] = {"exact": (exact, len(series))}
    runs |= {f"flag {share:g}": (flag, len(series)) for share, flag in flags.items()}
    took, cpu = timed(runs, repeats)
    found = {share: flag() for share, flag in flags.items()}
    truth = {share: whole > value for share, value in thresholds.items()}

    def times(rounds: Rounds, share: float) -> float:
        pairs = zip(rounds["exact"], rounds[f"flag {share:g}"], strict=True)
        return median(theirs / ours for theirs, ours in pairs)

    seam_p99 = None
    if asked == "auto":
        named = model.flag(series, thresholds[shares[0]], speculate="carried", num_threads=threads)
        seam_p99 = named.audit.to_dict()["seam_p99"]
    return BesideExact(
        network=network,
        rows=len(series),
        asked=asked,
        seam_p99=seam_p99,
        exact_us=median(took["exact"]),
        flag_us={share: median(took[f"flag {share:g}"]) for share in shares},
        times={share: times(took, share) for share in shares},
        cpu_times={share: times(cpu, share) for share in shares},
        methods={share: flags.audit.method for share, flags in found.items()},
        recomputed={share: flags.audit.share_recomputed for share, flags in found.items()},
        missed={
            share: int((truth[share] & ~flags.flagged).sum()) for share, flags in found.items()
        },
        bound={share: flags.audit.wrong_at_most for share, flags in found.items()},
    )


def table_beside_exact(lines: Sequence[BesideExact]) -> str:
    """Return the lines as a Markdown table."""
    found = [["network", "rows", "speculate", "seams p99", "score"]]
    for share in lines[0].flag_us:
        name = f"p{share:g}"
        found[0] += [f"flag {name}", "by", "recomputed", "missed / bound", "to score, clock / cpu"]
    for line in lines:
        cells = [line.network, f"{line.rows:,}", line.asked]
        cells += ["" if line.seam_p99 is None else f"{line.seam_p99:.0e}"]
        cells += [f"{line.exact_us:.2f}"]
        for share, took in line.flag_us.items():
            cells += [f"{took:.2f}", line.methods[share], f"{line.recomputed[share]:.1%}"]
            cells += [f"{line.missed[share]} / {line.bound[share]:.0f}"]
            cells += [f"{line.times[share]:.2f}x / {line.cpu_times[share]:.2f}x"]
        found.append(cells)
    return markdown(found)
