"""What is read ahead of the scores, and what is written behind them, each by a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["Behind", "ahead"]

T = TypeVar("T")

_WAITING = 2  # calls that are still to be made: what they hold stays in memory


def ahead(values: Iterator[T]) -> Iterator[T]:
    """Yield values that a thread gets: the next one while the last one is being used.

    Examples
    --------
    >>> from slidecell.scale.threads import ahead
    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="slidecell-read") as pool:
        following: Future[Any] = pool.submit(next, values, end)
        while (value := following.result()) is not end:
            following = pool.submit(next, values, end)
            yield value


class Behind:
    """Makes calls in a thread, one after the other, in the order in which they are given.

    After a call that raised none is made any more. Its error is raised by the next `give`, or by
    `wait`.

    Examples
    --------
    >>> from slidecell.scale.threads import Behind
    >>> found, behind = [], Behind()
    >>> for value in "abc":
    ...     behind.give(found.append, value)
    >>> behind.wait()
    >>> found
    ['a', 'b', 'c']
    >>> behind.close()
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="slidecell-write")
        self._waiting: deque[Future[None]] = deque()
        self._stopped = False

    def give(self, call: Callable[..., object], *arguments: Any) -> None:
        """Give a call; wait first where too many are to be made."""
        while len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._make, call, arguments))

    def _make(self, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        if self._stopped:
            return
        try:
            call(*arguments)
        except BaseException:
            self._stopped = True
            raise

    def wait(self) -> None:
        """Wait until all calls are made."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """End the thread; calls that have not begun are not made."""
        self._stopped = True
        self._pool.shutdown(wait=True)
        self._waiting.clear()
