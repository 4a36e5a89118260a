"""Folders whose files appear together: exchanged whole, or put in place from a complete set.

Where the folder holds nothing else and the system can, a new folder with all files is exchanged
with the old one, in one step. Otherwise (other files lie there, which stay where they are; the
folder is where this process works, or a mount point; another user owns it; the file system has no
exchange) the complete new set becomes the hidden folder ``.slidecell-new`` in it, in one step; then
its files are put in place one by one, and it is removed last. While it is there, it is the set, and
the files beside it may be a mixture: `read_whole` reads it, and the next save finishes its work.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import TypeVar

from slidecell._whole_files import (
    cannot_be_written,
    is_temporary_name,
    locked,
    remove_abandoned,
    staging,
    sync_file,
    sync_folder,
)

__all__ = ["is_hidden", "read_whole", "replacing_folder", "whole_set"]

_NEW = ".slidecell-new"
_TRIES = 20
_MOST_HELD = 32  # files, of which a process may have a thousand open
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux

T = TypeVar("T")
Owns = Callable[[PurePath], bool]


def owns_nothing(relative: PurePath) -> bool:
    """Return False: no file belongs to a set but those that are written anew."""
    del relative
    return False


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike[str], *, owns: Owns = owns_nothing) -> Iterator[Path]:
    """Yield a new folder whose files appear in ``path``, all together, if the block ends well.

    Files of the same names are replaced. All others stay, but for those that ``owns`` names. A
    symbolic link at ``path`` is followed: the link stays, the files of its folder are replaced.

    Parameters
    ----------
    path : path
        A folder, or one that does not exist in a folder that does.
    owns : callable
        Tells of a path relative to the folder whether it is of the set: such a file of an older set
        is removed if the new one lacks it. It has to own a folder whose files it owns.

    Yields
    ------
    Path
        Where the block has to write the files.

    Raises
    ------
    OSError
        If the folder cannot be written. What was there stays.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell._whole_folders import replacing_folder
    >>> with replacing_folder("set") as folder:
    ...     _ = (folder / "a.txt").write_text("whole")
    >>> Path("set", "a.txt").read_text()
    'whole'
    """
    target = Path(path).resolve()
    created = not target.exists()
    try:
        if created:
            target.mkdir(exist_ok=True)
            sync_folder(target.parent)
        with contextlib.ExitStack() as stack:
            try:
                with locked(target):  # not while another process exchanges the folder
                    new = stack.enter_context(staging(target)) / "new"
            except OSError as error:
                raise cannot_be_written(error, path) from error
            new.mkdir()
            yield new
            _publish(new, target, owns)
    except BaseException:
        if created:
            with contextlib.suppress(OSError):  # somebody else has put something there meanwhile
                target.rmdir()
        raise


def whole_set(folder: Path) -> Path:
    """Return the folder that holds the complete set: this one, or one in a hidden one.

    The hidden one lies in this folder, or beside it if this folder is a part of a larger set.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell._whole_folders import whole_set
    >>> whole_set(Path("results")).as_posix()
    'results'
    """
    place = folder.resolve()
    for new, part in ((place.parent / _NEW, place.name), (folder / _NEW, "")):
        if (new / part).is_dir() and not new.is_symlink():
            return new / part
    return folder


def read_whole(folder: Path, read: Callable[[Path], T]) -> T:
    """Return what ``read`` makes of a set of files; it never sees files of two sets.

    Parameters
    ----------
    folder : Path
        What `replacing_folder` wrote, or anything else.
    read : callable
        Gets the folder to read from, and gets it again if a save has replaced it meanwhile.

    Raises
    ------
    OSError
        If one save follows the other more quickly than ``read`` comes to its end.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell._whole_folders import read_whole, replacing_folder
    >>> with replacing_folder("pair") as folder:
    ...     _ = (folder / "a").write_text("1"), (folder / "b").write_text("2")
    >>> read_whole(Path("pair"), lambda folder: [(folder / name).read_text() for name in "ab"])
    ['1', '2']
    """
    for _ in range(_TRIES):
        with contextlib.ExitStack() as held:
            before = _identity(folder, held)
            try:
                found = read(whole_set(folder))
            except (OSError, ValueError):
                if _identity(folder) == before:
                    raise
            else:
                if _identity(folder) == before:
                    return found
    raise OSError(errno.EBUSY, "the files are replaced again and again while they are read", folder)


def _identity(folder: Path, held: contextlib.ExitStack | None = None) -> object:
    """Return what differs after each save: every one makes new files.

    Their numbers differ from those of the newest files now as long as ``held`` holds these: a file
    system gives the number of a file that is gone to the next one, within one tick of its clock.
    """
    try:
        with os.scandir(folder) as entries:
            found = {
                entry.name: entry.stat(follow_symlinks=False)
                for entry in entries
                if not is_temporary_name(entry.name)
            }
        if held is not None and hasattr(os, "O_PATH"):
            newest = sorted(found, key=lambda name: found[name].st_mtime_ns)[-_MOST_HELD:]
            for name in newest:
                descriptor = os.open(folder / name, os.O_PATH | os.O_NOFOLLOW)
                held.callback(os.close, descriptor)
                found[name] = os.fstat(descriptor)
    except OSError as error:
        return error.errno
    numbers = {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}
    return whole_set(folder), numbers


def is_hidden(name: str) -> bool:
    """Tell whether a name in a folder is one that saves give, not the user.

    Examples
    --------
    >>> from slidecell._whole_folders import is_hidden
    >>> is_hidden(".slidecell-new"), is_hidden(".gitignore")
    (True, False)
    """
    return name == _NEW or is_temporary_name(name)


def _publish(new: Path, target: Path, owns: Owns) -> None:
    """Give the files of ``new`` their places in ``target``."""
    _sync_tree(new)
    # What a process left that was killed comes first, also where this folder is a part of its set.
    if (target.parent / _NEW).is_dir():
        with locked(target.parent):
            _finish(target.parent, _owns_in(target.name, owns))
    with locked(target):
        _finish(target, owns)
        _, others = _compare(target, new, owns, staged=new.parent.name)
        if others or not _exchange_whole(new, target):
            new.rename(target / _NEW)
            sync_folder(target)
            _finish(target, owns)


def _owns_in(name: str, owns: Owns) -> Owns:
    """Return what ``owns`` says of a folder, as said of the folder in which it has that name."""

    def owns_there(relative: PurePath) -> bool:
        first, *rest = relative.parts
        return first == name and (not rest or owns(PurePath(*rest)))

    return owns_there


def _finish(target: Path, owns: Owns) -> None:
    """Put the files of a complete set in their places, and remove the set last.

    It can be done again from the start at any point.
    """
    new = target / _NEW
    if not new.is_dir() or new.is_symlink():
        return
    stale, _ = _compare(target, new, owns)
    with staging(target) as place:
        for folder, _, names in os.walk(new):
            there = target / Path(folder).relative_to(new)
            there.mkdir(exist_ok=True)
            for name in names:
                _link_or_copy(Path(folder, name), place / "file")
                os.replace(place / "file", there / name)
                # Two names of one file: then the rename has done nothing.
                (place / "file").unlink(missing_ok=True)
            sync_folder(there)
        for path in stale:
            if path.is_dir() and not path.is_symlink():
                path.rename(place / os.urandom(8).hex())
            else:
                path.unlink()
        for emptied in sorted({path.parent for path in stale} - {target}, reverse=True):
            with contextlib.suppress(OSError):  # it is not empty
                emptied.rmdir()
        sync_folder(target)
        new.rename(place / "done")
        sync_folder(target)


def _compare(
    target: Path, new: Path, owns: Owns, staged: str | None = None
) -> tuple[list[Path], bool]:
    """Return what to remove from ``target``, and whether there are files in it that have to stay.

    Raises
    ------
    OSError
        If a folder is in the place of a file, or something else in the place of a folder.
    """
    stale: list[Path] = []
    others = False

    def visit(relative: PurePath) -> None:
        nonlocal others
        if relative.parts:
            remove_abandoned(target / relative)
        with os.scandir(target / relative) as entries:
            found = list(entries)
        for entry in found:
            path = relative / entry.name
            counterpart = new / path
            folder = entry.is_dir(follow_symlinks=False)
            if entry.name == _NEW:
                if relative.parts:  # an older set of a part, which a save has not put in place
                    stale.append(target / path)
            elif is_temporary_name(entry.name):
                # Another process is about to save here, and would lose what it has written.
                others = others or entry.name != staged
            elif counterpart.exists():
                if counterpart.is_dir() != folder:
                    what = "is a folder" if folder else "is no folder"
                    reason = f"cannot be written: there {what}"
                    raise OSError(errno.EEXIST, reason, os.fspath(target / path))
                if folder:
                    visit(path)
            elif not owns(path):
                others = True
            elif folder:
                visit(path)
            else:
                stale.append(target / path)

    visit(PurePath())
    return stale, others


def _exchange_whole(new: Path, target: Path) -> bool:
    """Return whether ``new`` has taken the place of ``target``, whose files are then removed."""
    try:
        status = target.stat()
        if Path.cwd() == target or (status.st_uid, status.st_gid) != (
            new.stat().st_uid,
            new.stat().st_gid,
        ):
            return False
        with staging(target.parent) as place:
            outside = place / "new"
            new.rename(outside)  # no folder can be exchanged with one inside it
            try:
                shutil.copystat(target, outside)
                _exchange(outside, target)
            except OSError:
                outside.rename(new)
                raise
            sync_folder(target.parent)
            # A file may be on its way into the folder that is about to go: see `replacing`.
            for entry in outside.iterdir():
                if is_temporary_name(entry.name) and entry.name != new.parent.name:
                    with contextlib.suppress(OSError):
                        entry.rename(target / entry.name)
    except OSError:
        return False
    return True


def _exchange(first: Path, second: Path) -> None:
    """Let two folders change places in one step.

    Raises
    ------
    OSError
        If the system or the file system cannot do that.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = os.fsencode(first), os.fsencode(second)
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], ctypes.c_uint(_RENAME_EXCHANGE)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(first), None, os.fspath(second))


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or make a copy where the file system has no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
        sync_file(target)


def _sync_tree(folder: Path) -> None:
    """Bring all files and folders in a folder to the disk."""
    for inside, _, names in os.walk(folder):
        for name in names:
            sync_file(Path(inside, name))
        sync_folder(Path(inside))
