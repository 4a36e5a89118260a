"""A detector that is no network, as monitors and the live run ask a model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.detect.streams.base import DetectorStream

__all__ = ["LiveDetector"]


class LiveDetector:
    """A fitted detector with what monitors and live runs ask of a model.

    Its scores come smoothed from its stream, so that its metadata names no smoothing.

    Parameters
    ----------
    detector : Detector
    fill : bool, optional
        As of `Detector.stream`.

    Examples
    --------
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.live.live_detector import LiveDetector
    >>> live = LiveDetector(ZScoreDetector().fit([[0.0], [1.0], [2.0]]))
    >>> live.input_size, live.features, live.metadata["threshold"]["kind"]
    (1, None, 'rate')
    """

    horizon = 0
    num_targets = 0
    scaler = None
    reduction = None

    def __init__(self, detector: Detector, *, fill: bool | None = None) -> None:
        self._detector, self._fill = detector, fill
        self.input_size = detector.n_features_in_
        self.features = detector.feature_texts()
        self.threshold = detector.threshold_state()

    @property
    def metadata(self) -> dict[str, Any]:
        """What a model file's JSON says, as far as a detector has it."""
        return {
            "threshold": self.threshold,
            "smoothing": None,
            "targets": None,
            "extra": {"detect": self._detector.table_options()},
        }

    def stream(
        self,
        num_entities: int = 1,
        *,
        state: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> DetectorStream:
        """Return the detector's stream: see `Detector.stream`."""
        return self._detector.stream(num_entities, fill=self._fill, state=state, **options)
