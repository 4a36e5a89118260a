"""Scores row by row, by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.plots.labelled import Labelled, labelled
from slidecell.plots.style import (
    ANOMALY,
    NORMAL,
    THRESHOLD,
    legend_below,
    log_axis,
    log_worth,
    new_figure,
    say,
    shown_times,
    style,
)
from slidecell.plots.text import number, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_score_scatter"]

Ints = npt.NDArray[np.int64]


def plot_score_scatter(
    scores: npt.ArrayLike,
    labels: npt.ArrayLike,
    threshold: float | None = None,
    *,
    times: npt.ArrayLike | None = None,
    max_points: int = 20_000,
    title: str | None = None,
) -> Figure:
    """Draw scores [S] as points in the order of their rows, by class [S], with the threshold.

    All anomalous rows are drawn. Of more normal rows than ``max_points`` a random part is, the
    same each time, and the legend says how many; those above the threshold are all kept where they
    fit, and the legend says that too.

    Parameters
    ----------
    scores : array_like, [S]
        Rows without a finite score are left out.
    labels : array_like of 0 and 1, [S]
        1 = anomaly.
    threshold : float, optional
    times : array_like, [S], optional
        Numbers or datetime64. Default: row numbers.
    max_points : int
        Normal rows drawn at most.
    title : str, optional

    Examples
    --------
    >>> from slidecell.plots import plot_score_scatter
    >>> figure = plot_score_scatter([0.1, 0.2, 0.3, 0.9], [0, 0, 0, 1], 0.5)
    >>> figure.axes[0].get_legend_handles_labels()[1]
    ['normal (3)', 'anomalous (1)', 'threshold 0.5']
    """
    found = labelled(scores, labels)
    x = np.arange(len(np.asarray(scores))) if times is None else np.asarray(times)
    if x.shape != np.asarray(scores).shape:
        raise ValueError(f"times: expected {list(np.asarray(scores).shape)}, got {list(x.shape)}")
    if max_points < 1:
        raise ValueError(f"max_points: expected at least 1, got {max_points}")
    figure = new_figure(10, 4.5)
    axis = figure.subplots()
    if len(found.scores) == 0:
        say(axis, "no row has a score")
    shown, count = _normal_to_show(found, threshold, max_points)
    place = x[found.rows]
    _draw_class(axis, place[shown], found.scores[shown], f"normal ({count})", anomalous=False)
    odd = found.anomalous
    name = f"anomalous ({found.positives:,})"
    _draw_class(axis, place[odd], found.scores[odd], name, anomalous=True)
    if threshold is not None:
        label = f"threshold {number(threshold)}"
        axis.axhline(threshold, color=THRESHOLD, linestyle="--", linewidth=1.3, label=label)
    if log_worth(found.scores) and bool(found.scores.min() >= 0.0):
        log_axis(axis, "y")
    axis.set_ylabel("score", fontsize=9)
    shown_times(axis, x, given=times is not None)
    axis.margins(x=0.01)
    axis.set_title(plain(title) if title else _default_title(found, threshold), fontsize=11)
    style(axis)
    legend_below(figure, [axis])
    return figure


def _draw_class(
    axis: Axes, x: npt.NDArray[Any], y: npt.NDArray[np.float64], name: str, *, anomalous: bool
) -> None:
    if len(x) == 0:
        return
    crowd = float(np.interp(np.log10(len(x)), [2.0, 4.0], [1.0, 0.0]))
    if anomalous:
        look: dict[str, Any] = {
            "color": ANOMALY,
            "marker": "D",
            "ms": 3.0 + 1.5 * crowd,
            "alpha": 0.85,
        }
    else:
        look = {
            "color": NORMAL,
            "marker": "o",
            "ms": 1.5 + 2.0 * crowd,
            "alpha": 0.35 + 0.4 * crowd,
        }
    axis.plot(x, y, linestyle="none", markeredgewidth=0, label=name, **look)


def _normal_to_show(found: Labelled, threshold: float | None, most: int) -> tuple[Ints, str]:
    """Return which normal rows are drawn, in order, and what the legend says of them."""
    normal = np.flatnonzero(~found.anomalous)
    if len(normal) <= most:
        return normal, f"{len(normal):,}"
    above = np.zeros(len(normal), np.bool_)
    if threshold is not None:
        above = found.scores[normal] > threshold
    kept, rest = normal[above], normal[~above]
    count = f"{most:,} of {len(normal):,} drawn"
    if len(kept) >= most // 2:
        kept, rest = normal[:0], normal
    elif len(kept):
        count += ", all above the threshold"
    drawn = np.random.default_rng(0).choice(rest, most - len(kept), replace=False)
    return np.sort(np.concatenate([kept, drawn])), count


def _default_title(found: Labelled, threshold: float | None) -> str:
    if threshold is None:
        return f"Scores of {len(found.scores):,} rows by class"
    flagged = found.scores > threshold
    hits = int((flagged & found.anomalous).sum())
    return (
        f"{hits:,} of {found.positives:,} anomalous and {int(flagged.sum()) - hits:,} of "
        f"{len(found.scores) - found.positives:,} normal rows are above the threshold"
    )
