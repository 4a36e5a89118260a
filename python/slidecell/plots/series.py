"""Draw a whole data set and its flagged rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell.plots.bands import shade_labels
from slidecell.plots.lines import draw_measured
from slidecell.plots.style import legend_below, new_figure, shown_times
from slidecell.plots.text import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_series_flags"]


def plot_series_flags(
    series: npt.ArrayLike,
    flags: npt.ArrayLike,
    *,
    labels: npt.ArrayLike | None = None,
    times: npt.ArrayLike | None = None,
    names: Sequence[str] | None = None,
    max_features: int = 12,
    title: str | None = None,
) -> Figure:
    """Draw every column of a series [S, F] with its flagged rows [S] marked.

    Parameters
    ----------
    series : array_like, [S, F] or [S]
    flags : array_like of 0 and 1 (or bool), [S]
    labels : array_like of 0 and 1, [S], optional
        Shaded where 1.
    times : array_like, [S], optional
        Numbers or datetime64. Default: row numbers.
    names : sequence of str, [F], optional
    max_features : int
        Of more columns the first so many are drawn, and the title says so.
    title : str, optional
        Default: how many rows are flagged.

    Examples
    --------
    >>> from slidecell.plots import plot_series_flags
    >>> figure = plot_series_flags([[1, 5], [2, 6], [9, 7]], [0, 0, 1], names=["load", "heat"])
    >>> figure.get_suptitle()
    '1 of 3 rows flagged (33.3 %)'
    """
    table = np.asarray(series)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) == 0 or table.shape[1] == 0:
        raise ValueError(f"series: expected [S, F] with S, F >= 1, got {list(table.shape)}")
    S, F = table.shape
    named = [f"feature {f}" for f in range(F)] if names is None else list(names)
    if len(named) != F:
        raise ValueError(f"names: expected {F} (columns of series), got {len(named)}")
    if max_features < 1:
        raise ValueError(f"max_features: expected at least 1, got {max_features}")
    columns = {"flags": flags, "labels": labels, "times": times}
    given = {name: np.asarray(value) for name, value in columns.items() if value is not None}
    for name, column in given.items():
        if column.shape != (S,):
            raise ValueError(f"{name}: expected [{S}], got {list(column.shape)}")
    flagged = given["flags"] == 1
    x = given.get("times", np.arange(S))
    shown = min(F, max_features)
    figure = new_figure(12, 1.2 + (2.6 if shown == 1 else 1.25 * shown))
    axes = figure.subplots(shown, 1, sharex=True, squeeze=False)[:, 0]
    mark = f"flagged ({int(flagged.sum()):,})"
    for feature, axis in enumerate(axes):
        draw_measured(axis, x, table[:, feature], flagged, named[feature], mark=mark)
        if "labels" in given:
            shade_labels(axis, x, given["labels"] == 1, name="labelled anomalous")
        axis.margins(x=0.01)
    figure.align_ylabels(axes)
    share = 100 * float(flagged.mean())
    heading = (
        plain(title) if title else f"{int(flagged.sum()):,} of {S:,} rows flagged ({share:.3g} %)"
    )
    more = "" if shown == F else f", {shown} of {F} features"
    figure.suptitle(heading + more, fontsize=11)
    shown_times(axes[-1], x, given=times is not None)
    legend_below(figure, axes[:1])
    return figure
