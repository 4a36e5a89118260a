"""``python -m benchmarks.roofline``: every kernel as a share of the least time possible.

Measures this machine on one thread (peaks of products, sets of activations, L1 and L2 bandwidth),
states the least time of every network, and times `score` between the measurements. What is counted
and what is not: `benchmarks.roofline.model`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import slidecell as sc
from benchmarks import report
from benchmarks.__main__ import settings_restored
from benchmarks.roofline import measure, tables
from benchmarks.roofline.cases import CASES
from benchmarks.roofline.probes import Probes

MACHINE_REPEATS = 50


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.roofline",
        description="State the least time per window on this machine, and slidecell's share of it.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about ten seconds")
    parser.add_argument("--isa", choices=sc.available_isas(), help="this alone; default: all")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there, too")
    options = parser.parse_args(arguments)
    options.cases = [case for case in CASES if options.only in case.name]
    if not options.cases:
        parser.error(f"--only: expected a part of one of {', '.join(c.name for c in CASES)}")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"--json: expected a file in a folder that is there, got {options.json}")
    options.isas = [options.isa] if options.isa else list(reversed(sc.available_isas()))
    options.effort = measure.QUICK if options.quick else measure.FULL
    return options


def conditions(effort: measure.Effort) -> dict[str, Any]:
    """Machine, versions and effort of a run."""
    return {
        "cpu": report.cpu_model(),
        "load average": report.load_average(),
        "threads": 1,
        "slidecell": f"{sc.__version__} ({report.commit()})",
        "effort": effort.name,
        "command": "python -m benchmarks.roofline " + " ".join(sys.argv[1:]),
    }


def run(options: argparse.Namespace, probes: Probes) -> list[measure.Row]:
    """Time all cases with all instruction sets, with a line on stderr after each."""
    rows = []
    for isa in options.isas:
        for case in options.cases:
            start = perf_counter()
            rows += measure.rows_of(case, isa, probes, options.effort)
            print(f"{isa}, {case.name}: {perf_counter() - start:.1f} s", file=sys.stderr)
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parse(arguments)
    about = conditions(options.effort)
    try:
        probes = Probes()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    machines = {isa: probes.machine(isa, MACHINE_REPEATS) for isa in options.isas}
    with settings_restored():
        rows = run(options, probes)
    about["load average"] = [about["load average"], report.load_average()]
    for key, value in about.items():
        print(f"{key}: {value}")
    print(f"\n{tables.machines(machines)}\n\n{tables.kernels(rows)}")
    if options.json:
        found = {
            "conditions": about,
            "machines": {isa: asdict(machine) for isa, machine in machines.items()},
            "kernels": [tables.as_json(row) for row in rows],
        }
        temporary = options.json.with_name(options.json.name + ".tmp")
        temporary.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        temporary.replace(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
