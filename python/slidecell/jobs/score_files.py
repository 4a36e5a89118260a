"""Score Parquet files of any length with a saved detector: a folder, a pattern, a long file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slidecell._extras import require
from slidecell.jobs.command_line import command_line
from slidecell.jobs.json_file import write_json
from slidecell.jobs.report import Report, Section, Table
from slidecell.jobs.results import machine, refuse_overwriting
from slidecell.jobs.score import ScoreOptions, refuse_table
from slidecell.tables.source import is_standard

__all__ = ["is_scored_in_parts", "run_score_files"]

_LEFT_OUT = (
    "the files are scored in parts: there is no picture of all rows, no comparison with labels, no "
    "comparison with the training rows, and no column is named for an event"
)


def is_scored_in_parts(file: Path, max_bytes: int) -> bool:
    """Tell a folder of Parquet files, a pattern, or a Parquet file too long to be read at once.

    Parameters
    ----------
    file : Path
    max_bytes : int
        What a column may take in memory.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.jobs.score_files import is_scored_in_parts
    >>> is_scored_in_parts(Path("2024-*/*.parquet"), 1 << 30)
    True
    >>> is_scored_in_parts(Path("none.csv"), 1 << 30)
    False
    """
    if is_standard(file):
        return False
    if file.is_dir():
        return any(path.suffix in {".parquet", ".pq"} for path in file.rglob("*"))
    if not file.exists():
        return bool(set("*?[") & set(str(file)))
    if file.suffix not in {".parquet", ".pq"}:
        return False
    require("pyarrow", extra="detect")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return bool(8 * pq.read_metadata(file).num_rows > max_bytes)
    except (pa.ArrowException, OSError):  # the reader of the file says what is wrong
        return False


def run_score_files(options: ScoreOptions, *, progress: bool = True) -> Report:
    """Score the files part by part; a run that is killed goes on where it stopped.

    Returns
    -------
    Report
        In ``options.out``: ``scores.parquet``, ``events.csv`` and ``report.json``.

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
    from slidecell.scale import score_parquet

    for flag, value in (
        ("--label", options.label),
        ("--html", options.html or None),
        ("--audited", options.audited or None),
    ):
        if value is not None:
            raise ValueError(
                f"{flag}: the files are scored in parts, and it needs all rows at once; leave it "
                "out, or score one file that fits into memory (--max-memory)"
            )
    if is_standard(options.out):
        raise ValueError("--out: expected a folder for files that are scored in parts, got '-'")
    refuse_table(options.model)
    refuse_overwriting(options.out, options.file)
    detector = load_saved(options.model, num_threads=options.num_threads)
    options.out.mkdir(parents=True, exist_ok=True)
    names = ["scores.parquet", "events.csv", "report.json"]
    scores, events, report_file = (options.out / name for name in names)
    found = score_parquet(
        detector,
        options.file,
        scores,
        entity=options.entity,
        time=options.time,
        max_gap=options.max_gap,
        missing=options.missing,  # type: ignore[arg-type]  # checked there
        duplicates=options.duplicates,  # type: ignore[arg-type]
        events=events,
        event_gap=options.event_gap,
        max_sorted_bytes=options.max_bytes,
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
    files = [str(options.out / name) for name in names]
    network = detector.network
    plan = None if network is None else network.plan(num_threads=options.num_threads)
    facts: dict[str, Any] = {
        "command": "score",
        "options": options.to_dict(),
        "detector": type(detector).__name__,
        "data": data,
        "threshold": detector.threshold_state(),
        "notes": [_LEFT_OUT, *found.notes],
        "machine": machine(plan),
        "seconds": {"total": found.seconds},
        "resumed_rows": found.resumed,
        "files": files,
    }
    report = Report(
        f"{options.file} scored",
        command_line("score", options),
        [_section(data, facts)],
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
