"""Blocks of rows with the rows before them that their scores depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.scale.arrivals import Arranged, Arrivals
from slidecell.scale.settings import key_flags
from slidecell.scale.sources import Batch, check_columns, read_features
from slidecell.tables.filling import fill_forward
from slidecell.tables.options import TableOptions
from slidecell.tables.rows import Ints

__all__ = ["CARRIED", "Overlap"]

CARRIED = "slidecell_carried"
"""The column that tells the rows before a block from its own: bool."""


class Overlap:
    """Puts the last rows of each entity before its rows in the next block.

    A block can then be scored by itself. It is a plain object: it can be sent to another process,
    and goes on there.

    Parameters
    ----------
    options : TableOptions
    features : sequence of str
    key_types : mapping of str to pyarrow.DataType
        Of the time and entity columns: blocks with others are refused.
    length : int
        How many rows a score depends on, its own the last.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from slidecell.scale.overlap import Overlap
    >>> from slidecell.scale.sources import Batch, Place
    >>> from slidecell.tables.options import TableOptions
    >>> overlap = Overlap(TableOptions(entity="id"), ["x"], {"id": pa.string()}, length=2)
    >>> for rows in ({"id": ["a", "b"], "x": [1, 2]}, {"id": ["a", "a"], "x": [3, 4]}):
    ...     overlap.put_before(Batch(pa.table(rows), "rows", 0, 0, Place())).to_pydict()
    {'id': ['a', 'b'], 'x': [1, 2], 'slidecell_carried': [False, False]}
    {'id': ['a', 'a', 'a'], 'x': [1, 3, 4], 'slidecell_carried': [True, False, False]}
    """

    def __init__(
        self,
        options: TableOptions,
        features: Sequence[str],
        key_types: Mapping[str, Any],
        *,
        length: int,
    ) -> None:
        self._features, self._key_types = list(features), dict(key_types)
        self._keys = key_flags(options)
        self._fill = options.missing == "ffill"
        self._kept = max(length - 1, int(self._fill))
        self._arrivals = Arrivals(options, key_types)
        self._last: Any = None  # rows, and their entities
        self._codes = np.zeros(0, np.int64)

    def put_before(self, batch: Batch) -> Any:
        """Return the rows of a block behind the carried ones, and carry the last ones on.

        Parameters
        ----------
        batch : Batch
            Its columns that are neither keys nor features are null in carried rows.

        Returns
        -------
        pyarrow.Table
            Its last column says which rows were carried.

        Raises
        ------
        UnsortedError
            If rows of an entity are not in the order of time.
        ValueError
            If a column is absent, or has another type than in the blocks before.
        """
        import pyarrow as pa

        table = batch.table
        check_columns(
            batch.file,
            table.schema,
            self._keys,
            self._features,
            self._key_types,
            first="the blocks before",
        )
        if len(table) == 0:
            return table.append_column(CARRIED, pa.array([], pa.bool_()))
        arranged = self._arrivals.arrange(batch, sort=False)
        needed = [*self._keys, *(name for name in self._features if name not in self._keys)]
        own = table.select(needed)
        if self._last is None:
            self._last = own.slice(0, 0)
        mine = np.isin(self._codes, arranged.codes)
        carried, codes = self._last.filter(pa.array(mine)), self._codes[mine]
        self._carry(mine, _joined(carried, own.take(arranged.order)), codes, arranged)
        columns = {
            field.name: carried.column(field.name)
            if field.name in needed
            else pa.nulls(len(carried), field.type)
            for field in table.schema
        }
        rows = _joined(pa.table(columns), table)
        marks = np.arange(len(rows)) < len(carried)
        return rows.append_column(CARRIED, pa.array(marks))

    def _carry(self, mine: npt.NDArray[np.bool_], rows: Any, codes: Ints, new: Arranged) -> None:
        """Keep the last rows of entities: carried ones of ``codes`` [C], then the block's."""
        import pyarrow as pa

        entities = np.concatenate([codes, new.codes])
        order = np.argsort(entities, kind="stable")
        entities = entities[order]
        firsts = np.diff(entities, prepend=-1) != 0
        begins = firsts | np.concatenate([np.zeros(len(codes), np.bool_), new.begins])[order]
        starts = np.flatnonzero(begins)
        ends = np.flatnonzero(np.append(firsts[1:], True))  # [E], of the entities
        last = starts[np.searchsorted(starts, ends, side="right") - 1]
        of = np.cumsum(firsts) - 1
        places = np.arange(len(order))
        kept = (places > ends[of] - self._kept) & (places >= last[of])
        rows = rows.take(order)
        if self._fill:
            rows = self._filled(rows, np.append(starts, len(order)))
        others = self._last.filter(pa.array(~mine))
        self._last = _joined(others, rows.filter(pa.array(kept))).combine_chunks()
        self._codes = np.concatenate([self._codes[~mine], entities[kept]])

    def _filled(self, rows: Any, offsets: Ints) -> Any:
        """Return the rows with missing values filled from the past of their segments [G+1]."""
        import pyarrow as pa

        for name in self._features:
            values = read_features(Batch(rows, "the rows", 0, 0), [name])
            missing = ~np.isfinite(values[:, 0])
            if missing.any():
                values[missing] = np.nan
                fill_forward(values, offsets)
                place = rows.schema.get_field_index(name)
                filled = pa.array(values[:, 0], from_pandas=True).cast(rows.field(name).type)
                rows = rows.set_column(place, rows.field(name), filled)
        return rows


def _joined(before: Any, rows: Any) -> Any:
    """Return two tables as one; numbers of two types take the wider one."""
    import pyarrow as pa

    return pa.concat_tables([before, rows], promote_options="permissive")
