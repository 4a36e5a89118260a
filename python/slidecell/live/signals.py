"""Signals of a live run: noted when they come, acted on between two rows."""

from __future__ import annotations

import contextlib
import math
import selectors
import signal
import socket
import time
from types import FrameType, TracebackType

from slidecell._selector import Selector

__all__ = ["Signals"]

_GRACE = 1.0  # seconds from a request to stop until the state is saved, come what may


class Signals:
    """Requests by signals: SIGINT, SIGTERM and SIGHUP stop, SIGUSR1 reports counters.

    A signal wakes a waiting `Selector` through a socket: an exception raised anywhere could leave a
    row in the stream and not in the thresholds. SIGHUP stays ignored where it was (nohup).
    """

    def __init__(self) -> None:
        self.stop = False
        self.report = False
        self._until = math.inf
        self._before: dict[int, object] = {}
        self.wakeup, self._wake = socket.socketpair()
        for end in (self.wakeup, self._wake):
            end.setblocking(False)
        self._selector = Selector()
        self._selector.register(self.wakeup, selectors.EVENT_READ)

    def __enter__(self) -> Signals:
        self._old_fd = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
            number = getattr(signal, name, None)
            if number is None:
                continue
            if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == getattr(signal, "SIGUSR1", None):
            self.report = True
        elif not self.stop:
            self._until = time.monotonic() + _GRACE
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
        self._selector.close()
        self.wakeup.close()
        self._wake.close()

    @property
    def overdue(self) -> bool:
        """Whether the time is over in which a request to stop lets work be finished."""
        return self.stop and time.monotonic() >= self._until

    def wake(self) -> None:
        """End a wait, from any thread."""
        # A full socket wakes as well; a closed one has nobody waiting.
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    def clear(self) -> None:
        """Forget what has woken a wait."""
        with contextlib.suppress(BlockingIOError):
            self.wakeup.recv(4096)

    def wait(self) -> None:
        """Wait for a signal or for `wake`, at most until a request to stop is overdue."""
        left = self._until - time.monotonic()
        if self._selector.select(None if left == math.inf else max(0.0, left)):
            self.clear()
