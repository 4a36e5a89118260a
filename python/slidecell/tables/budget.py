"""Memory that a column of a file may take: counted before it is taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMN_BYTES", "bounded_chunks", "refuse_large_columns", "refuse_large_parquet"]

COLUMN_BYTES = 1 << 30  # that a column may take unless another bound is given

_CHUNK = 1 << 20
_NUMBER = 8  # bytes of a number, and of what leads to a text


class _Readable(Protocol):
    def read(self, most: int, /) -> bytes: ...


def bounded_chunks(stream: _Readable, most: int | None, *, source: str) -> Iterator[bytes]:
    """Yield the content of a stream piece by piece; a ValueError if it has more than ``most``.

    Examples
    --------
    >>> import io
    >>> from slidecell.tables.budget import bounded_chunks
    >>> [len(chunk) for chunk in bounded_chunks(io.BytesIO(bytes(5)), 5, source="a pipe")]
    [5]
    """
    size = 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if most is not None and size > most:
            raise ValueError(
                f"{source}: its content takes more than {_shown(most)}: give a file that is not "
                "compressed, or more with --max-memory (in Python TableOptions(max_bytes=))"
            )
        yield chunk


def refuse_large_columns(frames: Iterable[pd.DataFrame], most: int, *, source: str) -> None:
    """Raise a ValueError if a column of the frames, one below the other, takes too much.

    Parameters
    ----------
    frames : iterable of DataFrame
        Parts of a table, which are looked at one by one.
    most : int
        Bytes.
    source : str
        What the error calls the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell.tables.budget import refuse_large_columns
    >>> parts = [pd.DataFrame({"user": ["a", "bcd"], "x": [1, 2]})] * 2
    >>> refuse_large_columns(parts, 40, source="in.csv")
    >>> refuse_large_columns(parts, 39, source="in.csv")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: in.csv: column 'user' takes 40 bytes, expected at most 39 bytes: ...
    """
    sizes: Counter[str] = Counter()
    for frame in frames:
        for name in frame.columns:
            sizes[str(name)] += _size(frame[name])
    _refuse(sizes, most, source)


def refuse_large_parquet(given: Any, most: int, *, source: str) -> None:
    """Raise a ValueError if a column of a Parquet file takes too much, as its metadata say.

    Parameters
    ----------
    given : path or file
        That pyarrow reads.
    most : int
        Bytes.
    source : str
        What the error calls the file.
    """
    import pyarrow.parquet as pq

    file = pq.ParquetFile(given)
    found, groups = file.metadata, range(file.metadata.num_row_groups)
    sizes: Counter[str] = Counter()
    texts = []
    for place in range(found.num_columns):
        parts = [found.row_group(group).column(place) for group in groups]
        name = file.schema.column(place).path
        stored = sum(part.total_uncompressed_size for part in parts)
        sizes[name] = max(stored, _NUMBER * found.num_rows)
        # A text that many rows share may be stored once, and be read for each of them.
        shared = any("DICTIONARY" in code for part in parts for code in part.encodings)
        is_text = file.schema.column(place).physical_type == "BYTE_ARRAY"
        if shared and is_text and stored * found.num_rows > most:
            texts.append(name)
    _refuse(sizes, most, source)
    texts = [name for name in texts if name in file.schema_arrow.names]
    if not texts:
        return
    lengths: Counter[str] = Counter()
    for batch in pq.ParquetFile(given, read_dictionary=texts).iter_batches(columns=texts):
        for name in texts:
            lengths[name] += _NUMBER * len(batch) + _text_size(batch.column(name))
    _refuse(lengths, most, source)


def _text_size(column: Any) -> int:
    """Return the bytes of all texts of a column of pyarrow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.cast(pc.binary_length(column.dictionary), pa.int64())
    return pc.sum(pc.take(lengths, column.indices)).as_py() or 0


def _size(column: pd.Series[Any]) -> int:
    import pandas as pd

    if column.dtype != object and not isinstance(column.dtype, pd.StringDtype):
        return _NUMBER * len(column)
    return _NUMBER * len(column) + sum(len(str(cell)) for cell in column.dropna())


def _refuse(sizes: Counter[str], most: int, source: str) -> None:
    for name, size in sizes.items():
        if size > most:
            raise ValueError(
                f"{source}: column {name!r} takes {_shown(size)}, expected at most {_shown(most)}: "
                "allow it with --max-memory (in Python TableOptions(max_bytes=))"
            )


def _shown(size: int) -> str:
    """Return an amount of memory as a person reads it, never as less than it is."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{-(-size * 10 // (1 << power)) / 10:g} {unit}"
    return f"{size} bytes"
