"""Lines out of the chunks of many sources, in bounded memory."""

from __future__ import annotations

from slidecell.live.formats import Format

__all__ = ["LONGEST_LINE", "Lines", "drop_longest"]

LONGEST_LINE = 1 << 20  # bytes; what has no end is not kept
_MOST_HELD = 64 << 20  # bytes of unfinished lines of all sources


class Lines:
    """Cuts the chunks of one source into lines and numbers them from 1.

    Parameters
    ----------
    reader : Format
        Reads the source's lines.
    """

    def __init__(self, reader: Format) -> None:
        self.reader = reader
        self.number = 0
        self.fed: set[str] = set()  # entities whose last row came from here
        self._rest = bytearray()
        self._too_long = False

    @property
    def held(self) -> int:
        """Bytes of the unfinished line."""
        return len(self._rest)

    @property
    def unfinished(self) -> bool:
        """Whether a line has begun and not ended."""
        return bool(self._rest) or self._too_long

    def cut(self, data: bytes) -> list[tuple[int, bytes | None]]:
        """Return whole lines with their numbers, None for one too long; ``b""`` ends the last."""
        # Only new bytes are searched: a byte at a time must not cost a whole line's length each.
        *whole, rest = data.split(b"\n")
        if not data and self.unfinished:
            whole = [b""]
        if not whole:
            return self._keep(rest, [])
        found: list[bytes | None] = [*whole]
        found[0] = None if self._too_long else bytes(self._rest) + whole[0]
        if len(data) + len(self._rest) > LONGEST_LINE:
            found = [one if one is not None and len(one) <= LONGEST_LINE else None for one in found]
        self._rest.clear()
        self._too_long = False
        first = self.number + 1
        self.number += len(found)
        return self._keep(rest, list(enumerate(found, first)))

    def _keep(
        self, rest: bytes, found: list[tuple[int, bytes | None]]
    ) -> list[tuple[int, bytes | None]]:
        """Keep what follows the whole lines, and return these."""
        if not self._too_long:
            self._rest += rest
            if len(self._rest) > LONGEST_LINE:
                self.give_up()
        return found

    def give_up(self) -> None:
        """Keep nothing of the unfinished line: it counts as too long."""
        self._rest = bytearray()
        self._too_long = True


def drop_longest(feeds: dict[int, Lines], held: int) -> int:
    """Give up the longest unfinished lines until the rest fits in 64 MiB; return its bytes.

    Parameters
    ----------
    feeds : dict of Lines
    held : int
        Bytes that the unfinished lines of all feeds hold.
    """
    while held > _MOST_HELD:
        longest = max(feeds.values(), key=lambda lines: lines.held)
        held -= longest.held
        longest.give_up()
    return held
