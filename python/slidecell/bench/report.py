"""The report of a run: a Markdown table, means, a summary, and all of it as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from slidecell._whole_files import replacing
from slidecell.bench.measure import Result
from slidecell.bench.ratios import Mean, beaten_by

__all__ = ["as_json", "markdown", "means_table", "short_number", "summary", "table", "write_json"]

HEADER = (
    "case",
    "threads",
    "contestant",
    "setting",
    "rate",
    "lowest - highest",
    "slidecell is",
    "max error",
    "max difference",
    "check",
)


def short_number(value: float) -> str:
    """Return a number with three digits: 1.23M, 456k, 7.89.

    Examples
    --------
    >>> from slidecell.bench.report import short_number
    >>> short_number(1234567.0), short_number(7.891)
    ('1.23M', '7.89')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{_three_digits(value / size)}{letter}"
    return _three_digits(value)


def _three_digits(value: float) -> str:
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )


def figure(result: Result, seconds: float) -> str:
    """Return a call's seconds in the result's unit, without the unit."""
    if result.unit == "us/step":
        return _three_digits(seconds / result.work * 1e6)
    return short_number(result.work / seconds)


def row(result: Result, *, first: bool) -> list[str]:
    """Return a line of the table, in the order of `HEADER`."""
    ends = sorted((min(result.seconds), max(result.seconds)), reverse=result.unit == "windows/s")
    return [
        f"{result.case} ({result.shape})" if first else "",
        str(result.threads) if first else "",
        result.contestant,
        result.setting,
        f"{figure(result, result.seconds_per_call)} {result.unit}",
        " - ".join(figure(result, seconds) for seconds in ends),
        "" if first else f"{result.ratio:.2f}x",
        f"{result.max_error:.1e}",
        "" if first or result.max_difference == math.inf else f"{result.max_difference:.1e}",
        check(result),
    ]


def check(result: Result) -> str:
    """Return the text that says whether an answer was right, and how far off at lower precision."""
    text = "ok" if result.right else "outside" if result.acceptable else "WRONG"
    if not result.isa_limited:
        text += ", ISA not limited"
    if result.precision in ("medium", "low") and result.relative_error is not None:
        text += f", {result.relative_error:.2%} of p95, AUC {result.auc_difference:.0e}"
    return text


def table(results: Sequence[Result]) -> str:
    """Return a table in Markdown, aligned so that it reads as plain text too."""
    seen: set[tuple[str, int]] = set()
    lines = [list(HEADER)]
    for result in results:
        contest = (result.case, result.threads)
        lines.append(row(result, first=contest not in seen))
        seen.add(contest)
    return markdown(lines)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return rows of cells, the header first, as a Markdown table.

    Examples
    --------
    >>> from slidecell.bench.report import markdown
    >>> print(markdown([["a", "long"], ["bc", "d"]]))
    | a  | long |
    | -- | ---- |
    | bc | d    |
    """
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    ruled = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in ruled
    )


def means_table(means: Sequence[Mean]) -> str:
    """Return a table of the geometric means of the scores, a row per precision and threads."""
    lines = [["scores", "threads", "geometric mean", "least", "where", "best peers", "cases"]]
    lines += [
        [
            mean.precision,
            str(mean.threads),
            f"{mean.ratio:.2f}x",
            f"{mean.least:.2f}x",
            mean.least_case,
            ", ".join(sorted(set(mean.best_peers.values()))),
            str(len(mean.best_peers)),
        ]
        for mean in means
    ]
    return markdown(lines)


def summary(results: Sequence[Result]) -> str:
    """Return lines that name the losses and the wrong answers."""
    lost = [(r, ratio) for r in results if not r.is_ours and (ratio := beaten_by(r, results)) < 1.0]
    wrong = [r for r in results if not r.acceptable]
    lines = [f"Lost: {_named(r)}, {ratio:.2f}x" for r, ratio in lost] or ["Lost: none"]
    lines += [f"WRONG: {_named(r)}, error {r.max_error:.1e}" for r in wrong]
    return "\n".join(lines)


def _named(result: Result) -> str:
    return f"{result.case}, threads={result.threads}, {result.contestant}"


def as_json(
    about: Mapping[str, Any], results: Sequence[Result], means: Sequence[Mean], **more: Any
) -> dict[str, Any]:
    """Return conditions, means and results, every sample among them."""
    # JSON has no infinity: an error that cannot be stated is null.
    found = [
        {k: None if v == math.inf else v for k, v in asdict(result).items()} for result in results
    ]
    return {
        "conditions": dict(about),
        "means": [asdict(mean) for mean in means],
        **more,
        "results": found,
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file: whole, or not at all."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
