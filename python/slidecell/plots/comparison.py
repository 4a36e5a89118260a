"""Compare two rules on one score: a fixed threshold and cumulative sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.plots.bands import shade_labels, shade_runs
from slidecell.plots.lines import draw_measured, draw_score
from slidecell.plots.style import (
    CYCLE,
    FLAG,
    LABEL,
    SCORE,
    SECOND,
    THRESHOLD,
    drawable,
    legend_below,
    new_figure,
    shown_times,
    style,
)
from slidecell.plots.text import number, plain
from slidecell.plots.thin import thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_comparison"]

# Sums beyond so many decision intervals leave the linear axis.
_FAR = 25.0

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]


def plot_comparison(
    signal: npt.ArrayLike,
    scores: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    threshold: float,
    sums: tuple[npt.ArrayLike, npt.ArrayLike],
    interval: float,
    alarms: Mapping[str, npt.ArrayLike] | None = None,
    times: npt.ArrayLike | None = None,
    times_name: str = "time",
    name: str = "signal",
    title: str | None = None,
) -> Figure:
    """Draw four panels: signal, score with threshold, both CUSUM statistics, alarms in rows.

    Parameters
    ----------
    signal : array_like, [S]
        One column of the series.
    scores : array_like, [S]
        NaN where there is none.
    labels : array_like of 0 and 1, [S], optional
        Shaded where 1, and the first row of the last panel (Truth).
    threshold : float
        A score above it alarms: the row Fixed.
    sums : (array_like, array_like), [S] each
        CUSUM statistics up and down; NaN where there is none.
    interval : float
        A sum above it alarms: the row CUSUM.
    alarms : mapping of str to array_like of 0 and 1, [S], optional
        Further rows of the last panel. Under the name ``CUSUM`` it takes the place of the sums
        above the interval (as where the sums begin again after an alarm).
    times : array_like, [S], optional
        Numbers or datetime64. Default: row numbers.
    times_name : str
        What the times are, unless they are dates.
    name : str
        Of the signal.
    title : str, optional

    Examples
    --------
    >>> from slidecell.plots import plot_comparison
    >>> up, down = [0.0, 0.0, 2.0, 5.0], [0.0, 1.0, 0.0, 0.0]
    >>> figure = plot_comparison(
    ...     [1, 1, 5, 5], [0, 0, 3, 3], [0, 0, 1, 1], threshold=2, sums=(up, down), interval=4
    ... )
    >>> [label.get_text() for label in figure.axes[3].get_yticklabels()]
    ['Truth (2)', 'Fixed (2)', 'CUSUM (1)']
    """
    measured = np.asarray(signal, np.float64)
    if measured.ndim != 1 or len(measured) == 0:
        raise ValueError(f"signal: expected [S], S >= 1, got {list(measured.shape)}")
    score = _column("scores", scores, len(measured))
    up, down = (_column(f"sums[{side}]", values, len(measured)) for side, values in enumerate(sums))
    x = np.arange(len(measured)) if times is None else np.asarray(times)
    if x.shape != measured.shape:
        raise ValueError(f"times: expected [{len(measured)}] (rows of signal), got {list(x.shape)}")
    truth = np.zeros(len(x), np.bool_)
    rows: dict[str, Bools] = {}
    if labels is not None:
        truth = rows["Truth"] = _column("labels", labels, len(x)) == 1
    rows["Fixed"] = score > threshold
    rows["CUSUM"] = (up > interval) | (down > interval)
    for row, flags in (alarms or {}).items():
        rows[row] = _column(f"alarms[{row!r}]", flags, len(x)) == 1

    figure = new_figure(13, 9.5)
    axes = figure.subplots(4, 1, sharex=True, height_ratios=[1.0, 1.2, 1.0, 0.22 + 0.2 * len(rows)])
    draw_measured(axes[0], x, measured, np.zeros(len(x), np.bool_), name)
    axes[0].set_title("Signal and labelled rows" if truth.any() else "Signal", **_LEFT)
    draw_score(axes[1], x, score, rows["Fixed"], threshold)
    axes[1].set_title("Score and fixed threshold", **_LEFT)
    _draw_sums(axes[2], x, up, down, interval)
    axes[2].set_title("CUSUM of the score and its decision interval", **_LEFT)
    for axis in axes[:3]:
        shade_labels(axis, x, truth, name="labelled anomalous")
    _draw_rows(axes[3], x, rows)
    axes[3].set_title("Rows with an alarm", **_LEFT)
    shown_times(axes[3], x, given=times is not None, name=plain(times_name))
    for axis in axes:
        axis.margins(x=0.01)
    figure.align_ylabels(axes[:3])
    figure.suptitle(plain(title) if title else "Fixed threshold and CUSUM compared", fontsize=12)
    legend_below(figure, axes)
    return figure


_LEFT: dict[str, Any] = {"loc": "left", "fontsize": 10}


def _column(name: str, values: npt.ArrayLike, S: int) -> npt.NDArray[np.float64]:
    array = np.asarray(values)
    if array.shape != (S,):
        raise ValueError(f"{name}: expected [{S}] (rows of signal), got {list(array.shape)}")
    return array.astype(np.float64)


def _draw_sums(axis: Axes, x: Array, up: Array, down: Array, interval: float) -> None:
    """Draw the sum up above zero and the sum down below it, each with its interval."""
    up, down = drawable(up), drawable(down)
    axis.plot(*thin(x, up), color=SCORE, linewidth=1.0, label="CUSUM up")
    axis.plot(*thin(x, -down), color=SECOND, ls="-.", linewidth=1.0, label="CUSUM down (negative)")
    sides = (1, -1) if np.nanmax(down, initial=0.0) > 0.0 else (1,)
    for side in sides:
        axis.axhline(
            side * interval,
            color=THRESHOLD,
            linestyle="--",
            linewidth=1.2,
            label=f"decision interval {number(interval)}" if side > 0 else None,
        )
    largest = float(np.nanmax(np.maximum(up, down), initial=0.0))
    if largest > _FAR * interval:
        # Sums that run away would flatten the interval: linear up to it, logarithmic beyond.
        axis.set_yscale("symlog", linthresh=2 * interval)
        ticks = [t for t in axis.get_yticks() if abs(t) >= 2 * interval or t == 0]
        axis.set_yticks(ticks, [number(t) for t in ticks])
    axis.set_ylabel("sum", rotation=0, ha="right", va="center", fontsize=9)
    style(axis)


def _draw_rows(axis: Axes, x: Array, rows: Mapping[str, Bools]) -> None:
    colours = {"Truth": LABEL, "Fixed": FLAG, "CUSUM": SCORE}
    more = iter(CYCLE[2:] * len(rows))
    for place, (name, mask) in enumerate(rows.items()):
        colour = colours.get(name) or next(more)
        shade_runs(axis, x, mask, (place - 0.32, place + 0.32), colour)
    names = [f"{plain(name, 20)} ({int(mask.sum()):,})" for name, mask in rows.items()]
    axis.set_yticks(range(len(rows)), names)
    axis.set_ylim(len(rows) - 0.45, -0.55)
    style(axis, grid="x")
    axis.tick_params(axis="y", length=0, labelsize=9)
