"""Checks that all generators share."""

from __future__ import annotations


def at_least(name: str, value: int, least: int = 1) -> int:
    """Return a whole number of at least `least`, or raise ValueError.

    Examples
    --------
    >>> from slidecell.datasets.arguments import at_least
    >>> at_least("users", 3)
    3
    """
    if int(value) != value or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value}")
    return int(value)
