"""What the streams of all detectors share: rows by name, filling, smoothing, and saved states."""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from slidecell._arguments import whole_number
from slidecell._arrays import integer_array, real_array
from slidecell.detect.streams.entity_states import EntityStates
from slidecell.detect.streams.one_thread import OneThread
from slidecell.detect.streams.state import Saved, array_of, resized
from slidecell.detect.streams.stream_file import read_stream_file, write_stream_file
from slidecell.entities import without_repeats
from slidecell.frames import match_features, match_row
from slidecell.thresholds.smoothing import Smoothing
from slidecell.thresholds.state_values import flag, mapping, whole

__all__ = ["DetectorStream", "StreamingDetector", "load_stream", "restored"]

FORMAT = 1

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
D = TypeVar("D", bound="DetectorStream")


class StreamingDetector(Protocol):
    """What a stream asks of its detector, which stays as it is: see `Detector.stream`."""

    n_features_in_: int

    def feature_texts(self) -> list[str] | None:
        """Return the features' names as text; None where they have none."""

    def fingerprint(self) -> str:
        """Return a text that two detectors share if they score alike."""

    def make_stream(self, num_entities: int, *, fill: bool, max_bytes: int) -> DetectorStream:
        """Return a stream that has seen no row."""

    def score_last(
        self, windows: Floats, seen: Ints, *, num_threads: int | None = None
    ) -> npt.NDArray[Any]:
        """Score the last rows of windows [n, L, F], of which so many rows [n] are there: [n]."""


@dataclass(frozen=True)
class _Features:
    """What a monitor asks of the model behind a stream."""

    input_size: int
    features: list[str] | None
    horizon: int = 0
    num_targets: int = 0


