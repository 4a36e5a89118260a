"""Rows that were read: one of them, or a block of them as columns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Row", "RowBlock"]

Floats = npt.NDArray[np.float64]


class Row(NamedTuple):
    """One row as it was read."""

    entity: str
    time: Any  # as it stands; None without a time column
    values: list[float]  # [F] in the model's order, NaN where missing
    keys: list[Any]  # time and entity as they came, to be written beside the score
    label: float = math.nan  # 1 for an anomaly, 0 for a normal row, NaN where nobody knows


@dataclass
class RowBlock:
    """Rows in the order in which they came, as columns; of any entities.

    Attributes
    ----------
    numbers : sequence of int, [n]
        Of their lines.
    entities : list of str, [n]
    times : list, [n]
        As they stand; None without a time column.
    values : ndarray of float64, [n, F]
        In the model's order, NaN where missing.
    keys : list of lists [n]
        The columns of time and entity as they came.
    labels : list of float, [n], optional
        1 for an anomaly, 0 for a normal row, NaN where nobody knows; None without a column.

    Examples
    --------
    >>> from slidecell.live.rows import Row, RowBlock
    >>> block = RowBlock.of([Row("a", "1", [0.5], ["1"]), Row("b", "1", [2.0], ["1"])], [7, 8])
    >>> block.entities, block.values.tolist(), block[1:].row(0).entity
    (['a', 'b'], [[0.5], [2.0]], 'b')
    """

    numbers: Sequence[int]
    entities: list[str]
    times: list[Any]
    values: Floats
    keys: list[list[Any]]
    labels: list[float] | None = None

    @classmethod
    def of(cls, rows: Sequence[Row], numbers: Sequence[int] | None = None) -> RowBlock:
        """Return one or more rows as a block; without numbers they are counted from 1."""
        labels = [row.label for row in rows]
        return cls(
            range(1, len(rows) + 1) if numbers is None else numbers,
            [row.entity for row in rows],
            [row.time for row in rows],
            np.array([row.values for row in rows], np.float64),
            [list(column) for column in zip(*(row.keys for row in rows), strict=True)],
            None if all(map(math.isnan, labels)) else labels,
        )

    @classmethod
    def joined(cls, blocks: Sequence[RowBlock]) -> RowBlock:
        """Return the rows of one or more blocks, one after the other."""
        if len(blocks) == 1:
            return blocks[0]
        chain = itertools.chain.from_iterable
        labels = None
        if any(block.labels is not None for block in blocks):
            labels = list(chain(block.labels or [math.nan] * len(block) for block in blocks))
        return cls(
            list(chain(block.numbers for block in blocks)),
            list(chain(block.entities for block in blocks)),
            list(chain(block.times for block in blocks)),
            np.concatenate([block.values for block in blocks]),
            [list(chain(parts)) for parts in zip(*(block.keys for block in blocks), strict=True)],
            labels,
        )

    def __len__(self) -> int:
        return len(self.entities)

    def __getitem__(self, part: slice) -> RowBlock:
        """Return some of the rows."""
        if part == slice(0, len(self)):
            return self
        return RowBlock(
            self.numbers[part],
            self.entities[part],
            self.times[part],
            self.values[part],
            [column[part] for column in self.keys],
            None if self.labels is None else self.labels[part],
        )

    def row(self, place: int) -> Row:
        """Return one row."""
        return Row(
            self.entities[place],
            self.times[place],
            self.values[place].tolist(),
            [column[place] for column in self.keys],
            math.nan if self.labels is None else self.labels[place],
        )

    def with_columns(self, order: Sequence[int]) -> RowBlock:
        """Return the rows with these columns of their values, in this order."""
        return replace(self, values=self.values[:, order])
