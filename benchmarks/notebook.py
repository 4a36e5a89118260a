"""``python -m benchmarks.notebook``: the ways of a notebook beside slidecell, end to end.

Scores: all windows of users in a frame, from finding whose rows are whose to a number per window.
The notebook's ways (`notebook_ways`) run on a sample of the users, but look for them in the whole
frame as there; slidecell scores the whole series. The NumPy cell gets its windows ready made.
Training: five architectures for three epochs, batches of 2,048, which is the notebook's size, the
one that ``slidecell reproduce insider-threat`` uses and the one that `fit` takes by itself here.
slidecell trains completely; of the notebook's way some batches are timed and *scaled* to all of
them, unless ``--full`` runs all. A smaller study is trained completely in both ways, from equal
weights, and the validation losses stand side by side.

What it does not show: the study is generated, in the published size; reading and scaling the file
is not counted on either side; batch times are medians, which is kind to the notebook.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import told
from benchmarks.notebook_score import OURS, Scored, ScoreEffort, Users, score_case
from benchmarks.notebook_train import (
    EPOCHS,
    Training,
    search_ours,
    train_complete,
    train_sampled,
)
from slidecell.bench.command import json_file
from slidecell.bench.report import markdown, short_number, write_json
from slidecell.datasets import insider_threat_study
from slidecell.detect import INSIDER_THREAT_ARCHITECTURES as ARCHITECTURES
from slidecell.scaling import apply_scaler, fit_scaler

# The cell that the notebook writes by hand has four units.
SCORED = {"LSTM 4": {"cell": "lstm", "hidden_size": 4}, **ARCHITECTURES}


@dataclass(frozen=True)
class Effort:
    """How much to spend."""

    name: str
    users: int
    score: ScoreEffort
    both_users: int  # of the study that is trained completely in both ways
    batches: int  # timed per architecture and scaled; 0: no scaling
    users_timed: int  # whose windows are built as in the notebook, and scaled


QUICK = Effort("quick", 400, ScoreEffort(2, 400, 20, 64), both_users=60, batches=0, users_timed=60)
DEFAULT = Effort(
    "default", 4_000, ScoreEffort(3, 4_000, 40, 256), both_users=150, batches=60, users_timed=60
)
FULL = Effort(
    "full", 4_000, ScoreEffort(3, 4_000, 200, 1_000), both_users=4_000, batches=0, users_timed=4_000
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.notebook",
        description="The ways of a notebook beside slidecell. Exit status 1 if any answer is "
        "wrong.",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="few users: less than a minute")
    size.add_argument(
        "--full",
        action="store_true",
        help="train completely in both ways, nothing scaled: a quarter of an hour or more",
    )
    parser.add_argument("--part", choices=("score", "train"), help="default: both")
    parser.add_argument(
        "--threads",
        type=told.thread_count,
        metavar="N",
        help="default: scores on 1 and on all cores, training on all; with --quick 1",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="networks whose name has this text"
    )
    parser.add_argument("--json", type=json_file, metavar="FILE", help="write all there, too")
    options = parser.parse_args(arguments)
    options.scored, options.trained = (
        {name: config for name, config in configs.items() if options.only in name}
        for configs in (SCORED, ARCHITECTURES)
    )
    if not (options.trained if options.part == "train" else options.scored):
        parser.error(f"--only: expected a part of one of {'; '.join(SCORED)}")
    options.effort = QUICK if options.quick else FULL if options.full else DEFAULT
    most = options.threads or (1 if options.quick else cores)
    options.score_threads = [most] if options.threads else sorted({1, most})
    options.train_threads = most
    return options


def study(users: int) -> Users:
    """Make the users' rows, scaled, and the frame that the notebook has them in."""
    made = insider_threat_study(users=users, seed=0, injected_users=0)
    rows = apply_scaler(fit_scaler(made.counts[made.rows_of("train")], "minmax"), made.counts)
    names = made.users.tolist()
    frame = pd.DataFrame({"user": np.repeat(made.users, np.diff(made.offsets))})
    return Users(frame, rows, made.offsets, names)


def scores(data: Users, options: argparse.Namespace) -> list[Scored]:
    """Score with every architecture on every number of threads."""
    found = []
    for threads in options.score_threads:
        for name, config in options.scored.items():
            found += score_case(name, config, data, threads, options.effort.score)
            tell(f"score {name}, threads {threads}: {short_number(mine(found))} windows/s")
    return found


def mine(found: Sequence[Scored]) -> float:
    """Rate of our last result."""
    return next(way.rate for way in reversed(found) if way.contestant == OURS)


