"""Check scores and their labels for the figures that show them by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slidecell.plots.style import drawable

__all__ = ["Labelled", "labelled"]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """The n rows of S that have a score."""

    scores: Floats  # [n]
    anomalous: Bools  # [n]
    rows: npt.NDArray[np.int64]  # [n]: where they stand among the S
    unscored: int

    @property
    def positives(self) -> int:
        """Rows that are labelled anomalous."""
        return int(self.anomalous.sum())

    @property
    def problem(self) -> str | None:
        """The reason why there is no curve to draw, or None."""
        if len(self.scores) == 0:
            return "no row has a score"
        if self.positives in {0, len(self.scores)}:
            only = "anomalous" if self.positives else "normal"
            return f"all {len(self.scores):,} scored rows are labelled {only}: no curve"
        return None

    def at(self, threshold: float) -> tuple[float | None, float | None, float | None]:
        """Return precision, recall and false-alarm rate of the rows above a threshold.

        None where there is nothing to divide by.

        Examples
        --------
        >>> from slidecell.plots.labelled import labelled
        >>> labelled([0.1, 0.6, 0.7, 0.9], [0, 0, 1, 0]).at(0.5)
        (0.3333333333333333, 1.0, 0.6666666666666666)
        """
        flagged = self.scores > threshold
        hits = int((flagged & self.anomalous).sum())
        alarms, normal = int(flagged.sum()), len(self.scores) - self.positives
        return (
            hits / alarms if alarms else None,
            hits / self.positives if self.positives else None,
            (alarms - hits) / normal if normal else None,
        )


def labelled(
    scores: npt.ArrayLike, labels: npt.ArrayLike | None, *, name: str = "scores"
) -> Labelled:
    """Check scores [S] and labels [S] of 0 and 1 (None: all 0), and leave out rows without a score.

    Raises
    ------
    ValueError
        If a shape is another, or a label is neither 0 nor 1.
    """
    score = np.asarray(scores)
    if score.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {score.dtype}")
    if score.ndim != 1:
        raise ValueError(f"{name}: expected [S], got {list(score.shape)}")
    truth = np.zeros(len(score), np.bool_) if labels is None else _as_bools(labels, len(score))
    score = drawable(score)
    rows = np.flatnonzero(np.isfinite(score))
    return Labelled(score[rows], truth[rows], rows, len(score) - len(rows))


def _as_bools(labels: npt.ArrayLike, S: int) -> Bools:
    array = np.asarray(labels)
    if array.shape != (S,):
        raise ValueError(f"labels: expected [{S}] (rows of scores), got {list(array.shape)}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"labels: expected 0 and 1, got dtype {array.dtype}")
    other = array[(array != 0) & (array != 1)]
    if len(other):
        raise ValueError(f"labels: expected 0 and 1 (anomaly), got {other[0]}")
    anomalous: Bools = array == 1
    return anomalous
