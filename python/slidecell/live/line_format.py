"""What the formats of lines share: names of columns, errors, texts of scores."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.live.rows import Row, RowBlock
from slidecell.tables.files import MISSING

if TYPE_CHECKING:
    from slidecell.live.answers import Answers
    from slidecell.live.entity_events import EventLine
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = [
    "WORDS",
    "Format",
    "HeaderError",
    "UnreadableRowError",
    "label_of",
    "listed",
    "score_texts",
]

Floats = npt.NDArray[np.float64]

WORDS = {**dict.fromkeys(MISSING, math.nan), "true": 1.0, "false": 0.0}
"""Texts that are read as numbers."""

_NAMES_SHOWN = 20


class HeaderError(ValueError):
    """A header that no line below it can be read with."""


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

    def __init__(
        self, options: LiveOptions, model: SequenceModel | LiveDetector, *, columns: int = 0
    ) -> None:
        self._output = options.output
        self._columns = columns  # that closed events name at most
        self._score_texts = score_texts(model)
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
    def read_block(self, lines: Sequence[str], first: int) -> RowBlock | None:
        """Return the rows of lines, of which the first has this number, as `read` returns them.

        None, with nothing changed, where one of the lines is anything but a plain row: `read` says
        then what each line is.
        """

    @abstractmethod
    def write_block(self, rows: RowBlock, answers: Answers) -> str:
        """Return the lines of the rows' scores."""

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
                raise ValueError(f"{flag}: no {what} {name!r} (there are: {listed(names)})")
        if self._label is not None and self._label not in names:
            raise ValueError(f"--label: no {what} {self._label!r} (there are: {listed(names)})")
        features = self._features
        if features is None:
            features = [name for name in names if name not in {*self._keys, self._label}]
            if len(features) != self._input_size:
                raise ValueError(
                    f"expected {self._input_size} feature {what}s (the model names none), got "
                    f"{len(features)}: {listed(features)}"
                )
        for name in features:
            if name not in names or name in self._keys:
                raise ValueError(
                    f"no {what} {name!r}, a feature of the model (there are: {listed(names)})"
                )
        return features

    def _driving(self, line: EventLine) -> list[tuple[str, float]]:
        """Return the names and the shares of the columns that drive an event."""
        names = self._features or []  # known once a row has been read
        return [(names[c], share) for c, share in line.columns or ()]

    def _unreadable(self, error: ValueError, entity: str, time: Any) -> UnreadableRowError:
        missing = [math.nan] * self._input_size
        return UnreadableRowError(str(error), Row(entity, time, missing, []))


def listed(names: Collection[str]) -> str:
    """Return the first names as text: a header may have 100,000."""
    shown = ", ".join(islice(names, _NAMES_SHOWN))
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def label_of(value: object) -> float:
    """Return 0 or 1; NaN for what is no label: the row is scored all the same."""
    if isinstance(value, str):
        value = WORDS.get(value.strip().lower(), value)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if number in {0.0, 1.0} else math.nan


def score_texts(model: SequenceModel | LiveDetector) -> Callable[[Floats], list[str]]:
    """Return what writes scores as the file that ``score`` writes has them: the shortest texts.

    A network's scores are float32. Smoothed ones, and those of other detectors, are float64.
    """
    single = hasattr(model, "tensors") and model.metadata["smoothing"] is None
    return _shortest_float32 if single else _shortest_float64


def _shortest_float32(scores: Floats) -> list[str]:
    return list(map(str, scores.astype(np.float32)))


def _shortest_float64(scores: Floats) -> list[str]:
    return list(map(repr, scores.tolist()))
