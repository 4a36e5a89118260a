"""A stream with smoothing and a threshold: rows in, events out."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from slidecell._arrays import integer_array, plain_array
from slidecell.frames import match_features, match_row
from slidecell.live.answers import Answers, Event
from slidecell.live.evidence import Evidence, ForecastHistory, OneStepEvidence, Shares
from slidecell.live.monitor_file import read_monitor_file, write_monitor_file
from slidecell.thresholds import FixedThreshold, Threshold, threshold_from_state
from slidecell.thresholds.smoothing import Smoothing, smoothing_from_state
from slidecell.thresholds.state_values import flag, mapping

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.detect.streams.base import DetectorStream
    from slidecell.live.live_detector import LiveDetector
    from slidecell.model import SequenceModel
    from slidecell.stream import Stream

    AnyStream: TypeAlias = Stream | DetectorStream
    Monitored: TypeAlias = SequenceModel | Detector | LiveDetector

__all__ = ["Event", "Monitor"]

Floats = npt.NDArray[np.float64]

FORMAT = 1

_FEW = 3  # rows that are not worth a call for many


class _Entity:
    """The state of one entity in a monitor, beside the stream's."""

    __slots__ = ("history", "limit", "smoothing", "threshold")

    def __init__(
        self,
        threshold: Threshold | None,
        smoothing: Smoothing | None,
        history: ForecastHistory | None,
    ) -> None:
        self.threshold, self.smoothing, self.history = threshold, smoothing, history
        constant = threshold is not None and threshold.is_constant
        self.limit = float(threshold.threshold) if threshold is not None and constant else None
        """The threshold, where no score changes it."""

    def judge(self, score: float) -> tuple[float, float, bool]:
        """Take the next score; return the smoothed one, what it is compared with, the alarm."""
        smoothed = score if self.smoothing is None else self.smoothing.update(score)
        if self.limit is not None:
            return smoothed, self.limit, smoothed > self.limit
        if self.threshold is None:
            return smoothed, math.nan, False
        limit = self.threshold.threshold
        return smoothed, limit, self.threshold.update(smoothed)

    def judge_block(self, scores: Floats) -> tuple[Floats, Any, Any]:
        """Do as `judge` with the next scores [n]: each is one for all, or [n]."""
        smoothed = scores if self.smoothing is None else self.smoothing.update_block(scores)
        if self.limit is not None:
            return smoothed, self.limit, smoothed > self.limit
        rule = self.threshold
        if rule is None:
            return smoothed, math.nan, False
        judged = [(rule.threshold, rule.update(score)) for score in smoothed.tolist()]
        limits, alarms = zip(*judged, strict=True)
        return smoothed, limits, alarms


