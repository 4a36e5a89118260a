"""Wrong flags of `SequenceModel.flag` on trained nets, what it computes again, and its speed.

``python -m benchmarks.audited DATA`` prints one line per series, cell, window, method and
threshold. DATA is a folder with ``asd/``, ``smd/`` and ``smap_msl/channels/`` (each series an
``.npz`` of ``train`` and ``test`` rows), ``nab/data/`` and ``creditcard/`` (halves). Rows are
scaled to the range of the training rows; test rows are repeated with noise of 1 % of that range
where a series is shorter than ``--rows``. Nets are trained on the last 8,000 training rows with a
fixed seed.

``--all`` takes all series, in an order that soon has each of them once, then each cell of it.
``--out FILE`` keeps each net's lines as it ends: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.audited_series import series_of, series_paths
from benchmarks.command import conditions, thread_count
from benchmarks.trained_nets import trained
from slidecell.bench.command import positive
from slidecell.bench.progress import progress
from slidecell.bench.report import markdown
from slidecell.bench.workloads import Floats
from slidecell.training.threads import torch_threads

USUAL = ("omi-1", "machine-1-6", "P-1")
TRAINED_ROWS = 8000
METHODS = ("carried", "carried_low", "low", "medium", "auto")
SETTINGS = ("methods", "rows", "epochs", "hidden_size", "audit")  # a file has those of one run
HEADER = (
    "series        cell  W    method   threshold  missed  false  bound  exact %   seam p99"
    "  x exact  how"
)


class Case(NamedTuple):
    """A trained net."""

    series: str
    cell: str
    window: int


@dataclass(frozen=True)
class Line:
    """What one threshold and method gave, against the flags of the exact scores."""

    method: str
    threshold: str
    alarms: int  # of the exact scores
    missed: int
    false: int
    bound: float  # misses at most, at 95 % confidence
    windows: int
    recomputed: int
    seam_p99: float | None  # none without seams
    times_exact: float  # exact seconds over seconds
    how: str  # "exact" where the method stepped aside
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """Return the line of the table."""
        seam = np.nan if self.seam_p99 is None else self.seam_p99
        return (
            f"{self.method:8} {self.threshold:10} {self.missed:6} {self.false:6} {self.bound:6.0f}"
            f" {100 * self.recomputed / self.windows:8.2f} {seam:10.1e}"
            f" {self.times_exact:8.1f}  {self.how}"
        )


COLUMNS = [field.name for field in fields(Line)]


def cases_of(names: Sequence[str], cells: Sequence[str], windows: Sequence[int]) -> list[Case]:
    """Return all combinations: each pass has every series once, with changing cells and windows."""
    cases = []
    for number in range(len(cells) * len(windows)):
        for which, name in enumerate(names):
            column = (which + number) % len(cells)
            window = windows[(which + column + number // len(cells)) % len(windows)]
            cases.append(Case(name, cells[column], window))
    return cases


def thresholds(exact: Floats) -> Iterator[tuple[str, float]]:
    """Return percentiles of the exact scores, and thresholds that are hard to get right."""
    scores = np.sort(exact[~np.isnan(exact)]).astype(np.float64)
    for percentile in (95.0, 99.0, 99.9):
        yield f"p{percentile:g}", float(np.percentile(scores, percentile))
    rank = int(0.98 * len(scores))
    yield "on a score", float(scores[rank])
    gaps = np.diff(scores[rank - 500 : rank + 500])
    near = rank - 500 + int(np.argmin(np.where(gaps > 0, gaps, np.inf)))
    yield "between", float((scores[near] + scores[near + 1]) / 2)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and the seconds it took."""
    begin = time.perf_counter()
    result = call()
    return result, time.perf_counter() - begin


def lines(
    model: Any, rows: Floats, audit: int, methods: Sequence[str], threads: int | None = None
) -> Iterator[Line]:
    """Return one line for each threshold and method."""
    exact, usual = timed(lambda: model.score(rows, num_threads=threads))
    for name, threshold in thresholds(exact):
        truth = exact.astype(np.float64) > threshold
        for method in methods:
            flags, seconds = timed(
                lambda t=threshold, m=method: model.flag(
                    rows, t, audit=audit, speculate=m, num_threads=threads
                )
            )
            found = flags.audit
            yield Line(
                method,
                name,
                alarms=int(truth.sum()),
                missed=int((truth & ~flags.flagged).sum()),
                false=int((flags.flagged & ~truth).sum()),
                bound=round(found.wrong_at_most, 1),
                windows=found.windows,
                recomputed=found.recomputed,
                seam_p99=None if np.isnan(found.seam_p99) else float(f"{found.seam_p99:.3g}"),
                times_exact=round(usual / seconds, 1),
                how=found.method,
                reasons=found.reasons,
            )


