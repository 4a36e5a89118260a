"""Scores of a table, where no entity is as long as a window too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.tables.rows import Rows

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = ["score_table"]


def score_table(
    detector: Detector, rows: Rows, *, smoothed: bool = True
) -> npt.NDArray[np.floating[Any]]:
    """Return the scores of rows of a file [S], where no entity is as long as a window too.

    Missing values have been filled if that was asked. ``smoothed`` as of `Detector.score_rows`.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import WindowPCADetector
    >>> from slidecell.detect.table_scores import score_table
    >>> from slidecell.tables.rows import Rows
    >>> detector = WindowPCADetector(window=20).fit(np.sin(np.arange(300) / 5)[:, None])
    >>> score_table(detector, Rows(np.array([[0.5], [0.6]]), np.array([0, 2])))
    array([nan, nan], dtype=float32)
    """
    if np.diff(rows.offsets).max(initial=0) < detector.shortest_series():
        scores = np.full(len(rows), np.nan, np.float32)
        scores[detector.too_large_rows(rows)] = np.inf
        return scores
    return detector.score_rows(rows, fill=False, smoothed=smoothed)
