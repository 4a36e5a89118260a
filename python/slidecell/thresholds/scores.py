"""Scores as smoothing and thresholds take them: float64, entity by entity."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell.evaluate.inputs import as_offsets, one_dimensional

Floats: TypeAlias = npt.NDArray[np.float64]

__all__ = ["Floats", "as_scores", "entity_slices", "training_part"]


def as_scores(scores: npt.ArrayLike, *, name: str = "scores") -> Floats:
    """Return scores [S] as float64; NaN and infinity are allowed."""
    return one_dimensional(scores, name).astype(np.float64)


def entity_slices(offsets: npt.ArrayLike | None, S: int) -> list[slice]:
    """Return the rows of each entity: `offsets` [G+1] from 0 to S, None for one entity.

    Examples
    --------
    >>> from slidecell.thresholds.scores import entity_slices
    >>> entity_slices([0, 2, 5], 5)
    [slice(0, 2, None), slice(2, 5, None)]
    """
    return [slice(first, end) for first, end in pairwise(as_offsets(offsets, S).tolist())]


def training_part(training_scores: npt.ArrayLike, *, least: int = 1) -> Floats:
    """Return the finite ones of the training scores [S]; a ValueError if they are too few."""
    scores = as_scores(training_scores, name="training_scores")
    finite = scores[np.isfinite(scores)]
    if len(finite) < least:
        raise ValueError(
            f"training_scores: expected at least {least} finite, got {len(finite)} of {len(scores)}"
        )
    return finite
