"""What is to be done about rows that look unlike training, and the reasons for it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

__all__ = ["Advice", "Advisory", "Cause", "Reason"]

Advice: TypeAlias = Literal["fine", "watch", "retrain"]
Cause: TypeAlias = Literal["distribution", "still", "missing"]

_NAMED = 5  # reasons in a text


@dataclass(frozen=True)
class Reason:
    """What one column has to do with an advisory.

    Attributes
    ----------
    column : str
    cause : {"distribution", "still", "missing"}
        Its values lie elsewhere than in any stretch of training; it repeats its last value; more of
        it is missing.
    times : float
        How many times the limit is reached: 1 is just beyond it.
    text : str
        What a person is told.
    entity : hashable
        Whose column it is, where it is that of one entity among others; else None.
    """

    column: str
    cause: Cause
    times: float
    text: str
    entity: Hashable = None

    def __str__(self) -> str:
        """Return the column and the text."""
        return f"{self.column} ({self.text})"


@dataclass(frozen=True)
class Advisory:
    """What is to be done about the rows that came last.

    Attributes
    ----------
    advice : {"fine", "watch", "retrain"}
        ``watch``: a column is far from training, stands still or is missing. ``retrain``: values
        have been far from training for a whole window of rows. A column that stands still or is
        missing never leads to it: the sensor is to be mended then. Nor does one entity of many that
        is far alone: a detector that learns it would take its fault for usual.
    rows : int
        Rows so far.
    since : int or None
        After how many rows it was fine no more.
    reasons : tuple of Reason
        The farthest first.
    """

    advice: Advice = "fine"
    rows: int = 0
    since: int | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that say so, each once."""
        return tuple(dict.fromkeys(reason.column for reason in self.reasons))

    @property
    def entities(self) -> tuple[Hashable, ...]:
        """The entities that are far alone, or stand still, each once."""
        found = dict.fromkeys(reason.entity for reason in self.reasons)
        return tuple(entity for entity in found if entity is not None)

    def __str__(self) -> str:
        """Return the advice and its reasons as a text of one line."""
        if self.advice == "fine":
            return "fine"
        named = list(map(str, self.reasons[:_NAMED]))
        more = len(self.reasons) - _NAMED
        rest = f", and {more} more" if more > 0 else ""
        return f"{self.advice}: {', '.join(named)}{rest}"

    def to_dict(self) -> dict[str, Any]:
        """Return the advisory, ready for JSON where entities are named by text or numbers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Advisory:
        """Return what `to_dict` had.

        Raises
        ------
        ValueError, TypeError, KeyError
            If it is damaged.

        Examples
        --------
        >>> from slidecell.detect.advisory import Advisory, Reason
        >>> advisory = Advisory("watch", 90, 60, (Reason("heat", "still", 1.0, "no move"),))
        >>> Advisory.from_dict(advisory.to_dict()) == advisory
        True
        """
        reasons = tuple(Reason(**reason) for reason in found["reasons"])
        advice, rows, since = found["advice"], int(found["rows"]), found["since"]
        if advice not in get_args(Advice) or any(r.cause not in get_args(Cause) for r in reasons):
            raise ValueError(f"advisory: expected a known advice and known causes, got {advice!r}")
        return cls(advice, rows, None if since is None else int(since), reasons)
