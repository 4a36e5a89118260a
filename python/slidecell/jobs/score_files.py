"""Score files of any length with a saved detector: a folder, a pattern, a long file."""

from __future__ import annotations

import glob
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from slidecell._extras import require
from slidecell.jobs.command_line import command_line
from slidecell.jobs.drift_report import drift_notes, files_drift_facts
from slidecell.jobs.json_file import write_json
from slidecell.jobs.report import Report, Section, Table
from slidecell.jobs.results import machine, refuse_overwriting
from slidecell.jobs.score import ScoreOptions, refuse_swapped
from slidecell.jobs.sections import metrics_section
from slidecell.scale.sources import SUFFIXES
from slidecell.tables.source import Source, is_standard

__all__ = ["kind_in_parts", "run_score_files"]

_COLUMNS = 8  # whose memory the text of a file may take
_MOST_PACKED = 1032  # bytes that deflate makes of one

_LEFT_OUT = (
    "the files are scored in parts: there is no picture of all rows, no count of why rows have no "
    "score, and no column is named for an event; quantiles of columns that are compared with "
    "training are those of a sample"
)


def kind_in_parts(file: Path, max_bytes: int) -> Literal["parquet", "csv"] | None:
    """Return what files are scored in parts: a folder of them, a pattern, or one that is long.

    Parameters
    ----------
    file : Path
    max_bytes : int
        What a column may take in memory, 8 bytes a row or a line of text. Text that has eight times
        as many bytes is long too, and so is text in gzip that has more of them unpacked.

    Returns
    -------
    {"parquet", "csv"} or None
        None: a file that is read at once.

    Raises
    ------
    ValueError
        If a folder or a pattern has both.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.jobs.score_files import kind_in_parts
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "in.csv"
    >>> _ = file.write_text("x,y")
    >>> kind_in_parts(file, 8), kind_in_parts(file, 7), kind_in_parts(file.parent / "*", 8)
    (None, 'csv', 'csv')
    """
    if is_standard(file):
        return None
    if file.is_dir():
        return _one_kind([path for path in file.rglob("*") if path.is_file()], file)
    if not file.exists():
        if not set("*?[") & set(str(file)):
            return None
        return _one_kind([Path(name) for name in glob.glob(str(file), recursive=True)], file)
    if file.suffix in SUFFIXES["parquet"]:
        return "parquet" if _has_long_columns(file, max_bytes) else None
    return "csv" if _is_long_text(file, max_bytes) else None


def _one_kind(files: Sequence[Path], given: Path) -> Literal["parquet", "csv"] | None:
    """Return the kind of files; None where there is none of either, which a reader says."""
    parquet = any(file.name.endswith(SUFFIXES["parquet"]) for file in files)
    csv = any(file.name.endswith(SUFFIXES["csv"]) for file in files)
    if parquet and csv:
        raise ValueError(
            f"{given}: expected Parquet files or CSV files, got both: name one kind by a pattern, "
            f"as '{given if given.is_dir() else given.parent}/*.parquet'"
        )
    return "csv" if csv else "parquet"


def _has_long_columns(file: Path, max_bytes: int) -> bool:
    require("pyarrow", extra="detect")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return bool(8 * pq.read_metadata(file).num_rows > max_bytes)
    except (pa.ArrowException, OSError):  # the reader of the file says what is wrong
        return False


def _is_long_text(file: Path, max_bytes: int) -> bool:
    source = Source(file)
    try:
        if not file.is_file():  # a pipe is read once, and a device is no table
            return False
        size, packed = file.stat().st_size, source.is_packed
        most = max_bytes if packed else _COLUMNS * max_bytes
        if size > most:
            return True
        if (_MOST_PACKED * size if packed else 8 * size) <= max_bytes:
            return False
        lines = unpacked = 0
        with source.open() as stream:
            while chunk := stream.read(1 << 20):
                unpacked, lines = unpacked + len(chunk), lines + chunk.count(b"\n")
                if unpacked > most or 8 * lines > max_bytes:
                    return True
        return 8 * (lines + 1) > max_bytes
    except (OSError, EOFError, zlib.error):  # the reader of the file says what is wrong
        return False


