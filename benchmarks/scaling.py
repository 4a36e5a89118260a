"""``python -m benchmarks.scaling``: windows/s by rows and by threads, and memory by rows.

Rows: series of 1e5, 1e6 and 1e7 rows, as one entity and as entities of about 350 rows, scored in
turn, small ones as many times in a row as makes a sample of a second. *spread* is the highest
median rate of the three over the lowest. Threads: the same call on one thread and on several, in
turn, for a long series and for as many windows of short entities; the speedup is the median of the
ratios within a round. Memory: the peak of a process of its
own while it scores, beyond what it held before and the scores themselves, as Linux counts it.

What it does not show: rates are wall clock, so that whatever else runs is in them; the rate per
second of processor time, of all threads together, stands beside and tells the two apart. Data are
uniform random numbers and weights torch's initial ones, on which the time does not depend.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from benchmarks.command import add_json, conditions, print_conditions, thread_count
from benchmarks.scaling_memory import SUPPORTED, Memory, measure_memory
from benchmarks.scaling_runs import Network, RowsResult, ThreadsResult, scale_rows, scale_threads
from slidecell.bench.progress import progress
from slidecell.bench.report import markdown, short_number, write_json

NETWORKS = {
    "LSTM 16": Network("lstm", 16),
    "LSTM 64": Network("lstm", 64),
    "GRU 64": Network("gru", 64),
    "LSTM 64 x 2": Network("lstm", 64, layers=2),
    "LSTM 128": Network("lstm", 128),
    "LSTM 64, W=50": Network("lstm", 64, window=50),
}


@dataclass(frozen=True)
class Effort:
    """How much data and time a run takes."""

    name: str
    rows: dict[str, tuple[int, ...]]  # by network: rows of the series
    row_rounds: int
    row_seconds: float  # of a sample, at least
    entities: int  # short ones, compared with one long series
    thread_rounds: int
    thread_seconds: float
    memory_rows: dict[str, tuple[int, ...]]


_SIZES = (100_000, 1_000_000, 10_000_000)
QUICK = Effort(
    "quick",
    {"LSTM 16": (100_000, 1_000_000), "LSTM 64": (20_000, 200_000)},
    row_rounds=3,
    row_seconds=0.2,
    entities=500,
    thread_rounds=5,
    thread_seconds=0.1,
    memory_rows={"LSTM 16": (100_000, 1_000_000)},
)
DEFAULT = Effort(
    "default",
    {"LSTM 16": _SIZES, "LSTM 64": _SIZES},
    row_rounds=3,
    row_seconds=1.0,
    entities=4_000,
    thread_rounds=5,
    thread_seconds=0.3,
    memory_rows={"LSTM 16": _SIZES, "LSTM 64": _SIZES[:2]},
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    cores = os.cpu_count() or 1
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description="Windows/s by rows and by threads, memory by rows. Exit status 1 if any "
        "answer is wrong.",
    )
    parser.add_argument("--quick", action="store_true", help="smaller series: less than a minute")
    parser.add_argument(
        "--part", choices=("rows", "threads", "memory"), help="default: all three of them"
    )
    parser.add_argument(
        "--threads",
        type=thread_count,
        default=min(2, cores),
        metavar="N",
        help="compared with one; the series by rows are scored on so many (default: %(default)s)",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="networks whose name has this text"
    )
    add_json(parser)
    options = parser.parse_args(arguments)
    options.networks = {name: n for name, n in NETWORKS.items() if options.only in name}
    if not options.networks:
        parser.error(f"--only: expected a part of one of {'; '.join(NETWORKS)}")
    if options.part == "threads" and options.threads == 1:
        parser.error("--threads: expected 2 or more to compare with one thread, got 1")
    if options.part == "memory" and not SUPPORTED:
        parser.error("--part memory: expected Linux's /proc/self/clear_refs, which is not here")
    options.effort = QUICK if options.quick else DEFAULT
    return options


def rows_table(found: Sequence[RowsResult]) -> str:
    """Return rates by rows, and their spread within a network and layout."""
    lines = []
    for result in found:
        same = [r for r in found if (r.case, r.entities > 1) == (result.case, result.entities > 1)]
        rates = [r.rate for r in same]
        lines.append([
            result.case,
            f"{result.rows:,}",
            f"{result.entities:,}",
            str(result.threads),
            f"{short_number(result.rate)} windows/s",
            " - ".join(short_number(f(result.rates)) for f in (min, max)),
            short_number(result.windows / median(result.timed.cpu_seconds)),
            f"{max(rates) / min(rates):.3f}" if result is same[-1] else "",
            _check(result.max_error, result.right),
        ])  # fmt: skip
    header = ("network", "rows", "entities", "threads", "rate", "lowest - highest")
    return markdown([[*header, "per cpu second", "spread", "max error"], *lines])


def threads_table(found: Sequence[ThreadsResult]) -> str:
    """Return rates on one thread and on several."""
    lines = [
        [
            result.case,
            f"{result.entities:,}",
            f"{result.windows:,}",
            *(
                f"{short_number(result.windows / median(timed.seconds))} windows/s"
                for timed in (result.one, result.several)
            ),
            f"{result.speedup:.2f}x",
            " - ".join(f"{f(result.speedups):.2f}" for f in (min, max)),
            f"{result.cpu_ratio:.2f}",
            _check(result.max_error, result.right),
        ]
        for result in found
    ]
    threads = found[0].threads
    header = ("network", "entities", "windows", "1 thread", f"{threads} threads", "speedup")
    return markdown([[*header, "lowest - highest", "cpu time", "max error"], *lines])


def memory_table(found: Sequence[Memory]) -> str:
    """Return the peaks of memory."""
    lines = [
        [
            m.case,
            m.dtype,
            f"{m.rows:,}",
            str(m.threads),
            f"{m.series_mb:.1f} MB",
            f"{m.scores_mb:.1f} MB",
            f"{m.peak_mb:.1f} MB",
        ]
        for m in found
    ]
    header = ("network", "series", "rows", "threads", "series", "scores", "peak beyond both")
    return markdown([header, *lines])


def _check(error: float | None, right: bool) -> str:
    return f"{'-' if error is None else f'{error:.1e}'} {'ok' if right else 'WRONG'}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parse(arguments)
    effort, part, threads = options.effort, options.part, options.threads
    about = conditions("benchmarks.scaling", effort.name, threads, arguments=arguments)
    rows: list[RowsResult] = []
    by_threads: list[ThreadsResult] = []
    memory: list[Memory] = []
    with progress(len(options.networks)) as steps:
        for name, network in options.networks.items():
            steps.begin(name)
            if part in {None, "rows"} and name in effort.rows:
                rows += scale_rows(
                    name,
                    network,
                    effort.rows[name],
                    threads=threads,
                    rounds=effort.row_rounds,
                    min_seconds=effort.row_seconds,
                )
            if part in {None, "threads"} and threads > 1:
                by_threads += scale_threads(
                    name,
                    network,
                    effort.entities,
                    threads=threads,
                    rounds=effort.thread_rounds,
                    min_seconds=effort.thread_seconds,
                )
            if part in {None, "memory"} and SUPPORTED and name in effort.memory_rows:
                memory += measure_memory(
                    name, network.model(), effort.memory_rows[name], threads=threads
                )
            steps.end()
    print_conditions(about)
    if rows:
        print(f"\nWindows/s by rows\n\n{rows_table(rows)}")
    if by_threads:
        print(f"\nWindows/s by threads\n\n{threads_table(by_threads)}")
    if memory:
        print(f"\nMemory\n\n{memory_table(memory)}")
    if options.json:
        report = {
            "conditions": about,
            "rows": [asdict(r) for r in rows],
            "threads": [asdict(r) for r in by_threads],
            "memory": [asdict(r) for r in memory],
        }
        write_json(options.json, report)
    right = [*(r.right for r in rows), *(r.right for r in by_threads)]
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
