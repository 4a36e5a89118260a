"""Reports of a live run on standard error: plain lines, or one JSON object a line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from slidecell.live.outlet import Outlet

__all__ = ["LEVELS", "Level", "Reports", "json_line", "shortened"]

_LONGEST_REPORT = 500  # characters

Level: TypeAlias = Literal["info", "warning", "error"]
LEVELS: tuple[Level, ...] = ("info", "warning", "error")


def json_line(text: str, *, kind: str, level: Level = "info", **facts: Any) -> str:
    """Return a report as a JSON object: when, how grave, of what kind, the text, the facts.

    Parameters
    ----------
    text : str
    kind : str
        What it is about, the same word for the same thing.
    level : {"info", "warning", "error"}
    **facts
        Numbers and texts of the report, ready for JSON.

    Examples
    --------
    >>> import json
    >>> from slidecell.live.reports import json_line
    >>> found = json.loads(json_line("line 3: no number; skipped", kind="skipped", line=3))
    >>> found["level"], found["kind"], found["line"], found["time"][-1]
    ('info', 'skipped', 3, 'Z')
    """
    now = time.time()
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    head = {"time": f"{when}.{int(now % 1 * 1000):03d}Z", "level": level, "kind": kind}
    return json.dumps({**head, "text": text, **facts})


class Reports:
    """Writes reports from a thread of its own; those that nobody reads are dropped and counted.

    Parameters
    ----------
    file : file or None
        Standard error.
    wake : callable
        As of `Outlet`.
    as_json : bool
        One JSON object a line, as `json_line` makes it.
    """

    def __init__(self, file: Any, wake: Callable[[], None], *, as_json: bool = False) -> None:
        self._outlet = Outlet(file, wake)
        self._as_json = as_json
        self._dropped = 0  # that nobody read

    def say(
        self,
        text: str,
        *,
        kind: str = "note",
        level: Level = "info",
        always: bool = False,
        **facts: Any,
    ) -> None:
        """Write a report, unless 64 KiB of them lie unread.

        Parameters
        ----------
        text : str
        kind, level, **facts
            As of `json_line`; plain lines are the text alone.
        always : bool
            Write it in any case.
        """
        if self._outlet.full and not always:
            self._dropped += 1
            return
        if self._dropped:
            count, self._dropped = self._dropped, 0
            self._put(
                f"{count} reports were dropped: nobody read them",
                kind="dropped",
                level="warning",
                reports=count,
            )
        self._put(text, kind=kind, level=level, **facts)

    def close(self, timeout: float) -> None:
        """Let the reader take what is left, for so many seconds at most."""
        self._outlet.close(timeout)

    def _put(self, text: str, *, kind: str, level: Level, **facts: Any) -> None:
        line = f"slidecell stream: {text}"
        if self._as_json:
            line = json_line(text, kind=kind, level=level, **facts)
        self._outlet.put(f"{line}\n".encode())


def shortened(text: str) -> str:
    """Return a report that is no longer than a few lines and does nothing to a terminal."""
    if len(text) > _LONGEST_REPORT:
        text = text[:_LONGEST_REPORT] + "..."
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
