"""Reports as short tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from slidecell.evaluate.table import metric_rows

__all__ = ["show_comparison", "show_data", "show_report"]

_SHOWN = {"ROC-AUC", "PR-AUC", "VUS-PR", "precision", "recall", "F1", "event F1"}


def show_data(console: Console, data: Mapping[str, Any]) -> None:
    """Print what was read: features, rows, entities, gaps, parts."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    names = list(data["features"])
    listed = ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
    grid.add_row(f"features ({len(names)})", escape(listed))
    used = "" if data["rows_used"] == data["rows"] else f", {data['rows_used']:,} used"
    cells = f", {data['missing_cells']:,} cells missing" if data["missing_cells"] else ""
    grid.add_row("rows", f"{data['rows']:,}{used}{cells}")
    grid.add_row("entities", f"{data['entities']:,}, {data['gaps']:,} gaps")
    if "first_time" in data:
        grid.add_row("times", f"{data['first_time']} to {data['last_time']}")
    parts = data["parts"]
    grid.add_row("parts", ", ".join(f"{name} {count:,}" for name, count in parts.items() if count))
    if "labelled_anomalous" in data:
        grid.add_row("labelled anomalous", f"{data['labelled_anomalous']:,} rows")
    console.print(grid)
    for note in data["notes"]:
        console.print(Text(f"note: {note}", style="yellow"), soft_wrap=True)


def show_report(console: Console, report: Mapping[str, Any]) -> None:
    """Print what came of it: flagged rows, agreement with labels, kernel, files."""
    console.print(_flagged_table(report["flagged"]))
    if report["metrics"] is not None:
        console.print(_metrics_table(report["metrics"]))
        if report["metrics"]["note"]:
            console.print(Text(f"note: {report['metrics']['note']}", style="yellow"))
    lines = []
    if report["threshold"] is not None:
        found = report["threshold"]
        origin = (
            f" (percentile {found['percentile']:g} of the training scores)"
            if found.get("percentile") is not None
            else ""
        )
        value = f"{found['value']:.6g}" if "value" in found else f"rule {found['kind']!r}"
        lines.append(f"threshold {value}{origin}")
    training = report.get("training")
    if training is not None:
        best = f", weights of epoch {training['best_epoch']}" if training["best_epoch"] else ""
        lines.append(
            f"trained {training['epochs']} epochs on {training['training_windows']:,} windows{best}"
        )
    plan, seconds = report["machine"]["plan"], report["seconds"]
    lines.append(
        f"scored by {plan['kernel']} ({plan['isa']}, {plan['threads']} threads) "
        f"in {seconds['score']:.3f} s; all {seconds['total']:.1f} s"
    )
    constant = report["data"].get("constant_features")
    if constant:
        lines.append(f"constant while training: {', '.join(constant)}")
    console.print(Group(*(Text(line) for line in lines)))
    for path in report["files"]:
        console.print(Text(path, style="cyan"), soft_wrap=True)


def show_comparison(console: Console, found: Mapping[str, Any]) -> None:
    """Print how long slidecell and torch take to score the same windows."""
    table = Table(title="the same windows scored", title_justify="left", show_edge=False)
    table.add_column("")
    for name in ("seconds", "windows/s", "ratio"):
        table.add_column(name, justify="right")
    base = found["slidecell_seconds"]
    rows = {
        "slidecell, from the series": base,
        f"{found['torch_layer']}, windows ready": found["torch_seconds"],
        "the same, windows built too": found["torch_seconds"] + found["build_seconds"],
    }
    for name, seconds in rows.items():
        rate = f"{found['windows'] / seconds:,.0f}"
        table.add_row(name, f"{seconds:.4f}", rate, f"{seconds / base:.1f}")
    console.print(table)
    console.print(
        Text(
            f"{found['windows']:,} windows of {found['window']} rows, {found['threads']} threads, "
            f"medians; torch {found['torch_version']} in {found['torch_setting']}; "
            f"largest difference of a score {found['max_difference']:.1e} "
            f"(scores up to {found['max_score']:.3g})"
        )
    )


def _flagged_table(flagged: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table(show_edge=False)
    table.add_column("part")
    for name in ("rows", "scored", "flagged", "share"):
        table.add_column(name, justify="right")
    for part, counts in flagged.items():
        if counts["rows"]:
            scored = counts["scored"]
            share = f"{100 * counts['flagged'] / scored:.2f} %" if scored else "-"
            table.add_row(
                part, f"{counts['rows']:,}", f"{scored:,}", f"{counts['flagged']:,}", share
            )
    return table


def _metrics_table(metrics: Mapping[str, Any]) -> Table:
    table = Table(title="test part against labels", title_justify="left", show_edge=False)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("random", justify="right")
    table.add_column("")
    hits, misses = metrics["true_positives"], metrics["false_negatives"]
    false_alarms = metrics["false_positives"]
    remarks = {
        "VUS-PR": f"flags up to {(metrics['vus_window'] or 0) // 2} rows away count in part",
        "precision": f"{hits:,} of {hits + false_alarms:,} flagged rows are labelled",
        "recall": f"{hits:,} of {hits + misses:,} labelled rows are flagged",
        "event F1": f"{metrics['events_found']:,} of {metrics['events']:,} runs of labelled rows "
        "have a flag",
    }
    for name, found, random in metric_rows(metrics):
        if name in _SHOWN:
            table.add_row(name, found, random, remarks.get(name, ""))
    return table
