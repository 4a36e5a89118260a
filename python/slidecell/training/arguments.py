"""Checks of plain arguments, so that every error names the argument and what came."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from slidecell._arguments import whole_number


def as_int(name: str, value: Any, *, least: int) -> int:
    """Return `value` as int; ValueError below `least`, TypeError unless it is an integer."""
    return whole_number(name, value, least=least)


def as_fraction(name: str, value: Any) -> float:
    """Return `value` as float in [0, 1)."""
    result = _as_float(name, value)
    if not 0.0 <= result < 1.0:
        raise ValueError(f"{name}: expected a number >= 0 and < 1, got {value!r}")
    return result


def as_positive(name: str, value: Any) -> float:
    """Return `value` as a finite float above 0."""
    result = _as_float(name, value)
    if not (math.isfinite(result) and result > 0.0):
        raise ValueError(f"{name}: expected a finite number > 0, got {value!r}")
    return result


def _as_float(name: str, value: Any) -> float:
    if isinstance(value, (bool, str)):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a number, got {value!r}") from None


def as_choice(name: str, value: Any, choices: Iterable[str]) -> Any:
    """Return `value` if it is one of `choices`."""
    options = tuple(choices)
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name}: expected one of {listed}, got {value!r}")
    return value


def as_sizes(name: str, value: Any) -> tuple[int, ...]:
    """Return a non-empty tuple of layer sizes."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: expected a sequence of integers, got {value!r}")
    sizes = tuple(as_int(name, size, least=1) for size in value)
    if not sizes:
        raise ValueError(f"{name}: expected at least one layer, got none")
    return sizes


def as_columns(name: str, value: Sequence[int] | None, columns: int) -> tuple[int, ...] | None:
    """Return distinct column indices below `columns`, or None for all of them."""
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: expected a sequence of column indices, got {value!r}")
    result = tuple(as_int(name, column, least=0) for column in value)
    if not result or max(result) >= columns or len(set(result)) != len(result):
        raise ValueError(
            f"{name}: expected distinct column indices in 0..{columns - 1}, got {list(result)}"
        )
    return result
