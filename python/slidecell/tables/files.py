"""Reading a CSV or Parquet file into a DataFrame; a damaged one is refused with its place."""

from __future__ import annotations

import csv
import re
import sys
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
_DELIMITERS = ",;\t|"


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
    if not head:
        raise ValueError(f"{path}: the file is empty")
    if head.startswith(_PARQUET_MAGIC):
        return "parquet"
    if path.suffix in {".parquet", ".pq"}:
        raise ValueError(f"{path}: not a Parquet file: expected PAR1 at byte 0, got {head[:4]!r}")
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
    frame = _read_csv(path, keys) if file_kind(path) == "csv" else _read_parquet(path)
    if len(frame.columns) == 0 or len(frame) == 0:
        raise ValueError(f"{path}: no rows below the header")
    return frame


def _read_csv(path: Source, keys: Collection[str]) -> pd.DataFrame:
    import pandas as pd

    _check_no_zero_byte(path)
    header, delimiter = _read_header(path)
    missing = {name: [""] if name in keys else list(MISSING) for name in header}
    try:
        with warnings.catch_warnings():
            # It warns where rows are all longer than the header.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path.for_parser(),
                sep=delimiter,
                names=header,
                header=0,
                index_col=False,  # or the first cells of longer rows would become an index
                dtype={name: str for name in keys if name in header},
                keep_default_na=False,
                na_values=missing,
                low_memory=False,  # one dtype per column, not one per chunk
                encoding="utf-8-sig",
                on_bad_lines="error",
            )
    except pd.errors.ParserWarning as warning:
        _check_cells_per_line(path, delimiter, len(header))
        raise ValueError(f"{path}: not readable as CSV: {warning}") from warning
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{path}: no rows below the header") from error
    except pd.errors.ParserError as error:
        raise ValueError(f"{path}: {_parser_place(error)}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {_encoding_place(path, error)}") from error
    # The parser fills a short row with missing cells; only then is the last column missing.
    if len(frame) > 0 and (len(header) == 1 or frame[header[-1]].isna().any()):
        _check_cells_per_line(path, delimiter, len(header))
    return frame


def _check_no_zero_byte(path: Source) -> None:
    # Parsers drop zero bytes or end a cell at them; a file that a crash filled with zeros, or one
    # in UTF-16, would be read as other numbers.
    line, place = 1, 0
    with path.open() as stream:
        while chunk := stream.read(1 << 20):
            zero = chunk.find(b"\0")
            if zero >= 0:
                line += chunk.count(b"\n", 0, zero)
                raise ValueError(
                    f"{path}: line {line}: expected CSV text in UTF-8, got a zero byte "
                    f"(byte {place + zero} of the file)"
                )
            line += chunk.count(b"\n")
            place += len(chunk)


def _read_header(path: Source) -> tuple[list[str], str]:
    """Column names and delimiter of a CSV file, from its first line that is not blank."""
    try:
        with path.open_text(encoding="utf-8-sig") as stream:
            line = next((line for line in stream if line.strip()), "")
            if not line:
                raise ValueError(f"{path}: the file is empty")
            delimiter = max(_DELIMITERS, key=line.count)  # a comma where none occurs
            stream.seek(0)
            header = next(row for row in csv.reader(stream, delimiter=delimiter) if row)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {_encoding_place(path, error)}") from error
    except csv.Error as error:
        raise ValueError(f"{path}: line 1: {error}") from error
    names = [name.strip() or f"Unnamed: {index}" for index, name in enumerate(header)]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{path}: line 1: two columns are called {name!r}")
    return names, delimiter


def _parser_place(error: Exception) -> str:
    text = str(error).strip()
    cells = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", text)
    if cells:
        return f"line {cells[2]}: expected {cells[1]} cells, got {cells[3]}"
    quote = re.search(r"EOF inside string starting at row (\d+)", text)
    if quote:
        return f"line {int(quote[1]) + 1}: a quote is opened and never closed"
    return f"not readable as CSV: {text}"


def _encoding_place(path: Source, error: UnicodeDecodeError) -> str:
    # The decoder counts within its chunk; the place in the file is found by decoding it by line.
    with path.open() as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as bad:
                return f"line {number}: byte {line[bad.start]:#04x} is not UTF-8 text"
    return f"not UTF-8 text: {error.reason}"


def _check_cells_per_line(path: Source, delimiter: str, expected: int) -> None:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open_text(encoding="utf-8-sig") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        for row in reader:
            blank = not row or (expected > 1 and len(row) == 1 and not row[0].strip())
            if not blank and len(row) != expected:
                raise ValueError(
                    f"{path}: line {reader.line_num}: expected {expected} cells, got {len(row)}"
                )


def _read_parquet(path: Source) -> pd.DataFrame:
    from slidecell._extras import require

    require("pyarrow", extra="detect")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path.for_parser()).read()
        names = [str(name) for name in table.column_names]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ValueError(f"{path}: two columns are called {name!r}")
        frame: pd.DataFrame = table.to_pandas()
    except (pa.ArrowException, OSError, MemoryError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{path}: damaged Parquet file: {reason}") from error
    # A pandas index that was saved beside the columns is a column like others.
    named = [name for name in frame.index.names if name is not None]
    if named:
        frame = frame.reset_index()
    frame.columns = [str(name) for name in frame.columns]
    return frame
