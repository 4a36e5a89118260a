"""Rows in order of entity and time, with the way back to the input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell.tables.filling import fill_forward
from slidecell.tables.options import TableOptions

if TYPE_CHECKING:
    import pandas as pd

    from slidecell.tables.files import FileKind
    from slidecell.tables.times import Times

__all__ = ["Floats", "Ints", "Rows", "run_offsets"]

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """S rows in order of entity and time, of R rows that an array, a frame or a file has.

    Attributes
    ----------
    features : ndarray of real numbers, [S, F]
        NaN or infinite where a value is missing.
    offsets : ndarray of int64, [G+1]
        Segment g owns rows ``offsets[g]:offsets[g+1]``: an entity, or its part between two gaps.
        Windows never cross.
    order : ndarray of int64, [S], or None
        The input row of each row; None: they are in input order, and all are there.
    names : tuple, or None
        Of the features, where they have some: text, or what else names columns of a DataFrame.
    entities : ndarray of int64, [S], or None
        Index of each row's entity in `entity_names`; None: each segment is an entity.
    entity_names : tuple of str
        In the order of the keys.
    times : Times, optional
    labels : ndarray of int8, [S], or None
        0, 1, or -1 where a file has no label column.
    keys : DataFrame, [R], or None
        Of a file: its time and entity columns as they stand, in input order.
    input_rows : int
        R.
    missing_cells : int
        Missing or infinite cells of the features, before any were filled.
    missing_rows : int
        Rows of which every feature is missing, such as blank lines of a file.
    notes : tuple of str
        What was done to the data that a reader should know.
    source : str
        What errors call the data: the file, or the argument.
    kind : {"csv", "parquet"}
        Of the file.
    options : TableOptions, optional
        By which a frame or a file was read.
    """

    features: npt.NDArray[Any]
    offsets: Ints
    order: Ints | None = None
    names: tuple[Any, ...] | None = None
    entities: Ints | None = None
    entity_names: tuple[str, ...] = ("",)
    times: Times | None = None
    labels: npt.NDArray[np.int8] | None = None
    keys: pd.DataFrame | None = None
    input_rows: int = -1  # R; by default S
    missing_cells: int = 0
    missing_rows: int = 0
    notes: tuple[str, ...] = ()
    source: str = "X"
    kind: FileKind = "csv"
    options: TableOptions | None = None

    def __post_init__(self) -> None:
        if self.input_rows < 0:
            object.__setattr__(self, "input_rows", len(self.features))

    def __len__(self) -> int:
        """Return S."""
        return len(self.features)

    @property
    def num_features(self) -> int:
        """F."""
        return int(self.features.shape[1])

    @property
    def gaps(self) -> int:
        """Cuts inside entities."""
        return len(self.offsets) - 1 - len(self.entity_names)

    def floats(self) -> Floats:
        """Return the features as float64 [S, F], NaN where one is missing; not to be written to."""
        floats = self.features.astype(np.float64, copy=False)
        infinite = np.isinf(floats)
        return np.where(infinite, np.nan, floats) if infinite.any() else floats

    def complete(self) -> npt.NDArray[np.bool_]:
        """Tell the rows without a missing value, [S]."""
        if self.features.dtype.kind != "f":
            return np.ones(len(self), np.bool_)
        return np.asarray(np.isfinite(self.features).all(axis=1))

    def filled(self) -> Rows:
        """Return the rows with missing values filled from the past of their segment."""
        if self.complete().all():
            return self
        features = np.where(np.isinf(self.features), np.nan, self.features)
        fill_forward(features, self.offsets)
        return replace(self, features=features)

    def take(self, mask: npt.NDArray[np.bool_]) -> Rows:
        """Return the rows where ``mask`` [S] is set, as an input of their own.

        Those that were neighbours in a segment stay in one.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.tables.rows import Rows
        >>> rows = Rows(np.arange(4.0)[:, None], np.array([0, 1, 4]))
        >>> part = rows.take(np.array([False, True, False, True]))
        >>> part.features[:, 0].tolist(), part.offsets.tolist()
        ([1.0, 3.0], [0, 1, 2])
        """
        kept = np.flatnonzero(mask)
        segments = np.searchsorted(self.offsets, kept, side="right") - 1
        return replace(
            self,
            features=self.features[kept],
            offsets=run_offsets(kept, segments),
            order=None,
            entities=segments if self.entities is None else self.entities[kept],
            entity_names=self.names_of_entities(),
            times=None if self.times is None else self.times.take(kept),
            labels=None if self.labels is None else self.labels[kept],
            keys=None,
            input_rows=len(kept),
        )

    def restore(self, values: npt.NDArray[Any], fill: object) -> npt.NDArray[Any]:
        """Bring values [S, ...] of these rows to input order, [R, ...].

        Rows that were left out get ``fill``.
        """
        if self.order is None:
            return values
        restored = np.full((self.input_rows, *values.shape[1:]), fill, dtype=values.dtype)
        restored[self.order] = values
        return restored

    def label(self, column: int) -> str:
        """Return how an error names a column."""
        return repr(self.names[column]) if self.names is not None else str(column)

    def text_names(self) -> list[str] | None:
        """Return the features' names as a model file keeps them; None where they tell none apart.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.tables.rows import Rows
        >>> Rows(np.ones((1, 2)), np.array([0, 1]), names=("a", ("cpu", 1))).text_names()
        ['a', "('cpu', 1)"]
        """
        texts = list(map(str, self.names or ()))
        return texts if texts and len(set(texts)) == len(texts) else None

    def entity_name(self, row: int) -> str:
        """Return the name of a row's entity."""
        return "" if self.entities is None else self.entity_names[self.entities[row]]

    def segment_names(self) -> list[str]:
        """Return the name of each segment's entity, [G]; their places where they have no names.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.tables.rows import Rows
        >>> Rows(np.zeros((3, 1)), np.array([0, 1, 3])).segment_names()
        ['0', '1']
        """
        if self.entities is None:
            return list(self.names_of_entities())
        firsts = np.minimum(self.offsets[:-1], max(len(self) - 1, 0))
        return [self.entity_names[e] for e in self.entities[firsts].tolist()] if len(self) else []

    def segment_numbers(self) -> Ints:
        """Return the segment of each row, [S].

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.tables.rows import Rows
        >>> Rows(np.zeros((3, 1)), np.array([0, 1, 3])).segment_numbers().tolist()
        [0, 1, 1]
        """
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def entity_numbers(self) -> Ints:
        """Return the entity of each row, [S]: a place in `names_of_entities`.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.tables.rows import Rows
        >>> rows = Rows(np.zeros((3, 1)), np.array([0, 1, 3]))
        >>> rows.entity_numbers().tolist(), rows.names_of_entities()
        ([0, 1, 1], ('0', '1'))
        """
        return self.segment_numbers() if self.entities is None else self.entities

    def order_of_time(self) -> Ints:
        """Return the rows in the order in which a stream would give them, [S].

        Rows of equal time come in the order of their segments. Without times all segments begin at
        once, and give their rows in turn.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.tables.rows import Rows
        >>> Rows(np.zeros((5, 1)), np.array([0, 2, 5])).order_of_time().tolist()
        [0, 2, 1, 3, 4]
        """
        if len(self.offsets) <= 2:
            return np.arange(len(self))
        if self.times is not None:
            return np.argsort(self.times.values, kind="stable")
        first = self.offsets[:-1][self.segment_numbers()]
        return np.argsort(np.arange(len(self)) - first, kind="stable")

    def names_of_entities(self) -> tuple[str, ...]:
        """Return the entities' names, [E]; the places of the segments where they have none."""
        if self.entities is not None:
            return self.entity_names
        return tuple(map(str, range(len(self.offsets) - 1)))

    def summary(self) -> dict[str, Any]:
        """Return counts and names for a report."""
        found: dict[str, Any] = {
            "rows": self.input_rows,
            "rows_used": len(self),
            "entities": len(set(self.entity_names)),
            "gaps": self.gaps,
            "features": list(map(str, self.names or range(self.num_features))),
            "missing_cells": self.missing_cells,
            "missing_rows": self.missing_rows,
            "notes": list(self.notes),
        }
        if self.times is not None and len(self):
            first, last = int(self.times.values.argmin()), int(self.times.values.argmax())
            found["first_time"], found["last_time"] = self.times.text(first), self.times.text(last)
        if self.labels is not None:
            found["labelled_anomalous"] = int((self.labels == 1).sum())
        return found


def run_offsets(rows: npt.NDArray[np.integer], segments: npt.NDArray[np.integer]) -> Ints:
    """Offsets [G+1] of the runs of neighbouring ``rows`` [S] of one segment [S].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.tables.rows import run_offsets
    >>> run_offsets(np.array([0, 1, 3, 4]), np.array([0, 0, 0, 1])).tolist()
    [0, 2, 3, 4]
    """
    if len(rows) == 0:
        return np.zeros(1, np.int64)
    cut = (np.diff(rows) != 1) | (np.diff(segments) != 0)
    return np.concatenate([[0], np.flatnonzero(cut) + 1, [len(rows)]]).astype(np.int64)
