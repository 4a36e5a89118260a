"""Reading a CSV or Parquet file into a DataFrame; a damaged one is refused with its place."""

from __future__ import annotations

import gzip
import io
import re
import warnings
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import numpy as np
import numpy.typing as npt

from slidecell.tables.budget import (
    COLUMN_BYTES,
    bounded_chunks,
    refuse_large_columns,
    refuse_large_parquet,
)
from slidecell.tables.csv_lines import (
    Header,
    Records,
    encoding_place,
    find_records,
    measure,
    read_header,
)
from slidecell.tables.header import repeated_name
from slidecell.tables.numbers import number_float, text_float
from slidecell.tables.source import Source

if TYPE_CHECKING:
    import pandas as pd

FileKind = Literal["csv", "parquet"]

# Cells that mean "missing" in a feature or label column. Written out because key columns must not
# share them: a user may be called NA.
MISSING = (
    "", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#N/A",
)  # fmt: skip

_PARQUET_MAGIC = b"PAR1"
_ROWS_AT_ONCE = 1 << 16

# What other files begin with; gzip is read.
_OTHERS = {
    b"PK\x03\x04": "a ZIP archive (a workbook is one too): unpack it, or save the sheet as CSV",
    b"BZh": "text compressed by bzip2: unpack it; gzip is read as it is",
    b"\xfd7zXZ\x00": "text compressed by xz: unpack it; gzip is read as it is",
    b"\x28\xb5\x2f\xfd": "text compressed by zstd: unpack it; gzip is read as it is",
    b"\x04\x22\x4d\x18": "text compressed by lz4: unpack it; gzip is read as it is",
    b"\xff\xfe": "text in UTF-16: save it as UTF-8",
    b"\xfe\xff": "text in UTF-16: save it as UTF-8",
    b"\xd0\xcf\x11\xe0": "an old workbook: save the sheet as CSV",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "an array of numpy",
    b"ARROW1": "a Feather file",
    b"{": "JSON: slidecell stream reads lines of it",
}


