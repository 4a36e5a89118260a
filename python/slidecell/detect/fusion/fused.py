"""The weighted sum of normalised scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from slidecell._arrays import real_array, whole_array
from slidecell.thresholds.scores import Floats

__all__ = ["as_weights", "fuse", "fuse_one"]


def fuse(
    scores: npt.ArrayLike,  # [S,M]
    weights: npt.ArrayLike,  # [M]
) -> Floats:
    """Weighted sum of normalised scores [S,M]: [S].

    Infinity where a member with weight above 0 has it, NaN where one has none; members with weight
    0 take no part. A row's sum runs over the members in their order, so that it does not depend on
    the other rows.

    Parameters
    ----------
    scores : array_like, [S, M]
        One column per member.
    weights : array_like, [M]
        At least 0.

    Returns
    -------
    ndarray of float64, [S]

    Examples
    --------
    >>> from slidecell.detect.fusion import fuse
    >>> nan = float("nan")
    >>> fuse([[1.0, 3.0], [nan, 3.0], [1.0, nan]], [0.0, 2.0]).tolist()
    [6.0, 6.0, nan]
    >>> fuse([[float("inf"), nan]], [0.5, 0.5]).tolist()
    [inf]
    """
    columns = real_array(scores, name="scores").astype(np.float64)
    fused = np.zeros(len(columns))
    # A matrix product would sum in an order that the BLAS and the number of rows decide.
    infinite, negative = np.zeros(len(columns), np.bool_), np.zeros(len(columns), np.bool_)
    with np.errstate(invalid="ignore"):  # infinity less infinity: NaN, no score
        for m, weight in enumerate(np.asarray(weights, np.float64)):
            if weight != 0.0:
                fused += weight * columns[:, m]
                infinite |= np.isposinf(columns[:, m])
                negative |= np.isneginf(columns[:, m])
    fused[infinite & ~negative] = np.inf
    return fused


def fuse_one(scores: Sequence[float], weights: Sequence[float]) -> float:
    """Fuse one row's normalised scores [M]: what `fuse` makes of them, bit for bit.

    Examples
    --------
    >>> from slidecell.detect.fusion.fused import fuse_one
    >>> fuse_one([1.0, 3.0], [0.0, 2.0]), fuse_one([float("inf"), float("nan")], [0.5, 0.5])
    (6.0, inf)
    """
    fused, ends = 0.0, set()
    for score, weight in zip(scores, weights, strict=True):
        if weight != 0.0:
            fused += weight * score
            if math.isinf(score):
                ends.add(score)
    return math.inf if ends == {math.inf} else fused


def as_weights(weights: object, names: list[str]) -> Floats:
    """Return weights [M] with sum 1: equal, or given as a sequence, or by name.

    Parameters
    ----------
    weights : None, sequence of float [M], or mapping of name to float
        A name that is left out has weight 0.
    names : list of str
        The members' names.

    Raises
    ------
    ValueError
        If a name is unknown, their number is another, one is negative or not finite, or all are 0.

    Examples
    --------
    >>> from slidecell.detect.fusion.fused import as_weights
    >>> as_weights({"b": 3.0, "a": 1.0}, ["a", "b"]).tolist()
    [0.25, 0.75]
    """
    M = len(names)
    if weights is None:
        return np.full(M, 1.0 / M)
    if isinstance(weights, Mapping):
        unknown = [name for name in weights if name not in names]
        if unknown:
            raise ValueError(
                f"weights: expected members of {', '.join(map(repr, names))}, got "
                + ", ".join(map(repr, unknown))
            )
        weights = [weights.get(name, 0.0) for name in names]
    array = whole_array(weights, name="weights")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"weights: expected real numbers, got dtype {array.dtype}")
    if array.shape != (M,):
        raise ValueError(f"weights: expected [{M}], one per member, got {list(array.shape)}")
    values = array.astype(np.float64)
    with np.errstate(over="ignore"):
        total = float(values.sum())
    if not (np.isfinite(values).all() and np.isfinite(total) and values.min() >= 0.0 < total):
        raise ValueError(
            "weights: expected finite numbers of at least 0, not all 0, got "
            f"{dict(zip(names, values.tolist(), strict=True))}"
        )
    return np.asarray(values / total)
