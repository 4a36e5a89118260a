"""Scores and flags as bytes of Arrow, part by part; and with their keys as one Parquet file."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["ArrowWriter", "ParquetWhole", "read_tables"]

_ROW_GROUP = 1 << 17


class ArrowWriter:
    """Writes tables of pyarrow one behind the other, which costs little.

    Parameters
    ----------
    path : Path
    schema : pyarrow.Schema

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pyarrow as pa
    >>> from slidecell.scale.parquet_parts import ArrowWriter, read_tables
    >>> path, table = pathlib.Path(tempfile.mkdtemp()) / "part", pa.table({"score": [0.5, None]})
    >>> writer = ArrowWriter(path, table.schema)
    >>> writer.write_table(table)
    >>> writer.close()
    >>> [found.to_pydict() for found in read_tables([path])]
    [{'score': [0.5, None]}]
    """

    def __init__(self, path: Path, schema: Any) -> None:
        import pyarrow as pa

        self._file = pa.OSFile(str(path), "wb")
        try:
            self._stream = pa.ipc.new_stream(self._file, schema)
        except BaseException:
            self._file.close()
            raise

    def write_table(self, table: Any) -> None:
        """Write the rows of a table."""
        self._stream.write_table(table)

    def close(self) -> None:
        """End the file."""
        try:
            self._stream.close()
        finally:
            self._file.close()


def read_tables(parts: Sequence[Path]) -> Iterator[Any]:
    """Yield the tables that an `ArrowWriter` has written to each of these files, in their order."""
    import pyarrow as pa

    for path in parts:
        with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as stream:
            for batch in stream:
                yield pa.Table.from_batches([batch])


class ParquetWhole:
    """Writes tables to a Parquet file, each behind the one before.

    Parameters
    ----------
    path : Path
    schema : pyarrow.Schema
        Of the tables.
    constants : mapping of str to str
        Columns behind theirs that have one text in all rows.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pyarrow as pa
    >>> import pyarrow.parquet as pq
    >>> from slidecell.scale.parquet_parts import ParquetWhole
    >>> path, table = pathlib.Path(tempfile.mkdtemp()) / "a.parquet", pa.table({"score": [0.5]})
    >>> whole = ParquetWhole(path, table.schema, {"part": "test"})
    >>> whole.write_table(table)
    >>> whole.close()
    >>> pq.read_table(path).to_pydict(), pq.read_schema(path).field("part").type
    ({'score': [0.5], 'part': ['test']}, DataType(string))
    """

    def __init__(self, path: Path, schema: Any, constants: Mapping[str, str]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._constants = dict(constants)
        coded, shown = schema, schema
        for name in constants:
            coded = coded.append(pa.field(name, pa.dictionary(pa.int8(), pa.string())))
            shown = shown.append(pa.field(name, pa.string()))
        # A text that is the same in all rows is handed over as numbers of one text, which takes a
        # quarter of the time; what a reader finds is the schema that is stored: texts.
        stored = base64.b64encode(shown.serialize().to_pybytes())
        self._schema = coded.with_metadata({**(schema.metadata or {}), "ARROW:schema": stored})
        self._file = pq.ParquetWriter(
            path, self._schema, store_schema=False, **_encodings(schema, constants)
        )

    def write_table(self, table: Any) -> None:
        """Write the rows of a table."""
        import pyarrow as pa

        columns = [*table.columns]
        for text in self._constants.values():
            codes = pa.repeat(pa.scalar(0, pa.int8()), len(table))
            columns.append(pa.DictionaryArray.from_arrays(codes, pa.array([text])))
        made = pa.Table.from_arrays(columns, schema=self._schema)
        self._file.write_table(made, row_group_size=_ROW_GROUP)

    def close(self) -> None:
        """End the file."""
        self._file.close()


def _encodings(schema: Any, constants: Mapping[str, str]) -> dict[str, Any]:
    """Return how columns are stored: numbers that rarely repeat not by a dictionary of them.

    It would be built and then given up, which takes most of the time of writing.
    """
    import pyarrow as pa

    whole = [
        field.name
        for field in schema
        if field.type in {pa.int64(), pa.uint64()} or pa.types.is_timestamp(field.type)
    ]
    plain = {field.name for field in schema if pa.types.is_floating(field.type)} | set(whole)
    return {
        "use_dictionary": [*(name for name in schema.names if name not in plain), *constants],
        "column_encoding": dict.fromkeys(whole, "DELTA_BINARY_PACKED") or None,
        "write_statistics": list(schema.names),
    }
