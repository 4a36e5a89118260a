"""Metrics by entity: one score for each, and how often each raises an alarm."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from slidecell._arrays import plain_array
from slidecell.evaluate.inputs import (
    Bools,
    Floats,
    as_flags,
    as_labels,
    as_offsets,
    as_scores,
    runs_of,
)

__all__ = ["alarms_per", "label_entities", "rank_entities"]


def rank_entities(
    scores: npt.ArrayLike,
    offsets: npt.ArrayLike,
    how: Literal["max", "mean_top"] = "max",
    *,
    top: int = 5,
) -> Floats:
    """Return one score for each entity, from those of its rows [S]: float64 [G].

    Compare them with `label_entities` by `roc_auc`, `precision_at_k` or `recall_at_k`. An entity
    without a score has NaN.

    Parameters
    ----------
    scores : array_like, [S]
        NaN where there is none.
    offsets : array_like of int, [G+1]
        Entity g owns rows ``offsets[g]:offsets[g+1]``.
    how : {"max", "mean_top"}
        The highest score, or the mean of the ``top`` highest ones (of all, where they are fewer):
        one odd row then does not outweigh many.
    top : int
        At least 1.

    Examples
    --------
    >>> from slidecell.evaluate import rank_entities
    >>> rank_entities([0.1, 0.9, 0.5, 0.6, float("nan")], [0, 2, 4, 5]).tolist()
    [0.9, 0.6, nan]
    >>> rank_entities([0.1, 0.9, 0.5, 0.6], [0, 2, 4], "mean_top", top=2).tolist()
    [0.5, 0.55]
    """
    if how not in {"max", "mean_top"}:
        raise ValueError(f"how: expected 'max' or 'mean_top', got {how!r}")
    if isinstance(top, bool) or not isinstance(top, (int, np.integer)) or top < 1:
        raise ValueError(f"top: expected a whole number >= 1, got {top!r}")
    values = plain_array(scores, name="scores")
    values = as_scores(values, len(values) if values.ndim else 0)
    bounds = as_offsets(offsets, len(values))
    entity = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    scored = ~np.isnan(values)
    entity, values = entity[scored], values[scored]
    order = np.lexsort((-values, entity))
    entity, values = entity[order], values[order]
    count = np.bincount(entity, minlength=len(bounds) - 1)
    place = np.arange(len(values)) - np.repeat(np.cumsum(count) - count, count)
    best = place < (1 if how == "max" else top)
    total = np.bincount(entity[best], values[best], len(bounds) - 1)
    taken = np.bincount(entity[best], minlength=len(bounds) - 1)
    return np.where(taken > 0, total / np.maximum(taken, 1), np.nan)


def label_entities(labels: npt.ArrayLike, offsets: npt.ArrayLike) -> Bools:
    """Return whether each entity has an anomaly among its rows' labels [S]: bool [G].

    Examples
    --------
    >>> from slidecell.evaluate import label_entities
    >>> label_entities([0, 1, 0, 0], [0, 2, 4]).tolist()
    [True, False]
    """
    truth = as_labels(labels)
    bounds = as_offsets(offsets, len(truth))
    before = np.concatenate(([0], np.cumsum(truth)))
    return np.asarray(before[bounds[1:]] > before[bounds[:-1]])


def alarms_per(
    flags: npt.ArrayLike,
    rows: int,
    offsets: npt.ArrayLike | None = None,
    *,
    merge: bool = False,
) -> float | None:
    """Mean number of alarms in so many rows of an entity: 30 daily rows make a user's month.

    Parameters
    ----------
    flags : array_like, [S]
    rows : int
        At least 1.
    offsets : array_like of int, [G+1], optional
        With ``merge``: a run of flags ends where its entity does.
    merge : bool
        Count runs of flagged rows rather than rows.

    Returns
    -------
    float
        None without rows.

    Examples
    --------
    >>> from slidecell.evaluate import alarms_per
    >>> alarms_per([0, 1, 1, 0, 0, 0, 0, 0, 0, 1], 5)
    1.5
    >>> alarms_per([0, 1, 1, 0, 0, 0, 0, 0, 0, 1], 5, merge=True)
    1.0
    """
    if isinstance(rows, bool) or not isinstance(rows, (int, np.integer)) or rows < 1:
        raise ValueError(f"rows: expected a whole number >= 1, got {rows!r}")
    array = plain_array(flags, name="flags")
    flagged = as_flags(array, len(array) if array.ndim else 0)
    first, _ = runs_of(flagged, as_offsets(offsets, len(flagged)))
    alarms = len(first) if merge else int(np.count_nonzero(flagged))
    return rows * alarms / len(flagged) if len(flagged) else None
