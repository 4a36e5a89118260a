"""System D's figures in both protocols, beside what its source states."""

from __future__ import annotations

from typing import Any

import numpy as np

from slidecell.reproduce.ensemble_gru import KernelCheck
from slidecell.reproduce.ensemble_protocol import GRID, WINDOW, Fitted, Ints, Part
from slidecell.reproduce.ensemble_tables import number
from slidecell.reproduce.outcome import Comparison, UsedThreshold
from slidecell.thresholds.scores import Floats

__all__ = ["beside_the_source", "part_report", "summary", "used_thresholds"]

# The source's notebook was published without its outputs.
_NOT_PRINTED = "not printed"
_PROTOCOLS = ("second half", "in-sample")  # the latter is the source's


def beside_the_source(
    X: Floats,
    y: Ints,
    *,
    held_out: tuple[Fitted, Part],
    in_sample: tuple[Fitted, Part],
    kernel: KernelCheck,
) -> list[Comparison]:
    """List the figures: of the data, of the second half, and of the source's protocol."""
    S, F = X.shape
    tuned = in_sample[0].ensemble.tuned_
    assert tuned is not None
    latency = f"{kernel.kernel_us:.1f} us a window, the loop {kernel.loop_us:,.0f}"
    return [
        Comparison("data", "15,000 rows, 8 channels", f"{S:,} rows, {F} channels"),
        Comparison("labelled rows", _NOT_PRINTED, f"{100 * y.mean():.2f} %"),
        Comparison(
            "rows without a GRU score",
            str(WINDOW),
            str(tuned.unscored),
            "a score stands at its window's last row, the source's at the row after it",
        ),
        Comparison(
            "points of the weight grid",
            "624",
            str(tuned.evaluations),
            "proportional weights are the same and are tried once",
        ),
        Comparison(
            "GRU cell",
            "NumPy, step by step",
            f"compiled, within {kernel.difference:.0e}",
            latency,
        ),
        *_of_protocol(_PROTOCOLS[0], *held_out),
        *_of_protocol(_PROTOCOLS[1], *in_sample),
    ]


def _of_protocol(name: str, fitted: Fitted, part: Part) -> list[Comparison]:
    figures, way = part.evaluations[GRID], fitted.ways[GRID]
    fixed, cusum = part.points(part.flags[GRID]), part.points(part.cusum)
    weights = ", ".join(f"{n} {w:.2f}" for n, w in zip(fitted.names, way.weights, strict=True))
    order = np.argsort(-part.contributions.mean(axis=0), kind="stable")
    means = part.contributions.mean(axis=0)
    attribution = ", ".join(f"{fitted.names[m]} {means[m]:.3f}" for m in order)
    assert fitted.ensemble.tuned_ is not None
    at = f"percentile {fitted.ensemble.tuned_.percentile:.0f} of the fitted rows"
    ours = [
        ("weights", weights, ""),
        ("threshold", f"{way.threshold:.4f}", at),
        ("F1 of the ensemble", number(figures.f1), _against(fitted, part, "f1")),
        (
            "PR-AUC of the ensemble",
            number(figures.pr_auc),
            f"{_against(fitted, part, 'pr_auc')}; by the source's trapezoids {_trapezoids(part)}",
        ),
        ("mean attribution, top 50", attribution, ""),
        ("alarms, fixed threshold", f"{int(part.flags[GRID].sum()):,}", _of(part)),
        ("alarms, CUSUM", f"{int(part.cusum.sum()):,}", _begun_again(part)),
        ("F1, CUSUM", number(cusum.f1), f"fixed threshold: {number(fixed.f1)}"),
    ]
    return [Comparison(f"{name}: {what}", _NOT_PRINTED, text, note) for what, text, note in ours]


def _trapezoids(part: Part) -> str:
    """Area under the precision-recall curve as the source measures it, between the points."""
    from sklearn.metrics import auc, precision_recall_curve

    scored = np.isfinite(part.fused)
    precision, recall, _ = precision_recall_curve(part.labels[scored], part.fused[scored])
    return number(float(auc(recall, precision)))


