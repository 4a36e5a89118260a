"""What a job found, and its files: scores, model, report, picture."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.evaluate import evaluate
from slidecell.jobs.environment import cpu_name, versions
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.page import write_page
from slidecell.jobs.result_page import result_sections
from slidecell.tables.table import Table, TableOptions
from slidecell.thresholds import threshold_from_state

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from slidecell.model import SequenceModel

__all__ = ["Clock", "Result", "write_result"]

PARTS = ("train", "validation", "test")
_OUTPUT_COLUMNS = ("score", "flagged", "part")


class Clock:
    """Seconds of each stage, and of all of them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Note the time since the last lap."""
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now
        self.seconds["total"] = now - self._start


@dataclass(frozen=True)
class Result:
    """The S rows of a table with their parts and scores, and what else a job has to tell."""

    table: Table
    part: npt.NDArray[Any]  # [S]: train, validation or test
    scores: npt.NDArray[np.floating[Any]]  # [S]
    model: SequenceModel
    report: dict[str, Any]

    @property
    def threshold(self) -> float | None:
        """Scores above it are flagged; None also where the model's rule is no single value."""
        found = self.model.threshold
        value = None if found is None else found.get("value")
        return None if value is None else float(value)

    @cached_property
    def flagged(self) -> npt.NDArray[np.bool_]:
        """Rows that the model's rule flags, [S]; never one without a score."""
        if self.model.threshold is None:
            return np.zeros(len(self.scores), np.bool_)
        return threshold_from_state(self.model.threshold).apply(self.scores, self.table.offsets)


def check_key_names(options: TableOptions) -> None:
    """Refuse key columns that a column of the scores file would overwrite."""
    for flag, name in (("--time", options.time), ("--entity", options.entity)):
        if name in _OUTPUT_COLUMNS:
            raise ValueError(
                f"{flag}: column {name!r} has the name of a column of the scores file; rename it"
            )


def refuse_overwriting(out: Path, *inputs: Path | None) -> None:
    """Refuse an input file that a file of the results would replace."""
    names = (
        *("scores.csv", "scores.parquet", "scores.png"),
        *("report.json", "report.html", "retrain.json"),
    )
    results = {(out / name).resolve() for name in names}
    for given in inputs:
        if given is not None and given.resolve() in results:
            raise ValueError(f"--out: its {given.name} would replace the input {given}")


def summarise_parts(part: npt.NDArray[Any]) -> dict[str, int]:
    """Count rows per part."""
    return {name: int((part == name).sum()) for name in PARTS}


def write_result(
    folder: OutputFolder,
    result: Result,
    clock: Clock,
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
    metrics = _metrics(result)
    clock.lap("write")
    report = {
        **result.report,
        "threshold": result.model.threshold,
        "flagged": _flagged(result),
        "metrics": metrics,
        "machine": machine(result.model, num_threads),
        "seconds": clock.seconds,
        "files": [str(folder.path / file) for file in files],
    }
    result = replace(result, report=report)
    if page_of is not None:
        sections = result_sections(result, figure, command=page_of)
        folder.add("report.html", lambda path: write_page(path, f"Anomalies in {title}", sections))
        clock.lap("page")
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


def machine(model: SequenceModel, num_threads: int | None) -> dict[str, Any]:
    """Versions, the processor, and which kernel the model runs on it."""
    return {
        "versions": versions(),
        "platform": platform.platform(),
        "processor": cpu_name(),
        "plan": dict(model.plan(num_threads=num_threads)),
    }


def to_json(value: object) -> str:
    """JSON text (RFC 8259); NaN and infinity become null."""
    return json.dumps(_plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def judge(
    table: Table,
    scores: npt.NDArray[np.floating[Any]],  # [S]
    part: npt.NDArray[np.bool_],  # [S]
    rule: Mapping[str, Any] | None,
    flags: npt.NDArray[np.bool_] | None,  # [S]
) -> dict[str, Any]:
    """Compare the scores of a part with its labels: at the rule's value, or else by its flags.

    Without a rule the threshold is the oracle's.
    """
    assert table.labels is not None  # or there is nothing to compare with
    known = part & (table.labels >= 0)
    limit = None if rule is None else rule.get("value")
    return evaluate(
        table.labels[known],
        scores[known],
        threshold=limit,
        flags=None if flags is None or limit is not None else flags[known],
        offsets=np.concatenate(([0], np.cumsum(known)))[table.offsets],
    ).to_dict()


def _metrics(result: Result) -> dict[str, Any] | None:
    """Compare scores with the labels of the test part; None without labels or a rule."""
    if result.table.labels is None or result.model.threshold is None:
        return None
    test = result.part == "test"
    return judge(result.table, result.scores, test, result.model.threshold, result.flagged)


def _flagged(result: Result) -> dict[str, dict[str, int]]:
    """Rows, scored rows and flagged rows per part."""
    counts = {}
    scored, flagged = ~np.isnan(result.scores), result.flagged
    for name in PARTS:
        here = result.part == name
        counts[name] = {
            "rows": int(here.sum()),
            "scored": int((here & scored).sum()),
            "flagged": int((here & flagged).sum()),
        }
    return counts


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
