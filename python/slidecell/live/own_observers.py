"""The observers that the options of a live run ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slidecell.live.drift_watch import DriftWatch
from slidecell.live.load_live import load_live
from slidecell.live.observers import Observer

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.live.live_detector import LiveDetector
    from slidecell.live.options import LiveOptions
    from slidecell.model import SequenceModel

__all__ = ["own_observers"]


def own_observers(
    asked: LiveOptions,
    options: LiveOptions,
    model: SequenceModel | LiveDetector,
    detector: Detector | None,
) -> list[Observer]:
    """Return the observers that the options ask for."""
    found: list[Observer] = []
    kept = None if detector is None else detector.training_statistics_
    if options.drift and detector is not None and kept is not None and kept.stretches is not None:
        from slidecell.detect.drift import DriftMonitor

        found.append(DriftWatch(DriftMonitor(detector), state=options.state))
    if options.shadow is not None:
        from slidecell.live.shadow import Shadow

        challenger, gap, _ = load_live(options.shadow)
        found.append(Shadow(asked, options, model, challenger, event_gap=gap))
    if options.keep_rows is not None:
        from slidecell.live.row_log import RowLog

        watch = next((one for one in found if isinstance(one, DriftWatch)), None)
        found.append(
            RowLog(
                options.keep_rows,
                keys=[name for name in (options.time, options.entity) if name is not None],
                features=model.features or list(map(str, range(model.input_size))),
                label=options.label,
                keep=options.keep,
                advisory=None if watch is None else lambda: watch.advisory,
                began=None if watch is None else watch.began,
            )
        )
    return found
