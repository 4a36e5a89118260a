"""Whether the rows of a live run still look like those of training: said when it changes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell.live.observers import Observer, ScoredRow

if TYPE_CHECKING:
    from slidecell.detect.drift import Advisory, DriftMonitor
    from slidecell.live.formats import Row

__all__ = ["DriftWatch"]

_MEASURES = ("level", "spread", "outside", "missing", "distance", "stability")
_PAUSE = 1.0  # seconds between two comparisons of all columns that are served
_MOST_COLUMNS = 20


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
        self._said = _told(monitor.advisory)
        self._serves = False
        self._next = 0.0
        self._columns: list[dict[str, Any]] | None = None

    @property
    def advisory(self) -> Advisory:
        """What is to be done about the rows that came last."""
        return self.monitor.advisory

    def scored(self, rows: Sequence[ScoredRow]) -> None:
        """Compare rows that have been scored."""
        self.monitor.update(
            # As an array: of lists each row would be asked whether it names its values.
            np.array([scored.row.values for scored in rows], np.float64),
            entities=[scored.row.entity for scored in rows],
            scores=np.array([scored.answer.smoothed for scored in rows], np.float64),
        )
        self._say_changes()

    def missed(self, row: Row) -> None:
        """Count a row of which nothing is known."""
        nothing = [math.nan] * len(self.monitor.names)
        self.monitor.update([nothing], entities=[row.entity])
        self._say_changes()

    def attend(self) -> None:
        """Keep how the columns differ from training for those who serve it, once a second."""
        now = time.monotonic()
        if self._serves and self.monitor.rows >= self.monitor.window and now >= self._next:
            self._next = now + _PAUSE
            self._columns = self._as_numbers()

    def served(self) -> dict[str, Any] | None:
        """Return the advice and the columns, the farthest first, ready for JSON; for any thread.

        None while the rows do not fill a window. From the first call on it is kept up to date.
        """
        self._serves = True
        if self._columns is None:
            return None
        return {
            "advice": self.advisory.advice,
            "rows": self.monitor.window,
            "columns": self._columns,
        }

    def _as_numbers(self) -> list[dict[str, Any]]:
        monitor, drift = self.monitor, self.monitor.drift()
        told = set(self.advisory.columns)
        order = np.argsort(-np.nan_to_num(monitor.distance / monitor.limits), kind="stable")
        return [
            {"name": monitor.names[c], "far": monitor.names[c] in told}
            | {name: _plain(getattr(drift, name)[c]) for name in _MEASURES}
            for c in order[:_MOST_COLUMNS].tolist()
        ]

    def summary(self) -> list[str]:
        """Return the advisory in one line."""
        if self.monitor.rows < self.monitor.window and self.advisory.advice == "fine":
            return [f"drift: not known before {self.monitor.window} rows"]
        since = self.advisory.since
        after = "" if since is None else f", since {since:,} rows had come"
        scores = self.monitor.score_drift()
        apart = (
            ""
            if scores is None
            else f"; the scores are {scores.distance[0]:.2f} from those of training (0 to 1)"
        )
        return [f"drift: {self.advisory}{after}{apart}"]

    def _say_changes(self) -> None:
        advisory = self.advisory
        now = _told(advisory)
        if now != self._said:
            self._said = now
            self.say(f"drift after {advisory.rows:,} rows: {advisory}")


def _told(advisory: Advisory) -> tuple[Any, ...]:
    """Return what a new report is worth: the advice, the columns, who is far where not all are."""
    of_all = {reason.column for reason in advisory.reasons if reason.entity is None}
    alone = {str(one.entity) for one in advisory.reasons if one.column not in of_all}
    return advisory.advice, sorted(advisory.columns), sorted(alone)


def _plain(value: float) -> float | None:
    """Return a number as JSON has it; None where nobody can tell."""
    return float(value) if math.isfinite(value) else None
