"""The folder of a job's results: its files are written one by one and appear together."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from slidecell._whole_folders import Owns, owns_nothing, replacing_folder

__all__ = ["OutputFolder"]


class OutputFolder:
    """A folder whose files are written one by one and appear when the ``with`` block ends.

    Opening it creates the folder and tries to write in it, so that a long computation does not
    end at a folder that cannot be written. On an exception, KeyboardInterrupt included, nothing
    that was there before is touched and nothing is left behind. Other files in the folder stay.

    Parameters
    ----------
    folder : path
    owns : callable, optional
        Tells of a path relative to the folder whether it belongs to its set of files: one that an
        older set has and the new one lacks is removed. By default nothing is removed.

    Notes
    -----
    Where the folder has no other files, a new folder takes its place in one step. A process that
    works in the old folder does not see the new files there until it enters the folder again.
    Otherwise `slidecell._whole_folders.read_whole` is how to read the files as one set.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from slidecell.jobs.outputs import OutputFolder
    >>> folder = pathlib.Path(tempfile.mkdtemp()) / "out"
    >>> with OutputFolder(folder) as out:
    ...     out.add("a.txt", lambda path: path.write_text("whole"))
    >>> [path.name for path in folder.iterdir()]
    ['a.txt']
    """

    def __init__(self, folder: str | Path, *, owns: Owns = owns_nothing) -> None:
        self.path = Path(folder)
        self._owns = owns
        self._new: Path | None = None  # where files are written; made for the first of them
        self._stack = contextlib.ExitStack()
        self._created: list[Path] = []

    def __enter__(self) -> OutputFolder:
        # Folders that this call creates, innermost first, to be removed if nothing comes of it.
        missing = [p for p in (self.path, *self.path.parents) if not p.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._created = missing
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            self._remove_created()
            reason = error.strerror or str(error)
            raise OSError(f"output folder {self.path} cannot be written: {reason}") from error
        return self

    def add(self, name: str, write: Callable[[Path], object]) -> None:
        """Have a file, or a folder, of this name written where only the block's end shows it."""
        if self._new is None:
            self._new = self._stack.enter_context(replacing_folder(self.path, owns=self._owns))
        written, place = self._new / name, self.path / name
        write(written)
        # What cannot be replaced would be found out too late.
        if place.is_dir() and not written.is_dir():
            raise OSError(f"output file {place} cannot be written: there is a folder")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.ExitStack() as failed:
            failed.callback(self._remove_created)
            self._stack.__exit__(kind, error, traceback)
            if kind is None:
                failed.pop_all()

    def _remove_created(self) -> None:
        for folder in self._created:
            try:
                folder.rmdir()
            except OSError:  # someone else has put something there meanwhile
                break
