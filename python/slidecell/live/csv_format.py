"""Lines of CSV: a header, then one row each, and the lines of its score and of events."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell.live.line_format import (
    WORDS,
    Floats,
    Format,
    HeaderError,
    label_of,
)
from slidecell.live.options import EVENT_COLUMNS, driving_columns
from slidecell.live.rows import Row, RowBlock
from slidecell.tables.header import find_delimiter, no_header, repeated_name, stated_delimiter
from slidecell.tables.numbers import text_float

if TYPE_CHECKING:
    from slidecell.live.answers import Answers
    from slidecell.live.entity_events import EventLine
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = ["CsvFormat"]

_PLAIN = 10_000  # characters: below, no cell is too long for the csv module


class _Echo:
    """Where csv's writer writes to: the text comes back as the result."""

    def write(self, text: str) -> str:
        return text


class CsvFormat(Format):
    """A header, then one row a line; cells may be quoted, line breaks in them may not."""

    def __init__(
        self, options: LiveOptions, model: SequenceModel | LiveDetector, *, columns: int = 0
    ) -> None:
        super().__init__(options, model, columns=columns)
        self._event_columns = (*EVENT_COLUMNS, *driving_columns(columns))
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
            first, *others = self._event_columns
            return str(self._writer.writerow([first, *entity, *others]))
        both = self._event_columns if self._output == "both" else ()
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
        label = math.nan if self._label_place is None else label_of(cells[self._label_place])
        return Row(entity, time, values, keys, label)

    def read_block(self, lines: Sequence[str], first: int) -> RowBlock | None:
        """Return the rows of lines that all have a cell for each column, and numbers in them."""
        if self._names is None:
            return None
        cells = self._plain_cells(lines)
        if cells is None:
            return None
        step = len(self._names) + 1
        keys = [cells[place::step] for place in self._key_places]
        if self._entity is not None and "" in keys[-1]:
            return None
        values = np.empty((len(lines), len(self._places)))
        try:
            for column, place in enumerate(self._places):
                values[:, column] = self._numbers(cells[place::step], place)
        except ValueError:
            return None
        label = self._label_place
        return RowBlock(
            range(first, first + len(lines)),
            [""] * len(lines) if self._entity is None else keys[-1],
            [None] * len(lines) if self._time is None else keys[0],
            values,
            keys,
            None if label is None else list(map(label_of, cells[label::step])),
        )

    def _plain_cells(self, lines: Sequence[str]) -> list[str] | None:
        """Return the cells of lines with one more after each line's; None if one has others."""
        names, delimiter = self._names or {}, self._delimiter
        if (len(names) == 1 or delimiter.isspace()) and not all(map(str.strip, lines)):
            return None  # a blank line
        text = "\n".join(lines)
        if "\r" in text or "\0" in text or max(map(len, lines)) >= _PLAIN:
            return None
        if '"' in text:
            return self._quoted_cells(lines)
        cells = text.replace("\n", f"{delimiter}\n{delimiter}").split(delimiter)
        step = len(names) + 1
        ends = cells[len(names) :: step]
        if len(cells) != step * len(lines) - 1 or ends.count("\n") != len(lines) - 1:
            return None
        return cells

    def _quoted_cells(self, lines: Sequence[str]) -> list[str] | None:
        names = self._names or {}
        try:
            rows = list(csv.reader(lines, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return None
        # A quote that a line does not close would take the next line.
        if len(rows) != len(lines) or any(len(row) != len(names) for row in rows):
            return None
        return [cell for row in rows for cell in (*row, "\n")][:-1]

    def _numbers(self, cells: list[str], place: int) -> Floats:
        """Return the numbers of a column; ValueError if a cell holds none."""
        try:
            values = np.fromiter(map(float, cells), np.float64, len(cells))
            # What Python reads in a way of its own is looked at cell by cell.
            if np.isfinite(values).all() and "_" not in "".join(cells):
                return values
        except ValueError:
            pass
        return np.array([self._number(cell, place) for cell in cells], np.float64)

    def write_block(self, rows: RowBlock, answers: Answers) -> str:
        """Return key columns, score (empty if there is none) and alarm as 0 or 1.

        The columns of events, if there are some, stay empty.
        """
        scores = self._score_texts(answers.smoothed)
        if "nan" in scores:
            scores = ["" if score == "nan" else score for score in scores]
        rest = [repeat("")] * len(self._event_columns) if self._output == "both" else []
        alarms = map(int, answers.alarms.tolist())
        cells = zip(*rows.keys, scores, alarms, *rest, strict=False)
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n").writerows(cells)
        return text.getvalue()

    def write_event(self, line: EventLine) -> str:
        """Return ``opened`` or ``closed``, where and how long it is, how high, and what drives it.

        Columns are named of a closed event alone. Among lines of scores the row's time, its score
        and its alarm stay empty.
        """
        event = line.event
        area = "" if event.area is None else repr(event.area)
        cells = [line.start, line.end, event.rows, event.flagged, repr(event.peak), area]
        driving = [cell for name, share in self._driving(line) for cell in (name, repr(share))]
        cells += [*driving, *[""] * (2 * self._columns - len(driving))]
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
        try:
            return [self._number(cells[place], place) for place in self._places]
        except ValueError as error:
            raise self._unreadable(error, entity, time) from None

    def _number(self, cell: str, place: int) -> float:
        text = cell.strip()
        known = WORDS.get(text, WORDS.get(text.lower()) if text.isalpha() else None)
        if known is not None:
            return known
        try:
            return text_float(text)
        except ValueError:
            name = self._name_of[place]
            raise ValueError(f"column {name!r}: expected a number, got {cell!r}") from None
