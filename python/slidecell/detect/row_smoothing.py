"""Smoothing of a detector's scores over neighbouring rows: those before a row, or around it."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell import _core
from slidecell.tables.rows import Floats, Rows

__all__ = ["ALIGNMENTS", "Align", "columns_of_means", "smooth_rows"]

Align: TypeAlias = Literal["end", "cover"]

ALIGNMENTS = ("end", "cover")


def smooth_rows(
    scores: npt.NDArray[Any], rows: Rows, *, length: int, align: Align, num_threads: int | None
) -> npt.NDArray[Any]:
    """Return the means of the finite scores of ``length`` rows, [S] or [S, F].

    ``align="end"``: of the last ones, a row's own among them, as `TrailingMean` does it in streams,
    bit for bit. ``align="cover"``: of as many rows around it. A row without a score has none, and
    one that is infinite stays so.

    Parameters
    ----------
    scores : ndarray, [S] or [S, F]
        Numbers of float32, of whatever type.
    rows : Rows
        Whose scores they are; no mean crosses an entity.
    length : int
        1: the scores themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.row_smoothing import smooth_rows
    >>> from slidecell.tables.rows import Rows
    >>> rows = Rows(np.zeros((4, 1)), np.array([0, 3, 4]))
    >>> scores = np.array([1, 3, np.nan, 5], np.float32)
    >>> smooth_rows(scores, rows, length=2, align="end", num_threads=1)
    array([ 1.,  2., nan,  5.])
    >>> smooth_rows(scores, rows, length=3, align="cover", num_threads=1)
    array([ 2.,  2., nan,  5.])
    """
    if length == 1:
        return scores
    scores = np.asarray(scores, np.float32)
    after = (length - 1) // 2 if align == "cover" else 0
    return columns_of_means(
        scores, rows, before=length - 1 - after, after=after, own=True, num_threads=num_threads
    )


def columns_of_means(
    scores: npt.NDArray[np.float32],
    rows: Rows,
    *,
    before: int,
    after: int,
    own: bool,
    num_threads: int | None,
) -> Floats:
    """Return the means of the finite scores of neighbouring rows, of each column: [S] or [S, F].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.row_smoothing import columns_of_means
    >>> from slidecell.tables.rows import Rows
    >>> rows = Rows(np.zeros((4, 1)), np.array([0, 3, 4]))
    >>> scores = np.array([1, 3, np.nan, 5], np.float32)
    >>> columns_of_means(scores, rows, before=1, after=0, own=True, num_threads=1)
    array([ 1.,  2., nan,  5.])
    """
    if scores.ndim == 1:
        return _core.row_means(
            scores, rows.offsets, before=before, after=after, own=own, num_threads=num_threads
        )
    means = [
        _core.row_means(
            np.ascontiguousarray(column),
            rows.offsets,
            before=before,
            after=after,
            own=own,
            num_threads=num_threads,
        )
        for column in scores.T
    ]
    return np.stack(means, axis=1)
