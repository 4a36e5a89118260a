"""What names the columns of a live run's events: a detector, asked once for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from slidecell.detect.event_shares import (
    MOST_COLUMNS,
    MOST_ROWS,
    driving_columns,
    mean_shares,
    stated_threshold,
)
from slidecell.tables.rows import Rows

if TYPE_CHECKING:
    from slidecell.detect.base import Detector

__all__ = ["Explainer"]


class Explainer:
    """Names the columns that drive an event, as the batch does from the same rows.

    Parameters
    ----------
    detector : Detector
        Fitted, with `has_feature_parts`.
    rows : int
        How many rows a score depends on, its own the last.

    Attributes
    ----------
    features : int
        Of a row.
    rows : int
        As given.
    most : int
        Rows of an event that are asked for, its highest.
    columns : int
        That are named of an event at most.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ZScoreDetector
    >>> from slidecell.live.explainer import Explainer
    >>> detector = ZScoreDetector(threshold=2.0).fit(np.eye(4)[:, :2])
    >>> Explainer.of(detector).named([np.array([9.0, 0.0]).tobytes()], [9.0])[0][0]
    0
    """

    most = MOST_ROWS

    def __init__(self, detector: Detector, rows: int) -> None:
        self.rows = rows
        self.features: int = detector.n_features_in_
        self.columns = min(MOST_COLUMNS, self.features)
        self._detector = detector
        self._threshold = stated_threshold(detector)

    @classmethod
    def of(cls, detector: Detector) -> Explainer | None:
        """Return that of a detector; None if the last rows do not tell columns.

        So it is where it has no score per feature, where scores are smoothed by all scores before
        them, and where they depend on later rows.
        """
        if not detector.has_feature_parts:
            return None
        try:
            rows, smoothing = detector.rows_in_parts()
        except ValueError:
            return None
        return cls(detector, rows) if smoothing is None else None

    def named(
        self, windows: Sequence[bytes], scores: Sequence[float]
    ) -> tuple[tuple[int, float], ...]:
        """Return the numbers of the columns with the largest shares, and these: the largest first.

        Parameters
        ----------
        windows : sequence of bytes, [n]
            Flagged rows of an event, each with those before it: float64 [<= rows, F].
        scores : sequence of float, [n]
            Of these rows.
        """
        if not windows:
            return ()
        tables = [np.frombuffer(window).reshape(-1, self.features) for window in windows]
        lengths = [len(table) for table in tables]
        if max(lengths) < self.rows:  # a table of which no row has a score may be refused
            tables.append(np.zeros((self.rows, self.features)))
            lengths.append(self.rows)
        ends = np.cumsum(lengths)
        table = Rows(np.concatenate(tables), np.concatenate([[0], ends]), source="rows")
        shares = self._detector.shares_at(table, ends[: len(windows)] - 1)
        return tuple(driving_columns(mean_shares(shares, np.array(scores), self._threshold)))
