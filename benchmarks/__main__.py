"""``python -m benchmarks``: all cases against all peers in one run, as a table."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import slidecell as sc
from benchmarks import cold_start
from benchmarks.cases import CASES
from benchmarks.command import add_json, conditions
from benchmarks.peers import PEERS
from slidecell.bench import measure, report
from slidecell.bench.command import positive, thread_counts
from slidecell.bench.conditions import with_load_at_end
from slidecell.bench.limits import limited, run_again
from slidecell.bench.peers import absent
from slidecell.bench.ratios import geometric_means
from slidecell.bench.run import run_contests, settings_restored

RESULTS = Path(__file__).parent / "results"
COLD_STARTS = {measure.FULL.name: 7, measure.QUICK.name: 1}  # processes of each; others: none


def parse(arguments: Sequence[str]) -> argparse.Namespace:
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
    parser.add_argument(
        "--isa",
        choices=sc.available_isas(),
        help="force slidecell's kernels; avx2 also limits the peers that can be limited",
    )
    parser.add_argument("--repeats", type=positive, help="samples of each contestant")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this text")
    add_json(parser)
    parser.add_argument(
        "--save",
        action="store_true",
        help="write benchmarks/results/scores.json, scores.md and scores.png (with --isa: "
        "scores-ISA...)",
    )
    options = parser.parse_args(arguments)
    options.cases = [case for case in CASES if options.only in case.name]
    if not options.cases:
        parser.error(f"--only: expected a part of one of {', '.join(c.name for c in CASES)}")
    if options.threads is None:
        cores = os.cpu_count() or 1
        options.threads = [1] if options.quick or options.smoke else sorted({1, cores})
    options.effort = (
        measure.QUICK if options.quick else measure.SMOKE if options.smoke else measure.FULL
    )
    if options.repeats:
        options.effort = replace(options.effort, repeats=options.repeats)
    return options


def text_of(about: Mapping[str, Any], results: Sequence[measure.Result], cold: Any) -> str:
    """Return all that is printed, which is Markdown."""
    parts = ["\n".join(f"{key}: {value}  " for key, value in about.items()), report.table(results)]
    means = geometric_means(results)
    if means:
        parts += [
            "slidecell is so many times as fast as the best peer of each case:",
            report.means_table(means),
        ]
    if cold:
        parts += [
            "Cold start, in milliseconds of a fresh process (median, lowest - highest):",
            cold_start.table(cold),
        ]
    return "\n\n".join([*parts, report.summary(results)]) + "\n"


def save(options: argparse.Namespace, content: Mapping[str, Any], text: str) -> None:
    """Write the three files of a run that is kept."""
    from benchmarks import chart

    stem = f"scores-{options.isa}" if options.isa else "scores"
    report.write_json(RESULTS / f"{stem}.json", content)
    (RESULTS / f"{stem}.md").write_text(text, encoding="utf-8")
    chart.draw(content, RESULTS / f"{stem}.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    if not limited(options.isa):
        run_again(options.isa, "benchmarks", arguments)
    with settings_restored():
        if options.isa:
            sc.set_isa(options.isa)
        about = conditions(
            "benchmarks",
            options.effort.name,
            options.threads,
            arguments=arguments,
            absent=absent(),
        )
        about["repeats"] = options.effort.repeats
        results = run_contests(options.cases, PEERS, options.threads, options.effort)
        starts = 0 if options.only else COLD_STARTS.get(options.effort.name, 0)
        cold = cold_start.measure(starts) if starts else []
        about = with_load_at_end(about)
    text = text_of(about, results, cold)
    sys.stdout.write(text)
    content = report.as_json(
        about, results, geometric_means(results), cold_start=[asdict(start) for start in cold]
    )
    if options.json:
        report.write_json(options.json, content)
    if options.save:
        save(options, content, text)
    return 0 if all(r.acceptable for r in results) and all(s.right for s in cold) else 1


if __name__ == "__main__":
    sys.exit(main())
