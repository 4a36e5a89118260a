"""Files that are opened only if they are files: not pipes, which wait, nor devices without end."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

__all__ = ["open_regular", "read_regular"]

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Return a file opened for bytes; never wait for the other end of a pipe.

    Parameters
    ----------
    path : path
        A symbolic link is followed.

    Raises
    ------
    OSError
        If it cannot be opened, or is no regular file: the text says what it is.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell._regular_files import open_regular
    >>> _ = Path("a.txt").write_text("whole")
    >>> with open_regular("a.txt") as file:
    ...     file.read()
    b'whole'
    """
    # Without O_NONBLOCK, to open a pipe waits for who writes to it.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(mode):
            kind = _KINDS.get(stat.S_IFMT(mode), "something else")
            text = f"expected a regular file, got {kind}"
            raise OSError(errno.EINVAL, text, os.fspath(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Return a file's bytes, as `open_regular` opens it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell._regular_files import read_regular
    >>> _ = Path("a.txt").write_text("whole")
    >>> read_regular("a.txt")
    b'whole'
    """
    with open_regular(path) as file:
        return file.read()
