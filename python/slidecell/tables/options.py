"""Which columns of a table mean what, and what to do about holes and repeated times."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from slidecell._arguments import whole_number
from slidecell.tables.budget import COLUMN_BYTES

if TYPE_CHECKING:
    from slidecell.tables.times import Times

__all__ = ["TableOptions"]


@dataclass(frozen=True)
class TableOptions:
    """Which columns mean what, and what to do about holes.

    Parameters
    ----------
    time, entity, label : str, optional
        Columns; none of them is ever a feature. (Columns of a DataFrame may have other names than
        text.)
    features : tuple of str
        Feature columns in this order. Empty: every other column, all of which must be numeric.
    exclude : tuple of str
        Columns that are no features.
    max_gap : str, optional
        A longer step in time starts a new segment: a number, or a duration such as ``2h``.
    missing : {"skip", "ffill"}
        ``skip``: windows that touch a missing or infinite cell get no score. ``ffill``: such a
        cell takes the last value before it in its segment.
    duplicates : {"error", "keep", "last"}
        Rows of one entity with the same time: refused, all kept, or all but the last left out.
    time_format : str, optional
        What the dates of a fitted table look like, such as ``d.m.Y``: its order of day and month is
        taken where all dates of a table could be read in two. A detector remembers it.
    max_bytes : int
        Memory that a column of a file may take, and what is read from a pipe or unpacked by gzip.
        No detector remembers it.
    """

    time: Hashable | None = None
    entity: Hashable | None = None
    label: Hashable | None = None
    features: tuple[Any, ...] = ()
    exclude: tuple[str, ...] = ()
    max_gap: str | None = None
    missing: Literal["skip", "ffill"] = "skip"
    duplicates: Literal["error", "keep", "last"] = "error"
    time_format: str | None = None
    max_bytes: int = COLUMN_BYTES

    def __post_init__(self) -> None:
        if self.missing not in {"skip", "ffill"}:
            raise ValueError(f"--missing: expected skip or ffill, got {self.missing!r}")
        if self.duplicates not in {"error", "keep", "last"}:
            raise ValueError(f"--duplicates: expected error, keep or last, got {self.duplicates!r}")
        if self.max_gap is not None and self.time is None:
            raise ValueError("--max-gap: needs --time, the column to measure the gap in")
        whole_number("max_bytes", self.max_bytes, least=1)
        roles = {"--time": self.time, "--entity": self.entity, "--label": self.label}
        seen: dict[Hashable, str] = {}
        for name, column in roles.items():
            if column is not None and column in seen:
                raise ValueError(f"{name}: column {column!r} is already given as {seen[column]}")
            if column is not None:
                seen[column] = name

    def with_features(self, names: tuple[str, ...]) -> TableOptions:
        """Return options that ask for exactly these features, as a saved detector needs them."""
        return replace(self, features=names, exclude=())

    def read_from(self, times: Times | None) -> TableOptions:
        """Return options that remember how dates were read."""
        known = None if times is None or times.format is None else str(times.format)
        return self if known is None else replace(self, time_format=known)

    def to_dict(self) -> dict[str, Any]:
        """Return what a detector remembers, as JSON has it: all but ``max_bytes``.

        A column whose name is no text is left out.
        """
        names = {field.name for field in fields(self)} - {"max_bytes"}
        found = {name: getattr(self, name) for name in names}
        for role in ("time", "entity", "label"):
            if not isinstance(found[role], str):
                found[role] = None
        return found | {"features": list(map(str, self.features)), "exclude": list(self.exclude)}
