"""Lines of JSON: one object each, and the lines of its score and of events."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell.live.line_format import Floats, Format, label_of, listed
from slidecell.live.rows import Row, RowBlock
from slidecell.tables.numbers import number_float, text_float

if TYPE_CHECKING:
    from slidecell.live.answers import Answers
    from slidecell.live.entity_events import EventLine

__all__ = ["JsonFormat"]

_NAMED = {"nan": "null", "inf": '"Infinity"', "-inf": '"-Infinity"'}  # as JSON has them

_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # of every version


class JsonFormat(Format):
    """One JSON object a line."""

    def read(self, line: str) -> Row | None:
        """Return the row of a line; a blank line is no row."""
        if not line.strip():
            return None
        found = _json_object(line)
        if self._entity is None:
            entity = ""
        elif self._entity in found:
            entity = _json_entity(found[self._entity], self._entity)
        else:
            raise ValueError(
                f"--entity: no key {self._entity!r} (there are: {listed(found.keys())})"
            )
        time = None if self._time is None else found.get(self._time)
        try:
            values = self._values(found)
            if any(map(math.isinf, values)):  # infinity, or digits beyond float64
                values = self._values(_json_object(line, parse_float=text_float))
        except ValueError as error:
            raise self._unreadable(error, entity, time) from None
        label = math.nan if self._label is None else label_of(found.get(self._label))
        return Row(entity, time, values, [found[name] for name in self._keys], label)

    def _values(self, found: dict[str, Any]) -> list[float]:
        features = self._features
        if features is None or any(name not in found for name in (*self._keys, *features)):
            features = self._find_features(found.keys(), "key")
        values = [_json_number(found[name], name) for name in features]
        self._features = features  # only a row that could be read settles them
        return values

    def read_block(self, lines: Sequence[str], first: int) -> RowBlock | None:
        """Return the rows of lines that are all objects with the keys and numbers of a row."""
        features = self._features
        if features is None:  # the first row settles them
            return None
        found = []
        try:
            for line in lines:
                value, end = _scan(line, 0)
                if type(value) is not dict or end != len(line):
                    return None
                found.append(value)
            keys = [[value[name] for value in found] for name in self._keys]
            entities = [""] * len(lines)
            if self._entity is not None:
                entities = [_json_entity(value, self._entity) for value in keys[-1]]
            columns = [_json_numbers([one[name] for one in found], name) for name in features]
        except (StopIteration, RecursionError, KeyError, ValueError):
            return None
        values = np.stack(columns, axis=1)
        if np.isinf(values).any():  # or digits beyond float64
            return None
        label = self._label
        if label is not None and not all(label in value for value in found):
            return None
        return RowBlock(
            range(first, first + len(lines)),
            entities,
            [None] * len(lines) if self._time is None else keys[0],
            values,
            keys,
            None if label is None else [label_of(value[label]) for value in found],
        )

    def write_block(self, rows: RowBlock, answers: Answers) -> str:
        """Return objects of key columns, score (null if there is none) and alarm.

        A score of infinity, of a row that is too large, is the text "Infinity".
        """
        scores = self._score_texts(answers.smoothed)
        if not _NAMED.keys().isdisjoint(scores):
            scores = [_NAMED.get(score, score) for score in scores]
        heads = [""] * len(scores)
        if self._keys:
            keys = zip(*rows.keys, strict=True)
            encode = json.JSONEncoder().encode
            heads = [f"{encode(dict(zip(self._keys, row)))[1:-1]}, " for row in keys]  # noqa: B905
        alarms = map(("false", "true").__getitem__, answers.alarms.tolist())
        return "".join(
            f'{{{head}"score": {score}, "alarm": {alarm}}}\n'
            for head, score, alarm in zip(heads, scores, alarms, strict=True)
        )

    def write_event(self, line: EventLine) -> str:
        """Return an object: ``event`` is opened or closed; numbers of infinity are texts.

        That of a closed event has the columns that drive it, where the detector tells them.
        """
        event = line.event
        found = {"event": line.change} | ({} if self._entity is None else {"entity": line.entity})
        rest = {"start": line.start, "end": line.end, "rows": event.rows, "flagged": event.flagged}
        high: dict[str, Any] = {"peak": _plain(event.peak), "area": _plain(event.area)}
        if self._columns and line.change == "closed":
            driving = [{"column": name, "share": share} for name, share in self._driving(line)]
            high["columns"] = driving
        return json.dumps({**found, **rest, **high}) + "\n"


def _json_object(line: str, *, parse_float: Callable[[str], float] | None = None) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_float=parse_float)
    except RecursionError:
        raise ValueError("not readable as JSON: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not readable as JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object, got {type(found).__name__}")
    return found


def _plain(value: float | None) -> float | str | None:
    """Return a number as JSON has it, which knows no infinity."""
    return value if value is None or math.isfinite(value) else "Infinity"


def _json_number(value: object, name: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, (int, float)):
        return number_float(value)
    raise ValueError(f"key {name!r}: expected a number or null, got {json.dumps(value)[:60]}")


def _json_numbers(values: list[Any], name: str) -> Floats:
    """Return the numbers of a column; ValueError if one is none."""
    try:
        if set(map(type, values)) <= {int, float}:
            return np.fromiter(map(float, values), np.float64, len(values))
    except OverflowError:
        pass
    return np.array([_json_number(value, name) for value in values], np.float64)


def _json_entity(value: object, name: str) -> str:
    if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
        return str(value)
    raise ValueError(f"key {name!r}: expected text or a whole number, got {json.dumps(value)[:60]}")