def _begun_again(part: Part) -> str:
    points = part.points(part.restarting)
    return (
        "the sums go on after an alarm; begun again, "
        f"{int(part.restarting.sum()):,} alarms and F1 {number(points.f1)}"
    )


def _of(part: Part) -> str:
    return f"of {len(part.rows):,} rows, {int(part.labels.sum()):,} labelled"


def _against(fitted: Fitted, part: Part, metric: str) -> str:
    """Compare the ensemble with the best of its detectors alone."""
    alone = {name: getattr(part.evaluations[name], metric) for name in fitted.names}
    best = max(alone, key=lambda name: alone[name])
    above = getattr(part.evaluations[GRID], metric) > alone[best]
    relation = "above" if above else "not above"
    return f"{relation} the best detector alone: {best} {number(alone[best])}"


def summary(source: str, rows: int, half: int, fitted: Fitted, part: Part) -> str:
    """Say in a paragraph what was run and what came of it.

    Parameters
    ----------
    source : str
        Of the data.
    rows, half : int
        S, and where the second half begins.
    fitted : Fitted
    part : Part
        Of the second half.
    """
    figures = part.evaluations[GRID]
    return (
        f"{rows:,} rows, {source}. Scalers, detectors, min-max normalisers, weights, thresholds "
        f"and CUSUM's references come from rows 0 to {half - 1:,}; figures of the second half are "
        f"of rows {part.rows[0]:,} to {part.rows[-1]:,}, of which nothing was seen.\n\n"
        f"There the ensemble of the grid reaches F1 {number(figures.f1)} "
        f"({_against(fitted, part, 'f1')}) and PR-AUC {number(figures.pr_auc)} "
        f"({_against(fitted, part, 'pr_auc')}). Each detector alone has its own threshold, chosen "
        "for F1 on the first half as the ensemble's. Figures labelled in-sample are the source's "
        "protocol, which reports on the rows that it fits and tunes on: they promise nothing for "
        "new rows."
    )


def used_thresholds(S: int, half: int, fitted: Fitted, everything: Fitted) -> list[UsedThreshold]:
    """List the thresholds of both protocols: of the fused score, and of its cumulative sums."""
    thresholds = []
    for protocol, system, last in zip(_PROTOCOLS, (fitted, everything), (half, S), strict=True):
        tuned, rule = system.ensemble.tuned_, system.cusum.state()
        assert tuned is not None
        rows = f"rows 0 to {last - 1:,}"
        thresholds += [
            UsedThreshold(
                f"fused score, {protocol}",
                system.ways[GRID].threshold,
                f"best F1 among percentiles: {tuned.percentile:.0f}",
                f"{rows} with their labels",
            ),
            UsedThreshold(
                f"its CUSUM, {protocol}",
                system.cusum.h,
                f"two-sided, k = {rule['k']:g}, in standard deviations "
                f"({rule['sd']:.4g}) from the mean ({rule['mean']:.4g})",
                f"k and h given; standard deviation of {rows}, mean of their first scores",
            ),
        ]
    return thresholds


def part_report(fitted: Fitted, part: Part) -> dict[str, Any]:
    """Return everything of a protocol, ready for JSON."""
    assert fitted.ensemble.tuned_ is not None
    return {
        "first_row": int(part.rows[0]),
        "last_row": int(part.rows[-1]),
        "detectors": fitted.names,
        "normalisers": {n: s.state() for n, s in fitted.ensemble.normalisers_.items()},
        "baselines": fitted.ensemble.baselines_.tolist(),
        "tuned": fitted.ensemble.tuned_.to_dict(),
        "ways": {
            name: {
                "weights": way.weights.tolist(),
                "threshold": way.threshold,
                "evaluation": part.evaluations[name].to_dict(),
            }
            for name, way in fitted.ways.items()
        },
        "cusum": {"rule": fitted.cusum.state(), "alarms": int(part.cusum.sum())},
        "smoothed_f1": {str(n): points.f1 for n, points in part.smoothed.items()},
        "top": {
            "rows": part.rows[part.top].tolist(),
            "scores": part.fused[part.top].tolist(),
            "contributions": part.contributions.tolist(),
        },
    }
