"""Files of a result: scores, model, report, picture and page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from slidecell.jobs.json_file import to_json
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.page import write_page
from slidecell.jobs.result_page import result_sections
from slidecell.jobs.results import Result, Stopwatch, count_flagged, judge_result, machine

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["scores_frame", "write_result"]


def write_result(
    folder: OutputFolder,
    result: Result,
    stopwatch: Stopwatch,
    *,
    title: str,
    save_model: bool,
    num_threads: int | None,
    draw_from: int = 0,
    page_of: str | None = None,
) -> Result:
    """Write all files of a job into ``folder`` and return the result with its full report.

    The picture shows the rows of the table from ``draw_from`` on. With ``page_of``, the command
    that was run, there is a page too.
    """
    table = result.table
    name = f"scores.{table.kind}"
    frame = scores_frame(result)
    if table.kind == "csv":
        folder.add(name, lambda path: frame.to_csv(path, index=False))
    else:
        folder.add(name, lambda path: frame.to_parquet(path, index=False))
    figure = _draw(result, title, draw_from)
    folder.add("scores.png", lambda path: figure.savefig(path, format="png"))
    files = [name, "scores.png", "report.json"]
    if save_model:
        folder.add("model.safetensors", result.model.save)
        files.insert(1, "model.safetensors")
    if page_of is not None:
        files.append("report.html")
    metrics = judge_result(result)
    stopwatch.lap("write")
    report = {
        **result.report,
        "threshold": result.model.threshold,
        "flagged": count_flagged(result),
        "metrics": metrics,
        "machine": machine(result.model.plan(num_threads=num_threads)),
        "seconds": stopwatch.seconds,
        "files": [str(folder.path / file) for file in files],
    }
    result = replace(result, report=report)
    if page_of is not None:
        sections = result_sections(result, figure, command=page_of)
        folder.add("report.html", lambda path: write_page(path, f"Anomalies in {title}", sections))
        stopwatch.lap("page")
    folder.add("report.json", lambda path: path.write_text(to_json(report), encoding="utf-8"))
    return result


def scores_frame(result: Result) -> pd.DataFrame:
    """Key columns of the input, score, flagged and part: one row per input row, in their order."""
    table = result.table
    frame = table.keys.copy()
    frame["score"] = table.restore(result.scores, np.nan)
    frame["flagged"] = table.restore(result.flagged.astype(np.int8), 0)
    frame["part"] = table.restore(result.part, "")
    return frame


def _draw(result: Result, title: str, first: int) -> Figure:
    """Draw the rows from ``first`` on."""
    from slidecell.plots import plot_scores

    table = result.table
    times = None if table.times is None else table.times.values[first:]
    if table.times is not None and table.times.kind == "date" and times is not None:
        times = times.astype("datetime64[ns]")
    names = np.array(table.entity_names)
    return plot_scores(
        table.features[first:],
        result.scores[first:],
        threshold=result.threshold,
        labels=None if table.labels is None else table.labels[first:],
        part=result.part[first:],
        times=times,
        entities=names[table.entities[first:]] if len(names) > 1 else None,
        names=table.names,
        title=title,
    )
