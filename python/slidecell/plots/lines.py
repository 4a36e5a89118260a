"""A measured line, and a score's line with its threshold; flagged rows marked on both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.plots.bands import shade_runs, shade_spans
from slidecell.plots.style import (
    FLAG,
    SCORE,
    SERIES,
    THRESHOLD,
    drawable,
    log_axis,
    log_worth,
    style,
)
from slidecell.plots.text import number, plain
from slidecell.plots.thin import BINS, bin_starts, runs, strokes, thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_flags", "draw_measured", "draw_score"]

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

# More flagged rows than this would cover a line with markers: marks at its foot instead.
_MARKERS = 150

_NAME_LETTERS = 22

# How dark pixels are of whose rows more and up to these shares are marked.
_SHADES = (((0.0, 0.02), 0.3), ((0.02, 0.2), 0.5), ((0.2, 0.6), 0.75), ((0.6, 1.0), 1.0))


def draw_measured(
    axis: Axes, x: Array, values: Array, flagged: Bools, name: str, *, mark: str | None = None
) -> None:
    """Draw a column [S], a long one as its envelope; ``mark`` names the flagged rows."""
    column = np.where(np.isinf(values), np.nan, values) if np.isinf(values).any() else values
    place, drawn = strokes(x, column)
    axis.plot(place, drawable(drawn), color=SERIES, linewidth=_width(x))
    if flagged.sum() <= _MARKERS:
        if flagged.any():
            points = (x[flagged], drawable(column[flagged]))
            axis.plot(*points, "o", color=FLAG, markersize=_marker(x), mew=0, label=mark)
    else:
        shade_runs(axis, x, flagged, (0.0, 0.06), FLAG, name=mark, of_height=True)
    _name_left(axis, plain(name, _NAME_LETTERS))
    style(axis)


def draw_score(
    axis: Axes,
    x: Array,
    scores: Array,
    flagged: Bools | None,
    threshold: float | None,
    *,
    name: str = "score",
) -> None:
    """Draw scores [S], their threshold and the flagged ones, if given; on a log axis if spread.

    Long ones are drawn as their envelope.
    """
    place, drawn = strokes(x, scores)
    axis.plot(place, drawable(drawn), color=SCORE, linewidth=_width(x), label=name)
    finite = drawable(scores[np.isfinite(scores)])
    if threshold is not None:
        axis.axhline(
            threshold,
            color=THRESHOLD,
            linestyle="--",
            linewidth=1.2,
            label=f"threshold {number(threshold)}",
        )
    if threshold is not None and flagged is not None:
        place, drawn = thin(x[flagged], scores[flagged])
        axis.plot(
            place,
            drawable(drawn),
            "o",
            color=FLAG,
            markersize=0.8 * _marker(x),
            markeredgewidth=0,
            label=f"flagged ({int(flagged.sum()):,})",
        )
    if log_worth(finite, threshold or None):
        low = threshold or float(np.median(finite))
        log_axis(axis, "y")
        axis.set_ylim(bottom=max(float(np.quantile(finite, 0.1)), low * 1e-3) * 0.5)
    _name_left(axis, name)
    style(axis)


def draw_flags(axis: Axes, x: Array, lanes: Mapping[str, tuple[Bools, str]]) -> None:
    """Draw marked rows [S] as lanes, the first the highest: by their names, in their colours.

    Of a long series a pixel is the darker, the more of its rows are marked.
    """
    starts = bin_starts(x)
    for place, (marked, colour) in enumerate(lanes.values()):
        axis.axhline(place + 0.5, color="#D9DDE3", linewidth=0.6, zorder=0.2)
        heights = (place + 0.1, place + 0.9)
        if len(starts) == len(x):
            shade_spans(axis, x, runs(marked), heights, colour)
            continue
        sizes = np.diff(np.append(starts, len(x)))
        shares = np.add.reduceat(marked, starts, dtype=np.int64) / sizes
        for (above, up_to), alpha in _SHADES:
            first, last = runs((shares > above) & (shares <= up_to))
            spans = starts[first], starts[last] + sizes[last] - 1
            shade_spans(axis, x, spans, heights, colour, alpha=alpha)
    axis.set_ylim(len(lanes), 0)
    axis.set_yticks(np.arange(len(lanes)) + 0.5, list(lanes))
    style(axis, grid="x")
    axis.tick_params(axis="y", length=0, labelsize=9)


def _width(x: Array) -> float:
    return 0.9 if len(x) <= BINS else 0.5


def _marker(x: Array) -> float:
    """Smaller where there are many rows, so that clusters stay readable."""
    return float(np.interp(np.log10(max(1, len(x))), [2.0, 4.5], [5.5, 3.0]))


def _name_left(axis: Axes, name: str) -> None:
    axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
