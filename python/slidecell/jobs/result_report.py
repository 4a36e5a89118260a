"""The report of scored rows: what was run, on which data, what was flagged and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.evaluate.inputs import as_scores, runs_of
from slidecell.jobs.entity_thresholds import entity_thresholds_table
from slidecell.jobs.events import events_section
from slidecell.jobs.highest import highest_rows, highest_table, label_texts
from slidecell.jobs.report import Figure, Report, Section
from slidecell.jobs.results import Result, judged_rows
from slidecell.jobs.sections import (
    data_section,
    flagged_table,
    metrics_section,
    rate_text,
    run_section,
    threshold_text,
    training_section,
)
from slidecell.thresholds.events import Event
from slidecell.thresholds.scores import Floats

if TYPE_CHECKING:
    from matplotlib import figure as matplotlib_figure

__all__ = ["result_report", "scores_figure"]

_TOP = 20
_TOP_TERMINAL = 5
_DRAWN = 6  # of them, with a bar for each feature

_DRIVING = 0.1  # of an event, is the share of a column that is drawn for it
_NARROW, _NARROW_COLUMNS = 4.6, 3  # inches and columns of the picture for a phone

Ints = npt.NDArray[np.int64]


def result_report(
    result: Result, *, title: str = "", command: str = "", scores: Figure | None = None
) -> Report:
    """Return the report of a result.

    Parameters
    ----------
    result : Result
        With all facts.
    title : str
        Name of the file whose rows were scored.
    command : str
        What was run.
    scores : Figure, optional
        Series and scores. Default: all rows of the table.
    """
    facts, model = result.report, result.model
    details = {"detector": repr(result.detector)} | (
        {} if model is None else {"model": repr(model)}
    )
    sections = [
        events_section(facts["events"], has_times=result.table.times is not None),
        run_section(
            command,
            facts["machine"],
            facts["seconds"],
            facts["files"],
            details=details,
        ),
        data_section({**facts["data"], "unscored": facts["unscored"], "notes": []}, terminal=False),
        _threshold_section(result),
        Section("Scores", figures=[scores or scores_figure(result, title, events=facts["events"])]),
        _labels_section(result),
        _highest_section(result),
        training_section(facts.get("training"), facts["data"].get("constant_features")),
    ]
    return Report(
        f"Anomalies in {title}" if title else "Anomalies",
        command,
        [section for section in sections if not section.empty],
        facts["files"],
        facts,
        facts["notes"],
    )


def scores_figure(
    result: Result, title: str = "", first: int = 0, *, events: Mapping[str, Any]
) -> Figure:
    """Return the figure of series and scores of the rows from ``first`` on.

    Parameters
    ----------
    result : Result
    title : str
    first : int
    events : mapping
        Of `slidecell.jobs.events.event_facts`: the worst are drawn, over the columns that they
        name.
    """
    draw = partial(_draw_scores, result, title, first, events)
    caption = (
        "Bands are events, numbered from the worst. Of many columns, those that drive the worst "
        "events are drawn."
        if events["worst"]
        else ""
    )
    narrow = partial(draw, width=_NARROW, columns=_NARROW_COLUMNS)
    return Figure(draw, caption, name="scores", narrow=narrow)


def _threshold_section(result: Result) -> Section:
    facts = result.report
    figures = []
    if facts["metrics"] is None:
        chosen, name = judged_rows(result)
        caption = f"Scores of {name}."
        figures = [
            Figure(_plot("plot_errors", result.scores[chosen], None, result.threshold), caption)
        ]
    sentences = (threshold_text(facts["threshold"]), rate_text(facts.get("rate")))
    text = " ".join(sentence for sentence in sentences if sentence)
    tables = [flagged_table(facts["flagged"])]
    if facts.get("entity_thresholds") is not None:
        tables.append(entity_thresholds_table(facts["entity_thresholds"]))
    return Section("Threshold", text, tables, figures)


def _labels_section(result: Result) -> Section:
    """Return the section of a result with labels; without them it is empty."""
    metrics = result.report["metrics"]
    if metrics is None:
        return Section("Against the labels")
    assert result.table.labels is not None  # or there would be no metrics
    known = (result.part == "test") & (result.table.labels >= 0)
    labels = result.table.labels[known]
    scores = as_scores(result.scores[known], len(labels))  # an infinite one counts as the highest
    flags = np.where(np.isnan(scores), np.nan, result.flagged[known])
    figures = [
        Figure(_plot("plot_pr_curve", scores, labels, result.threshold)),
        Figure(_plot("plot_confusion", flags, labels)),
        Figure(_plot("plot_errors", result.scores[known], labels, result.threshold)),
    ]
    return metrics_section(metrics, figures)


def _highest_section(result: Result) -> Section:
    rows, lengths = _highest(result)
    if len(rows) == 0:
        return Section("Highest scores", "No row has a score.")
    table, name = result.table, judged_rows(result)[1]
    names = table.names or ()
    parts = _feature_parts(result, rows)
    columns = {
        "entity": [_short_name(table.entity_name(row)) for row in rows],
        "time": [] if table.times is None else [table.times.text(row) for row in rows],
        "flagged": [f"{length:,}" for length in lengths] if lengths.any() else [],
        "labelled": [] if table.labels is None else label_texts(table.labels[rows]),
    }
    features = "" if parts is None else " and the features that most of it comes from"
    text = (
        f"The highest scores of {name}: of each unbroken run of flagged rows the highest, with the "
        f"number of flagged rows{features}. Rows are counted as in the file of scores."
        if lengths.any()
        else f"No row of {name} is flagged. These have the highest scores."
    )
    listed = highest_table(
        (rows if table.order is None else table.order[rows]) + 1,
        result.scores[rows],
        parts,
        names,
        columns=columns,
        shares=True,
        terminal=_TOP_TERMINAL,
    )
    figures = []
    if parts is not None:
        points = [
            f"{rank}. "
            + " ".join(columns[name][rank - 1] for name in ("entity", "time") if any(columns[name]))
            for rank in range(1, min(_DRAWN, len(rows)) + 1)
        ]
        title = "Each feature's part in the score"
        draw = _plot("plot_feature_attribution", parts[:_DRAWN], names, points=points, title=title)
        figures = [Figure(draw)]
    # On a terminal the events have said it.
    return Section("Highest scores", text, [listed], figures, terminal=not lengths.any())


def _feature_parts(result: Result, rows: Ints) -> Floats | None:
    """Return each feature's part in the scores of rows: [n, F]; None where nobody knows it."""
    if not result.detector.has_feature_parts:
        return None
    return result.detector.parts_at(result.table, rows)


