"""The columns that drive an event: shares of the scores of its highest flagged rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.tables.rows import Floats

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = ["MOST_COLUMNS", "MOST_ROWS", "driving_columns", "mean_shares", "stated_threshold"]

MOST_ROWS = 100  # of an event, its highest: they have nearly all of the weight
MOST_COLUMNS = 3  # named for each event


def mean_shares(
    shares: Floats,  # [n, F]
    scores: npt.NDArray[Any],  # [n]
    threshold: float | None,
) -> Floats:
    """Return the mean share [F] of an event's rows, weighted by how far they lie above a threshold.

    Weights are equal without a threshold, and infinite scores have all of it. Rows without shares
    are left out; of an event that has no others every share is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.event_shares import mean_shares
    >>> mean_shares(np.array([[1.0, 0.0], [0.25, 0.75]]), np.array([4.0, 3.5]), 3.0).tolist()
    [0.75, 0.25]
    """
    weights = _weights(scores, threshold)
    known = ~np.isnan(shares).any(axis=1)
    total = weights[known] @ np.maximum(shares[known], 0.0)
    whole = total.sum()
    return np.asarray(total / whole) if whole > 0.0 else np.full(shares.shape[1], np.nan)


def _weights(scores: npt.NDArray[Any], threshold: float | None) -> Floats:
    """Return the weights [n] of rows by their scores [n], the greatest 1."""
    infinite = np.isposinf(scores)
    if infinite.any():
        return infinite.astype(np.float64)
    if threshold is None:
        return np.ones(len(scores))
    # Halves cannot overflow.
    above = np.maximum(scores.astype(np.float64) / 2 - threshold / 2, 0.0)
    greatest = above.max()
    return above / greatest if greatest > 0.0 else np.ones(len(scores))


def driving_columns(shares: Floats) -> list[tuple[int, float]]:
    """Return the columns with the largest of the shares [F], and these: the largest first.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.event_shares import driving_columns
    >>> driving_columns(np.array([0.25, 0.0, 0.75]))
    [(2, 0.75), (0, 0.25)]
    """
    largest = np.argsort(-shares, kind="stable")[:MOST_COLUMNS]  # NaN, which is not above 0, last
    return [(c, float(shares[c])) for c in largest.tolist() if shares[c] > 0.0]


def stated_threshold(detector: Detector) -> float | None:
    """Return the value above which a detector flags scores; None where its rule is no single one.

    Examples
    --------
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.detect.event_shares import stated_threshold
    >>> stated_threshold(ZScoreDetector(threshold=2.5).fit([[0.0], [1.0], [2.0]]))
    2.5
    """
    rule: Mapping[str, Any] | None = detector.threshold_state()
    value = None if rule is None else rule.get("value")
    return None if value is None else float(value)
