"""Checks of labels, scores and flags, and their runs of rows within an entity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell._arrays import integer_array, plain_array

Bools: TypeAlias = npt.NDArray[np.bool_]
Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

_GREATEST = np.finfo(np.float64).max / 2  # the difference of two scores must not overflow

__all__ = [
    "Bools",
    "Floats",
    "Ints",
    "Scored",
    "as_flags",
    "as_labels",
    "as_offsets",
    "as_scores",
    "as_window",
    "one_dimensional",
    "runs_of",
    "scored_part",
]


def as_labels(
    labels: npt.ArrayLike, S: int | None = None, *, name: str = "labels", rows: str = "scores"
) -> Bools:
    """Check labels [S] of 0 and 1, or False and True, as many as there are ``rows``: bool [S].

    Examples
    --------
    >>> from slidecell.evaluate.inputs import as_labels
    >>> as_labels([0, 1.0]).tolist()
    [False, True]
    """
    array = one_dimensional(labels, name)
    _need_rows(array, S, name, rows)
    wrong = (array != 0) & (array != 1)  # NaN is neither
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{name}: expected 0 or 1 (1 = anomaly), got {array[row]} in row {row}")
    return array.astype(np.bool_)


def as_flags(flags: npt.ArrayLike, S: int) -> Bools:
    """Check flags [S] of 0 and 1, as many as there are labels: bool [S]."""
    return as_labels(flags, S, name="flags", rows="labels")


def as_scores(scores: npt.ArrayLike, S: int) -> Floats:
    """Check scores, as many as there are labels: float64 [S], finite or NaN.

    An infinite score, which a detector gives where an error overflows, becomes half the greatest
    float64 (or minus that): it stays the highest, and can be subtracted.

    Examples
    --------
    >>> from slidecell.evaluate.inputs import as_scores
    >>> as_scores([float("inf"), 0.5, float("nan")], 3).tolist()
    [8.988465674311579e+307, 0.5, nan]
    """
    array = one_dimensional(scores, "scores").astype(np.float64)
    _need_rows(array, S, "scores", "labels")
    return np.clip(array, -_GREATEST, _GREATEST)


def as_offsets(offsets: npt.ArrayLike | None, S: int) -> Ints:
    """Check offsets that rise from 0 to S, or make those of one entity: int64 [G+1]."""
    if offsets is None:
        return np.array([0, S], np.int64)
    array = integer_array(offsets, name="offsets")
    if array.dtype.kind not in "iu":
        raise TypeError(f"offsets: expected integers, got dtype {array.dtype}")
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"offsets: expected [G+1], got {list(array.shape)}")
    bounds = array.astype(np.int64)
    falling = (bounds[1:] < bounds[:-1]).any()
    if bounds[0] != 0 or bounds[-1] != S or falling:
        raise ValueError(
            f"offsets: expected numbers that rise from 0 to {S} (rows), got "
            f"{bounds[0]} to {bounds[-1]}" + (", falling" if falling else "")
        )
    return bounds


def as_window(name: str, value: Any) -> int:
    """Return a parameter that must be a whole number of rows, 0 included.

    Examples
    --------
    >>> from slidecell.evaluate.inputs import as_window
    >>> as_window("vus_window", 100)
    100
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(f"{name}: expected a whole number >= 0, got {value!r}")
    return int(value)


@dataclass(frozen=True)
class Scored:
    """The rows that have a score; rows without one are removed, and their entity closes up.

    Parameters
    ----------
    labels : bool array, [n]
    scores : float64 array, [n]
    offsets : int64 array, [G+1]
    kept : bool array, [S]
        Which of all rows these are.
    """

    labels: Bools
    scores: Floats
    offsets: Ints
    kept: Bools

    @property
    def both_classes(self) -> bool:
        """Whether there are anomalies and normal rows, as curves need them."""
        return 0 < int(self.labels.sum()) < len(self.labels)


def scored_part(
    labels: npt.ArrayLike, scores: npt.ArrayLike, offsets: npt.ArrayLike | None = None
) -> Scored:
    """Check labels [S], scores [S] and offsets [G+1], and drop rows without a score (NaN).

    Examples
    --------
    >>> from slidecell.evaluate.inputs import scored_part
    >>> part = scored_part([0, 1, 1, 0], [float("nan"), 0.5, 0.7, 0.1], offsets=[0, 2, 4])
    >>> part.labels.tolist(), part.offsets.tolist()
    ([True, True, False], [0, 1, 3])
    """
    truth = as_labels(labels)
    values = as_scores(scores, len(truth))
    bounds = as_offsets(offsets, len(truth))
    kept = ~np.isnan(values)
    before = np.concatenate(([0], np.cumsum(kept))).astype(np.int64)
    return Scored(truth[kept], values[kept], before[bounds], kept)


def runs_of(rows: Bools, offsets: Ints) -> tuple[Ints, Ints]:
    """Find runs of True rows [S] within an entity: first rows [M], rows after the last [M].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.evaluate.inputs import runs_of
    >>> first, end = runs_of(np.array([1, 1, 0, 1, 1], bool), np.array([0, 4, 5]))
    >>> first.tolist(), end.tolist()
    ([0, 3, 4], [2, 4, 5])
    """
    S = len(rows)
    edge = np.zeros(S + 1, np.bool_)  # where an entity begins, or the last one ends
    edge[offsets] = True
    first, end = rows.copy(), rows.copy()
    first[1:] &= ~rows[:-1] | edge[1:S]
    end[:-1] &= ~rows[1:] | edge[1:S]
    return np.flatnonzero(first), np.flatnonzero(end) + 1


def one_dimensional(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Check that real numbers [S] are given: an array of their dtype.

    Examples
    --------
    >>> from slidecell.evaluate.inputs import one_dimensional
    >>> one_dimensional([1, 2], "scores").tolist()
    [1, 2]
    """
    array = plain_array(values, name=name)
    if array.dtype.kind not in "biuf":
        if array.size == 0 and array.dtype.kind == "O":
            return np.zeros(0)
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name}: expected [S], got {list(array.shape)}")
    return array


def _need_rows(array: npt.NDArray[Any], S: int | None, name: str, rows: str) -> None:
    if S is not None and len(array) != S:
        raise ValueError(f"{name}: expected [{S}] (rows of {rows}), got [{len(array)}]")
