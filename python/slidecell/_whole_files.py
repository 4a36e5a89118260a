"""Files that appear whole or not at all: written in a hidden folder beside them, then renamed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

# Elsewhere nothing is locked, and so nothing abandoned is removed.
_POSIX = os.name == "posix"
if _POSIX:
    import fcntl

__all__ = [
    "cannot_be_written",
    "is_temporary_name",
    "locked",
    "remove_abandoned",
    "replacing",
    "staging",
    "sync_file",
    "sync_folder",
]

# The C++ library's temporary files have the same names (whole_file_posix.cpp).
_PREFIX, _DIGITS = ".slidecell-", 16
_NAME = re.compile(re.escape(_PREFIX) + f"[0-9a-f]{{{_DIGITS}}}")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path whose file takes the place of ``path`` if the block ends well.

    The temporary file has the target's name, in a new folder that only this user can enter. It is
    brought to the disk before it is renamed: after a crash there is the old file or the new one. A
    symbolic link at ``path`` is replaced by the file; what it leads to stays as it was.

    Parameters
    ----------
    path : path

    Yields
    ------
    Path
        Where the block has to write the file. Nothing is there yet.

    Raises
    ------
    OSError
        If ``path`` cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell._whole_files import replacing
    >>> with replacing("a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> Path("a.txt").read_text()
    'whole'
    """
    target = Path(os.path.abspath(path))  # no resolve(): a link at the target is not followed
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(staging(target.parent))
        except OSError as error:
            raise cannot_be_written(error, path) from error
        temporary = folder / target.name
        yield temporary
        sync_file(temporary)
        try:
            temporary.replace(target)
        except OSError as error:
            raise cannot_be_written(error, path) from error
        sync_folder(target.parent)


@contextlib.contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """Yield a new hidden folder in ``parent`` and remove it at the end.

    It is locked by its process, so that the next save recognises and removes what a process leaves
    that is killed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell._whole_files import staging
    >>> with staging(Path()) as folder:
    ...     _ = (folder / "part").write_text("half of it")
    >>> folder.exists()
    False
    """
    remove_abandoned(parent)
    with contextlib.ExitStack() as stack:
        while True:
            folder = parent / (_PREFIX + os.urandom(_DIGITS // 2).hex())
            folder.mkdir(0o700)
            with contextlib.suppress(FileNotFoundError):
                _lock(stack.enter_context(_opened(folder)), wait=True)
            if folder.exists():
                break
            # Another process took it for abandoned: it was not locked yet.
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files and folders of this user that no process has locked any more."""
    try:
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry in entries if is_temporary_name(entry.name)]
    except OSError:  # who may not list a folder may still write in it
        return
    for path in found:
        # An OSError: a symbolic link, or another process has just removed it.
        with contextlib.suppress(OSError), _opened(path) as descriptor:
            if _lock(descriptor, wait=False) and os.fstat(descriptor).st_uid == os.geteuid():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def is_temporary_name(name: str) -> bool:
    """Tell whether a file of this name is one that is still being written, or was abandoned.

    Examples
    --------
    >>> from slidecell._whole_files import is_temporary_name
    >>> is_temporary_name(".slidecell-0123456789abcdef"), is_temporary_name("scores.csv")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other process is in such a block for this folder.

    Where the file system has no locks, there is no waiting.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell._whole_files import locked
    >>> with locked(Path()):
    ...     pass
    """
    waiting = True
    while waiting:
        with _opened(folder) as descriptor:
            _lock(descriptor, wait=True)
            # The process that held the lock may have put another folder in its place.
            waiting = descriptor >= 0 and not os.path.samestat(os.fstat(descriptor), folder.stat())
            if not waiting:
                yield


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Yield a descriptor of a file or folder, not of what a link leads to; -1 without POSIX."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK) if _POSIX else -1
    try:
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def sync_file(path: Path) -> None:
    """Bring a file's content to the disk."""
    # Elsewhere only descriptors that may write can do it.
    descriptor = os.open(path, os.O_RDONLY if _POSIX else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the file system can do that."""
    if _POSIX:
        with contextlib.suppress(OSError):
            sync_file(folder)


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Return whether an open file or folder is locked for this process now."""
    if descriptor < 0:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # locked by another process, or the file system has no locks
        return False
    return True


def cannot_be_written(error: OSError, path: str | os.PathLike[str]) -> OSError:
    """Return the error of a temporary path as one of the path that the user knows."""
    return OSError(error.errno, f"cannot be written: {error.strerror}", os.fspath(path))
