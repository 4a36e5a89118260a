"""Lines of CSV and JSON: one row each, and the lines of its score and of events."""

from __future__ import annotations

import csv
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slidecell.live.options import EVENT_COLUMNS
from slidecell.tables.files import MISSING
from slidecell.tables.header import find_delimiter, no_header, repeated_name, stated_delimiter
from slidecell.tables.numbers import number_float, text_float

if TYPE_CHECKING:
    from slidecell.live.entity_events import EventLine
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.monitor import Event
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = [
    "CsvFormat",
    "Format",
    "HeaderError",
    "JsonFormat",
    "Row",
    "UnreadableRowError",
    "make_format",
]

_NAMES_SHOWN = 20
_PLAIN = 10_000  # characters: below, no cell is too long for the csv module
_WORDS = {**dict.fromkeys(MISSING, math.nan), "true": 1.0, "false": 0.0}


class HeaderError(ValueError):
    """A header that no line below it can be read with."""


class Row(NamedTuple):
    """One row as it was read."""

    entity: str
    time: Any  # as it stands; None without a time column
    values: list[float]  # [F] in the model's order, NaN where missing
    keys: list[Any]  # time and entity as they came, to be written beside the score
    label: float = math.nan  # 1 for an anomaly, 0 for a normal row, NaN where nobody knows


class UnreadableRowError(ValueError):
    """A line whose entity is known, and whose values are not.

    Attributes
    ----------
    row : Row
        With NaN for all values.
    """

    def __init__(self, text: str, row: Row) -> None:
        super().__init__(text)
        self.row = row


class Format(ABC):
    """Reads the lines of one source; the first may be a header. ValueError for a bad line."""

    def __init__(self, options: LiveOptions, model: SequenceModel | LiveDetector) -> None:
        self._output = options.output
        self._text = _score_text(model)
        self._time, self._entity = options.time, options.entity
        self._keys = [name for name in (options.time, options.entity) if name is not None]
        self._label = options.label
        self._features = model.features
        self._input_size = model.input_size

    @abstractmethod
    def read(self, line: str) -> Row | None:
        """Return the row of a line; None if it is the header, or no row.

        Raises
        ------
        HeaderError
            If it is a header that no line below it can be read with.
        UnreadableRowError
            If only the row's values, or its time, cannot be read.
        ValueError
            If the line cannot be read.
        """

    @abstractmethod
    def write(self, row: Row, event: Event) -> str:
        """Return the line of a row's score."""

    @abstractmethod
    def write_event(self, line: EventLine) -> str:
        """Return the line of what has happened to an event."""

    @property
    def has_begun(self) -> bool:
        """Whether what comes before the rows has been read."""
        return True

    @property
    def header(self) -> str:
        """What comes before all lines of scores."""
        return ""

    def _find_features(self, names: Collection[str], what: str) -> list[str]:
        """Return the names of the features, in the model's order, after matching all names."""
        for flag, name in (("--time", self._time), ("--entity", self._entity)):
            if name is not None and name not in names:
                raise ValueError(f"{flag}: no {what} {name!r} (there are: {_listed(names)})")
        if self._label is not None and self._label not in names:
            raise ValueError(f"--label: no {what} {self._label!r} (there are: {_listed(names)})")
        features = self._features
        if features is None:
            features = [name for name in names if name not in {*self._keys, self._label}]
            if len(features) != self._input_size:
                raise ValueError(
                    f"expected {self._input_size} feature {what}s (the model names none), got "
                    f"{len(features)}: {_listed(features)}"
                )
        for name in features:
            if name not in names or name in self._keys:
                raise ValueError(
                    f"no {what} {name!r}, a feature of the model (there are: {_listed(names)})"
                )
        return features

    def _unreadable(self, error: ValueError, entity: str, time: Any) -> UnreadableRowError:
        missing = [math.nan] * self._input_size
        return UnreadableRowError(str(error), Row(entity, time, missing, []))


def _listed(names: Collection[str]) -> str:
    """Return the first names as text: a header may have 100,000."""
    shown = ", ".join(islice(names, _NAMES_SHOWN))
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


class _Echo:
    """Where csv's writer writes to: the text comes back as the result."""

    def write(self, text: str) -> str:
        return text


