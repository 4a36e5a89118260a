"""Windows by vectors, and a series cut into chunks of rows that a GPU works on one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from slidecell.cuda.arrays import is_device_array
from slidecell.cuda.structs import VECTOR
from slidecell.windows import WindowPlan

Ints = npt.NDArray[np.int64]

_MOST_ROWS = 2**31 - 2**20  # a chunk's rows are numbered in 32 bits


@dataclass(frozen=True)
class Chunk:
    """Vectors ``first .. last-1``, their windows, and the rows that they need."""

    first: int
    last: int
    first_window: int
    last_window: int
    first_row: int
    last_row: int

    @property
    def rows(self) -> int:
        """Rows of the chunk."""
        return self.last_row - self.first_row

    @property
    def windows(self) -> int:
        """Windows of the chunk."""
        return self.last_window - self.first_window


@dataclass(frozen=True, eq=False)
class Vectors:
    """The windows of a plan, eight consecutive ones of an entity at a time.

    In memory proportional to the number of entities, like the plan itself.
    """

    window: int
    horizon: int
    stride: int
    offsets: Ints  # [G+1]
    first_window: Ints  # [G+1] windows of the entities before
    first_vector: Ints  # [G+1]

    @classmethod
    def of(cls, plan: WindowPlan) -> Vectors:
        """Make the vectors of a plan."""
        offsets = plan.offsets
        span = plan.window + plan.horizon
        lengths = np.diff(offsets)
        windows = np.where(lengths < span, 0, (lengths - span) // plan.stride + 1)
        vectors = -(-windows // VECTOR)
        return cls(
            plan.window,
            plan.horizon,
            plan.stride,
            offsets,
            np.concatenate([[0], np.cumsum(windows)]).astype(np.int64),
            np.concatenate([[0], np.cumsum(vectors)]).astype(np.int64),
        )

    def __len__(self) -> int:
        """Return the number of vectors."""
        return int(self.first_vector[-1])

    @property
    def windows(self) -> int:
        """All windows."""
        return int(self.first_window[-1])

    def _windows_of(self, vector: int) -> tuple[int, int, int]:
        """Entity, and the first and last window of a vector within it."""
        g = int(np.searchsorted(self.first_vector, vector, side="right")) - 1
        first = (vector - int(self.first_vector[g])) * VECTOR
        of_entity = int(self.first_window[g + 1] - self.first_window[g])
        return g, first, min(first + VECTOR, of_entity) - 1

    def first_row(self, vector: int) -> int:
        """First row that a vector needs."""
        g, first, _ = self._windows_of(vector)
        return int(self.offsets[g]) + first * self.stride

    def last_row(self, vector: int) -> int:
        """One past the last row that a vector needs, its targets included."""
        g, _, last = self._windows_of(vector)
        return int(self.offsets[g]) + last * self.stride + self.window + self.horizon

    def _chunk(self, first: int, last: int) -> Chunk:
        g, first_window, _ = self._windows_of(first)
        h, _, last_window = self._windows_of(last - 1)
        return Chunk(
            first,
            last,
            int(self.first_window[g]) + first_window,
            int(self.first_window[h]) + last_window + 1,
            self.first_row(first),
            self.last_row(last - 1),
        )

    def chunks(self, rows: int, windows: int | None = None) -> Iterator[Chunk]:
        """Cut the vectors into chunks of at most ``rows`` rows and about ``windows`` windows.

        A single vector that needs more rows is a chunk of its own. Rows between two chunks that
        no window needs belong to neither.

        Raises
        ------
        ValueError
            If a single vector spans more rows than 32 bits can number.
        """
        first, most = 0, max(1, (windows or rows) // VECTOR)
        while first < len(self):
            low, high = first + 1, min(len(self), first + most)
            begin = self.first_row(first)
            while low < high:  # the last row never decreases from vector to vector
                middle = (low + high + 1) // 2
                if self.last_row(middle - 1) - begin <= rows:
                    low = middle
                else:
                    high = middle - 1
            chunk = self._chunk(first, low)
            if chunk.rows > _MOST_ROWS:
                raise ValueError(
                    f"stride: expected {VECTOR} windows to span at most {_MOST_ROWS} rows, "
                    f"got {chunk.rows}"
                )
            yield chunk
            first = low


def vectors_of(rows: int, offsets: npt.ArrayLike | None, window: tuple[int, int, int]) -> Vectors:
    """Vectors of a series of ``rows`` rows; ``window``: W, K and the stride."""
    if is_device_array(offsets):
        raise TypeError("offsets: expected a host array, got a device array")
    W, K, stride = window
    plan = WindowPlan([0, rows] if offsets is None else offsets, window=W, horizon=K, stride=stride)
    if plan.offsets[-1] != rows:
        raise ValueError(
            f"offsets: expected to end at {rows} (rows of series), got {plan.offsets[-1]}"
        )
    return Vectors.of(plan)
