"""The JSON text of a saved detector, read as strictly as the core reads that of a model file."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

__all__ = ["parse_saved_text"]

_MOST_DEPTH = 64
_MOST_DIGITS = 20  # of whole numbers of 64 bits, their sign included


def parse_saved_text(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises
    ------
    ValueError
        If it is no JSON; or if it holds what JSON leaves to its readers and none of this package's
        texts has: two equal keys, NaN and infinity, whole numbers beyond 64 bits, half a surrogate
        pair, nesting of more than 64 levels.

    Examples
    --------
    >>> from slidecell.detect.saved_text import parse_saved_text
    >>> parse_saved_text(b'{"format": 1}')
    {'format': 1}
    >>> parse_saved_text(b'{"a": 1e999}')
    Traceback (most recent call last):
    ValueError: expected finite numbers, got 1e999
    """
    try:
        value = json.loads(
            text,
            parse_int=_whole,
            parse_float=_real,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueError(f"nested more than {_MOST_DEPTH} levels deep") from None
    _check_depth_and_texts(value)
    return value


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS or not -(2**63) <= int(digits) < 2**64:
        raise ValueError(f"expected whole numbers of 64 bits, got {digits[: _MOST_DIGITS + 1]}")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"expected finite numbers, got {digits[:25]}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"expected finite numbers, got {name}")


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse equal keys: which of the two counts, readers disagree on."""
    found = dict(members)
    if len(found) < len(members):
        keys = [key for key, _ in members]
        twin = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twin!r} stands twice in an object")
    return found


def _check_depth_and_texts(value: Any) -> None:
    level = [value]
    for _ in range(_MOST_DEPTH + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
        if not below:
            return
        level = below
    raise ValueError(f"nested more than {_MOST_DEPTH} levels deep")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"expected Unicode text, got half a surrogate pair in {text!r}") from None
