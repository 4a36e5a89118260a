"""Files that appear whole or not at all: written beside their place, then renamed together."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from slidecell._whole_files import temporary_beside

__all__ = ["OutputFolder"]


class OutputFolder:
    """A folder whose files are staged one by one and appear when the ``with`` block ends.

    Opening it creates the folder and tries to write in it, so that a long computation does not
    end at a folder that cannot be written. On an exception, KeyboardInterrupt included, nothing
    that was there before is touched and nothing is left behind.

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

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder)
        self._staged: dict[str, Path] = {}
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
        """Write a file under a temporary name in the same folder (same suffix)."""
        if (self.path / name).is_dir():  # what cannot be replaced would be found out too late
            raise OSError(f"output file {self.path / name} cannot be written: there is a folder")
        temporary = self._staged[name] = temporary_beside(self.path / name)
        write(temporary)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                for name, temporary in self._staged.items():
                    os.replace(temporary, self.path / name)
        finally:
            for temporary in self._staged.values():
                temporary.unlink(missing_ok=True)
            if kind is not None:
                self._remove_created()

    def _remove_created(self) -> None:
        for folder in self._created:
            try:
                folder.rmdir()
            except OSError:  # someone else has put something there meanwhile
                break
