"""How a detector scores live rows: which stream it makes, and what says whose state a file is."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from slidecell._arguments import whole_number
from slidecell.detect.streams.base import DetectorStream, load_stream
from slidecell.detect.streams.buffered import BufferedStream
from slidecell.model import STREAM_BYTES
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.thresholds.smoothing import Smoothing

if TYPE_CHECKING:
    from slidecell.detect.storage import Parts
    from slidecell.model import SequenceModel

__all__ = ["StreamedDetector"]

T = TypeVar("T", bound="StreamedDetector")

# What `fit` keeps for a reader, and scores do not depend on.
_UNUSED = frozenset({"history", "table", "constant_features", "tuned", "extra", "threshold"})


class StreamedDetector(ABC):
    """The part of a detector that streams; see `slidecell.detect.base.Detector`."""

    n_features_in_: int
    _fitted_parameters: dict[str, Any]

    def stream(
        self,
        num_entities: int = 1,
        *,
        fill: bool | None = None,
        max_bytes: int = STREAM_BYTES,
        state: str | os.PathLike[str] | None = None,
    ) -> DetectorStream:
        """Score live rows as `score_samples` does with the whole series, bit for bit.

        The stream keeps the detector as it is now: what becomes of it later changes no score.

        Parameters
        ----------
        num_entities : int
            Entities that are kept apart: 0 .. num_entities-1.
        fill : bool, optional
            Whether missing values take the last ones before them. Default: as `missing` was at
            `fit`.
        max_bytes : int
            Memory that the stream may take, by default 1 GiB.
        state : path, optional
            A file written by `DetectorStream.save`: the stream goes on where it stopped, with the
            entities and options that it had. It takes memory in proportion to that file.

        Returns
        -------
        DetectorStream

        Raises
        ------
        ValueError
            If scores depend on later rows (``align="cover"``, ``aggregate="mean"``), if the stream
            would take more than ``max_bytes``, or if the state is another detector's.

        Notes
        -----
        A network scores in its compiled stream, so its bits are those of ``kernel="fma"``: see
        `SequenceModel.stream`. Other detectors keep the rows that a score depends on and score that
        window. What an estimator of scikit-learn gives for a row may depend, in its last bits, on
        the rows that it is given with.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.detect import KMeansDetector
        >>> X = np.random.default_rng(0).normal(size=(300, 2))
        >>> detector = KMeansDetector(window=5, random_state=0).fit(X)
        >>> stream = detector.stream(num_entities=2)
        >>> scores = [stream.push_many([0, 1], rows) for rows in zip(X[:150], X[150:])]
        >>> batch = detector.score_samples(X, offsets=[0, 150, 300]).reshape(2, 150)
        >>> np.array_equal(np.transpose(scores), batch, equal_nan=True)
        True
        """
        check_is_fitted(self, "threshold_")
        self._refuse_stream()
        kept = self._as_it_is()
        if state is not None:
            return load_stream(state, kept)
        count = whole_number("num_entities", num_entities, least=1)
        most = whole_number("max_bytes", max_bytes, least=1)
        return kept.make_stream(count, fill=self._fills() if fill is None else fill, max_bytes=most)

    def make_stream(self, num_entities: int, *, fill: bool, max_bytes: int) -> DetectorStream:
        """Return a stream of this very detector, which must not change any more."""
        length = self._stream_rows()
        assert length is not None  # `_refuse_stream` has seen to it
        return BufferedStream(
            self,
            num_entities,
            length=length,
            fill=fill,
            smoothing=self._stream_smoothing(),
            max_bytes=max_bytes,
        )

    @property
    def stream_model(self) -> SequenceModel | None:
        """The model whose own stream has the scores and the flags; None if there is none."""
        return None

    def score_last(
        self, windows: Floats, seen: Ints, *, num_threads: int | None = None
    ) -> npt.NDArray[Any]:
        """Score the last row of windows, not smoothed: [n, L, F] -> [n].

        Parameters
        ----------
        windows : ndarray, [n, L, F]
            The last L rows of n entities, the oldest first; filled if asked. Rows that never came
            are NaN.
        seen : ndarray of int, [n]
            How many rows of an entity came.
        num_threads : int, optional
        """
        del num_threads
        length = windows.shape[1]
        if length == 1:
            return self._score(Rows(windows[:, 0], np.arange(len(windows) + 1)))
        there = np.minimum(seen, length)
        if there.max(initial=0) < self.shortest_series():
            last = Rows(windows[:, -1], np.array([0, len(windows)]))
            return self._mark_too_large(last, np.full(len(windows), np.nan))
        rows = windows[np.arange(length) >= (length - there)[:, None]]
        offsets = np.concatenate([[0], np.cumsum(there)])
        scores: npt.NDArray[Any] = self._score(Rows(rows, offsets))[offsets[1:] - 1]
        return scores

    def fingerprint(self) -> str:
        """Return a text that this detector, saved and loaded or not, shares with no other one."""
        parts = self._learnt()
        known = {
            "kind": type(self).__name__,
            "parameters": self._fitted_parameters,
            "values": {k: v for k, v in parts.values.items() if k not in _UNUSED},
        }
        tensors = {}
        if parts.model is not None:
            tensors, about = parts.model.tensors, parts.model.metadata
            known["model"] = {k: v for k, v in about.items() if k not in _UNUSED}
        digest = hashlib.sha256(json.dumps(known, sort_keys=True, default=_plain).encode())
        for name, array in sorted({**parts.arrays, **tensors}.items()):
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def feature_texts(self) -> list[str] | None:
        """Return the features' names as text; None where they tell none apart."""
        known = getattr(self, "feature_names_in_", None)
        texts = [] if known is None else list(map(str, known.tolist()))
        return texts if texts and len(set(texts)) == len(texts) else None

    def _refuse_stream(self) -> None:
        """Raise a ValueError if scores cannot be known when their row comes."""
        if self._fitted_parameters.get("align") == "cover":
            raise ValueError(
                f"align='cover': a {type(self).__name__} scores a row by later ones then, and a "
                "stream has none: fit one with align='end'"
            )
        if self._stream_rows() is None:
            raise ValueError(
                f"{type(self).__name__} has no stream: a score of it depends on rows that are not "
                "known to be among the last ones"
            )

    def rows_in_parts(self) -> tuple[int, Smoothing | None]:
        """Return what has to be known of the rows before a part of a series to score it.

        Returns
        -------
        rows : int
            How many rows a score depends on, its own the last: a part is scored with so many rows
            less one before it. Missing values have been filled, if they are.
        smoothing : Smoothing or None
            What then smooths the scores that are not smoothed, one by one. None: the scores of the
            part are smoothed as they are.

        Raises
        ------
        ValueError
            If scores depend on later rows, or on rows that are not known to be among the last.
        """
        self._refuse_stream()
        length = self._score_length()
        if length is not None:
            return length, None
        length = self._stream_rows()
        if length is None:  # members of an ensemble may stream all the same
            raise ValueError(
                f"{type(self).__name__}: a score depends on rows that are not known to be among "
                "the last ones, as where members fill missing values"
            )
        return length, self._stream_smoothing()

    def _stream_rows(self) -> int | None:
        """Return how many rows a score depends on before it is smoothed; None: unknown."""
        return self._score_length()

    def _stream_smoothing(self) -> Smoothing | None:
        """Return how a row's score follows from those before it."""
        return None

    def _learnt(self) -> Parts:
        """Return what scores depend on."""
        return self._parts()

    def _as_it_is(self: T) -> T:
        """Return a copy that shares what was learnt, which `fit` replaces and never changes."""
        kept = object.__new__(type(self))
        kept.__dict__.update(self.__dict__)
        return kept

    @abstractmethod
    def shortest_series(self) -> int:
        """Return how many rows an entity needs at least, so that one of them has a score."""

    @abstractmethod
    def _parts(self) -> Parts: ...

    @abstractmethod
    def _score(self, rows: Rows) -> npt.NDArray[Any]: ...

    @abstractmethod
    def _score_length(self) -> int | None: ...

    @abstractmethod
    def _mark_too_large(self, rows: Rows, scores: npt.NDArray[Any]) -> npt.NDArray[Any]: ...

    @abstractmethod
    def _fills(self) -> bool: ...


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers of numpy, or else a text."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
