"""Daily activity of thousands of users, with a stored split, drawn for all users at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._arguments import at_least
from slidecell._extras import require
from slidecell.datasets.many_users import draw_counts, draw_present, draw_roles, with_rows
from slidecell.datasets.people import INSIDER_FEATURES, Incident

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INSIDER_KINDS", "InsiderStudy", "inject_incidents", "insider_threat_study"]

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# "other": labelled in a file that does not tell what it was.
INSIDER_KINDS = ("none", "exfiltration", "credential misuse", "slow drift", "other")

_FIRST_DAY = "2024-01-01"  # a Monday, so that day % 7 >= 5 is a weekend

# Users and rows of the published study; other numbers of users are split in proportion.
_USERS = {"train": 2560, "validation": 640, "test": 800}
_ROWS = {"train": 891_296, "validation": 222_825, "test": 279_889}

_INCIDENTS = {
    "exfiltration": Incident(
        (1, 4),
        {
            "files_copied": (20, 90),
            "usb_events": (2, 8),
            "http_uploads": (8, 40),
            "file_ops": (30, 150),
        },
    ),
    "credential misuse": Incident(
        (4, 10),
        {"logins": (4, 14), "off_hour_logins": (4, 12), "file_ops": (10, 60)},
        removed=("emails_sent",),
    ),
    "slow drift": Incident(
        (25, 60),
        {
            "files_copied": (12, 30),
            "http_uploads": (6, 16),
            "off_hour_logins": (2, 5),
            "usb_events": (1, 3),
        },
        grows=True,
    ),
}


@dataclass(frozen=True, eq=False)
class InsiderStudy:
    """Daily activity of users, with each user's part of the study and the labels of the days.

    Parameters
    ----------
    counts : ndarray, [S, 7]
        In order of user and day; columns as `INSIDER_FEATURES`. int32 where they were drawn.
    offsets : ndarray of int64, [G+1]
        User g owns rows ``offsets[g]:offsets[g+1]``.
    users : ndarray of str, [G]
    part : ndarray of str, [G]
        "train", "validation" or "test".
    day : ndarray of datetime64, [S]
    label : ndarray of int64, [S]
        1 on days of an incident.
    kind : ndarray of int64, [S]
        A place in `INSIDER_KINDS`.

    Examples
    --------
    >>> from slidecell.datasets import insider_threat_study
    >>> study = insider_threat_study(users=10)
    >>> test = study.select("test")
    >>> test.users.tolist(), test.counts.shape[1]
    (['U0005', 'U0008'], 7)
    """

    counts: Array
    offsets: Ints
    users: Array
    part: Array
    day: Array
    label: Ints
    kind: Ints

    def rows_of(self, *parts: str) -> Bools:
        """Return which rows belong to users of these parts, [S]."""
        return np.repeat(np.isin(self.part, parts), np.diff(self.offsets))

    def select(self, *parts: str) -> InsiderStudy:
        """Return the users of these parts, in their order."""
        users, rows = np.isin(self.part, parts), self.rows_of(*parts)
        lengths = np.diff(self.offsets)[users]
        return InsiderStudy(
            counts=self.counts[rows],
            offsets=np.concatenate(([0], np.cumsum(lengths))),
            users=self.users[users],
            part=self.part[users],
            day=self.day[rows],
            label=self.label[rows],
            kind=self.kind[rows],
        )

    def frame(self) -> pd.DataFrame:
        """Return one table: user, day, the seven features, label, kind (text), part.

        Examples
        --------
        >>> from slidecell.datasets import insider_threat_study
        >>> list(insider_threat_study(users=5).frame().columns[-4:])
        ['emails_sent', 'label', 'kind', 'part']
        """
        require("pandas", extra="detect")
        import pandas as pd

        lengths = np.diff(self.offsets)
        table = pd.DataFrame(
            {"user": np.repeat(self.users, lengths), "day": self.day.astype("datetime64[s]")}
        )
        for column, name in enumerate(INSIDER_FEATURES):
            table[name] = self.counts[:, column]
        table["label"] = self.label
        table["kind"] = np.array(INSIDER_KINDS)[self.kind]
        table["part"] = np.repeat(self.part, lengths)
        return table


def insider_threat_study(
    *, users: int = 4000, seed: int = 0, injected_users: int | None = None
) -> InsiderStudy:
    """Generate daily activity of users over 516 days, with a stored split of the users.

    4,000 users have 1,394,010 rows: 2,560 training users 891,296, 640 validation users 222,825,
    800 test users 279,889, so that every part has as many windows of seven days and one to
    forecast as the published study of that size. Other numbers of users have the same shares.

    A user has a role and own base rates, busy and quiet spells, and a week: most have no row on
    most weekends; holidays and single days are missing; some join late or leave early. Counts are
    negative binomial.

    Parameters
    ----------
    users : int
        At least 5.
    seed : int
        Same arguments, same rows.
    injected_users : int, optional
        Test users with an incident, see `inject_incidents`. Default: one in ten of them, at
        least one.

    Returns
    -------
    InsiderStudy
        Without incidents all other rows stay the same: compare ``injected_users=0``.

    Examples
    --------
    >>> from slidecell.datasets import insider_threat_study
    >>> study = insider_threat_study(users=40)
    >>> study.counts.shape, int(study.select("test").offsets[-1])
    ((13940, 7), 2799)
    """
    users = at_least("users", users, 5)
    rng, incidents = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)
    )
    roles = draw_roles(rng, users)
    part = split_users(users, rng, groups=roles)
    present = draw_present(rng, roles)
    for name, members in _USERS.items():
        here = part == name
        rows = round(int(here.sum()) * _ROWS[name] / members)
        present[here] = with_rows(rng, present[here], rows)
    counts = draw_counts(rng, roles, present)
    rows, days = len(counts), np.nonzero(present)[1]
    study = InsiderStudy(
        counts=counts,
        offsets=np.concatenate(([0], np.cumsum(present.sum(axis=1)))),
        users=np.array([f"U{user + 1:0{max(4, len(str(users)))}d}" for user in range(users)]),
        part=part,
        day=np.datetime64(_FIRST_DAY, "D") + days,
        label=np.zeros(rows, np.int64),
        kind=np.zeros(rows, np.int64),
    )
    testers = int((part == "test").sum())
    injected = max(1, round(testers / 10)) if injected_users is None else injected_users
    return inject_incidents(study, injected, seed=int(incidents.integers(2**31)))


def inject_incidents(study: InsiderStudy, injected_users: int, *, seed: int = 0) -> InsiderStudy:
    """Add one incident each to some test users, the kinds in turn; no row comes or goes.

    Exfiltration (1 to 4 days): files copied, disks plugged in, uploads. Credential misuse (4 to
    10 days): logins, most of them at night, and no mail from the owner. Slow drift (25 to 60
    days): a little more copied and uploaded every day. Each begins in the last three fifths of
    the user's days.

    Parameters
    ----------
    study : InsiderStudy
    injected_users : int
        At most the test users.
    seed : int

    Returns
    -------
    InsiderStudy
        A copy, with ``label`` and ``kind``.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets import inject_incidents, insider_threat_study
    >>> plain = insider_threat_study(users=40, injected_users=0)
    >>> study = inject_incidents(plain, 3)
    >>> sorted(set(study.kind.tolist())), int(study.label.sum() > 25)
    ([0, 1, 2, 3], 1)
    """
    testers = np.flatnonzero(study.part == "test")
    if not 0 <= at_least("injected_users", injected_users, 0) <= len(testers):
        raise ValueError(
            f"injected_users: expected 0 to {len(testers)} (test users), got {injected_users}"
        )
    rng = np.random.default_rng(seed)
    counts, label, kind = study.counts.copy(), study.label.copy(), study.kind.copy()
    chosen = rng.choice(testers, int(injected_users), replace=False)
    for number, user in enumerate(chosen):
        name = INSIDER_KINDS[1 + number % len(_INCIDENTS)]
        incident = _INCIDENTS[name]
        first, stop = study.offsets[user], study.offsets[user + 1]
        # A user with fewer rows than the incident has days gets a shorter one.
        length = min(int(rng.integers(incident.days[0], incident.days[1] + 1)), int(stop - first))
        earliest = min(first + 2 * (stop - first) // 5, stop - length)
        start = int(rng.integers(earliest, stop - length + 1))
        rows = slice(start, start + length)
        incident.inject(rng, counts[rows])
        label[rows], kind[rows] = 1, INSIDER_KINDS.index(name)
    return replace(study, counts=counts, label=label, kind=kind)


def split_users(
    users: int, rng: np.random.Generator, *, groups: Ints | None = None
) -> npt.NDArray[np.str_]:
    """Draw the part of each user, [G]: 64 % train, 16 % validate, 20 % test, at least one each.

    Parameters
    ----------
    users : int
        G, at least 3.
    rng : Generator
    groups : ndarray of int, [G], optional
        Every part gets its share of every group, as nearly as whole users allow.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets.study import split_users
    >>> sorted(split_users(10, np.random.default_rng(0)).tolist()).count("train")
    6
    """
    test = max(1, round(users / 5))
    validation = max(1, round((users - test) / 5))
    sizes = (users - test - validation, validation, test)
    # The places of a part are spread evenly over a list of users in which groups are contiguous.
    place = np.concatenate([(np.arange(size) + rng.random()) / size for size in sizes])
    spread = np.repeat(list(_USERS), sizes)[np.argsort(place, kind="stable")]
    order = rng.permutation(users)
    if groups is not None:
        order = order[np.argsort(groups[order], kind="stable")]
    part = np.empty_like(spread)
    part[order] = spread
    return part