def trainings(data: Users, options: argparse.Namespace) -> dict[str, Training]:
    """Train the five: completely in both ways, and scaled where that would take too long."""
    effort, threads = options.effort, options.train_threads
    own = training_users(data)
    found = {}
    if effort.batches:
        found["scaled"] = train_sampled(
            options.trained,
            own,
            threads,
            batches=effort.batches,
            users_timed=effort.users_timed,
            tell=tell,
        )
    both = own.first(effort.both_users)
    found["complete"] = train_complete(options.trained, both, threads, tell=tell)
    return found


def training_users(data: Users) -> Users:
    """Four fifths of the users, as the notebook splits them."""
    return data.first(len(data.names) * 4 // 5)


def tell(line: str) -> None:
    """Show progress on stderr."""
    print(line, file=sys.stderr)


def score_table(found: Sequence[Scored]) -> str:
    """Every way, its rate and its error."""
    rows = []
    before = None
    for way in found:
        new = (way.case, way.threads) != before
        before = way.case, way.threads
        ends = [short_number(way.windows / s) for s in (max(way.seconds), min(way.seconds))]
        rows.append([
            way.case if new else "",
            str(way.threads) if new else "",
            way.contestant,
            f"{way.windows:,}",
            f"{short_number(way.rate)} windows/s",
            " - ".join(ends),
            "" if new else f"{way.ratio:.0f}x",
            "-" if way.max_error is None else f"{way.max_error:.1e}",
            "ok" if way.right else "WRONG",
        ])  # fmt: skip
    header = ("network", "threads", "way", "windows timed", "rate", "lowest - highest")
    return markdown([[*header, "slidecell is", "max error", "check"], *rows])


def train_table(found: Training) -> str:
    """Every architecture in both ways, and their sums."""
    rows = [
        [
            case.case,
            f"{case.theirs:.1f} s",
            f"{case.scaled_from} batches" if case.scaled_from else "all batches",
            f"{case.ours:.1f} s",
            f"{case.theirs / case.ours:.2f}x",
            "-" if case.their_loss is None else f"{case.their_loss:.6f}",
            f"{case.our_loss:.6f}",
            "ok" if case.right else "WRONG",
        ]
        for case in found.cases
    ]
    timed = f"{found.users_timed:,} of {found.users:,} users"
    networks = sum(case.theirs for case in found.cases)
    blank = ["", "", ""]
    rows += [
        ["windows by user, as there", f"{found.by_user:.1f} s", timed, "", "", *blank],
        ["windows to tensors", f"{found.loaders:.1f} s", "all", "", "", *blank],
        _sum_row("all", found.theirs, found.ours),
        _sum_row("all but windows by user", networks + found.loaders, found.ours),
    ]
    header = ("network", "notebook", "timed", "slidecell", "slidecell is")
    return markdown([[*header, "notebook's loss", "slidecell's loss", "check"], *rows])


def _sum_row(name: str, theirs: float, ours: float) -> list[str]:
    return [name, f"{theirs:.1f} s", "", f"{ours:.1f} s", f"{theirs / ours:.2f}x", "", "", ""]


def title(kind: str, found: Training) -> str:
    """Say what a table of training is about."""
    what = "the notebook's seconds SCALED from a sample" if kind == "scaled" else "nothing scaled"
    return (
        f"Training, {found.users:,} users, {found.training_windows:,} + "
        f"{found.validation_windows:,} windows, {EPOCHS} epochs, threads {found.threads}; {what}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parse(arguments)
    about = {
        **told.conditions("benchmarks.notebook", options.effort.name),
        "pandas": pd.__version__,
        "training threads": options.train_threads,
    }
    data = study(options.effort.users)
    scored = scores(data, options) if options.part != "train" else []
    trained = trainings(data, options) if options.part != "score" and options.trained else {}
    report: dict[str, Any] = {
        "conditions": about,
        "scores": [asdict(way) for way in scored],
        "training": {kind: asdict(found) for kind, found in trained.items()},
    }
    if options.full and trained:
        seconds, losses = search_ours(options.trained, training_users(data), options.train_threads)
        report["search"] = {"seconds": seconds, "validation losses": losses}
    told.print_conditions(about)
    if scored:
        print(f"\n{score_table(scored)}")
    for kind, training in trained.items():
        print(f"\n{title(kind, training)}\n\n{train_table(training)}")
    if "search" in report:
        search = f"search_architectures, {options.train_threads} at a time on a thread each"
        print(f"\nslidecell, {search}: {report['search']['seconds']:.1f} s")
    if options.json:
        write_json(options.json, report)
    right = [way.right for way in scored]
    right += [case.right for training in trained.values() for case in training.cases]
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
