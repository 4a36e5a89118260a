"""The entities of files: numbers by key, in the order in which they first come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.streams.state import Saved

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Entities"]


class Entities:
    """Numbers of entities.

    Parameters
    ----------
    kind : pyarrow.DataType or None
        Of the keys; None: all rows are of one entity.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from slidecell.scale.entities import Entities
    >>> entities = Entities(pa.string())
    >>> entities.codes(pa.array(["b", "a", "b"])).tolist(), len(entities)
    ([0, 1, 0], 2)
    """

    def __init__(self, kind: Any) -> None:
        import pyarrow as pa

        if kind is not None and pa.types.is_dictionary(kind):
            kind = kind.value_type
        self._kind = kind
        self._codes: dict[Any, int] = {} if kind is not None else {"": 0}
        self._found: list[Any] = list(self._codes)
        self._names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._found)

    def name(self, code: int) -> str:
        """Return an entity's key as text."""
        return str(self._found[code])

    def names(self) -> tuple[str, ...]:
        """Return the keys as text."""
        if len(self._names) < len(self._found):
            self._names = tuple(map(str, self._found))
        return self._names

    def codes(self, column: Any) -> npt.NDArray[np.integer[Any]]:
        """Return the numbers of rows' keys [B], which are all there: of the fewest bits."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(self._kind)
        encoded = pc.dictionary_encode(column)
        known = np.empty(len(encoded.dictionary), np.int64)
        for place, key in enumerate(encoded.dictionary.to_pylist()):
            code = self._codes.get(key)
            if code is None:
                code = self._codes[key] = len(self._found)
                self._found.append(key)
            known[place] = code
        small = known.astype(np.min_scalar_type(len(self) - 1))
        codes: npt.NDArray[np.integer[Any]] = small.take(
            encoded.indices.to_numpy(zero_copy_only=False)
        )
        return codes

    def column(self) -> pd.Series[Any]:
        """Return the keys, as pandas has them."""
        return self.keys().to_pandas()  # type: ignore[no-any-return]

    def keys(self) -> Any:
        """Return the keys, as an array of pyarrow."""
        import pyarrow as pa

        return pa.array(self._found, self._kind or pa.string())

    def saved(self) -> dict[str, bytes]:
        """Return the keys as bytes."""
        import pyarrow as pa

        table = pa.table({"key": self.keys()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return {"keys": sink.getvalue().to_pybytes()}

    def restore(self, saved: Saved) -> None:
        """Take what `saved` returned."""
        import pyarrow as pa

        table = pa.ipc.open_stream(saved.parts.get("keys", b"")).read_all()
        self._found = table.column("key").to_pylist()
        self._names = ()
        self._codes = {key: code for code, key in enumerate(self._found)}
