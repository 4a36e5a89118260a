"""``python -m benchmarks.detection --data FOLDER``: detectors on labelled series, by VUS-PR.

The forecaster and the autoencoder run with untouched defaults beside two simple baselines and a
random score, on every series of SMAP, MSL, SMD, ASD and NAB that the folder holds; ``--detector``
takes any others by their names on the command line of ``slidecell``, with options of their classes,
and PyOD's where it is installed. Each detector is fitted on a series' training part and scores its
test part; all are judged on the same test rows, those that every detector scores. With ``--format
tsb`` the folder holds TSB-AD's CSV files: detectors are fitted on as many rows as the file's name
says, and score and are judged on all rows of the file, as TSB-AD does it.

VUS-PR depends on the greatest buffer. ``--vus-window 100``, the default, is that of the tables in
README.md and of results/detection.json, and ``evaluate(labels, scores, vus_window=100)`` gives the
same figure for one series. ``--vus-window auto`` is what `evaluate` takes without that argument:
the median length of the series' own anomalies, between 10 and 100 rows.

The event F1 is `slidecell.evaluate.event_f1`, without point adjustment, of the rows above the
detector's own threshold; beside it stands the oracle's: at the threshold with the best F1 by row on
these very labels, which in use are unknown. A further
table counts the events that a person would look at, at that threshold on all rows:
labelled windows hit beside what as many random events hit, events outside, and the rate seen
against the rate asked (``--detector kmeans:threshold=5%``). Seconds are CPU time on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import slidecell as sc
from benchmarks.detection import contestants
from benchmarks.detection.contestants import RANDOM, Contestant, parse_contestant
from benchmarks.detection.judging import VUS_WINDOW, Job, run
from benchmarks.detection.pyod_peers import PEERS
from benchmarks.detection.report import (
    RESAMPLES,
    alarms_text,
    compare_all,
    long_table,
    table,
)
from benchmarks.detection.series import FORMATS, Listed, chosen, slidecell_series, tsb_series
from slidecell.detect.registry import detector_names

AUTO = "auto"


def buffer(text: str) -> int | None:
    """Return the buffer that ``--vus-window`` names; None for ``auto``."""
    if text == AUTO:
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of rows or {AUTO}, got {text!r}")
    return int(text)


def contestant(text: str) -> Contestant:
    """Return the detector that ``--detector`` names."""
    try:
        return parse_contestant(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def share(text: str) -> float:
    """Return a number between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {text!r}")
    return value


