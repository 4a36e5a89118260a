"""Weights and threshold of an ensemble, chosen together on labelled rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell._arrays import real_array
from slidecell.detect.fusion.fused import fuse
from slidecell.evaluate.curves import Cut, Ranking
from slidecell.evaluate.inputs import as_labels as check_labels
from slidecell.thresholds.scores import Floats
from slidecell.thresholds.state_values import mapping, number, numbers, whole

__all__ = [
    "METHODS",
    "OBJECTIVES",
    "PERCENTILES",
    "FoundWeights",
    "as_labels",
    "grid_weights",
    "search_weights",
]

METHODS = ("grid", "refine")
OBJECTIVES = ("f1", "pr_auc")
PERCENTILES = (85.0, 90.0, 92.0, 95.0, 97.0)

_LEVELS = 5  # of each weight in the grid: 0, 0.25, 0.5, 0.75, 1
_MOST_GRID_POINTS = 20_000  # six members; a point is a sort of the rows
_RANDOM_STARTS = 64
_REFINED = 4  # of the starting points, the best
_STEPS = (0.5, 0.25, 0.1, 0.05, 0.02, 0.01)  # halves of 0.25 at first, then finer than the grid


@dataclass(frozen=True)
class FoundWeights:
    """What a search found, and on what: figures of the searched rows themselves are optimists'.

    Parameters
    ----------
    weights : tuple of float, [M]
        Sum 1.
    threshold : float
        Of the fused score.
    percentile : float
        Of the fused scores of the searched rows, at the threshold.
    f1, pr_auc : float
        On the searched rows.
    objective, method : str
    rows, positives, unscored : int
        Rows that took part, the anomalies among them, and rows that a member could not score.
    evaluations : int
        Weights that were tried.
    """

    weights: tuple[float, ...]
    threshold: float
    percentile: float
    f1: float
    pr_auc: float
    objective: str
    method: str
    rows: int
    positives: int
    unscored: int
    evaluations: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {**asdict(self), "weights": list(self.weights)}

    @classmethod
    def from_dict(cls, saved: object) -> FoundWeights:
        """Return what `to_dict` returned; a ValueError names what is missing or of another type."""
        state = mapping(saved, "tuned")
        for name, known in (("objective", OBJECTIVES), ("method", METHODS)):
            if state.get(name) not in known:
                raise ValueError(f"tuned: {name!r}: expected {_listed(known)}")
        figures: dict[str, Any] = {
            name: number(state, name) for name in ("threshold", "percentile", "f1", "pr_auc")
        }
        counts = ("rows", "positives", "unscored", "evaluations")
        figures |= {name: whole(state, name) for name in counts}
        return cls(
            weights=tuple(numbers(state, "weights")),
            objective=state["objective"],
            method=state["method"],
            **figures,
        )


class _Tried(NamedTuple):
    value: float
    weights: Floats  # [M]
    cut: Cut
    pr_auc: float


def grid_weights(M: int) -> Floats:
    """Different weights [n, M] of the grid 0, 0.25, ..., 1 per member, each with sum 1.

    In the order of nested loops, the last member's the innermost; (0.25, 0.25) and (1, 1) are the
    same weights and stand once, where they came first.

    Examples
    --------
    >>> from slidecell.detect.fusion import grid_weights
    >>> grid_weights(2)[:4].round(3).tolist()
    [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.333, 0.667]]
    >>> len(grid_weights(4))
    529
    """
    if _LEVELS**M > _MOST_GRID_POINTS:
        raise ValueError(
            f"method: the grid of {M} members has {_LEVELS**M} points, more than "
            f"{_MOST_GRID_POINTS}: use 'refine'"
        )
    seen: set[tuple[int, ...]] = set()
    points = []
    for levels in itertools.product(range(_LEVELS), repeat=M):
        divisor = int(np.gcd.reduce(levels))
        if divisor and (reduced := tuple(level // divisor for level in levels)) not in seen:
            seen.add(reduced)
            points.append(np.array(reduced, np.float64) / sum(reduced))
    return np.array(points)


def search_weights(
    scores: npt.ArrayLike,  # [S,M]
    labels: npt.ArrayLike,  # [S]
    *,
    objective: str = "f1",
    method: Literal["grid", "refine"] = "grid",
    percentiles: Sequence[float] = PERCENTILES,
    random_state: int | None = 0,
) -> FoundWeights:
    """Choose weights and threshold on normalised scores [S,M] and labels [S] (1 = anomaly).

    ``"grid"`` tries `grid_weights`, with the threshold at each of the percentiles of the fused
    scores; of equal values the first wins. ``"refine"`` begins with the grid (where it is small
    enough), equal weights, each member alone and random weights, and goes on from the best of them
    by ever smaller steps towards and away from each member; the threshold is the best of all cuts
    between the least and the greatest percentile. Its value is therefore at least the grid's.

    Parameters
    ----------
    scores : array_like, [S, M]
        Rows where a member has no finite score take no part.
    labels : array_like, [S]
        0 or 1.
    objective : {"f1", "pr_auc"}
        What is maximised: F1 at the threshold, or the area under the precision-recall curve
        (average precision); the threshold is then the one of greatest F1 for these weights.
    method : {"grid", "refine"}
    percentiles : sequence of float
        Where the threshold may lie, 0 to 100.
    random_state : int, optional
        Of the random weights; the same seed finds the same weights.

    Returns
    -------
    FoundWeights

    Raises
    ------
    ValueError
        If an argument does not fit, or the rows that take part are all of one class.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.fusion import search_weights
    >>> rng = np.random.default_rng(0)
    >>> labels = (rng.random(500) < 0.1).astype(int)
    >>> scores = np.column_stack([rng.random(500), labels + rng.random(500)])  # the second knows
    >>> found = search_weights(scores, labels)
    >>> found.weights, found.percentile, round(found.f1, 2)
    ((0.0, 1.0), 90.0, 0.97)
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective: expected {_listed(OBJECTIVES)}, got {objective!r}")
    if method not in METHODS:
        raise ValueError(f"method: expected {_listed(METHODS)}, got {method!r}")
    levels = _percentiles(percentiles)
    columns, truth, unscored = _labelled(scores, labels)

    tried = 0

    def try_(weights: Floats) -> _Tried:
        nonlocal tried
        tried += 1
        ranking = Ranking(fuse(columns, weights), truth)
        if method == "grid":
            # max keeps the first of equals.
            cut = max((ranking.percentile_cut(p) for p in levels), key=lambda c: c.f1)
        else:
            cut = ranking.best_cut(min(levels), max(levels))
        pr_auc = ranking.average_precision()
        return _Tried(cut.f1 if objective == "f1" else pr_auc, weights, cut, pr_auc)

    M = columns.shape[1]
    if method == "grid":
        best = max((try_(weights) for weights in grid_weights(M)), key=lambda t: t.value)
    else:
        best = _refine(try_, M, np.random.default_rng(random_state))
    return FoundWeights(
        weights=tuple(best.weights.tolist()),
        threshold=best.cut.threshold,
        percentile=best.cut.percentile,
        f1=best.cut.f1,
        pr_auc=best.pr_auc,
        objective=objective,
        method=method,
        rows=len(truth),
        positives=int(truth.sum()),
        unscored=unscored,
        evaluations=tried,
    )


