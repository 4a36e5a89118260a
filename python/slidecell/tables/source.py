"""Where a table comes from: a file, or the bytes of a pipe, which are read once."""

from __future__ import annotations

import gzip
import io
import os
import selectors
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from slidecell._selector import Selector
from slidecell.tables.budget import COLUMN_BYTES, bounded_chunks

__all__ = ["Source", "is_standard", "source_name"]

_NAME = "standard input"
_GZIP = b"\x1f\x8b"
_WAIT = 0.2  # seconds until signals are looked for


def is_standard(path: str | Path | None) -> bool:
    """Tell whether a path is ``-``: standard input of what is read, standard output of results.

    Examples
    --------
    >>> from slidecell.tables.source import is_standard
    >>> is_standard("-"), is_standard("in.csv"), is_standard(None)
    (True, False, False)
    """
    return path is not None and str(path) == "-"


def source_name(path: str | Path) -> str:
    """Return the name of a file without its folders; ``-`` is called standard input.

    Examples
    --------
    >>> from slidecell.tables.source import source_name
    >>> source_name("data/in.csv"), source_name("-")
    ('in.csv', 'standard input')
    """
    return _NAME if is_standard(path) else Path(path).name


@dataclass(frozen=True)
class Source:
    """A file, or what standard input held. It can be opened as often as its readers need.

    Parameters
    ----------
    path : Path
    content : bytes, optional
        Of standard input or a named pipe, or a piece of a file. A file's content stays in the file.
    lines_before : int
        Lines of the file before a piece of it: errors count them too.
    """

    path: Path
    content: bytes | None = None
    lines_before: int = 0

    @classmethod
    def of(cls, given: str | Path | Source, *, max_bytes: int = COLUMN_BYTES) -> Source:
        """Return the source that a path means; ``-`` reads standard input to its end.

        So is a named pipe, once somebody writes to it. Either may have ``max_bytes``.

        Raises
        ------
        OSError
            If standard input is closed.
        ValueError
            If it is empty, or has too much.
        """
        if isinstance(given, Source):
            return given
        if not is_standard(given):
            return cls(Path(given), _piped(Path(given), max_bytes))
        if sys.stdin is None:
            raise OSError(f"{_NAME}: it is closed")
        content = _read_to_its_end(sys.stdin.buffer, max_bytes, source=_NAME)
        if not content:
            raise ValueError(f"{_NAME}: expected a CSV or Parquet table, got nothing")
        return cls(Path(given), content)

    def __str__(self) -> str:
        """Return how errors name it."""
        return _NAME if is_standard(self.path) else str(self.path)

    @property
    def suffix(self) -> str:
        """The suffix of the file in lower case; standard input has none."""
        return self.path.suffix.lower()

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, which holds no table."""
        return self.content is None and self.path.is_dir()

    @property
    def is_packed(self) -> bool:
        """Whether gzip has compressed it."""
        with self._open_packed() as stream:
            return stream.read(len(_GZIP)) == _GZIP

    def _open_packed(self) -> BinaryIO:
        return self.path.open("rb") if self.content is None else io.BytesIO(self.content)

    def open(self) -> BinaryIO:
        """Open it for bytes; what gzip has compressed is unpacked."""
        stream = self._open_packed()
        if not self.is_packed:
            return stream
        if self.content is not None:
            return cast("BinaryIO", gzip.open(stream))
        stream.close()
        return cast("BinaryIO", gzip.open(self.path))

    def open_text(self, *, encoding: str) -> TextIO:
        """Open it for text; the ends of its lines are kept."""
        return io.TextIOWrapper(self.open(), encoding=encoding, newline="")

    def for_parser(self) -> Path | BinaryIO:
        """Return what a library reads it from: the path of a file, or the bytes as a stream."""
        stream = self.open()
        if self.content is None and not isinstance(stream, gzip.GzipFile):
            stream.close()
            return self.path
        return stream


def _read_to_its_end(stream: BinaryIO, most: int, *, source: str) -> bytes:
    """Return what a stream holds that nobody has read from yet; an interrupt ends the wait."""
    return b"".join(bounded_chunks(_Interruptible(stream), most, source=source))


class _Interruptible:
    """A stream that waits for bytes in Python.

    A signal that comes just before a read would be noted, and not acted on until the read ends: a
    writer that keeps its end open could hold an interrupted command for ever.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._selector: selectors.BaseSelector | None = None
        try:
            number = stream.fileno()
        except (AttributeError, OSError):  # bytes in memory, which nobody waits for
            return
        if os.name != "nt":  # where nothing waits for a pipe
            self._selector = Selector()
            self._selector.register(number, selectors.EVENT_READ)

    def read(self, most: int) -> bytes:
        if self._selector is None:
            return self._stream.read(most)
        while not self._selector.select(_WAIT):
            pass  # Python acts on signals here
        return cast("io.BufferedReader", self._stream).read1(most)


def _piped(path: Path, most: int) -> bytes | None:
    """Return what a named pipe holds, which is read once; None for other files."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISFIFO(mode):
            with path.open("rb") as stream:
                return _read_to_its_end(stream, most, source=str(path))
    except OSError:
        return None  # who opens it says so
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise OSError(f"{path}: expected a CSV or Parquet file, got a device")
    return None
