"""Constant thresholds: one number that is given, or computed from training scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arguments import as_number
from slidecell.evaluate.curves import Ranking
from slidecell.evaluate.inputs import as_labels
from slidecell.thresholds.base import Bools, Threshold
from slidecell.thresholds.scores import Floats, as_scores, training_part
from slidecell.thresholds.state_values import number

__all__ = [
    "BestFThreshold",
    "ConstantThreshold",
    "ContaminationThreshold",
    "FixedThreshold",
    "PercentileThreshold",
]


class ConstantThreshold(Threshold):
    """A threshold that scores do not change."""

    is_constant = True

    _value: float | None = None

    @property
    def threshold(self) -> float:
        """The value that scores are compared with."""
        self._need_reference()
        assert self._value is not None
        return self._value

    def reset(self) -> None:
        """Do nothing: no score is remembered."""

    def _reference(self) -> dict[str, Any]:
        return {} if self._value is None else {"value": self._value}

    def _load_reference(self, state: Mapping[str, Any]) -> None:
        self._value = number(state, "value") if "value" in state else None

    def _is_fitted(self) -> bool:
        return self._value is not None

    def _judge(self, score: float) -> bool:
        return score > self.threshold

    def _series(self, scores: Floats) -> Bools:
        return np.asarray(scores > self.threshold)  # False for NaN


class FixedThreshold(ConstantThreshold):
    """A threshold with a given value.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> from slidecell.thresholds import FixedThreshold
    >>> FixedThreshold(2.0).apply([1.0, 2.0, 3.0, float("nan")]).tolist()
    [False, False, True, False]
    """

    kind = "fixed"

    def __init__(self, value: float) -> None:
        self._value = as_number("value", value)
        if not np.isfinite(self._value):
            raise ValueError(f"value: expected a finite number, got {value!r}")

    def _settings(self) -> dict[str, Any]:
        return {"value": self._value}


class PercentileThreshold(ConstantThreshold):
    """A threshold at a percentile of the training scores, interpolated linearly.

    Parameters
    ----------
    percentile : float
        0 to 100.

    Examples
    --------
    >>> from slidecell.thresholds import PercentileThreshold
    >>> PercentileThreshold(50.0).fit([1.0, 2.0, 4.0]).threshold
    2.0
    """

    kind = "percentile"

    def __init__(self, percentile: float = 95.0) -> None:
        self.percentile = as_number("percentile", percentile)
        if not 0.0 <= self.percentile <= 100.0:
            raise ValueError(f"percentile: expected 0 to 100, got {percentile!r}")

    def fit(self, training_scores: npt.ArrayLike) -> PercentileThreshold:
        """Take the percentile of the finite training scores [S]."""
        self._value = float(np.percentile(training_part(training_scores), self.percentile))
        return self

    def _settings(self) -> dict[str, Any]:
        return {"percentile": self.percentile}


class ContaminationThreshold(ConstantThreshold):
    """The value that a given share of the training scores exceeds, as PyOD defines it.

    Parameters
    ----------
    contamination : float
        Share of anomalies in the training scores, 0 < contamination < 1.

    Examples
    --------
    >>> from slidecell.thresholds import ContaminationThreshold
    >>> rule = ContaminationThreshold(0.2).fit(range(10))
    >>> int(rule.apply(range(10)).sum())
    2
    """

    kind = "contamination"

    def __init__(self, contamination: float = 0.05) -> None:
        self.contamination = as_number("contamination", contamination)
        if not 0.0 < self.contamination < 1.0:
            raise ValueError(
                f"contamination: expected a share between 0 and 1, got {contamination!r}"
            )

    def fit(self, training_scores: npt.ArrayLike) -> ContaminationThreshold:
        """Take the percentile 100 (1 - contamination) of the finite training scores [S]."""
        scores = training_part(training_scores)
        self._value = float(np.percentile(scores, 100.0 * (1.0 - self.contamination)))
        return self

    def _settings(self) -> dict[str, Any]:
        return {"contamination": self.contamination}


class BestFThreshold(ConstantThreshold):
    """The threshold of the greatest F-beta on labelled validation scores.

    Every cut between two different scores is tried (the points of the precision-recall curve); the
    threshold lies midway between them. Of equal F-beta the highest threshold wins: the fewest
    alarms. F-beta measured on the same scores is an optimist's figure: measure on others.

    Parameters
    ----------
    beta : float
        Recall counts beta times as much as precision.

    Examples
    --------
    >>> from slidecell.thresholds import BestFThreshold
    >>> rule = BestFThreshold().fit([1.0, 2.0, 6.0, 8.0], labels=[0, 0, 1, 1])
    >>> rule.threshold
    4.0
    """

    kind = "best_f"

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = as_number("beta", beta)
        if not 0.0 < self.beta < np.inf:
            raise ValueError(f"beta: expected a number above 0, got {beta!r}")

    def fit(
        self, training_scores: npt.ArrayLike, labels: npt.ArrayLike | None = None
    ) -> BestFThreshold:
        """Choose on validation scores [S] and their labels [S] (1 = anomaly).

        Raises
        ------
        ValueError
            Without labels, with labels of another length or of one class.
        """
        if labels is None:
            raise ValueError("labels: expected one per score (1 = anomaly), got none")
        scores = as_scores(training_scores, name="training_scores")
        truth = as_labels(labels, len(scores)).astype(np.int64)
        finite = np.isfinite(scores)
        scores, truth = scores[finite], truth[finite]
        if not 0 < truth.sum() < len(truth):
            raise ValueError(
                f"labels: expected both classes among finite scores, got {truth.sum()} anomalies "
                f"of {len(truth)}"
            )
        self._value = Ranking(scores, truth).best_threshold(self.beta)
        return self

    def _settings(self) -> dict[str, Any]:
        return {"beta": self.beta}