class DetectorStream(EntityStates):
    """Scores live rows of one or many entities with a detector; made by `Detector.stream`.

    The scores are those of `Detector.score_samples` on the same rows, bit for bit, smoothed as the
    detector smooths. The stream keeps the detector as it was when the stream was made. It is used
    by one thread at a time: a call during another thread's call raises RuntimeError and takes no
    row.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import WindowPCADetector
    >>> X = np.sin(np.arange(300) / 5)[:, None] + 0.01 * np.cos(np.arange(300) ** 2)[:, None]
    >>> detector = WindowPCADetector(window=30).fit(X[:200])
    >>> stream = detector.stream()
    >>> scores = [stream.push(row) for row in X]
    >>> np.array_equal(scores, detector.score_samples(X), equal_nan=True)
    True
    """

    _detector: StreamingDetector

    def __init__(
        self,
        detector: StreamingDetector,
        num_entities: int,
        *,
        fill: bool,
        smoothing: Smoothing | None = None,
    ) -> None:
        self._detector = detector
        self._model = _Features(detector.n_features_in_, detector.feature_texts())
        self._fill = fill
        self._turn = OneThread()
        self._smoothing = smoothing
        self._smoothings: dict[int, Smoothing] = {}
        self._seen = np.zeros(num_entities, np.int64)
        self._last = np.full((num_entities if fill else 0, self._model.input_size), np.nan)

    @property
    def num_entities(self) -> int:
        """Entities that the stream keeps apart."""
        return len(self._seen)

    @property
    def bytes_per_entity(self) -> int:
        """Memory of one entity's state, without what smoothing keeps."""
        return 8 + (8 * self._model.input_size if self._fill else 0) + self._own_bytes()

    def rows_seen(self, entity: int = 0) -> int:
        """Rows pushed for an entity since the start or its last `reset`."""
        return int(self._seen[self._place(entity)])

    def push(self, row: npt.ArrayLike, entity: int = 0) -> float:
        """Take an entity's next row and score it.

        Parameters
        ----------
        row : array_like, [F]
            NaN, infinity or a masked element is a missing value. A Series (pandas) is matched by
            the names in its index where the detector knows its features.
        entity : int
            0 .. num_entities-1.

        Returns
        -------
        float
            What `Detector.score_samples` places at this row; NaN where that is NaN.

        Raises
        ------
        ValueError, TypeError
            Before the row is taken.
        """
        values = real_array(match_row(row, self._model.features), name="row")
        if values.shape != (self._model.input_size,):
            raise ValueError(
                f"row: expected [{self._model.input_size}] (n_features_in_), "
                f"got {list(values.shape)}"
            )
        place = self._place(entity)
        with self._turn:
            return self.take(values.astype(np.float64, copy=False), place)

    def push_many(
        self,
        entity_ids: npt.ArrayLike,
        rows: npt.ArrayLike,
        *,
        num_threads: int | None = None,
    ) -> Floats:
        """Take one row for each of n entities, [n] and [n, F], and return their scores [n].

        The same bits as pushing one by one, in one call of the detector; an entity that is named
        twice gets its rows in order.

        Parameters
        ----------
        entity_ids : array_like of int, [n]
            Any entities in any order.
        rows : array_like, [n, F], or DataFrame
            One row each. A DataFrame's columns are matched by name where the detector knows its
            features.
        num_threads : int, optional
            Of compiled kernels. Default: the detector's.

        Returns
        -------
        ndarray of float64, [n]

        Raises
        ------
        ValueError, TypeError
            Before any row is taken.
        """
        ids = self._places(entity_ids)
        matched = match_features(rows, self._model.features, name="rows")
        table = real_array(matched, name="rows")
        if table.shape != (len(ids), self._model.input_size):
            raise ValueError(
                f"rows: expected [{len(ids)}, {self._model.input_size}] (entity_ids, "
                f"n_features_in_), got {list(table.shape)}"
            )
        if num_threads is not None:
            whole_number("num_threads", num_threads, least=1)
        table = table.astype(np.float64, copy=False)
        scores = np.empty(len(ids))
        with self._turn:
            for part in without_repeats(ids):
                scores[part] = self.take_many(ids[part], table[part], num_threads)
        return scores

    def take(self, row: Floats, place: int) -> float:
        """Do as `push`, with a row [F] and an entity that have been checked."""
        if self._fill:
            row = self._filled(place, row)
        self._seen[place] += 1
        return self._smoothed(self._push(row, place), place)

    def take_missing(self, place: int) -> float:
        """Do as `miss`, with an entity that has been checked."""
        self._seen[place] += 1
        return self._smoothed(self._push_missing(place), place)

    def take_many(self, places: Ints, rows: Floats, num_threads: int | None) -> Floats:
        """Do as `push_many`, with rows [n, F] of different entities [n] that have been checked."""
        if self._fill:
            rows = self._filled(places, rows)
        self._seen[places] += 1
        scores = self._push_many(places, rows, num_threads).astype(np.float64, copy=False)
        if self._smoothing is None:
            return scores
        pairs = zip(scores.tolist(), places.tolist(), strict=True)
        return np.array([self._smoothed(*pair) for pair in pairs], np.float64)

    def miss(self, entity: int = 0) -> float:
        """Take a row of which nothing is known as an entity's next one: it is never filled.

        Examples
        --------
        >>> from slidecell.detect import ZScoreDetector
        >>> stream = ZScoreDetector(0.05, missing="ffill").fit([[0.0], [1.0], [2.0]]).stream()
        >>> stream.push([1.0]), stream.push([float("nan")]), stream.miss()
        (0.0, 0.0, nan)
        """
        place = self._place(entity)
        with self._turn:
            return self.take_missing(place)

    def reset(self, entity: int | None = None) -> None:
        """Forget an entity's rows, or all entities' rows: the next row is the first."""
        places = range(self.num_entities) if entity is None else (self._place(entity),)
        with self._turn:
            for place in places:
                self._seen[place] = 0
                self._smoothings.pop(place, None)
                if self._fill:
                    self._last[place] = np.nan
                self._reset(place)

    def resize(self, num_entities: int) -> None:
        """Make room for another number of entities.

        Those that stay go on; those beyond the new number are forgotten.

        Examples
        --------
        >>> from slidecell.detect import ZScoreDetector
        >>> stream = ZScoreDetector(0.05).fit([[0.0], [1.0], [2.0]]).stream()
        >>> stream.push([1.0])
        0.0
        >>> stream.resize(20)
        >>> stream.rows_seen(0), stream.rows_seen(19)
        (1, 0)
        """
        count = whole_number("num_entities", num_entities, least=1)
        with self._turn:
            self._resize(count)  # first: it may refuse
            self._seen = resized(self._seen, count, 0)
            if self._fill:
                self._last = resized(self._last, count, np.nan)
            self._smoothings = {e: kept for e, kept in self._smoothings.items() if e < count}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all state to a file, whole or not at all; `load` goes on from it.

        A symbolic link at ``path`` is replaced by the file.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        with self._turn:
            saved = self._saved()
        text = {
            "format": FORMAT,
            "detector": type(self._detector).__name__,
            "fingerprint": self._detector.fingerprint(),
            **saved.text,
        }
        write_stream_file(path, text, saved.parts)

    def load(self: D, path: str | os.PathLike[str]) -> D:
        """Go on from a file that `save` wrote, bit for bit, with the entities that it had.

        Returns
        -------
        DetectorStream
            Itself; it is as it was if an error is raised.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged, or the state of another detector; the text names the file.
        """
        found = load_stream(path, self._detector)
        with self._turn:
            self.__dict__.update(found.__dict__)
        return self

    def _saved_entity(self, place: int) -> Saved:
        """Return the state of an entity; a class adds what it has beyond this."""
        parts = {"seen": self._seen[place].astype("<i8").tobytes()}
        if self._fill:
            parts["last"] = self._last[place].astype("<f8").tobytes()
        if place in self._smoothings:
            running = self._smoothings[place].running()
            parts["smoothing"] = np.array(running, "<f8").tobytes()
        return Saved({"fill": self._fill}, parts)

    def _restore_entity(self, place: int, saved: Saved) -> None:
        """Take what `_saved_entity` returned, checked; a class adds what it has beyond this."""
        if saved.text.get("fill") != self._fill:
            raise ValueError(
                f"state: fill: expected the stream's, {self._fill}, got {saved.text.get('fill')}"
            )
        self._seen[place] = array_of(saved, "seen", self._seen[place : place + 1])[0]
        if self._fill:
            self._last[place] = array_of(saved, "last", self._last[place])
        self._smoothings.pop(place, None)
        if "smoothing" in saved.parts:
            running = np.frombuffer(saved.parts["smoothing"], "<f8").tolist()
            self._smoothing_of(place).load_running(running)

    def _saved(self) -> Saved:
        """Return the state; a class adds what it has beyond this."""
        smoothings = {str(e): kept.running() for e, kept in sorted(self._smoothings.items())}
        parts = {"seen": self._seen.astype("<i8").tobytes()}
        if self._fill:
            parts["last"] = self._last.astype("<f8").tobytes()
        return Saved(
            {"entities": self.num_entities, "fill": self._fill, "smoothings": smoothings}, parts
        )

    def _restore(self, saved: Saved) -> None:
        """Take what `_saved` returned, checked; a class adds what it has beyond this."""
        self._seen = array_of(saved, "seen", self._seen)
        if (self._seen < 0).any():
            raise ValueError(f"seen: expected counts of rows, got {self._seen.min()}")
        if self._fill:
            self._last = array_of(saved, "last", self._last)
        for key, running in mapping(saved.text.get("smoothings"), "smoothings").items():
            if not key.isdecimal() or int(key) >= self.num_entities or self._smoothing is None:
                raise ValueError(f"smoothings: expected those of entities, got {key!r}")
            self._smoothing_of(int(key)).load_running(running)

    @abstractmethod
    def _push(self, row: Floats, place: int) -> float:
        """Score an entity's row [F], filled if asked."""

    def _push_missing(self, place: int) -> float:
        """Score an entity's row of which nothing is known."""
        return self._push(np.full(self._model.input_size, np.nan), place)

    @abstractmethod
    def _push_many(self, places: Ints, rows: Floats, num_threads: int | None) -> npt.NDArray[Any]:
        """Score rows [n, F] of different entities [n]: [n]."""

    @abstractmethod
    def _reset(self, place: int) -> None: ...

    @abstractmethod
    def _resize(self, num_entities: int) -> None: ...

    @abstractmethod
    def _own_bytes(self) -> int:
        """Return what a class keeps of an entity beyond this."""

    def _filled(self, places: Any, values: Floats) -> Floats:
        """Return rows whose missing values are the last ones before; they are the last ones now."""
        filled = np.where(np.isfinite(values), values, self._last[places])
        self._last[places] = filled
        return filled

    def _smoothed(self, score: float, place: int) -> float:
        return score if self._smoothing is None else self._smoothing_of(place).update(score)

    def _smoothing_of(self, place: int) -> Smoothing:
        kept = self._smoothings.get(place)
        if kept is None:
            assert self._smoothing is not None
            kept = self._smoothings[place] = self._smoothing.fresh()
        return kept

    def _place(self, entity: int) -> int:
        place = whole_number("entity", entity)
        if not 0 <= place < self.num_entities:
            raise ValueError(f"entity: expected 0 to {self.num_entities - 1}, got {entity}")
        return place

    def _places(self, entity_ids: npt.ArrayLike) -> Ints:
        ids = integer_array(entity_ids, name="entity_ids")
        if ids.ndim != 1:
            raise ValueError(f"entity_ids: expected [n] integers, got {list(ids.shape)}")
        if len(ids) and ids.dtype.kind not in "iu":
            raise TypeError(f"entity_ids: expected [n] integers, got dtype {ids.dtype}")
        outside = (ids < 0) | (ids >= self.num_entities)
        if outside.any():
            raise ValueError(
                f"entity_ids: expected 0 to {self.num_entities - 1}, got {ids[outside][0]}"
            )
        return ids.astype(np.int64)


def load_stream(path: str | os.PathLike[str], detector: StreamingDetector) -> DetectorStream:
    """Return the stream whose state a file is.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, or the state of another detector; the text names the file.
    """
    text, parts = read_stream_file(path)
    try:
        if text.get("format") != FORMAT:
            raise ValueError(f"format: expected {FORMAT}, got {text.get('format')!r}")
        kind = type(detector).__name__
        if text.get("detector") != kind:
            raise ValueError(f"the state of a {text.get('detector')}, expected one of a {kind}")
        if text.get("fingerprint") != detector.fingerprint():
            raise ValueError(f"the state of another {kind}: it was fitted otherwise")
        return restored(Saved(text, parts), detector)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def restored(saved: Saved, detector: StreamingDetector) -> DetectorStream:
    """Return a detector's stream with a saved state."""
    count = whole(saved.text, "entities")
    # No more memory than the file is long.
    if count < 1 or len(saved.parts.get("seen", b"")) != 8 * count:
        raise ValueError(f"entities: expected as many as rows were counted of, got {count}")
    stream = detector.make_stream(count, fill=flag(saved.text, "fill"), max_bytes=2**63 - 1)
    stream._restore(saved)
    return stream
