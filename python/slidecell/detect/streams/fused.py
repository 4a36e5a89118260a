"""The stream of an ensemble: the streams of its members, normalised and fused as in a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.fusion.base import Normaliser
from slidecell.detect.fusion.fused import fuse, fuse_one
from slidecell.detect.streams.base import DetectorStream, Floats, Ints, StreamingDetector, restored
from slidecell.detect.streams.state import Saved, check_bytes, part_of
from slidecell.thresholds.state_values import mapping

__all__ = ["FusedStream", "StreamedMember"]


@dataclass
class StreamedMember:
    """A member of an ensemble with weight above 0.

    Attributes
    ----------
    detector : StreamingDetector
    stream : DetectorStream
        Its own.
    normaliser : Normaliser
    weight : float
    """

    detector: StreamingDetector
    stream: DetectorStream
    normaliser: Normaliser
    weight: float


class FusedStream(DetectorStream):
    """Scores rows with several streams, each of which gets every row.

    Parameters
    ----------
    detector : StreamingDetector
        The ensemble.
    num_entities : int
    members : sequence of StreamedMember
        In the ensemble's order.
    fill : bool
        Whether missing values take the last ones before them, for all members; a member's own
        filling comes after that.
    max_bytes : int
    """

    def __init__(
        self,
        detector: StreamingDetector,
        num_entities: int,
        *,
        members: Sequence[StreamedMember],
        fill: bool,
        max_bytes: int,
    ) -> None:
        super().__init__(detector, num_entities, fill=fill)
        self._members = list(members)
        self._weights = [member.weight for member in members]
        check_bytes(num_entities, self.bytes_per_entity, max_bytes)

    def _push(self, row: Floats, place: int) -> float:
        return self._fused([member.stream.take(row, place) for member in self._members])

    def _push_missing(self, place: int) -> float:
        return self._fused([member.stream.take_missing(place) for member in self._members])

    def _fused(self, scores: Sequence[float]) -> float:
        """Return one row's fused score by those of the members [M]."""
        pairs = zip(self._members, scores, strict=True)
        return fuse_one([m.normaliser.apply_one(score) for m, score in pairs], self._weights)

    def _push_many(self, places: Ints, rows: Floats, num_threads: int | None) -> npt.NDArray[Any]:
        normalised = [
            member.normaliser.apply(member.stream.take_many(places, rows, num_threads))
            for member in self._members
        ]
        return fuse(np.stack(normalised, axis=1), self._weights)

    def _reset(self, place: int) -> None:
        for member in self._members:
            member.stream.reset(place)

    def _resize(self, num_entities: int) -> None:
        for member in self._members:
            member.stream.resize(num_entities)

    def _own_bytes(self) -> int:
        return sum(member.stream.bytes_per_entity for member in self._members)

    def _saved(self) -> Saved:
        return self._with_members(super()._saved(), lambda stream: stream._saved())

    def _saved_entity(self, place: int) -> Saved:
        own = super()._saved_entity(place)
        return self._with_members(own, lambda stream: stream._saved_entity(place))

    def _with_members(self, saved: Saved, of: Callable[[DetectorStream], Saved]) -> Saved:
        """Return a state with that of each member's stream."""
        texts = []
        for number, member in enumerate(self._members):
            own = of(member.stream)
            texts.append(own.text)
            saved.parts.update({f"{number}/{name}": data for name, data in own.parts.items()})
        saved.text["members"] = texts
        return saved

    def _of_members(self, saved: Saved) -> Iterator[tuple[StreamedMember, Saved]]:
        """Yield each member with its state."""
        texts = saved.text.get("members")
        if not isinstance(texts, list) or len(texts) != len(self._members):
            raise ValueError(f"members: expected the states of {len(self._members)}")
        for number, (member, text) in enumerate(zip(self._members, texts, strict=True)):
            own = Saved(dict(mapping(text, "members")), part_of(saved.parts, f"{number}/"))
            yield member, own

    def _restore_entity(self, place: int, saved: Saved) -> None:
        super()._restore_entity(place, saved)
        for member, own in self._of_members(saved):
            member.stream._restore_entity(place, own)

    def _restore(self, saved: Saved) -> None:
        super()._restore(saved)
        for member, own in self._of_members(saved):
            if own.text.get("entities") != self.num_entities:
                raise ValueError(f"members: expected {self.num_entities} entities in each")
            member.stream = restored(own, member.detector)
