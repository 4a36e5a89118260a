"""Places at which one process works at a time: who comes second is told who is there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["BusyError", "lock_file", "working_at"]

_TOLD = 4096  # bytes of what the holder tells of itself


class BusyError(OSError):
    """Another process works there."""


def lock_file(place: Path) -> Path:
    """Return the file by which a place is locked: hidden, and beside it.

    A place itself may be exchanged as a whole while somebody works at it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.jobs.work_lock import lock_file
    >>> lock_file(Path("pumps/model.safetensors")).name
    '.model.safetensors.lock'
    """
    found = place.resolve()
    return found.with_name(f".{found.name}.lock")


@contextlib.contextmanager
def working_at(*places: Path, work: str) -> Iterator[None]:
    """Let no other process into such a block for one of these places.

    What a process leaves that was killed locks nothing: the system ends its lock. Where a file
    system has no locks, nobody is kept out. A place in a folder that is not there is not locked.

    Parameters
    ----------
    *places : Path
        Files or folders, which need not exist.
    work : str
        What is done, for those who come second.

    Raises
    ------
    BusyError
        If another process is there; the text names it.
    OSError
        If the file beside a place cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.jobs.work_lock import working_at
    >>> model = pathlib.Path(tempfile.mkdtemp(), "model")
    >>> with working_at(model, work="promote"):
    ...     [path.name for path in model.parent.iterdir()]
    ['.model.lock']
    >>> list(model.parent.iterdir())
    []
    """
    # In one order, so that of two processes that want the same places one gets them all.
    files = sorted({lock_file(place): place for place in places}.items())
    with contextlib.ExitStack() as held:
        for path, place in files:
            if path.parent.is_dir():
                held.enter_context(_locked(path, place, work))
        yield


@contextlib.contextmanager
def _locked(path: Path, place: Path, work: str) -> Iterator[None]:
    while True:
        # Opened to be appended to: it is not emptied before it is locked.
        with path.open("a+", encoding="utf-8") as file:
            if not _lock(file):
                raise BusyError(errno.EBUSY, f"{_holder(path)}: try again when it has ended", place)
            if _is_still(file, path):
                _tell(file, work)
                try:
                    yield
                finally:
                    with contextlib.suppress(OSError):  # some systems remove no file that is open
                        path.unlink()
                return
            # Its last holder has removed it meanwhile: somebody else may lock another one.


def _lock(file: IO[str]) -> bool:
    """Return whether a file is locked for this process, or cannot be locked by any."""
    try:
        if sys.platform == "win32":
            file.seek(_TOLD)  # beyond the text, which others read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
    return True


def _is_still(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _tell(file: IO[str], work: str) -> None:
    """Write who is there."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    told = {"work": work, "process": os.getpid(), "host": socket.gethostname(), "since": since}
    file.truncate(0)
    file.write(json.dumps(told) + "\n")
    file.flush()


def _holder(path: Path) -> str:
    """Return who is there, for a person."""
    try:
        with path.open(encoding="utf-8") as file:
            told = json.loads(file.read(_TOLD))
        return (
            f"'{told['work']}' works there since {told['since']} "
            f"(process {told['process']} of {told['host']})"
        )
    except (OSError, ValueError, KeyError, TypeError):  # it has only just come, or is gone
        return "another process works there"
