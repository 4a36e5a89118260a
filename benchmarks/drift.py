"""``python -m benchmarks.drift --data FOLDER``: faults in real series, and what the advisory says.

Into the part of each series that trains nothing a fault is injected at five places: a shift of the
level by 1, 2 or 4 standard deviations of training, a gain (all values times 1.5 or 3), a sensor
that repeats its last value, or none. An answer is right if within 500 rows the advisory is no more
fine and names the column; without a fault, if it stays fine. ``false`` is the share of the
comparisons over the whole untouched part at which the advisory is not fine.

Series: the first column of SMAP and MSL (the others are commands), all columns of ASD and SMD,
and the real ones of NAB, of which the first half trains. Of a series with several columns the
fault is in the one that changes most often. Left out are series with fewer than 1,500 rows of
training, or of 4,000 in all, or fewer than 50 different values in training. Those that drift by
themselves are reported apart: a column whose mean, over all rows that train nothing, has moved
by more than half a standard deviation of training, or whose deviation is not within half and
twice that of training. Of the rest 20 are taken, evenly; settings are chosen on every second
one (``--choose``), and reported on the others. A place where the advisory is not fine before
the fault counts in ``false`` alone; a fault that leaves half of the values as they were is
none.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import add_json, conditions, print_conditions
from benchmarks.detection.series import Listed, slidecell_series
from slidecell.bench.report import markdown, write_json
from slidecell.detect.drift import Advisory, DriftMonitor, TrainingStatistics
from slidecell.detect.stretches import Stretches, StretchSettings

FAULTS = (
    ("none", 0.0),
    ("shift", 1.0),
    ("shift", 2.0),
    ("shift", 4.0),
    ("gain", 1.5),
    ("gain", 3.0),
    ("dead", 0.0),
)
WITHIN = 500  # rows
PLACES = 5
SERIES = 20
BEFORE = 600  # rows of the untouched part before a fault
LEAST_TRAINING, LEAST_ROWS, LEAST_VALUES = 1500, 4000, 50
TRIED: dict[str, tuple[float, ...]] = {
    "rows": (150, 200),
    "usual": (0.95, 1.0),
    "least_far": (0.3, 0.4, 0.5, 0.6),
}


@dataclass(frozen=True)
class Fitted:
    """What a drift monitor asks of a detector."""

    training_statistics_: TrainingStatistics

    def feature_texts(self) -> None:
        """Return no names."""


@dataclass(frozen=True)
class Case:
    """A series, and the column that gets the faults."""

    name: str
    training: np.ndarray  # [S, C]
    live: np.ndarray  # [T, C]
    column: int

    @property
    def drifts(self) -> tuple[int, ...]:
        """The columns that drift by themselves, judged by all rows that train nothing."""
        values = [len(np.unique(column)) for column in self.training.T]
        varied = np.array(values) >= LEAST_VALUES
        sd = self.training.std(axis=0)
        with np.errstate(all="ignore"):
            moved = np.abs(self.live.mean(axis=0) - self.training.mean(axis=0)) > 0.5 * sd
            ratio = self.live.std(axis=0) / sd
        return tuple(np.flatnonzero(varied & (moved | (ratio < 0.5) | (ratio > 2.0))).tolist())


def cases(listed: Iterable[Listed]) -> list[Case]:
    """Return the series that can be judged."""
    found = []
    for one in listed:
        name = one.names[0]
        if "artificial" in name:
            continue
        series = one.series
        training = np.asarray(series.train, np.float64)
        live = np.asarray(series.test, np.float64)
        if one.set in {"SMAP", "MSL"}:
            training, live = training[:, :1], live[:, :1]
        changes = (np.diff(training, axis=0) != 0.0).mean(axis=0)
        column = int(np.argmax(changes))
        enough = len(training) >= LEAST_TRAINING and len(training) + len(live) >= LEAST_ROWS
        if enough and len(np.unique(training[:, column])) >= LEAST_VALUES:
            found.append(Case(name, training, live, column))
    return found


def fitted(case: Case, settings: StretchSettings) -> Fitted:
    """Return what a detector keeps of the training part."""
    kept = TrainingStatistics.of(case.training, np.zeros(len(case.training)))
    stretches = Stretches.of(case.training, settings=settings)
    return Fitted(TrainingStatistics(kept.columns, kept.scores, stretches))


def faulty(case: Case, place: int, fault: tuple[str, float]) -> np.ndarray:
    """Return the rows after a place with a fault in one column."""
    rows = case.live[place : place + WITHIN].copy()
    kind, size = fault
    values = rows[:, case.column]
    if kind == "shift":
        values += size * case.training[:, case.column].std()
    elif kind == "gain":
        values *= size
    elif kind == "dead":
        values[:] = case.live[place - 1, case.column]
    return rows


def advisories(watching: DriftMonitor, rows: np.ndarray) -> list[Advisory]:
    """Return the advisory of each comparison."""
    step = watching.every
    return [
        watching.update(rows[first : first + step]).advisory for first in range(0, len(rows), step)
    ]


def judge(case: Case, settings: StretchSettings) -> dict[str, Any]:
    """Return the right answers of each fault, of how many, and the false share."""
    detector = fitted(case, settings)
    untouched = advisories(DriftMonitor(detector), case.live)
    false = float(np.mean([advisory.advice != "fine" for advisory in untouched]))
    right: dict[str, list[bool]] = {named(fault): [] for fault in FAULTS}
    for place in np.linspace(BEFORE, len(case.live) - WITHIN, PLACES).astype(int).tolist():
        for fault in FAULTS:
            watching = DriftMonitor(detector)
            if advisories(watching, case.live[place - BEFORE : place])[-1].advice != "fine":
                break
            rows = faulty(case, place, fault)
            changed = rows[:, case.column] != case.live[place : place + WITHIN, case.column]
            if fault[0] != "none" and changed.mean() < 0.5:
                continue
            found = advisories(watching, rows)
            said = any(str(case.column) in advisory.columns for advisory in found)
            fine = all(advisory.advice == "fine" for advisory in found)
            right[named(fault)].append(fine if fault[0] == "none" else said)
    return {"series": case.name, "columns": case.live.shape[1], "false": false, "right": right}


def named(fault: tuple[str, float]) -> str:
    """Return the name of a fault."""
    kind, size = fault
    return f"{kind} {size:g}" if size else kind


def share(answers: Sequence[bool]) -> str:
    """Return how many are right."""
    return f"{sum(answers)}/{len(answers)}" if answers else "-"


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return the series as a table, and their sums."""
    names = [named(fault) for fault in FAULTS]
    lines = [("series", "columns", *names, "false")]
    for one in found:
        answers = [share(one["right"][name]) for name in names]
        lines.append((one["series"], str(one["columns"]), *answers, f"{100 * one['false']:.1f} %"))
    sums = [list(itertools.chain(*(one["right"][name] for one in found))) for name in names]
    percents = [f"{100 * np.mean(answers):.0f} %" if answers else "-" for answers in sums]
    false = 100 * np.mean([one["false"] for one in found])
    lines.append(("all", "", *percents, f"{false:.1f} %"))
    return markdown(lines)


