"""Checks that all generators share."""

from __future__ import annotations

from slidecell._arguments import whole_number


def at_least(name: str, value: int, least: int = 1) -> int:
    """Return a whole number of at least `least`, or raise ValueError; TypeError on no number.

    Examples
    --------
    >>> from slidecell.datasets.arguments import at_least
    >>> at_least("users", 3)
    3
    """
    if isinstance(value, float) or whole_number(name, value) < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value}")
    return int(value)
