"""Files of a result: scores, events, model, report, picture and page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell.jobs.drift_report import drift_facts, drift_notes
from slidecell.jobs.entity_thresholds import entity_thresholds, unseen_notes
from slidecell.jobs.events import event_facts, events_frame
from slidecell.jobs.json_file import write_json
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.page import write_page
from slidecell.jobs.result_report import result_report, scores_figure
from slidecell.jobs.results import (
    Result,
    Stopwatch,
    compare_rate,
    count_flagged,
    judge_result,
    machine,
)
from slidecell.jobs.unscored import unscored_note, unscored_rows

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from slidecell.detect.base import Detector

__all__ = ["owns_saved_file", "save_new", "scores_frame", "write_result"]


def write_result(
    folder: OutputFolder,
    result: Result,
    stopwatch: Stopwatch,
    *,
    title: str,
    save: bool,
    draw_from: int = 0,
    command: str = "",
    page: bool = False,
) -> Result:
    """Write all files of a job into ``folder``; return the result with all facts and its report.

    The picture shows the rows of the table from ``draw_from`` on. ``command`` is what was run. With
    ``save`` the detector is written too, and its network where it has one.
    """
    table = result.table
    num_threads = getattr(result.detector, "num_threads", None)
    name = f"scores.{table.kind}"
    frame = scores_frame(result)
    if table.kind == "csv":
        folder.add(name, lambda path: frame.to_csv(path, index=False))
    else:
        folder.add(name, lambda path: frame.to_parquet(path, index=False))
    events = event_facts(result)
    folder.add("events.csv", lambda path: events_frame(result, events).to_csv(path, index=False))
    picture = scores_figure(result, title, draw_from, events=events)
    folder.add("scores.png", picture.save)
    files = [name, "events.csv", "scores.png", "report.json"]
    network = result.model
    if save:
        folder.add("detector", lambda path: save_new(result.detector, path))
        files.insert(2, "detector")
        model = result.detector.scoring_model
        if model is not None:
            folder.add("model.safetensors", model.save)
            files.insert(2, "model.safetensors")
    if page:
        files.append("report.html")
    metrics = judge_result(result)
    unscored = unscored_rows(result.detector, table, result.scores)
    drift = drift_facts(result)
    stopwatch.lap("write")
    facts = {
        **result.report,
        "threshold": result.detector.threshold_state(),
        "entity_thresholds": entity_thresholds(result),
        "rate": compare_rate(result),
        "flagged": count_flagged(result),
        "unscored": unscored,
        "drift": drift,
        "notes": _notes(result, unscored, drift),
        "events": events,
        "metrics": metrics,
        "machine": machine(None if network is None else network.plan(num_threads=num_threads)),
        "seconds": stopwatch.seconds,
        "files": folder.places(files),
    }
    result = replace(result, report=facts)
    report = result_report(result, title=title, command=command, scores=picture)
    if page:
        folder.add("report.html", lambda path: write_page(path, report))
        stopwatch.lap("page")
    folder.add("report.json", lambda path: write_json(path, report))
    return replace(result, document=report)


def _notes(
    result: Result, unscored: Mapping[str, int], drift: Mapping[str, Any] | None
) -> list[str]:
    """Return the one list of notes: of the data, of rows without a score, of drift, of the job."""
    facts, table = result.report, result.table
    of_job = list(facts.get("notes", ()))
    notes = [note for note in facts["data"]["notes"] if note not in of_job]
    if len(table) != sum(unscored.values()):  # else the job has said so
        window = facts["command"] == "detect" and type(result.detector).takes_setting("window")
        notes.append(unscored_note(unscored, table, window_option=window))
    of_job += [note for note in unseen_notes(result) if note not in of_job]
    return [note for note in (*notes, *drift_notes(drift), *of_job) if note]


def scores_frame(result: Result) -> pd.DataFrame:
    """Return the scores file: key columns, score, flagged and part, in the order of the input."""
    table = result.table
    assert table.keys is not None  # a file has them
    frame = table.keys.copy()
    frame["score"] = table.restore(result.scores, np.nan)
    frame["flagged"] = table.restore(result.flagged.astype(np.int8), 0)
    frame["part"] = table.restore(result.part, "")
    return frame


def owns_saved_file(relative: PurePath) -> bool:
    """Tell whether a path in a folder of results belongs to the detector that was saved there.

    Results of another detector must not leave it beside them, for it would be taken for theirs.

    Examples
    --------
    >>> from pathlib import PurePath
    >>> from slidecell.jobs.write_result import owns_saved_file
    >>> owns_saved_file(PurePath("detector/arrays.safetensors"))
    True
    >>> owns_saved_file(PurePath("detector/notes.txt"))
    False
    """
    from slidecell.detect.storage import owns_detector_file

    first, *rest = relative.parts
    if first != "detector":
        return relative.parts == ("model.safetensors",)
    return not rest or owns_detector_file(PurePath(*rest))


def save_new(detector: Detector, folder: Path) -> None:
    """Write a detector to a folder that is not there yet."""
    folder.mkdir()
    detector.save_into(folder)
