"""The folder of a job's results: its files are written one by one and appear together."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from slidecell._whole_folders import Owns, owns_nothing, replacing_folder
from slidecell.tables.source import is_standard

__all__ = ["NoFolder", "OutputFolder", "open_results", "refuse_standard_output"]


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

    def places(self, names: Iterable[str]) -> list[str]:
        """Return the paths that files of these names have when the block has ended."""
        return [str(self.path / name) for name in names]

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


class NoFolder(OutputFolder):
    """What stands for the folder where there is none: nothing is written, nothing has a place."""

    def __enter__(self) -> NoFolder:
        return self

    def add(self, name: str, write: Callable[[Path], object]) -> None:
        """Leave the file out."""
        del name, write

    def places(self, names: Iterable[str]) -> list[str]:
        """Return no path."""
        del names
        return []


def open_results(out: Path, *, page: bool = False, owns: Owns = owns_nothing) -> OutputFolder:
    """Return the folder of a job's results; for ``-`` one that writes nothing.

    Parameters
    ----------
    out : Path
        A folder, or ``-``: the scores go to standard output then.
    page : bool
        Whether report.html is asked for, which needs a folder.
    owns : callable, optional
        See `OutputFolder`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.jobs.outputs import open_results
    >>> with open_results(Path("-")) as folder:
    ...     folder.places(["scores.csv"])
    []
    """
    if not is_standard(out):
        return OutputFolder(out, owns=owns)
    if page:
        raise ValueError(
            "--html: report.html needs a folder, and --out - prints the scores alone: leave --html "
            "out, or give --out FOLDER"
        )
    return NoFolder(out)


def refuse_standard_output(out: Path | None, command: str, writes: str) -> None:
    """Refuse ``--out -`` of a command whose results are no lines of text.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.jobs.outputs import refuse_standard_output
    >>> refuse_standard_output(Path("-"), "retrain", "a detector")
    Traceback (most recent call last):
    ValueError: --out: expected a folder, got '-': retrain writes a detector, no table of scores
    """
    if is_standard(out):
        raise ValueError(
            f"--out: expected a folder, got '-': {command} writes {writes}, no table of scores"
        )
