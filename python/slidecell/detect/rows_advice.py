"""What the drift monitor says of rows that come in parts, in the order in which they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.drift import Advisory, DriftMonitor
from slidecell.detect.streams.state import Saved
from slidecell.thresholds.state_values import mapping, whole

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = ["RowsAdvice"]

_COMPARISONS = 500  # of many rows: a monitor's own would take longer than the scores


class RowsAdvice:
    """Asks a drift monitor at equal steps, some five hundred times in all.

    Parameters
    ----------
    detector : Detector
        Fitted on rows enough for a `DriftMonitor`.
    total : int
        Rows that will come.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.rows_advice import RowsAdvice
    >>> rows = np.random.default_rng(0).normal(size=(2000, 1))
    >>> advice = RowsAdvice(ZScoreDetector().fit(rows), 2000)
    >>> advice.add(rows[:1000])
    >>> advice.add(rows[1000:] + 9.0)
    >>> found = advice.facts()
    >>> found["advice"], found["comparisons"], found["first"]["rows"] > 1000
    ('retrain', 66, True)
    """

    def __init__(self, detector: Detector, total: int) -> None:
        self._monitor = DriftMonitor(detector)
        self._step = max(self._monitor.every, total // _COMPARISONS)
        self._monitor.every = self._step
        self._comparisons = self._not_fine = 0
        self._first: dict[str, Any] | None = None
        self._last = Advisory()

    @staticmethod
    def is_known(detector: Detector) -> bool:
        """Return whether a detector has kept enough of its training."""
        kept = detector.training_statistics_
        return kept is not None and kept.stretches is not None

    def add(
        self, rows: npt.NDArray[np.floating[Any]], entities: Sequence[str] | None = None
    ) -> None:
        """Take the next rows [n, C], and whose each of them is."""
        first = 0
        while first < len(rows):
            last = min(first + self._step - self._monitor.rows % self._step, len(rows))
            names = None if entities is None else entities[first:last]
            self._monitor.update(rows[first:last], entities=names)
            if self._monitor.rows % self._step == 0:
                self._record(self._monitor.advisory)
            first = last

    def _record(self, advisory: Advisory) -> None:
        self._comparisons += 1
        self._last = advisory
        if advisory.advice != "fine":
            self._not_fine += 1
            if self._first is None:
                self._first = {"rows": advisory.rows, "text": str(advisory)}

    def facts(self) -> dict[str, Any] | None:
        """Return the last advisory, and how often it was not fine.

        Returns
        -------
        dict or None
            ``advice``, ``columns``, ``entities`` and ``text`` of the last advisory;
            ``comparisons``, and ``not_fine`` among them; ``first`` with ``rows`` and ``text`` of
            the first that was not fine, or None. None as a whole before a window is full.
        """
        if self._monitor.rows < self._monitor.window or self._comparisons == 0:
            return None
        return {
            "advice": self._last.advice,
            "columns": list(self._last.columns),
            "entities": list(self._last.entities),
            "text": str(self._last),
            "comparisons": self._comparisons,
            "not_fine": self._not_fine,
            "first": self._first,
        }

    def saved(self) -> Saved:
        """Return the state."""
        text = {
            "comparisons": self._comparisons,
            "not_fine": self._not_fine,
            "first": self._first,
            "last": self._last.to_dict(),
        }
        return Saved(text, {"monitor": self._monitor.state_bytes()})

    def restore(self, saved: Saved) -> None:
        """Go on from what `saved` returned."""
        text = mapping(saved.text, "advice")
        self._comparisons, self._not_fine = whole(text, "comparisons"), whole(text, "not_fine")
        self._first, self._last = text["first"], Advisory.from_dict(text["last"])
        self._monitor.restore(saved.parts["monitor"])
