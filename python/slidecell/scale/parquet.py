"""Scores of Parquet files of any length, row group by row group."""

from __future__ import annotations

import json
import os
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from slidecell._arguments import whole_number
from slidecell._extras import require
from slidecell._whole_files import replacing
from slidecell.model import SequenceModel
from slidecell.scale.arrivals import UnsortedError
from slidecell.scale.engine import Engine
from slidecell.scale.events import sorted_events, write_events
from slidecell.scale.journal import Journal
from slidecell.scale.parts import PartsWriter
from slidecell.scale.progress import rows_progress
from slidecell.scale.settings import as_detector, feature_names, key_flags, table_options
from slidecell.scale.sources import ParquetFiles, Place, find_files
from slidecell.tables.options import TableOptions

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = ["ScoredFiles", "score_parquet"]

SORTED_BYTES = 1 << 30
BATCH_ROWS = 1 << 17
_PART_BATCHES = 16


@dataclass(frozen=True)
class ScoredFiles:
    """What `score_parquet` has done.

    Attributes
    ----------
    out : Path
        The file of scores.
    files, rows, entities : int
    scored, flagged, events : int
        Rows that have a score, rows that are flagged, events of these.
    missing_cells : int
    seconds : float
        Of this run.
    resumed : int
        Rows that an earlier run had done.
    sorted_in_memory : bool
        Whether rows were not in the order of time.
    notes : tuple of str
    """

    out: Path
    files: int
    rows: int
    entities: int
    scored: int
    flagged: int
    events: int
    missing_cells: int
    seconds: float
    resumed: int = 0
    sorted_in_memory: bool = False
    notes: tuple[str, ...] = field(default=())


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
    Memory is that of a batch, and of the last rows of each entity.

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
    started = clock.perf_counter()
    detector = as_detector(model_or_detector)
    whole_number("batch_rows", batch_rows, least=1)
    whole_number("max_sorted_bytes", max_sorted_bytes, least=0)
    options = table_options(
        detector, entity=entity, time=time, max_gap=max_gap, missing=missing, duplicates=duplicates
    )
    gap = detector.event_gap() if event_gap is None else whole_number("event_gap", event_gap)
    target = Path(out)
    paths = [path for path in find_files(source) if path.absolute() != target.absolute()]
    features = detector.feature_texts()
    if features is None:
        features = feature_names(detector, _first_names(paths), options, source=str(paths[0]))
    files = ParquetFiles(paths, key_flags(options), features, batch_rows=batch_rows)
    engine = Engine(detector, options, features, files.key_types, event_gap=gap)
    cells = 8 * files.total * (len(features) + 4)
    about = {
        "detector": [detector.fingerprint(), detector.threshold_state()],
        "source": files.identity(),
        "instruction set": _isa(),
        "options": [json.loads(json.dumps(options.to_dict())), gap, batch_rows, list(features)],
    }
    journal = Journal(target, about)
    if restart:
        journal.remove()
    resumed, in_memory = 0, False
    try:
        if engine.needs_all is not None:
            raise UnsortedError(engine.needs_all)
        writer = PartsWriter(engine, journal, files.key_types)
        resumed = _score_parts(writer, files, journal, progress)
    except UnsortedError as error:
        journal.remove_unfinished()
        if cells > max_sorted_bytes:
            raise ValueError(
                f"{error}; they would take {cells:,} bytes to be scored at once in memory, and "
                f"max_sorted_bytes (--max-memory) allows {max_sorted_bytes:,}"
            ) from None
        in_memory = True
        journal.remove()
        journal.start()
        engine = Engine(detector, options, features, files.key_types, event_gap=gap)
        writer = PartsWriter(engine, journal, files.key_types)
        with rows_progress(progress, files.total, 0) as tell:
            writer.begin()
            writer.take(files.whole(), sort=True)
            writer.end(Place(len(files.files)), last=True)
            tell(files.total)
    except BaseException:
        journal.remove_unfinished()
        raise
    _write(writer, journal, target, events, options)
    journal.remove()
    counts = engine.counts
    return ScoredFiles(
        target,
        len(files.files),
        files.total,
        len(engine.entities),
        counts["scored"],
        counts["flagged"],
        counts["events"],
        counts["missing_cells"],
        clock.perf_counter() - started,
        resumed=resumed,
        sorted_in_memory=in_memory,
        notes=tuple(detector.score_notes()),
    )


def _score_parts(
    writer: PartsWriter,
    files: ParquetFiles,
    journal: Journal,
    progress: bool | Callable[[int, int], object],
) -> int:
    """Score all batches that no earlier run has; return how many rows one had."""
    saved = journal.load()
    place = Place() if saved is None else writer.restore(saved)
    counts = writer.engine.counts
    resumed = counts["rows"]
    journal.start()
    if writer.done:
        return resumed
    number = 0
    with rows_progress(progress, files.total, resumed) as tell:
        for batch in files.batches(place):
            if number == 0:
                writer.begin()
            writer.take(batch, sort=False)
            number += 1
            tell(counts["rows"])
            if number == _PART_BATCHES:
                writer.end(batch.next, last=False)
                number = 0
        if number == 0:
            writer.begin()
        writer.end(Place(len(files.files)), last=True)
    return resumed


def _write(
    writer: PartsWriter,
    journal: Journal,
    out: Path,
    events: str | os.PathLike[str] | None,
    options: TableOptions,
) -> None:
    """Put the parts together, as files that appear whole."""
    import pyarrow.parquet as pq

    parts = range(writer.count)
    with replacing(out) as temporary, pq.ParquetWriter(temporary, writer.schema) as whole:
        for number in parts:
            with pq.ParquetFile(journal.part("scores", number)) as part:
                for group in range(part.num_row_groups):
                    whole.write_table(part.read_row_group(group))
    if events is not None:
        found = [pq.read_table(journal.part("events", number)) for number in parts]
        table = sorted_events(found, writer.engine.entities)
        with replacing(events) as temporary:
            write_events(table, temporary, options)


def _first_names(paths: Sequence[Path]) -> list[str]:
    """Return the columns of the first file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not paths[0].exists():
        raise FileNotFoundError(f"{paths[0]}: there is no such file")
    try:
        return [str(name) for name in pq.read_schema(paths[0]).names]
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{paths[0]}: damaged Parquet file: {error}") from error


def _isa() -> str:
    from slidecell import _core

    return str(_core.active_isa())