class Results:
    """The lines of every net, in a file of JSON lines where one is given.

    Raises
    ------
    ValueError
        If the file is of other settings.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any], about: Any) -> None:
        self.path = path
        self.cases: dict[Case, list[Line]] = {}
        if path is None:
            return
        old = path.read_text(encoding="utf-8") if path.is_file() else ""
        whole = old[: old.rfind("\n") + 1]  # without a line that a kill has cut
        head, *rest = [json.loads(line) for line in whole.splitlines()] or [None]
        if head is None:
            head = {"settings": dict(settings), "conditions": about, "columns": COLUMNS}
            whole = json.dumps(head) + "\n"
        if head["settings"] != settings:
            raise ValueError(
                f"--out: {path}: expected settings {dict(settings)}, got {head['settings']}"
            )
        for found in rest:
            self.cases[Case(*found["case"])] = [
                Line(*values, reasons=tuple(reasons)) for *values, reasons in found["lines"]
            ]
        if whole != old:
            path.write_text(whole, encoding="utf-8")

    def add(self, case: Case, found: list[Line]) -> None:
        """Keep the lines of a net."""
        self.cases[case] = found
        if self.path is not None:
            text = json.dumps({"case": case, "lines": [astuple(line) for line in found]})
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")


def summary(cases: Mapping[Case, Sequence[Line]]) -> str:
    """Return a table with a line per method, and the runs with misses or false alarms by name."""
    header = ["method", "nets", "runs", "windows", "alarms", "missed", "runs with misses"]
    header += ["misses above the bound", "false", "stepped aside", "computed again"]
    table, named = [header], []
    runs = [(case, line) for case, found in cases.items() for line in found]
    for method in dict.fromkeys(line.method for _, line in runs):
        ours = [(case, line) for case, line in runs if line.method == method]
        windows = sum(line.windows for _, line in ours)
        ran = [line for _, line in ours if line.how != "exact"]
        share = sum(x.recomputed for x in ran) / max(1, sum(x.windows for x in ran))
        found = [method, len({case for case, _ in ours}), len(ours), f"{windows:,}"]
        found += [f"{sum(line.alarms for _, line in ours):,}"]
        found += [sum(line.missed for _, line in ours), sum(line.missed > 0 for _, line in ours)]
        found += [sum(line.missed > line.bound for _, line in ours)]
        found += [sum(line.false for _, line in ours), len(ours) - len(ran), f"{share:.1%}"]
        table.append([str(x) for x in found])
        for case, line in ours:
            if line.missed or line.false:
                named.append(
                    f"{case.series}, {case.cell}, W={case.window}, {method}, {line.threshold}: "
                    f"{line.missed} missed of {line.alarms:,} (bound {line.bound:.0f}), "
                    f"{line.false} false"
                )
    return "\n".join([markdown(table), *named])


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audited", description=__doc__)
    parser.add_argument("data", type=Path)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--series", nargs="+", default=list(USUAL))
    which.add_argument("--all", action="store_true", help="all series of the folder")
    parser.add_argument("--cells", nargs="+", default=["lstm", "gru"], choices=["lstm", "gru"])
    parser.add_argument("--windows", nargs="+", type=positive, default=[32, 50, 100])
    parser.add_argument(
        "--methods", nargs="+", default=["carried", "low", "medium"], choices=METHODS
    )
    # So that even windows of 100 rows are 100,000.
    parser.add_argument("--rows", type=positive, default=100_100)
    parser.add_argument("--epochs", type=positive, default=5)
    parser.add_argument("--hidden-size", type=positive, default=64)
    parser.add_argument("--audit", type=positive, default=1024)
    parser.add_argument("--threads", type=thread_count)
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep lines there, and go on")
    given = parser.parse_args(arguments)
    try:
        given.paths = series_paths(given.data)
        unknown = [name for name in given.series if name not in given.paths and not given.all]
        if unknown:
            raise ValueError(f"--series: expected names of {', '.join(given.paths)}, got {unknown}")
        given.settings = {name: getattr(given, name) for name in SETTINGS}
        about = conditions("benchmarks.audited", "full", given.threads or "default")
        given.results = Results(given.out, given.settings, about)
    except ValueError as error:
        parser.error(str(error))
    return given


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and what it sums up to."""
    given = parse(arguments)
    results: Results = given.results
    names = list(given.paths) if given.all else given.series
    cases = [c for c in cases_of(names, given.cells, given.windows) if c not in results.cases]
    print(HEADER, flush=True)
    with torch_threads(given.threads), progress(len(cases)) as steps:
        for case in cases:
            steps.begin(f"{case.series}, {case.cell}, W={case.window}")
            train, rows = series_of(given.paths, case.series, given.rows)
            model = trained(
                train[-TRAINED_ROWS:],
                case.cell,
                case.window,
                given.hidden_size,
                epochs=given.epochs,
                batch_size=128,
                patience=5,
            )
            found = []
            for line in lines(model, rows, given.audit, given.methods, given.threads):
                found.append(line)
                print(f"{case.series:13.13} {case.cell:5} {case.window:<4} {line}", flush=True)
            results.add(case, found)
            steps.end()
    print(f"\n{summary(results.cases)}")


if __name__ == "__main__":
    main()
