"""A stream that keeps each entity's last rows, and scores the window that they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.streams.base import DetectorStream, Floats, Ints, StreamingDetector
from slidecell.detect.streams.state import Saved, array_of, check_bytes, resized
from slidecell.thresholds.smoothing import Smoothing

__all__ = ["BufferedStream"]


class BufferedStream(DetectorStream):
    """Scores rows from the last L of their entity.

    A row's score depends on these rows alone, bit for bit: so the scorer of series is that of
    streams, with one window of each entity.

    Parameters
    ----------
    detector : StreamingDetector
    num_entities : int
    length : int
        L rows that a score depends on, its own included.
    fill : bool
        Whether missing values take the last ones before them.
    smoothing : Smoothing, optional
        Each entity gets a copy.
    max_bytes : int
    """

    def __init__(
        self,
        detector: StreamingDetector,
        num_entities: int,
        *,
        length: int,
        fill: bool,
        smoothing: Smoothing | None,
        max_bytes: int,
    ) -> None:
        self._length = length
        features = detector.n_features_in_
        filled = features if fill else 0
        check_bytes(num_entities, 8 * (2 + filled + 2 * length * features), max_bytes)
        super().__init__(detector, num_entities, fill=fill, smoothing=smoothing)
        # Every row stands twice, L rows apart: the last L rows lie one after the other. Rows that
        # never came are missing ones.
        self._rows = np.full((num_entities, 2 * length, features), np.nan)
        self._next = np.zeros(num_entities, np.int64)

    def _push(self, row: Floats, place: int) -> float:
        at, rows = int(self._next[place]), self._rows[place]
        rows[at] = rows[at + self._length] = row
        self._next[place] = (at + 1) % self._length
        window = rows[at + 1 : at + 1 + self._length]
        seen = self._seen[place : place + 1]
        return float(self._detector.score_last(window[None], seen, num_threads=1)[0])

    def _push_many(self, places: Ints, rows: Floats, num_threads: int | None) -> npt.NDArray[Any]:
        at = self._next[places]
        self._rows[places, at] = self._rows[places, at + self._length] = rows
        self._next[places] = (at + 1) % self._length
        return self._detector.score_last(
            self._windows(places), self._seen[places], num_threads=num_threads
        )

    def _windows(self, places: Ints) -> Floats:
        """Return the last L rows of entities, the oldest first: [n, L, F]."""
        first = self._next[places]
        windows: Floats = self._rows[places[:, None], first[:, None] + np.arange(self._length)]
        return windows

    def _reset(self, place: int) -> None:
        self._rows[place] = np.nan
        self._next[place] = 0

    def _resize(self, num_entities: int) -> None:
        self._rows = resized(self._rows, num_entities, np.nan)
        self._next = resized(self._next, num_entities, 0)

    def _own_bytes(self) -> int:
        return 8 + 16 * self._length * self._model.input_size

    def _saved(self) -> Saved:
        saved = super()._saved()
        windows = self._windows(np.arange(self.num_entities))
        saved.parts["rows"] = windows.astype("<f8").tobytes()
        return saved

    def _saved_entity(self, place: int) -> Saved:
        saved = super()._saved_entity(place)
        saved.parts["rows"] = self._windows(np.array([place]))[0].astype("<f8").tobytes()
        return saved

    def _restore_entity(self, place: int, saved: Saved) -> None:
        super()._restore_entity(place, saved)
        window = array_of(saved, "rows", self._rows[place, : self._length])
        self._rows[place] = np.concatenate([window, window])
        self._next[place] = 0

    def _restore(self, saved: Saved) -> None:
        super()._restore(saved)
        windows = array_of(saved, "rows", self._rows[:, : self._length])
        self._rows = np.concatenate([windows, windows], axis=1)
        self._next = np.zeros(self.num_entities, np.int64)
