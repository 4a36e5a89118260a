"""Whether the rows of a live run still look like those of training: said when it changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slidecell.live.observers import Observer, ScoredRow

if TYPE_CHECKING:
    from slidecell.detect.drift import Advisory, DriftMonitor
    from slidecell.live.formats import Row

__all__ = ["DriftWatch"]


class DriftWatch(Observer):
    """Gives the rows of a run to a drift monitor, and reports each change of its advice.

    Parameters
    ----------
    monitor : DriftMonitor

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.drift import DriftMonitor
    >>> from slidecell.live.drift_watch import DriftWatch
    >>> detector = ZScoreDetector().fit(np.random.default_rng(0).normal(size=(2000, 1)))
    >>> DriftWatch(DriftMonitor(detector)).summary()
    ['drift: not known before 150 rows']
    """

    name = "drift"

    def __init__(self, monitor: DriftMonitor) -> None:
        self.monitor = monitor
        self._said: tuple[str, tuple[str, ...]] = ("fine", ())

    @property
    def advisory(self) -> Advisory:
        """What is to be done about the rows that came last."""
        return self.monitor.advisory

    def scored(self, rows: Sequence[ScoredRow]) -> None:
        """Compare rows that have been scored."""
        self.monitor.update(
            [scored.row.values for scored in rows],
            entities=[scored.row.entity for scored in rows],
        )
        self._say_changes()

    def missed(self, row: Row) -> None:
        """Count a row of which nothing is known."""
        nothing = [math.nan] * len(self.monitor.names)
        self.monitor.update([nothing], entities=[row.entity])
        self._say_changes()

    def summary(self) -> list[str]:
        """Return the advisory in one line."""
        if self.monitor.rows < self.monitor.window and self.advisory.advice == "fine":
            return [f"drift: not known before {self.monitor.window} rows"]
        since = self.advisory.since
        after = "" if since is None else f", since {since:,} rows had come"
        return [f"drift: {self.advisory}{after}"]

    def _say_changes(self) -> None:
        advisory = self.advisory
        now = (advisory.advice, tuple(sorted(advisory.columns)))
        if now != self._said:
            self._said = now
            self.say(f"drift after {advisory.rows:,} rows: {advisory}")
