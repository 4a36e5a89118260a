"""Histograms of scores, by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell.plots.labelled import Floats, Labelled, labelled
from slidecell.plots.style import (
    ANOMALY,
    NORMAL,
    THRESHOLD,
    legend_below,
    log_axis,
    log_worth,
    new_figure,
    say,
    style,
)
from slidecell.plots.text import number, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_errors"]


def plot_errors(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    threshold: float | None = None,
    *,
    bins: int = 60,
    title: str | None = None,
) -> Figure:
    """Draw a histogram of scores [S] by class [S]: rows per bin on a log axis, threshold.

    The counts are on a log axis because anomalies are few; the scores too where they spread
    widely and none is negative (those of 0 then stand in the leftmost bin, and are counted on the
    axis).

    Parameters
    ----------
    scores : array_like, [S]
        Rows without a finite score are left out.
    labels : array_like of 0 and 1, [S], optional
        1 = anomaly. Without it there is one class.
    threshold : float, optional
    bins : int
    title : str, optional
        Default: the share of each class above the threshold.

    Examples
    --------
    >>> from slidecell.plots import plot_errors
    >>> figure = plot_errors([0.1, 0.2, 0.3, 0.9], [0, 0, 0, 1], 0.5)
    >>> figure.axes[0].get_title()
    '100 % of the anomalous and 0 % of the normal rows are above the threshold'
    """
    found = labelled(scores, labels)
    figure = new_figure(8, 4.5)
    axis = figure.subplots()
    if len(found.scores) == 0:
        say(axis, "no row has a score")
    else:
        _draw(axis, found, bins, threshold, names=labels is not None)
        if threshold is not None:
            axis.axvline(
                threshold,
                color=THRESHOLD,
                linestyle="--",
                linewidth=1.3,
                label=f"threshold {number(threshold)}",
            )
    axis.set_ylabel("rows per bin", fontsize=9)
    axis.set_title(plain(title) if title else _default_title(found, threshold, labels), fontsize=11)
    style(axis)
    legend_below(figure, [axis])
    return figure


def _draw(axis: Axes, found: Labelled, bins: int, threshold: float | None, *, names: bool) -> None:
    log = _is_log(found.scores, threshold)
    edges, drawn = np.histogram_bin_edges(found.scores, bins), found.scores
    if log:
        edges, drawn = _log_edges(found.scores, bins)
    classes = {"anomalous": found.anomalous, "normal": ~found.anomalous} if names else {}
    for name, mask in reversed((classes or {"rows": np.ones(len(drawn), np.bool_)}).items()):
        if not mask.any():
            continue
        colour = ANOMALY if name == "anomalous" else NORMAL
        axis.hist(
            drawn[mask],
            bins=edges.tolist(),
            histtype="stepfilled",
            facecolor=(colour, 0.35),
            edgecolor=colour,
            linewidth=1.4,
            hatch="///" if name == "anomalous" else None,
            label=f"{name} ({int(mask.sum()):,})",
        )
    log_axis(axis, "y")
    axis.set_ylim(bottom=0.5)
    zeros = int((found.scores <= 0.0).sum())
    if log:
        log_axis(axis, "x")
        axis.set_xlabel(f"score ({zeros:,} of 0 at the left)" if zeros else "score", fontsize=9)
    else:
        axis.set_xlabel("score", fontsize=9)


def _is_log(scores: Floats, threshold: float | None) -> bool:
    """Return whether the threshold or usual scores would lie at the far left of a linear axis."""
    positive = scores[scores > 0.0]
    if scores.min() < 0.0 or len(positive) == 0:
        return False
    usual = float(np.median(positive))
    low = usual if threshold is None else np.clip(threshold, positive.min(), usual)
    return log_worth(positive, float(low))


def _log_edges(scores: Floats, bins: int) -> tuple[Floats, Floats]:
    """Return edges that grow by a factor; scores of 0 are moved to the first."""
    least = float(scores[scores > 0.0].min())
    edges = np.geomspace(least, float(scores.max()), bins + 1)
    edges[-1] = scores.max()  # rounding must not leave the largest outside
    edges[0] = least
    return edges, np.maximum(scores, least)


def _default_title(found: Labelled, threshold: float | None, labels: npt.ArrayLike | None) -> str:
    """Return the title: the share of each class above the threshold."""
    if threshold is None or len(found.scores) == 0:
        return f"Scores of {len(found.scores):,} rows"
    if labels is None:
        share = float((found.scores > threshold).mean())
        return f"{100 * share:.3g} % of {len(found.scores):,} rows are above the threshold"
    _, recall, false_alarms = found.at(threshold)
    shares = {"anomalous": recall, "normal": false_alarms}
    parts = [
        f"{100 * share:.3g} % of the {name}" for name, share in shares.items() if share is not None
    ]
    return " and ".join(parts) + " rows are above the threshold"
