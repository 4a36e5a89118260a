"""Batches of rows in; scores, flags and events out; and the state between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell.detect.rows_advice import RowsAdvice
from slidecell.detect.streams.state import Saved
from slidecell.detect.table_scores import score_table
from slidecell.scale.arrivals import Arranged, Arrivals
from slidecell.scale.carried import CarriedRows
from slidecell.scale.decisions import Decisions
from slidecell.scale.entities import Entities
from slidecell.scale.events import events_table
from slidecell.scale.label_counts import LabelCounts
from slidecell.scale.open_events import Closed
from slidecell.scale.sources import Batch, read_features, read_labels
from slidecell.tables.options import TableOptions
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.thresholds.state_values import mapping, whole

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.detect.training_statistics import Sketch

__all__ = ["Engine", "Scored"]

_COUNTS = ("rows", "scored", "flagged", "events", "missing_cells")


class Scored(NamedTuple):
    """Scores [B] and flags [B] of a batch, in the order of its rows."""

    scores: npt.NDArray[Any]
    flags: npt.NDArray[np.bool_]


class Engine:
    """Scores batches of rows in turn.

    Parameters
    ----------
    detector : Detector
        Fitted.
    options : TableOptions
    features : sequence of str
    key_types : mapping of str to pyarrow.DataType
        Of the time and entity columns.
    event_gap : int
    """

    def __init__(
        self,
        detector: Detector,
        options: TableOptions,
        features: Sequence[str],
        key_types: Mapping[str, Any],
        *,
        event_gap: int,
    ) -> None:
        import pyarrow as pa

        self._detector, self._options, self._features = detector, options, list(features)
        self._key_types, self._gap = dict(key_types), event_gap
        self._fill = options.missing == "ffill"
        self.needs_all: str | None = None
        self._length, self._smoothing = 1, None
        try:
            self._length, self._smoothing = detector.rows_in_parts()
        except ValueError as error:
            self.needs_all = str(error)
        self.recent: Sketch | None = None
        """What the rows' columns are added to, where it is set."""
        self.advice: RowsAdvice | None = None
        """What watches the rows' columns, where it is set."""
        self.labels = None if options.label is None else LabelCounts()
        """What flags are compared with labels by."""
        self._time = None if options.time is None else str(options.time)
        self._places = pa.int64() if self._time is None else self._key_types[self._time]
        self.score_type = self._score_type()
        self.forget()

    def forget(self) -> None:
        """Be as at the start: no row has come."""
        length = max(self._length - 1, int(self._fill))
        self._arrivals = Arrivals(self._options, self._key_types)
        self._carried = CarriedRows(length, len(self._features))
        self._decisions = Decisions(
            self._detector, self._smoothing, gap=self._gap, name=self.entities.name
        )
        self._closed: list[Closed] = []
        self.counts = dict.fromkeys(_COUNTS, 0)

    def _score_type(self) -> Any:
        """Return the type of scores, which a table too short for one has too."""
        import pyarrow as pa

        rows = max(self._detector.shortest_series(), 1)
        empty = Rows(np.full((rows, len(self._features)), np.nan), np.array([0, rows]))
        return pa.from_numpy_dtype(score_table(self._detector, empty).dtype)

    @property
    def entities(self) -> Entities:
        """Those that have come."""
        return self._arrivals.entities

    @property
    def decides_by_row(self) -> bool:
        """Whether a flag follows from its row's own score alone."""
        return self._smoothing is None and self._decisions.by_row

    def score(self, batch: Batch, *, sort: bool, raw: npt.NDArray[Any] | None = None) -> Scored:
        """Score the rows of a batch, which has some.

        Parameters
        ----------
        batch : Batch
        sort : bool
            Whether rows may come in any order, or else are refused where they do.
        raw : ndarray, [B], optional
            The scores of the batch before they are smoothed, where they are known.

        Raises
        ------
        UnsortedError
            If rows of an entity are not in the order of time.
        """
        arranged = self._arrivals.arrange(batch, sort=sort)
        order, codes, begins = arranged.order, arranged.codes, arranged.begins
        if raw is None:
            scores, features = self._score(batch, arranged)
        else:
            scores, features = raw[order], read_features(batch, self._features)[order]
        if self.recent is not None:
            self.recent.add(features)
        if self.advice is not None:
            self._watch(self.advice, arranged, features, sort=sort)
        scores = self._decisions.smooth(codes, scores, begins)
        rows = Rows(
            features,
            np.append(arranged.cuts(), len(codes)).astype(np.int64),
            entities=codes,
            entity_names=self.entities.names(),
        )
        flags = self._decisions.flag(codes, rows, scores, begins)
        self._follow(batch, arranged, scores=scores, flags=flags)
        if self.labels is not None:
            labels = read_labels(batch, str(self._options.label)).take(order)
            self.labels.add(arranged, labels, scores, flags)
        self.counts["rows"] += len(codes)
        self.counts["scored"] += len(codes) - int(np.count_nonzero(np.isnan(scores)))
        self.counts["flagged"] += int(np.count_nonzero(flags))
        flagged = np.zeros(len(codes), np.bool_)
        flagged[order[flags]] = True
        return Scored(_put_back(scores, order), flagged)

    def raw(self, batch: Batch, *, sort: bool) -> npt.NDArray[Any]:
        """Return the scores of a batch before they are smoothed, in the order of its rows."""
        arranged = self._arrivals.arrange(batch, sort=sort)
        return _put_back(self._score(batch, arranged)[0], arranged.order)

    def _score(self, batch: Batch, arranged: Arranged) -> tuple[npt.NDArray[Any], Floats]:
        """Return scores [B] that are smoothed if that takes them all, and filled rows [B, F]."""
        features = read_features(batch, self._features)
        finite = np.isfinite(features)
        missing = features.size - int(np.count_nonzero(finite))
        if missing:
            features[~finite] = np.nan
        self.counts["missing_cells"] += missing
        joined = self._carried.join(arranged, features, fill=self._fill)
        smoothed = self._smoothing is None
        scores = score_table(self._detector, joined.rows, smoothed=smoothed)
        return scores.take(joined.new), joined.own

    def _follow(
        self,
        batch: Batch,
        arranged: Arranged,
        *,
        scores: npt.NDArray[Any],
        flags: npt.NDArray[np.bool_],
    ) -> None:
        """Follow the events."""
        keys = None if self._time is None else batch.table.column(self._time)

        def places(rows: Ints) -> list[Any]:
            at = arranged.order[rows]
            return list(
                (batch.before + at + 1).tolist() if keys is None else keys.take(at).to_pylist()
            )

        self._take_closed(self._decisions.events.follow(arranged, scores, flags, places=places))

    def _watch(
        self, advice: RowsAdvice, arranged: Arranged, features: Floats, *, sort: bool
    ) -> None:
        """Show the rows to what watches them, in the order in which they come."""
        rows, codes = _put_back(features, arranged.order), _put_back(arranged.codes, arranged.order)
        if sort and arranged.times is not None:
            order = np.argsort(arranged.times.values, kind="stable")
            rows, codes = rows.take(order, axis=0), codes.take(order)
        names = self.entities.names()
        whose = None if self._options.entity is None else [names[code] for code in codes.tolist()]
        advice.add(rows, whose)

    def _take_closed(self, closed: list[Closed]) -> None:
        self._closed += closed
        self.counts["events"] += len(closed)

    def events(self, *, last: bool) -> Any:
        """Return the events that have ended since the last call, as a table of pyarrow.

        Parameters
        ----------
        last : bool
            Whether no row comes any more, which ends all of them.
        """
        if last:
            self._take_closed(self._decisions.events.close())
        closed, self._closed = self._closed, []
        return events_table(closed, self._places)

    def state(self) -> Saved:
        """Return what the next scores, flags and events depend on, beyond their rows."""
        seen = self._arrivals.state()
        decisions, places = self._decisions.state()
        text = {"counts": dict(self.counts), "decisions": decisions, **seen.text}
        if self.labels is not None:
            text["labels"] = self.labels.state()
        parts = {
            **self._carried.saved(len(self.entities)),
            **seen.parts,
            "places": _places_bytes(places, self._places),
        }
        return Saved(text, parts)

    def restore(self, saved: Saved) -> None:
        """Go on from what `state` returned."""
        counts = mapping(saved.text.get("counts"), "counts")
        self.counts = {name: whole(counts, name) for name in _COUNTS}
        self._carried.restore(saved, self._arrivals.restore(saved))
        if self.labels is not None:
            self.labels.load_state(mapping(saved.text.get("labels"), "labels"))
        self._decisions.load_state(
            mapping(saved.text.get("decisions"), "decisions"), _places_of(saved.parts["places"])
        )


def _put_back(values: npt.NDArray[Any], order: Ints) -> npt.NDArray[Any]:
    """Return values [B] in the order of the batch."""
    back = np.empty_like(values)
    back[order] = values
    return back


def _places_bytes(places: Sequence[tuple[Any, Any]], kind: Any) -> bytes:
    import pyarrow as pa

    columns = {
        name: pa.array([place[n] for place in places], kind)
        for n, name in enumerate(("start", "end"))
    }
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _places_of(saved: bytes) -> list[tuple[Any, Any]]:
    import pyarrow as pa

    table = pa.ipc.open_stream(saved).read_all()
    columns = (table.column(name).to_pylist() for name in ("start", "end"))
    return list(zip(*columns, strict=True))
