"""Checks of plain arguments: every error names the argument, what was expected and what came."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Sequence
from typing import Any


def whole_number(name: str, value: Any, *, least: int | None = None) -> int:
    """Return an integer as int: TypeError unless it is one, ValueError below `least`.

    Floats are refused whatever they hold, and so are True and False.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell._arguments import whole_number
    >>> whole_number("window", np.int32(5), least=1)
    5
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {value!r}") from None
    if least is not None and number < least:
        raise ValueError(f"{name}: expected an integer >= {least}, got {number}")
    return number


def at_least(name: str, value: int, least: int = 1) -> int:
    """Return a whole number of at least `least`, or raise ValueError; TypeError on no number.

    Examples
    --------
    >>> from slidecell._arguments import at_least
    >>> at_least("users", 3)
    3
    """
    if isinstance(value, float) or whole_number(name, value) < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value}")
    return int(value)


def as_number(name: str, value: Any) -> float:
    """Return a parameter that must be a number, NaN and infinity included.

    Examples
    --------
    >>> from slidecell._arguments import as_number
    >>> as_number("threshold", 2)
    2.0
    """
    if not isinstance(value, (bool, str)):
        try:
            return float(value)
        except OverflowError:  # a whole number of hundreds of digits, or a fraction of them
            raise ValueError(
                f"{name}: expected a number within float64, got a larger one"
            ) from None
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{name}: expected a number, got {value!r}")


def as_bytes(name: str, text: str) -> int:
    """Return an amount of memory that is written as bytes, or with a unit: 500MB, 2GiB.

    Examples
    --------
    >>> from slidecell._arguments import as_bytes
    >>> as_bytes("--max-memory", "2GiB"), as_bytes("--max-memory", "1500")
    (2147483648, 1500)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?\s*", text, re.IGNORECASE)
    if found is None:
        raise ValueError(f"{name}: expected bytes, as 500MB or 2GiB, got {text!r}")
    number, unit, binary = found.groups()
    size = (1024 if binary else 1000) ** (0 if unit is None else 1 + "kmgt".index(unit.lower()))
    result = int(float(number) * size)
    if not 1 <= result < 2**63:
        raise ValueError(f"{name}: expected 1 byte to 8 EiB, got {text!r}")
    return result


def as_fraction(name: str, value: Any) -> float:
    """Return `value` as float in [0, 1)."""
    result = as_number(name, value)
    if not 0.0 <= result < 1.0:
        raise ValueError(f"{name}: expected a number >= 0 and < 1, got {value!r}")
    return result


def as_positive(name: str, value: Any) -> float:
    """Return `value` as a finite float above 0."""
    result = as_number(name, value)
    if not (math.isfinite(result) and result > 0.0):
        raise ValueError(f"{name}: expected a finite number > 0, got {value!r}")
    return result


def as_choice(name: str, value: Any, choices: Iterable[object]) -> Any:
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
    sizes = tuple(whole_number(name, size, least=1) for size in value)
    if not sizes:
        raise ValueError(f"{name}: expected at least one layer, got none")
    return sizes


def as_columns(name: str, value: Sequence[int] | None, columns: int) -> tuple[int, ...] | None:
    """Return distinct column indices below `columns`, or None for all of them."""
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"{name}: expected a sequence of column indices, got {value!r}")
    result = tuple(whole_number(name, column, least=0) for column in value)
    if not result or max(result) >= columns or len(set(result)) != len(result):
        raise ValueError(
            f"{name}: expected distinct column indices in 0..{columns - 1}, got {list(result)}"
        )
    return result
