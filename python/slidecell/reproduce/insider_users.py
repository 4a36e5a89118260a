"""Users as what an analyst looks at: which come first, which incidents are found, how late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell.datasets import INSIDER_FEATURES, INSIDER_KINDS, InsiderStudy
from slidecell.evaluate import (
    detection_delay,
    label_entities,
    precision_at_k,
    rank_entities,
    recall_at_k,
    roc_auc,
)
from slidecell.jobs.highest import highest_rows, highest_table
from slidecell.jobs.report import Table

if TYPE_CHECKING:
    from slidecell.model import SequenceModel

__all__ = [
    "Ranking",
    "kinds_table",
    "rank_users",
    "rankings_table",
    "top_days_table",
    "top_users_table",
]

Floats = npt.NDArray[np.float64]

_TOP_DAYS = 5


@dataclass(frozen=True)
class Ranking:
    """Users of the test part by one score each.

    Parameters
    ----------
    name : str
        How a user's days become one score.
    scores : ndarray, [G]
    k : int
        Users with an incident.
    precision, recall, roc_auc : float or None
        Precision and recall among the k users with the highest scores; None where no user or
        every user has an incident.
    """

    name: str
    scores: Floats
    k: int
    precision: float | None
    recall: float | None
    roc_auc: float | None


def rank_users(test: InsiderStudy, scores: npt.NDArray[np.float32]) -> list[Ranking]:
    """Rank the users of a study by the scores [S] of their days, in three ways.

    By the highest score; by the mean of the five highest; and by the same mean with every score
    divided by the median of the user's own, because who does much of everything is also forecast
    with large errors.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets import insider_threat_study
    >>> from slidecell.reproduce.insider_users import rank_users, rankings_table
    >>> test = insider_threat_study(users=20, seed=1).select("test")
    >>> rankings = rank_users(test, np.where(test.label == 1, 9, 1).astype(np.float32))
    >>> rankings[0].scores.tolist(), rankings[0].precision
    ([9.0, 1.0, 1.0, 1.0], 1.0)
    >>> rankings_table(rankings, 4).rows[-1]
    ['random', '0.25', '0.25', '0.50']
    """
    medians = np.array([
        np.nanmedian(own) if np.isfinite(own).any() else np.nan
        for own in np.split(scores, test.offsets[1:-1])
    ])  # fmt: skip
    # A user who never does anything is forecast without error: then the first digits decide.
    relative = scores / np.repeat(np.maximum(medians, 1e-9), np.diff(test.offsets))
    ways = {
        "highest score": rank_entities(scores, test.offsets),
        f"mean of the {_TOP_DAYS} highest": rank_entities(
            scores, test.offsets, "mean_top", top=_TOP_DAYS
        ),
        f"mean of the {_TOP_DAYS} highest, over the user's median": rank_entities(
            relative, test.offsets, "mean_top", top=_TOP_DAYS
        ),
    }
    injected = label_entities(test.label, test.offsets)
    k = int(injected.sum())
    judged = 0 < k < len(injected)
    return [
        Ranking(
            name,
            ranked,
            k,
            precision_at_k(injected, ranked, k) if judged else None,
            recall_at_k(injected, ranked, k) if judged else None,
            roc_auc(injected, ranked),
        )
        for name, ranked in ways.items()
    ]


def rankings_table(rankings: list[Ranking], users: int) -> Table:
    """Compare the rankings, and random scores."""
    k = rankings[0].k
    rows = [
        [ranking.name, *map(_share, (ranking.precision, ranking.recall, ranking.roc_auc))]
        for ranking in rankings
    ]
    rows.append(["random", _share(k / users), _share(k / users), "0.50"])
    return Table(
        ["users ranked by", "precision at k", "recall at k", "ROC-AUC"],
        rows,
        f"{k} of {users} test users have an incident (k = {k})",
    )


def kinds_table(test: InsiderStudy, flags: npt.NDArray[np.bool_], ranking: Ranking) -> Table:
    """Tell what is found of each kind: days, incidents, delay, users that come first."""
    first = np.zeros(len(test.users), np.bool_)
    if ranking.k:
        first[np.argsort(-np.nan_to_num(ranking.scores, nan=-np.inf))[: ranking.k]] = True
    rows = []
    for number, name in enumerate(INSIDER_KINDS):
        days = test.kind == number
        if not number or not days.any():
            continue
        delay = detection_delay(days.astype(np.int64), flags, test.offsets)
        users = label_entities(days.astype(np.int64), test.offsets)
        rows.append([
            name,
            f"{delay.events}",
            f"{int(days.sum()):,}",
            f"{100 * flags[days].mean():.0f} %",
            f"{delay.found}",
            _whole(delay.median),
            f"{int((first & users).sum())}",
        ])  # fmt: skip
    return Table(
        ["incident", "incidents", "days", "days flagged", "found", "delay, days", "among first k"],
        rows,
        f"what is found of each kind (median delay; users by {ranking.name})",
    )


def top_users_table(
    test: InsiderStudy,
    scores: npt.NDArray[np.float32],
    per_feature: npt.NDArray[np.float32],
    threshold: float,
    ranking: Ranking,
    *,
    most: int = 12,
) -> Table:
    """List the users that come first: their worst day, what it was about, what happened."""
    rows = []
    order = np.argsort(-np.nan_to_num(ranking.scores, nan=-np.inf), kind="stable")[:most]
    for place, user in enumerate(order, start=1):
        own = np.arange(test.offsets[user], test.offsets[user + 1])
        if not np.isfinite(scores[own]).any():
            continue
        worst = own[np.nanargmax(scores[own])]
        shares = per_feature[worst] / max(float(per_feature[worst].sum()), 1e-30)
        reason = int(np.argmax(shares))
        kinds = sorted(set(test.kind[own].tolist()) - {0})
        rows.append([
            f"{place}",
            str(test.users[user]),
            ", ".join(INSIDER_KINDS[kind] for kind in kinds) or "-",
            f"{int((scores[own] > threshold).sum())}",
            str(test.day[worst])[:10],
            f"{scores[worst] / threshold:.1f}",
            f"{INSIDER_FEATURES[reason]} {100 * shares[reason]:.0f} %",
        ])  # fmt: skip
    return Table(
        ["place", "user", "incident", "days flagged", "worst day", "x threshold", "most of it"],
        rows,
        f"test users that come first by {ranking.name}",
    )


def top_days_table(
    model: SequenceModel, study: InsiderStudy, scores: npt.NDArray[np.float32]
) -> Table:
    """List the test users' days with the highest scores [rows of the test part]."""
    from slidecell.detect.attribution import feature_attribution

    test = study.select("test")
    top = highest_rows(scores)
    users = test.users[np.searchsorted(test.offsets, top, side="right") - 1]
    return highest_table(
        np.flatnonzero(study.rows_of("test"))[top],
        scores[top],
        feature_attribution(model, test.counts, top, test.offsets),
        INSIDER_FEATURES,
        columns={
            "user": [str(user) for user in users],
            "day": [str(day)[:10] for day in test.day[top]],
            "incident": [INSIDER_KINDS[kind] for kind in test.kind[top]],
        },
        caption="days of test users, rows counted from 0 in order of user and day; each feature's "
        "part in the error",
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
