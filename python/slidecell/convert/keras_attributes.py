"""Texts beside the groups of an HDF5 file, read from its bytes: each number held against the file.

HDF5's own reader allocates what a text says of its length, and goes through a damaged heap without
end. Keras' ``.h5`` files keep their configuration in such texts. Here are the three structures that
hold them, as the HDF5 file format specification has them: object headers (versions 1 and 2),
attribute messages (1 to 3) and global heaps.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

__all__ = ["TextReader"]

_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10  # types of messages
_FIXED, _VARIABLE = 3, 9  # classes of types
_MOST_MESSAGES = 4096
_MOST_TEXTS = 4096
_HEAP = b"GCOL\x01"


class TextReader:
    """Reads texts from an HDF5 file in memory.

    Any error but a text is one of the file: ValueError, struct.error or KeyError.

    Parameters
    ----------
    data : bytes
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}
        # Bytes of texts and of heaps: more than the file holds are not read.
        self._texts_left = self._heaps_left = len(data)

    def texts(self, address: int) -> dict[str, list[str]]:
        """Return the texts beside an object, by their names.

        Parameters
        ----------
        address : int
            Of the object's header.
        """
        found: dict[str, list[str]] = {}
        for start, end in self._messages(address):
            name, values = self._attribute(start, end)
            if values is not None:
                found[name] = values
        return found

    def _numbers(self, form: str, place: int) -> tuple[Any, ...]:
        return struct.unpack_from("<" + form, self.data, place)

    def _messages(self, address: int) -> Iterator[tuple[int, int]]:
        """Return where the attribute messages of an object begin and end."""
        new = self._part(address, 4) == b"OHDR"
        if new:
            _, flags = self._numbers("BB", address + 4)
            place = address + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
            width = 1 << (flags & 3)
            size = int.from_bytes(self._part(place, width), "little")
            blocks, ordered = [(place + width, size)], bool(flags & 4)
        else:
            version, _, _, _, size = self._numbers("BBHLL", address)
            if version != 1:
                raise ValueError(f"expected an object at {address}")
            blocks, ordered = [(address + 16, size)], False
        count = 0
        for start, length in blocks:  # which grows as it goes
            place, end = start, start + length
            self._check(start, length)
            head = (6 if ordered else 4) if new else 8
            while place + head <= end:
                kind, size = self._numbers("BH" if new else "HH", place)
                body = place + head
                if body + size > end:
                    raise ValueError(f"expected a message inside of its block at {place}")
                if kind == _CONTINUATION:
                    further, reach = self._numbers("QQ", body)
                    if new:  # "OCHK" before the messages, a sum behind them
                        further, reach = further + 4, max(reach - 8, 0)
                    blocks.append((further, reach))
                elif kind == _ATTRIBUTE:
                    yield body, body + size
                place = body + size
                count += 1
                if count > _MOST_MESSAGES:
                    raise ValueError(f"expected at most {_MOST_MESSAGES} messages of one object")

    def _attribute(self, start: int, end: int) -> tuple[str, list[str] | None]:
        """Return an attribute's name and its texts; None if it holds something else."""
        version, flags, *sizes = self._numbers("BBHHH", start)
        place = start + 8 + (version == 3)
        parts: list[int] = []
        for size in sizes:  # name, type, shape; padded in version 1
            parts.append(place)
            place += -(-size // 8) * 8 if version == 1 else size
        if version not in (1, 2, 3) or place > end:
            raise ValueError(f"expected an attribute at {start}")
        name = self._part(parts[0], sizes[0]).rstrip(b"\0").decode()
        kind, _, width = self._numbers("B3sL", parts[1])
        if kind & 15 not in (_FIXED, _VARIABLE) or flags & 3:
            return name, None  # not a text, or of a type that lies elsewhere
        count = self._count(parts[2])
        if count > _MOST_TEXTS or place + count * width > end:
            raise ValueError(f"expected at most {_MOST_TEXTS} texts in {name!r}, got {count}")
        entries = [place + number * width for number in range(count)]
        if kind & 15 == _FIXED:
            return name, [self._text(entry, width) for entry in entries]
        return name, [self._pointed(entry) for entry in entries]

    def _count(self, place: int) -> int:
        """Return how many elements a shape has."""
        version, rank, _, kind = self._numbers("BBBB", place)
        if version == 2 and kind == 2:  # none at all
            return 0
        sizes = self._numbers(f"{rank}Q", place + (8 if version == 1 else 4))
        return math.prod(sizes)

    def _pointed(self, place: int) -> str:
        """Return the text in a heap that an element points to."""
        length, address, number = self._numbers("LQL", place)
        if length == 0:
            return ""
        start, size = self._heap(address)[number]
        if length > size:
            raise ValueError(f"expected a text of {size} bytes, it says {length}")
        return self._text(start, length)

    def _heap(self, address: int) -> dict[int, tuple[int, int]]:
        """Return where the texts of a heap are, by their numbers."""
        if address in self._heaps:
            return self._heaps[address]
        if self._part(address, 5) != _HEAP:
            raise ValueError(f"expected a heap at {address}")
        (size,) = self._numbers("Q", address + 8)
        self._check(address, size)
        self._heaps_left -= size
        if self._heaps_left < 0:
            raise ValueError("expected heaps that do not overlap, got more than the file holds")
        place, end = address + 16, address + size
        found: dict[int, tuple[int, int]] = {}
        while place + 16 <= end:
            number, length = self._numbers("H6xQ", place)
            if number == 0:  # the free part
                break
            found[number] = (place + 16, length)
            place += 16 + -(-length // 8) * 8
        if place > end:
            raise ValueError(f"expected texts inside of the heap at {address}")
        self._heaps[address] = found
        return found

    def _text(self, place: int, length: int) -> str:
        self._texts_left -= length
        if self._texts_left < 0:
            raise ValueError("expected texts that do not overlap, got more than the file holds")
        return self._part(place, length).rstrip(b"\0").decode()

    def _part(self, place: int, length: int) -> bytes:
        self._check(place, length)
        return self.data[place : place + length]

    def _check(self, place: int, length: int) -> None:
        if place + length > len(self.data):
            raise ValueError(f"expected {length} bytes at {place} in a file of {len(self.data)}")
