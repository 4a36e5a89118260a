"""A run over files: part by part, on from where a killed one stopped, sorted where it must be."""

from __future__ import annotations

import json
import os
import time as clock
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidecell._whole_files import replacing
from slidecell.detect.rows_advice import RowsAdvice
from slidecell.scale.arrivals import UnsortedError
from slidecell.scale.engine import Engine
from slidecell.scale.events import sorted_events, write_events
from slidecell.scale.journal import Journal
from slidecell.scale.parts import PartsWriter
from slidecell.scale.progress import rows_progress
from slidecell.scale.sources import Place, RowFiles
from slidecell.scale.threads import ahead
from slidecell.tables.options import TableOptions

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.detect.training_statistics import Statistics
    from slidecell.evaluate.summary import Evaluation

__all__ = ["BATCH_ROWS", "SORTED_BYTES", "Run", "ScoredFiles"]

SORTED_BYTES = 1 << 30
BATCH_ROWS = 1 << 17
_PART_BATCHES = 16


@dataclass(frozen=True)
class ScoredFiles:
    """What `score_parquet` or `score_csv` has done.

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
    recent : Statistics, optional
        Of the rows' columns, where the detector kept those of the rows that it was fitted on: for
        `slidecell.detect.drift.compare`. Their quantiles are those of a sample.
    advice : dict, optional
        What `slidecell.detect.drift.DriftMonitor` says of the rows in the order in which they come:
        ``advice``, ``columns``, ``entities`` and ``text`` at the end; ``comparisons``, and
        ``not_fine`` among them; ``first`` that was not fine. None where the detector keeps too
        little of its training, or the rows do not fill a window.
    metrics : Evaluation, optional
        Of the flags, where there are labels and a rule: all counts, and what follows from them.
        They are those of all rows at once; areas under curves, range and affiliation metrics are
        None.
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
    recent: Statistics | None = None
    advice: dict[str, Any] | None = None
    metrics: Evaluation | None = None


@dataclass(frozen=True)
class Run:
    """What is scored, how, and where the results go.

    Parameters
    ----------
    detector : Detector
    files : RowFiles
    options : TableOptions
    features : list of str
    out : Path
        The file of scores.
    csv : bool
        Whether it is a CSV file, or else a Parquet file.
    events : path, optional
    event_gap : int
    batch_rows, max_sorted_bytes : int
    progress : bool or callable
        As for `slidecell.scale.score_parquet`.
    """

    detector: Detector
    files: RowFiles
    options: TableOptions
    features: list[str]
    out: Path
    csv: bool
    events: str | os.PathLike[str] | None
    event_gap: int
    batch_rows: int
    max_sorted_bytes: int
    progress: bool | Callable[[int, int], object]

    def score(self, *, restart: bool) -> ScoredFiles:
        """Score all rows, or those that a killed run has left, and write the results."""
        started = clock.perf_counter()
        journal = Journal(self.out, self._about())
        if restart:
            journal.remove()
        resumed, in_memory = 0, False
        self.out.absolute().parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.out) as whole:
            writer = self._writer(journal, whole)
            try:
                if writer.engine.needs_all is not None:
                    raise UnsortedError(writer.engine.needs_all)
                resumed, end = self._score_parts(writer, journal)
                writer.finish()
            except UnsortedError as error:
                writer.abandon()
                journal.remove_unfinished()
                self._refuse_many(error)
                in_memory = True
                journal.remove()
                writer = self._writer(journal, whole)
                end = self._score_whole(writer, journal)
            except BaseException:
                writer.abandon()
                journal.remove_unfinished()
                raise
        self._write_events(writer, journal)
        journal.remove()
        counts = writer.engine.counts
        return ScoredFiles(
            self.out,
            len(self.files.files),
            counts["rows"],
            len(writer.engine.entities),
            counts["scored"],
            counts["flagged"],
            counts["events"],
            counts["missing_cells"],
            clock.perf_counter() - started,
            resumed=resumed,
            sorted_in_memory=in_memory,
            notes=(*self.files.notes(end), *self.detector.score_notes()),
            recent=None if writer.engine.recent is None else writer.engine.recent.statistics(),
            advice=None if writer.engine.advice is None else writer.engine.advice.facts(),
            metrics=self._metrics(writer.engine),
        )

    def _metrics(self, engine: Engine) -> Evaluation | None:
        """Return how the flags compare with the labels; None without labels or a rule."""
        rule = self.detector.threshold_state()
        if engine.labels is None or rule is None:
            return None
        value = rule.get("value")
        return engine.labels.evaluation(threshold=None if value is None else float(value))

    def _about(self) -> dict[str, Any]:
        """Return what the results depend on."""
        table = json.loads(json.dumps(self.options.to_dict()))
        return {
            "detector": [self.detector.fingerprint(), self.detector.threshold_state()],
            "source": self.files.identity(),
            "instruction set": _isa(),
            "options": [table, self.event_gap, self.batch_rows, self.features],
        }

    def _writer(self, journal: Journal, whole: Path) -> PartsWriter:
        engine = Engine(
            self.detector,
            self.options,
            self.features,
            self.files.key_types,
            event_gap=self.event_gap,
        )
        kept = self.detector.training_statistics_
        if kept is not None:
            engine.recent = kept.columns.sketch()
        if RowsAdvice.is_known(self.detector):
            engine.advice = RowsAdvice(self.detector, self.files.total)
        return PartsWriter(
            engine, journal, self.files.key_types, whole=whole, out=self.out, csv=self.csv
        )

    def _refuse_many(self, error: UnsortedError) -> None:
        cells = 8 * self.files.total * (len(self.features) + 4)
        if cells > self.max_sorted_bytes:
            raise ValueError(
                f"{error}; they would take {cells:,} bytes to be scored at once in memory, and "
                f"max_sorted_bytes (--max-memory) allows {self.max_sorted_bytes:,}"
            ) from None

    def _score_whole(self, writer: PartsWriter, journal: Journal) -> Place:
        """Score all rows at once; return the place behind them."""
        try:
            journal.start()
            with rows_progress(self.progress, self.files.total, 0) as tell:
                writer.start(self.files.keys())
                writer.begin()
                whole = self.files.whole()
                writer.take(whole, sort=True)
                writer.end(whole.next, last=True)
                tell(writer.engine.counts["rows"])
            writer.finish()
        except BaseException:
            writer.abandon()
            journal.remove_unfinished()
            raise
        return whole.next

    def _score_parts(self, writer: PartsWriter, journal: Journal) -> tuple[int, Place]:
        """Score all batches that no earlier run has.

        Returns
        -------
        resumed : int
            How many rows one had.
        end : Place
            Behind the last batch.
        """
        saved = journal.load()
        place = Place() if saved is None else writer.restore(saved)
        counts = writer.engine.counts
        resumed = counts["rows"]
        journal.start()
        writer.start(self.files.keys())
        if writer.done:
            return resumed, place
        number = 0
        with rows_progress(self.progress, self.files.total, resumed) as tell:
            for batch in ahead(self.files.batches(place)):
                if number == 0:
                    writer.begin()
                writer.take(batch, sort=False)
                place = batch.next
                number += 1
                tell(counts["rows"])
                if number == _PART_BATCHES:
                    writer.end(place, last=False)
                    number = 0
            if number == 0:
                writer.begin()
            writer.end(place, last=True)
        return resumed, place

    def _write_events(self, writer: PartsWriter, journal: Journal) -> None:
        """Put the events of all parts together, as a file that appears whole."""
        import pyarrow.parquet as pq

        if self.events is None:
            return
        parts = range(writer.count)
        found = [pq.read_table(journal.part("events", number)) for number in parts]
        table = sorted_events(found, writer.engine.entities)
        with replacing(self.events) as temporary:
            write_events(table, temporary, self.options)


def _isa() -> str:
    from slidecell import _core

    return str(_core.active_isa())
