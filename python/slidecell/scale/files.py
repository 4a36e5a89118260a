"""Scores of Parquet and CSV files of any length, batch by batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slidecell._arguments import whole_number
from slidecell._extras import require
from slidecell.scale.csv_files import CsvFiles, column_names
from slidecell.scale.runs import BATCH_ROWS, SORTED_BYTES, Run, ScoredFiles
from slidecell.scale.settings import as_detector, feature_names, key_flags, table_options
from slidecell.scale.sources import ParquetFiles, RowFiles, find_files

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.model import SequenceModel

__all__ = ["score_csv", "score_files", "score_parquet"]


def score_parquet(
    model_or_detector: Detector | SequenceModel,
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    entity: str | None = None,
    time: str | None = None,
    max_gap: str | None = None,
    missing: Literal["skip", "ffill"] | None = None,
    duplicates: Literal["error", "keep"] | None = None,
    label: str | None = None,
    events: str | os.PathLike[str] | None = None,
    event_gap: int | None = None,
    batch_rows: int = BATCH_ROWS,
    max_sorted_bytes: int = SORTED_BYTES,
    restart: bool = False,
    progress: bool | Callable[[int, int], object] = False,
) -> ScoredFiles:
    """Score the rows of Parquet files that need not fit into memory.

    Scores, flags and events are those of the same rows in memory, bit for bit: the rows that a
    score depends on are carried from batch to batch, and smoothing, threshold and events go on
    entity by entity. Rows must be in the order of time within each entity; entities may interleave.
    Memory is that of a few batches, and of the last rows of each entity: one thread reads ahead of
    the scores, and one writes behind them.

    A run that is killed goes on where it stopped when it is started again, and writes the same
    bytes: finished parts and a journal lie in the folder ``.NAME.parts`` beside ``out`` until the
    end.

    Parameters
    ----------
    model_or_detector : Detector or SequenceModel
        Fitted.
    source : path, or sequence of paths
        A file, a folder, a pattern such as ``"2024-*/*.parquet"``, or several of them: see
        `slidecell.scale.sources.find_files`. Series go on from file to file.
    out : path
        The Parquet file to write: key columns, ``score``, ``flagged`` and ``part`` (``test``), one
        row for each row of the source in its order.
    entity, time : str, optional
        Columns. Default: those that the detector was fitted with; ``""``: there is none.
    max_gap, missing : str, optional
        As in `slidecell.tables.options.TableOptions`. Default: as the detector was fitted.
    duplicates : {"error", "keep"}, optional
        Rows of one entity with the same time. Default: as the detector was fitted.
    label : str, optional
        A column of 0 and 1 (1 = anomaly) that the flags are compared with: see
        `ScoredFiles.metrics`.
    events : path, optional
        A CSV file to write: the events, worst first. All of them are kept in memory at the end.
    event_gap : int, optional
        Flagged rows with at most so many others between them are one event. Default: the
        detector's.
    batch_rows : int
        Rows that are scored at once, at most. No score depends on it.
    max_sorted_bytes : int
        Rows that are out of order are sorted in memory where 8 bytes for each of their cells and
        for four more cells a row are no more than this. So are rows whose scores depend on more
        than rows before them (``align="cover"``).
    restart : bool
        Begin anew, whatever an earlier run has left.
    progress : bool or callable
        True: a bar with rows a second and the time left, on standard error. A callable gets the
        rows that are done and all rows.

    Returns
    -------
    ScoredFiles

    Raises
    ------
    OSError
        If a file cannot be opened or written, or the disk is full: nothing half written stands at
        ``out``, and the parts that are whole stay for the next run.
    ValueError
        If a file is damaged, lacks a column or has another type of key; if rows are out of order
        and too many to be sorted; or if another run has left a journal here. The text names the
        place.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from slidecell.detect import WindowPCADetector
    >>> from slidecell.scale import score_parquet
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> frame = pd.DataFrame({"t": range(300), "x": np.sin(np.arange(300) / 5)})
    >>> detector = WindowPCADetector(window=20, time="t").fit(frame)
    >>> frame[:100].to_parquet(folder / "1.parquet")
    >>> frame[100:].to_parquet(folder / "2.parquet")
    >>> found = score_parquet(detector, folder / "*.parquet", folder / "scores.parquet")
    >>> found.files, found.rows, found.scored
    (2, 300, 281)
    >>> scores = pd.read_parquet(folder / "scores.parquet")["score"]
    >>> np.array_equal(scores, detector.score_samples(frame), equal_nan=True)
    True
    """
    require("pyarrow", "pandas", extra="detect")
    return score_files(
        model_or_detector,
        source,
        out,
        kind="parquet",
        asked={
            "entity": entity,
            "time": time,
            "max_gap": max_gap,
            "missing": missing,
            "duplicates": duplicates,
        },
        label=label,
        events=events,
        event_gap=event_gap,
        batch_rows=batch_rows,
        max_sorted_bytes=max_sorted_bytes,
        restart=restart,
        progress=progress,
    )


def score_csv(
    model_or_detector: Detector | SequenceModel,
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    entity: str | None = None,
    time: str | None = None,
    max_gap: str | None = None,
    missing: Literal["skip", "ffill"] | None = None,
    duplicates: Literal["error", "keep"] | None = None,
    label: str | None = None,
    events: str | os.PathLike[str] | None = None,
    event_gap: int | None = None,
    batch_rows: int = BATCH_ROWS,
    max_sorted_bytes: int = SORTED_BYTES,
    restart: bool = False,
    progress: bool | Callable[[int, int], object] = False,
) -> ScoredFiles:
    """Score the rows of CSV files that need not fit into memory, as `score_parquet` does.

    Files are read in pieces of 4 MiB (a longer row makes a longer piece), each like a file of its
    own: numbers, missing cells, blank lines and quotes mean what they mean where a file is read at
    once, and the file of scores has the same bytes. Text in gzip is unpacked; a run that goes on
    in such a file unpacks it up to there. Before any row is scored each file is looked through
    once, for its length and for zero bytes.

    Dates that can be read in two orders of day and month are read in the order of the detector's
    own, and all dates of a run in one. A feature is true and false in all rows, or in none: the
    first 4 MiB say which.

    Parameters
    ----------
    model_or_detector : Detector or SequenceModel
        Fitted.
    source : path, or sequence of paths
        A file, a folder, a pattern such as ``"2024-*/*.csv.gz"``, or several of them: see
        `slidecell.scale.sources.find_files`. Each file has its own header; series go on from file
        to file.
    out : path
        The CSV file to write: key columns, ``score``, ``flagged`` and ``part`` (``test``), one
        row for each row of the source in its order.
    entity, time, max_gap, missing, duplicates, label
        As for `score_parquet`.
    events, event_gap, batch_rows, max_sorted_bytes
        As for `score_parquet`.
    restart : bool
        Begin anew, whatever an earlier run has left.
    progress : bool or callable
        As for `score_parquet`. Blank lines, and lines within quotes, count among all rows.

    Returns
    -------
    ScoredFiles

    Raises
    ------
    OSError
        As `score_parquet`.
    ValueError
        As `score_parquet`; where a line is damaged or a cell is no number, the text names the line.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> from slidecell.detect import WindowPCADetector
    >>> from slidecell.scale import score_csv
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> frame = pd.DataFrame({"t": range(300), "x": np.sin(np.arange(300) / 5)})
    >>> detector = WindowPCADetector(window=20, time="t").fit(frame)
    >>> frame[:100].to_csv(folder / "1.csv", index=False)
    >>> frame[100:].to_csv(folder / "2.csv.gz", index=False)
    >>> found = score_csv(detector, folder, folder / "scores.csv")
    >>> found.files, found.rows, found.scored
    (2, 300, 281)
    >>> scores = pd.read_csv(folder / "scores.csv")["score"]
    >>> np.array_equal(np.float32(scores), detector.score_samples(frame), equal_nan=True)
    True
    """
    require("pyarrow", "pandas", extra="detect")
    return score_files(
        model_or_detector,
        source,
        out,
        kind="csv",
        asked={
            "entity": entity,
            "time": time,
            "max_gap": max_gap,
            "missing": missing,
            "duplicates": duplicates,
        },
        label=label,
        events=events,
        event_gap=event_gap,
        batch_rows=batch_rows,
        max_sorted_bytes=max_sorted_bytes,
        restart=restart,
        progress=progress,
    )


def score_files(
    model_or_detector: Detector | SequenceModel,
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    kind: Literal["parquet", "csv"],
    asked: Mapping[str, str | None],
    label: str | None,
    events: str | os.PathLike[str] | None,
    event_gap: int | None,
    batch_rows: int,
    max_sorted_bytes: int,
    restart: bool,
    progress: bool | Callable[[int, int], object],
) -> ScoredFiles:
    """Score files of a kind: see `score_parquet`; ``asked`` are the options of their table."""
    detector = as_detector(model_or_detector)
    whole_number("batch_rows", batch_rows, least=1)
    whole_number("max_sorted_bytes", max_sorted_bytes, least=0)
    options = table_options(detector, label=label, **asked)
    gap = detector.event_gap() if event_gap is None else whole_number("event_gap", event_gap)
    written = {Path(path).absolute() for path in (out, events) if path is not None}
    paths = [path for path in find_files(source, kind) if path.absolute() not in written]
    if not paths:
        raise ValueError(f"source: expected files other than those of the results, got {source}")
    keys = key_flags(options)
    features = detector.feature_texts()
    if features is None:
        names = _parquet_names(paths[0]) if kind == "parquet" else column_names(paths[0])
        features = feature_names(detector, names, options, source=str(paths[0]))
    files: RowFiles
    if kind == "parquet":
        files = ParquetFiles(paths, keys, features, batch_rows=batch_rows, label=label)
    else:
        files = CsvFiles(paths, keys, features, batch_rows=batch_rows, label=label)
    run = Run(
        detector,
        files,
        options,
        features,
        Path(out),
        csv=kind == "csv",
        events=events,
        event_gap=gap,
        batch_rows=batch_rows,
        max_sorted_bytes=max_sorted_bytes,
        progress=progress,
    )
    return run.score(restart=restart)


def _parquet_names(path: Path) -> list[str]:
    """Return the columns of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        return [str(name) for name in pq.read_schema(path).names]
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: damaged Parquet file: {error}") from error
