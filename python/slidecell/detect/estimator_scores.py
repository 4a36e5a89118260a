"""Which method of an estimator is its score, and with which sign: scikit-learn's, or PyOD's."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from slidecell.detect.base import Detector
from slidecell.tables.rows import Floats

__all__ = ["check_estimator_scores", "estimator_scores"]


def check_estimator_scores(estimator: Any) -> None:
    """Raise a TypeError that says what to do, unless `estimator_scores` can score with it.

    Examples
    --------
    >>> from sklearn.decomposition import PCA
    >>> from slidecell.detect.estimator_scores import check_estimator_scores
    >>> check_estimator_scores(PCA())  # it has score_samples, as outlier detectors do
    """
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(
            f"estimator: expected an estimator of scikit-learn or PyOD, got {estimator!r}"
        )
    if isinstance(estimator, Detector) or isinstance(
        getattr(estimator, "detector", None), Detector
    ):
        raise TypeError(
            f"estimator: expected one of scikit-learn or PyOD, got {estimator!r}, which is a "
            "detector of slidecell already: use that one"
        )
    if _is_of_pyod(estimator):
        _refuse_windows_inside(estimator)
        return
    if hasattr(estimator, "score_samples"):
        return
    if hasattr(estimator, "decision_function"):
        raise TypeError(
            "estimator: expected one with score_samples (higher = more normal, as scikit-learn's) "
            "or a subclass of pyod.models.base.BaseDetector (decision_function, higher = more "
            f"anomalous); {estimator!r} has a decision_function alone, whose sign nobody knows"
        )
    hint = ": novelty=True gives it one" if hasattr(estimator, "novelty") else ""
    raise TypeError(f"estimator: expected one with score_samples, which {estimator!r} lacks{hint}")


def estimator_scores(estimator: Any, X: Floats) -> Floats:
    """Return the scores [n] of rows [n, F] by a fitted estimator, higher = more anomalous.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.svm import OneClassSVM
    >>> from slidecell.detect.estimator_scores import estimator_scores
    >>> X = np.random.default_rng(0).normal(size=(100, 2))
    >>> near, far = estimator_scores(OneClassSVM().fit(X), np.array([[0.0, 0.0], [9.0, 9.0]]))
    >>> bool(near < far)
    True
    """
    if _is_of_pyod(estimator):
        return np.asarray(estimator.decision_function(X), np.float64).reshape(len(X))
    return -np.asarray(estimator.score_samples(X))


def _is_of_pyod(estimator: Any) -> bool:
    """Return whether an estimator, or the last one of a pipeline, is PyOD's or derived from it."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return any(
        (kind.__module__, kind.__name__) == ("pyod.models.base", "BaseDetector")
        for kind in type(last).__mro__
    )


def _refuse_windows_inside(estimator: Any) -> None:
    """Refuse PyOD's detectors of series: they would see rows that do not follow each other."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if type(last).__module__.startswith("pyod.models.ts_"):
        raise TypeError(
            f"estimator: {type(last).__name__} makes windows of a series itself: give a detector "
            "of rows, such as pyod.models.iforest.IForest, and window="
        )
