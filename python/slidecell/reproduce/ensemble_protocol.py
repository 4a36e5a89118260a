"""System D's detectors and rules: fitted on some rows, reported on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.detect.fusion import fuse, search_weights
from slidecell.evaluate import Evaluation, PointScores, evaluate, point_scores
from slidecell.thresholds import CusumThreshold, threshold_from_state
from slidecell.thresholds.scores import Floats
from slidecell.thresholds.smoothing import MovingAverage

if TYPE_CHECKING:
    from slidecell.detect.base import Detector
    from slidecell.detect.ensemble import Ensemble

__all__ = ["EQUAL", "GRID", "REFINED", "WINDOW", "Fitted", "Part", "Way", "fit_system", "report_on"]

WINDOW = 50  # of the GRU, the longest; and the rows between what is fitted and what is reported
TOP = 50  # points that are explained
SMOOTHED = (3, 5, 10, 20)  # rows of the moving average

_HIDDEN_SIZE, _COMPONENTS = 32, 4
_VARIANCE_WINDOW = 30
_CUSUM_K, _CUSUM_H, _CUSUM_FIRST = 0.3, 4.0, 500
_SEED = 42  # of forest and GRU, for seed 0

# Ways to fuse, beside each detector alone.
EQUAL = "equal weights"
GRID = "ensemble, grid by F1"
REFINED = "ensemble, refined by F1"
REFINED_AREA = "ensemble, refined by PR-AUC"

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Way:
    """Weights [M] and a threshold of the fused score."""

    weights: Floats
    threshold: float


@dataclass(frozen=True)
class Fitted:
    """All that rows decided.

    Parameters
    ----------
    ensemble : Ensemble
        Tuned by the grid.
    ways : dict of str to Way
        Each detector alone, `EQUAL`, `GRID`, `REFINED` and by PR-AUC, each with the threshold of
        best F1 on the fitted rows.
    cusum, restarting : CusumThreshold
        The source's, whose sums go on after an alarm, and one that begins again.
    smoothed : dict of int to float
        Threshold by the length of the moving average.
    """

    ensemble: Ensemble
    ways: dict[str, Way]
    cusum: CusumThreshold
    restarting: CusumThreshold
    smoothed: dict[int, float]

    @property
    def names(self) -> list[str]:
        """Names of the detectors."""
        return list(self.ensemble.members_)


@dataclass(frozen=True)
class Part:
    """What a fitted system says of some rows.

    Parameters
    ----------
    rows : ndarray of int64, [n]
    labels : ndarray of int64, [n]
    scores : ndarray, [n, M]
        Normalised.
    fused : ndarray, [n]
        With the grid's weights.
    evaluations : dict of str to Evaluation
        By way.
    flags : dict of str to ndarray of bool, [n]
        By way.
    cusum, restarting : ndarray of bool, [n]
        Alarms.
    sums : (ndarray, ndarray), [n] each
        CUSUM statistics up and down, in standard deviations.
    smoothed : dict of int to PointScores
    top : ndarray of int64, [k]
        Places of the highest fused scores, in falling order.
    contributions : ndarray, [k, M]
        Of the members to them.
    """

    rows: Ints
    labels: Ints
    scores: Floats
    fused: Floats
    evaluations: dict[str, Evaluation]
    flags: dict[str, npt.NDArray[np.bool_]]
    cusum: npt.NDArray[np.bool_]
    restarting: npt.NDArray[np.bool_]
    sums: tuple[Floats, Floats]
    smoothed: dict[int, PointScores]
    top: Ints
    contributions: Floats

    def points(self, flags: npt.NDArray[np.bool_]) -> PointScores:
        """Compare flags [n] with the labels."""
        return point_scores(self.labels, flags)


def detectors(*, seed: int = 0, num_threads: int | None = None) -> list[tuple[str, Detector]]:
    """Return the four detectors of the source, not fitted.

    Examples
    --------
    >>> from slidecell.reproduce.ensemble_protocol import detectors
    >>> [name for name, _ in detectors()]
    ['z-score', 'forest', 'variance', 'random GRU']
    """
    require("sklearn", extra="detect")
    from sklearn.ensemble import IsolationForest

    from slidecell.detect import (
        RandomGRUDetector,
        RollingVarianceDetector,
        SklearnDetector,
        ZScoreDetector,
    )

    forest = IsolationForest(
        n_estimators=300, max_samples=256, contamination=0.05, random_state=_SEED + seed
    )
    gru = RandomGRUDetector(
        WINDOW, _HIDDEN_SIZE, _COMPONENTS, random_state=_SEED + seed, num_threads=num_threads
    )
    return [
        ("z-score", ZScoreDetector()),
        ("forest", SklearnDetector(forest, scaler="standard")),
        ("variance", RollingVarianceDetector(_VARIANCE_WINDOW, scaler="standard")),
        ("random GRU", gru),
    ]


def fit_system(
    X: Floats,
    y: Ints,
    *,
    seed: int = 0,
    num_threads: int | None = None,
    further: list[tuple[str, Detector]] | None = None,
) -> Fitted:
    """Fit scalers, detectors, normalisers, weights, thresholds and CUSUM on rows [S, F], [S].

    Parameters
    ----------
    X : ndarray, [S, F]
    y : ndarray, [S]
        1 = anomaly.
    seed : int
    num_threads : int, optional
    further : list of (str, Detector), optional
        Detectors beside the source's.

    Examples
    --------
    >>> from slidecell.datasets import ensemble_series
    >>> from slidecell.reproduce.ensemble_protocol import GRID, fit_system, report_on
    >>> data = ensemble_series(rows=1000)
    >>> fitted = fit_system(data.series[:500], data.label[:500])
    >>> part = report_on(fitted, data.series, data.label, slice(550, 1000))
    >>> part.evaluations[GRID].rows, part.contributions.shape
    (450, (50, 4))
    """
    from slidecell.detect.ensemble import Ensemble

    members = [*detectors(seed=seed, num_threads=num_threads), *(further or [])]
    ensemble = Ensemble(members, normaliser="minmax").fit(X).tune(X, y)
    assert ensemble.tuned_ is not None
    complete = np.isfinite(ensemble.member_decision_scores_).all(axis=1)
    scores, labels = ensemble.member_decision_scores_[complete], y[complete]
    M = len(members)
    given = {name: weights for (name, _), weights in zip(members, np.eye(M), strict=True)}
    given[EQUAL] = np.full(M, 1.0 / M)
    ways = {
        name: Way(weights, _best_percentile(fuse(scores, weights), labels))
        for name, weights in given.items()
    }
    tuned = {
        GRID: ensemble.tuned_,
        REFINED: search_weights(scores, labels, method="refine"),
        REFINED_AREA: search_weights(scores, labels, method="refine", objective="pr_auc"),
    }
    ways |= {name: Way(np.array(way.weights), way.threshold) for name, way in tuned.items()}
    fused = fuse(scores, ways[GRID].weights)
    smoothed = {n: _best_percentile(MovingAverage(n).apply(fused), labels) for n in SMOOTHED}
    cusum, restarting = (_cusum(fused, restart=restart) for restart in (False, True))
    return Fitted(ensemble, ways, cusum, restarting, smoothed)


def _best_percentile(scores: Floats, labels: Ints) -> float:
    """Return the threshold of best F1 among the source's percentiles."""
    return search_weights(scores[:, None], labels).threshold


