"""``python -m benchmarks.readme_table``: the README's first table, of a saved run.

Rates on one thread and on as many as the run had most, and how many times as fast slidecell is as
the best peer. What a run lacks (8-bit products, carried states, flags) has no column or row.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.chart import RESULTS, median_rate
from slidecell.bench.report import markdown

__all__ = ["table"]

OURS = "slidecell"
FLOAT32 = ("torch", "torch end to end", "onnxruntime", "openvino")
CARRIED = ("torch carried", "openvino carried")
# A row of the table: its name, the case, and the peers that count.
ROWS: tuple[tuple[str, str, Sequence[str]], ...] = (
    ("LSTM 16, W=7", "score LSTM 16", FLOAT32),
    ("LSTM 64, W=7", "score LSTM 64", FLOAT32),
    ("GRU 64, W=7", "score GRU 64", FLOAT32),
    ("LSTM 128, W=7", "score LSTM 128", FLOAT32),
    ("LSTM 64, W=50", "score LSTM 64, W=50", FLOAT32),
    ("autoencoder 16-8-8-16, W=10, 29 features", "score autoencoder 16-8-8-16", FLOAT32),
    ("carried states, LSTM 64, W=50", "carried LSTM 64, W=50", FLOAT32),
    ("carried states, GRU 64, W=50", "carried GRU 64, W=50", FLOAT32),
    ("audited flags, LSTM 64, W=50; peers score every window", "flags LSTM 64, W=50", FLOAT32),
    ("the same; peers carry states, unchecked", "flags LSTM 64, W=50", CARRIED),
)
COLUMNS = {"slidecell, float32": OURS, "bf16": f"{OURS} medium", "int8": f"{OURS} low"}


def rate(value: float) -> str:
    """Return windows a second with three digits.

    Examples
    --------
    >>> from benchmarks.readme_table import rate
    >>> rate(3_416_000), rate(52_340), rate(674_900)
    ('3.42 M', '52.3 k', '675 k')
    """
    scaled, unit = (value / 1e6, "M") if value >= 999_500 else (value / 1e3, "k")
    digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
    return f"{scaled:.{digits}f} {unit}"


def ratio(ours: Mapping[str, Any], peer: Mapping[str, Any]) -> str:
    """Return how many times as fast ours is: the median of the rounds."""
    rounds = zip(peer["seconds"], ours["seconds"], strict=True)
    found = median(theirs / mine for theirs, mine in rounds) * ours["work"] / peer["work"]
    return f"{found:.1f}"


def table(content: Mapping[str, Any]) -> list[list[str]]:
    """Return the header and the rows of a saved run."""
    about, results = content["conditions"], content["results"]
    threads = sorted({min(about["threads"]), max(about["threads"])})
    cases: dict[str, list[dict[str, Any]]] = {}  # by threads, results by contestant
    for name in {r["case"] for r in results}:
        cases[name] = [
            {r["contestant"]: r for r in results if (r["case"], r["threads"]) == (name, n)}
            for n in threads
        ]
    columns = {
        title: who
        for title, who in COLUMNS.items()
        if any(who in here for found in cases.values() for here in found)
    }
    words = {1: "one thread", 2: "one thread / two"}[len(threads)]
    lines = [[f"windows scored per second, {words}", *columns, "best float32 peer", "ratio"]]
    for title, case, peers in ROWS:
        here = cases.get(case, [])
        if not here or not all(any(name in each for name in peers) for each in here):
            continue
        best = [
            max((each[p] for p in peers if p in each and _counts(each[p])), key=median_rate)
            for each in here
        ]
        lines.append([
            title,
            *(
                " / ".join(rate(median_rate(each[who])) for each in here if who in each)
                for who in columns.values()
            ),
            " / ".join(rate(median_rate(each)) for each in best),
            " / ".join(ratio(each[OURS], peer) for each, peer in zip(here, best, strict=True)),
        ])  # fmt: skip
    return lines


def _counts(result: Mapping[str, Any]) -> bool:
    """Return whether an answer was right, or is checked by nobody."""
    return bool(result["right"]) or result["contestant"] in CARRIED


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme_table", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=RESULTS / "scores.json")
    file = parser.parse_args(arguments).file
    print(markdown(table(json.loads(file.read_text(encoding="utf-8")))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