def total(found: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Return the share of right answers and the false share, each series counted alike."""
    answers = [right for one in found for right in itertools.chain(*one["right"].values())]
    return float(np.mean(answers)), float(np.mean([one["false"] for one in found]))


def choose(half: Sequence[Case]) -> StretchSettings:
    """Return the settings with the most right answers, less the share that is false beyond 5 %."""
    best, most = StretchSettings(), -1.0
    for values in itertools.product(*TRIED.values()):
        settings = replace(StretchSettings(), **dict(zip(TRIED, values, strict=True)))
        right, false = total([judge(case, settings) for case in half])
        print(f"{settings}: {100 * right:.1f} % right, {100 * false:.1f} % false", file=sys.stderr)
        if right - max(false - 0.05, 0.0) > most:
            best, most = settings, right - max(false - 0.05, 0.0)
    return best


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge all series and print the tables; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of smap_msl, smd, asd, nab"
    )
    parser.add_argument("--choose", action="store_true", help="try settings on one half first")
    add_json(parser)
    options = parser.parse_args(arguments)
    about = conditions("benchmarks.drift", "full", 1, arguments=arguments)
    every = cases(slidecell_series(options.data, nab_train=0.5))
    drifting = [case for case in every if case.drifts]
    steady = [case for case in every if not case.drifts]
    if len(steady) > SERIES:
        steady = [steady[n] for n in np.linspace(0, len(steady) - 1, SERIES).astype(int).tolist()]
    settings = choose(steady[::2]) if options.choose else StretchSettings()
    parts = {
        "the half that is reported": steady[1::2],
        "the half that settings were chosen on": steady[::2],
        "series that drift by themselves": drifting,
    }
    results = {}
    for title, part in parts.items():
        found = results[title] = [judge(case, settings) for case in part]
        if found:
            right, false = total(found)
            print(f"\n{title}: {100 * right:.1f} % right, {100 * false:.1f} % false\n")
            print(table(found))
    print(f"\nsettings: {settings}")
    print_conditions(about)
    if options.json:
        write_json(options.json, {"conditions": about, "series": results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
