"""``python -m benchmarks.notebook``: the ways of a notebook beside slidecell, end to end.

Scores: all windows of users in a frame, from finding whose rows are whose to a number per window.
Loaders: a shuffled epoch of windows, beside a step of training on them. Training: five
architectures for three epochs, batches of 2,048, which is the notebook's size, the one that
``slidecell reproduce insider-threat`` uses and the one that `fit` takes by itself here. slidecell
trains completely; of the notebook's way some batches are timed and *scaled* to all of them, unless
``--full`` runs all. A smaller study is trained completely in both ways, from equal weights, and the
validation losses stand side by side.

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

from benchmarks.command import add_json, conditions, print_conditions, thread_count
from benchmarks.notebook.loaders import BATCH, loaders_table, measure_loaders
from benchmarks.notebook.score import Scored, ScoreEffort, Users, score_case
from benchmarks.notebook.tables import score_table, train_table, train_title
from benchmarks.notebook.train import (
    Training,
    search_ours,
    train_complete,
    train_sampled,
)
from slidecell.bench.command import positive
from slidecell.bench.conditions import PACKAGES
from slidecell.bench.progress import Progress, progress
from slidecell.bench.report import write_json
from slidecell.datasets import insider_threat_study
from slidecell.detect import INSIDER_THREAT_ARCHITECTURES as ARCHITECTURES
from slidecell.scaling import apply_scaler, fit_scaler

PARTS = ("score", "load", "train")

# The cell that the notebook writes by hand has four units.
SCORED = {"LSTM 4": {"cell": "lstm", "hidden_size": 4}, **ARCHITECTURES}


@dataclass(frozen=True)
class Effort:
    """How much data each part gets, and how often it is timed."""

    name: str
    users: int
    score: ScoreEffort
    both_users: int  # of the study that is trained completely in both ways
    batches: int  # timed per architecture and scaled; 0: no scaling
    users_timed: int  # whose windows are built as in the notebook, and scaled
    load_windows: int = 1_100_000  # that an epoch of the loaders has
    load_repeats: int = 7


QUICK = Effort(
    "quick",
    400,
    ScoreEffort(2, 400, 20, 64),
    both_users=60,
    batches=0,
    users_timed=60,
    load_windows=110_000,
    load_repeats=3,
)
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
    parser.add_argument("--part", choices=PARTS, help="default: all three of them")
    parser.add_argument(
        "--threads",
        type=thread_count,
        metavar="N",
        help="default: scores on 1 and on all cores, loaders on 1, training on all; with --quick 1",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="networks whose name has this text"
    )
    parser.add_argument(
        "--windows", type=positive, metavar="N", help="windows of the loaders' epoch, about"
    )
    parser.add_argument("--repeats", type=positive, metavar="N", help="samples of each loader")
    add_json(parser)
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
    options.load_threads = options.threads or 1
    options.train_threads = most
    options.load_windows = options.windows or options.effort.load_windows
    options.load_repeats = options.repeats or options.effort.load_repeats
    options.parts = [options.part] if options.part else list(PARTS)
    return options


def study(users: int) -> Users:
    """Make the users' rows, scaled, and the frame that the notebook has them in."""
    made = insider_threat_study(users=users, seed=0, injected_users=0)
    rows = apply_scaler(fit_scaler(made.counts[made.rows_of("train")], "minmax"), made.counts)
    names = made.users.tolist()
    frame = pd.DataFrame({"user": np.repeat(made.users, np.diff(made.offsets))})
    return Users(frame, rows, made.offsets, names)


def scores(data: Users, options: argparse.Namespace, steps: Progress) -> list[Scored]:
    """Score with every architecture on every number of threads."""
    found = []
    for threads in options.score_threads:
        for name, config in options.scored.items():
            steps.begin(f"score {name}, threads {threads}")
            found += score_case(name, config, data, threads, options.effort.score)
            steps.end()
    return found


def trainings(data: Users, options: argparse.Namespace, steps: Progress) -> dict[str, Training]:
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
            steps=steps,
        )
    both = own.first(effort.both_users)
    found["complete"] = train_complete(options.trained, both, threads, steps=steps)
    return found


def training_users(data: Users) -> Users:
    """Four fifths of the users, as the notebook splits them."""
    return data.first(len(data.names) * 4 // 5)


def steps_of(options: argparse.Namespace) -> int:
    """Count what the parts of a run do, one step each."""
    trained = len(options.trained) * (2 if options.effort.batches else 1)
    counts = {
        "score": len(options.scored) * len(options.score_threads),
        "load": 1,
        "train": trained + (options.full and bool(trained)),
    }
    return sum(counts[part] for part in options.parts)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the parts that were asked for; return what each found."""
    found: dict[str, Any] = {}
    with progress(steps_of(options)) as steps:
        needs_study = {"score", "train"} & set(options.parts)
        data = study(options.effort.users) if needs_study else None
        if data and "score" in options.parts:
            found["scores"] = scores(data, options, steps)
        if "load" in options.parts:
            steps.begin("load")
            found["seconds"] = measure_loaders(
                options.load_windows, options.load_threads, options.load_repeats
            )
            steps.end()
        if data and "train" in options.parts and options.trained:
            found["training"] = trainings(data, options, steps)
            if options.full:
                steps.begin("search")
                own, threads = training_users(data), options.train_threads
                seconds, losses = search_ours(options.trained, own, threads)
                found["search"] = {"seconds": seconds, "validation losses": losses}
                steps.end()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parse(arguments)
    about = conditions(
        "benchmarks.notebook",
        options.effort.name,
        options.score_threads,
        arguments=arguments,
        packages=(*PACKAGES, "pandas"),
    )
    about |= {"loader threads": options.load_threads, "training threads": options.train_threads}
    found = run(options)
    scored: list[Scored] = found.get("scores", [])
    trained: dict[str, Training] = found.get("training", {})
    print_conditions(about)
    if scored:
        print(f"\nScores\n\n{score_table(scored)}")
    if "seconds" in found:
        print(f"\nLoaders, {options.load_windows:,} windows, threads {options.load_threads}\n")
        print(loaders_table(found["seconds"]))
    for kind, training in trained.items():
        print(f"\n{train_title(kind, training)}\n\n{train_table(training)}")
    if "search" in found:
        search = f"search_architectures, {options.train_threads} at a time on a thread each"
        print(f"\nslidecell, {search}: {found['search']['seconds']:.1f} s")
    if options.json:
        write_json(options.json, as_json(about, options, found))
    right = [way.right for way in scored]
    right += [case.right for training in trained.values() for case in training.cases]
    return 0 if all(right) else 1


def as_json(
    about: dict[str, Any], options: argparse.Namespace, found: dict[str, Any]
) -> dict[str, Any]:
    """Return everything that was found, every sample among it."""
    report = {
        "conditions": about,
        "scores": [asdict(way) for way in found.get("scores", [])],
        "training": {kind: asdict(each) for kind, each in found.get("training", {}).items()},
    }
    if "seconds" in found:
        sizes = {"windows": options.load_windows, "threads": options.load_threads, "batch": BATCH}
        report["loaders"] = {**sizes, "seconds": found["seconds"]}
    return report | ({"search": found["search"]} if "search" in found else {})


if __name__ == "__main__":
    sys.exit(main())
