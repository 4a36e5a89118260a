"""A measured line, and a score's line with its threshold; flagged rows marked on both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.plots.bands import shade_runs
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
from slidecell.plots.thin import BINS, thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_measured", "draw_score"]

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

# More flagged rows than this would cover a line with markers: marks at its foot instead.
_MARKERS = 150

_NAME_LETTERS = 22


def draw_measured(
    axis: Axes, x: Array, values: Array, flagged: Bools, name: str, *, mark: str | None = None
) -> None:
    """Draw a column [S]; ``mark`` names the flagged rows in a legend."""
    column = np.where(np.isfinite(values), drawable(values), np.nan)
    axis.plot(*thin(x, column), color=SERIES, linewidth=_width(x))
    if flagged.sum() <= _MARKERS:
        if flagged.any():
            points = (x[flagged], column[flagged])
            axis.plot(*points, "o", color=FLAG, markersize=_marker(x), mew=0, label=mark)
    else:
        shade_runs(axis, x, flagged, (0.0, 0.06), FLAG, name=mark, of_height=True)
    _name_left(axis, plain(name, _NAME_LETTERS))
    style(axis)


def draw_score(
    axis: Axes,
    x: Array,
    scores: Array,
    flagged: Bools,
    threshold: float | None,
    *,
    name: str = "score",
) -> None:
    """Draw scores [S], their threshold and what is above it; on a log axis if spread."""
    scores = drawable(scores)
    finite = scores[np.isfinite(scores)]
    axis.plot(*thin(x, scores), color=SCORE, linewidth=_width(x), label=name)
    if threshold is not None:
        axis.axhline(
            threshold,
            color=THRESHOLD,
            linestyle="--",
            linewidth=1.2,
            label=f"threshold {number(threshold)}",
        )
        axis.plot(
            *thin(x[flagged], scores[flagged]),
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


def _width(x: Array) -> float:
    return 0.9 if len(x) <= BINS else 0.5


def _marker(x: Array) -> float:
    """Smaller where there are many rows, so that clusters stay readable."""
    return float(np.interp(np.log10(max(1, len(x))), [2.0, 4.5], [5.5, 3.0]))


def _name_left(axis: Axes, name: str) -> None:
    axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
