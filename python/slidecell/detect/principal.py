"""What principal components leave over of rows, bit for bit the same however many rows come."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.tables.rows import Floats

__all__ = [
    "Fixed",
    "check_n_components",
    "components_wanted",
    "contributions",
    "mean_squared_residual",
    "numerical_rank",
    "squared_residuals",
]

# Rows at a time: two vectors of doubles in a first-level cache of 32 KB.
_CHUNK = 2048
# Of so few rows, as streams have, the calls of numpy cost more than their sums do.
_FEW = 16

# Of a value of 1, the square that rounding may leave.
_NOTHING = 1e-20


@dataclass(frozen=True)
class Fixed:
    """Directions in which training rows do not vary: of constant and of dependent columns.

    A row that leaves them is no more usual than it is far: its distance counts in units of what
    the rounding of float32 could explain.

    Attributes
    ----------
    varying : ndarray, [q, D]
        With the components that are kept, all directions in which training rows vary.
    units : ndarray, [D]
        Of each column, above 0.
    """

    varying: Floats
    units: Floats


def check_n_components(n: float) -> None:
    """Raise an error unless ``n_components`` is a number of components or a share of the variance.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is no whole number >= 1, and no share between 0 and 1.

    Examples
    --------
    >>> from slidecell.detect.principal import check_n_components
    >>> check_n_components(3), check_n_components(0.9)
    (None, None)
    """
    if isinstance(n, bool) or not isinstance(n, numbers.Real):
        raise TypeError(f"n_components: expected a number, got {n!r}")
    if not n > 0 or n == math.inf or (n >= 1 and int(n) != n):
        raise ValueError(
            f"n_components: expected a whole number of components >= 1, or a share of the "
            f"variance between 0 and 1, got {n!r}"
        )


def components_wanted(n: float, ratios: Floats) -> int:
    """Return how many components ``n_components`` asks for.

    ``ratios`` [k] are the shares of the variance that each explains. A share is reached at the
    first component that brings their sum to it.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.principal import components_wanted
    >>> components_wanted(0.9, np.array([0.7, 0.25, 0.05])), components_wanted(5, np.ones(1))
    (2, 5)
    """
    return int(n) if n >= 1 else int(np.searchsorted(np.cumsum(ratios), n)) + 1


def numerical_rank(singular: Floats, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Return the rank of centred rows [n, D] by their singular values, as numpy's matrix_rank.

    Numbers that came as float32 or float16 are rounded by up to eps each, whatever n.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.principal import numerical_rank
    >>> numerical_rank(np.array([3.0, 1.0, 1e-15]), (500, 3), np.dtype(np.float64))
    2
    """
    coarse = dtype.kind == "f" and dtype.itemsize < 8
    relative = max(
        float(np.finfo(np.float64).eps) * max(shape),
        4.0 * float(np.finfo(dtype).eps) if coarse else 0.0,
    )
    return int((singular > singular.max(initial=0.0) * relative).sum())


def squared_residuals(
    values: npt.NDArray[np.floating], mean: Floats, components: Floats, fixed: Fixed | None = None
) -> Floats:
    """Squares of what the components leave over: [n, D] -> [n, D].

    Parameters
    ----------
    values : ndarray, [n, D]
    mean : ndarray, [D]
    components : ndarray, [k, D]
        Orthonormal rows.
    fixed : Fixed, optional
        Directions that count more.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.principal import squared_residuals
    >>> squared_residuals(np.array([[3.0, 4.0]]), np.zeros(2), np.array([[1.0, 0.0]])).tolist()
    [[0.0, 16.0]]
    """
    result = np.empty(values.shape)
    for rows, squares in _chunks(values, mean, components, fixed):
        result[rows] = squares.T
    return result


def mean_squared_residual(
    values: npt.NDArray[np.floating], mean: Floats, components: Floats, fixed: Fixed | None = None
) -> Floats:
    """Mean of `squared_residuals` over the columns: [n, D] -> [n].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.principal import mean_squared_residual
    >>> mean_squared_residual(np.array([[3.0, 4.0]]), np.zeros(2), np.array([[1.0, 0.0]]))
    array([8.])
    """
    result = np.zeros(len(values))
    for rows, squares in _chunks(values, mean, components, fixed):
        if squares.shape[1] <= _FEW:
            result[rows] = np.add.accumulate(squares, axis=0)[-1]
            continue
        for column in squares:
            result[rows] += column
    result /= values.shape[1]
    return result


