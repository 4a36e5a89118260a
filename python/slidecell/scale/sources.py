"""The files of a source, and the rows of Parquet files in batches from any place on."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from slidecell.tables.columns import NoColumnError, feature_numbers, parse_labels, to_numbers
from slidecell.tables.header import repeated_name
from slidecell.tables.rows import Floats

__all__ = [
    "Batch",
    "ParquetFiles",
    "Place",
    "RowFiles",
    "check_columns",
    "check_names",
    "find_files",
    "read_features",
    "read_labels",
    "read_whole",
]

SUFFIXES = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv", ".csv.gz", ".tsv", ".tsv.gz"),
}
_MAGIC = "*?["


class Place(NamedTuple):
    """The first batch that is to come.

    Attributes
    ----------
    file : int
    group : int
        The row group, or the byte that a piece of a CSV file begins at; 0: the file's first.
    batch : int
        In that.
    first, before, line, blank : int
        Where a piece of a CSV file begins: rows of its file and of all files before it, lines of
        its file before it, and blank lines of all that were left out.
    """

    file: int = 0
    group: int = 0
    batch: int = 0
    first: int = 0
    before: int = 0
    line: int = 0
    blank: int = 0


_START = Place()


@dataclass(frozen=True)
class Batch:
    """Rows of one file, and where they stand.

    Attributes
    ----------
    table : pyarrow.RecordBatch or pyarrow.Table
    file : str
        Its name, for errors.
    first : int
        Number of the first row in its file, from 0.
    before : int
        Rows of all files before it.
    next : Place
        Where the next batch begins.
    lines : ndarray of int64, [B], optional
        The line of the file that each row begins at, where it has lines.
    """

    table: Any
    file: str
    first: int
    before: int
    next: Place = _START
    lines: npt.NDArray[np.int64] | None = None

    def row_text(self, row: int) -> str:
        """Return how an error names a row of the batch."""
        if self.lines is not None:
            return f"{self.file}: line {self.lines[row]}"
        return f"{self.file}: row {self.first + row + 1:,}"


class RowFiles(Protocol):
    """Files of one kind of rows, which are read batch by batch."""

    files: list[Path]
    key_types: dict[str, Any]
    """The type of pyarrow of each key column, in the order of the first file."""

    @property
    def total(self) -> int:
        """Rows of all files; with blank lines among them those too."""

    def identity(self) -> list[list[Any]]:
        """Return what tells these files from others, or from themselves when they have changed."""

    def batches(self, start: Place | None = None) -> Iterator[Batch]:
        """Yield the rows from a place on, in the order of the files."""

    def keys(self) -> Iterator[Any]:
        """Yield the key columns of all batches that have rows, as batches of pyarrow."""

    def whole(self) -> Batch:
        """Return all rows as one batch."""

    def notes(self, end: Place) -> list[str]:
        """Return what a reader should know of how they were read, up to a place."""


def find_files(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    kind: Literal["parquet", "csv"] = "parquet",
) -> list[Path]:
    """Return the files that a source means: a file, a folder, a pattern, or several of them.

    Those of a folder are all below it with one of the kind's suffixes: ``.parquet`` and ``.pq``,
    or ``.csv``, ``.csv.gz``, ``.tsv`` and ``.tsv.gz``. Files of a folder and of a pattern come in
    the order of their names, several sources in the order given.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.scale.sources import find_files
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name in ("b.parquet", "a.parquet", "notes.txt"):
    ...     _ = (folder / name).write_bytes(b"")
    >>> [file.name for file in find_files(folder)]
    ['a.parquet', 'b.parquet']
    >>> [file.name for file in find_files(folder / "b*")]
    ['b.parquet']
    """
    if not isinstance(source, (str, os.PathLike)):
        if len(source) == 0:
            raise ValueError("source: expected at least one file, got none")
        return [file for one in source for file in find_files(one, kind)]
    path = Path(source)
    if path.is_dir():
        found = sorted(
            file
            for file in path.rglob("*")
            if file.name.endswith(SUFFIXES[kind])
            and file.is_file()
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        listed = " or ".join([", ".join(SUFFIXES[kind][:-1]), SUFFIXES[kind][-1]])
        expected = f"{path}: expected {listed} files in the folder, got none"
    elif path.exists() or not set(_MAGIC) & set(str(path)):
        return [path]
    else:
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        found = [file for file in found if file.is_file()]
        expected = f"{path}: no file has such a name"
    if not found:
        raise ValueError(expected)
    return found


class ParquetFiles:
    """Parquet files of one kind of rows.

    Parameters
    ----------
    files : sequence of Path, [N]
    keys : mapping of str to str
        The option of each key column: they have one type in all files.
    features : sequence of str
    batch_rows : int
        Rows of a batch, at most.
    label : str, optional
        A column that is read too.

    Raises
    ------
    OSError
        If a file cannot be opened.
    ValueError
        If one is damaged, lacks a column, or has another type of key; the text names it.
    """

    def __init__(
        self,
        files: Sequence[Path],
        keys: dict[str, str],
        features: Sequence[str],
        *,
        batch_rows: int,
        label: str | None = None,
    ) -> None:
        self.files = list(files)
        self._batch_rows = batch_rows
        self.rows: list[int] = []
        self._groups: list[list[int]] = []
        self.key_types: dict[str, Any] = {}
        for path in self.files:
            with _naming(path), _opened(path) as file:
                schema, first = file.schema_arrow, str(self.files[0])
                check_columns(str(path), schema, keys, features, self.key_types, first=first)
                if label is not None:
                    check_names(str(path), schema.names, {label: "label"})
                if not self.key_types:  # in the order of the first file
                    self.key_types = {n: schema.field(n).type for n in schema.names if n in keys}
                groups = [file.metadata.row_group(g) for g in range(file.num_row_groups)]
                self._groups.append([group.num_rows for group in groups])
                self.rows.append(file.metadata.num_rows)
        self.columns = [*self.key_types, *(name for name in features if name not in keys)]
        self.columns += [] if label is None else [label]

    @property
    def total(self) -> int:
        """Rows of all files."""
        return sum(self.rows)

    def identity(self) -> list[list[Any]]:
        """Return what tells these files from others, or from themselves when they have changed."""
        found = []
        for path, rows in zip(self.files, self.rows, strict=True):
            about = path.stat()
            found.append([str(path.absolute()), about.st_size, about.st_mtime_ns, rows])
        return found

    def batches(self, start: Place | None = None) -> Iterator[Batch]:
        """Yield the rows from a place on, in the order of the files."""
        return self._batches(_START if start is None else start, self.columns)

    def keys(self) -> Iterator[Any]:
        """Yield the key columns of all batches that have rows, as batches of pyarrow."""
        batches = self._batches(_START, list(self.key_types))
        return (batch.table for batch in batches if len(batch.table))

    def _batches(self, start: Place, columns: list[str]) -> Iterator[Batch]:
        for number in range(start.file, len(self.files)):
            path = self.files[number]
            begin = start if number == start.file else Place(number)
            with _naming(path), _opened(path) as file:
                for group in range(begin.group, len(self._groups[number])):
                    skipped = begin.batch if group == begin.group else 0
                    yield from self._group(file, number, group, skipped, columns)

    def whole(self) -> Batch:
        """Return all rows as one batch."""
        import pyarrow as pa

        tables = [batch.table for batch in self.batches()]
        table = pa.Table.from_batches(tables) if tables else None
        name = str(self.files[0]) if len(self.files) == 1 else f"{len(self.files)} files"
        return Batch(table, name, 0, 0, Place(len(self.files)))

    def notes(self, end: Place) -> list[str]:
        """Return nothing: a row group says what it holds."""
        del end
        return []

    def _group(
        self, file: Any, number: int, group: int, skipped: int, columns: list[str]
    ) -> Iterator[Batch]:
        counts = self._groups[number]
        first = sum(counts[:group])
        before = sum(self.rows[:number])
        batches = file.iter_batches(
            batch_size=self._batch_rows, row_groups=[group], columns=columns
        )
        for place, table in enumerate(batches):
            if place >= skipped:
                ends = first + len(table) >= sum(counts[: group + 1])
                following = Place(number, group + 1) if ends else Place(number, group, place + 1)
                yield Batch(
                    table.select(columns),
                    str(self.files[number]),
                    first,
                    before + first,
                    following,
                )
            first += len(table)


def read_features(batch: Batch, features: Sequence[str]) -> Floats:
    """Return the feature columns of a batch as numbers [B, F], NaN where one is missing.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from slidecell.scale.sources import Batch, Place, read_features
    >>> batch = Batch(pa.table({"x": [1, None], "y": [0.5, 2.0]}), "rows", 0, 0, Place())
    >>> read_features(batch, ["y", "x"]).tolist()
    [[0.5, 1.0], [2.0, nan]]
    """
    import pyarrow as pa

    made = np.empty((len(batch.table), len(features)))
    for place, name in enumerate(features):
        column = batch.table.column(name)
        if column.null_count == 0 and pa.types.is_floating(column.type):
            made[:, place] = column.to_numpy()
            continue
        series = column.to_pandas().rename(name)
        values = to_numbers(series)
        if values is None:
            values = feature_numbers(series, source=batch.file, may_exclude=False)
        made[:, place] = values
    return made


def read_labels(batch: Batch, name: str) -> npt.NDArray[np.bool_]:
    """Return the label column of a batch, [B]: whether rows are anomalies.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from slidecell.scale.sources import Batch, read_labels
    >>> read_labels(Batch(pa.table({"y": [0, 1]}), "rows", 0, 0), "y").tolist()
    [False, True]
    """
    source = f"{batch.file} from row {batch.first + 1:,} on"
    column = batch.table.column(name).to_pandas().rename(name)
    labels: npt.NDArray[np.bool_] = parse_labels(column, source=source) == 1
    return labels


def read_whole(column: Any) -> npt.NDArray[np.int64] | None:
    """Return a column of whole numbers of 64 bits that lacks none, without a copy; else None.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from slidecell.scale.sources import read_whole
    >>> read_whole(pa.array([1, 2])).tolist(), read_whole(pa.array([1, None]))
    ([1, 2], None)
    """
    import pyarrow as pa

    if column.type != pa.int64() or column.null_count:
        return None
    values: npt.NDArray[np.int64] = column.to_numpy()
    return values


def check_names(source: str, names: Sequence[str], wanted: Mapping[str, str]) -> None:
    """Raise a ValueError if a table lacks a column, or has two of one name.

    Parameters
    ----------
    source : str
        What an error calls the table.
    names : sequence of str
        Its columns.
    wanted : mapping of str to str
        The option of each column that it must have.

    Examples
    --------
    >>> from slidecell.scale.sources import check_names
    >>> check_names("rows", ["id", "x"], {"x": "features", "at": "time"})
    Traceback (most recent call last):
    slidecell.tables.columns.NoColumnError: time: no column 'at' in rows (it has: id, x)
    """
    if (name := repeated_name(list(names))) is not None:
        raise ValueError(f"{source}: two columns are called {name!r}")
    for name, flag in wanted.items():
        if name not in names:
            listed = ", ".join(names[:20])
            raise NoColumnError(
                f"{flag}: no column {name!r} in {source} (it has: {listed})", f"--{flag}"
            )


def check_columns(
    source: str,
    schema: Any,
    keys: Mapping[str, str],
    features: Sequence[str],
    known: Mapping[str, Any],
    *,
    first: str,
) -> None:
    """Raise a ValueError if a table lacks a column, or has another type of it than the first one.

    Parameters
    ----------
    source : str
        What an error calls the table.
    schema : pyarrow.Schema
    keys : mapping of str to str
        The option of each key column.
    features : sequence of str
    known : mapping of str to pyarrow.DataType
        Types of key columns in the first table.
    first : str
        What an error calls that one.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from slidecell.scale.sources import check_columns
    >>> schema = pa.schema({"id": pa.string(), "x": pa.int64()})
    >>> check_columns("b", schema, {"id": "entity"}, ["x"], {"id": pa.int64()}, first="a")
    Traceback (most recent call last):
    ValueError: b: entity column 'id': expected int64 as in a, got string
    """
    import pyarrow as pa

    names = list(map(str, schema.names))
    check_names(source, names, {**dict.fromkeys(features, "features"), **keys})
    for name in features:
        kind = schema.field(name).type
        numeric = (
            pa.types.is_integer(kind)
            or pa.types.is_floating(kind)
            or pa.types.is_boolean(kind)
            or pa.types.is_decimal(kind)
            or pa.types.is_null(kind)
        )
        if not numeric:
            raise ValueError(f"{source}: column {name!r}: expected numbers, got {kind}")
    for name, flag in keys.items():
        kind = schema.field(name).type
        if pa.types.is_nested(kind):
            raise ValueError(f"{source}: {flag} column {name!r}: expected keys, got {kind}")
        expected = known.get(name, kind)
        if expected != kind:
            raise ValueError(
                f"{source}: {flag} column {name!r}: expected {expected} as in {first}, got {kind}"
            )


def _opened(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetFile(path)


class _naming:  # noqa: N801  # reads as a statement
    """Turn pyarrow's errors into ones that name the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        import pyarrow as pa

        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"{self._path}: there is no such file") from error
        if isinstance(error, pa.ArrowException) or type(error) is OSError:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            if str(self._path) in reason:
                return
            raise ValueError(f"{self._path}: damaged Parquet file: {reason}") from error
