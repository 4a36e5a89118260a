"""Roles, days and counts of many users, drawn for all of them at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slidecell.datasets.people import INSIDER_FEATURES, ROLES

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

DAYS = 516

_WEEK = (1.05, 1.12, 1.08, 1.02, 0.85)  # how busy a working day is, Monday to Friday
_ATTENDANCE = 0.97  # share of the working days with a row, holidays aside
_HOLIDAYS = 2  # per user: one to two weeks each
_SHORTEST = 90  # days between the first and the last day of a user
_EARLY = 0.4  # of who leaves early or joins late: so much of the calendar at most is missing
_LEAVE, _JOIN = 0.08, 0.05  # share of the users

_BUSY_KEEP, _BUSY_SPREAD = 0.8, 0.25  # first-order autoregression of the log of activity
_HABITS = 8.0  # gamma shape of what a user does more or less of than others of the role
_SPREAD = 4.0  # gamma shape: variance of a count = mean + mean^2 / 4


def draw_roles(rng: np.random.Generator, users: int) -> Ints:
    """Draw places in `ROLES`, [G].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets.many_users import draw_roles
    >>> draw_roles(np.random.default_rng(0), 5).shape
    (5,)
    """
    return rng.choice(len(ROLES), users, p=[role.share for role in ROLES])


def draw_present(rng: np.random.Generator, roles: Ints) -> Bools:
    """Draw on which days each user has a row, [G, 516].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets.many_users import draw_present
    >>> present = draw_present(np.random.default_rng(0), np.zeros(50, int))
    >>> weekend = np.arange(516) % 7 >= 5
    >>> bool(present[:, weekend].mean() < 0.1 < 0.8 < present[:, ~weekend].mean())
    True
    """
    users, day = len(roles), np.arange(DAYS)
    weekend = np.array([role.weekend for role in ROLES])[roles]
    chance = np.where(day % 7 >= 5, weekend[:, None], _ATTENDANCE)
    present = rng.random((users, DAYS)) < chance
    for start in np.linspace(0, DAYS, _HOLIDAYS, endpoint=False):
        first = rng.integers(int(start), int(start) + DAYS // _HOLIDAYS, users)
        present &= ~_between(first, first + rng.integers(5, 15, users))
    # No row before the first or after the last day at work.
    gone = rng.integers(_SHORTEST, int(_EARLY * DAYS) + _SHORTEST, users)
    leaves, joins = rng.random(users) < _LEAVE, rng.random(users) < _JOIN
    present &= _between(np.zeros(users, np.int64), np.where(leaves, DAYS - gone, DAYS))
    present &= _between(np.where(joins & ~leaves, gone, 0), np.full(users, DAYS))
    return present


def _between(first: Ints, stop: Ints) -> Bools:
    """Days from `first` [G] to before `stop` [G], [G, 516]."""
    day = np.arange(DAYS)
    return (day >= first[:, None]) & (day < stop[:, None])


def with_rows(rng: np.random.Generator, present: Bools, rows: int) -> Bools:
    """Add or remove single working days at random, so that there are exactly so many rows.

    Parameters
    ----------
    rng : Generator
    present : ndarray of bool, [G, 516]
    rows : int

    Returns
    -------
    ndarray of bool, [G, 516]

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets.many_users import draw_present, with_rows
    >>> rng = np.random.default_rng(0)
    >>> int(with_rows(rng, draw_present(rng, np.zeros(4, int)), 1400).sum())
    1400
    """
    missing = rows - int(present.sum())
    day = np.arange(DAYS)
    first, last = present.argmax(axis=1), DAYS - 1 - present[:, ::-1].argmax(axis=1)
    inside = (day > first[:, None]) & (day < last[:, None]) & (day % 7 < 5)
    # Working days between a user's first and last row; if a few users lack more than those, any.
    candidates = rng.permutation(np.flatnonzero(present if missing < 0 else ~present))
    order = np.argsort(~inside.flat[candidates], kind="stable")
    result = present.copy()
    result.flat[candidates[order[: abs(missing)]]] = missing > 0
    return result


def draw_counts(rng: np.random.Generator, roles: Ints, present: Bools) -> npt.NDArray[np.int32]:
    """Draw the counts of all rows, [S, 7], in order of user and day.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets.many_users import draw_counts
    >>> draw_counts(np.random.default_rng(0), np.zeros(2, int), np.ones((2, 516), bool)).shape
    (1032, 7)
    """
    users, days = np.nonzero(present)
    level = (_busyness(rng, roles) * _rhythm(roles))[users, days]  # [S]
    base = np.array([role.rates for role in ROLES])[roles]
    base *= rng.gamma(_HABITS, 1.0 / _HABITS, base.shape)  # own habits, [G, 7]
    counts = np.empty((len(users), len(INSIDER_FEATURES)), np.int32)
    for feature in range(counts.shape[1]):
        mean = level * base[users, feature]
        counts[:, feature] = rng.poisson(mean * rng.gamma(_SPREAD, 1.0 / _SPREAD, len(mean)))
    # A file that is copied is also an operation, and a login at night is also a login.
    counts[:, 2] += counts[:, 3]
    counts[:, 0] += counts[:, 1]
    return counts


def _rhythm(roles: Ints) -> Floats:
    """How busy each user is on each day of the calendar, [G, 516]: 1 on a usual day."""
    weekend = np.array([role.weekend for role in ROLES])[roles]
    quiet = 0.4 + 0.6 * weekend  # of who comes on a weekend at all
    week = np.concatenate([np.tile(_WEEK, (len(roles), 1)), quiet[:, None], quiet[:, None]], axis=1)
    return week[:, np.arange(DAYS) % 7]


def _busyness(rng: np.random.Generator, roles: Ints) -> Floats:
    """Draw busy and quiet spells, [G, 516]: exp of a first-order autoregression."""
    states = np.empty((len(roles), DAYS))
    shocks = rng.normal(0.0, _BUSY_SPREAD * np.sqrt(1.0 - _BUSY_KEEP**2), states.shape)
    states[:, 0] = rng.normal(0.0, _BUSY_SPREAD, len(roles))
    for day in range(1, DAYS):
        states[:, day] = _BUSY_KEEP * states[:, day - 1] + shocks[:, day]
    return np.exp(states)