def contributions(
    values: npt.NDArray[np.floating], mean: Floats, components: Floats, fixed: Fixed | None = None
) -> Floats:
    """Return how much each column alone could take from the squared residual: [n, D] -> [n, D].

    A value that is off in one column leaves a residual in all that the components join with it, so
    that the largest squared residual may be another's. What counts here is by how much the sum of
    squares falls where one column takes the value that suits the others best: the
    reconstruction-based contribution of Alcala and Qin [1]_. If one column alone is off, it has the
    largest.

    References
    ----------
    .. [1] C. F. Alcala, S. J. Qin (2009), "Reconstruction-based contribution for process
       monitoring", Automatica 45(7).

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.principal import contributions, squared_residuals
    >>> component = np.array([[0.8, 0.6, 0.0]])
    >>> off = np.array([[2.0, 0.0, 0.5]])  # in the first column, and a little in the last
    >>> squared_residuals(off, np.zeros(3), component).round(2).tolist()
    [[0.52, 0.92, 0.25]]
    >>> contributions(off, np.zeros(3), component).round(2).tolist()
    [[1.44, 1.44, 0.25]]
    """
    sizes = _sizes(components, fixed)
    result = np.empty(values.shape)
    for first in range(0, len(values), _CHUNK):
        rows = slice(first, first + _CHUNK)
        with np.errstate(over="ignore", invalid="ignore"):
            residuals = _residuals(np.ascontiguousarray((values[rows] - mean).T), components, fixed)
            falls = _without(residuals, residuals, components)
            if fixed is not None:
                weighted = residuals * (1.0 / fixed.units - 1.0)[:, None]
                falls += weighted
                falls = _without(falls, weighted, components)
                falls = _without(falls, weighted, fixed.varying)
            result[rows] = np.square(falls).T
    # What the components explain whole leaves nothing, whatever its value is.
    return np.divide(result, sizes, out=np.zeros_like(result), where=sizes > _NOTHING)


def _sizes(components: Floats, fixed: Fixed | None) -> Floats:
    """Return the sum of squares that a value of 1 in one column alone leaves over, [D]."""
    D = components.shape[1]
    sizes = np.empty(D)
    for first in range(0, D, _CHUNK):
        last = min(first + _CHUNK, D)
        alone = np.zeros((D, last - first))
        alone[np.arange(first, last), np.arange(last - first)] = 1.0
        sizes[first:last] = np.square(_residuals(alone, components, fixed)).sum(axis=0)
    return sizes


def _chunks(
    values: npt.NDArray[np.floating], mean: Floats, components: Floats, fixed: Fixed | None
) -> Iterator[tuple[slice, Floats]]:
    """Squared residuals of some rows at a time, [D, n].

    Sums run over columns in their order, one vector of rows at a time. A matrix product would be
    faster and round differently with the number of rows: BLAS has other kernels for remainders.
    """
    for first in range(0, len(values), _CHUNK):
        rows = slice(first, first + _CHUNK)
        with np.errstate(over="ignore", invalid="ignore"):
            columns = np.ascontiguousarray((values[rows] - mean).T)
            yield rows, np.square(_residuals(columns, components, fixed))


def _residuals(columns: Floats, components: Floats, fixed: Fixed | None) -> Floats:
    """Return what is left over of columns [D, n]."""
    residuals = _without(columns, columns, components)
    if fixed is not None:
        outside = _without(residuals, columns, fixed.varying)
        residuals += outside * (1.0 / fixed.units - 1.0)[:, None]
    return residuals


def _without(given: Floats, columns: Floats, components: Floats) -> Floats:
    """Return given [D, n] without what the components [k, D] are of columns [D, n]."""
    if columns.shape[1] <= _FEW:
        return _without_of_few(given, columns, components)
    residuals = given.copy()
    product = np.empty(columns.shape[1])
    for component in components:
        code = np.zeros(columns.shape[1])
        for column, weight in zip(columns, component, strict=True):
            code += np.multiply(column, weight, out=product)
        for residual, weight in zip(residuals, component, strict=True):
            np.subtract(residual, np.multiply(code, weight, out=product), out=residual)
    return residuals


def _without_of_few(given: Floats, columns: Floats, components: Floats) -> Floats:
    """Do as `_without`, in the same order and so with the same bits, in few calls of numpy."""
    parts = components.T[:, :, None] * columns[:, None, :]
    codes = np.add.accumulate(parts, axis=0)[-1]  # [k, n]
    steps = np.empty((len(components) + 1, *given.shape))
    steps[0] = given
    np.multiply(codes[:, None, :], components[:, :, None], out=steps[1:])
    return np.asarray(np.subtract.accumulate(steps, axis=0)[-1])
