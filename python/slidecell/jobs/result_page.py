"""The page of a job: what was run, on which data, what was flagged and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.attribution import feature_attribution
from slidecell.evaluate.inputs import as_scores, runs_of
from slidecell.evaluate.table import as_table, metric_rows
from slidecell.jobs.report import Section, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from slidecell.jobs.results import Result

__all__ = ["result_sections"]

_TOP = 20
_DRAWN = 6  # of them, with a bar for each feature
_FEATURES_NAMED = 3
_NAMES = 30  # features listed

Ints = npt.NDArray[np.int64]


def result_sections(result: Result, figure: Figure, *, command: str) -> list[Section]:
    """Return the sections of a result's page.

    Parameters
    ----------
    result : Result
        With its full report.
    figure : Figure
        Series and scores.
    command : str
        What was run.
    """
    metrics = result.report["metrics"]
    sections = [
        Section("What was run", None, [_run_table(result, command)]),
        _data_section(result.report["data"]),
        _threshold_section(result),
        Section("Scores", None, [], [("", figure)]),
        _labels_section(result, metrics) if metrics is not None else None,
        _highest_section(result),
        _training_section(result.report.get("training")),
    ]
    return [section for section in sections if section is not None]


def _run_table(result: Result, command: str) -> Table:
    report = result.report
    machine, seconds = report["machine"], report["seconds"]
    plan = machine["plan"]
    laps = ", ".join(f"{stage} {s:.1f} s" for stage, s in seconds.items() if stage != "total")
    rows = {
        "command": command,
        "model": repr(result.model),
        "scored by": f"{plan['kernel']} ({plan['isa']}), threads: {plan['threads']}",
        "processor": machine["processor"],
        "versions": ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        "time": f"{seconds['total']:.1f} s: {laps}",
        "files": "\n".join(report["files"]),
    }
    return _pairs(rows)


def _data_section(data: Mapping[str, Any]) -> Section:
    names = list(data["features"])
    more = f", and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    rows = {
        f"features ({len(names)})": ", ".join(names[:_NAMES]) + more,
        "constant while training": ", ".join(data.get("constant_features") or ()),
        "rows": f"{data['rows']:,}"
        + (f", {data['rows_used']:,} used" if data["rows_used"] != data["rows"] else ""),
        "missing cells": f"{data['missing_cells']:,}",
        "entities": f"{data['entities']:,}, {data['gaps']:,} gaps",
        "times": f"{data['first_time']} to {data['last_time']}" if "first_time" in data else "",
        "parts": ", ".join(f"{part} {n:,}" for part, n in data["parts"].items() if n),
        "labelled anomalous": (
            f"{data['labelled_anomalous']:,} rows" if "labelled_anomalous" in data else ""
        ),
    }
    text = "\n\n".join(f"Note: {note}." for note in data["notes"])
    return Section("Data", text, [_pairs(rows)])


def _threshold_section(result: Result) -> Section:
    from slidecell.plots import plot_errors

    found = result.model.threshold
    if found is None:
        text = "The model has no threshold: no row is flagged."
    elif result.threshold is None:
        text = f"Rows are flagged by the model's rule, {found['kind']!r}."
    else:
        text = f"A row is flagged if its score is above {found['value']:.6g}"
        if found.get("percentile") is not None:
            text += f", percentile {found['percentile']:g} of the scores of training windows"
        text += "."
    rows = []
    for part, counts in result.report["flagged"].items():
        if counts["rows"]:
            scored, flagged = counts["scored"], counts["flagged"]
            share = f"{100 * flagged / scored:.2f} %" if scored else "-"
            rows.append([part, f"{counts['rows']:,}", f"{scored:,}", f"{flagged:,}", share])
    table = Table(["part", "rows", "scored", "flagged", "share"], rows)
    figures = []
    if result.report["metrics"] is None:
        chosen = _judged_rows(result)
        histogram = plot_errors(result.scores[chosen], None, result.threshold)
        figures.append((f"Scores of {_judged_name(result)}.", histogram))
    return Section("Threshold", text, [table], figures)


def _labels_section(result: Result, metrics: Mapping[str, Any]) -> Section:
    from slidecell.plots import plot_confusion, plot_errors, plot_pr_curve

    assert result.table.labels is not None  # or there would be no metrics
    known = (result.part == "test") & (result.table.labels >= 0)
    labels = result.table.labels[known]
    scores = as_scores(result.scores[known], len(labels))  # an infinite one counts as the highest
    flags = np.where(np.isnan(scores), np.nan, result.flagged[known])
    rows = [list(row) for row in metric_rows(metrics)]
    lines = as_table(metrics).splitlines()
    text = "\n".join([f"Test part: {lines[0]}", *lines[3 + len(rows) :]])
    figures = [
        ("", plot_pr_curve(scores, labels, result.threshold)),
        ("", plot_confusion(flags, labels)),
        ("", plot_errors(result.scores[known], labels, result.threshold)),
    ]
    return Section(
        "Against the labels", text, [Table(["metric", "found", "random"], rows)], figures
    )


def _highest_section(result: Result) -> Section:
    from slidecell.plots import plot_feature_attribution

    rows, lengths = _highest(result)
    if len(rows) == 0:
        return Section("Highest scores", "No row has a score.")
    table = result.table
    parts = feature_attribution(result.model, table.features, rows, table.offsets)
    shares = _shares(parts)
    columns: dict[str, list[str]] = {
        "rank": [str(rank) for rank in range(1, len(rows) + 1)],
        "entity": [table.entity_names[table.entities[row]] for row in rows],
        "time": ["" if table.times is None else table.times.text(row) for row in rows],
        "row": [f"{table.order[row] + 1:,}" for row in rows],
        "score": [f"{result.scores[row]:.4g}" for row in rows],
        "rows flagged": [f"{length:,}" for length in lengths],
        "labelled": [_label(result, row) for row in rows],
        "share of the error": [_told(share, table.names) for share in shares],
    }
    shown = {name: cells for name, cells in columns.items() if any(cells)}
    text = (
        f"The highest scores of {_judged_name(result)}: of each unbroken run of flagged rows the "
        "highest, with the length of the run, and the features that most of its error comes from. "
        "Rows are counted as in the file of scores."
        if lengths.any()
        else f"No row of {_judged_name(result)} is flagged. These have the highest scores."
    )
    points = [
        f"{rank}. " + " ".join(filter(None, (columns["entity"][i], columns["time"][i])))
        for i, rank in enumerate(columns["rank"][:_DRAWN])
    ]
    figure = plot_feature_attribution(
        parts[:_DRAWN], table.names, points=points, title="Each feature's part in the score"
    )
    cells = [list(row) for row in zip(*shown.values(), strict=True)]
    return Section("Highest scores", text, [Table(list(shown), cells)], [("", figure)])


def _training_section(training: Mapping[str, Any] | None) -> Section | None:
    from slidecell.plots import plot_history

    if training is None:
        return None
    best = f" The weights are those of epoch {training['best_epoch']}." * bool(
        training["best_epoch"]
    )
    text = f"{training['epochs']} epochs on {training['training_windows']:,} windows.{best}"
    return Section("Training", text, [], [("", plot_history(training))])


def _shares(parts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Parts [n, F] as shares of their sums; infinite ones share them equally."""
    infinite = np.isinf(parts)
    parts = np.where(infinite.any(axis=1, keepdims=True), infinite, parts)
    totals = parts.sum(axis=1, keepdims=True)
    shares = np.zeros(parts.shape)
    np.divide(parts, totals, out=shares, where=totals > 0.0)
    return shares


