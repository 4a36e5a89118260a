"""Scores as smoothing and thresholds take them: float64, entity by entity."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

__all__ = ["Floats", "as_scores", "entity_slices", "training_part"]


def as_scores(scores: npt.ArrayLike, *, name: str = "scores") -> Floats:
    """Return scores [S] as float64; NaN and infinity are allowed."""
    array = np.asarray(scores)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if array.ndim != 1:
        raise ValueError(f"{name}: expected [S], got {list(array.shape)}")
    return array.astype(np.float64)


def entity_slices(offsets: npt.ArrayLike | None, S: int) -> list[slice]:
    """Return the rows of each entity: `offsets` [G+1] from 0 to S, None for one entity.

    Examples
    --------
    >>> from slidecell.detect.scores import entity_slices
    >>> entity_slices([0, 2, 5], 5)
    [slice(0, 2, None), slice(2, 5, None)]
    """
    if offsets is None:
        return [slice(0, S)]
    ends = np.asarray(offsets)
    if ends.dtype.kind not in "iu":
        raise TypeError(f"offsets: expected integers, got dtype {ends.dtype}")
    if ends.ndim != 1 or len(ends) == 0:
        raise ValueError(f"offsets: expected [G+1], got {list(ends.shape)}")
    if ends[0] != 0 or ends[-1] != S or (ends[1:] < ends[:-1]).any():
        raise ValueError(
            f"offsets: expected numbers that rise from 0 to {S} (rows of scores), got "
            f"{ends[0]} to {ends[-1]}" + (", falling" if (ends[1:] < ends[:-1]).any() else "")
        )
    return [slice(first, end) for first, end in pairwise(ends.tolist())]


def training_part(training_scores: npt.ArrayLike, *, least: int = 1) -> Floats:
    """Return the finite ones of the training scores [S]; a ValueError if they are too few."""
    scores = as_scores(training_scores, name="training_scores")
    finite = scores[np.isfinite(scores)]
    if len(finite) < least:
        raise ValueError(
            f"training_scores: expected at least {least} finite, got {len(finite)} of {len(scores)}"
        )
    return finite
