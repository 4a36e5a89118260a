"""A detector of slidecell as a function that TSB-AD runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from slidecell.adapters.wrapped import fit_copy, nearest_scores

__all__ = ["run_detector", "tsb_ad_runner"]

Floats = npt.NDArray[np.float64]


def tsb_ad_runner(detector: Any) -> Callable[..., Floats]:
    """Return the function ``run(data_train, data_test, **HP) -> scores`` of a detector.

    TSB-AD finds a method as the function ``run_NAME`` of ``TSB_AD.model_wrapper``. Nothing of
    TSB-AD is imported here. The function can be pickled, for programs that run many at a time.

    Parameters
    ----------
    detector : Detector
        It is copied by each call, and stays as it is.

    Returns
    -------
    callable
        See `run_detector`.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.adapters import tsb_ad_runner
    >>> from slidecell.detect import KMeansDetector
    >>> run = tsb_ad_runner(KMeansDetector(n_clusters=20, random_state=0))
    >>> data = np.sin(np.arange(800) / 5)[:, None]
    >>> data[700] += 2.0
    >>> scores = run(data[:600], data, window=10)
    >>> len(scores), int(scores.argmax()) in range(700, 710)
    (800, True)

    With TSB-AD installed, a method of this name joins its others:

    >>> from TSB_AD import model_wrapper  # doctest: +SKIP
    >>> model_wrapper.run_Slidecell = run  # doctest: +SKIP
    >>> model_wrapper.run_Semisupervise_AD("Slidecell", data[:600], data)  # doctest: +SKIP
    """
    return functools.partial(run_detector, detector)


def run_detector(
    detector: Any, data_train: npt.ArrayLike, data_test: npt.ArrayLike | None = None, **HP: Any
) -> Floats:
    """Fit a copy of the detector to one series and score another.

    Parameters
    ----------
    detector : Detector
    data_train : array_like, [S, F]
    data_test : array_like, [T, F], optional
        None: the training rows are scored, as TSB-AD's unsupervised methods do.
    **HP
        Parameters of the detector, in the place of its own.

    Returns
    -------
    ndarray of float64, [T]
        Higher = more anomalous. A row without a score has the last one before it, and in the
        beginning the first one, as in TSB-AD's own methods.
    """
    fitted = fit_copy(
        clone(detector).set_params(**HP) if HP else detector, data_train, scores_alone=True
    )
    if data_test is None:
        return nearest_scores(fitted.decision_scores_)
    return nearest_scores(fitted.score_samples(data_test))
