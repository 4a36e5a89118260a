"""The lines of a CSV file: whole ones, blank ones, and where one is damaged."""

from __future__ import annotations

import contextlib
import csv
import re
import sys
from array import array
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TextIO

import numpy as np
import numpy.typing as npt

from slidecell.tables.budget import bounded_chunks
from slidecell.tables.header import find_delimiter, no_header, repeated_name, stated_delimiter
from slidecell.tables.source import Source

__all__ = [
    "Extent",
    "Header",
    "Records",
    "encoding_place",
    "find_records",
    "long_cells",
    "measure",
    "read_header",
]

_BLANK = re.compile(rb"\n[ \t\r]*\n|\r[ \t]*\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Header:
    """What stands before the rows of a CSV file.

    Attributes
    ----------
    names : list of str
        Of the columns; one without a name is ``Unnamed: 0``, by its place.
    delimiter : str
    records : int
        Lines up to the names and with them; one with line breaks in quotes counts once.
    """

    names: list[str]
    delimiter: str
    records: int
    returns: bool = False


class Extent(NamedTuple):
    """How large a CSV file is."""

    size: int  # bytes, unpacked
    lines: int
    blank: bool  # whether blank lines stand between others
    ended: bool  # whether the last line is empty, as it is behind a line feed


class Records(NamedTuple):
    """The lines of R rows; those with line breaks in quotes count once."""

    blank: npt.NDArray[np.bool_]  # [R] whether a row is a blank line
    lines: npt.NDArray[np.int64]  # [R] the line that a row begins at


def measure(path: Source, *, most: int | None = None, blanks: bool = True) -> Extent:
    """Return how large a CSV file is, and refuse zero bytes with their place.

    Parsers drop zero bytes or end a cell at them; a file that a crash filled with zeros would be
    read as other numbers. What gzip has compressed has ``most`` bytes at most. Without ``blanks``
    nobody looks for blank lines, which takes most of the time.
    """
    line, place, tail, blank = 1, 0, b"\n", False
    with path.open() as stream:
        for chunk in bounded_chunks(stream, most if path.is_packed else None, source=str(path)):
            zero = chunk.find(b"\0")
            if zero >= 0:
                line += chunk.count(b"\n", 0, zero)
                text = "; text in UTF-16 has them: save it as UTF-8" if place + zero < 4 else ""
                raise ValueError(
                    f"{path}: line {line}: expected CSV text in UTF-8, got a zero byte "
                    f"(byte {place + zero} of the file){text}"
                )
            blank = blank or (blanks and _BLANK.search(tail + chunk.removeprefix(_BOM)) is not None)
            tail = chunk[-256:]
            line += chunk.count(b"\n")
            place += len(chunk)
    return Extent(place, line, blank, tail.endswith(b"\n"))


def read_header(path: Source, *, asked: Collection[str] = ()) -> Header:
    """Return the names of the columns, from the first line that is not blank.

    Numbers are names where they are different and all in ``asked``.
    """
    delimiter: str | None = None
    stated: str | None = None
    records, line = 0, ""
    try:
        with path.open_text(encoding="utf-8-sig") as stream:
            for line in stream:
                stated = stated_delimiter(line) if delimiter is None else None
                if stated is None and line.strip():
                    break
                delimiter = delimiter or stated
                records += 1
            if not line.strip() or stated is not None:
                raise ValueError(f"{path}: the file is empty")
            delimiter = delimiter or find_delimiter(line)
            stream.seek(0)
            for _ in range(records):
                stream.readline()
            cells = next(csv.reader(stream, delimiter=delimiter))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {encoding_place(path, error)}") from error
    except csv.Error as error:
        raise ValueError(f"{path}: line {records + 1}: {error}") from error
    if (text := no_header(cells, asked=asked)) is not None:
        raise ValueError(f"{path}: line {records + 1}: {text}")
    names = [name.strip() or f"Unnamed: {index}" for index, name in enumerate(cells)]
    if (name := repeated_name(names)) is not None:
        raise ValueError(f"{path}: line {records + 1}: two columns are called {name!r}")
    return Header(names, delimiter, records + 1, line.endswith("\r"))


@contextlib.contextmanager
def long_cells() -> Iterator[None]:
    """Let the csv module read cells of any length in the block; its limit is the whole process's.

    Examples
    --------
    >>> import csv
    >>> from slidecell.tables.csv_lines import long_cells
    >>> before = csv.field_size_limit()
    >>> with long_cells():
    ...     csv.field_size_limit() > before
    True
    >>> csv.field_size_limit() == before
    True
    """
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def find_records(path: Source, header: Header) -> Records:
    """Return the rows below the header, blank lines among them; those at the end are not counted.

    Raises
    ------
    ValueError
        If a line has more or fewer cells than the header; the text names it.
    """
    expected = len(header.names)
    found, begins, before = bytearray(), array("q"), path.lines_before
    line = before + 1
    with long_cells(), path.open_text(encoding="utf-8-sig") as stream:
        lines = _Lines(stream)
        reader = csv.reader(lines, delimiter=header.delimiter)
        for number, row in enumerate(reader):
            begin, line = line, before + reader.line_num + 1
            if number < header.records:
                continue
            blank = len(row) <= 1 and not lines.last.strip(" \t\r\n")
            if not blank and len(row) != expected:
                raise ValueError(
                    f"{path}: line {line - 1}: expected {expected} cells, got {len(row)}"
                    + _decimal_commas(row, expected, header.delimiter)
                )
            found.append(blank)
            begins.append(begin)
    marks = np.frombuffer(bytes(found), np.bool_)
    filled = np.flatnonzero(~marks)
    count = filled[-1] + 1 if len(filled) else 0
    return Records(marks[:count], np.array(begins, np.int64)[:count])


def encoding_place(path: Source, error: UnicodeDecodeError) -> str:
    """Return what to say of bytes that are no UTF-8: the line and the byte."""
    # The decoder counts within its chunk; the place in the file is found by decoding it by line.
    with path.open() as stream:
        for number, line in enumerate(stream, start=path.lines_before + 1):
            try:
                line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as bad:
                return f"line {number}: byte {line[bad.start]:#04x} is not UTF-8 text"
    return f"not UTF-8 text: {error.reason}"


class _Lines:
    """Lines of a stream; the last that was read is known."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.last = next(self._stream)
        return self.last


def _decimal_commas(row: list[str], expected: int, delimiter: str) -> str:
    if delimiter != "," or len(row) != 2 * expected:
        return ""
    if not all(re.fullmatch(r"\s*[-+]?[0-9]+\s*", cell) for cell in row):
        return ""
    return (
        "; if these are numbers with a decimal comma, write them with a point, or separate the "
        "cells by semicolons"
    )
