"""Whether the rows of a live run still look like those of training: said when it changes."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell._whole_files import replacing
from slidecell.detect.streams.state import Saved
from slidecell.detect.streams.state_bytes import pack_state, unpack_state
from slidecell.live.observers import Observer, ScoredBlock

if TYPE_CHECKING:
    from slidecell.detect.drift import Advisory, DriftMonitor
    from slidecell.live.rows import Row

__all__ = ["DriftWatch", "drift_state"]

_MEASURES = ("level", "spread", "outside", "missing", "distance", "stability")
_PAUSE = 1.0  # seconds between two comparisons of all columns that are served
_MOST_COLUMNS = 20


def drift_state(state: Path) -> Path:
    """Return where the state of the drift monitor lies: beside that of the run.

    Examples
    --------
    >>> from pathlib import PurePosixPath
    >>> from slidecell.live.drift_watch import drift_state
    >>> drift_state(PurePosixPath("run.state")).name
    'run.state.drift'
    """
    return state.with_name(f"{state.name}.drift")


class DriftWatch(Observer):
    """Gives the rows of a run to a drift monitor, and reports each change of its advice.

    Parameters
    ----------
    monitor : DriftMonitor
    state : Path, optional
        State of the run. That of the monitor lies beside it: see `drift_state`.

    Attributes
    ----------
    began : float
        When rows were compared first, in seconds since 1970: in an earlier run, where it is gone
        on from its state.

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
    in_order = False

    def __init__(self, monitor: DriftMonitor, *, state: Path | None = None) -> None:
        self.monitor = monitor
        self.began = time.time()
        self._state = None if state is None else drift_state(state)
        self._note = ""
        # Without the state of the run its rows are the first ones.
        if state is not None and self._state is not None and state.exists():
            self._load(self._state)
        self._said = _told(monitor.advisory)
        monitor.on_advisory = self._say_change
        self._serves = False
        self._next = 0.0
        self._columns: list[dict[str, Any]] | None = None

    @property
    def advisory(self) -> Advisory:
        """What is to be done about the rows that came last."""
        return self.monitor.advisory

    def scored(self, rows: ScoredBlock) -> None:
        """Compare rows that have been scored."""
        self.monitor.update(
            rows.rows.values, entities=rows.rows.entities, scores=rows.answers.smoothed
        )

    def missed(self, row: Row) -> None:
        """Count a row of which nothing is known."""
        nothing = [math.nan] * len(self.monitor.names)
        self.monitor.update([nothing], entities=[row.entity])

    def _load(self, path: Path) -> None:
        """Go on from a file; where it cannot be read, begin anew and say so."""
        monitor = self.monitor
        try:
            state = path.read_bytes()
            found = unpack_state(state, monitor.fingerprint, kind="run's detector")
            monitor.restore(found.parts["monitor"])
            self.began = float(found.text["began"])
        except FileNotFoundError:
            pass  # saved by a version that kept none, or without drift
        except (OSError, ValueError, KeyError) as error:
            self._note = f"drift: {path}: {error}; its window begins anew"

    def close(self) -> None:
        """Save the state beside that of the run, whole or not at all."""
        if self._state is None:
            return
        parts = {"monitor": self.monitor.state_bytes()}
        state = pack_state(Saved({"began": self.began}, parts), self.monitor.fingerprint)
        with replacing(self._state) as temporary:
            temporary.write_bytes(state)

    def attend(self) -> None:
        """Keep how the columns differ from training for those who serve it, once a second."""
        if self._note:
            self.say(self._note)
            self._note = ""
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

    def _say_change(self, advisory: Advisory) -> None:
        now = _told(advisory)
        if now != self._said:
            self._said = now
            self.say(f"drift after {advisory.rows:,} rows: {advisory}")


def _told(advisory: Advisory) -> tuple[Any, ...]:
    """Return what a new report is worth: the advice, the columns, who is far where not all are."""
    if advisory.advice == "fine":
        return ("fine",)
    of_all = {reason.column for reason in advisory.reasons if reason.entity is None}
    alone = {str(one.entity) for one in advisory.reasons if one.column not in of_all}
    return advisory.advice, sorted(advisory.columns), sorted(alone)


def _plain(value: float) -> float | None:
    """Return a number as JSON has it; None where nobody can tell."""
    return float(value) if math.isfinite(value) else None
