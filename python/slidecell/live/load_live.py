"""What a live run scores with, from the path of what was saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.live.live_detector import LiveDetector
    from slidecell.model import SequenceModel

__all__ = ["load_live"]


def load_live(path: Path) -> tuple[SequenceModel | LiveDetector, int, Detector | None]:
    """Return a model or a detector that is none, the gap of its events, and the saved detector."""
    if path.is_dir():
        from slidecell.detect.loading import load_saved
        from slidecell.live.live_detector import LiveDetector

        detector = load_saved(path)
        model = detector.stream_model
        # What reads the lines fills missing values, if asked.
        live = LiveDetector(detector, fill=False) if model is None else model
        return live, detector.event_gap(), detector
    from slidecell.model import SequenceModel

    model = SequenceModel.load(path)
    return model, model.window + model.horizon - 1, None
