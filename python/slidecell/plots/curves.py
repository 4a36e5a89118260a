"""Precision against recall, hits against false alarms: of one score or of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

from slidecell._extras import require
from slidecell.plots.labelled import Labelled, labelled
from slidecell.plots.style import (
    CYCLE,
    FLAG,
    LINES,
    SOFT,
    legend_below,
    new_figure,
    say,
    style,
)
from slidecell.plots.text import number, plain
from slidecell.plots.thin import thin_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_pr_curve", "plot_roc_curve"]

Scores: TypeAlias = "npt.ArrayLike | Mapping[str, npt.ArrayLike]"


def plot_pr_curve(
    scores: Scores,
    labels: npt.ArrayLike,
    threshold: float | None = None,
    *,
    marked: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw precision against recall of scores [S], the operating point, and what chance reaches.

    The area is scikit-learn's average precision, of the same steps that are drawn.

    Parameters
    ----------
    scores : array_like, [S], or mapping of name to array_like
        Several are drawn together, best first in the legend. Rows without a finite score are left
        out of their own curve only.
    labels : array_like of 0 and 1, [S]
        1 = anomaly.
    threshold : float, optional
        Marks precision and recall of the rows above it.
    marked : str, optional
        The score that the threshold belongs to. Default: the first one.
    title : str, optional

    Examples
    --------
    >>> from slidecell.plots import plot_pr_curve
    >>> figure = plot_pr_curve([0.1, 0.6, 0.7, 0.9], [0, 0, 1, 1], 0.5)
    >>> figure.axes[0].get_title()
    'Precision against recall: average precision 1.000 (chance: 0.5)'
    """
    require("sklearn", extra="detect")
    from sklearn.metrics import average_precision_score, precision_recall_curve

    def curve(found: Labelled) -> tuple[Any, Any, float]:
        truth = found.anomalous.astype(int)
        precision, recall, _ = precision_recall_curve(truth, found.scores, drop_intermediate=True)
        return recall, precision, float(average_precision_score(truth, found.scores))

    figure, axis, classes = _start(scores, labels)
    areas = _draw_curves(axis, classes, curve, "average precision", drawstyle="steps-post")
    own, chance = _marked(classes, marked), 0.0
    if areas:
        drawn = classes[next(iter(areas))]
        chance = drawn.positives / len(drawn.scores)
        axis.axhline(chance, color=SOFT, linestyle=":", linewidth=1.3, label="chance")
    if threshold is not None and own.problem is None:
        precision, recall, _ = own.at(threshold)
        _mark_point(axis, recall, precision, threshold, ("recall", "precision"))
    axis.set_xlabel("recall: share of the anomalous rows that is flagged", fontsize=9)
    axis.set_ylabel("precision: share of the flagged rows that is anomalous", fontsize=9)
    default = _default_title("Precision against recall", "average precision", areas, chance)
    axis.set_title(plain(title) if title else default, fontsize=11)
    legend_below(figure, [axis])
    return figure


