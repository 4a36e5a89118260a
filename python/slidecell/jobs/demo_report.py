"""The section of the demo that compares slidecell with torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slidecell.jobs.report import Section, Table

__all__ = ["comparison_section"]


def comparison_section(measured: Mapping[str, Any]) -> Section:
    """Return how long slidecell and torch take to score the same windows.

    Parameters
    ----------
    measured : mapping
        Of `slidecell.jobs.demo.compare_with_torch`.
    """
    base = measured["slidecell_seconds"]
    seconds = {
        "slidecell, from the series": base,
        f"{measured['torch_layer']}, windows ready": measured["torch_seconds"],
        "the same, windows built too": measured["torch_seconds"] + measured["build_seconds"],
    }
    rows = [
        [name, f"{time:.4f}", f"{measured['windows'] / time:,.0f}", f"{time / base:.1f}"]
        for name, time in seconds.items()
    ]
    text = (
        f"{measured['windows']:,} windows of {measured['window']} rows, {measured['threads']} "
        f"threads, medians; torch {measured['torch_version']} in {measured['torch_setting']}. The "
        f"largest difference of a score is {measured['max_difference']:.1e}, scores reach "
        f"{measured['max_score']:.3g}."
    )
    return Section(
        "The same windows scored", text, [Table(["", "seconds", "windows/s", "ratio"], rows)]
    )