class Monitor:
    """Scores rows, smooths the scores and compares them with a threshold, per entity.

    Parameters
    ----------
    stream : Stream or DetectorStream
        The monitor pushes to it; use it for nothing else meanwhile.
    threshold : Threshold or float, optional
        Fitted; each entity gets a copy, at its first row. It judges the smoothed scores. Default:
        no alarms.
    smoothing : Smoothing, optional
        Each entity gets a copy.
    attribution : bool
        Keep each row's forecast until the next one for `Event.attribution`; costs about a
        microsecond a row.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> from slidecell.thresholds import PercentileThreshold
    >>> from slidecell.training import Forecaster
    >>> model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=3))
    >>> series = np.random.default_rng(0).random((50, 2))
    >>> rule = PercentileThreshold(90.0).fit(model.score(series))
    >>> monitor = sc.Monitor(model.stream(), threshold=rule)
    >>> events = [monitor.push(row) for row in series]
    >>> sum(event.alarm for event in events)
    5
    >>> round(float(events[-1].attribution.sum()), 12)
    1.0
    """

    def __init__(
        self,
        stream: AnyStream,
        *,
        threshold: Threshold | float | None = None,
        smoothing: Smoothing | None = None,
        attribution: bool = True,
    ) -> None:
        if isinstance(threshold, (int, float)):
            threshold = FixedThreshold(threshold)
        if threshold is not None:
            threshold = threshold.fresh()
            _ = threshold.threshold  # an error now, not at the first row, if it is not fitted
        self.stream: AnyStream = stream
        self.extra: dict[str, Any] = {}
        """Free for the application, ready for JSON; saved with the state."""
        self._threshold = threshold
        self._smoothing = None if smoothing is None else smoothing.fresh()
        self._model: Any = stream._model
        explains = attribution and self._model.horizon > 0
        self._shares = Shares(cast(Any, self._model)) if explains else None
        self._entities: dict[int, _Entity] = {}
        self._keys: dict[int, str] = {}

    @classmethod
    def from_model(cls, model: Monitored, num_entities: int = 1, **options: Any) -> Monitor:
        """Monitor with the threshold and the smoothing that a model or detector carries, if any.

        Scores are those that the model's threshold is for, where it says so (``reduction``).

        Parameters
        ----------
        model : SequenceModel or Detector
            A model's metadata ``threshold`` and ``smoothing`` hold what `Threshold.state` and
            `Smoothing.state` return; ``slidecell detect`` writes a percentile. The alarms of a
            fitted detector are the flags of `Detector.predict`.
        num_entities : int
        **options
            Of `SequenceModel.stream` or `Detector.stream`.

        Raises
        ------
        ValueError
            If the model's threshold or smoothing is none that is known, or if other scores are
            asked for than those of the threshold.
        """
        model = _as_model(model)
        found = model.metadata
        if model.reduction is not None:
            asked = options.setdefault("reduction", model.reduction)
            if asked != model.reduction:
                raise ValueError(
                    f"reduction: expected {model.reduction!r}, whose scores the model's threshold "
                    f"is for, got {asked!r}"
                )
        return cls(
            model.stream(num_entities, **options),
            threshold=None if found["threshold"] is None else threshold_from_state(model.threshold),
            smoothing=(
                None if found["smoothing"] is None else smoothing_from_state(found["smoothing"])
            ),
        )

    def push(self, row: npt.ArrayLike, entity: int = 0) -> Event:
        """Take an entity's next row [F], a Series by the names in its index as `Stream.push`.

        Raises
        ------
        ValueError, TypeError
            As `Stream.push`; nothing is changed then.
        """
        if type(row) is not np.ndarray:
            row = plain_array(match_row(row, self._model.features), name="row")
        if self._shares is None:
            return self._event(self.stream.push(row, entity), entity, None)
        forecast = cast("Stream", self.stream).predict_next(entity)
        score = self.stream.push(row, entity)
        kept = self._entity(entity).history
        evidence = None if kept is None else kept.add(forecast, np.array(row, np.float64))
        return self._event(score, entity, evidence)

    def miss(self, entity: int = 0) -> Event:
        """Take a row of which nothing is known as an entity's next one: no stream fills it."""
        if hasattr(self.stream, "miss"):
            return self._event(self.stream.miss(entity), entity, None)
        return self.push(np.full(self._model.input_size, math.nan), entity)

    def push_many(
        self,
        entity_ids: npt.ArrayLike,
        rows: npt.ArrayLike,
        *,
        num_threads: int | None = None,
    ) -> list[Event]:
        """Take one row for each of n entities: [n], [n, F] -> n events.

        The same as pushing one by one in this order, on several threads. A DataFrame's columns are
        matched by name, as `Stream.push_many` does.
        """
        return list(self.push_block(entity_ids, rows, num_threads=num_threads))

    def push_block(
        self,
        entity_ids: npt.ArrayLike,
        rows: npt.ArrayLike,
        *,
        num_threads: int | None = None,
    ) -> Answers:
        """Do as `push_many`, and return the answers as columns: several times as fast.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> from slidecell.training import Forecaster
        >>> model = sc.SequenceModel.from_torch(Forecaster(2, 8, window=3))
        >>> monitor = sc.Monitor(model.stream(2), threshold=0.0)
        >>> rows = np.random.default_rng(0).random((10, 2))
        >>> answers = monitor.push_block([0, 1] * 5, rows)
        >>> answers.alarms.nonzero()[0].tolist(), answers.event(9).alarm
        ([6, 7, 8, 9], True)
        """
        ids = integer_array(entity_ids, name="entity_ids")
        named = match_features(rows, self._model.features, name="rows")
        table = plain_array(named, name="rows")
        if self._shares is None:
            return self._judged(self._scores(ids, table, num_threads), ids, None)
        stream = cast("Stream", self.stream)
        scores, forecasts = stream.push_many_ahead(ids, table, num_threads=num_threads)
        own = np.array(table, np.float64)  # as events keep it
        if self._model.horizon == 1:
            return self._judged(scores, ids, OneStepEvidence(self._shares, forecasts, own))
        evidence = []
        for entity, forecast, row in zip(ids.tolist(), forecasts, own, strict=True):
            kept = self._entity(entity).history
            # Of its own: what is kept of one row must not hold the whole block.
            evidence.append(None if kept is None else kept.add(forecast.copy(), row.copy()))
        return self._judged(scores, ids, evidence)

    def name_entity(self, entity: int, key: str) -> None:
        """Say whose rows an entity of the stream is, for a rule that has thresholds per entity.

        It is asked when the entity's first row comes, and kept when it is reset. Default: the
        entity's number, as text.

        Examples
        --------
        >>> import slidecell as sc
        >>> from slidecell.detect import ZScoreDetector
        >>> from slidecell.thresholds import PercentileThreshold, PerEntityThreshold
        >>> rule = PerEntityThreshold(PercentileThreshold(50.0), least=1)
        >>> rule = rule.fit([1.0, 3.0], [0, 1, 2], entities=["web", "db"])
        >>> monitor = sc.Monitor(ZScoreDetector().fit([[0.0], [2.0]]).stream(), threshold=rule)
        >>> monitor.name_entity(0, "db")
        >>> monitor.push([3.0]).threshold
        3.0
        """
        if not isinstance(key, str):
            raise TypeError(f"key: expected text, got {key!r}")
        if not 0 <= entity < self.stream.num_entities:
            raise ValueError(
                f"entity: expected 0 to {self.stream.num_entities - 1}, got {entity!r}"
            )
        if entity in self._entities and self._keys.get(entity, str(entity)) != key:
            raise ValueError(f"entity: {entity} has had rows: reset it before it gets another key")
        self._keys[entity] = key

    def rule_for(self, key: str) -> Threshold | None:
        """Return the rule of the entity with this key, as it begins; None without one."""
        return None if self._threshold is None else self._threshold.for_entity(key)

    def threshold_state(self) -> dict[str, Any] | None:
        """Return the rule of all entities as it begins; None without one."""
        return None if self._threshold is None else self._threshold.state()

    @property
    def bytes_per_entity(self) -> int:
        """Memory of one entity's state: the stream's, and what the monitor keeps beside it.

        That is what smoothing, threshold and `Event.attribution` keep of an entity, as far as
        entities have got: some thresholds keep more with each row, up to their window. It is the
        mean of the first hundred.

        Examples
        --------
        >>> import slidecell as sc
        >>> from slidecell.detect import ZScoreDetector
        >>> stream = ZScoreDetector().fit([[0.0], [2.0]]).stream()
        >>> monitor = sc.Monitor(stream, threshold=1.0)
        >>> monitor.bytes_per_entity == stream.bytes_per_entity
        True
        >>> _ = monitor.push([1.0])
        >>> 100 < monitor.bytes_per_entity - stream.bytes_per_entity < 1000
        True
        """
        from slidecell.live.memory import mean_memory

        of_all = (self._threshold, self._smoothing, self._shares)
        return self.stream.bytes_per_entity + mean_memory(self._entities.values(), of_all)

    def __copy__(self) -> Monitor:
        """Return a monitor of the same model that goes on by itself, with a stream of its own."""
        return copy.deepcopy(self, {id(self._model): self._model})

    def reset(self, entity: int | None = None) -> None:
        """Forget an entity, or all of them: the next row is the first."""
        self.stream.reset(entity)
        if entity is None:
            self._entities.clear()
        else:
            self._entities.pop(entity, None)

    def resize(self, num_entities: int) -> None:
        """Make room for another number of entities, as `Stream.resize`."""
        self.stream.resize(num_entities)
        for number in [number for number in self._entities if number >= num_entities]:
            del self._entities[number]
        self._keys = {number: key for number, key in self._keys.items() if number < num_entities}

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        check: Callable[[Mapping[str, Any]], object] | None = None,
    ) -> None:
        """Write all state, the stream's too, to one file: whole, or not at all.

        A symbolic link at ``path`` is replaced by the file. Before, the state is read as `load`
        would read it: a file that could not be read again is not written.

        Parameters
        ----------
        path : path
        check : callable, optional
            Reads `extra` as it will come back from the file; a ValueError refuses it.

        Raises
        ------
        OSError
            If the file cannot be written.
        ValueError, TypeError
            If the state could not be read again, or `extra` holds what JSON cannot.
        """
        entities = {}
        for number, kept in self._entities.items():
            state: dict[str, Any] = {}
            if kept.threshold is not None:
                state["threshold"] = kept.threshold.running()
            if kept.smoothing is not None:
                state["smoothing"] = kept.smoothing.running()
            if kept.history is not None and self._model.horizon > 1:
                state["history"] = kept.history.state()
            entities[str(number)] = state
        state = {
            "format": FORMAT,
            "attribution": self._shares is not None,
            "threshold": self.threshold_state(),
            "smoothing": None if self._smoothing is None else self._smoothing.state(),
            "entities": entities,
            **({"keys": {str(e): key for e, key in self._keys.items()}} if self._keys else {}),
            "extra": self.extra,
        }
        text = json.dumps(state, allow_nan=False)
        try:
            found = self._restored(json.loads(text), self.stream)
            if check is not None:
                check(found.extra)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{os.fspath(path)}: not written, it could not be read: {error}"
            ) from (error)
        write_monitor_file(path, text, self.stream)

    @classmethod
    def load(cls, model: Monitored, path: str | os.PathLike[str]) -> Monitor:
        """Go on from a file that `save` wrote, bit for bit, with its model or detector.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged, or the state of another model; the text names the file.
        """
        state, stream = read_monitor_file(path, _as_model(model))
        try:
            return cls._restored(state, stream)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None

    @classmethod
    def _restored(cls, state: Mapping[str, Any], stream: AnyStream) -> Monitor:
        if state.get("format") != FORMAT:
            raise ValueError(f"format: expected {FORMAT}, got {state.get('format')!r}")
        threshold, smoothing = state.get("threshold"), state.get("smoothing")
        monitor = cls(
            stream,
            threshold=None if threshold is None else threshold_from_state(threshold),
            smoothing=None if smoothing is None else smoothing_from_state(smoothing),
            attribution=flag(state, "attribution"),
        )
        for number, name in mapping(state.get("keys", {}), "keys").items():
            if not number.isdecimal() or not isinstance(name, str):
                raise ValueError(f"keys: expected texts of entities, got {number!r}: {name!r}")
            monitor.name_entity(int(number), name)
        for key, found in mapping(state.get("entities"), "entities").items():
            if not key.isdecimal() or not 0 <= int(key) < stream.num_entities:
                raise ValueError(f"entities: expected 0 to {stream.num_entities - 1}, got {key!r}")
            monitor._load_entity(int(key), mapping(found, f"entity {key}"))
        monitor.extra = dict(mapping(state.get("extra"), "extra"))
        return monitor

    def _load_entity(self, number: int, state: Mapping[str, Any]) -> None:
        kept = self._entity(number)
        if kept.threshold is not None:
            kept.threshold.load_running(state.get("threshold"))
        if kept.smoothing is not None:
            kept.smoothing.load_running(state.get("smoothing"))
        if kept.history is not None and "history" in state:
            model = self._model
            shape = (model.horizon, model.num_targets)
            kept.history.load_state(state["history"], shape=shape, features=model.input_size)

    def _entity(self, number: int) -> _Entity:
        kept = self._entities.get(number)
        if kept is None:
            shares = self._shares
            kept = self._entities[number] = _Entity(
                self.rule_for(self._keys.get(number, str(number))),
                None if self._smoothing is None else self._smoothing.fresh(),
                None if shares is None else ForecastHistory(self._model.horizon, shares),
            )
        return kept

    def _event(self, score: float, entity: int, evidence: Evidence | None) -> Event:
        return Event(score, *self._entity(entity).judge(score), evidence)

    def _scores(
        self, ids: npt.NDArray[Any], table: npt.NDArray[Any], num_threads: int | None
    ) -> npt.NDArray[Any]:
        """Return the scores of rows whose errors nobody explains."""
        stream = self.stream
        if len(ids) >= _FEW or len(ids) == 0 or ids.ndim != 1 or len(table) != len(ids):
            return stream.push_many(ids, table, num_threads=num_threads)
        pairs = zip(table, ids.tolist(), strict=True)
        return np.array([stream.push(row, entity) for row, entity in pairs], np.float64)

    def _judged(
        self,
        scores: npt.NDArray[Any],
        ids: npt.NDArray[Any],
        evidence: Sequence[Evidence | None] | None,
    ) -> Answers:
        """Smooth scores [n] of entities [n] in their order, and compare them."""
        scores = scores.astype(np.float64)
        entities = ids.tolist()
        for entity in dict.fromkeys(entities):
            self._entity(entity)
        rule = self._threshold
        if self._smoothing is None and rule is None:
            nothing = np.full(len(scores), math.nan)
            return Answers(scores, scores, nothing, np.zeros(len(scores), np.bool_), evidence)
        if self._smoothing is None and rule is not None and rule.is_constant and not rule.by_entity:
            limit = float(rule.threshold)
            limits = np.full(len(scores), limit)
            return Answers(scores, scores, limits, scores > limit, evidence)
        order = np.argsort(ids, kind="stable")
        ends = np.flatnonzero(np.diff(ids[order], append=-1)) + 1  # no entity is -1
        smoothed, limits = np.empty(len(scores)), np.empty(len(scores))
        alarms = np.empty(len(scores), np.bool_)
        first = 0
        for end in ends.tolist():
            rows, first = order[first:end], end
            kept = self._entities[entities[rows[0]]]
            smoothed[rows], limits[rows], alarms[rows] = kept.judge_block(scores[rows])
        return Answers(scores, smoothed, limits, alarms, evidence)


def _as_model(given: Monitored) -> SequenceModel | LiveDetector:
    """Return a model as it is, and a detector as one."""
    if not hasattr(given, "score_samples"):
        return cast("SequenceModel | LiveDetector", given)
    from slidecell.live.live_detector import LiveDetector

    return LiveDetector(cast("Detector", given))