def _judged_rows(result: Result) -> npt.NDArray[np.bool_]:
    """Rows of the test part; all rows where none of it has a score."""
    test: npt.NDArray[np.bool_] = result.part == "test"
    return np.ones(len(test), np.bool_) if np.isnan(result.scores[test]).all() else test


def _judged_name(result: Result) -> str:
    return "all rows" if _judged_rows(result).all() else "the test part"


def _highest(result: Result) -> tuple[Ints, Ints]:
    """Return the highest row of each run of flagged rows, best first, and the runs' lengths.

    Where none is flagged, the highest rows are returned, each for itself.
    """
    chosen = _judged_rows(result) & ~np.isnan(result.scores)
    first, end = runs_of(result.flagged & chosen, result.table.offsets)
    length = end - first
    tops = [b + int(result.scores[b:e].argmax()) for b, e in zip(first, end, strict=True)]
    rows = np.array(tops, np.int64)
    order = np.argsort(-result.scores[rows], kind="stable")[:_TOP]
    if len(rows):
        return rows[order], length[order]
    rest = np.flatnonzero(chosen)
    rest = rest[np.argsort(-result.scores[rest], kind="stable")[:_TOP]]
    return rest, np.zeros(len(rest), np.int64)


def _label(result: Result, row: int) -> str:
    labels = result.table.labels
    return "" if labels is None else {1: "anomalous", 0: "normal"}.get(int(labels[row]), "")


def _told(shares: npt.NDArray[np.float64], names: tuple[str, ...]) -> str:
    """Name the features with the largest shares."""
    order = np.argsort(-shares, kind="stable")[:_FEATURES_NAMED]
    return ", ".join(f"{names[f]} {100 * shares[f]:.0f} %" for f in order if shares[f] >= 0.005)


def _pairs(rows: Mapping[str, str]) -> Table:
    """Make a table without heads of names and what they are; empty ones are left out."""
    return Table(["", ""], [[name, text] for name, text in rows.items() if text])
