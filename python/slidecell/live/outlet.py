"""A bounded queue of bytes in front of a file whose reader may not read."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Outlet"]

_ROOM = 1 << 16  # bytes, as much as a pipe holds


class Outlet:
    """Writes to a file from a thread of its own: only that thread waits for the file's reader.

    Not by O_NONBLOCK, which all processes that share a terminal or a pipe would get.

    Parameters
    ----------
    file : file or None
        Of bytes, or of text. Bytes go to its descriptor, if it has one. None takes everything and
        keeps nothing.
    wake : callable
        Called from the thread when there is room again, when all is written and after an error.

    Examples
    --------
    >>> import io
    >>> from slidecell.live.outlet import Outlet
    >>> file = io.BytesIO()
    >>> outlet = Outlet(file, wake=lambda: None)
    >>> outlet.put(b"1,2,")
    >>> outlet.close(timeout=10)
    0
    >>> file.getvalue()
    b'1,2,'
    """

    def __init__(self, file: Any, wake: Callable[[], None]) -> None:
        self._write = _write_function(file)
        self._wake = wake
        self._changed = threading.Condition()
        self._queue = bytearray()
        self._held = 0  # bytes in the queue, and those that are being written
        self._closed = False
        self.error: OSError | None = None
        # A daemon: a reader that never reads must not keep the process from its end.
        self._thread = threading.Thread(target=self._run, name="slidecell-outlet", daemon=True)
        self._thread.start()

    @property
    def held(self) -> int:
        """Bytes that are not yet written."""
        return self._held

    @property
    def full(self) -> bool:
        """Whether no more should be put, until ``wake`` is called."""
        return self._held >= _ROOM

    def put(self, data: bytes) -> None:
        """Write data after what was put before; returns at once, also where it is full."""
        with self._changed:
            if self.error is None:
                self._queue += data
                self._held += len(data)
                self._changed.notify()

    def close(self, timeout: float) -> int:
        """End the thread once all is written, or leave it; return the bytes not written."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)
        return self._held

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                data, self._queue = bytes(self._queue), bytearray()
            try:
                self._write_all(memoryview(data))
            except OSError as error:
                with self._changed:
                    self.error = error
                    self._queue.clear()
                self._wake()
                return

    def _write_all(self, data: memoryview) -> None:
        while data:
            written = self._write(data)
            data = data[written:]
            with self._changed:
                was_full = self.full
                self._held -= written
                changed = self._held == 0 or (was_full and not self.full)
            if changed:
                self._wake()


def _write_function(file: Any) -> Callable[[memoryview], int]:
    """Return what writes some bytes and tells how many."""
    if file is None:
        return len
    try:
        file.flush()
        descriptor = file.fileno()
    except (OSError, ValueError, AttributeError):  # an object in memory
        return _write_text(file) if isinstance(file, io.TextIOBase) else _write_bytes(file)
    # A lock of a buffered file that is held at the end of the process would be a fatal error.
    return lambda data: os.write(descriptor, data)


def _write_bytes(file: Any) -> Callable[[memoryview], int]:
    def write(data: memoryview) -> int:
        file.write(bytes(data))
        return len(data)

    return write


def _write_text(file: Any) -> Callable[[memoryview], int]:
    def write(data: memoryview) -> int:
        file.write(str(data, "utf-8"))
        return len(data)

    return write
