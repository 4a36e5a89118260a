"""``python -m benchmarks.audited_speed``: audited flags and carried scores against the peers.

Networks are trained with a fixed seed on the training part of a labelled series, whose test part is
repeated with noise to a million rows. Audit and recomputation are counted. Peers that score every
window get fewer rows where they would take too long: times are by row. ``carried peer``: torch or
OpenVINO on the same blocks with carried states, whose scores nobody checks.

A second table holds flags beside our own exact scores: ``speculate="low"`` where windows are too
short for carried states, and networks that do not forget, whose forget gates are held open.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.audited_beside_exact import (
    BesideExact,
    beside_exact,
    remembering,
    table_beside_exact,
    timed,
)
from benchmarks.carried_peers import chains, openvino_runs, torch_runs
from benchmarks.command import add_json, conditions, print_conditions
from benchmarks.trained_nets import trained
from slidecell._choices import Speculate
from slidecell.bench.command import positive
from slidecell.bench.contestants import Ways
from slidecell.bench.measure import best_setting
from slidecell.bench.peers import absent, score_peers
from slidecell.bench.report import markdown, write_json
from slidecell.bench.run import settings_restored
from slidecell.bench.workloads import ScoreWorkload
from slidecell.datasets import load_smd
from slidecell.model import SequenceModel

Floats = npt.NDArray[np.float32]

SHARES = (99.0, 95.0)  # percentiles of the exact scores that stand as thresholds
NOISE = 0.01  # standard deviation of what is added to each repetition, in units of a column's
PEER_STEPS = 1_000_000  # rows times steps of a peer that scores every window
SIZES = (256, 1024)  # chains in a batch of a carried peer
SHORT: tuple[Speculate, ...] = ("low", "auto")  # where windows are short


@dataclass(frozen=True)
class Line:
    """What one network and its series gave; times are microseconds a row, a number a round."""

    network: str
    rows: int
    seam_p99: float  # how far the net forgets
    took: dict[str, list[float]]  # by contestant
    cpu: dict[str, list[float]]  # the same of all threads' processor time
    peer: str  # the best float32 one that scores every window
    carried_peer: str
    methods: dict[float, str]  # by percentile of the threshold
    recomputed: dict[float, float]
    missed: dict[float, int]  # alarms, against exact scores
    bound: dict[float, float]

    def us(self, name: str) -> float:
        """Return the median of a contestant."""
        return median(self.took[name])

    def times(self, name: str, ours: str, *, cpu: bool = False) -> float:
        """Return how many times as long a contestant takes: the median of the rounds' ratios."""
        found = self.cpu if cpu else self.took
        return median(a / b for a, b in zip(found[name], found[ours], strict=True))


def load(folder: Path, features: int, name: str = "machine-1-6") -> tuple[Floats, Floats]:
    """Return training and test rows [S, F] of a series of SMD, of its most varied columns."""
    found = load_smd(folder / "smd", name)
    train, test = found.train.astype(np.float32), found.test.astype(np.float32)
    columns = np.sort(np.argsort(-train.std(axis=0), kind="stable")[:features])
    return np.ascontiguousarray(train[:, columns]), np.ascontiguousarray(test[:, columns])