def run_score_files(
    options: ScoreOptions,
    *,
    kind: Literal["parquet", "csv"] = "parquet",
    restart: bool = False,
    progress: bool = True,
) -> Report:
    """Score the files part by part; a run that is killed goes on where it stopped.

    Parameters
    ----------
    options : ScoreOptions
    kind : {"parquet", "csv"}
        Of the files, and of the file of scores.
    restart : bool
        Discard what a killed run has left and begin anew.
    progress : bool

    Returns
    -------
    Report
        In ``options.out``: ``scores.parquet`` or ``scores.csv``, ``events.csv`` and
        ``report.json``.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.datasets import insider_threat
    >>> from slidecell.detect import ScoreOptions, ZScoreDetector
    >>> from slidecell.jobs.score_files import run_score_files
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> frame = insider_threat(users=4, days=60).drop(columns="label").sort_values("day")
    >>> ZScoreDetector(time="day", entity="user").fit(frame).save(folder / "detector")
    >>> (folder / "in").mkdir()
    >>> frame.to_parquet(folder / "in" / "1.parquet", index=False)
    >>> given = ScoreOptions(folder / "detector", folder / "in", folder / "out")
    >>> report = run_score_files(given, progress=False)
    >>> report.data["data"]["rows"], sorted(file.name for file in (folder / "out").iterdir())
    (236, ['events.csv', 'report.json', 'scores.parquet'])
    """
    from slidecell.detect.loading import load_saved
    from slidecell.scale import score_csv, score_parquet

    for flag, given, why in (
        ("--html", options.html, "a page has pictures of all rows"),
        (
            "--audited",
            options.audited,
            "which cheap scores are computed exactly is judged by the scores of all rows of its "
            "entity",
        ),
    ):
        if given:
            raise ValueError(
                f"{flag}: the files are scored in parts, and {why}; leave it out, or score one "
                "file that fits into memory (--max-memory)"
            )
    if is_standard(options.out):
        raise ValueError("--out: expected a folder for files that are scored in parts, got '-'")
    refuse_swapped(options.model, options.file, folders=True)
    refuse_overwriting(options.out, options.file)
    detector = load_saved(options.model, num_threads=options.num_threads)
    options.out.mkdir(parents=True, exist_ok=True)
    names = [f"scores.{kind}", "events.csv", "report.json"]
    scores, events, report_file = (options.out / name for name in names)
    score_files = score_csv if kind == "csv" else score_parquet
    found = score_files(
        detector,
        options.file,
        scores,
        entity=options.entity,
        time=options.time,
        max_gap=options.max_gap,
        missing=options.missing,  # type: ignore[arg-type]  # checked there
        duplicates=options.duplicates,  # type: ignore[arg-type]
        label=options.label,
        events=events,
        event_gap=options.event_gap,
        max_sorted_bytes=options.max_bytes,
        restart=restart,
        progress=progress,
    )
    data = {
        "files": found.files,
        "rows": found.rows,
        "entities": found.entities,
        "scored": found.scored,
        "flagged": found.flagged,
        "missing_cells": found.missing_cells,
        "events": found.events,
        "sorted_in_memory": found.sorted_in_memory,
    }
    drift = files_drift_facts(
        detector, found.recent, found.advice, scored=found.scored, flagged=found.flagged
    )
    metrics = None if found.metrics is None else found.metrics.to_dict()
    files = [str(options.out / name) for name in names]
    network = detector.network
    plan = None if network is None else network.plan(num_threads=options.num_threads)
    facts: dict[str, Any] = {
        "command": "score",
        "options": options.to_dict(),
        "detector": type(detector).__name__,
        "data": data,
        "threshold": detector.threshold_state(),
        "drift": drift,
        "metrics": metrics,
        "notes": [_LEFT_OUT, *found.notes, *drift_notes(drift)],
        "machine": machine(plan),
        "seconds": {"total": found.seconds},
        "resumed_rows": found.resumed,
        "files": files,
    }
    report = Report(
        f"{options.file} scored",
        command_line("score", options),
        [_section(data, facts), *([] if metrics is None else [metrics_section(metrics)])],
        files,
        facts,
        facts["notes"],
    )
    write_json(report_file, report)
    return report


def _section(data: dict[str, Any], facts: dict[str, Any]) -> Section:
    seconds, new = facts["seconds"]["total"], data["rows"] - facts["resumed_rows"]
    rows = [[name.replace("_", " "), f"{value:,}"] for name, value in list(data.items())[:-1]]
    rows.append(["rows a second", f"{new / seconds:,.0f}"])
    text = "Rows were out of order and were sorted in memory." if data["sorted_in_memory"] else ""
    return Section("Scored in parts", text, [Table(["", ""], rows)], main=True)