def plot_roc_curve(
    scores: Scores,
    labels: npt.ArrayLike,
    threshold: float | None = None,
    *,
    marked: str | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the share of anomalous against that of normal rows above each threshold (ROC).

    Parameters
    ----------
    scores : array_like, [S], or mapping of name to array_like
        Several are drawn together, best first in the legend. Rows without a finite score are left
        out of their own curve only.
    labels : array_like of 0 and 1, [S]
        1 = anomaly.
    threshold : float, optional
        Marks the operating point.
    marked : str, optional
        The score that the threshold belongs to. Default: the first one.
    title : str, optional

    Examples
    --------
    >>> from slidecell.plots import plot_roc_curve
    >>> figure = plot_roc_curve([0.1, 0.6, 0.7, 0.9], [0, 1, 0, 1], 0.5)
    >>> figure.axes[0].get_title()
    'ROC: area 0.750 (chance: 0.5)'
    """
    require("sklearn", extra="detect")
    from sklearn.metrics import roc_auc_score, roc_curve

    def curve(found: Labelled) -> tuple[Any, Any, float]:
        truth = found.anomalous.astype(int)
        false_alarms, hits, _ = roc_curve(truth, found.scores)
        return false_alarms, hits, float(roc_auc_score(truth, found.scores))

    figure, axis, classes = _start(scores, labels)
    areas = _draw_curves(axis, classes, curve, "area", drawstyle="default")
    own = _marked(classes, marked)
    if areas:
        axis.plot([0, 1], [0, 1], color=SOFT, linestyle=":", linewidth=1.3, label="chance")
    if threshold is not None and own.problem is None:
        _, recall, false_alarms = own.at(threshold)
        _mark_point(axis, false_alarms, recall, threshold, ("false alarms", "recall"))
    axis.set_xlabel("false alarms: share of the normal rows that is flagged", fontsize=9)
    axis.set_ylabel("recall: share of the anomalous rows that is flagged", fontsize=9)
    default = _default_title("ROC", "area", areas, 0.5)
    axis.set_title(plain(title) if title else default, fontsize=11)
    legend_below(figure, [axis])
    return figure


def _start(scores: Scores, labels: npt.ArrayLike) -> tuple[Figure, Axes, dict[str, Labelled]]:
    """Check the arguments; make a square axis from 0 to 1."""
    many = scores if isinstance(scores, Mapping) else {"score": scores}
    if not many:
        raise ValueError("scores: expected at least one, got an empty mapping")
    classes = {
        str(n): labelled(s, labels, name=f"scores[{n!r}]" if many is scores else "scores")
        for n, s in many.items()
    }
    figure = new_figure(6.0, 5.6 + 0.18 * len(classes))  # a line of the legend for each
    axis = figure.subplots()
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(-0.02, 1.04)
    style(axis)
    return figure, axis, classes


def _marked(classes: Mapping[str, Labelled], name: str | None) -> Labelled:
    """Return the score that the threshold belongs to."""
    if name is None:
        return next(iter(classes.values()))
    if name not in classes:
        raise ValueError(f"marked: expected one of {', '.join(classes)}, got {name!r}")
    return classes[name]


def _draw_curves(
    axis: Axes, classes: Mapping[str, Labelled], curve: Any, area: str, *, drawstyle: str
) -> dict[str, float]:
    """Draw a curve for each score that has one; return their areas, the largest first."""
    found = {name: curve(score) for name, score in classes.items() if score.problem is None}
    if not found:
        say(axis, next(iter(classes.values())).problem or "")
    looks = {name: (CYCLE[n % len(CYCLE)], LINES[n % len(LINES)]) for n, name in enumerate(classes)}
    order = sorted(found, key=lambda name: -found[name][2])
    for name in order:
        x, y, size = found[name]
        colour, line = looks[name]
        x, y = thin_curve(x, y)
        label = f"{plain(name, 24)}: {area} {size:.3f}"
        axis.plot(x, y, color=colour, ls=line, lw=1.8, drawstyle=drawstyle, label=label)
    return {name: found[name][2] for name in order}


def _default_title(what: str, area: str, areas: Mapping[str, float], chance: float) -> str:
    """Return the title: the area of one curve, or which of several has the largest."""
    if not areas:
        return what
    name, best = next(iter(areas.items()))
    if len(areas) > 1:
        return f"{what}: {plain(name, 24)} has the largest area"
    return f"{what}: {area} {best:.3f} (chance: {number(chance)})"


def _mark_point(
    axis: Axes, x: float | None, y: float | None, threshold: float, names: tuple[str, str]
) -> None:
    """Mark the threshold's point on the curve; with nothing flagged there is none to draw."""
    text = f"threshold {number(threshold)}: "
    if x is None or y is None:
        axis.plot([], [], " ", label=text + "nothing is flagged")
        return
    text += f"{names[0]} {number(x)}, {names[1]} {number(y)}"
    axis.plot(
        [x], [y], "o", ms=9, mfc=FLAG, mec="black", mew=1.2, zorder=5, clip_on=False, label=text
    )