def whole(least: int, text: str) -> int:
    """Return a whole number that is not below the least."""
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} on, got {text!r}")
    return int(text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with smap_msl, smd, asd, nab, or CSV files"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="tsb: the folder holds TSB-AD's CSV files (default: %(default)s)",
    )
    parser.add_argument(
        "--series", type=Path, metavar="LIST", help="file of names, one a line: asd/omi-1, nab/x"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="series whose name has this")
    parser.add_argument(
        "--nab-train",
        type=share,
        metavar="SHARE",
        help="training share of the rows of NAB's files (default: the benchmark's own, 15 %% of "
        "the first 5,000 rows)",
    )
    parser.add_argument(
        "--detector",
        type=contestant,
        nargs="+",
        default=[],
        metavar="NAME[:OPTION=VALUE,...]",
        help=f"of {', '.join([*detector_names(), *PEERS])}, such as autoencoder:aggregate=mean "
        "(default: forecaster, autoencoder, z-score, PCA)",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        action="append",
        default=[],
        metavar=("A", "B"),
        help=f"paired bootstrap of two of them, {RESAMPLES:,} resamples of the series; repeatable",
    )
    parser.add_argument("--seed", type=lambda text: whole(0, text), default=0, metavar="N")
    parser.add_argument(
        "--submit", type=Path, metavar="FOLDER", help="write FOLDER/DETECTOR/SERIES.csv: row, score"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    parser.add_argument(
        "--processes", type=lambda text: whole(1, text), default=os.cpu_count() or 1, metavar="N"
    )
    parser.add_argument(
        "--vus-window",
        type=buffer,
        default=VUS_WINDOW,
        metavar="ROWS",
        help=f"greatest buffer of VUS-PR in rows, or {AUTO}: each series' own, as evaluate() "
        f"chooses it (default: {VUS_WINDOW}, as in README.md)",
    )
    options = parser.parse_args(arguments)
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json: expected a file in a folder that is there, got {options.json}")
    if options.submit and options.submit.exists() and not options.submit.is_dir():
        parser.error(f"--submit: expected a folder, got {options.submit}: a file")
    options.contestants = tuple(options.detector) or contestants.DEFAULTS
    titles = [one.title for one in options.contestants]
    if twice := sorted({title for title in titles if titles.count(title) > 1}):
        parser.error(f"--detector: {', '.join(twice)} comes twice")
    for name in (name for pair in options.compare for name in pair):
        if name not in {*titles, RANDOM}:
            known = ", ".join([*titles, RANDOM])
            parser.error(f"--compare: expected two of {known}, got {name!r}")
    return options


def listed_series(options: argparse.Namespace) -> list[Listed]:
    """Return the series that are asked for."""
    if options.format == "tsb":
        listed = list(tsb_series(options.data))
    else:
        listed = list(slidecell_series(options.data, options.nab_train))
    if options.series:
        listed = chosen(listed, options.series)
    return [one for one in listed if options.only in one.series.name]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 1 if a file could not be read or a detector failed."""
    options = parse(arguments)
    try:
        listed = listed_series(options)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    if not listed:
        what = "CSV files" if options.format == "tsb" else "series of SMAP, MSL, SMD, ASD or NAB"
        print(f"{options.data}: no {what} found", file=sys.stderr)
        return 2
    jobs = [
        Job(
            one.set,
            one.series,
            options.vus_window,
            options.contestants,
            one.names[0],
            options.seed,
            options.submit,
        )
        for one in listed
    ]
    began = time.perf_counter()
    results = run(jobs, options.processes)
    found = [figures for result in results for figures in result.found]
    counted = [one for result in results for one in result.counted]
    faults = [fault for result in results for fault in result.faults]
    left_out = [result.left_out for result in results if result.left_out]
    own = options.vus_window is None
    buffers = "each series' own buffer" if own else f"buffers up to {options.vus_window} rows"
    compared = []
    if found:
        try:
            compared = compare_all(found, options.compare)
        except ValueError as error:
            faults.append(str(error))
        print(f"\nVUS-PR ({buffers}) / PR-AUC, mean over the series of each set\n")
        print(table(found))
        print(f"\nAll means; VUS-PR: {buffers}; alignment end: a score sees no later row,")
        print("cover: it is of all windows that cover the row\n")
        print(long_table(found))
    if counted:
        print(f"\n{alarms_text(counted)}")
    if compared:
        print(f"\nPaired bootstrap over the series, {RESAMPLES:,} resamples, seed 0\n")
    for comparison in compared:
        print(comparison)
    if "NAB" in {one.set for one in listed} and options.format == "slidecell":
        part = "15 % of the first 5,000 rows, the benchmark's own"
        if options.nab_train:
            part = f"{options.nab_train:.0%} of the rows"
        print(f"\nNAB: training part: {part}")
    for text in [*left_out, *(f"failed: {fault}" for fault in faults)]:
        print(text)
    print(f"\nslidecell {sc.__version__}, {len(jobs)} series, {time.perf_counter() - began:.0f} s")
    if options.json:
        report = {
            "vus_window": AUTO if own else options.vus_window,
            "seed": options.seed,
            "found": [asdict(f) for f in found],
            "alarms": [asdict(c) for c in counted],
            "compared": [asdict(c) for c in compared],
            "left_out": left_out,
            "faults": faults,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if faults or not found else 0


if __name__ == "__main__":
    sys.exit(main())
