"""The last rows of each entity, which scores of its next rows depend on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell.detect.streams.state import Saved, array_of
from slidecell.scale.arrivals import Arranged, grown
from slidecell.tables.rows import Floats, Ints, Rows

__all__ = ["CarriedRows", "Joined"]

Bools = npt.NDArray[np.bool_]


class Joined(NamedTuple):
    """Rows of a batch behind those that were carried.

    Attributes
    ----------
    rows : Rows, [C+B]
        Its offsets are those of segments.
    new : ndarray of int64, [B]
        The place of each row of the batch among them.
    own : ndarray, [B, F]
        The rows of the batch alone.
    """

    rows: Rows
    new: Ints
    own: Floats


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
    >>> import pyarrow as pa
    >>> from slidecell.scale.arrivals import Arrivals
    >>> from slidecell.scale.carried import CarriedRows
    >>> from slidecell.scale.sources import Batch
    >>> from slidecell.tables.options import TableOptions
    >>> arrivals = Arrivals(TableOptions(entity="id"), {"id": pa.string()})
    >>> carried, batch = CarriedRows(1, 1), Batch(pa.table({"id": ["b", "a", "b"]}), "rows", 0, 0)
    >>> for rows in ([[1.0], [7.0], [2.0]], [[3.0], [8.0], [4.0]]):
    ...     joined = carried.join(arrivals.arrange(batch, sort=False), np.array(rows), fill=False)
    >>> joined.rows.features[:, 0].tolist(), joined.rows.offsets.tolist(), joined.new.tolist()
    ([2.0, 3.0, 4.0, 7.0, 8.0], [0, 3, 5], [1, 2, 4])
    """

    def __init__(self, length: int, features: int) -> None:
        self.length = length
        self._rows = np.empty((0, length, features))
        self._count = np.zeros(0, np.int64)

    def join(self, arranged: Arranged, rows: Floats, *, fill: bool) -> Joined:
        """Put what was carried before the rows of a batch, and carry the last ones on.

        Parameters
        ----------
        arranged : Arranged
            Entities have numbers from 0 without a hole over all batches.
        rows : ndarray, [B, F]
            In the order of the batch.
        fill : bool
            Whether missing values take the last ones before them.
        """
        runs, entities, count = arranged.runs, arranged.entities, len(arranged.order)
        self._grow(int(entities[-1]) + 1)
        # What was carried does not belong to a segment that begins.
        before = np.where(arranged.begins[runs], 0, self._count[entities])
        shift = np.cumsum(before)
        new = np.arange(count) + np.repeat(shift, np.diff(runs, append=count))
        features = np.empty((count + int(shift[-1]), rows.shape[1]))
        own = rows.take(arranged.order, axis=0)
        features[new] = own
        within = np.arange(int(shift[-1])) - np.repeat(shift - before, before)
        kept = np.arange(self.length) >= self.length - before[:, None]
        features[np.repeat(runs + shift - before, before) + within] = self._rows[entities][kept]
        starts = arranged.cuts()
        place = np.searchsorted(starts, runs)
        starts = new[starts]
        starts[place] -= before
        joined = Rows(features, np.append(starts, len(features)).astype(np.int64))
        if fill:
            joined = joined.filled()
            own = joined.features.take(new, axis=0)
        ends = np.append(new[runs[1:] - 1], new[-1]) + 1
        self._keep(entities, ends, starts, joined.features)
        return Joined(joined, new, own)

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
