"""Mean and shrunk covariance of prediction errors, for the Mahalanobis distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.frames import match_features
from slidecell.scaling import apply_scaler
from slidecell.windows import WindowPlan

if TYPE_CHECKING:
    from slidecell.model import SequenceModel

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


def fit_error_statistics(
    model: SequenceModel, series: npt.ArrayLike, offsets: npt.ArrayLike | None
) -> dict[str, Any]:
    """Mean [D] and whitening matrix [D, D] of the model's errors, as kept in a model file.

    D is horizon * targets for a forecaster and the number of targets for an autoencoder, whose
    every reconstructed row is one error. The squared norm of ``whiten @ (error - mean)`` is the
    squared Mahalanobis distance.
    """
    rows = np.asarray(match_features(series, model.features))
    bounds = np.array([0, len(rows)]) if offsets is None else np.asarray(offsets)
    predicted = model.predict(rows, bounds).astype(np.float64)
    scaler = model.scaler
    targets = model.metadata["targets"] or list(range(model.input_size))
    truth = rows if scaler is None else apply_scaler(scaler, rows)
    if scaler is not None:
        center = np.asarray(scaler["center"], dtype=np.float64)[targets]
        predicted = (predicted - center) / np.asarray(scaler["scale"], dtype=np.float64)[targets]
    plan = WindowPlan(bounds, window=model.window, horizon=model.horizon)
    first = plan.starts() + (model.window if model.horizon else 0)
    steps = np.arange(model.horizon or model.window)
    errors = predicted - truth[:, targets][first[:, None] + steps].astype(np.float64)
    errors = errors.reshape(len(errors), -1) if model.horizon else errors.reshape(-1, len(targets))
    errors = errors[np.isfinite(errors).all(axis=1)]
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
