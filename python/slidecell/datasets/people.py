"""Roles of the users in the insider-threat data, and the effect of incidents on their counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

INSIDER_FEATURES = (
    "logins",
    "off_hour_logins",
    "file_ops",
    "files_copied",
    "usb_events",
    "http_uploads",
    "emails_sent",
)


@dataclass(frozen=True)
class Role:
    """A role of users: its share of them, and its mean counts on a working day.

    Examples
    --------
    >>> from slidecell.datasets.people import ROLES
    >>> sum(role.share for role in ROLES)
    1.0
    """

    name: str
    share: float  # of all users
    weekend: float  # activity on Saturday and Sunday, relative to a working day
    rates: tuple[float, ...]  # mean count on a working day, in the order of INSIDER_FEATURES


ROLES = (
    Role("office", 0.45, 0.04, (3.0, 0.15, 18.0, 1.0, 0.10, 1.0, 14.0)),
    Role("engineer", 0.25, 0.15, (5.0, 0.80, 55.0, 4.0, 0.40, 3.0, 9.0)),
    Role("sales", 0.15, 0.10, (4.0, 0.40, 12.0, 2.0, 0.60, 5.0, 30.0)),
    Role("administrator", 0.10, 0.35, (9.0, 2.50, 40.0, 6.0, 1.20, 2.0, 11.0)),
    Role("shift worker", 0.05, 0.90, (2.0, 1.50, 8.0, 0.5, 0.05, 0.5, 3.0)),
)


@dataclass(frozen=True)
class Incident:
    """What happens on the days of one kind of incident.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets.people import Incident
    >>> counts = np.ones((2, 7), int)
    >>> mail = Incident((1, 3), {"emails_sent": (1000, 2000)}, removed=("file_ops",))
    >>> mail.inject(np.random.default_rng(0), counts)
    >>> counts[:, :3].tolist(), bool((counts[:, 6] > 900).all())
    ([[1, 1, 0], [1, 1, 0]], True)
    """

    days: tuple[int, int]  # shortest and longest duration
    added: dict[str, tuple[float, float]]  # feature -> range of the counts added per day
    removed: tuple[str, ...] = ()  # features that fall to nothing
    grows: bool = False  # from next to nothing on the first day to all of it on the last

    def inject(self, rng: np.random.Generator, counts: npt.NDArray[Any]) -> None:
        """Change the rows of an incident in place, [days, 7]."""
        days = len(counts)
        for name in self.removed:
            counts[:, INSIDER_FEATURES.index(name)] = 0
        for name, (low, high) in self.added.items():
            mean = rng.uniform(low, high, days)
            if self.grows:
                mean *= np.arange(1, days + 1) / days
            counts[:, INSIDER_FEATURES.index(name)] += rng.poisson(mean)
