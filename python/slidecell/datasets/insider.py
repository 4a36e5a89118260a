"""Labelled insider-threat activity, users by days, at any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell._arguments import at_least
from slidecell._extras import require
from slidecell.datasets.people import INSIDER_FEATURES, ROLES, Incident

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["insider_threat"]

_FIRST_DAY = "2024-01-01"  # a Monday, so that day % 7 >= 5 is a weekend

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


_INCIDENTS = (
    # mass copy to a removable disk
    Incident((1, 3), {"files_copied": (60, 250), "usb_events": (4, 12), "file_ops": (80, 300)}),
    # burst of logins at night
    Incident((2, 6), {"off_hour_logins": (6, 16), "logins": (6, 16), "file_ops": (30, 120)}),
    # exfiltration by upload
    Incident((1, 4), {"http_uploads": (25, 90), "file_ops": (20, 80)}),
    # mail to outside addresses
    Incident((1, 3), {"emails_sent": (60, 180), "files_copied": (5, 30)}),
    # a slow drip, a little every day
    Incident((7, 14), {"files_copied": (12, 30), "http_uploads": (5, 14), "usb_events": (1, 3)}),
    # taken-over account: the owner's own work stops, the intruder logs in
    Incident((2, 5), {"logins": (15, 40), "off_hour_logins": (5, 20)}, removed=("emails_sent",)),
)


def insider_threat(
    *, users: int = 200, days: int = 200, seed: int = 0, anomalous_users: int | None = None
) -> pd.DataFrame:
    """Generate [S, 10] rows of daily user activity with injected insider incidents.

    Every user has a role (office, engineer, sales, administrator, shift worker), own base rates,
    a weekly rhythm, busy and quiet spells, holidays and single days without a row. Counts are
    negative binomial: more spread than Poisson, as real counts are. Each anomalous user has one
    to three incidents in the last three fifths of the days: mass copy to a removable disk,
    logins at night, uploads, mail, a slow drip over one or two weeks, a taken-over account.

    Parameters
    ----------
    users, days : int
        Users, and days per user from 2024-01-01 on. Rows are missing for a few per cent of them.
    seed : int
        Same seed and arguments, same rows.
    anomalous_users : int, optional
        Users with incidents. Default: one in ten, at least one.

    Returns
    -------
    pandas.DataFrame
        Columns ``user``, ``day``, the seven features, ``label`` (1 on days of an incident),
        in order of user and day.

    Examples
    --------
    >>> from slidecell.datasets import insider_threat
    >>> frame = insider_threat(users=3, days=30, seed=0)
    >>> list(frame.columns[:3]), int(frame["user"].nunique())
    (['user', 'day', 'logins'], 3)
    """
    require("pandas", extra="detect")
    import pandas as pd

    users, days = at_least("users", users), at_least("days", days)
    anomalous = max(1, users // 10) if anomalous_users is None else int(anomalous_users)
    if not 0 <= anomalous <= users:
        raise ValueError(
            f"anomalous_users: expected 0 to {users} (users={users}), got {anomalous_users}"
        )
    # One child generator per user: a user's days do not depend on how many others there are.
    first, *children = np.random.SeedSequence(seed).spawn(users + 1)
    chosen = set(np.random.default_rng(first).choice(users, anomalous, replace=False).tolist())
    width = max(4, len(str(users)))
    calendar = pd.date_range(_FIRST_DAY, periods=days, freq="D")
    names, present, counts, labels = [], [], [], []
    for user, child in enumerate(children):
        rng = np.random.default_rng(child)
        activity = _activity(rng, days)
        label = np.zeros(days, np.int64)
        if user in chosen:
            _inject(rng, activity, label)
        here = np.flatnonzero(_present(rng, days) | (label == 1))
        names.append(np.full(len(here), f"U{user + 1:0{width}d}"))
        present.append(here)
        counts.append(activity[here])
        labels.append(label[here])
    rows = np.concatenate(counts)
    frame = pd.DataFrame(
        {"user": np.concatenate(names), "day": calendar[np.concatenate(present)]}
        | {name: rows[:, f] for f, name in enumerate(INSIDER_FEATURES)}
    )
    frame["label"] = np.concatenate(labels)
    return frame


def _activity(rng: np.random.Generator, days: int) -> Counts:
    """Draw the normal counts of one user, [days, 7]."""
    role = ROLES[rng.choice(len(ROLES), p=[role.share for role in ROLES])]
    base = np.array(role.rates) * rng.gamma(6.0, 1.0 / 6.0, len(role.rates))
    weekend = np.arange(days) % 7 >= 5
    level = np.where(weekend, role.weekend, 1.0) * _busyness(rng, days)
    mean = level[:, None] * base  # [days, 7]
    spread = 4.0  # gamma shape: variance = mean + mean^2 / 4
    counts = rng.poisson(mean * rng.gamma(spread, 1.0 / spread, mean.shape))
    # A file that is copied is also an operation, and a login at night is also a login.
    counts[:, 2] += counts[:, 3]
    counts[:, 0] += counts[:, 1]
    return counts.astype(np.int64)


def _busyness(rng: np.random.Generator, days: int) -> Floats:
    """Draw a user's busy and quiet spells, [days]: exp of a first-order autoregression."""
    keep = 0.8
    shocks = rng.normal(0.0, 0.25 * np.sqrt(1.0 - keep**2), days)
    state, states = 0.0, np.empty(days)
    for day, shock in enumerate(shocks):
        state = keep * state + shock
        states[day] = state
    busy: Floats = np.exp(states)
    return busy


def _present(rng: np.random.Generator, days: int) -> npt.NDArray[np.bool_]:
    """Draw the days with a row, [days]: 2 % are lost, and one or two weeks every half year."""
    here = rng.random(days) >= 0.02
    for start in range(60, days, 180):
        first = int(rng.integers(start - 40, start + 80))
        here[first : first + int(rng.integers(5, 15))] = False
    here[0] = True  # every user has at least one row
    return here


def _inject(rng: np.random.Generator, activity: Counts, label: Counts) -> None:
    """Add one to three incidents to a user's days in place; activity [days, 7], label [days]."""
    days = len(label)
    for _ in range(int(rng.integers(1, 4))):
        incident = _INCIDENTS[int(rng.integers(len(_INCIDENTS)))]
        start = int(rng.integers(2 * days // 5, days))
        stop = min(days, start + int(rng.integers(incident.days[0], incident.days[1] + 1)))
        incident.inject(rng, activity[start:stop])
        label[start:stop] = 1
