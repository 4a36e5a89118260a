"""Score the raw rows of a file with a saved detector or model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell._extras import require
from slidecell.jobs.command_line import command_line
from slidecell.jobs.outputs import open_results
from slidecell.jobs.results import (
    Result,
    Stopwatch,
    check_key_names,
    count_too_large,
    default_event_gap,
    refuse_overwriting,
    score_table,
    summarise_data,
    why_no_score,
)
from slidecell.jobs.write_result import write_result
from slidecell.tables.budget import COLUMN_BYTES
from slidecell.tables.columns import NoColumnError
from slidecell.tables.options import TableOptions
from slidecell.tables.rows import Rows
from slidecell.tables.source import is_standard, source_name
from slidecell.tables.table import read_table
from slidecell.training.settings import WITHOUT_FLAG, refuse_below

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.flags import FlagAudit

__all__ = [
    "SavedOptions",
    "ScoreOptions",
    "read_for",
    "refuse_swapped",
    "refuse_table",
    "run_score",
]

_TABLES = {".csv", ".gz", ".tsv", ".txt", ".out", ".parquet", ".pq"}


@dataclass(frozen=True)
class SavedOptions:
    """What jobs on a saved detector share; what is None is taken from the detector.

    Parameters
    ----------
    model : Path
        What was saved: see `slidecell.detect.loading.find_saved`.
    file, out : Path
        ``-`` is standard input, and no folder: the command prints the scores.
    time, entity, max_gap, missing, duplicates : str, optional
        As in `slidecell.tables.options.TableOptions`. An empty ``time`` or ``entity`` says that
        this file has no such column.
    label : str, optional
        Column to measure the flags against; never taken from the detector.
    max_bytes : int
        As in `slidecell.tables.options.TableOptions`; never taken from the detector.
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
    max_bytes: int = field(default=COLUMN_BYTES, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """Return all options that the command line has, ready for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in WITHOUT_FLAG}
        return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}


@dataclass(frozen=True)
class ScoreOptions(SavedOptions):
    """What `run_score` does.

    Parameters
    ----------
    model, file, out, time, entity, label, max_gap, missing, duplicates, max_bytes
        See `SavedOptions`.
    num_threads : int, optional
    event_gap : int, optional
        Flagged rows with at most so many others between them are one event. Default: as many as
        the rows before its own that a score depends on, of a network its window.
    html : bool
        Write ``report.html`` too.
    audited : bool
        Flag rows by cheap scores that are computed exactly where it matters: see
        `slidecell.SequenceModel.flag`. Raised flags are proved, missed ones are bounded. The
        scores of rows that are not flagged are cheap ones.
    """

    num_threads: int | None = None
    event_gap: int | None = None
    html: bool = False
    audited: bool = False

    def __post_init__(self) -> None:
        refuse_below("event_gap", self.event_gap, 0)


def run_score(
    options: ScoreOptions, *, announce: Callable[[dict[str, Any]], object] | None = None
) -> Result:
    """Read, match columns by name, score, flag by the detector's rule, write.

    All rows are of part ``test``. A file continues no history: the first rows of each entity,
    fewer than a window needs, have no score.

    Returns
    -------
    Result
        In ``options.out``: ``scores.csv`` (or ``.parquet``, as the input), ``events.csv``,
        ``report.json``, ``scores.png``, with ``html`` ``report.html``.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.datasets import insider_threat
    >>> from slidecell.detect import DetectOptions, ScoreOptions, TableOptions
    >>> from slidecell.detect import run_detect, run_score
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> insider_threat(users=4, days=60).to_csv(folder / "in.csv", index=False)
    >>> table = TableOptions(time="day", entity="user", label="label")
    >>> options = DetectOptions(folder / "in.csv", folder / "out", table, detector="zscore")
    >>> trained = run_detect(options, progress=False)
    >>> again = run_score(ScoreOptions(folder / "out", folder / "in.csv", folder / "again"))
    >>> bool((again.flagged == trained.flagged).all())
    True
    """
    require("pandas", "sklearn", "matplotlib", extra="detect")
    if options.html:
        require("jinja2", extra="detect")
    from slidecell.detect.loading import load_saved

    stopwatch = Stopwatch()
    with open_results(options.out, page=options.html) as folder:
        refuse_swapped(options.model, options.file)
        refuse_overwriting(options.out, options.file)
        detector = load_saved(options.model, num_threads=options.num_threads)
        if options.audited:
            detector.check_audited()
        rows = read_for(detector, options)
        part = np.full(len(rows), "test", dtype="<U10")
        assert rows.options is not None
        data = summarise_data(rows, part, max_gap=rows.options.max_gap)
        stopwatch.lap("read")
        if announce is not None:
            announce(data)
        audit = None
        if options.audited:
            scores, audit = detector.audited_scores(rows, speculate="auto")
        else:
            scores = score_table(detector, rows)
        stopwatch.lap("score")
        notes = detector.score_notes()  # of the scores; those of the data were announced
        if audit is not None:
            notes.append(_audit_note(audit))
        if detector.threshold_state() is not None and np.isnan(scores).all():
            notes.append(why_no_score(rows, detector))
        data = data | {"notes": [*data["notes"], *notes]} | count_too_large(detector, rows)
        gap = default_event_gap(detector) if options.event_gap is None else options.event_gap
        report = {
            "command": "score",
            "options": options.to_dict(),
            "detector": type(detector).__name__,
            "data": data,
            "notes": notes,
        }
        if audit is not None:
            report["audit"] = audit.to_dict()
        return write_result(
            folder,
            Result(rows, part, scores, detector, report, event_gap=gap),
            stopwatch,
            title=source_name(options.file),
            save=False,
            command=command_line("score", options),
            page=options.html,
        )


def read_for(detector: Detector, options: SavedOptions) -> Rows:
    """Read the file that ``options`` name as the detector's own was read, but as asked for now.

    Parameters
    ----------
    detector : Detector
        Fitted.
    options : SavedOptions
    """
    known = detector.table_options()
    names = {f.name for f in fields(TableOptions)} - {"label", "features", "exclude"}
    merged: dict[str, Any] = {
        name: known[name] for name in names if isinstance(known.get(name), str)
    }
    asked_for = {name: getattr(options, name, None) for name in names}
    merged |= {name: value for name, value in asked_for.items() if value is not None}
    for name in ("time", "entity"):
        if merged.get(name) == "":
            del merged[name]
    if options.max_gap is None and "time" not in merged:
        merged.pop("max_gap", None)
    features = getattr(detector, "feature_names_in_", None)
    if features is None:
        # The file decides, by its numeric columns, as in training.
        merged["exclude"] = tuple(known.get("exclude") or ())
    asked = TableOptions(
        **merged,
        label=options.label,
        features=() if features is None else tuple(map(str, features.tolist())),
    )
    check_key_names(asked)
    try:
        rows = read_table(options.file, asked, features_of=f"features of {options.model}")
    except NoColumnError as error:
        if error.flag not in {f"--{n}" for n in ("time", "entity") if getattr(options, n) is None}:
            raise
        raise ValueError(
            f"{error}; {options.model} was fitted with it: give {error.flag} the column's name in "
            f"this file, or '' if it has none"
        ) from error
    if rows.num_features != detector.n_features_in_:
        raise ValueError(
            f"{rows.source}: expected {detector.n_features_in_} feature columns (the model names "
            f"none), got {rows.num_features}: {', '.join(rows.names or ())}"
        )
    return rows


def _audit_note(audit: FlagAudit) -> str:
    """Return what the flags of an audited run are worth, in one sentence."""
    if audit.method == "exact":
        return "flags are audited: all scores are exact" + "".join(f"; {r}" for r in audit.reasons)
    return (
        f"flags are audited: first scored by method {audit.method!r}; "
        f"{audit.share_recomputed:.2%} of {audit.windows:,} windows were computed exactly, all "
        "alarms among them; at most "
        f"{audit.wrong_at_most:.0f} alarms are missing, at 95 % confidence"
    )


def refuse_swapped(model: Path, file: Path, *, folders: bool = False) -> None:
    """Refuse a model where a table is expected, and a table where a model is expected.

    folders: whether a folder may be one of tables.
    """
    is_folder = file.is_dir() and not (folders and model.suffix.lower() not in _TABLES)
    if not is_standard(file) and (is_folder or file.suffix == ".safetensors"):
        raise ValueError(
            f"MODEL and FILE: expected a saved detector and then a table, got {model} and {file}: "
            "they look swapped"
        )
    refuse_table(model)


def refuse_table(model: Path) -> None:
    """Refuse a table, or standard input, where a model is expected."""
    expected = "expected a folder that detect or retrain wrote, or a model.safetensors"
    if is_standard(model):
        raise ValueError(f"MODEL: {expected}, got '-': a model is not read from standard input")
    if model.suffix.lower() in _TABLES and model.is_file():
        raise ValueError(f"MODEL: {expected}, got the table {model}")
