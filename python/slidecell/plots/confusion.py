"""Draw the counts of flags against labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.plots.labelled import labelled
from slidecell.plots.style import new_figure
from slidecell.plots.text import number, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_confusion"]

# Cells darker than this bear white letters.
_DARK = 0.68


def plot_confusion(
    flags: npt.ArrayLike, labels: npt.ArrayLike, *, title: str | None = None
) -> Figure:
    r"""Draw how many normal and anomalous rows are flagged and how many are not.

    Parameters
    ----------
    flags : array_like of 0 and 1 (or bool), [S]
        NaN where a row has no score: it is left out and counted.
    labels : array_like of 0 and 1, [S]
        1 = anomaly.
    title : str, optional
        Default: precision, recall and F1.

    Examples
    --------
    >>> from slidecell.plots import plot_confusion
    >>> figure = plot_confusion([0, 1, 1, 1], [0, 0, 1, 1])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1\n50 % of normal', '1\n50 % of normal', '0\n0 % of anomalous', '2\n100 % of anomalous']
    """
    require("sklearn", extra="detect")
    from sklearn.metrics import confusion_matrix

    found = labelled(flags, labels, name="flags")
    other = found.scores[(found.scores != 0.0) & (found.scores != 1.0)]
    if len(other):
        raise ValueError(f"flags: expected 0, 1 or NaN, got {other[0]:g}")
    counts = np.zeros((2, 2), np.int64)
    if len(found.scores):
        flagged = found.scores.astype(np.int64)
        counts = confusion_matrix(found.anomalous.astype(np.int64), flagged, labels=[0, 1])
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros((2, 2)), where=totals > 0)
    figure = new_figure(5.2, 4.4)
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    names = ("normal", "anomalous")
    for row, name in enumerate(names):
        for column in range(2):
            share = (
                f"{100 * shares[row, column]:.3g} % of {name}" if totals[row, 0] else f"no {name}"
            )
            axis.text(
                column,
                row,
                f"{counts[row, column]:,}\n{share}",
                ha="center",
                va="center",
                fontsize=12,
                color="white" if shares[row, column] > _DARK else "#111111",
            )
    axis.set_xticks([0, 1], ["not flagged", "flagged"], fontsize=10)
    axis.set_yticks([0, 1], [f"labelled\n{name}" for name in names], fontsize=10)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    left_out = f"{found.unscored:,} rows without a score are left out" if found.unscored else ""
    axis.set_xlabel(left_out, fontsize=9)
    axis.set_title(plain(title) if title else _default_title(counts), fontsize=11)
    return figure


def _default_title(counts: npt.NDArray[np.int64]) -> str:
    (_, false_alarms), (misses, hits) = counts.tolist()
    if not hits + misses:
        return f"{false_alarms:,} false alarms, no anomalous row"
    if not hits + false_alarms:
        return "Nothing is flagged"
    precision, recall = hits / (hits + false_alarms), hits / (hits + misses)
    f1 = 2 * hits / (2 * hits + false_alarms + misses)
    return f"Precision {number(precision)}, recall {number(recall)}, F1 {number(f1)}"
