"""``python -m benchmarks``: all cases against all peers in one run, as a table."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch

import slidecell as sc
from benchmarks import measure, report
from benchmarks.cases import CASES
from benchmarks.peers import PEERS


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare slidecell with its peers. Exit status 1 if any answer is wrong.",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick",
        action="store_true",
        help="less data, fewer repeats: about a minute",
    )
    size.add_argument(
        "--smoke", action="store_true", help="tiny data: shows that all works, times mean nothing"
    )
    parser.add_argument(
        "--threads",
        type=thread_counts,
        default=None,
        metavar="N,N",
        help="default: 1 and all cores; with --quick and --smoke 1",
    )
    parser.add_argument("--isa", choices=sc.available_isas(), help="force slidecell's kernels")
    parser.add_argument("--repeats", type=positive, help="samples of each contestant")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    options = parser.parse_args(arguments)
    options.cases = [case for case in CASES if options.only in case.name]
    if not options.cases:
        parser.error(f"--only: expected a part of one of {', '.join(c.name for c in CASES)}")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json: expected a file in a folder that is there, got {options.json}")
    if options.threads is None:
        cores = os.cpu_count() or 1
        options.threads = [1] if options.quick or options.smoke else sorted({1, cores})
    options.effort = (
        measure.QUICK if options.quick else measure.SMOKE if options.smoke else measure.FULL
    )
    if options.repeats:
        options.effort = replace(options.effort, repeats=options.repeats)
    return options


def positive(text: str) -> int:
    """Read an integer >= 1."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def thread_counts(text: str) -> list[int]:
    """Read "1,2"."""
    return [positive(part) for part in text.split(",")]


@contextmanager
def settings_restored() -> Iterator[None]:
    """Leave torch's threads and our ISA as they were."""
    threads, isa = torch.get_num_threads(), sc.active_isa()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        sc.set_isa(isa)


def run(options: argparse.Namespace) -> list[measure.Result]:
    """Hold all contests, with a line on stderr after each."""
    results = []
    for case in options.cases:
        start = perf_counter()
        job = case.job(options.effort.max_rows)
        for threads in options.threads if job.threaded else [1]:
            results += measure.contest(job, PEERS[case.kind], threads, options.effort)
        print(f"{case.name}: {perf_counter() - start:.1f} s", file=sys.stderr)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parse(arguments)
    with settings_restored():
        if options.isa:
            sc.set_isa(options.isa)
        about = report.conditions(options.threads, options.effort)
        results = run(options)
        about["load average"] = [about["load average"], report.load_average()]
    for key, value in about.items():
        print(f"{key}: {value}")
    print(f"\n{report.table(results)}\n\n{report.summary(results)}")
    if options.json:
        report.write_json(options.json, about, results)
    return 0 if all(result.right for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