class CsvFormat(Format):
    """A header, then one row a line; cells may be quoted, line breaks in them may not."""

    def __init__(self, options: LiveOptions, model: SequenceModel | LiveDetector) -> None:
        super().__init__(options, model)
        self._names: dict[str, int] | None = None  # and their places
        self._name_of: list[str] = []
        self._places: list[int] = []  # of the features
        self._key_places: list[int] = []
        self._label_place: int | None = None
        self._stated: str | None = None
        self._set_delimiter(",")

    def _set_delimiter(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._writer: Any = csv.writer(_Echo(), delimiter=delimiter, lineterminator="\n")

    @property
    def has_begun(self) -> bool:
        """Whether the header has been read."""
        return self._names is not None

    @property
    def header(self) -> str:
        """Names of the columns that are written."""
        scores = [*self._keys, "score", "alarm"]
        if self._output == "events":
            entity = [] if self._entity is None else ["entity"]
            return str(self._writer.writerow([EVENT_COLUMNS[0], *entity, *EVENT_COLUMNS[1:]]))
        both = EVENT_COLUMNS if self._output == "both" else ()
        return str(self._writer.writerow([*scores, *both]))

    def read(self, line: str) -> Row | None:
        """Return the row of a line; the first line is the header.

        A line before it may state the delimiter, as ``sep=;`` does. A blank line is no row, but
        where there is one column it is a row whose cell is empty.
        """
        if self._names is None:
            self._read_first(line.removeprefix("\ufeff"))
            return None
        if line.strip():
            cells = self._cells(line)
        elif len(self._names) == 1:
            cells = [""]
        else:
            return None
        if len(cells) != len(self._names):
            raise ValueError(f"expected {len(self._names)} cells, got {len(cells)}")
        keys = [cells[place] for place in self._key_places]
        entity = "" if self._entity is None else keys[-1]
        if self._entity is not None and not entity:
            raise ValueError(f"column {self._entity!r}: expected the row's entity, got nothing")
        time = None if self._time is None else keys[0]
        values = self._values(cells, entity, time)
        label = math.nan if self._label_place is None else _label_of(cells[self._label_place])
        return Row(entity, time, values, keys, label)

    def write(self, row: Row, event: Event) -> str:
        """Return key columns, score (empty if there is none) and alarm as 0 or 1.

        The columns of events, if there are some, stay empty.
        """
        score = "" if math.isnan(event.smoothed) else self._text(event.smoothed)
        rest = [""] * len(EVENT_COLUMNS) if self._output == "both" else []
        return str(self._writer.writerow([*row.keys, score, int(event.alarm), *rest]))

    def write_event(self, line: EventLine) -> str:
        """Return ``opened`` or ``closed``, where and how long it is, and how high.

        Among lines of scores the row's time, its score and its alarm stay empty.
        """
        event = line.event
        area = "" if event.area is None else repr(event.area)
        cells = [line.start, line.end, event.rows, event.flagged, repr(event.peak), area]
        entity = [] if self._entity is None else [line.entity]
        if self._output == "events":
            return str(self._writer.writerow([line.change, *entity, *cells]))
        time = [] if self._time is None else [""]
        return str(self._writer.writerow([*time, *entity, "", "", line.change, *cells]))

    def _read_first(self, line: str) -> None:
        """Read a line before the rows: a blank one, the delimiter, or the names."""
        if not line.strip():
            return
        stated = stated_delimiter(line) if self._stated is None else None
        if stated is None:
            self._read_header(line)
        else:
            self._stated = stated

    def _read_header(self, line: str) -> None:
        self._set_delimiter(self._stated or find_delimiter(line))
        try:
            cells = self._cells(line)
            if (text := no_header(cells, asked=(*self._keys, *(self._features or ())))) is not None:
                raise ValueError(text)
            listed = [cell.strip() for cell in cells]
            if (name := repeated_name(listed)) is not None:
                raise ValueError(f"two columns are called {name!r}")
            names = {name: place for place, name in enumerate(listed)}
            self._features = self._find_features(names, "column")
        except ValueError as error:
            raise HeaderError(str(error)) from None
        self._places = [names[name] for name in self._features]
        self._key_places = [names[name] for name in self._keys]
        self._label_place = None if self._label is None else names[self._label]
        self._name_of = list(names)
        self._names = names

    def _cells(self, line: str) -> list[str]:
        if len(line) < _PLAIN and '"' not in line and "\r" not in line and "\0" not in line:
            return line.split(self._delimiter)  # what the reader would return
        try:
            return next(csv.reader([line], delimiter=self._delimiter, strict=True))
        except csv.Error as error:
            raise ValueError(f"not readable as CSV: {error}") from None

    def _values(self, cells: list[str], entity: str, time: Any) -> list[float]:
        """Return the features' numbers; UnreadableRowError if one is none."""
        found = [cells[place] for place in self._places]
        try:
            values = list(map(float, found))
            # What Python reads in a way of its own is looked at cell by cell.
            if math.isfinite(sum(values)) and "_" not in "".join(found):
                return values
        except ValueError:
            pass
        try:
            return [self._number(cells[place], place) for place in self._places]
        except ValueError as error:
            raise self._unreadable(error, entity, time) from None

    def _number(self, cell: str, place: int) -> float:
        text = cell.strip()
        known = _WORDS.get(text, _WORDS.get(text.lower()) if text.isalpha() else None)
        if known is not None:
            return known
        try:
            return text_float(text)
        except ValueError:
            name = self._name_of[place]
            raise ValueError(f"column {name!r}: expected a number, got {cell!r}") from None


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
                f"--entity: no key {self._entity!r} (there are: {_listed(found.keys())})"
            )
        time = None if self._time is None else found.get(self._time)
        try:
            values = self._values(found)
            if any(map(math.isinf, values)):  # infinity, or digits beyond float64
                values = self._values(_json_object(line, parse_float=text_float))
        except ValueError as error:
            raise self._unreadable(error, entity, time) from None
        label = math.nan if self._label is None else _label_of(found.get(self._label))
        return Row(entity, time, values, [found[name] for name in self._keys], label)

    def _values(self, found: dict[str, Any]) -> list[float]:
        features = self._features
        if features is None or any(name not in found for name in (*self._keys, *features)):
            features = self._find_features(found.keys(), "key")
        values = [_json_number(found[name], name) for name in features]
        self._features = features  # only a row that could be read settles them
        return values

    def write(self, row: Row, event: Event) -> str:
        """Return an object of key columns, score (null if there is none) and alarm.

        A score of infinity, of a row that is too large, is the text "Infinity".
        """
        keys = dict(zip(self._keys, row.keys, strict=True))
        found = json.dumps(keys)[1:-1]
        score = "null" if math.isnan(event.smoothed) else self._text(event.smoothed)
        score = '"Infinity"' if score == "inf" else score
        comma = ", " if found else ""
        return f'{{{found}{comma}"score": {score}, "alarm": {str(event.alarm).lower()}}}\n'

    def write_event(self, line: EventLine) -> str:
        """Return an object: ``event`` is opened or closed; numbers of infinity are texts."""
        event = line.event
        found = {"event": line.change} | ({} if self._entity is None else {"entity": line.entity})
        rest = {"start": line.start, "end": line.end, "rows": event.rows, "flagged": event.flagged}
        high = {"peak": _plain(event.peak), "area": _plain(event.area)}
        return json.dumps({**found, **rest, **high}) + "\n"


