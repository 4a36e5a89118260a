"""Missing values filled from the past: causal, entity by entity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["fill_forward"]


def fill_forward(features: npt.NDArray[np.floating], offsets: npt.NDArray[np.int64]) -> None:
    """Replace NaN by the last value above it in its entity, in place.

    NaN at the beginning of an entity has no past and stays.

    Parameters
    ----------
    features : ndarray of float, [S, F]
    offsets : ndarray of int, [G+1]
        Entity g owns rows ``offsets[g]:offsets[g+1]``.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.tables.filling import fill_forward
    >>> features = np.array([[1.0], [np.nan], [np.nan], [2.0]])
    >>> fill_forward(features, np.array([0, 2, 4]))
    >>> features[:, 0].tolist()
    [1.0, 1.0, nan, 2.0]
    """
    rows = np.arange(len(features))
    starts = np.zeros(len(features), np.int64)
    first = offsets[:-1][np.diff(offsets) > 0]
    starts[first] = first
    np.maximum.accumulate(starts, out=starts)
    for column in features.T:
        # The last row with a value, or the entity's first row, which then is NaN and stays so.
        source = np.maximum(np.maximum.accumulate(np.where(np.isnan(column), -1, rows)), starts)
        column[:] = column[source]
