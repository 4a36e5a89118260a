"""A run that can be killed: parts of its results in a folder, and the state after the last one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slidecell._whole_files import replacing
from slidecell.detect.streams.state import Saved
from slidecell.detect.streams.stream_file import pack_state, read_stream_file

__all__ = ["Journal"]

FORMAT = 3  # parts of Parquet files had the keys of their rows once
_STATE = "state"
_CALLED = {
    "detector": "another detector or model",
    "source": "other files, or files that have changed since,",
    "options": "other options",
}


class Journal:
    """The folder ``.NAME.parts`` beside an output file.

    A part counts once the state after it has been written. What a killed run has left of the part
    after that is written anew.

    Parameters
    ----------
    out : path
        The output file.
    about : mapping
        What the results depend on, ready for JSON. A folder of a run on something else is refused.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.detect.streams.state import Saved
    >>> from slidecell.scale.journal import Journal
    >>> out = pathlib.Path(tempfile.mkdtemp()) / "out.parquet"
    >>> journal = Journal(out, {"detector": "a"})
    >>> journal.load() is None
    True
    >>> journal.save(Saved({"parts": 1}, {}))
    >>> journal.load().text["parts"]
    1
    >>> Journal(out, {"detector": "b"}).load()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: ...out.parquet.parts: a run with another detector or model stopped here; ...
    """

    def __init__(self, out: str | os.PathLike[str], about: Mapping[str, Any]) -> None:
        path = Path(out)
        self.folder = path.with_name(f".{path.name}.parts")
        # As it is read back: tuples are lists, for one.
        self._about: dict[str, Any] = json.loads(json.dumps(dict(about)))

    def part(self, name: str, number: int, suffix: str = ".parquet") -> Path:
        """Return the path of a file of a part."""
        return self.folder / f"{name}-{number:06d}{suffix}"

    def start(self) -> None:
        """Make the folder.

        Raises
        ------
        OSError
            If it cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> Saved | None:
        """Return the state after the last whole part; None: there is none yet.

        Raises
        ------
        ValueError
            If it is damaged, or a run on something else has left it.
        """
        path = self.folder / _STATE
        if not path.exists():
            return None
        mend = "give the same again to go on, or begin anew with --restart (in Python restart=True)"
        try:
            text, parts = read_stream_file(path)
        except ValueError as error:
            raise ValueError(f"{error}; {mend}") from error
        if text.get("format") != FORMAT:
            raise ValueError(f"{self.folder}: another version of slidecell stopped here; {mend}")
        about = text.pop("about", None)
        about = about if isinstance(about, dict) else {}
        for name, own in self._about.items():
            if about.get(name) != own:
                what = _CALLED.get(name, f"another {name}")
                raise ValueError(f"{self.folder}: a run with {what} stopped here; {mend}")
        return Saved(text, parts)

    def save(self, state: Saved) -> None:
        """Write the state after a part: whole, or the one before stays."""
        self.write(self.packed(state))

    def packed(self, state: Saved) -> bytes:
        """Return the bytes of the state after a part."""
        return pack_state({"format": FORMAT, "about": self._about, **state.text}, state.parts)

    def write(self, packed: bytes) -> None:
        """Write the bytes of a state: whole, or the one before stays."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / _STATE) as temporary:
            temporary.write_bytes(packed)

    def remove_unfinished(self) -> None:
        """Remove the folder if no part in it is whole."""
        if not (self.folder / _STATE).exists():
            self.remove()

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
