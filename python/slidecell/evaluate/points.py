"""Metrics by row: precision, recall, F1, accuracy and the counts behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.evaluate.inputs import as_flags, as_labels

__all__ = ["PointScores", "classification_report", "harmonic", "point_scores", "ratio"]


@dataclass(frozen=True)
class PointScores:
    """Counts of rows, and what follows from them; None where a denominator is 0.

    Parameters
    ----------
    true_positives, false_positives, false_negatives, true_negatives : int
    """

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def precision(self) -> float | None:
        """Share of the flagged rows that are anomalies."""
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """Share of the anomalies that are flagged."""
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; 0 where only one of them is defined."""
        wrong = self.false_positives + self.false_negatives
        return ratio(2 * self.true_positives, 2 * self.true_positives + wrong)

    @property
    def accuracy(self) -> float | None:
        """Share of the rows whose flag equals the label; it is high wherever anomalies are rare."""
        right = self.true_positives + self.true_negatives
        return ratio(right, right + self.false_positives + self.false_negatives)

    @property
    def confusion_matrix(self) -> list[list[int]]:
        """Rows: normal, anomaly; columns: not flagged, flagged. scikit-learn's order."""
        return [
            [self.true_negatives, self.false_positives],
            [self.false_negatives, self.true_positives],
        ]


def point_scores(labels: npt.ArrayLike, flags: npt.ArrayLike) -> PointScores:
    """Compare labels [S] with flags [S], row by row.

    Examples
    --------
    >>> from slidecell.evaluate import point_scores
    >>> found = point_scores([0, 0, 1, 1], [0, 1, 1, 1])
    >>> found.recall, found.f1, found.confusion_matrix
    (1.0, 0.8, [[1, 1], [0, 2]])
    """
    truth = as_labels(labels)
    flagged = as_flags(flags, len(truth))
    hits = int(np.count_nonzero(truth & flagged))
    positives, alarms = int(np.count_nonzero(truth)), int(np.count_nonzero(flagged))
    return PointScores(
        true_positives=hits,
        false_positives=alarms - hits,
        false_negatives=positives - hits,
        true_negatives=len(truth) - positives - alarms + hits,
    )


def classification_report(labels: npt.ArrayLike, flags: npt.ArrayLike) -> str:
    """scikit-learn's report of labels [S] and flags [S] as text; 0 where a figure is undefined.

    Examples
    --------
    >>> from slidecell.evaluate import classification_report
    >>> print(classification_report([0, 0, 1, 1], [0, 1, 1, 1]).splitlines()[3])
         anomaly     0.6667    1.0000    0.8000         2
    """
    require("sklearn", extra="detect")
    from sklearn import metrics

    truth = as_labels(labels)
    flagged = as_flags(flags, len(truth))
    report: str = metrics.classification_report(
        truth, flagged, labels=[0, 1], target_names=["normal", "anomaly"], digits=4, zero_division=0
    )
    return report


def harmonic(precision: float, recall: float) -> float:
    """Harmonic mean; 0 if both are 0."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def ratio(part: float, whole: float) -> float | None:
    """Part of a whole; None if the whole is 0."""
    return part / whole if whole else None
