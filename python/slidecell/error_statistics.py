"""Mean and shrunk covariance of prediction errors, for the Mahalanobis distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.scaling import apply_scaler
from slidecell.windows import WindowPlan

Doubles = npt.NDArray[np.float64]


def ledoit_wolf(errors: Doubles) -> Doubles:
    """Covariance of `errors` [n, D], shrunk towards a multiple of the identity: [D, D].

    The shrinkage is that of Ledoit and Wolf (2004, "A well-conditioned estimator for
    large-dimensional covariance matrices", Journal of Multivariate Analysis 88, section 3.3).
    `errors` must be centred.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.error_statistics import ledoit_wolf
    >>> ledoit_wolf(np.array([[1.0], [-1.0]]))
    array([[1.]])
    """
    n, size = errors.shape
    covariance: Doubles = errors.T @ errors / n
    mean_variance = float(np.trace(covariance)) / size
    target = mean_variance * np.eye(size)
    spread = float(np.square(covariance - target).sum())
    if spread == 0.0:
        return covariance  # already a multiple of the identity
    # Mean squared distance of single outer products from the covariance, without forming them.
    noise = float(np.square(np.square(errors).sum(axis=1)).sum() / n - np.square(covariance).sum())
    shrinkage = min(1.0, max(0.0, noise / n) / spread)
    shrunk: Doubles = shrinkage * target + (1.0 - shrinkage) * covariance
    return shrunk


def least_errors(size: int) -> int:
    """Errors [n, D] below which their covariance means nothing: n for D.

    With fewer than D + 2 it is singular, and with two or three the estimated shrinkage is about 0:
    the distance of what was not among them grows without bound.

    Examples
    --------
    >>> from slidecell.error_statistics import least_errors
    >>> least_errors(3), least_errors(50)
    (10, 52)
    """
    return max(10, size + 2)


def prediction_errors(
    predicted: npt.NDArray[np.float32],
    rows: npt.NDArray[Any],
    offsets: npt.NDArray[np.integer[Any]],
    metadata: Mapping[str, Any],
) -> Doubles:
    """Errors of a model's predictions in scaled units, those of complete windows: [n, D].

    D is horizon * targets for a forecaster and the number of targets for an autoencoder, whose
    every reconstructed row is one error.

    Parameters
    ----------
    predicted : ndarray, [N, K or W, targets]
        What the model predicts for all windows of the rows.
    rows : ndarray, [S, F]
        Raw where the model has a scaler.
    offsets : ndarray of int, [G+1]
    metadata : mapping
        The model's.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.error_statistics import prediction_errors
    >>> rows = np.array([[1.0], [2.0], [4.0]])
    >>> metadata = {"window": 2, "horizon": 1, "targets": None, "scaler": None}
    >>> prediction_errors(np.float32([[[3.5]]]), rows, np.array([0, 3]), metadata)
    array([[-0.5]])
    """
    window, horizon, scaler = metadata["window"], metadata["horizon"], metadata["scaler"]
    targets = metadata["targets"] or list(range(rows.shape[1]))
    ahead = predicted.astype(np.float64)
    truth = rows if scaler is None else apply_scaler(scaler, rows)
    if scaler is not None:
        center = np.asarray(scaler["center"], dtype=np.float64)[targets]
        ahead = (ahead - center) / np.asarray(scaler["scale"], dtype=np.float64)[targets]
    plan = WindowPlan(offsets, window=window, horizon=horizon)
    first = plan.starts() + (window if horizon else 0)
    steps = np.arange(horizon or window)
    errors: Doubles = ahead - truth[:, targets][first[:, None] + steps].astype(np.float64)
    errors = errors.reshape(len(errors), -1) if horizon else errors.reshape(-1, len(targets))
    return errors[np.isfinite(errors).all(axis=1)]


def fit_error_statistics(errors: Doubles) -> dict[str, Any]:
    """Mean [D] and whitening matrix [D, D] of errors [n, D], as kept in a model file.

    The squared norm of ``whiten @ (error - mean)`` is the squared Mahalanobis distance.

    Raises
    ------
    ValueError
        If there are fewer errors than `least_errors`.
    """
    if len(errors) < (least := least_errors(errors.shape[1])):
        raise ValueError(
            f"series: expected at least {least} errors of complete windows to estimate the "
            f"covariance of {errors.shape[1]} numbers, got {len(errors)}"
        )
    mean = errors.mean(axis=0)
    covariance = ledoit_wolf(errors - mean)
    # A feature that is predicted without any error must not make the distance infinite.
    covariance += np.eye(len(mean)) * max(1e-12, 1e-9 * float(np.trace(covariance)) / len(mean))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance))
    return {"mean": mean.tolist(), "whiten": whiten.tolist()}
