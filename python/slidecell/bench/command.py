"""The command ``slidecell bench``: scores on this machine, as a table. It needs numpy alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import slidecell as sc
from slidecell.bench import report
from slidecell.bench.accuracy import BOUNDS
from slidecell.bench.cases import SCORE_CASES, ScoreCase
from slidecell.bench.conditions import conditions, with_load_at_end
from slidecell.bench.limits import limited, run_again
from slidecell.bench.measure import QUICK, Effort
from slidecell.bench.own_case import OwnCase
from slidecell.bench.peers import absent, score_peers
from slidecell.bench.ratios import geometric_means
from slidecell.bench.run import run_contests, settings_restored

__all__ = ["ReadOwn", "json_file", "main", "positive", "thread_counts"]

# Reads a model and rows of files, with the columns of times and entities, where they are named.
ReadOwn: TypeAlias = Callable[[Path, Path, str | None, str | None], OwnCase]

ROWS_PER_SECOND = 200  # of a run: a case's rows, so that short runs can be had
LEAST_ROWS = 400
OWN_ROWS_PER_SECOND = 1_000  # of a run on the user's rows, which are one case


def positive(text: str) -> int:
    """Read an integer >= 1."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def thread_counts(text: str) -> list[int]:
    """Read "1,2".

    Examples
    --------
    >>> from slidecell.bench.command import thread_counts
    >>> thread_counts("1,2")
    [1, 2]
    """
    try:
        return [positive(part) for part in text.split(",")]
    except ValueError:
        expected = "expected whole numbers from 1 on, such as 1,2"
        raise argparse.ArgumentTypeError(f"{expected}, got {text!r}") from None


def json_file(text: str) -> Path:
    """Read the name of a file whose folder is there."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"expected a file in a folder that is there, got {text}")
    return path


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="slidecell bench",
        description="Score random series with networks of several sizes, beside the peers that "
        "are installed: torch, ONNX Runtime, OpenVINO, and a loop in NumPy. Every answer is held "
        "against float64. Exit status 1 if one was wrong.",
        epilog="A whole comparison: python -m benchmarks in the project's repository.",
    )
    parser.add_argument(
        "--threads",
        type=thread_counts,
        default=[1],
        metavar="N,N",
        help="numbers of threads to compare on (default: 1)",
    )
    parser.add_argument(
        "--isa",
        choices=sc.available_isas(),
        help="force slidecell's kernels; avx2 also limits the peers that can be limited",
    )
    parser.add_argument(
        "--seconds", type=positive, default=60, metavar="N", help="about how long (default: 60)"
    )
    parser.add_argument(
        "--json", type=json_file, metavar="FILE", help="write every sample there, too"
    )
    own = parser.add_argument_group(
        "your own model and rows",
        "Instead of random ones. Rows are read as `slidecell score` reads them.",
    )
    own.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="a model.safetensors, or a folder that detect wrote, of a network",
    )
    own.add_argument("--data", type=Path, metavar="FILE", help="a CSV or Parquet file")
    own.add_argument("--time", metavar="COLUMN", help="its times, unless the model names them")
    own.add_argument("--entity", metavar="COLUMN", help="its entities, unless the model names them")
    found = parser.parse_args(arguments)
    if (found.model is None) != (found.data is None):
        given = "--model" if found.data is None else "--data"
        parser.error(f"--model and --data: expected both or neither, got {given} alone")
    if found.model is None and (found.time or found.entity):
        parser.error("--time and --entity: expected beside --model and --data only")
    return found


def _effort(seconds: int, *, own: bool) -> Effort:
    rows = max(LEAST_ROWS, min(QUICK.max_rows, ROWS_PER_SECOND * seconds))
    if own:
        rows = max(LEAST_ROWS, OWN_ROWS_PER_SECOND * seconds)
    search = min(rows // 3, QUICK.search_rows)
    return replace(QUICK, name=f"{seconds} s", max_rows=rows, search_rows=search)


def _own_conditions(options: argparse.Namespace, case: OwnCase, used: int) -> dict[str, Any]:
    """Return what a reader must know of a contest on a user's rows."""
    S = len(case.rows)
    return {
        "model": f"{options.model}: {case.model!r}",
        "data": f"{options.data}: {S:,} rows of {len(case.offsets) - 1:,} series, "
        f"{case.missing:,} of them with a missing value; "
        + ("all are scored" if used == S else f"the first {used:,} are scored"),
        "scores": "the mean squared error of each window, in scaled units",
        "what counts": "slidecell: from the rows as they are read to scores, scaling included. "
        "Peers: the network and its error on windows that were scaled, cut and copied before; "
        "torch end to end: from scaled rows, windows gathered as it goes.",
    }


def main(arguments: Sequence[str], read_own: ReadOwn | None = None) -> int:
    """Run the command; return its exit status.

    Parameters
    ----------
    arguments : sequence of str
    read_own : callable, optional
        What reads the files of ``--model`` and ``--data``.

    Examples
    --------
    >>> from slidecell.bench.command import main
    >>> main(["--threads", "1", "--seconds", "60", "--help"])
    Traceback (most recent call last):
        ...
    SystemExit: 0
    """
    options = _parse(arguments)
    if not limited(options.isa):
        run_again(options.isa, "slidecell", ["bench", *arguments])
    effort = _effort(options.seconds, own=options.model is not None)
    cases: Sequence[ScoreCase | OwnCase] = SCORE_CASES
    own: dict[str, Any] = {}
    if options.model is not None:
        if read_own is None:
            raise ValueError("read_own: expected a function that reads --model and --data")
        try:
            case = read_own(options.model, options.data, options.time, options.entity)
            own = _own_conditions(options, case, len(case.workload(effort.max_rows).series))
        except (OSError, ValueError, TypeError, ImportError) as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        cases = [case]
    with settings_restored():
        if options.isa:
            sc.set_isa(options.isa)
        about = conditions(
            options.threads,
            effort.name,
            command=" ".join(["slidecell bench", *arguments]),
            absent=absent(),
        )
        about |= own
        results = run_contests(
            cases,
            {"score": score_peers(plain=True)},
            options.threads,
            effort,
            seconds=options.seconds,
        )
        about = with_load_at_end(about)
    means = geometric_means(results)
    out = [f"{key}: {value}" for key, value in about.items()]
    out += ["", report.table(results), ""]
    out += ["slidecell is so many times as fast as the best peer of each case:", ""]
    out += [report.means_table(means), "", report.summary(results)]
    out += [f'Scores at "{name}" are right within {bound}.' for name, bound in BOUNDS.items()]
    if sys.stdout is not None:  # closed by the caller, for --json alone
        sys.stdout.write("\n".join(out) + "\n")
    if options.json:
        report.write_json(options.json, report.as_json(about, results, means))
    return 0 if all(result.acceptable for result in results) else 1
