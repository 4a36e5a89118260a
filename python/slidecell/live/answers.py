"""What a monitor answers: the event of one row, or the answers of a block of rows as columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from slidecell._html import figure, html_table
from slidecell.live.evidence import Evidence

__all__ = ["Answers", "Event"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Event:
    """The result of a `Monitor` for one row.

    Attributes
    ----------
    score : float
        The row's score; NaN where the batch has NaN. Streams of detectors smooth it already.
    smoothed : float
        The smoothed score; the score itself without smoothing.
    threshold : float
        The number that the smoothed score was compared with; NaN while there is none.
    alarm : bool
        True iff the threshold rule says so; never for a NaN score.
    """

    __slots__ = ("_evidence", "alarm", "score", "smoothed", "threshold")

    def __init__(
        self,
        score: float,
        smoothed: float,
        threshold: float,
        alarm: bool,
        evidence: Evidence | None,
    ) -> None:
        self.score, self.smoothed = score, smoothed
        self.threshold, self.alarm = threshold, alarm
        self._evidence = evidence

    @property
    def attribution(self) -> npt.NDArray[np.float64] | None:
        """Each feature's share of the squared error in scaled units: [F], sum 1.

        Computed when asked for, from the forecast that the row met. 0 for features that the model
        does not predict. None where there is no score, for autoencoders (a window's reconstruction
        is not kept) and with ``attribution=False``.
        """
        if self._evidence is None or not math.isfinite(self.score):
            return None
        return self._evidence.shares.of(self._evidence)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the numbers and whether they are an alarm."""
        names = ("score", "smoothed", "threshold")
        rows = [(name, figure(getattr(self, name))) for name in names]
        return html_table("Event", [*rows, ("alarm", "yes" if self.alarm else "no")])

    def __repr__(self) -> str:
        return (
            f"Event(score={self.score:.6g}, smoothed={self.smoothed:.6g}, "
            f"threshold={self.threshold:.6g}, alarm={self.alarm})"
        )


class Answers:
    """The answers of rows [n] as columns; `event` makes one row's `Event`.

    Parameters
    ----------
    scores, smoothed, thresholds : ndarray of float64, [n]
    alarms : ndarray of bool, [n]
        All as the fields of `Event`.
    evidence : sequence [n], optional
        Of each row: what `Event.attribution` is computed from, or None.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.live.answers import Answers
    >>> scores = np.array([0.5, 2.0])
    >>> answers = Answers(scores, scores, np.array([1.0, 1.0]), scores > 1.0)
    >>> answers.event(1), len(answers[1:])
    (Event(score=2, smoothed=2, threshold=1, alarm=True), 1)
    """

    __slots__ = ("_evidence", "alarms", "scores", "smoothed", "thresholds")

    def __init__(
        self,
        scores: Floats,
        smoothed: Floats,
        thresholds: Floats,
        alarms: Bools,
        evidence: Sequence[Evidence | None] | None = None,
    ) -> None:
        self.scores, self.smoothed = scores, smoothed
        self.thresholds, self.alarms = thresholds, alarms
        self._evidence = evidence

    @classmethod
    def of(cls, events: Sequence[Event]) -> Answers:
        """Return the answers of single rows together."""
        return cls(
            np.array([event.score for event in events], np.float64),
            np.array([event.smoothed for event in events], np.float64),
            np.array([event.threshold for event in events], np.float64),
            np.array([event.alarm for event in events], np.bool_),
            [event._evidence for event in events],
        )

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """Return the answers of one or more parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        evidence: list[Evidence | None] | None = None
        if any(part._evidence is not None for part in parts):
            evidence = [one for part in parts for one in part._evidence or [None] * len(part)]
        return cls(
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.smoothed for part in parts]),
            np.concatenate([part.thresholds for part in parts]),
            np.concatenate([part.alarms for part in parts]),
            evidence,
        )

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, part: slice) -> Answers:
        """Return the answers of some of the rows."""
        if part == slice(0, len(self)):
            return self
        return Answers(
            self.scores[part],
            self.smoothed[part],
            self.thresholds[part],
            self.alarms[part],
            None if self._evidence is None else self._evidence[part],
        )

    def __iter__(self) -> Iterator[Event]:
        return map(self.event, range(len(self)))

    def event(self, place: int) -> Event:
        """Return one row's answer."""
        return Event(
            float(self.scores[place]),
            float(self.smoothed[place]),
            float(self.thresholds[place]),
            bool(self.alarms[place]),
            None if self._evidence is None else self._evidence[place],
        )