def _cusum(fused: Floats, *, restart: bool) -> CusumThreshold:
    """CUSUM with the source's references: the mean of the first scores, the sd of all [n]."""
    state = CusumThreshold(_CUSUM_K, _CUSUM_H, restart=restart).state()
    del state["running"]
    reference = {"mean": float(fused[:_CUSUM_FIRST].mean()), "sd": float(fused.std())}
    rule = threshold_from_state({**state, **reference})
    assert isinstance(rule, CusumThreshold)
    return rule


def report_on(fitted: Fitted, X: Floats, y: Ints, rows: slice) -> Part:
    """Score a series [S, F] and compare some of its rows with their labels.

    See `fit_system` for an example.
    """
    place = np.arange(len(X))[rows]
    labels = y[rows]
    scores = fitted.ensemble.member_scores(X)[rows]
    evaluations, flags = {}, {}
    for name, way in fitted.ways.items():
        score = fuse(scores, way.weights)
        evaluations[name] = evaluate(labels, score, threshold=way.threshold)
        flags[name] = score > way.threshold
    fused = fuse(scores, fitted.ways[GRID].weights)
    alarms, sums = _watch(fitted.cusum, fused)
    top = np.argsort(-fused, kind="stable")[:TOP]  # NaN sorts last
    return Part(
        rows=place,
        labels=labels,
        scores=scores,
        fused=fused,
        evaluations=evaluations,
        flags=flags,
        cusum=alarms,
        restarting=fitted.restarting.apply(fused),
        sums=sums,
        smoothed={
            n: point_scores(labels, MovingAverage(n).apply(fused) > limit)
            for n, limit in fitted.smoothed.items()
        },
        top=top,
        contributions=fitted.ensemble.attribution(X, place[top]),
    )


def _watch(
    rule: CusumThreshold, fused: Floats
) -> tuple[npt.NDArray[np.bool_], tuple[Floats, Floats]]:
    """CUSUM's alarms [n], as `Threshold.apply`, and its sums [n]."""
    live = rule.fresh()
    alarms = np.zeros(len(fused), np.bool_)
    up, down = np.zeros(len(fused)), np.zeros(len(fused))
    for row, score in enumerate(fused.tolist()):
        alarms[row] = live.update(score)
        up[row], down[row] = live.sums
    return alarms, (up, down)
