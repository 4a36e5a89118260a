"""The order of time, which metrics, thresholds and smoothing need, of rows that are in none."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from slidecell.frames import is_frame
from slidecell.tables.rows import Ints, _entity_codes, _order, _runs

__all__ = ["time_order"]


def time_order(
    frame: Any, *, entity: Hashable | None = None, time: Hashable | None = None
) -> tuple[Ints, Ints]:
    """Sort the S rows of a DataFrame by entity and time, as detectors do inside.

    Detectors answer in the order of the rows that they are given. What looks at neighbours takes
    ``scores[order]`` with ``offsets``: `slidecell.evaluate`, thresholds, smoothing. Its answer goes
    back by ``answer[numpy.argsort(order)]``.

    Parameters
    ----------
    frame : DataFrame
        Of pandas or polars.
    entity : hashable, optional
        Column of keys. Default: one entity.
    time : hashable, optional
        Column of numbers, dates or text that is one. Default: rows of an entity stay in their
        order. So do equal times.

    Returns
    -------
    order : ndarray of int64, [S]
        The input row of each row in order.
    offsets : ndarray of int64, [G+1]
        Entity g owns rows ``order[offsets[g]:offsets[g+1]]``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from slidecell.detect import time_order
    >>> from slidecell.thresholds.smoothing import EWMA
    >>> frame = pd.DataFrame({"user": ["b", "a", "b", "a"], "day": [2, 2, 1, 1]})
    >>> order, offsets = time_order(frame, entity="user", time="day")
    >>> order.tolist(), offsets.tolist()
    ([3, 1, 2, 0], [0, 2, 4])
    >>> scores = np.array([0.75, 3.0, 0.25, 1.0])
    >>> EWMA(0.5).apply(scores[order], offsets)[np.argsort(order)].tolist()
    [0.5, 2.0, 0.25, 1.0]
    """
    if not is_frame(frame):
        raise TypeError(f"frame: expected a DataFrame, got {type(frame).__name__}")
    for role, column in (("entity", entity), ("time", time)):
        times = list(frame.columns).count(column)
        if column is not None and times != 1:
            what = f"has no column {column!r}" if times == 0 else f"has {column!r} {times} times"
            raise ValueError(f"{role}: frame {what}")
    codes = _entity_codes(frame, entity)
    order = _order(frame, codes, time)
    return order, _runs(codes[order])
