"""Draw precision and recall against the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.plots.labelled import Labelled, labelled
from slidecell.plots.style import (
    ANOMALY,
    NORMAL,
    SOFT,
    THRESHOLD,
    legend_below,
    log_axis,
    log_worth,
    new_figure,
    say,
    style,
)
from slidecell.plots.text import number, plain
from slidecell.plots.thin import thin_curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_precision_recall_thresholds"]


def plot_precision_recall_thresholds(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    threshold: float | None = None,
    *,
    title: str | None = None,
) -> Figure:
    """Draw precision, recall and F1 against the threshold on scores [S].

    Parameters
    ----------
    scores : array_like, [S]
        Rows without a finite score are left out.
    labels : array_like of 0 and 1, [S]
        1 = anomaly.
    threshold : float, optional
        The one in use.
    title : str, optional
        Default: precision and recall at the threshold.

    Examples
    --------
    >>> from slidecell.plots import plot_precision_recall_thresholds
    >>> figure = plot_precision_recall_thresholds([0.1, 0.6, 0.7, 0.9], [0, 0, 1, 1], 0.5)
    >>> figure.axes[0].get_title()
    'Precision 0.667, recall 1 at the threshold'
    """
    require("sklearn", extra="detect")
    from sklearn.metrics import precision_recall_curve

    found = labelled(scores, labels)
    figure = new_figure(8, 4.5)
    axis = figure.subplots()
    if found.problem is not None:
        say(axis, found.problem)
    else:
        precision, recall, values = precision_recall_curve(
            found.anomalous.astype(int), found.scores
        )
        precision, recall = precision[:-1], recall[:-1]  # the last has no threshold
        f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(np.float64).tiny)
        log = log_worth(found.scores) and bool(values[0] > 0.0)
        # Rows above t, not at it: between two scores the counts are those of the upper one.
        for name, line, colour, curve in (
            ("precision", "-", NORMAL, precision),
            ("recall", "--", ANOMALY, recall),
            ("F1", ":", SOFT, f1),
        ):
            x, y = thin_curve(values, curve, log=log)
            axis.plot(x, y, color=colour, ls=line, lw=1.8, drawstyle="steps-pre", label=name)
        if log:
            log_axis(axis, "x")
    if threshold is not None:
        label = f"threshold {number(threshold)}"
        axis.axvline(threshold, color=THRESHOLD, linestyle="--", linewidth=1.1, label=label)
    axis.set_ylim(-0.02, 1.04)
    axis.set_xlabel("threshold", fontsize=9)
    axis.set_ylabel("share", fontsize=9)
    axis.set_title(plain(title) if title else _default_title(found, threshold), fontsize=11)
    style(axis)
    legend_below(figure, [axis])
    return figure


def _default_title(found: Labelled, threshold: float | None) -> str:
    if threshold is None or found.problem is not None:
        return "Precision and recall against the threshold"
    precision, recall, _ = found.at(threshold)
    if precision is None:
        return "Nothing is above the threshold"
    return f"Precision {number(precision)}, recall {number(recall or 0.0)} at the threshold"
