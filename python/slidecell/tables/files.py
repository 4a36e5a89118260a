"""Reading a CSV or Parquet file into a DataFrame; a damaged one is refused with its place."""

from __future__ import annotations

import gzip
import io
import math
import re
import warnings
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

import numpy as np
import numpy.typing as npt

from slidecell.tables.csv_lines import (
    encoding_place,
    find_blank_rows,
    has_blank_lines,
    read_header,
)
from slidecell.tables.header import repeated_name
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


def read_frame(path: Path | Source, *, keys: Collection[str] = ()) -> pd.DataFrame:
    """Read a file; columns named in ``keys`` keep the text of a CSV file as it stands.

    The path ``-`` is standard input.

    Raises
    ------
    ValueError
        Empty file, header only, damaged content: the text names the file and the place.
    OSError
        The file cannot be opened.
    """
    path = Source.of(path)
    try:
        frame = _read_csv(path, keys) if file_kind(path) == "csv" else _read_parquet(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from error
    if len(frame.columns) == 0 or len(frame) == 0:
        raise ValueError(f"{path}: no rows below the header")
    return frame


def _read_csv(path: Source, keys: Collection[str]) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame

    blank_lines = has_blank_lines(path)
    header = read_header(path)
    names = header.names
    missing = {name: [""] if name in keys else list(MISSING) for name in names}
    try:
        with warnings.catch_warnings():
            # It warns where rows are all longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                _with_newlines(path) if header.returns else path.for_parser(),
                sep=header.delimiter,
                names=names,
                header=None,
                skiprows=header.records,
                index_col=False,  # or the first cells of longer rows would become an index
                dtype={name: str for name in keys if name in names},
                keep_default_na=False,
                na_values=missing,
                low_memory=False,  # one dtype per column, not one per chunk
                encoding="utf-8-sig",
                compression=None,
                on_bad_lines="error",
                **_exact_floats(),
            )
    except pd.errors.ParserWarning as warning:
        find_blank_rows(path, header)
        raise ValueError(f"{path}: not readable as CSV: {warning}") from warning
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path}: no rows below the header") from error
    except pd.errors.ParserError as error:
        find_blank_rows(path, header)
        raise ValueError(f"{path}: {_parser_place(error)}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {encoding_place(path, error)}") from error
    for name in set(names) - set(keys):
        if (numbers := _wide_numbers(frame[name])) is not None:
            frame[name] = numbers
    # The parser fills a short row with missing cells; only then is the last column missing.
    if len(frame) and (blank_lines or len(names) == 1 or frame[names[-1]].isna().any()):
        frame = _with_blank_rows(frame, find_blank_rows(path, header), path, keys)
    return frame


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


def _wide_numbers(column: pd.Series[Any]) -> list[float] | None:
    """Return a text column as numbers if all its cells are, such as integers beyond 64 bits."""
    if not _is_text(column):
        return None
    cells = column.tolist()
    try:
        return [math.nan if cell is None or cell != cell else _number(cell) for cell in cells]  # noqa: PLR0124
    except (TypeError, ValueError):
        return None


def _is_text(column: pd.Series[Any]) -> bool:
    import pandas as pd

    return column.dtype == object or isinstance(column.dtype, pd.StringDtype)


def _number(cell: Any) -> float:
    if isinstance(cell, bool) or (isinstance(cell, str) and "_" in cell):
        raise ValueError(cell)
    try:
        return float(cell)
    except OverflowError:  # an integer beyond all floats
        return math.inf


def _with_blank_rows(
    frame: pd.DataFrame, blank: npt.NDArray[np.bool_], path: Source, keys: Collection[str]
) -> pd.DataFrame:
    """Return a frame in which blank lines are rows without a value, so that none bridges them.

    In a file with a time or an entity nobody knows whose row a blank line would be: its frame has
    no such row, and tells how many there were as its attribute ``blank_lines``.
    """
    count = int(blank.sum())
    if count == 0:
        return frame
    if len(blank) - count != len(frame):
        raise ValueError(f"{path}: not readable as CSV: its blank lines have no certain place")
    if any(name in keys for name in frame.columns):
        frame.attrs["blank_lines"] = count
        return frame
    place = np.full(len(blank), -1, np.int64)
    place[~blank] = np.arange(len(frame))
    return frame.reindex(place).reset_index(drop=True)


def _parser_place(error: Exception) -> str:
    text = str(error).strip()
    cells = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", text)
    if cells:
        return f"line {cells[2]}: expected {cells[1]} cells, got {cells[3]}"
    quote = re.search(r"EOF inside string starting at row (\d+)", text)
    if quote:
        return f"line {int(quote[1]) + 1}: a quote is opened and never closed"
    return f"not readable as CSV: {text}"


def _read_parquet(path: Source) -> pd.DataFrame:
    from slidecell._extras import require

    require("pyarrow", extra="detect")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
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
