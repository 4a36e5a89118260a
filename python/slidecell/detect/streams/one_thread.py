"""One call at a time: a stream is no stream of several threads."""

from __future__ import annotations

import threading

__all__ = ["OneThread"]


class OneThread:
    """A block that one call at a time runs; another one during it is refused.

    A copy, pickled or not, is free.

    Examples
    --------
    >>> from slidecell.detect.streams.one_thread import OneThread
    >>> turn = OneThread()
    >>> with turn:
    ...     try:
    ...         with turn:
    ...             pass
    ...     except RuntimeError as error:
    ...         print(str(error)[:42])
    stream: expected one thread at a time, got
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(
                "stream: expected one thread at a time, got a call while another thread's call "
                "works on this stream; give each thread a stream of its own, or share one under a "
                "threading.Lock"
            )

    def __exit__(self, *raised: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[OneThread], tuple[()]]:
        return OneThread, ()
