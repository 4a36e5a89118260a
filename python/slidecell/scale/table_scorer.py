"""Tables of pyarrow in, the same tables with scores and flags out: what workers of engines do."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from slidecell._arguments import whole_number
from slidecell._extras import require
from slidecell.detect.streams.state import Saved
from slidecell.scale.arrivals import Arrivals
from slidecell.scale.decisions import Decisions
from slidecell.scale.engine import Engine
from slidecell.scale.events import events_table
from slidecell.scale.open_events import Closed
from slidecell.scale.overlap import CARRIED, Overlap
from slidecell.scale.settings import as_detector, feature_names, key_flags, table_options
from slidecell.scale.sources import Batch, check_columns, check_names

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.model import SequenceModel

__all__ = ["TableScorer"]

_WRITTEN = ["score", "flagged"]


class TableScorer:
    """Scores tables, each by itself: whole entities, or rows behind those that were carried.

    Parameters
    ----------
    model_or_detector : Detector, SequenceModel or path
        Fitted; a path as `slidecell score` takes it.
    entity, time, max_gap, missing, duplicates
        As for `slidecell.scale.score_parquet`.
    num_threads : int, optional
        Of compiled kernels. Default: the detector's, else all that OpenMP offers.
    event_gap : int, optional
        Of events. Default: the detector's.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.scale.table_scorer import TableScorer
    >>> detector = ZScoreDetector().fit([[0.0], [1.0], [2.0]])
    >>> TableScorer(detector)(pa.table({"x": [1.0, 9.0]})).column("flagged").to_pylist()
    [0, 1]
    """

    def __init__(
        self,
        model_or_detector: Detector | SequenceModel | str | os.PathLike[str],
        *,
        entity: str | None = None,
        time: str | None = None,
        max_gap: str | None = None,
        missing: Literal["skip", "ffill"] | None = None,
        duplicates: Literal["error", "keep"] | None = None,
        num_threads: int | None = None,
        event_gap: int | None = None,
    ) -> None:
        require("pyarrow", "pandas", "sklearn", extra="detect")
        from slidecell.detect.loading import load_saved, set_as_far_as_known

        if isinstance(model_or_detector, (str, os.PathLike)):
            self.detector = load_saved(model_or_detector)
        else:
            self.detector = as_detector(model_or_detector)
        if num_threads is not None:
            threads = whole_number("num_threads", num_threads, least=1)
            set_as_far_as_known(self.detector, {"num_threads": threads})
        self.options = table_options(
            self.detector,
            entity=entity,
            time=time,
            max_gap=max_gap,
            missing=missing,
            duplicates=duplicates,
        )
        self._gap = (
            self.detector.event_gap() if event_gap is None else whole_number("event_gap", event_gap)
        )
        self._keys = key_flags(self.options)
        self._engine: Engine | None = None
        self._key_types: dict[str, Any] = {}
        self._features: list[str] = []

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made from the first table: another process has its own."""
        return {**self.__dict__, "_engine": None, "_key_types": {}}

    def __call__(self, table: Any) -> Any:
        """Return a table [B] with the columns ``score`` and ``flagged`` behind its own.

        Parameters
        ----------
        table : pyarrow.Table
            All rows of its entities in any order, or a part of them with a column
            ``slidecell_carried`` as `slidecell.scale.overlap.Overlap` makes it: rows that are
            marked there are not returned. Flags of a part are null if they depend on earlier
            scores; `decide` knows these.
        """
        import pyarrow as pa

        carried = None
        if CARRIED in table.column_names:
            carried = table.column(CARRIED).to_numpy().astype(np.bool_)
            table = table.drop_columns([CARRIED])
        engine = self.engine(table.schema)
        engine.forget()
        if len(table) == 0:
            scores, flags = np.zeros(0), np.zeros(0, np.bool_)
        elif carried is not None and not engine.decides_by_row:
            scores, flags = engine.raw(self._batch(table), sort=True), None
        else:
            scores, flags = engine.score(self._batch(table), sort=True)
        if carried is not None:
            table, scores = table.filter(pa.array(~carried)), scores[~carried]
            flags = None if flags is None else flags[~carried]
        return self._with(table, scores, flags)

    def decide(self, table: Any, state: Saved | None, *, sort: bool = False) -> tuple[Any, Saved]:
        """Smooth and judge raw scores of a block, from the state behind the last block on.

        Parameters
        ----------
        table : pyarrow.Table
            As a call returns it of carried rows; entities go on from block to block.
        state : Saved, optional
            None: this is the first block.
        sort : bool
            Whether rows may come in any order.

        Returns
        -------
        table : pyarrow.Table
        state : Saved
        """
        raw = table.column("score").to_numpy()
        return self.go_on(table.drop_columns(_WRITTEN), state, sort=sort, raw=raw)

    def go_on(
        self, table: Any, state: Saved | None, *, sort: bool, raw: Any = None
    ) -> tuple[Any, Saved]:
        """Score the next rows of entities, from the state behind their last ones on.

        Parameters
        ----------
        table : pyarrow.Table
        state : Saved, optional
            None: they are the first rows.
        sort : bool
            Whether rows may come in any order.
        raw : ndarray, [B], optional
            Their scores before smoothing, where they are known.

        Returns
        -------
        table : pyarrow.Table
            With ``score`` and ``flagged``.
        state : Saved
        """
        engine = self.engine(table.schema)
        engine.forget()
        if state is not None:
            engine.restore(state)
        if len(table) == 0:
            return self._with(table, np.zeros(0), np.zeros(0, np.bool_)), engine.state()
        scores, flags = engine.score(self._batch(table), sort=sort, raw=raw)
        return self._with(table, scores, flags), engine.state()

    def events(self, table: Any) -> Any:
        """Return the events of scored rows [B], which are all rows of their entities in any order.

        Parameters
        ----------
        table : pyarrow.Table
            With ``score`` and ``flagged``.

        Returns
        -------
        pyarrow.Table
            The key, and ``start``, ``end``, ``rows``, ``flagged``, ``peak`` and ``area`` of each
            event as in ``events.csv`` of the command line, in the order of the rows of an entity.
        """
        import pyarrow as pa

        entity, when = self.options.entity, self._event_time()
        wanted = [*self._keys, *_WRITTEN]
        check_names("the table", table.column_names, dict.fromkeys(wanted, "events"))
        table = table.select(wanted)
        kinds = {name: table.field(name).type for name in self._keys}
        arrivals = Arrivals(self.options, kinds)
        decisions = Decisions(self.detector, None, gap=self._gap, name=arrivals.entities.name)
        closed: list[Closed] = []
        if len(table):
            arranged = arrivals.arrange(self._batch(table), sort=True)
            scores = table.column("score").to_numpy()[arranged.order]
            flags = table.column("flagged").to_numpy()[arranged.order] == 1
            times = table.column(when).take(arranged.order)
            events = decisions.events
            closed = events.follow(
                arranged, scores, flags, places=lambda rows: times.take(rows).to_pylist()
            )
            closed = sorted(closed + events.close(), key=lambda c: (c.entity, c.event.start))
        found = events_table(closed, kinds[when])
        keys = [] if entity is None else [arrivals.entities.keys().take(found.column("entity"))]
        names = [] if entity is None else [str(entity)]
        rest = found.drop_columns(["entity", "first"])
        return pa.table([*keys, *rest.columns], names=[*names, *rest.column_names])

    def _event_time(self) -> str:
        if self.options.time is None:
            raise ValueError("time: expected a column, got none: events are runs of rows in time")
        return str(self.options.time)

    def event_columns(self) -> list[str]:
        """Return the columns that `events` needs."""
        self._event_time()
        return [*self._keys, *_WRITTEN]

    def identity(self) -> str:
        """Return a text that scorers share whose scores, flags and states are alike."""
        about = [
            self.detector.fingerprint(),
            self.detector.threshold_state(),
            self.options.to_dict(),
            self._gap,
            self._features,
        ]
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def decides_by_row(self) -> bool:
        """Whether no flag depends on earlier scores."""
        assert self._engine is not None
        return self._engine.decides_by_row

    def overlap(self, schema: Any) -> Overlap:
        """Return what carries rows from block to block of such columns."""
        self.engine(schema)
        length = self.rows_before() + 1
        return Overlap(self.options, self._features, self._key_types, length=length)

    def rows_before(self) -> int:
        """Return how many rows before a block its scores depend on."""
        try:
            return self.detector.rows_in_parts()[0] - 1
        except ValueError as error:
            raise ValueError(f"{error}; score it by groups: cut='groups'") from None

    def engine(self, schema: Any, *, source: str = "the table") -> Engine:
        """Return what scores tables of such columns, checked."""
        names = list(map(str, schema.names))
        features = self.check_names(names, source=source)
        if self._engine is None:
            check_columns(source, schema, self._keys, features, {}, first=source)
            self._features = features
            self._key_types = {n: schema.field(n).type for n in names if n in self._keys}
            self._engine = Engine(
                self.detector, self.options, features, self._key_types, event_gap=self._gap
            )
        first = "the first table"
        check_columns(source, schema, self._keys, self._features, self._key_types, first=first)
        return self._engine

    def check_names(self, names: Sequence[str], *, source: str) -> list[str]:
        """Return the feature columns; raise a ValueError if a column is absent or too many."""
        for name in _WRITTEN:
            if name in names:
                raise ValueError(f"column {name!r}: the scores have this name; rename it")
        features = feature_names(self.detector, names, self.options, source=source)
        wanted = {**dict.fromkeys(features, "features"), **self._keys}
        check_names(source, names, wanted)
        return features

    @staticmethod
    def _batch(table: Any) -> Batch:
        return Batch(table, "the table", 0, 0)

    def _with(self, table: Any, scores: Any, flags: Any) -> Any:
        import pyarrow as pa

        assert self._engine is not None
        table = table.append_column("score", pa.array(scores, self._engine.score_type))
        known = pa.nulls(len(table), pa.int8()) if flags is None else flags.astype(np.int8)
        return table.append_column("flagged", pa.array(known, pa.int8()))
