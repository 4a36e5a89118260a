"""From the lines of a source to blocks of rows, and to the lines that are none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from slidecell.live.line_format import Format, UnreadableRowError
from slidecell.live.lines import LONGEST_LINE
from slidecell.live.rows import Row, RowBlock

__all__ = ["MOST_ROWS", "BadLine", "NoRow", "NumberedLine", "read_lines"]

NumberedLine: TypeAlias = tuple[int, bytes | None]  # None for one that is too long

MOST_ROWS = 1024  # of a block: more would let answers wait, and are no faster
_FEW = 8  # lines that are read one by one where not all are plain


class BadLine(NamedTuple):
    """A line that cannot be read.

    Attributes
    ----------
    number : int
    error : Exception
    row : Row or None
        All missing, where the entity is known.
    """

    number: int
    error: Exception
    row: Row | None


class NoRow(NamedTuple):
    """Lines that are no rows, as a header, before any row."""

    number: int


def read_lines(
    reader: Format, lines: Sequence[NumberedLine], *, broken: bool = False
) -> Iterator[RowBlock | BadLine | NoRow]:
    """Yield the rows of lines in blocks, and the lines that are none, in their order.

    A line is read when what is before it has been taken. Blank lines between rows are passed over.

    Parameters
    ----------
    reader : Format
    lines : sequence of (int, bytes or None)
        With their numbers, which go up by one.
    broken : bool
        Whether the source has ended by force: its last line is not whole.
    """
    waiting: list[RowBlock] = []
    rows = 0
    for piece in _pieces(reader, lines, broken):
        if isinstance(piece, NoRow) and waiting:
            continue
        if isinstance(piece, RowBlock):
            waiting.append(piece)
            rows += len(piece)
            if rows < MOST_ROWS:
                continue
        if waiting:
            yield from _cut(RowBlock.joined(waiting))
            waiting, rows = [], 0
        if not isinstance(piece, RowBlock):
            yield piece
    if waiting:
        yield from _cut(RowBlock.joined(waiting))


def _cut(block: RowBlock) -> Iterator[RowBlock]:
    if len(block) <= MOST_ROWS:
        yield block
        return
    for first in range(0, len(block), MOST_ROWS):
        yield block[first : first + MOST_ROWS]


def _pieces(
    reader: Format, lines: Sequence[NumberedLine], broken: bool
) -> Iterator[RowBlock | BadLine | NoRow]:
    """Read lines at once if all are plain; else in two halves, and few of them one by one."""
    if len(lines) > _FEW:
        texts = _plain_texts(lines)
        block = None if texts is None else reader.read_block(texts, lines[0][0])
        if block is not None:
            yield block
            return
        middle = len(lines) // 2
        yield from _pieces(reader, lines[:middle], broken)
        yield from _pieces(reader, lines[middle:], broken)
        return
    for number, line in lines:
        try:
            row = reader.read(_text_of(line, broken))
        except Exception as error:  # no line may end the run, whatever it leads to
            row = error.row if isinstance(error, UnreadableRowError) else None
            yield BadLine(number, error, row)
        else:
            yield NoRow(number) if row is None else RowBlock.of([row], [number])


def _plain_texts(lines: Sequence[NumberedLine]) -> list[str] | None:
    """Return lines as texts; None if one is too long or not UTF-8."""
    found = [line for _, line in lines if line is not None]
    if len(found) != len(lines):
        return None
    try:
        text = b"\n".join(found).decode()
    except UnicodeDecodeError:
        return None
    texts = text.split("\n")
    return [line.strip("\r") for line in texts] if "\r" in text else texts


def _text_of(line: bytes | None, broken: bool) -> str:
    if line is None and broken:
        raise ValueError("the connection was closed by force before the end of the line")
    if line is None:
        raise ValueError(f"longer than {LONGEST_LINE} bytes")
    try:
        return line.decode("utf-8").strip("\r")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {line[error.start]:#04x} is not UTF-8 text") from None