def _label_of(value: object) -> float:
    """Return 0 or 1; NaN for what is no label: the row is scored all the same."""
    if isinstance(value, str):
        value = _WORDS.get(value.strip().lower(), value)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if number in {0.0, 1.0} else math.nan


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


def _score_text(model: SequenceModel | LiveDetector) -> Callable[[float], str]:
    """Return what writes a score as the file that ``score`` writes has it: the shortest text.

    A network's scores are float32. Smoothed ones, and those of other detectors, are float64.
    """
    single = hasattr(model, "tensors") and model.metadata["smoothing"] is None
    return _shortest_float32 if single else repr


def _shortest_float32(score: float) -> str:
    return str(np.float32(score))


def _plain(value: float | None) -> float | str | None:
    """Return a number as JSON has it, which knows no infinity."""
    return value if value is None or math.isfinite(value) else "Infinity"


def _json_number(value: object, name: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, (int, float)):
        return number_float(value)
    raise ValueError(f"key {name!r}: expected a number or null, got {json.dumps(value)[:60]}")


def _json_entity(value: object, name: str) -> str:
    if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "":
        return str(value)
    raise ValueError(f"key {name!r}: expected text or a whole number, got {json.dumps(value)[:60]}")


def make_format(options: LiveOptions, model: SequenceModel | LiveDetector) -> Format:
    """Return a reader and writer for one source of lines."""
    return (CsvFormat if options.format == "csv" else JsonFormat)(options, model)
