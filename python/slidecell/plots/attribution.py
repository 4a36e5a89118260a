"""Bars of the parts of a score: members of an ensemble, or features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell.plots.style import (
    ANOMALY,
    CYCLE,
    HATCHES,
    NORMAL,
    SOFT,
    THRESHOLD,
    drawable,
    legend_below,
    new_figure,
    say,
    style,
)
from slidecell.plots.text import number, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_feature_attribution", "plot_member_attribution"]

Floats = npt.NDArray[np.float64]

# Panels of points beside and below each other.
_PANELS = 12
_PANELS_WIDE = 3


def plot_member_attribution(
    contributions: npt.ArrayLike,
    names: Sequence[str],
    *,
    top: int = 30,
    title: str | None = None,
) -> Figure:
    """Draw what each member contributes: stacked bars of the top points, boxes of all of them.

    Points are ordered by the sum of their contributions, which is their score above the baseline
    and marked by a dash. What is below zero is stacked downwards.

    Parameters
    ----------
    contributions : array_like, [n, M]
        Of n points and M members; points with a NaN are left out.
    names : sequence of str, [M]
    top : int
        Points with a bar at most.
    title : str, optional

    Examples
    --------
    >>> from slidecell.plots import plot_member_attribution
    >>> figure = plot_member_attribution([[1.0, 0.5], [3.0, -0.5]], ["zscore", "forest"])
    >>> [axis.get_title() for axis in figure.axes]
    ['Top 2 of 2 points', 'All 2 points']
    """
    table, named = _check(contributions, names, "[n, M]", "members")
    table = table[np.isfinite(table).all(axis=1)]
    order = np.argsort(-table.sum(axis=1), kind="stable")
    if top < 1:
        raise ValueError(f"top: expected at least 1, got {top}")
    bars = table[order[:top]]
    figure = new_figure(13, 5)
    stacked, boxes = figure.subplots(1, 2, width_ratios=[1.7, 1.0])
    if len(table) == 0:
        say(stacked, "no point has all contributions")
    _stack(stacked, bars, named)
    stacked.set_xlabel("rank", fontsize=9)
    stacked.set_ylabel("contribution to the score", fontsize=9)
    stacked.set_title(f"Top {len(bars)} of {len(table):,} points", fontsize=11)
    if len(table):
        _box(boxes, table, named)
    boxes.set_ylabel("contribution to the score", fontsize=9)
    boxes.set_title(f"All {len(table):,} points", fontsize=11)
    for axis in (stacked, boxes):
        axis.axhline(0.0, color=SOFT, linewidth=0.8)
        style(axis, grid="y")
    strongest = f": most comes from {named[_largest(table)]}" if len(table) else ""
    figure.suptitle(plain(title) if title else f"What raises the score{strongest}", fontsize=12)
    legend_below(figure, [stacked])
    return figure


def plot_feature_attribution(
    contributions: npt.ArrayLike,
    names: Sequence[str],
    *,
    points: Sequence[str] | None = None,
    top: int = 10,
    title: str | None = None,
) -> Figure:
    """Draw which features a score comes from: horizontal bars, one panel for each point.

    The features are those with the largest mean contribution (by size), in the same order in every
    panel; the sum of all others is one bar. Each panel has its own scale.

    Parameters
    ----------
    contributions : array_like, [F] or [n, F]
        Of one point, or of n; of more than 12 the first 12 are drawn. NaN counts as nothing.
    names : sequence of str, [F]
    points : sequence of str, [n], optional
        Titles of the panels.
    top : int
        Features with a bar of their own.
    title : str, optional

    Examples
    --------
    >>> from slidecell.plots import plot_feature_attribution
    >>> figure = plot_feature_attribution([0.1, 2.0, 0.4], ["load", "heat", "fan"])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['heat', 'fan', 'load']
    """
    array = np.asarray(contributions)
    table, named = _check(array[None] if array.ndim == 1 else array, names, "[n, F]", "features")
    table = np.where(np.isfinite(table), table, 0.0)
    n = len(table)
    titles = [f"point {p}" for p in range(n)] if points is None else [plain(p, 40) for p in points]
    if len(titles) != n:
        raise ValueError(f"points: expected {n} (rows of contributions), got {len(titles)}")
    if top < 1:
        raise ValueError(f"top: expected at least 1, got {top}")
    if n == 1 and points is None:
        titles = [""]
    table, labels = _fold(table, named, top)
    shown = min(n, _PANELS)
    wide = min(max(shown, 1), _PANELS_WIDE)
    high = max(1, math.ceil(shown / wide))
    figure = new_figure(3.0 + 3.4 * wide, 0.9 + high * (0.7 + 0.26 * len(labels)))
    axes = figure.subplots(high, wide, sharey=True, squeeze=False).ravel()
    for axis in axes[shown:]:
        axis.set_visible(False)
    if n == 0:
        say(axes[0], "no point")
        axes[0].set_visible(True)
    for axis, row, name in zip(axes, table, titles, strict=False):
        _bars(axis, row, labels)
        axis.set_title(", ".join(filter(None, (name, f"sum {number(row.sum())}"))), fontsize=10)
    few = "" if n <= _PANELS else f", the first {_PANELS} of {n:,} points"
    figure.suptitle((plain(title) if title else "What the score comes from") + few, fontsize=12)
    return figure


def _check(
    contributions: npt.ArrayLike, names: Sequence[str], shape: str, what: str
) -> tuple[Floats, list[str]]:
    table = np.asarray(contributions, np.float64)
    if table.ndim != 2 or table.shape[1] == 0:
        raise ValueError(f"contributions: expected {shape}, got {list(table.shape)}")
    if len(names) != table.shape[1]:
        raise ValueError(f"names: expected {table.shape[1]} ({what}), got {len(names)}")
    return drawable(table), [plain(name, 24) for name in names]


def _largest(table: Floats) -> int:
    return int(table.mean(axis=0).argmax())


def _look(member: int) -> tuple[str, str]:
    """Return colour and hatch; the colours begin again with other hatches."""
    colours = len(CYCLE)
    return CYCLE[member % colours], HATCHES[(member + member // colours) % len(HATCHES)]


def _stack(axis: Axes, bars: Floats, names: list[str]) -> None:
    """Stack the columns of bars [n, M] upwards and downwards from zero."""
    rank = np.arange(1, len(bars) + 1)
    for member, name in enumerate(names):
        colour, hatch = _look(member)
        value, before = bars[:, member], bars[:, :member]
        same_side = np.where(np.sign(before) == np.sign(value)[:, None], before, 0.0)
        axis.bar(
            rank,
            value,
            bottom=same_side.sum(axis=1),
            width=0.85,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.4,
            label=name,
        )
    if len(bars):
        axis.plot(
            rank, bars.sum(axis=1), "_", color=THRESHOLD, ms=9, mew=2, label="score above baseline"
        )
        axis.set_xlim(0.3, len(bars) + 0.7)
        axis.set_xticks(rank if len(rank) <= 12 else [1, *range(5, len(rank) + 1, 5)])


def _box(axis: Axes, table: Floats, names: list[str]) -> None:
    drawn = axis.boxplot(
        table,
        patch_artist=True,
        widths=0.6,
        medianprops={"color": THRESHOLD, "linewidth": 1.6},
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": SOFT},
        whiskerprops={"color": SOFT},
        capprops={"color": SOFT},
    )
    for member, box in enumerate(drawn["boxes"]):
        colour, hatch = _look(member)
        box.set(facecolor=(colour, 0.75), edgecolor=SOFT, hatch=hatch)
    crowded = len(names) > 4 or max(map(len, names)) > 12
    axis.set_xticks(
        range(1, len(names) + 1),
        names,
        rotation=35 if crowded else 0,
        ha="right" if crowded else "center",
    )


def _fold(table: Floats, names: list[str], top: int) -> tuple[Floats, list[str]]:
    """Order features [n, F] by size and add up those after the first ``top``."""
    size = np.abs(table).mean(axis=0) if len(table) else np.zeros(table.shape[1])
    order = np.argsort(-size, kind="stable")
    if len(order) <= top + 1:  # a single other has room for its name
        return table[:, order], [names[f] for f in order]
    others = table[:, order[top:]].sum(axis=1, keepdims=True)
    kept = [names[f] for f in order[:top]]
    return np.hstack([table[:, order[:top]], others]), [*kept, f"{len(order) - top} others"]


def _bars(axis: Axes, values: Floats, names: list[str]) -> None:
    """Draw bars from zero, what lowers the score hatched."""
    place = np.arange(len(values))
    for sign, colour, hatch in ((1, ANOMALY, ""), (-1, NORMAL, "///")):
        side = np.where(np.sign(values) == sign, values, 0.0)
        axis.barh(place, side, height=0.7, color=colour, hatch=hatch, edgecolor="white", lw=0.4)
    axis.set_yticks(place, names, fontsize=9)
    axis.set_ylim(len(values) - 0.4, -0.6)
    axis.axvline(0.0, color=SOFT, linewidth=0.8)
    axis.locator_params(axis="x", nbins=5)
    style(axis, grid="x")
    axis.tick_params(axis="y", length=0, labelsize=9)
