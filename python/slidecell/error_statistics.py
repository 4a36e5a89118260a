"""What is known of prediction errors: their covariance, or how large each of them usually is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.scaling import apply_scaler
from slidecell.windows import WindowPlan

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 1 << 16


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


def fit_calibration(errors: Iterable[Doubles]) -> dict[str, Any]:
    """Slopes and intercepts [D] of calibrated errors, as kept in a model file.

    An error e counts as ``max(slope |e| + intercept, 0)``, which is ``max((|e| - m) / s, 0)`` with
    the mean m and the standard deviation s of |e|; s is made larger by 0.01 of the mean of all s
    and by 1e-4, so that what never erred does not weigh without bound.

    Parameters
    ----------
    errors : iterable of ndarray, [n, D]
        In scaled units, in parts.

    Raises
    ------
    ValueError
        If there are fewer than two.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.error_statistics import fit_calibration
    >>> found = fit_calibration([np.array([[0.5], [-0.5]]), np.array([[1.5], [-1.5]])])
    >>> [round(value[0], 3) for value in found.values()]  # m = 1, s = 0.5 + 0.005 + 0.0001
    [1.98, -1.98]
    """
    count, mean, squares = 0, np.zeros(0), np.zeros(0)
    for part in errors:
        if len(part) == 0:
            continue
        sizes = np.abs(part)
        own = sizes.mean(axis=0)
        own_squares = np.square(sizes - own).sum(axis=0)
        if count == 0:
            count, mean, squares = len(part), own, own_squares
            continue
        # Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance".
        total, apart = count + len(part), own - mean
        squares = squares + own_squares + np.square(apart) * (count * len(part) / total)
        mean = mean + apart * (len(part) / total)
        count = total
    if count < 2:
        raise ValueError(
            f"series: expected at least 2 complete windows to calibrate errors, got {count}"
        )
    spread = np.sqrt(squares / count)
    spread = spread + 0.01 * spread.mean() + 1e-4
    return {"slope": (1.0 / spread).tolist(), "intercept": (-mean / spread).tolist()}


def row_parts(offsets: npt.NDArray[np.integer[Any]], span: int) -> Iterator[tuple[slice, Ints]]:
    """Yield parts of rows with their own offsets, which together hold every window once.

    Parameters
    ----------
    offsets : ndarray of int, [G+1]
    span : int
        Rows of a window with its target.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.error_statistics import row_parts
    >>> [(part, bounds.tolist()) for part, bounds in row_parts(np.array([0, 5, 9]), 3)]
    [(slice(0, 9, None), [0, 5, 9])]
    """
    begin, bounds = int(offsets[0]), [0]
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        first = start
        while end - first > _ROWS_AT_ONCE + span:
            if bounds[-1] > 0:
                yield slice(begin, first), np.array(bounds)
            yield (
                slice(first, first + _ROWS_AT_ONCE + span - 1),
                np.array([0, _ROWS_AT_ONCE + span - 1]),
            )
            first += _ROWS_AT_ONCE
            begin, bounds = first, [0]
        bounds.append(end - begin)
        if bounds[-1] > _ROWS_AT_ONCE:
            yield slice(begin, end), np.array(bounds)
            begin, bounds = end, [0]
    if bounds[-1] > 0:
        yield slice(begin, begin + bounds[-1]), np.array(bounds)
