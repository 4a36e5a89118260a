"""What is known of the entities of a live run after their last rows, and its saved form."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from slidecell.live.entity_events import EntityEvents
from slidecell.live.times import Clock
from slidecell.thresholds.state_values import mapping

__all__ = ["LastRow", "read_last_rows", "saved_last_rows"]


@dataclass
class LastRow:
    """The time and the values of an entity's last row, and its events."""

    place: int
    events: EntityEvents
    time: float | int | None = None
    values: list[float | None] = field(default_factory=list)  # [F]: None before a value was seen
    missed: bool = False  # a row may have been lost since


def saved_last_rows(known: Mapping[str, LastRow]) -> list[dict[str, Any]]:
    """Return what is known of entities, in the order of their places, ready for JSON."""
    return [
        {
            "id": name,
            "time": last.time,
            "values": last.values,
            "events": last.events.state(),
            **({"missed": True} if last.missed else {}),
        }
        for name, last in known.items()
    ]


def read_last_rows(
    saved: object,
    clock: Clock,
    *,
    most: int,
    features: int,
    new_events: Callable[[str], EntityEvents],
) -> dict[str, LastRow]:
    """Return what `saved_last_rows` returned; ValueError if it is damaged.

    Parameters
    ----------
    saved : object
    clock : Clock
        That has read the times.
    most : int
        Entities that there is room for.
    features : int
        Values of a row.
    new_events : callable
        Returns an entity's events before its first row, by its name.
    """
    if not isinstance(saved, list) or len(saved) > most:
        raise ValueError("entities: expected a list, at most as long as the stream has room")
    known: dict[str, LastRow] = {}
    for place, item in enumerate(saved):
        found = mapping(item, "entities")
        name, time, values = found.get("id"), found.get("time"), found.get("values")
        missed = found.get("missed", False)
        if not isinstance(name, str) or name in known:
            raise ValueError(f"entities: expected different names, got {name!r}")
        try:
            time = None if time is None else clock.read_saved(time)
        except ValueError as error:
            raise ValueError(f"entity {name!r}: {error}") from None
        if not isinstance(values, list) or len(values) not in {0, features}:
            raise ValueError(f"entity {name!r}: expected {features} values, got {values!r:.60}")
        if not all(map(_is_number, values)):
            raise ValueError(f"entity {name!r}: expected numbers or null, got {values!r:.60}")
        if not isinstance(missed, bool):
            raise ValueError(f"entity {name!r}: missed: expected true or false")
        events = new_events(name)
        if "events" in found:
            events.load_state(found["events"])
        else:
            events.load_rows(None)
        known[name] = LastRow(place, events, time, values, missed)
    return known


def _is_number(value: object) -> bool:
    """Tell whether it is a finite number, or null."""
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and not isinstance(value, bool))
