"""``python -m benchmarks.roofline``: every kernel as a share of the least time possible.

Measures this machine on one thread (peaks of products, sets of activations, L1 and L2 bandwidth),
states the least time of every network, and times `score` between the measurements. What is counted
and what is not: `benchmarks.roofline.model`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict

import slidecell as sc
from benchmarks.command import add_json, conditions, print_conditions
from benchmarks.roofline import measure, tables
from benchmarks.roofline.cases import CASES
from benchmarks.roofline.model import best_of
from benchmarks.roofline.probes import Probes
from slidecell.bench.progress import progress
from slidecell.bench.report import write_json


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.roofline",
        description="State the least time per window on this machine, and slidecell's share of it.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a quarter of a minute")
    parser.add_argument("--isa", choices=sc.available_isas(), help="this alone; default: all")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this text")
    add_json(parser)
    options = parser.parse_args(arguments)
    options.cases = [case for case in CASES if options.only in case.name]
    if not options.cases:
        parser.error(f"--only: expected a part of one of {', '.join(c.name for c in CASES)}")
    options.isas = [options.isa] if options.isa else list(reversed(sc.available_isas()))
    options.effort = measure.QUICK if options.quick else measure.FULL
    return options


def run(options: argparse.Namespace, probes: Probes) -> list[measure.Row]:
    """Time all cases with all instruction sets; progress is shown on stderr."""
    rows = []
    with progress(len(options.isas) * len(options.cases)) as steps:
        for isa in options.isas:
            for case in options.cases:
                steps.begin(f"{isa}, {case.name}")
                rows += measure.rows_of(case, isa, probes, options.effort)
                steps.end()
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parse(arguments)
    about = conditions("benchmarks.roofline", options.effort.name, 1, arguments=arguments)
    try:
        probes = Probes()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    before = sc.active_isa()
    try:
        rows = run(options, probes)
    finally:
        sc.set_isa(before)
    machines = {isa: best_of([r.machine for r in rows if r.isa == isa]) for isa in options.isas}
    print_conditions(about)
    print(f"\n{tables.machines(machines, amx=probes.amx(1) is not None)}\n\n{tables.kernels(rows)}")
    if options.json:
        found = {
            "conditions": about,
            "machines": {isa: asdict(machine) for isa, machine in machines.items()},
            "kernels": [tables.as_json(row) for row in rows],
        }
        write_json(options.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
