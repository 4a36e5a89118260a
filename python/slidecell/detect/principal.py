"""What principal components leave over of rows, bit for bit the same however many rows come."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from slidecell.tables.rows import Floats

__all__ = ["mean_squared_residual", "squared_residuals"]

# Rows at a time: two vectors of doubles in a first-level cache of 32 KB.
_CHUNK = 2048


def squared_residuals(values: npt.NDArray[np.floating], mean: Floats, components: Floats) -> Floats:
    """Squares of what the components leave over: [n, D] -> [n, D].

    Parameters
    ----------
    values : ndarray, [n, D]
    mean : ndarray, [D]
    components : ndarray, [k, D]
        Orthonormal rows.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.principal import squared_residuals
    >>> squared_residuals(np.array([[3.0, 4.0]]), np.zeros(2), np.array([[1.0, 0.0]])).tolist()
    [[0.0, 16.0]]
    """
    result = np.empty(values.shape)
    for rows, squares in _chunks(values, mean, components):
        result[rows] = squares.T
    return result


def mean_squared_residual(
    values: npt.NDArray[np.floating], mean: Floats, components: Floats
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
    for rows, squares in _chunks(values, mean, components):
        for column in squares:
            result[rows] += column
    result /= values.shape[1]
    return result


def _chunks(
    values: npt.NDArray[np.floating], mean: Floats, components: Floats
) -> Iterator[tuple[slice, Floats]]:
    """Squared residuals of some rows at a time, [D, n].

    Sums run over columns in their order, one vector of rows at a time. A matrix product would be
    faster and round differently with the number of rows: BLAS has other kernels for remainders.
    """
    for first in range(0, len(values), _CHUNK):
        rows = slice(first, first + _CHUNK)
        with np.errstate(over="ignore", invalid="ignore"):
            columns = np.ascontiguousarray((values[rows] - mean).T)
            residuals = columns.copy()
            product = np.empty(columns.shape[1])
            for component in components:
                code = np.zeros(columns.shape[1])
                for column, weight in zip(columns, component, strict=True):
                    code += np.multiply(column, weight, out=product)
                for residual, weight in zip(residuals, component, strict=True):
                    np.subtract(residual, np.multiply(code, weight, out=product), out=residual)
            yield rows, np.square(residuals, out=residuals)
