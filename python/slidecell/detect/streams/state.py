"""What streams keep of their entities: arrays by entity, saved as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Saved", "array_of", "check_bytes", "part_of", "resized"]


class Saved(NamedTuple):
    """A stream's state: what JSON holds of it, and arrays as bytes."""

    text: dict[str, Any]
    parts: dict[str, bytes]


def array_of(saved: Saved, name: str, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a saved array of a known type and shape."""
    found = saved.parts.get(name)
    if found is None or len(found) != like.nbytes:
        size = "none" if found is None else f"{len(found)} bytes"
        raise ValueError(f"{name}: expected {like.nbytes} bytes, got {size}")
    return np.frombuffer(found, like.dtype.newbyteorder("<")).astype(like.dtype).reshape(like.shape)


def resized(values: npt.NDArray[Any], count: int, fill: Any) -> npt.NDArray[Any]:
    """Return the first rows of an array, and rows of ``fill`` beyond its end.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.streams.state import resized
    >>> resized(np.array([1, 2]), 3, 0).tolist(), resized(np.array([1, 2]), 1, 0).tolist()
    ([1, 2, 0], [1])
    """
    made = np.full((count, *values.shape[1:]), fill, values.dtype)
    kept = min(count, len(values))
    made[:kept] = values[:kept]
    return made


def check_bytes(num_entities: int, bytes_per_entity: int, max_bytes: int) -> None:
    """Raise a ValueError if a stream would take more memory than it may.

    Examples
    --------
    >>> from slidecell.detect.streams.state import check_bytes
    >>> check_bytes(1000, 80, 10_000)
    Traceback (most recent call last):
    ValueError: max_bytes: expected at least 80000, which 1000 entities take, got 10000
    """
    needed = num_entities * bytes_per_entity
    if needed > max_bytes:
        raise ValueError(
            f"max_bytes: expected at least {needed}, which {num_entities} entities take, "
            f"got {max_bytes}"
        )


def part_of(saved: Mapping[str, bytes], prefix: str) -> dict[str, bytes]:
    """Return the parts whose names begin with a prefix, without it.

    Examples
    --------
    >>> from slidecell.detect.streams.state import part_of
    >>> part_of({"0/seen": b"x", "seen": b"y"}, "0/")
    {'seen': b'x'}
    """
    return {name[len(prefix) :]: data for name, data in saved.items() if name.startswith(prefix)}
