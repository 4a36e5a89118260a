"""Score the raw rows of a file with a saved model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.jobs.command_line import command_line
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.results import (
    Result,
    Stopwatch,
    check_key_names,
    refuse_overwriting,
    summarise_data,
)
from slidecell.jobs.write_result import write_result
from slidecell.tables.table import Table, TableOptions, read_table
from slidecell.thresholds.smoothing import smoothing_from_state

if TYPE_CHECKING:
    from slidecell.model import SequenceModel

__all__ = ["ScoreOptions", "run_score"]


@dataclass(frozen=True)
class ScoreOptions:
    """What `run_score` does; what is None is taken from the model.

    Parameters
    ----------
    model, file, out : Path
    time, entity, max_gap, missing, duplicates : str, optional
        As in `slidecell.tables.table.TableOptions`. An empty ``time`` or ``entity`` says that
        this file has no such column.
    label : str, optional
        Column to measure the flags against; never taken from the model.
    num_threads : int, optional
    html : bool
        Write ``report.html`` too.
    """

    model: Path
    file: Path
    out: Path
    time: str | None = None
    entity: str | None = None
    label: str | None = None
    max_gap: str | None = None
    missing: str | None = None
    duplicates: str | None = None
    num_threads: int | None = None
    html: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return all options, ready for JSON."""
        return {f.name: _jsonable(getattr(self, f.name)) for f in fields(self)}


def run_score(
    options: ScoreOptions, *, announce: Callable[[dict[str, Any]], object] | None = None
) -> Result:
    """Read, match columns by name, score, flag above the model's threshold, write.

    All rows are of part ``test``. A file continues no history: the first rows of each entity,
    fewer than a window needs, have no score.

    Returns
    -------
    Result
        In ``options.out``: ``scores.csv`` (or ``.parquet``, as the input), ``report.json``,
        ``scores.png``, with ``html`` ``report.html``.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.datasets import insider_threat
    >>> from slidecell.detect import DetectOptions, ScoreOptions, TableOptions
    >>> from slidecell.detect import run_detect, run_score
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> insider_threat(users=4, days=60).to_csv(folder / "in.csv", index=False)
    >>> table = TableOptions(time="day", entity="user", label="label")
    >>> options = DetectOptions(folder / "in.csv", folder / "out", table, window=7, epochs=1)
    >>> trained = run_detect(options, progress=False)
    >>> model = folder / "out" / "model.safetensors"
    >>> again = run_score(ScoreOptions(model, folder / "in.csv", folder / "again"))
    >>> bool((again.flagged == trained.flagged).all())
    True
    """
    require("pandas", "matplotlib", extra="detect")
    if options.html:
        require("jinja2", extra="detect")
    if options.label is not None:
        require("sklearn", extra="detect")
    from slidecell.model import SequenceModel

    stopwatch = Stopwatch()
    with OutputFolder(options.out) as folder:
        refuse_overwriting(options.out, options.file)
        model = SequenceModel.load(options.model)
        asked = table_options(options, model)
        table = read_table(options.file, asked)
        if len(table.names) != model.input_size:
            raise ValueError(
                f"{options.file}: expected {model.input_size} feature columns (the model names "
                f"none), got {len(table.names)}: {', '.join(table.names)}"
            )
        part = np.full(len(table.order), "test", dtype="<U10")
        data = summarise_data(table, part, max_gap=asked.max_gap)
        stopwatch.lap("read")
        if announce is not None:
            announce(data)
        scores: npt.NDArray[np.floating[Any]] = model.score(
            table.features, table.offsets, num_threads=options.num_threads
        )
        smoothing = model.metadata["smoothing"]
        if smoothing is not None:  # as live streams do, whose threshold it is
            scores = smoothing_from_state(smoothing).apply(scores, table.offsets)
        stopwatch.lap("score")
        notes = []  # of the scores; those of the data were announced
        if smoothing is not None:
            notes.append(f"scores are smoothed by the model's {smoothing['kind']!r}")
        if model.threshold is None:
            notes.append("the model has no threshold: no row is flagged")
        elif np.isnan(scores).all():
            notes.append(_why_no_score(table, model))
        data = data | {"notes": [*data["notes"], *notes]}
        report = {"command": "score", "options": options.to_dict(), "data": data, "notes": notes}
        return write_result(
            folder,
            Result(table, part, scores, model, report),
            stopwatch,
            title=options.file.name,
            save_model=False,
            num_threads=options.num_threads,
            command=command_line("score", options),
            page=options.html,
        )


def table_options(options: ScoreOptions, model: SequenceModel) -> TableOptions:
    """Merge what the model remembers of its training file with what was asked for now."""
    extra = model.metadata.get("extra") or {}
    stored = extra.get("detect")
    known = stored if isinstance(stored, Mapping) else {}
    names = {f.name for f in fields(TableOptions)} - {"label", "features", "exclude"}
    found: dict[str, Any] = {
        name: known[name] for name in names if isinstance(known.get(name), str)
    }
    found |= {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    for name in ("time", "entity"):
        if found.get(name) == "":
            del found[name]
    if options.max_gap is None and "time" not in found:
        found.pop("max_gap", None)
    if model.features is None:
        # The file decides, by its numeric columns, as in training.
        found["exclude"] = tuple(known.get("exclude") or ())
    merged = TableOptions(**found, label=options.label, features=tuple(model.features or ()))
    check_key_names(merged)
    return merged


def _why_no_score(table: Table, model: SequenceModel) -> str:
    longest = int(np.diff(table.offsets).max(initial=0))
    return (
        f"no row has a score: a window takes {model.window + model.horizon} rows without missing "
        f"cells, the longest segment has {longest}"
    )


def _jsonable(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
