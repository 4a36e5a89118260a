"""The file of a stream's state: a zip of one JSON text and of arrays as bytes."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

from slidecell._regular_files import open_regular
from slidecell._whole_files import replacing

__all__ = ["pack_state", "read_stream_file", "unpack_state", "write_stream_file"]

_TEXT = "stream.json"
_DAMAGED = (zipfile.BadZipFile, OSError, EOFError, RuntimeError, struct.error, OverflowError)


def write_stream_file(
    path: str | os.PathLike[str], text: Mapping[str, Any], parts: Mapping[str, bytes]
) -> None:
    """Write a state: the whole file, or nothing and the old one stays.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.detect.streams.stream_file import read_stream_file, write_stream_file
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "state"
    >>> write_stream_file(file, {"entities": 1}, {"seen": b"12345678"})
    >>> read_stream_file(file)
    ({'entities': 1}, {'seen': b'12345678'})
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        _pack(file, text, parts)


def pack_state(text: Mapping[str, Any], parts: Mapping[str, bytes]) -> bytes:
    """Return the bytes of such a file.

    Examples
    --------
    >>> from slidecell.detect.streams.stream_file import pack_state, unpack_state
    >>> unpack_state(pack_state({"entities": 1}, {"seen": b"12345678"}), source="the state")
    ({'entities': 1}, {'seen': b'12345678'})
    """
    file = io.BytesIO()
    _pack(file, text, parts)
    return file.getvalue()


def unpack_state(state: bytes, *, source: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what `pack_state` took; ValueError, which names the source, if it is damaged."""
    try:
        return _unpacked(zipfile.ZipFile(io.BytesIO(state)))
    except (*_DAMAGED, ValueError) as error:
        raise ValueError(f"{source}: not a stream's state, or damaged: {error}") from None


def _pack(file: BinaryIO, text: Mapping[str, Any], parts: Mapping[str, bytes]) -> None:
    # Stored, not deflated: reading allocates no more than the file is long.
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(_TEXT, json.dumps(text, allow_nan=False))
        for name, data in parts.items():
            archive.writestr(name, data)


def read_stream_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the JSON text's object, and the parts by name.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged; the text names the file.
    """
    with open_regular(path) as file:
        try:
            return _unpacked(zipfile.ZipFile(file))
        # zipfile's ways to say that the content is damaged
        except (*_DAMAGED, ValueError) as error:
            raise ValueError(f"{path}: not a stream's state, or damaged: {error}") from None


def _unpacked(archive: zipfile.ZipFile) -> tuple[dict[str, Any], dict[str, bytes]]:
    parts = {}
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{info.filename}: expected stored, not compressed")
        if info.filename in parts:
            raise ValueError(f"{info.filename}: it is there twice")
        parts[info.filename] = archive.read(info)
    if _TEXT not in parts:
        raise ValueError(f"it has no {_TEXT}")
    text = json.loads(parts.pop(_TEXT))
    if not isinstance(text, dict):
        raise ValueError(f"{_TEXT}: expected an object, got {type(text).__name__}")
    return text, parts
