"""Sources of lines: standard input, or connections on loopback."""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import NamedTuple

__all__ = ["Chunk", "Signals", "Sources"]

_READ = 1 << 16


class Chunk(NamedTuple):
    """Bytes of one source; ``b""`` is its end."""

    source: int
    data: bytes


class Signals:
    """Requests by signals, handled between rows: SIGINT and SIGTERM stop, SIGUSR1 reports counters.

    A signal wakes a waiting `select` through a socket: an exception raised anywhere could leave a
    row in the stream and not in the thresholds.
    """

    def __init__(self) -> None:
        self.stop = False
        self.report = False
        self._before: dict[int, object] = {}
        self.wakeup, self._wake = socket.socketpair()

    def __enter__(self) -> Signals:
        for end in (self.wakeup, self._wake):
            end.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
            number = getattr(signal, name, None)
            if number is not None:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == getattr(signal, "SIGUSR1", None):
            self.report = True
        else:
            self.stop = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._old_fd)
        self.wakeup.close()
        self._wake.close()


class Sources:
    """Standard input, or all connections to a port on loopback, in chunks as they arrive.

    Parameters
    ----------
    stdin : int
        File descriptor.
    port : int, optional
        Listen there instead; 0 for a free port.
    """

    def __init__(self, stdin: int, port: int | None) -> None:
        # select takes regular files, which epoll refuses.
        self._selector = selectors.SelectSelector()
        self._connections: dict[int, socket.socket] = {}
        self._server: socket.socket | None = None
        self._stdin = stdin
        if port is None:
            self._selector.register(stdin, selectors.EVENT_READ)
            return
        try:
            self._server = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            raise OSError(f"--listen {port}: {error.strerror or error}") from None
        self._selector.register(self._server, selectors.EVENT_READ)

    @property
    def port(self) -> int | None:
        """The port that is listened on."""
        return None if self._server is None else int(self._server.getsockname()[1])

    def close(self) -> None:
        """Close all connections and the port."""
        self._selector.close()
        for connection in self._connections.values():
            connection.close()
        if self._server is not None:
            self._server.close()

    def drop(self, source: int) -> None:
        """Close one connection."""
        connection = self._connections.pop(source, None)
        if connection is not None:
            self._selector.unregister(connection)
            connection.close()

    def chunks(self, signals: Signals) -> Iterator[Chunk | None]:
        """Yield what arrives, None after a signal; end with standard input, or never."""
        self._selector.register(signals.wakeup, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is signals.wakeup:
                    signals.wakeup.recv(4096)
                    yield None
                elif key.fileobj is self._server:
                    connection, _ = self._server.accept()
                    self._connections[connection.fileno()] = connection
                    self._selector.register(connection, selectors.EVENT_READ)
                elif self._server is None:
                    data = os.read(self._stdin, _READ)
                    yield Chunk(self._stdin, data)
                    if not data:
                        return
                elif key.fd in self._connections:
                    yield self._received(key.fd)

    def _received(self, source: int) -> Chunk:
        try:
            data = self._connections[source].recv(_READ)
        except OSError:  # reset by the other side
            data = b""
        if not data:
            self.drop(source)
        return Chunk(source, data)
