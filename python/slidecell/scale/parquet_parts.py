"""Tables as bytes of Arrow, which cost little to write, and all of them as one Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["ArrowWriter", "join_parquet"]

_ROW_GROUP = 1 << 17


class ArrowWriter:
    """Writes tables of pyarrow one behind the other.

    Parameters
    ----------
    path : Path
    schema : pyarrow.Schema

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pyarrow as pa
    >>> import pyarrow.parquet as pq
    >>> from slidecell.scale.parquet_parts import ArrowWriter, join_parquet
    >>> folder, table = pathlib.Path(tempfile.mkdtemp()), pa.table({"score": [0.5, None]})
    >>> writer = ArrowWriter(folder / "part", table.schema)
    >>> writer.write_table(table)
    >>> writer.close()
    >>> join_parquet([folder / "part"], folder / "whole.parquet", table.schema, {})
    >>> pq.read_table(folder / "whole.parquet").column("score").to_pylist()
    [0.5, None]
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


def join_parquet(
    parts: Sequence[Path], out: Path, schema: Any, constants: Mapping[str, str]
) -> None:
    """Write the tables of all parts to one Parquet file.

    Parameters
    ----------
    parts : sequence of Path
        Written by `ArrowWriter`.
    out : Path
    schema : pyarrow.Schema
        Of the file: that of the parts, and the constant columns behind it.
    constants : mapping of str to str
        Columns that have one text in all rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(out, schema, **_encodings(schema)) as whole:
        for path in parts:
            with pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    columns = [*batch.columns]
                    columns += [pa.repeat(text, len(batch)) for text in constants.values()]
                    table = pa.Table.from_arrays(columns, schema=schema)
                    whole.write_table(table, row_group_size=_ROW_GROUP)


def _encodings(schema: Any) -> dict[str, Any]:
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
        "use_dictionary": [name for name in schema.names if name not in plain],
        "column_encoding": dict.fromkeys(whole, "DELTA_BINARY_PACKED") or None,
    }