def _refine(try_: Callable[[Floats], _Tried], M: int, rng: np.random.Generator) -> _Tried:
    """Pattern search on the simplex, from several starting points."""
    tried = [try_(weights) for weights in _starts(M, rng)]
    tried.sort(key=lambda t: -t.value)  # stable: of equals the earlier start
    best = tried[0]
    for start in tried[:_REFINED]:
        at = start
        for step in _STEPS:
            while True:
                moved = max(
                    (try_(weights) for weights in _moves(at.weights, step)),
                    key=lambda t: t.value,
                    default=at,
                )
                if not moved.value > at.value:
                    break
                at = moved
        if at.value > best.value:
            best = at
    return best


def _starts(M: int, rng: np.random.Generator) -> Iterator[Floats]:
    if _LEVELS**M <= _MOST_GRID_POINTS:
        yield from grid_weights(M)
    else:
        yield np.full(M, 1.0 / M)
        yield from np.eye(M)
    if M > 1:
        yield from rng.dirichlet(np.ones(M), _RANDOM_STARTS)


def _moves(weights: Floats, step: float) -> Iterator[Floats]:
    """Weights a step towards each member, and away from each that has any."""
    for m in range(len(weights)):
        towards = weights * (1.0 - step)
        towards[m] += step
        if weights[m] < 1.0:
            yield towards
            away = weights.copy()
            away[m] = max(0.0, away[m] - step)
            if weights[m] > 0.0 and away.sum() > 0.0:
                yield away / away.sum()


def _percentiles(percentiles: Sequence[float]) -> list[float]:
    levels = [float(p) for p in percentiles]
    if not levels or not all(0.0 <= p <= 100.0 for p in levels):
        raise ValueError(f"percentiles: expected at least one of 0 to 100, got {percentiles!r}")
    return levels


def _labelled(
    scores: npt.ArrayLike, labels: npt.ArrayLike
) -> tuple[Floats, npt.NDArray[np.int64], int]:
    """Scores [n,M] and labels [n] of the rows that every member scored, and how many it did not."""
    columns = real_array(scores, name="scores").astype(np.float64)
    if columns.ndim != 2 or columns.shape[1] == 0:
        raise ValueError(f"scores: expected [S, M] with M >= 1, got {list(columns.shape)}")
    complete = np.isfinite(columns).all(axis=1)
    columns, truth = columns[complete], as_labels(labels, len(columns))[complete]
    if not 0 < truth.sum() < len(truth):
        raise ValueError(
            "labels: expected both classes among the rows that every member scored, got "
            f"{truth.sum()} anomalies of {len(truth)}"
        )
    return columns, truth, int((~complete).sum())


def as_labels(labels: npt.ArrayLike, S: int, *, name: str = "labels") -> npt.NDArray[np.int64]:
    """Return labels [S] as int64; a ValueError if their number or one of them does not fit.

    Examples
    --------
    >>> from slidecell.detect.fusion.search import as_labels
    >>> as_labels([True, False], 2)
    array([1, 0])
    """
    return check_labels(labels, S, name=name).astype(np.int64)


def _listed(names: tuple[str, ...]) -> str:
    return " or ".join(map(repr, names))
