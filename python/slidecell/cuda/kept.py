"""Arrays that a model keeps on a device for as long as it lives, in whatever streams it is used."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.cuda.runtime import Memory, Runtime


@dataclass(frozen=True)
class _Upload:
    """An array on the device, and the stream and event of its copy."""

    memory: Memory
    stream: Any
    event: Any


class KeptArrays:
    """Arrays by name, each uploaded once, by any number of threads and streams.

    A stream that uses one waits for its upload, which another one may have made. When the last
    reference goes, the host waits for uses in other streams before the memory is free for others:
    its allocator orders it after the stream that allocated it, and after no other.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lock = threading.Lock()
        self._uploads: dict[str, _Upload] = {}
        self._uses: list[tuple[Any, Any]] = []  # streams that are not an upload's, last events
        freed = weakref.finalize(self, _wait_for, runtime, self._uses)
        freed.atexit = False  # by then the device may be gone

    def __len__(self) -> int:
        """Return how many arrays there are."""
        return len(self._uploads)

    def use(self, name: str, make: Callable[[], npt.NDArray[Any]]) -> Memory:
        """Return an array for use in the main stream; ``make`` gives its values the first time."""
        runtime = self._runtime
        main = runtime.main
        with self._lock:
            found = self._uploads.get(name)
            if found is None:
                memory = runtime.upload(np.asarray(make()))
                found = _Upload(memory, main, runtime.record(main))
                self._uploads[name] = found
        if found.stream != main:
            runtime.wait(main, found.event)
        return found.memory

    def used(self) -> None:
        """Note that what was started in the main stream so far may use any of the arrays."""
        runtime = self._runtime
        main = runtime.main
        with self._lock:
            if all(upload.stream == main for upload in self._uploads.values()):
                return
            others = [use for use in self._uses if use[0] != main and not runtime.done(use[1])]
            self._uses[:] = [*others, (main, runtime.record(main))]


def _wait_for(runtime: Runtime, uses: list[tuple[Any, Any]]) -> None:
    for _, event in uses:
        runtime.synchronize(event)