def repeated(rows: Floats, count: int) -> Floats:
    """Return rows [S, F] again and again to `count` of them, with noise.

    Examples
    --------
    >>> import numpy as np
    >>> from benchmarks.audited_speed import repeated
    >>> repeated(np.ones((10, 2), np.float32), 25).shape
    (25, 2)
    """
    rng = np.random.default_rng(0)
    whole = np.tile(rows, (-(-count // len(rows)), 1))[:count]
    noise = rng.standard_normal(whole.shape, dtype=np.float32)
    found: Floats = whole + np.float32(NOISE) * rows.std(axis=0) * noise
    return found


def best(ways: Ways) -> tuple[str, Callable[[], Any]]:
    """Return the fastest setting and what runs it."""
    setting = best_setting(ways, 1, seconds=8.0)
    return setting, ways[setting]


def exact_peers(model: SequenceModel, series: Floats, threads: int) -> dict[str, Any]:
    """Return the float32 peers that score every window, each at its best setting."""
    offsets = np.array([0, len(series)])
    labels = np.zeros(len(series), np.bool_)
    sizes = (512, 1024, 256)
    args = (series, offsets, model.window, model.horizon)
    workload = ScoreWorkload("series", *args, model, labels, sizes)
    found = {}
    for name, peer in score_peers().items():
        if peer.precision == "highest" and name in ("torch", "onnxruntime", "openvino"):
            found[name] = best(peer.ways(workload, threads))[1]
    return found


def carried_peers(model: SequenceModel, series: Floats, threads: int) -> dict[str, Any]:
    """Return the peers that carry states, each at its best size of batches."""
    rows, missing = chains(series, model.window), absent()
    makers = {"torch": torch_runs, "openvino": openvino_runs}
    return {
        name: best({str(n): make(model, rows, threads, size=n) for n in SIZES})[1]
        for name, make in makers.items()
        if name not in missing
    }


def measure(network: str, model: SequenceModel, series: Floats, threads: int, repeats: int) -> Line:
    """Time one network's contestants in turn, and compare the flags with exact ones."""
    windows = min(len(series) - model.window, max(2_048, PEER_STEPS // model.window))
    few = series[: windows + model.window]
    whole = model.score(series, num_threads=threads)
    thresholds = {share: float(np.nanpercentile(whole, share)) for share in SHARES}
    carried = partial(model.score, series, windows="carried", num_threads=threads)
    runs: dict[str, tuple[Callable[[], Any], int]] = {
        "exact": (partial(model.score, few, num_threads=threads), windows),
        "carried": (carried, len(series)),
        "carried medium": (partial(carried, precision="medium"), len(series)),
        "carried low": (partial(carried, precision="low"), len(series)),
    }
    for share, value in thresholds.items():
        flag = partial(model.flag, series, value, num_threads=threads)
        runs[f"flag {share:g}"] = (flag, len(series))
    every = {f"every {name}": run for name, run in exact_peers(model, few, threads).items()}
    carriers = {
        f"carried {name}": run for name, run in carried_peers(model, series, threads).items()
    }
    runs |= {name: (run, windows) for name, run in every.items()}
    runs |= {name: (run, len(series)) for name, run in carriers.items()}
    took, cpu = timed(runs, repeats)
    flags = {
        share: model.flag(series, value, num_threads=threads) for share, value in thresholds.items()
    }
    truth = {share: whole > value for share, value in thresholds.items()}
    for share, found in flags.items():
        raised = found.flagged & ~truth[share]
        if raised.any():
            raise AssertionError(f"{network}: {raised.sum()} alarms are raised that are none")
    named = model.flag(series, thresholds[SHARES[0]], speculate="carried", num_threads=threads)
    return Line(
        network=network,
        rows=len(series),
        seam_p99=float(named.audit.seam_p99),
        took=took,
        cpu=cpu,
        peer=min(every, key=lambda name: median(took[name])),
        carried_peer=min(carriers, key=lambda name: median(took[name])),
        methods={share: found.audit.method for share, found in flags.items()},
        recomputed={share: found.audit.share_recomputed for share, found in flags.items()},
        missed={
            share: int((truth[share] & ~found.flagged).sum()) for share, found in flags.items()
        },
        bound={share: found.audit.wrong_at_most for share, found in flags.items()},
    )


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table: microseconds a row, and times as fast as the peers.

    Behind a stroke stand the same ratios of processor time, which other programs disturb less, but
    to which threads that wait in a loop are added.
    """
    header = ["network", "seams p99", "score", "carried / bf16 / int8", "carried peer"]
    header += ["peer, every window"]
    for share in SHARES:
        name = f"p{share:g}"
        header += [f"flag {name}", "by", "recomputed", "missed / bound"]
        header += ["to peer", "to carried peer"]
    found = [header]
    for line in lines:
        cells = [line.network, f"{line.seam_p99:.0e}", f"{line.us('exact'):.2f}"]
        chains = ("carried", "carried medium", "carried low")
        cells += [" / ".join(f"{line.us(name):.2f}" for name in chains)]
        cells += [
            f"{name.split()[1]} {line.us(name):.2f}" for name in (line.carried_peer, line.peer)
        ]
        for share in SHARES:
            flag = f"flag {share:g}"
            cells += [f"{line.us(flag):.2f}", line.methods[share], f"{line.recomputed[share]:.2%}"]
            cells += [f"{line.missed[share]} / {line.bound[share]:.0f}"]
            for name, digits in ((line.peer, 1), (line.carried_peer, 2)):
                wall, cpu = line.times(name, flag), line.times(name, flag, cpu=True)
                cells += [f"{wall:.{digits}f}x / {cpu:.{digits}f}x"]
        found.append(cells)
    return markdown(found)


def others(options: argparse.Namespace) -> list[BesideExact]:
    """Return flags beside exact scores: by 8-bit products alone, and of nets that remember."""
    features = min(options.features)
    train, test = load(options.data, features, options.series)
    run = partial(beside_exact, shares=SHARES, threads=options.threads, repeats=options.repeats)
    found = []
    for cell, window in itertools.product(options.cells, options.short_windows):
        model = trained(train, cell, window, 64, epochs=options.epochs)
        name = f"{cell.upper()} 64, W={window}, {features} features"
        for asked in SHORT:
            found.append(run(name, model, repeated(test, options.rows), asked=asked))
        print(f"{name}: done", file=sys.stderr)
    if not options.remembering_rows or "lstm" not in options.cells:
        return found
    for window in options.windows:
        stride = max(1, window // 10)
        model = remembering(trained(train, "lstm", window, 64, epochs=1, stride=stride))
        name = f"LSTM 64, W={window}, {features} features, forget gates held open"
        for rows in options.remembering_rows:
            found.append(run(name, model, repeated(test, rows), asked="auto"))
        print(f"{name}: done", file=sys.stderr)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all networks and print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audited_speed", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with smd/*.npz")
    parser.add_argument("--series", default="machine-1-6", help="of that folder (%(default)s)")
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru"], choices=["lstm", "gru"])
    parser.add_argument("--windows", type=positive, nargs="+", default=[50, 100, 250])
    parser.add_argument("--features", type=positive, nargs="+", default=[7, 38])
    parser.add_argument("--rows", type=positive, default=1_000_000)
    parser.add_argument("--epochs", type=positive, default=10)
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--repeats", type=positive, default=3)
    parser.add_argument("--short-windows", type=positive, nargs="*", default=[7])
    parser.add_argument("--remembering-rows", type=positive, nargs="*", default=[100_000, 400_000])
    add_json(parser)
    options = parser.parse_args(arguments)
    about = conditions("benchmarks.audited_speed", "full", [options.threads], arguments=arguments)
    print_conditions(about)
    lines = []
    with settings_restored():
        for features, cell in itertools.product(options.features, options.cells):
            train, test = load(options.data, features, options.series)
            series = repeated(test, options.rows)
            for window in options.windows:
                network = f"{cell.upper()} 64, W={window}, {features} features"
                stride = max(1, window // 10)
                model = trained(train, cell, window, 64, epochs=options.epochs, stride=stride)
                lines.append(measure(network, model, series, options.threads, options.repeats))
                print(f"{network}: done", file=sys.stderr)
        beside = others(options)
    print(table(lines))
    if beside:
        print(table_beside_exact(beside))
    if options.json:
        content: Mapping[str, Any] = {
            "conditions": about,
            "lines": [asdict(x) for x in lines],
            "beside_exact": [asdict(x) for x in beside],
        }
        write_json(options.json, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
