"""The rows of CSV files in batches from any place on."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slidecell.scale.sources import Batch, Place, check_names
from slidecell.tables.columns import feature_numbers, is_unnamed, parse_labels, to_numbers
from slidecell.tables.csv_lines import Header, find_records, long_cells, measure, read_header
from slidecell.tables.files import check_rows, file_kind, parse_rows
from slidecell.tables.row_error import RowError
from slidecell.tables.source import Source

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CsvFiles", "column_names"]

_PIECE_BYTES = 1 << 22
_LONGEST_PIECE = 1 << 26  # a record that is longer is one whose quote is never closed
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class _File:
    """A CSV file: its header, the byte and the lines before its rows, and its lines."""

    source: Source
    header: Header
    begin: int
    head_lines: int
    lines: int

    @property
    def line_end(self) -> bytes:
        return b"\r" if self.header.returns else b"\n"


class _Piece(NamedTuple):
    """Whole lines of a file, from a byte and behind some lines."""

    content: bytes
    begin: int
    line: int


class CsvFiles:
    """CSV files of one kind of rows: the columns are matched by name, text in gzip is unpacked.

    A file is read piece by piece. A piece ends where a line does that no quoted cell crosses, and
    depends on nothing but where it begins: a run that goes on at a piece reads the same batches.

    Parameters
    ----------
    files : sequence of Path, [N]
    keys : mapping of str to str
        The option of each key column; their cells are texts, as they stand in the file.
    features : sequence of str
        Numbers, or true and false as the first rows of the first file have it.
    batch_rows : int
        Rows of a batch, at most.
    label : str, optional
        A column of 0 and 1 that is read too.

    Raises
    ------
    OSError
        If a file cannot be opened.
    ValueError
        If one is damaged or lacks a column; the text names it and the place.
    """

    def __init__(
        self,
        files: Sequence[Path],
        keys: Mapping[str, str],
        features: Sequence[str],
        *,
        batch_rows: int,
        label: str | None = None,
    ) -> None:
        import pyarrow as pa

        self.files = list(files)
        self._keys, self._features = list(keys), list(features)
        self._batch_rows, self._label = batch_rows, label
        self._found: list[_File] = []
        wanted = {**dict.fromkeys(features, "features"), **keys}
        if label is not None:
            wanted[label] = "label"
        for path in self.files:
            found = _open(path, asked=list(wanted))
            check_names(str(path), found.header.names, wanted)
            self._found.append(found)
        names = self._found[0].header.names
        self.key_types = {name: pa.string() for name in names if name in keys}
        self._truths = self._find_truths()
        if self.total == 0:
            raise ValueError(f"{self.files[0]}: no rows below the header")

    @property
    def total(self) -> int:
        """Rows of all files; with blank lines among them those too."""
        return sum(found.lines - found.head_lines for found in self._found)

    def identity(self) -> list[list[Any]]:
        """Return what tells these files from others, or from themselves when they have changed."""
        identity = []
        for path, found in zip(self.files, self._found, strict=True):
            about = path.stat()
            identity.append([str(path.absolute()), about.st_size, about.st_mtime_ns, found.lines])
        return identity

    def batches(self, start: Place | None = None) -> Iterator[Batch]:
        """Yield the rows from a place on, in the order of the files."""
        place = Place() if start is None else start
        while place.file < len(self.files):
            found = self._found[place.file]
            first, blank = place.first, place.blank
            for piece in _pieces(found, place):
                rows = self._read(found, piece)
                at = place._replace(group=piece.begin, first=first, line=piece.line, blank=blank)
                after = first + len(rows.lines)
                blank += rows.blank
                following = at._replace(
                    group=piece.begin + len(piece.content),
                    batch=0,
                    first=after,
                    line=piece.line + piece.content.count(found.line_end),
                    blank=blank,
                )
                yield from self._batches(rows, at, following, place.batch)
                place = following
                first = after
            place = Place(place.file + 1, before=place.before + first, blank=blank)

    def keys(self) -> Iterator[Any]:
        """Yield the key columns of all batches that have rows, as batches of pyarrow."""
        for batch in self.batches():
            yield from batch.table.select(list(self.key_types)).to_batches()

    def whole(self) -> Batch:
        """Return all rows as one batch."""
        import pyarrow as pa

        batches = list(self.batches())
        table = pa.concat_tables([batch.table for batch in batches])
        end = batches[-1].next
        if len(self.files) > 1:
            return Batch(table, f"{len(self.files)} files", 0, 0, end)
        lines = np.concatenate([batch.lines for batch in batches if batch.lines is not None])
        return Batch(table, str(self.files[0]), 0, 0, end, lines)

    def notes(self, end: Place) -> list[str]:
        """Return how many blank lines were left out up to a place."""
        if not end.blank:
            return []
        return [
            f"{end.blank} blank line(s) were left out: nobody knows whose row or which time they "
            "are, and windows reach across them"
        ]

    def _batches(self, rows: _Rows, at: Place, following: Place, skipped: int) -> Iterator[Batch]:
        """Yield the batches of a piece from one on."""
        count, step = len(rows.lines), self._batch_rows
        for number, begin in enumerate(range(0, count, step)):
            if number < skipped:
                continue
            yield Batch(
                rows.table.slice(begin, step),
                str(self.files[at.file]),
                at.first + begin,
                at.before + at.first + begin,
                following if begin + step >= count else at._replace(batch=number + 1),
                rows.lines[begin : begin + step],
            )

    def _find_truths(self) -> set[str]:
        """Return the features that are true and false in the first rows of the first file."""
        found = self._found[0]
        for piece in _pieces(found, Place()):
            frame = _parsed(found, piece, self._keys)[0]
            return {name for name in self._features if _is_truth(frame[name])}
        return set()

    def _read(self, found: _File, piece: _Piece) -> _Rows:
        """Return the rows of a piece."""
        import pyarrow as pa

        frame, lines, blank = _parsed(found, piece, self._keys)
        columns = [pa.array(frame[name], pa.string(), from_pandas=True) for name in self.key_types]
        names = [*self.key_types, *(name for name in self._features if name not in self._keys)]
        try:
            for name in names[len(columns) :]:
                columns.append(pa.array(self._numbers(frame[name], str(found.source))))
            if self._label is not None:
                names.append(self._label)
                labels = parse_labels(frame[self._label], source=str(found.source))
                columns.append(pa.array(labels))
        except RowError as error:
            raise error.at_lines(lines) from error
        return _Rows(pa.table(dict(zip(names, columns, strict=True))), lines, blank)

    def _numbers(self, column: pd.Series[Any], source: str) -> npt.NDArray[np.float64]:
        values = to_numbers(column)
        if values is None:
            return feature_numbers(column, source=source, may_exclude=False)
        name, truth = str(column.name), str(column.name) in self._truths
        if _is_truth(column) != truth and column.notna().any():
            row = int(np.argmax(column.notna().to_numpy()))
            kinds = ("true or false", "a number")
            raise RowError(
                f"{source}: column {name!r}: {column.iloc[row]} in ",
                [row],
                f" is {kinds[truth]}: expected {kinds[not truth]}, as in the first rows",
            )
        return values


class _Rows(NamedTuple):
    """The rows of a piece as a table of pyarrow, the line of each, and blank lines left out."""

    table: Any
    lines: npt.NDArray[np.int64]
    blank: int


def column_names(path: Path, *, asked: Sequence[str] = ()) -> list[str]:
    r"""Return the columns of a CSV file that have a name.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.scale.csv_files import column_names
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "in.csv"
    >>> _ = path.write_text(";time;load\n0;1;2\n")
    >>> column_names(path)
    ['time', 'load']
    """
    source = Source(path)
    file_kind(source)
    return [name for name in read_header(source, asked=asked).names if not is_unnamed(name)]


def _open(path: Path, *, asked: Sequence[str]) -> _File:
    """Return what is known of a file before its rows are read; all of it is looked through once."""
    source = Source(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(f"{path}: expected a file that can be read again, got a pipe or a device")
    with _naming_gzip(path):
        if file_kind(source) == "parquet":
            raise ValueError(f"{path}: expected CSV text, got a Parquet file")
        header = read_header(source, asked=asked)
        begin, head_lines = _end_of_header(source, header)
        extent = measure(source, blanks=False)
        lines = extent.lines - extent.ended
        if header.returns:
            lines = _count_returns(source)
    return _File(source, header, begin, head_lines, lines)


def _count_returns(source: Source) -> int:
    """Return the lines of a file that carriage returns alone end."""
    count, last = 0, b"\r"
    with source.open() as stream:
        while chunk := stream.read(1 << 20):
            count += chunk.count(b"\r")
            last = chunk
    return count + (not last.endswith(b"\r"))


def _end_of_header(source: Source, header: Header) -> tuple[int, int]:
    """Return the byte and the number of lines that the rows begin behind."""
    with source.open() as binary:
        begin = len(_BOM) if binary.read(len(_BOM)) == _BOM else 0
    count = 0

    def lines(stream: Any) -> Iterator[str]:
        nonlocal begin, count
        for line in stream:
            begin += len(line.encode())
            count += 1
            yield line

    with long_cells(), source.open_text(encoding="utf-8-sig") as stream:
        each = lines(stream)
        for _ in range(header.records - 1):
            next(each)
        next(csv.reader(each, delimiter=header.delimiter))
    return begin, count


def _pieces(found: _File, place: Place) -> Iterator[_Piece]:
    """Yield a file's lines from a place on, piece by piece."""
    begin = place.group or found.begin
    line = place.line or found.head_lines
    with _naming_gzip(found.source.path), found.source.open() as stream:
        stream.seek(begin)
        pending, size = b"", _PIECE_BYTES
        while True:
            more = stream.read(size - len(pending)) if size > len(pending) else b""
            pending += more
            at_end = len(pending) < size
            cut = len(pending) if at_end else _last_cut(pending, found)
            if cut == 0 and not at_end:
                size += _PIECE_BYTES
                if size > _LONGEST_PIECE:
                    raise ValueError(
                        f"{found.source}: line {line + 1}: a row takes more than "
                        f"{_LONGEST_PIECE >> 20} MiB: is a quote opened and never closed?"
                    )
                continue
            if pending[:cut].strip(b" \t\r\n"):
                yield _Piece(pending[:cut], begin, line)
            if at_end:
                return
            begin += cut
            line += pending.count(found.line_end, 0, cut)
            pending, size = pending[cut:], _PIECE_BYTES


