"""The last rows of each entity, which scores of its next rows depend on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell.detect.streams.state import Saved, array_of
from slidecell.tables.rows import Floats, Ints, Rows

__all__ = ["CarriedRows", "Joined", "grown"]

Bools = npt.NDArray[np.bool_]


def grown(values: npt.NDArray[Any], count: int, fill: Any) -> npt.NDArray[Any]:
    """Return an array with room for so many entities, at least doubled if it had none.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.scale.carried import grown
    >>> grown(np.array([1, 2]), 3, 0).tolist()
    [1, 2, 0, 0]
    """
    if count <= len(values):
        return values
    made = np.full((max(count, 2 * len(values)), *values.shape[1:]), fill, values.dtype)
    made[: len(values)] = values
    return made


class Joined(NamedTuple):
    """Rows of a batch behind those that were carried.

    Attributes
    ----------
    rows : Rows, [C+B]
        Its offsets are those of segments.
    new : ndarray of int64, [B]
        The place of each row of the batch among them.
    """

    rows: Rows
    new: Ints


class CarriedRows:
    """The last rows of the last segment of each entity.

    Parameters
    ----------
    length : int
        Rows that are kept of each.
    features : int

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.scale.carried import CarriedRows
    >>> carried = CarriedRows(1, 1)
    >>> codes, begins = np.array([0, 0, 1]), np.array([True, False, True])
    >>> _ = carried.join(codes, np.array([[1.0], [2.0], [7.0]]), begins, fill=False)
    >>> joined = carried.join(codes, np.array([[3.0], [4.0], [8.0]]), ~(codes >= 0), fill=False)
    >>> joined.rows.features[:, 0].tolist(), joined.rows.offsets.tolist(), joined.new.tolist()
    ([2.0, 3.0, 4.0, 7.0, 8.0], [0, 3, 5], [1, 2, 4])
    """

    def __init__(self, length: int, features: int) -> None:
        self.length = length
        self._rows = np.empty((0, length, features))
        self._count = np.zeros(0, np.int64)

    def join(self, codes: Ints, rows: Floats, begins: Bools, *, fill: bool) -> Joined:
        """Put what was carried before the rows of a batch, and carry the last ones on.

        Parameters
        ----------
        codes : ndarray of int64, [B]
            Entities, ascending, from 0 without a hole over all batches.
        rows : ndarray, [B, F]
        begins : ndarray of bool, [B]
            Whether a row begins a segment: what was carried does not belong to it.
        fill : bool
            Whether missing values take the last ones before them.
        """
        first = np.flatnonzero(np.diff(codes, prepend=-1))
        last = np.append(first[1:], len(codes)) - 1
        entities = codes[first]
        self._grow(int(entities[-1]) + 1)
        count = np.where(begins[first], 0, self._count[entities])
        runs = np.cumsum(np.diff(codes, prepend=-1) != 0) - 1
        new = np.arange(len(codes)) + np.cumsum(count)[runs]
        features = np.empty((len(codes) + int(count.sum()), rows.shape[1]))
        old = np.ones(len(features), np.bool_)
        old[new] = False
        features[new] = rows
        kept = np.arange(self.length) >= self.length - count[:, None]
        features[old] = self._rows[entities][kept]
        inner = begins.copy()
        inner[first] = False
        starts = np.sort(np.concatenate([new[first] - count, new[inner]]))
        joined = Rows(features, np.append(starts, len(features)).astype(np.int64))
        if fill:
            joined = joined.filled()
        self._keep(entities, new[last] + 1, starts, joined.features)
        return Joined(joined, new)

    def _keep(self, entities: Ints, ends: Ints, starts: Ints, features: Floats) -> None:
        begin = starts[np.searchsorted(starts, ends - 1, side="right") - 1]
        places = ends[:, None] - np.arange(self.length, 0, -1)
        there = places >= begin[:, None]
        self._rows[entities] = np.where(there[:, :, None], features[np.maximum(places, 0)], np.nan)
        self._count[entities] = there.sum(axis=1)

    def _grow(self, count: int) -> None:
        self._rows = grown(self._rows, count, np.nan)
        self._count = grown(self._count, count, 0)

    def saved(self, count: int) -> dict[str, bytes]:
        """Return the state of so many entities."""
        self._grow(count)
        return {
            "rows": self._rows[:count].astype("<f8").tobytes(),
            "count": self._count[:count].astype("<i8").tobytes(),
        }

    def restore(self, saved: Saved, count: int) -> None:
        """Take what `saved` returned, checked."""
        self._grow(count)
        self._rows = array_of(saved, "rows", self._rows[:count])
        self._count = array_of(saved, "count", self._count[:count])
        if ((self._count < 0) | (self._count > self.length)).any():
            raise ValueError(f"count: expected 0 to {self.length}")
