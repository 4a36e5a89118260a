"""``python -m benchmarks.audited_speed``: audited flags and carried scores against the peers.

Networks are trained with a fixed seed on the training part of a labelled series, whose test part is
repeated with noise to a million rows. Audit and recomputation are counted. Peers that score every
window get fewer rows where they would take too long: times are by row. ``carried peer``: torch or
OpenVINO on the same blocks with carried states, whose scores nobody checks.
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

from benchmarks.carried_peers import chains, openvino_runs, torch_runs
from benchmarks.command import add_json, conditions, print_conditions
from benchmarks.trained_nets import trained
from slidecell.bench.command import positive
from slidecell.bench.contestants import Ways
from slidecell.bench.measure import best_setting
from slidecell.bench.peers import absent, score_peers
from slidecell.bench.report import markdown, write_json
from slidecell.bench.run import settings_restored
from slidecell.bench.timer import interleaved
from slidecell.bench.workloads import ScoreWorkload
from slidecell.datasets import load_smd
from slidecell.model import SequenceModel

Floats = npt.NDArray[np.float32]

SHARES = (99.0, 95.0)  # percentiles of the exact scores that stand as thresholds
NOISE = 0.01  # standard deviation of what is added to each repetition, in units of a column's
PEER_STEPS = 1_000_000  # rows times steps of a peer that scores every window
SIZES = (256, 1024)  # chains in a batch of a carried peer


@dataclass(frozen=True)
class Line:
    """What one network and its series gave."""

    network: str
    rows: int
    seam_p99: float  # how far the net forgets
    exact_us: float  # a row, of score
    carried_us: float
    carried_medium_us: float
    carried_peer: str
    carried_peer_us: float
    peer: str  # the best float32 one that scores every window
    peer_us: float
    flag_us: dict[float, float]  # by percentile of the threshold
    recomputed: dict[float, float]
    missed: dict[float, int]  # alarms, against exact scores
    bound: dict[float, float]


def load(folder: Path, features: int) -> tuple[Floats, Floats]:
    """Return training and test rows [S, F] of SMD's machine 1-6, of its most varied columns."""
    found = load_smd(folder / "smd", "machine-1-6")
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
    few = series[: max(2_048, PEER_STEPS // model.window) + model.window]
    whole = model.score(series, num_threads=threads)
    thresholds = {share: float(np.nanpercentile(whole, share)) for share in SHARES}
    ours = {
        "exact": (partial(model.score, few, num_threads=threads), len(few)),
        "carried": (
            partial(model.score, series, windows="carried", num_threads=threads),
            len(series),
        ),
        "carried medium": (
            partial(
                model.score, series, windows="carried", precision="medium", num_threads=threads
            ),
            len(series),
        ),
    }
    for share, value in thresholds.items():
        flag = partial(model.flag, series, value, num_threads=threads)
        ours[f"flag {share:g}"] = (flag, len(series))
    every = exact_peers(model, few, threads)
    carried = carried_peers(model, series, threads)
    runs = {name: run for name, (run, _) in ours.items()}
    runs |= {f"every {name}": run for name, run in every.items()}
    runs |= {f"carried {name}": run for name, run in carried.items()}
    for run in runs.values():
        run()
    timed = interleaved(runs, repeats=repeats)
    rows = {name: count for name, (_, count) in ours.items()}
    us = {
        name: median(found.seconds)
        * 1e6
        / rows.get(name, len(few) if name.startswith("every ") else len(series))
        for name, found in timed.items()
    }
    peer = min(every, key=lambda name: us[f"every {name}"])
    carrier = min(carried, key=lambda name: us[f"carried {name}"])
    flags = {
        share: model.flag(series, value, num_threads=threads) for share, value in thresholds.items()
    }
    truth = {share: whole > value for share, value in thresholds.items()}
    for share, found in flags.items():
        raised = found.flagged & ~truth[share]
        if raised.any():
            raise AssertionError(f"{network}: {raised.sum()} alarms are raised that are none")
    audit = flags[SHARES[0]].audit
    return Line(
        network=network,
        rows=len(series),
        seam_p99=float(audit.seam_p99),
        exact_us=us["exact"],
        carried_us=us["carried"],
        carried_medium_us=us["carried medium"],
        carried_peer=carrier,
        carried_peer_us=us[f"carried {carrier}"],
        peer=peer,
        peer_us=us[f"every {peer}"],
        flag_us={share: us[f"flag {share:g}"] for share in SHARES},
        recomputed={share: found.audit.share_recomputed for share, found in flags.items()},
        missed={
            share: int((truth[share] & ~found.flagged).sum()) for share, found in flags.items()
        },
        bound={share: found.audit.wrong_at_most for share, found in flags.items()},
    )


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a Markdown table: microseconds a row, and times as fast as the peers."""
    header = ["network", "seams p99", "score", "carried / bf16", "carried peer"]
    header += ["peer, every window"]
    for share in SHARES:
        name = f"p{share:g}"
        header += [f"flag {name}", "recomputed", "missed / bound", "to peer", "to carried peer"]
    found = [header]
    for line in lines:
        cells = [line.network, f"{line.seam_p99:.0e}", f"{line.exact_us:.2f}"]
        cells += [f"{line.carried_us:.2f} / {line.carried_medium_us:.2f}"]
        cells += [f"{line.carried_peer} {line.carried_peer_us:.2f}"]
        cells += [f"{line.peer} {line.peer_us:.2f}"]
        for share in SHARES:
            took = line.flag_us[share]
            cells += [f"{took:.2f}", f"{line.recomputed[share]:.2%}"]
            cells += [f"{line.missed[share]} / {line.bound[share]:.0f}"]
            cells += [f"{line.peer_us / took:.1f}x", f"{line.carried_peer_us / took:.2f}x"]
        found.append(cells)
    return markdown(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all networks and print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audited_speed", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with smd/machine-1-6.npz")
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru"], choices=["lstm", "gru"])
    parser.add_argument("--windows", type=positive, nargs="+", default=[50, 100, 250])
    parser.add_argument("--features", type=positive, nargs="+", default=[7, 38])
    parser.add_argument("--rows", type=positive, default=1_000_000)
    parser.add_argument("--epochs", type=positive, default=10)
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--repeats", type=positive, default=3)
    add_json(parser)
    options = parser.parse_args(arguments)
    about = conditions("benchmarks.audited_speed", "full", [options.threads], arguments=arguments)
    print_conditions(about)
    lines = []
    with settings_restored():
        for features, cell in itertools.product(options.features, options.cells):
            train, test = load(options.data, features)
            series = repeated(test, options.rows)
            for window in options.windows:
                network = f"{cell.upper()} 64, W={window}, {features} features"
                stride = max(1, window // 10)
                model = trained(train, cell, window, 64, epochs=options.epochs, stride=stride)
                lines.append(measure(network, model, series, options.threads, options.repeats))
                print(f"{network}: done", file=sys.stderr)
    print(table(lines))
    if options.json:
        content: Mapping[str, Any] = {"conditions": about, "lines": [asdict(x) for x in lines]}
        write_json(options.json, content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