def _last_cut(pending: bytes, found: _File) -> int:
    """Return where the last row ends that another one follows, or 0.

    Blank lines at the end are left to the next piece, so that none is taken for the file's end.
    """
    end = found.line_end
    cut = pending.rfind(end) + 1 if b'"' not in pending else _last_record(pending, found)
    filled = len(pending[:cut].rstrip(b" \t\r\n"))
    return pending.find(end, filled) + 1 if filled else 0


def _last_record(pending: bytes, found: _File) -> int:
    """Return where the last record begins, which may be cut off, of text that has quotes."""
    sizes = [0]

    def lines() -> Iterator[str]:
        for line in io.StringIO(pending.decode("utf-8", "surrogateescape"), newline=""):
            sizes.append(sizes[-1] + len(line.encode("utf-8", "surrogateescape")))
            yield line

    begin = 0
    with long_cells():
        reader = csv.reader(lines(), delimiter=found.header.delimiter)
        while True:
            read = sizes[-1]
            try:
                next(reader)
            except (StopIteration, csv.Error):
                return begin
            begin = read


def _parsed(
    found: _File, piece: _Piece, keys: Sequence[str]
) -> tuple[pd.DataFrame, npt.NDArray[np.int64], int]:
    """Return the rows of a piece, the line that each begins at, and blank lines left out."""
    source = Source(found.source.path, piece.content, piece.line)
    header = replace(found.header, records=0)
    frame = parse_rows(source, header, keys)
    count = piece.content.count(found.line_end)
    count += not piece.content.endswith(found.line_end)
    uneven = count != len(frame)
    rows = check_rows(frame, source, header, keys, blank=uneven)
    if not uneven:
        lines = piece.line + 1 + np.arange(count)
    elif rows.lines is not None:
        lines = rows.lines
    else:
        lines = find_records(source, header).lines[: len(rows.frame)]
    return rows.frame, lines, rows.blank_lines


def _is_truth(column: pd.Series[Any]) -> bool:
    """Tell a column of true and false, some of them missing or none."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column.dtype):
        return True
    if column.dtype != object:
        return False
    return bool(pd.api.types.infer_dtype(column, skipna=True) == "boolean")


@contextmanager
def _naming_gzip(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from error