def _highest(result: Result) -> tuple[Ints, Ints]:
    """Return the highest row of each run of flagged rows, best first, and the runs' lengths.

    Where none is flagged, the highest rows are returned, each for itself, with lengths of 0.
    """
    chosen = judged_rows(result)[0] & ~np.isnan(result.scores)
    first, end = runs_of(result.flagged & chosen, result.table.offsets)
    if len(first):
        tops = [b + int(result.scores[b:e].argmax()) for b, e in zip(first, end, strict=True)]
        rows = np.array(tops, np.int64)
        order = highest_rows(result.scores[rows], most=_TOP)
        return rows[order], (end - first)[order]
    rows = highest_rows(np.where(chosen, result.scores, np.nan), most=_TOP)
    return rows, np.zeros(len(rows), np.int64)


def _short_name(name: str, most: int = 80) -> str:
    """Return the name of an entity as a cell of a table has room for it."""
    return name if len(name) <= most else f"{name[: most - 3]}..."


def _plot(name: str, *arguments: Any, **options: Any) -> Callable[[], matplotlib_figure.Figure]:
    """Return what draws a figure of `slidecell.plots`, which is imported only then."""

    def draw() -> matplotlib_figure.Figure:
        from slidecell import plots

        figure: matplotlib_figure.Figure = getattr(plots, name)(*arguments, **options)
        return figure

    return draw


def _draw_scores(
    result: Result,
    title: str,
    first: int,
    events: Mapping[str, Any],
    *,
    width: float = 12.0,
    columns: int = 4,
) -> matplotlib_figure.Figure:
    from slidecell.plots import plot_scores

    table = result.table
    times = None if table.times is None else table.times.values[first:]
    if table.times is not None and table.times.kind == "date" and times is not None:
        times = times.astype("datetime64[ns]")
    # Text of a fixed width would take the longest name for every row.
    names = np.array(table.entity_names, dtype=object)
    judged = judged_rows(result)[0]
    worst = [event for event in result.events if judged[event.peak_row]][: len(events["worst"])]
    drawn = [event for event in worst if event.start >= first]
    return plot_scores(
        table.features[first:],
        result.scores[first:],
        threshold=result.threshold,
        labels=None if table.labels is None else table.labels[first:],
        part=result.part[first:],
        times=times,
        entities=(
            names[table.entities[first:]] if len(names) > 1 and table.entities is not None else None
        ),
        names=table.names,
        max_features=columns,
        title=title,
        flags=result.flagged[first:],
        events=[(event.start - first, event.end - first) for event in drawn],
        features=_driving_features(result, worst, events, columns),
        width=width,
    )


def _driving_features(
    result: Result, worst: Sequence[Event], facts: Mapping[str, Any], most: int
) -> list[int] | None:
    """Return the columns that drive the worst events of the entity of the very worst.

    None where all columns have room, or nobody knows which drive the events.
    """
    names = [str(name) for name in result.table.names or range(result.table.num_features)]
    if len(names) <= most or not worst:
        return None
    found: dict[int, None] = {}
    for event, described in zip(worst, facts["worst"], strict=True):
        if event.entity == worst[0].entity:
            for column in described.get("columns", ()):
                if column["share"] >= _DRIVING:
                    found[names.index(column["column"])] = None
    return list(found)[:most] or None
