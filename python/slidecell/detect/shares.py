"""How a score is shared out among features, and scores of chosen rows at their own price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arrays import integer_array
from slidecell.tables.rows import Floats, Ints, Rows

__all__ = [
    "chosen_places",
    "scores_at",
    "share_out",
    "shares_of_maximum",
    "shares_of_sum",
    "spread_shares",
]


def chosen_places(rows: npt.ArrayLike | None, known: Rows) -> Ints:
    """Return the places [n] of the chosen input rows among the rows in order; None: all."""
    S = len(known)
    places = np.arange(S)
    if known.order is not None:
        places[known.order] = np.arange(S)
    if rows is None:
        return places
    chosen = integer_array(rows, name="rows")
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise ValueError(
            f"rows: expected [n] integers, got {list(chosen.shape)} of dtype {chosen.dtype}"
        )
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < S):
        raise ValueError(
            f"rows: expected 0 to {S - 1} (rows of X), got {chosen.min()} to {chosen.max()}"
        )
    return places[chosen.astype(np.int64)]


def scores_at(
    rows: Rows, chosen: Ints, needed: int | None, score: Callable[[Rows], npt.NDArray[Any]]
) -> Floats:
    """Score the `needed` rows that end at each chosen one; all rows where that is less work.

    Parameters
    ----------
    rows : Rows
    chosen : ndarray of int64, [n]
        Places in ``rows``.
    needed : int or None
        Rows that a score depends on, its own the last; None: unknown, so all are scored.
    score : callable
        Gets rows [S'] and returns their scores, [S'] or [S', F].

    Returns
    -------
    ndarray of float64, [n] or [n, F]
    """
    if needed is None or len(chosen) * needed >= len(rows):
        return np.asarray(score(rows)[chosen], np.float64)
    starts = rows.offsets[np.searchsorted(rows.offsets, chosen, side="right") - 1]
    lengths = np.minimum(chosen - starts + 1, needed)
    if not (lengths == needed).any():  # NaN, or a refusal: as of all rows
        return np.asarray(score(rows)[chosen], np.float64)
    # Near the beginning of an entity there are fewer rows, and there may be a score all the same.
    ends = np.cumsum(lengths)
    places = np.repeat(chosen - ends + 1, lengths) + np.arange(ends[-1])
    short = Rows(
        rows.features[places],
        np.concatenate([[0], ends]),
        names=rows.names,
        source=rows.source,
    )
    return np.asarray(score(short)[ends - 1], np.float64)


def share_out(scores: Floats, shares: Floats) -> Floats:
    """Return parts [n, F] of scores [n]; without a share of an infinite one a feature has 0."""
    given = (shares != 0.0) | ~np.isinf(scores[:, None])
    return np.multiply(scores[:, None], shares, out=np.zeros_like(shares), where=given)


def shares_of_sum(errors: Floats) -> Floats:
    """Return shares [n, F] of errors of at least 0; equal ones where there is no error.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.shares import shares_of_sum
    >>> shares_of_sum(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [[0.25, 0.75], [0.5, 0.5]]
    """
    errors = _finite(errors)
    total = errors.sum(axis=1, keepdims=True)
    shares = errors / np.where(total == 0.0, 1.0, total)
    return np.where(total == 0.0, 1.0 / errors.shape[1], shares)


def spread_shares(shares: Floats, targets: Sequence[int] | None, features: int) -> Floats:
    """Return the shares [n, T] of the columns that a model predicts as those of all: [n, F].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.shares import spread_shares
    >>> spread_shares(np.array([[0.25, 0.75]]), [2, 0], 3).tolist()
    [[0.75, 0.0, 0.25]]
    """
    if targets is None:
        return shares
    spread = np.zeros((len(shares), features))
    spread[:, targets] = shares
    return spread


def shares_of_maximum(errors: Floats) -> Floats:
    """Return shares [n, F] of the maximum: Shapley values, in closed form [1]_, over their sum.

    The least error is reached by all F features, which share it; what the next one adds is shared
    by the F - 1 others, and so on.

    References
    ----------
    .. [1] S. Littlechild, G. Owen (1973), "A simple expression for the Shapley value in a special
       case", Management Science 20(3).

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.shares import shares_of_maximum
    >>> shares_of_maximum(np.array([[1.0, 3.0]])).round(3).tolist()
    [[0.167, 0.833]]
    """
    F = errors.shape[1]
    errors = _finite(errors)
    order = np.argsort(errors, axis=1, kind="stable")
    rising = np.take_along_axis(errors, order, axis=1)
    steps = np.diff(rising, axis=1, prepend=0.0) / np.arange(F, 0, -1)
    values = np.empty_like(errors)
    np.put_along_axis(values, order, np.cumsum(steps, axis=1), axis=1)
    return shares_of_sum(values)


def _finite(errors: Floats) -> Floats:
    """Errors [n, F] with 1 for infinite ones, which leave nothing to the others: 0."""
    infinite = np.isinf(errors)
    return np.where(infinite.any(axis=1, keepdims=True), infinite, errors)