def file_kind(path: Path | Source) -> FileKind:
    """Tell Parquet from CSV by content, and check the content against the file's suffix."""
    path = Source.of(path)
    if path.is_folder:
        raise OSError(f"{path}: expected a CSV or Parquet file, got a folder")
    try:
        with path.open() as stream:
            head = stream.read(4096)
    except OSError as error:
        raise OSError(f"{path}: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from error
    if not head:
        raise ValueError(f"{path}: the file is empty")
    if head.startswith(_PARQUET_MAGIC):
        return "parquet"
    if path.suffix in {".parquet", ".pq"}:
        raise ValueError(f"{path}: not a Parquet file: expected PAR1 at byte 0, got {head[:4]!r}")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    for magic, what in _OTHERS.items():
        if start.startswith(magic):
            raise ValueError(f"{path}: expected CSV text in UTF-8 or Parquet, got {what}")
    return "csv"


@dataclass(frozen=True)
class FileFrame:
    """What a file holds.

    Attributes
    ----------
    frame : DataFrame, [R]
    lines : ndarray of int64, [R], or None
        The line that each row begins at, where blank lines were left out between them.
    blank_lines : int
        That were left out, since nobody knows whose row they would be.
    """

    frame: pd.DataFrame
    lines: npt.NDArray[np.int64] | None = None
    blank_lines: int = 0


def read_frame(path: Path | Source, *, keys: Collection[str] = ()) -> pd.DataFrame:
    """Return the rows of a file, as `read_file` does."""
    return read_file(path, keys=keys).frame


def read_file(
    path: Path | Source,
    *,
    keys: Collection[str] = (),
    asked: Collection[str] = (),
    max_bytes: int = COLUMN_BYTES,
) -> FileFrame:
    """Read a file; columns named in ``keys`` keep the text of a CSV file as it stands.

    A first line of numbers is refused, unless they are different and all in ``asked``. The path
    ``-`` is standard input.

    Raises
    ------
    ValueError
        Empty file, header only, damaged content, a column that takes more than ``max_bytes``: the
        text names the file and the place.
    OSError
        The file cannot be opened.
    """
    path = Source.of(path, max_bytes=max_bytes)
    try:
        if file_kind(path) == "csv":
            found = _read_csv(path, keys, asked, max_bytes)
        else:
            found = FileFrame(_read_parquet(path, max_bytes))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from error
    if len(found.frame.columns) == 0 or len(found.frame) == 0:
        raise ValueError(f"{path}: no rows below the header")
    return found


def _read_csv(path: Source, keys: Collection[str], asked: Collection[str], most: int) -> FileFrame:
    extent = measure(path, most=most)
    header = read_header(path, asked=asked)
    if extent.size + 8 * extent.lines > most:  # else no column can take as much
        rows = max(1, min(_ROWS_AT_ONCE, most * extent.lines // extent.size))
        parts = _parse_csv(path, header, keys, chunksize=rows)
        refuse_large_columns(_read_parts(path, header, parts), most, source=str(path))
    frame = parse_rows(path, header, keys)
    return check_rows(frame, path, header, keys, blank=extent.blank)


def parse_rows(path: Source, header: Header, keys: Collection[str]) -> pd.DataFrame:
    """Return the rows below the header; blank lines among them are left out."""
    frame: pd.DataFrame = _parse_csv(path, header, keys)
    for name in set(header.names) - set(keys):
        if (numbers := _wide_numbers(frame[name], path, header)) is not None:
            frame[name] = numbers
    return frame


def check_rows(
    frame: pd.DataFrame, path: Source, header: Header, keys: Collection[str], *, blank: bool
) -> FileFrame:
    """Return rows that were parsed with the blank lines between them; refuse a line that is short.

    ``blank`` tells whether there may be blank lines.
    """
    # The parser fills a short row with missing cells; only then is the last column missing.
    if len(frame) and (blank or len(header.names) == 1 or frame[header.names[-1]].isna().any()):
        return _with_blank_rows(frame, find_records(path, header), path, keys)
    return FileFrame(frame)


def _parse_csv(path: Source, header: Header, keys: Collection[str], **options: Any) -> Any:
    """Return the rows below the header, or with a ``chunksize`` an iterator of their parts."""
    import pandas as pd

    names = header.names
    missing = {name: [""] if name in keys else list(MISSING) for name in names}
    with _csv_errors(path, header):
        return pd.read_csv(
            _with_newlines(path) if header.returns else path.for_parser(),
            sep=header.delimiter,
            names=names,
            header=None,
            skiprows=header.records,
            dtype={name: str for name in keys if name in names},
            index_col=False,  # or the first cells of longer rows would become an index
            keep_default_na=False,
            na_values=missing,
            low_memory=False,  # one dtype per column, not one per chunk
            encoding="utf-8-sig",
            compression=None,
            on_bad_lines="error",
            **_exact_floats(),
            **options,
        )


def _read_parts(path: Source, header: Header, parts: Any) -> Iterator[pd.DataFrame]:
    with parts, _csv_errors(path, header):
        yield from parts


@contextmanager
def _csv_errors(path: Source, header: Header) -> Iterator[None]:
    """Turn the parser's errors into a ValueError with the place."""
    import pandas as pd

    try:
        with warnings.catch_warnings():
            # It warns where rows are all longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except pd.errors.ParserWarning as warning:
        find_records(path, header)
        raise ValueError(f"{path}: not readable as CSV: {warning}") from warning
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path}: no rows below the header") from error
    except pd.errors.ParserError as error:
        find_records(path, header)
        raise ValueError(f"{path}: {_parser_place(error, path.lines_before)}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {encoding_place(path, error)}") from error


def _with_newlines(path: Source) -> TextIO:
    """Return the text of a file, each line ended by a line feed."""
    with path.open() as stream:
        text = stream.read().decode("utf-8-sig")
    return io.StringIO(text.replace("\r", "\n"))


def _exact_floats() -> dict[str, Any]:
    """Return what makes the parser read a number as the nearest float: newer pandas does so."""
    import pandas as pd

    major, minor = map(int, pd.__version__.split(".")[:2])
    return {"float_precision": "round_trip"} if (major, minor) < (3, 1) else {}


def _wide_numbers(
    column: pd.Series[Any], path: Source, header: Header
) -> npt.NDArray[np.float64] | None:
    """Return a column as numbers if it has some that the parser does not read; else None.

    They are whole numbers beyond 64 bits, which it keeps as text, and numbers beyond float64, which
    it reads as infinity.
    """
    if not _is_text(column):
        if column.dtype.kind != "f" or not np.isinf(column).any():
            return None
        name = str(column.name)
        texts = _parse_csv(path, header, (name,), usecols=[name])[name]
        numbers = column.to_numpy(np.float64, copy=True)
        infinite = np.isinf(numbers)
        numbers[infinite] = [text_float(text) for text in texts[infinite]]
        return numbers
    try:
        return np.array([_number(cell) for cell in column.tolist()], np.float64)
    except (TypeError, ValueError):
        return None


def _is_text(column: pd.Series[Any]) -> bool:
    import pandas as pd

    return column.dtype == object or isinstance(column.dtype, pd.StringDtype)


def _number(cell: Any) -> float:
    if isinstance(cell, str):
        # The parser keeps them as text beside whole numbers beyond 64 bits.
        return np.nan if cell in MISSING else text_float(cell)
    if isinstance(cell, bool):
        raise TypeError(cell)
    return np.nan if cell is None else number_float(cell)


def _with_blank_rows(
    frame: pd.DataFrame, records: Records, path: Source, keys: Collection[str]
) -> FileFrame:
    """Return a frame in which blank lines are rows without a value, so that none bridges them.

    In a file with a time or an entity nobody knows whose row a blank line would be: its frame has
    no such row.
    """
    blank, lines = records
    count = int(blank.sum())
    if count == 0:
        return FileFrame(frame)
    if len(blank) - count != len(frame):
        raise ValueError(f"{path}: not readable as CSV: its blank lines have no certain place")
    if any(name in keys for name in frame.columns):
        return FileFrame(frame, lines[~blank], count)
    place = np.full(len(blank), -1, np.int64)
    place[~blank] = np.arange(len(frame))
    return FileFrame(frame.reindex(place).reset_index(drop=True))


def _parser_place(error: Exception, before: int) -> str:
    text = str(error).strip()
    cells = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", text)
    if cells:
        return f"line {before + int(cells[2])}: expected {cells[1]} cells, got {cells[3]}"
    quote = re.search(r"EOF inside string starting at row (\d+)", text)
    if quote:
        return f"line {before + int(quote[1]) + 1}: a quote is opened and never closed"
    return f"not readable as CSV: {text}"


def _read_parquet(path: Source, most: int) -> pd.DataFrame:
    from slidecell._extras import require

    require("pyarrow", extra="detect")
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_packed:
        with path.open() as stream:
            for _ in bounded_chunks(stream, most, source=str(path)):
                pass
    try:
        refuse_large_parquet(path.for_parser(), most, source=str(path))
        table = pq.ParquetFile(path.for_parser()).read()
        names = [str(name) for name in table.column_names]
        if (name := repeated_name(names)) is not None:
            raise ValueError(f"{path}: two columns are called {name!r}")
        frame = _to_pandas(table)
    except (pa.ArrowException, OSError, MemoryError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: damaged Parquet file: {reason}") from error
    # A pandas index that was saved beside the columns is a column like others.
    named = [name for name in frame.index.names if name is not None]
    if named:
        frame = frame.reset_index()
    frame.columns = [str(name) for name in frame.columns]
    return frame


def _to_pandas(table: Any) -> pd.DataFrame:
    """Return a table of pyarrow; where what pandas noted in it makes no sense, without that."""
    import pyarrow as pa

    frame: pd.DataFrame
    try:
        frame = table.to_pandas()
    except (pa.ArrowException, MemoryError):
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return _without_metadata(table)
    return frame


def _without_metadata(table: Any) -> pd.DataFrame:
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas()
    return frame
