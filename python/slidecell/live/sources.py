"""Sources of lines: standard input, or connections on loopback."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from slidecell._selector import Selector
from slidecell.live.signals import Signals

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["Chunk", "Sources"]

_LEAST, _MOST = 1 << 13, 1 << 16  # bytes of one source before the next one's turn
_SOON, _LATE = 0.025, 0.1  # seconds: chunks that are done sooner grow, those done later shrink
_ACCEPTED = 16  # connections before the next source's turn
_MOST_CONNECTIONS = 1000
_SPARE_FILES = 32  # for the state, and for what is imported on the way
_IDLE = 60.0  # seconds without a byte, after which a connection may have to make room
_PAUSE = 1.0  # seconds without accepting after there was no descriptor for a connection


class Chunk(NamedTuple):
    """Bytes of one source; ``b""`` is its end."""

    source: int  # never given to another one
    data: bytes
    broken: bool = False  # it ended by force, perhaps within a line


@dataclass
class _Connection:
    socket: socket.socket
    heard: float  # when it sent something last


class Sources:
    """Standard input, or all connections to a port on loopback, in chunks as they arrive.

    There are at most 1,000 connections, and fewer where RLIMIT_NOFILE asks for it. Then a new one
    takes the place of the one that has been silent for longest, if that is a minute or more; else
    it is closed at once. Each source gives at most 64 KiB before it is the next one's turn, and
    less where they are scored slowly: what has been read has to be scored before a signal ends the
    run. Nobody waits for a chunk to be full.

    Parameters
    ----------
    stdin : int or None
        File descriptor; not used with a port.
    port : int, optional
        Listen there instead; 0 for a free port.
    """

    def __init__(self, stdin: int | None, port: int | None) -> None:
        self._selector = Selector()
        self._connections: dict[int, _Connection] = {}  # the silent ones first
        self._server: socket.socket | None = None
        self._stdin = stdin
        self._last_source = 0
        self._resume_at: float | None = None
        self._room = _LEAST  # bytes of a chunk
        if port is None:
            if stdin is None:
                raise OSError("standard input: it is closed")
            self._selector.register(stdin, selectors.EVENT_READ)
            return
        self._most = _room_for_connections()
        try:
            self._server = socket.create_server(("127.0.0.1", port), backlog=_MOST_CONNECTIONS)
        except OSError as error:
            raise OSError(f"--listen {port}: {error.strerror or error}") from None
        # A client that has gone again must not let accept wait for the next one.
        self._server.setblocking(False)
        self._selector.register(self._server, selectors.EVENT_READ)

    @property
    def port(self) -> int | None:
        """The port that is listened on."""
        return None if self._server is None else int(self._server.getsockname()[1])

    def close(self) -> None:
        """Close all connections and the port."""
        self._selector.close()
        for connection in self._connections.values():
            connection.socket.close()
        if self._server is not None:
            self._server.close()

    def drop(self, source: int) -> None:
        """Close one connection."""
        connection = self._connections.pop(source, None)
        if connection is not None:
            self._selector.unregister(connection.socket)
            connection.socket.close()

    def chunks(self, signals: Signals, say: Callable[[str], None]) -> Iterator[Chunk | None]:
        """Yield what arrives, None after a wait that was woken; end with standard input, or never.

        A connection whose ``b""`` has been yielded is closed. ``say`` takes a line of text about a
        connection.
        """
        self._selector.register(signals.wakeup, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(self._seconds_of_pause()):
                if key.fileobj is signals.wakeup:
                    signals.clear()
                    yield None
                elif key.fileobj is self._server:
                    for _ in range(_ACCEPTED):
                        yield from self._accept(say)
                elif self._server is None:
                    data = self._read_stdin()
                    yield from self._timed(Chunk(0, data))
                    if not data:
                        return
                elif key.data in self._connections:  # not dropped since select
                    chunk = self._received(key.data)
                    if chunk is not None:
                        yield from self._timed(chunk)
            self._resume()

    def _timed(self, chunk: Chunk) -> Iterator[Chunk]:
        """Yield a chunk; the next one may be longer or shorter by how long this one takes."""
        full, start = len(chunk.data) == self._room, time.monotonic()
        yield chunk
        seconds = time.monotonic() - start
        if full and seconds < _SOON:
            self._room = min(2 * self._room, _MOST)
        elif seconds > _LATE:
            self._room = max(self._room // 2, _LEAST)

    def _read_stdin(self) -> bytes:
        assert self._stdin is not None
        try:
            return os.read(self._stdin, self._room)
        except OSError as error:
            raise OSError(f"standard input: cannot be read: {error.strerror or error}") from None

    def _accept(self, say: Callable[[str], None]) -> Iterator[Chunk]:
        """Take a connection that waits, if one does."""
        assert self._server is not None
        if self._resume_at is not None:
            return
        try:
            new, _ = self._server.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # it has gone already
        except OSError as error:
            # Most often no descriptor is free. The connection goes on waiting: accept would be
            # ready, and fail, all the time.
            say(f"a connection cannot be taken yet: {error.strerror or error}")
            self._selector.unregister(self._server)
            self._resume_at = time.monotonic() + _PAUSE
            return
        now = time.monotonic()
        if len(self._connections) >= self._most:
            silent = next(iter(self._connections))
            seconds = now - self._connections[silent].heard
            if seconds < _IDLE:
                say(f"a connection was refused: there are {self._most} already")
                new.close()
                return
            say(f"a connection without a byte for {seconds:.0f} s was closed for a new one")
            self.drop(silent)
            yield Chunk(silent, b"", broken=True)
        new.setblocking(False)
        self._last_source += 1
        self._connections[self._last_source] = _Connection(new, now)
        self._selector.register(new, selectors.EVENT_READ, self._last_source)

    def _received(self, source: int) -> Chunk | None:
        connection = self._connections[source]
        try:
            data = connection.socket.recv(self._room)
        except BlockingIOError:
            return None
        except OSError:  # reset by the other side
            self.drop(source)
            return Chunk(source, b"", broken=True)
        if not data:
            self.drop(source)
        else:
            connection.heard = time.monotonic()
            self._connections[source] = self._connections.pop(source)
        return Chunk(source, data)

    def _seconds_of_pause(self) -> float | None:
        return None if self._resume_at is None else max(0.0, self._resume_at - time.monotonic())

    def _resume(self) -> None:
        if self._resume_at is not None and time.monotonic() >= self._resume_at:
            assert self._server is not None
            self._resume_at = None
            self._selector.register(self._server, selectors.EVENT_READ)


def _room_for_connections() -> int:
    """Return how many connections leave descriptors for the state and the rest."""
    if resource is None:
        return 400  # select there takes 512 sockets
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    try:
        used = len(os.listdir("/dev/fd"))
    except OSError:  # /proc is not mounted
        used = _SPARE_FILES
    most = min(_MOST_CONNECTIONS, limit - used - _SPARE_FILES)
    if most < 1:
        raise OSError(f"--listen: no room for a connection: only {limit} open files are allowed")
    return most
