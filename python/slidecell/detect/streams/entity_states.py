"""What keeps the states of a detector's stream outside it, entity by entity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Protocol

from slidecell.detect.streams.one_thread import OneThread
from slidecell.detect.streams.state import Saved
from slidecell.detect.streams.state_bytes import pack_state, unpack_state

__all__ = ["EntityStates"]


class _Known(Protocol):
    def fingerprint(self) -> str: ...


class EntityStates(ABC):
    """The part of a stream that hands out the states of its entities as bytes."""

    _detector: _Known
    _turn: OneThread

    def state_bytes(self, entity: int = 0) -> bytes:
        """Return one entity's state, for a program that keeps the states itself.

        So a stream processor (Flink, Kafka Streams, Quix) may keep it by key. The bytes are those
        of the rows that a score depends on, 8 for each number (of a network those of
        `Stream.state_bytes`; of an ensemble those of each member), 8 for each column where missing
        values are filled, 8 for each number that a smoothing keeps (the last n scores at most, with
        the row of each in a trailing mean), and about 100 more, in an ensemble for each member.

        Parameters
        ----------
        entity : int
            0 .. num_entities-1.

        Returns
        -------
        bytes
            For `restore`.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.detect import KMeansDetector
        >>> X = np.random.default_rng(0).normal(size=(300, 2))
        >>> detector = KMeansDetector(window=5, random_state=0).fit(X)
        >>> stream, other = detector.stream(20), detector.stream()
        >>> scores = [stream.push(row, 7) for row in X[:100]]
        >>> other.restore(0, stream.state_bytes(7))
        >>> other.push(X[100]) == stream.push(X[100], 7)
        True
        """
        place = self._place(entity)
        with self._turn:
            return pack_state(self._saved_entity(place), self._fingerprint)

    def restore(self, entity: int, state: bytes) -> None:
        """Let an entity go on, bit for bit, from its state in any stream of the same detector.

        Rows that it has seen here are forgotten.

        Parameters
        ----------
        entity : int
            0 .. num_entities-1.
        state : bytes
            Of `state_bytes`, of a stream with the same ``fill``, and of networks on the same ISA.

        Raises
        ------
        ValueError, TypeError
            If it is damaged, or the state of another detector, of another ``fill`` or of another
            ISA. The entity stays as it is.
        """
        place = self._place(entity)
        if not isinstance(state, (bytes, bytearray, memoryview)):
            raise TypeError(f"state: expected bytes, got {type(state).__name__}")
        kind = type(self._detector).__name__
        found = unpack_state(bytes(state), self._fingerprint, kind=kind)
        with self._turn:
            before = self._saved_entity(place)
            try:
                self._restore_entity(place, found)
            except BaseException:
                self._restore_entity(place, before)
                raise

    @cached_property
    def _fingerprint(self) -> str:
        return self._detector.fingerprint()

    @abstractmethod
    def _place(self, entity: int) -> int:
        """Return an entity's number, checked."""

    @abstractmethod
    def _saved_entity(self, place: int) -> Saved:
        """Return the state of an entity."""

    @abstractmethod
    def _restore_entity(self, place: int, saved: Saved) -> None:
        """Take what `_saved_entity` returned, checked."""
