"""Draw the loss of training by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from slidecell.plots.style import (
    FLAG,
    SCORE,
    THRESHOLD,
    legend_below,
    log_axis,
    new_figure,
    say,
    style,
)
from slidecell.plots.text import number, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_history"]


def plot_history(history: Any, *, title: str | None = None) -> Figure:
    """Draw training and validation loss per epoch; the epoch whose weights were kept is marked.

    Parameters
    ----------
    history : slidecell.training.History or mapping
        With ``train_loss``, ``validation_loss`` and ``best_epoch``.
    title : str, optional
        Default: the loss of the epoch that was kept.

    Examples
    --------
    >>> from slidecell.plots import plot_history
    >>> history = {"train_loss": [0.3, 0.2], "validation_loss": [0.3, 0.25], "best_epoch": 2}
    >>> len(plot_history(history).axes)
    1
    """
    from matplotlib.ticker import MaxNLocator

    course = dict(history) if isinstance(history, Mapping) else vars(history)
    figure = new_figure(7, 4)
    axis = figure.subplots()
    lines: dict[str, list[float]] = {
        name: list(course.get(f"{name}_loss") or []) for name in ("train", "validation")
    }
    looks = {"train": (SCORE, "-", "o"), "validation": (FLAG, "--", "s")}
    for name, losses in lines.items():
        colour, line, marker = looks[name]
        if losses:
            epochs = range(1, len(losses) + 1)
            axis.plot(
                epochs, losses, color=colour, ls=line, marker=marker, ms=3.5, label=f"{name} loss"
            )
    best = int(course.get("best_epoch") or 0)
    if best > 0:
        axis.axvline(best, color=THRESHOLD, linestyle=":", linewidth=1.2, label="weights kept")
    drawn = [loss for losses in lines.values() for loss in losses if np.isfinite(loss)]
    if drawn and min(drawn) > 0 and max(drawn) > 10 * min(drawn):
        log_axis(axis, "y")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("epoch", fontsize=9)
    axis.set_ylabel("loss", fontsize=9)
    axis.set_title(plain(title) if title else _default_title(lines, best), fontsize=11)
    style(axis)
    if not drawn:
        say(axis, "no epoch was trained")
    legend_below(figure, [axis])
    return figure


def _default_title(lines: Mapping[str, list[float]], best: int) -> str:
    """Return the title: the loss of the best epoch, or of the last one."""
    name = "validation" if lines["validation"] else "train"
    losses = lines[name]
    if not losses:
        return "Training"
    epoch = best if 0 < best <= len(losses) else len(losses)
    return f"{name.capitalize()} loss {number(losses[epoch - 1])} after epoch {epoch}"
