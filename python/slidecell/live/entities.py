"""Entities of a live run: their places in the stream, last times and last values."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell.live.monitor import Event, Monitor
from slidecell.live.options import DEFAULT_ENTITIES
from slidecell.live.times import Clock
from slidecell.thresholds.state_values import mapping

if TYPE_CHECKING:
    from slidecell.live.formats import Row
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = ["Entities", "OutOfOrderError"]


class OutOfOrderError(ValueError):
    """A row that is not later than the one before it."""


@dataclass
class _Last:
    """The time and the values of an entity's last row."""

    place: int
    time: float | int | None = None
    values: list[float | None] = field(default_factory=list)  # [F]: None before a value was seen


class Entities:
    """A monitor whose entities have names and times; saved and gone on from with them.

    Parameters
    ----------
    model : SequenceModel
    options : LiveOptions
        With the model's own filled in.
    """

    def __init__(self, model: SequenceModel, options: LiveOptions) -> None:
        self._options = options
        self._clock = Clock(options.max_gap)
        self._known: dict[str, _Last] = {}
        path = options.state
        if path is None or not path.exists():
            default = 1 if options.entity is None else DEFAULT_ENTITIES
            room = options.max_entities or default
            try:
                self._monitor = Monitor.from_model(model, room, **options.stream_bytes())
            except ValueError as error:  # in the words of the command
                raise ValueError(str(error).replace("max_bytes", "--max-memory")) from None
            return
        self._monitor = Monitor.load(model, path)
        room = self._monitor.stream.num_entities
        if options.max_entities not in {None, room}:
            raise ValueError(
                f"--max-entities: expected {room}, as in the state {path}, or none, got "
                f"{options.max_entities}"
            )
        try:
            self._load(self._monitor.extra, model.input_size)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None

    def __len__(self) -> int:
        return len(self._known)

    def push(self, row: Row) -> Event:
        """Take a row; ValueError, with nothing changed, if it cannot be used."""
        last = self._known.get(row.entity)
        if last is None:
            place, room = len(self._known), self._monitor.stream.num_entities
            if place == room:
                raise ValueError(
                    f"entity {row.entity!r}: there is room for {room} (--max-entities) and all "
                    "are taken"
                )
            last = _Last(place)
        time = None if self._options.time is None else self._clock.read(row.time)
        if time is not None and last.time is not None:
            step = time - last.time
            if step < 0 or (step == 0 and not self._options.equal_times):
                raise OutOfOrderError(
                    f"expected a time after {self._clock.text(last.time)}, got {row.time!r}"
                )
            if step > self._clock.gap:
                self._monitor.reset(last.place)
                last.values = []
        last.time = time
        self._known[row.entity] = last
        values = self._filled(row.values, last) if self._fills else row.values
        return self._monitor.push(np.array(values, np.float64), last.place)

    @property
    def _fills(self) -> bool:
        return self._options.missing == "ffill"

    @staticmethod
    def _filled(values: list[float], last: _Last) -> list[float]:
        """Return the values with the entity's last ones where they are missing."""
        before = last.values or [None] * len(values)
        last.values = [
            new if math.isfinite(new) else old for new, old in zip(values, before, strict=True)
        ]
        return [math.nan if value is None else value for value in last.values]

    def save(self) -> None:
        """Write the state file, whole or not at all, if there is to be one."""
        if self._options.state is None:
            return
        self._monitor.extra = {
            "time": self._clock.kind,
            "columns": [self._options.time, self._options.entity],
            "entities": [
                {"id": name, "time": last.time, "values": last.values}
                for name, last in self._known.items()
            ],
        }
        self._monitor.save(self._options.state)

    def _load(self, extra: dict[str, Any], input_size: int) -> None:
        columns = [self._options.time, self._options.entity]
        if extra.get("columns") != columns:
            raise ValueError(
                f"the state of a run whose columns of time and entity are {extra.get('columns')}, "
                f"expected {columns}"
            )
        self._clock = Clock(self._options.max_gap, extra.get("time"))
        entities = extra.get("entities")
        if not isinstance(entities, list) or len(entities) > self._monitor.stream.num_entities:
            raise ValueError("entities: expected a list, at most as long as the stream has room")
        for place, item in enumerate(entities):
            found = mapping(item, "entities")
            name, time, values = found.get("id"), found.get("time"), found.get("values")
            if not isinstance(name, str) or name in self._known:
                raise ValueError(f"entities: expected different names, got {name!r}")
            if not _is_number(time):
                raise ValueError(f"entity {name!r}: expected a number as time, got {time!r}")
            if not isinstance(values, list) or len(values) not in {0, input_size}:
                raise ValueError(f"entity {name!r}: expected {input_size} values, got {values!r}")
            if not all(map(_is_number, values)):
                raise ValueError(f"entity {name!r}: expected numbers or null, got {values!r}")
            self._known[name] = _Last(place, time, values)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
