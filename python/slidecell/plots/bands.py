"""Spans of marked rows and boundaries of parts, over a horizontal axis of times or rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.plots.style import LABEL, SOFT
from slidecell.plots.thin import runs, thin_mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["mark_parts", "name_parts", "part_bounds", "shade_labels", "shade_runs", "shade_spans"]

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

# Parts that alternate more often have no room for their names.
_NAMES = 6


def shade_labels(axis: Axes, x: Array, labels: Bools, *, name: str | None = None) -> None:
    """Shade the labelled rows from foot to top of an axis."""
    shade_runs(
        axis,
        x,
        labels,
        (0.0, 1.0),
        LABEL,
        alpha=0.3,
        name=name,
        of_height=True,
        below=True,
    )


def shade_runs(
    axis: Axes,
    x: Array,
    mask: Bools,
    heights: tuple[float, float],
    colour: str,
    *,
    alpha: float = 1.0,
    name: str | None = None,
    of_height: bool = False,
    below: bool = False,
) -> None:
    """Fill a rectangle over every run of marked rows [S], from one height to another.

    Heights are values, or with ``of_height`` shares of the axis. A rectangle reaches halfway to
    the neighbours, so that one row has a width, and has an outline, which keeps a short span
    visible in a long series.
    """
    if not mask.any():
        return
    x, mask = thin_mask(x, mask)
    shade_spans(
        axis,
        x,
        runs(mask),
        heights,
        colour,
        alpha=alpha,
        name=name,
        of_height=of_height,
        below=below,
    )


def shade_spans(
    axis: Axes,
    x: Array,
    spans: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    heights: tuple[float, float],
    colour: str,
    *,
    alpha: float = 1.0,
    name: str | None = None,
    of_height: bool = False,
    below: bool = False,
) -> None:
    """Fill a rectangle from the first row of each span to its last, as `shade_runs` does."""
    first, last = spans
    if len(first) == 0:
        return
    left = _between(x, np.maximum(first - 1, 0), first)
    right = _between(x, last, np.minimum(last + 1, len(x) - 1))
    # Three points for each rectangle; the third ends it.
    edges = np.stack([left, right, right], axis=1).ravel()
    marked = [True, True, False] * len(first)
    axis.fill_between(
        edges,
        *heights,
        where=marked,
        color=colour,
        alpha=alpha,
        linewidth=1.0,
        label=name,
        zorder=0.5 if below else 2.0,
        transform=axis.get_xaxis_transform() if of_height else axis.transData,
    )


def mark_parts(axis: Axes, x: Array, bounds: list[int]) -> None:
    """Draw a line where one part of the rows ends and the next begins: at its first row."""
    for row in bounds:
        axis.axvline(x[row], color=SOFT, linestyle=(0, (4, 3)), linewidth=1.1)


def name_parts(axis: Axes, x: Array, part: Array | None, bounds: list[int]) -> None:
    """Write the names of the parts above an axis, if they are few."""
    if part is None:
        return
    starts = [0, *bounds]
    if len(starts) > _NAMES:
        return
    for start in starts:
        axis.annotate(
            f" {part[start]}",
            (x[start], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, 3),
            textcoords="offset points",
            fontsize=8,
            color=SOFT,
            annotation_clip=False,
        )


def _between(x: Array, before: npt.NDArray[np.int64], after: npt.NDArray[np.int64]) -> Array:
    """Return the middles of pairs of x; numbers or datetime64."""
    middles: Array = x[before] + (x[after] - x[before]) / 2
    return middles


def part_bounds(part: Array | None) -> list[int]:
    """Return the first row of each part of the rows [S] but the first."""
    if part is None:
        return []
    return [int(row) + 1 for row in np.flatnonzero(part[1:] != part[:-1])]
