"""The file of a monitor's state: a zip of one JSON text and the stream's own state file."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from slidecell._regular_files import open_regular
from slidecell._whole_files import replacing

if TYPE_CHECKING:
    from slidecell.detect.streams.base import DetectorStream
    from slidecell.live.live_detector import LiveDetector
    from slidecell.model import SequenceModel
    from slidecell.stream import Stream

__all__ = ["read_monitor_file", "write_monitor_file"]

_TEXT, _STREAM = "monitor.json", "stream"
_DAMAGED = (zipfile.BadZipFile, OSError, EOFError, RuntimeError, struct.error, OverflowError)


def write_monitor_file(
    path: str | os.PathLike[str],
    text: str,  # a JSON object
    stream: Stream | DetectorStream,
) -> None:
    """Write both parts: the whole file, or nothing and the old one stays.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with (
        replacing(path) as temporary,
        tempfile.TemporaryDirectory(dir=temporary.parent) as folder,
    ):
        part = Path(folder) / _STREAM
        stream.save(part)
        # Stored, not deflated: reading allocates no more than the file is long.
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_TEXT, text)
            archive.write(part, _STREAM)


def read_monitor_file(
    path: str | os.PathLike[str], model: SequenceModel | LiveDetector
) -> tuple[dict[str, Any], Stream | DetectorStream]:
    """Return the JSON text's object and the stream.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged, or of another model; the text names the file.
    """
    with open_regular(path) as file, tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / _STREAM
        try:
            state = _unpack(file, copy)
        # zipfile's ways to say that the content is damaged
        except (*_DAMAGED, ValueError) as error:
            raise ValueError(f"{path}: not a monitor's state, or damaged: {error}") from None
        try:
            return state, model.stream(state=copy)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _unpack(file: BinaryIO, stream: Path) -> dict[str, Any]:
    """Return the JSON text's object; write the stream's part to a file."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        for part in (_TEXT, _STREAM):
            if part not in names:
                raise ValueError(f"it has no {part}")
            if archive.getinfo(part).compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{part}: expected stored, not compressed")
        state = json.loads(archive.read(_TEXT))
        if not isinstance(state, dict):
            raise ValueError(f"{_TEXT}: expected an object, got {type(state).__name__}")
        with archive.open(_STREAM) as source, stream.open("wb") as target:
            shutil.copyfileobj(source, target)
        return state
