"""Sections that are made of a report's facts alone: each fact is put into words here, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from slidecell.evaluate.table import as_table, metric_rows
from slidecell.jobs.report import Figure, Section, Table, pairs

if TYPE_CHECKING:
    from matplotlib import figure as matplotlib_figure

__all__ = [
    "data_section",
    "flagged_table",
    "metrics_section",
    "rate_text",
    "run_section",
    "threshold_text",
    "training_section",
]

_NAMES = 30  # features listed
_TERMINAL_METRICS = {"ROC-AUC", "PR-AUC", "VUS-PR", "precision", "recall", "F1", "event F1"}


def run_section(
    command: str,
    machine: Mapping[str, Any],
    seconds: Mapping[str, float],
    files: Sequence[str],
    *,
    details: Mapping[str, str] | None = None,
) -> Section:
    """Return what was run: command, processor, versions, time and files.

    Parameters
    ----------
    command : str
    machine : mapping
        Of `slidecell.jobs.results.machine`; its plan may be missing.
    seconds : mapping of str to float
        Of each stage, and ``total``; empty if nothing was timed.
    files : sequence of str
    details : mapping of str to str, optional
        Further names and what they are: model, seed, size.

    Examples
    --------
    >>> from slidecell.jobs.results import machine
    >>> from slidecell.jobs.sections import run_section
    >>> section = run_section("slidecell score ...", machine(), {"score": 1.5, "total": 2.0}, [])
    >>> section.tables[0].terminal_rows
    [['time', '2 s: score 1.5 s']]
    """
    plan = machine.get("plan")
    stages = ", ".join(f"{stage} {_time(s)}" for stage, s in seconds.items() if stage != "total")
    rows = {
        "command": command,
        **(details or {}),
        "scored by": f"{plan['kernel']} ({plan['isa']}), threads: {plan['threads']}"
        if plan
        else "",
        "processor": machine["processor"],
        "versions": ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        "time": _time(seconds["total"]) + (stages and f": {stages}") if seconds else "",
        "files": "\n".join(files),
    }
    return Section("What was run", tables=[pairs(rows, terminal=("scored by", "time"))])


def data_section(data: Mapping[str, Any], *, terminal: bool = True) -> Section:
    """Return what was read: features, rows, entities, parts, and what is to be known of them.

    Parameters
    ----------
    data : mapping
        Of `slidecell.jobs.results.summarise_data`; ``unscored`` where rows were scored.
    terminal : bool
        Whether a terminal shows it. It does before a long job begins, and not once more after it.
    """
    names = list(data["features"])
    more = f", and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    used = f", {data['rows_used']:,} used" if data["rows_used"] != data["rows"] else ""
    looked_for = data.get("max_gap") is not None
    rows = {
        f"features ({len(names)})": ", ".join(names[:_NAMES]) + more,
        "rows": f"{data['rows']:,}{used}",
        "missing cells": f"{data['missing_cells']:,}" + _missing_rows(data),
        "cells too large": f"{data['too_large_cells']:,}" if data.get("too_large_cells") else "",
        "rows without a score": _unscored(data),
        "entities": f"{data['entities']:,}",
        "gaps": f"{data['gaps']:,} longer than {data['max_gap']}" if looked_for else "",
        "times": f"{data['first_time']} to {data['last_time']}" if "first_time" in data else "",
        "parts": ", ".join(f"{part} {n:,}" for part, n in data["parts"].items() if n),
        "labelled anomalous": (
            f"{data['labelled_anomalous']:,} rows" if "labelled_anomalous" in data else ""
        ),
    }
    return Section("Data", tables=[pairs(rows)], notes=list(data["notes"]), terminal=terminal)


def _unscored(data: Mapping[str, Any]) -> str:
    counts = data.get("unscored", {})
    if not counts:
        return ""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in counts.items())
    return f"{sum(counts.values()):,}: {reasons}"


def _missing_rows(data: Mapping[str, Any]) -> str:
    rows = data.get("missing_rows", 0)
    return f", {rows:,} rows without a value" if rows and len(data["features"]) > 1 else ""


def training_section(
    training: Mapping[str, Any] | None, constant: Sequence[str] | None = None
) -> Section:
    """Return how a network was trained; the section is empty where nothing was.

    Parameters
    ----------
    training : mapping, optional
        Of `slidecell.training.History.to_dict`.
    constant : sequence of str, optional
        Features that were constant while training.

    Examples
    --------
    >>> from slidecell.jobs.sections import training_section
    >>> training_section({"epochs": 3, "training_windows": 1200, "best_epoch": 2}).text
    '3 epochs on 1,200 windows. The weights are those of epoch 2.'
    >>> training_section(None).empty
    True
    """
    sentences, figures = [], []
    if training is not None:
        figures.append(Figure(partial(_history, training)))
        epochs = "epoch" if training["epochs"] == 1 else "epochs"
        sentences.append(
            f"{training['epochs']} {epochs} on {training['training_windows']:,} windows"
        )
        if training["best_epoch"]:
            sentences.append(f"The weights are those of epoch {training['best_epoch']}")
    if constant:
        sentences.append(f"Constant while training: {', '.join(constant)}")
    return Section("Training", "".join(f"{s}. " for s in sentences).rstrip(), figures=figures)


def threshold_text(threshold: Mapping[str, Any] | None) -> str:
    """Return a sentence that says which rows are flagged.

    Examples
    --------
    >>> from slidecell.jobs.sections import threshold_text
    >>> threshold_text({"kind": "cusum"})
    "Rows are flagged by the rule 'cusum'."
    >>> threshold_text({"kind": "fixed", "value": 0.25})
    'A row is flagged if its score is above the threshold 0.25.'
    """
    if threshold is None:
        return "There is no threshold: no row is flagged."
    if threshold["kind"] == "per_entity":
        return _per_entity_text(threshold)
    if threshold.get("value") is None:
        return f"Rows are flagged by the rule {threshold['kind']!r}."
    text = f"A row is flagged if its score is above the threshold {threshold['value']:.6g}"
    if threshold.get("percentile") is not None:
        text += f", percentile {threshold['percentile']:g} of the scores of the fitted rows"
    fitted = threshold.get("fitted")
    if threshold["kind"] == "rate" and fitted is not None:
        default = "" if threshold.get("rate") else ", as nothing else was asked"
        text += f", set for a rate of {fitted['met']}{default}"
    return f"{text}."


def _per_entity_text(threshold: Mapping[str, Any]) -> str:
    rule, pooled = threshold["rule"], threshold["fitted"]["pooled"]
    text = f"Each entity has a threshold of its own, fitted by the rule {rule['kind']!r}"
    if rule.get("percentile") is not None:
        text += f" (percentile {rule['percentile']:g} of the scores of its fitted rows)"
    if rule.get("rate") is not None:
        text += f" for a rate of {rule['rate']}"
    others = "Those with too few scores take that of all entities"
    value = pooled.get("value")
    return f"{text}. {others}{'' if value is None else f', {value:.6g}'}."


def rate_text(rate: Mapping[str, Any] | None) -> str:
    """Return a sentence that compares the rate that was asked with what came.

    Parameters
    ----------
    rate : mapping, optional
        Of `slidecell.jobs.results.compare_rate`.

    Examples
    --------
    >>> from slidecell.jobs.sections import rate_text
    >>> rate = {"asked": "3/day", "unit": "events", "expected": 21.0, "low": 13, "high": 31}
    >>> rate_text({**rate, "seen": 25, "rate": "3.57/day", "part": "the test part"})
    'In the test part 21 events (13 to 31) are to be expected at 3/day, 25 were seen: 3.57/day.'
    """
    if rate is None:
        return ""
    seen = f": {rate['rate']}" if rate["rate"] else ""
    unit = {"events": "events", "rows": "flagged rows"}[rate["unit"]]
    if rate["low"] is not None:
        unit += f" ({rate['low']:,} to {rate['high']:,})"
    return (
        f"In {rate['part']} {_few_digits(rate['expected'])} {unit} are to be expected at "
        f"{rate['asked']}, {rate['seen']:,} were seen{seen}."
    )


def _few_digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 100.0 else f"{number:.3g}"


def flagged_table(flagged: Mapping[str, Mapping[str, int]]) -> Table:
    """Return rows, scored rows and flagged rows of each part.

    Examples
    --------
    >>> from slidecell.jobs.sections import flagged_table
    >>> flagged_table({"test": {"rows": 1200, "scored": 1000, "flagged": 25}}).rows
    [['test', '1,200', '1,000', '25', '2.50 %']]
    """
    rows = []
    for part, counts in flagged.items():
        if counts["rows"]:
            scored, count = counts["scored"], counts["flagged"]
            share = f"{100 * count / scored:.2f} %" if scored else "-"
            rows.append([part, f"{counts['rows']:,}", f"{scored:,}", f"{count:,}", share])
    return Table(["part", "rows", "scored", "flagged", "share"], rows)


def metrics_section(metrics: Mapping[str, Any], figures: Sequence[Figure] = ()) -> Section:
    """Return how scores and flags of the test part agree with its labels.

    Parameters
    ----------
    metrics : mapping
        Of `slidecell.evaluate.Evaluation.to_dict`.
    figures : sequence of Figure
    """
    remarks = _remarks(metrics)
    rows = [[*row, remarks.get(row[0], "")] for row in metric_rows(metrics)]
    lines = as_table(metrics).splitlines()
    # The text's own second line is the threshold, which has a section; then come its metrics.
    lines = [f"Test part: {lines[0]}", *lines[3 + len(rows) :]]
    note = metrics["note"]
    return Section(
        "Against the labels",
        "\n".join(line for line in lines if line != f"note: {note}"),
        [
            Table(
                ["metric", "found", "random", ""],
                rows,
                terminal=tuple(n for n, row in enumerate(rows) if row[0] in _TERMINAL_METRICS),
            )
        ],
        list(figures),
        [note] if note else [],
    )


def _remarks(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return what some of the metrics count, by their names."""
    hits, misses = metrics["true_positives"], metrics["false_negatives"]
    remarks = {"VUS-PR": f"flags up to {(metrics['vus_window'] or 0) // 2} rows away count in part"}
    if hits is not None:
        alarms = hits + metrics["false_positives"]
        remarks["precision"] = f"{hits:,} of {alarms:,} flagged rows are labelled"
        remarks["recall"] = f"{hits:,} of {hits + misses:,} labelled rows are flagged"
    if metrics["events_found"] is not None:
        hits, runs = metrics["events_found"], metrics["events"]
        remarks["event F1"] = f"{hits:,} of {runs:,} runs of labelled rows have a flag"
    return remarks


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 100.0 else f"{seconds:,.0f} s"


def _history(training: Mapping[str, Any]) -> matplotlib_figure.Figure:
    from slidecell.plots import plot_history

    return plot_history(training)
