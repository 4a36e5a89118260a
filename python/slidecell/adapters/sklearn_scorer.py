"""A scorer for scikit-learn's model selection: rows without a score are left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.evaluate.curves import pr_auc, roc_auc
from slidecell.evaluate.inputs import scored_part

__all__ = ["DetectorScorer", "scorer"]

Metric = Callable[[npt.NDArray[np.int64], npt.NDArray[np.float64]], "float | None"]

_METRICS: dict[str, Metric] = {"pr_auc": pr_auc, "roc_auc": roc_auc}


def scorer(metric: str | Metric = "pr_auc") -> DetectorScorer:
    """Return a scorer for ``scoring=`` of scikit-learn: ``scorer(estimator, X, y) -> float``.

    scikit-learn's own, such as ``scoring="roc_auc"``, fail where a row has no score, as the first
    ones of each fold, in which no window ends. This one compares only the scored rows with their
    labels.

    Parameters
    ----------
    metric : {"pr_auc", "roc_auc"} or callable
        Of labels [n] (1 = anomaly) and scores [n]; higher is better. One of `slidecell.evaluate` or
        ``sklearn.metrics`` will do.

    Returns
    -------
    DetectorScorer
        It raises a ValueError where the metric is undefined: a fold without an anomaly, say.

    Notes
    -----
    A fold is one series: let it hold rows that follow each other, as those of ``TimeSeriesSplit``
    do. With several entities pass a DataFrame whose entity column the detector names.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
    >>> from slidecell.adapters import scorer
    >>> from slidecell.detect import KMeansDetector
    >>> X = np.sin(np.arange(900) / 5)[:, None]
    >>> y = np.zeros(900, int)
    >>> y[250::200] = 1
    >>> X[y == 1] += 0.5
    >>> search = GridSearchCV(
    ...     KMeansDetector(n_clusters=10, random_state=0),
    ...     {"window": [1, 8]},  # a single value of a sine tells nothing
    ...     scoring=scorer("roc_auc"),
    ...     cv=TimeSeriesSplit(3, test_size=200),
    ... )
    >>> search.fit(X, y).best_params_
    {'window': 8}
    """
    if isinstance(metric, str):
        if metric not in _METRICS:
            known = ", ".join(map(repr, _METRICS))
            raise ValueError(f"metric: expected {known} or a function, got {metric!r}")
    elif not callable(metric):
        raise TypeError(f"metric: expected a name or a function, got {metric!r}")
    return DetectorScorer(metric)


class DetectorScorer:
    """Compare a detector's scores with labels, where there are scores: see `scorer`.

    Parameters
    ----------
    metric : str or callable

    Examples
    --------
    >>> from slidecell.adapters import scorer
    >>> from slidecell.detect import RollingVarianceDetector
    >>> X = [[0.0], [1.0], [0.0], [1.0], [9.0]]
    >>> detector = RollingVarianceDetector(window=2).fit(X)
    >>> scorer("roc_auc")(detector, X, [0, 0, 0, 0, 1])
    1.0
    """

    def __init__(self, metric: str | Metric) -> None:
        self.metric = metric

    def __call__(self, estimator: Any, X: Any, y: npt.ArrayLike) -> float:
        """Return the metric of rows [S, F] and labels [S]; the estimator is fitted."""
        part = scored_part(y, estimator.decision_function(X))
        metric = _METRICS[self.metric] if isinstance(self.metric, str) else self.metric
        found = metric(part.labels.astype(np.int64), part.scores) if part.both_classes else None
        if found is None or math.isnan(found):
            raise ValueError(
                f"{self}: undefined on a fold with {len(part.labels)} scored rows of "
                f"{len(part.kept)}, {int(part.labels.sum())} of them labelled as anomalies: choose "
                "folds that hold normal rows and anomalies"
            )
        return float(found)

    def __repr__(self) -> str:
        name = getattr(self.metric, "__name__", repr(self.metric))
        return f"scorer({name})"
