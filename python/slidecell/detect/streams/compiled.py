"""A stream of a network: the compiled stream of its model, smoothed as the detector smooths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from slidecell import _core
from slidecell.detect.streams.base import DetectorStream, Floats, Ints, StreamingDetector
from slidecell.detect.streams.state import Saved
from slidecell.stream import Stream
from slidecell.thresholds.smoothing import Smoothing

if TYPE_CHECKING:
    from slidecell.model import SequenceModel

__all__ = ["CompiledStream"]


class CompiledStream(DetectorStream):
    """Scores rows on the compiled stream of a model.

    Parameters
    ----------
    detector : StreamingDetector
    model : SequenceModel
        The detector's.
    stream : Stream
        Of the model, by the detector's reduction.
    num_threads : int, optional
        Of `push_many`, unless it is given there.
    fill : bool
        Whether missing values take the last ones before them.
    smoothing : Smoothing, optional
        Each entity gets a copy.
    """

    def __init__(
        self,
        detector: StreamingDetector,
        model: SequenceModel,
        stream: Stream,
        *,
        num_threads: int | None,
        fill: bool,
        smoothing: Smoothing | None,
    ) -> None:
        super().__init__(detector, stream.num_entities, fill=fill, smoothing=smoothing)
        self._network = model
        self._stream = stream
        self._threads = num_threads

    def _push(self, row: Floats, place: int) -> float:
        return self._stream.push(row, place)

    def _push_many(self, places: Ints, rows: Floats, num_threads: int | None) -> npt.NDArray[Any]:
        threads = self._threads if num_threads is None else num_threads
        return self._stream.push_many(places, rows, num_threads=threads)

    def advance(self) -> None:
        """Advance the windows that the last pushes left behind: work done before the next row."""
        self._stream.advance()

    def _reset(self, place: int) -> None:
        self._stream.reset(place)

    def _resize(self, num_entities: int) -> None:
        self._stream.resize(num_entities)

    def _own_bytes(self) -> int:
        return self._stream.bytes_per_entity

    def _saved(self) -> Saved:
        saved = super()._saved()
        saved.parts["network"] = self._stream._core.saved_bytes()
        return saved

    def _saved_entity(self, place: int) -> Saved:
        saved = super()._saved_entity(place)
        saved.parts["network"] = self._stream.state_bytes(place)
        return saved

    def _restore_entity(self, place: int, saved: Saved) -> None:
        super()._restore_entity(place, saved)
        self._stream.restore(place, saved.parts.get("network", b""))

    def _restore(self, saved: Saved) -> None:
        super()._restore(saved)
        core = _core.Stream.from_saved_bytes(self._network._core, saved.parts.get("network", b""))
        if core.num_entities != self.num_entities:
            raise ValueError(
                f"network: expected {self.num_entities} entities, got {core.num_entities}"
            )
        self._stream = Stream(self._network, self._network._core, core)
