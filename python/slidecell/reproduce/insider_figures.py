"""Figures of system A: curves of the five networks, errors, users, one incident."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell.datasets import INSIDER_FEATURES, INSIDER_KINDS, InsiderStudy
from slidecell.evaluate import label_entities
from slidecell.jobs import report
from slidecell.plots import plot_errors, plot_scores
from slidecell.plots.style import (
    ANOMALY,
    FLAG,
    HATCHES,
    NORMAL,
    SCORE,
    legend_below,
    log_axis,
    new_figure,
    style,
)
from slidecell.plots.text import number, plain
from slidecell.reproduce.insider_users import Ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from slidecell.detect import ArchitectureSearch

__all__ = ["insider_figures"]

_BARS = 30


def insider_figures(
    search: ArchitectureSearch,
    test: InsiderStudy,
    scores: npt.NDArray[np.float32],
    threshold: float,
    ranking: Ranking,
) -> list[report.Figure]:
    """Return all figures with their captions.

    Parameters
    ----------
    search : ArchitectureSearch
    test : InsiderStudy
        With incidents.
    scores : ndarray, [S]
        Of its rows.
    threshold : float
    ranking : Ranking
    """
    figures = [
        report.Figure(
            partial(plot_courses, search),
            "Loss of the five networks; the epoch whose weights were kept is ringed.",
            "training",
        ),
        report.Figure(
            partial(plot_errors, scores, test.label, threshold),
            "Forecast errors of the test users' days.",
            "errors",
        ),
        report.Figure(
            partial(plot_top_users, test, ranking),
            f"Test users that come first by {ranking.name}.",
            "users",
        ),
    ]
    user = _shown_user(test, scores, threshold)
    if user is not None:
        draw = partial(_one_user, test, scores, threshold, user)
        figures.append(report.Figure(draw, "One user with an incident.", "incident"))
    return figures


def plot_courses(search: ArchitectureSearch) -> Figure:
    """Draw training and validation loss by epoch, a panel per network."""
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(2.4 * len(search.results), 3.4)
    axes = figure.subplots(1, len(search.results), sharey=True, squeeze=False)[0]
    for axis, result in zip(axes, search.results, strict=True):
        style(axis)
        axis.set_title(plain(result.name), fontsize=10)
        axis.set_xlabel("epoch", fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if result.history is None:
            continue
        epochs = np.arange(1, result.epochs + 1)
        course = result.history
        axis.plot(epochs, course.train_loss, "-o", color=SCORE, ms=3.5, label="train loss")
        losses = course.validation_loss
        axis.plot(epochs, losses, "--s", color=FLAG, ms=3.5, label="validation loss")
        best = result.best_epoch
        axis.plot(best, losses[best - 1], "o", ms=10, mfc="none", mec="#111111")
        axis.annotate(
            number(losses[best - 1]),
            (best, losses[best - 1]),
            xytext=(0, -16),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
        axis.margins(x=0.15, y=0.2)
    log_axis(axes[0], "y")
    axes[0].set_ylabel("loss", fontsize=9)
    figure.suptitle(f"{plain(search.best.name)} has the lowest validation loss", fontsize=11)
    legend_below(figure, axes)
    return figure


def plot_top_users(test: InsiderStudy, ranking: Ranking) -> Figure:
    """Draw the scores of the first users, those with an incident apart.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets import insider_threat_study
    >>> from slidecell.reproduce.insider_figures import plot_top_users
    >>> from slidecell.reproduce.insider_users import rank_users
    >>> test = insider_threat_study(users=20, seed=1).select("test")
    >>> ranking = rank_users(test, np.where(test.label == 1, 9, 1).astype(np.float32))[0]
    >>> plot_top_users(test, ranking).axes[0].get_title()
    '1 of the first 1 of 4 users have an incident'
    """
    scores = np.nan_to_num(ranking.scores, nan=-np.inf)
    ranked = np.argsort(-scores, kind="stable")
    order = ranked[:_BARS]
    order = order[np.isfinite(scores[order])]
    injected = label_entities(test.label, test.offsets)
    figure = new_figure(8.5, 1.4 + 0.19 * len(order))
    axis = figure.subplots()
    place = np.arange(len(order))
    for name, colour, hatch, mask in (
        ("user with an incident", ANOMALY, HATCHES[1], injected[order]),
        ("other user", NORMAL, "", ~injected[order]),
    ):
        if mask.any():
            axis.barh(
                place[mask],
                scores[order][mask],
                color=(colour, 0.55),
                edgecolor=colour,
                hatch=hatch,
                label=name,
            )
    kinds = []
    for user in order:
        incidents = set(test.kind[test.offsets[user] : test.offsets[user + 1]].tolist()) - {0}
        kinds.append("".join(f"  {INSIDER_KINDS[kind]}" for kind in sorted(incidents)))
    axis.set_yticks(
        place, [f"{plain(test.users[u])}{k}" for u, k in zip(order, kinds, strict=True)]
    )
    axis.invert_yaxis()
    axis.set_xlabel(plain(ranking.name), fontsize=9)
    if 0 < ranking.k <= len(order):
        axis.axhline(ranking.k - 0.5, color="#111111", linestyle="--", linewidth=1.1,
                     label=f"k = {ranking.k}, the users with an incident")  # fmt: skip
    hits = int(injected[ranked[: ranking.k]].sum())
    axis.set_title(
        f"{hits} of the first {ranking.k} of {len(test.users)} users have an incident", fontsize=11
    )
    style(axis, grid="x")
    axis.margins(y=0.01)
    legend_below(figure, [axis])
    return figure


def _shown_user(
    test: InsiderStudy, scores: npt.NDArray[np.float32], threshold: float
) -> int | None:
    """Return the user with most days of an incident flagged: the one that shows most."""
    hits = np.add.reduceat((scores > threshold) & (test.label == 1), test.offsets[:-1])
    injected = label_entities(test.label, test.offsets)
    return int(np.argmax(np.where(injected, hits, -1))) if injected.any() else None


def _one_user(
    test: InsiderStudy, scores: npt.NDArray[np.float32], threshold: float, user: int
) -> Figure:
    """Draw what one user did, the scores and the days of the incident."""
    rows = slice(int(test.offsets[user]), int(test.offsets[user + 1]))
    kinds = sorted(set(test.kind[rows].tolist()) - {0})
    what = ", ".join(INSIDER_KINDS[kind] for kind in kinds)
    return plot_scores(
        test.counts[rows],
        scores[rows],
        threshold=threshold,
        labels=test.label[rows],
        times=test.day[rows],
        names=INSIDER_FEATURES,
        title=f"{test.users[user]}: {what}",
    )
