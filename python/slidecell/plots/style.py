"""The one style of all figures: colours, lines, hatches, axes, legends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.plots.text import number

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "ANOMALY", "CYCLE", "FLAG", "HATCHES", "LABEL", "LINES", "NORMAL", "SCORE", "SECOND", "SERIES",
    "SOFT", "THRESHOLD", "drawable", "fewer_dates", "legend_below", "log_axis", "log_worth",
    "new_figure", "say", "shown_times", "style",
]  # fmt: skip

# Okabe and Ito (2008), "Color Universal Design": eight colours that people with any common colour
# blindness tell apart. Black is the threshold's alone, yellow too faint for a line on white.
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
LINES: tuple[Any, ...] = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (7, 2)))
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---")

SERIES = "#4A5568"  # what was measured
SCORE = NORMAL = "#0072B2"
FLAG = ANOMALY = "#D55E00"
SECOND = "#009E73"
THRESHOLD = "#111111"
LABEL = "#E69F00"  # bands behind what is labelled
SOFT = "#6B7280"  # texts and lines of little weight

# Above this ratio of largest value to reference a linear axis would flatten everything below.
_LOG_RATIO = 25.0

_POINTS_PER_INCH = 72.0

# The margins of an axis, above all of a logarithmic one, overflow float64 beyond about 1e280.
_LARGEST = 1e200


def new_figure(width: float, height: float) -> Figure:
    """Make a figure of so many inches that no window and no global state knows of."""
    require("matplotlib", extra="detect")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")


def style(axis: Axes, *, grid: Literal["both", "x", "y"] = "both") -> None:
    """Give an axis its faint grid and its quiet frame."""
    axis.grid(visible=True, axis=grid, color="#D9DDE3", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#9AA3AF")
    axis.tick_params(labelsize=8, color="#9AA3AF")


def say(axis: Axes, text: str) -> None:
    """Write on an axis why there is nothing to see."""
    axis.text(
        0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", color=SOFT, fontsize=10
    )


def legend_below(figure: Figure, axes: Iterable[Axes]) -> None:
    """Put one legend for all axes under the figure, where it covers no data; equal names once."""
    found: dict[str, Artist] = {}
    for axis in axes:
        handles, names = axis.get_legend_handles_labels()
        for handle, name in zip(handles, names, strict=True):
            found.setdefault(name, handle)
    if not found:
        return
    # A handle and its gaps take about six letters, a letter about 0.55 of its height.
    size = 9.0
    room = figure.get_size_inches()[0] * _POINTS_PER_INCH / (0.55 * size)
    letters = [len(name) + 6 for name in found]
    columns = len(found) if sum(letters) <= room else max(1, int(room // max(letters)))
    legend = figure.legend(
        list(found.values()),
        list(found),
        loc="outside lower center",
        ncols=columns,
        fontsize=size,
        frameon=False,
    )
    for line in legend.get_lines():  # thin lines and small points of a long series
        line.set_linewidth(max(1.5, line.get_linewidth()))
        line.set_markersize(max(5.0, line.get_markersize()))
        line.set_alpha(1.0)


def log_axis(axis: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with plain numbers beside its ticks."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        """0.1 instead of 1e-01, at the ticks that the base class would name."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return number(x) if super().__call__(x, pos) else ""

    getattr(axis, f"set_{which}scale")("log")
    ticks = axis.xaxis if which == "x" else axis.yaxis
    ticks.set_major_formatter(Plain())
    ticks.set_minor_formatter(Plain(labelOnlyBase=False, minor_thresholds=(2, 0.4)))
    axis.tick_params(axis=which, which="minor", labelsize=7, color="#9AA3AF")


def drawable(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return values as float64, those too large for an axis at what it can still show.

    Examples
    --------
    >>> from slidecell.plots.style import drawable
    >>> drawable([1.0, -1e300, float("nan"), float("inf")]).tolist()
    [1.0, -1e+200, nan, inf]
    """
    array = np.asarray(values, np.float64)
    return np.where(np.isfinite(array), np.clip(array, -_LARGEST, _LARGEST), array)


def log_worth(values: npt.NDArray[Any], reference: float | None = None) -> bool:
    """Return whether values rise so far above their reference that only a log axis shows both.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.plots.style import log_worth
    >>> log_worth(np.array([1.0, 1.5, 1e4])), log_worth(np.array([1.0, 1.5, 2.0]))
    (True, False)
    """
    if len(values) == 0:
        return False
    middle = float(np.median(values)) if reference is None else reference
    return middle > 0.0 and bool(values.max() > _LOG_RATIO * middle)


def fewer_dates(axis: Axes, x: npt.NDArray[Any], width: float) -> None:
    """Leave out so many ticks of a horizontal axis of dates that their texts have room.

    ``width`` is that of the figure in inches; a date takes about one, the axis two thirds of it.
    """
    if x.dtype.kind != "M":
        return
    low, high = axis.get_xlim()
    ticks = [tick for tick in axis.get_xticks() if low <= tick <= high]
    most = max(2, int(width / 1.5))
    if len(ticks) > most:
        axis.set_xticks(ticks[:: -(-len(ticks) // most)])


def shown_times(axis: Axes, x: npt.NDArray[Any], *, given: bool, name: str = "time") -> None:
    """Name the horizontal axis, unless it shows dates, which name themselves."""
    if x.dtype.kind != "M":
        axis.set_xlabel(name if given else "row", fontsize=9)
