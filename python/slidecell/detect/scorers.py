"""What scorers of scikit-learn are told where a row has no score: its metrics take none."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from slidecell.tables.rows import Floats

__all__ = ["refuse_in_sklearn_metrics"]

_MOST_FRAMES = 12  # from a detector to the scorer, the steps of a pipeline between


def refuse_in_sklearn_metrics(scores: Floats) -> None:
    """Raise a ValueError if a row has no score and a metric of scikit-learn is about to see it.

    The metric would only say "Input contains NaN", too late for a word on what to do. A scorer
    with a metric of someone else, which may know NaN, gets its scores.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.scorers import refuse_in_sklearn_metrics
    >>> refuse_in_sklearn_metrics(np.array([np.nan, 1.0]))  # nobody's scorer asks
    """
    unscored = int(np.isnan(scores).sum())
    if unscored and (metric := _metric_of_sklearn()) is not None:
        raise ValueError(
            f"scoring: {metric} takes no row without a score, and {unscored} of {len(scores)} have "
            "none (no window ends there, or a value is missing): "
            'scoring=slidecell.adapters.scorer("roc_auc") leaves them out'
        )


def _metric_of_sklearn() -> str | None:
    """Return the name of the metric whose scorer called this; None: no scorer of scikit-learn."""
    frame: Any = inspect.currentframe()
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return None
        scorer = frame.f_locals.get("self")
        metric = getattr(scorer, "_score_func", None)
        if metric is not None and type(scorer).__module__ == "sklearn.metrics._scorer":
            ours = str(getattr(metric, "__module__", "")).startswith("sklearn.")
            return str(metric.__name__) if ours else None
        frame = frame.f_back
    return None
