"""Read saved states; a value that is missing or of another type is a ValueError that names it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["flag", "mapping", "number", "numbers", "texts", "whole"]


def mapping(value: object, what: str) -> Mapping[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what}: expected an object, got {type(value).__name__}")
    return value


def _get(state: Mapping[str, Any], key: str) -> Any:
    if key not in state:
        raise ValueError(f"state: missing key {key!r}")
    return state[key]


def number(state: Mapping[str, Any], key: str) -> float:
    """Return a finite number."""
    return _number(_get(state, key), key)


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
        raise ValueError(f"state: {key!r}: expected a finite number, got {value!r}")
    return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond float64
        return False


def whole(state: Mapping[str, Any], key: str) -> int:
    """Return a whole number of at least 0."""
    value = _get(state, key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"state: {key!r}: expected a whole number >= 0, got {value!r}")
    return value


def flag(state: Mapping[str, Any], key: str) -> bool:
    """Return true or false."""
    value = _get(state, key)
    if not isinstance(value, bool):
        raise ValueError(f"state: {key!r}: expected true or false, got {value!r}")
    return value


def numbers(state: Mapping[str, Any], key: str, *, most: int | None = None) -> list[float]:
    """Return a list of finite numbers, of at most ``most`` if given."""
    value = _get(state, key)
    if not isinstance(value, list):
        raise ValueError(f"state: {key!r}: expected a list, got {type(value).__name__}")
    if most is not None and len(value) > most:
        raise ValueError(f"state: {key!r}: expected at most {most} numbers, got {len(value)}")
    return [_number(item, key) for item in value]


def texts(state: Mapping[str, Any], key: str) -> list[str]:
    """Return a list of texts; none where the key is missing."""
    value = state.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"state: {key!r}: expected a list of texts, got {value!r}")
    return value
