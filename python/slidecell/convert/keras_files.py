"""Reads files of Keras: JSON from a zip file, variables from HDF5; no code of theirs runs.

Files are hostile until they are checked: names, sizes and kinds are held against what Keras writes
and against the file's own length, before anything is read by them.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

from slidecell._extras import require
from slidecell._regular_files import open_regular
from slidecell.convert.keras_hdf5 import (
    FileStore,
    Hdf5File,
    OldStore,
    RefusedFileError,
    damage_refused,
)
from slidecell.convert.keras_stores import Store

__all__ = ["read_keras_file"]

MOST_BYTES = 2**30  # of a file, and of the weights in it
_MOST_TEXT = 2**22  # of the configuration
_MOST_ENTRIES_BYTES = 2**16  # of the list of the files in a zip file
_SMALL, _MOST_TIMES = 2**22, 64  # a larger entry must not grow by more than that
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_WEIGHTS = "model.weights.h5"
_END = struct.Struct("<4s4H2LH")  # a zip file's last record, without a comment
_AGAIN = "save it again with Keras 3"


def read_keras_file(path: str | os.PathLike[str]) -> tuple[Mapping[str, Any], Store, int]:
    """Return a model's configuration, its variables and the first number of Keras' version.

    Parameters
    ----------
    path : path
        A ``.keras`` file of Keras 3, or an ``.h5`` file of a whole model, also of Keras 2. It is
        known by its content.

    Raises
    ------
    ImportError
        If h5py is not installed.
    OSError
        If the file cannot be read.
    RefusedFileError
        If it is neither, damaged or larger than it may be; the text lacks its name.
    """
    require("h5py", extra="keras")
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise RefusedFileError(f"expected at most {MOST_BYTES} bytes, got {size}")
        data = file.read(size)
    if data.startswith(_ZIP):
        return _read_zip(data)
    if data.startswith(_HDF5):
        return _read_old(data)
    raise RefusedFileError(
        "expected a .keras file (zip) or an .h5 file (HDF5) of Keras, got neither"
    )


def _read_zip(data: bytes) -> tuple[Mapping[str, Any], Store, int]:
    entries = _entries(data)
    metadata = _json(entries["metadata.json"], "metadata.json")
    version = _major(metadata.get("keras_version"))
    if version < 3:
        raise RefusedFileError(
            f"expected a file of Keras 3, got one of {metadata.get('keras_version')!r}; {_AGAIN}"
        )
    config = _json(entries["config.json"], "config.json")
    return config, FileStore(Hdf5File(entries[_WEIGHTS])), version


def _entries(data: bytes) -> dict[str, bytes]:
    """Return the three files that Keras writes, each no larger than it says and than it may be."""
    wanted = {"metadata.json": _MOST_TEXT, "config.json": _MOST_TEXT, _WEIGHTS: MOST_BYTES}
    _check_end(data)
    with damage_refused(), zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        for name in names:
            if name.startswith(("/", "\\")) or ".." in name or ":" in name:
                raise RefusedFileError(f"expected names of files inside it, got {name!r}")
        if len({*names}) != len(names):
            raise RefusedFileError("expected each file in it once, got one twice")
        for name in wanted:
            if name not in names:
                raise RefusedFileError(f"expected {name!r} in it, got {names[:8]}; {_AGAIN}")
        return {
            info.filename: _content(archive, info, wanted[info.filename])
            for info in infos
            if info.filename in wanted
        }


def _check_end(data: bytes) -> None:
    """Refuse a list of entries that is long, before zipfile reads it."""
    if len(data) < _END.size:
        raise RefusedFileError("expected a whole zip file")
    signature, *_, entries_bytes, _, comment = _END.unpack(data[-_END.size :])
    if signature != b"PK\x05\x06" or comment != 0:
        raise RefusedFileError("expected a whole zip file without a comment")
    zip64 = data[-_END.size - 20 : -_END.size].startswith(b"PK\x06\x07")
    if zip64 or entries_bytes > _MOST_ENTRIES_BYTES:
        raise RefusedFileError("expected a zip file of a few files, got the list of many")


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    name, size = info.filename, info.file_size
    if info.flag_bits & 1:
        raise RefusedFileError(f"expected {name!r} without encryption")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RefusedFileError(f"expected {name!r} stored or deflated")
    if size > most:
        raise RefusedFileError(f"expected at most {most} bytes in {name!r}, it declares {size}")
    if size > _SMALL and size > _MOST_TIMES * info.compress_size:
        raise RefusedFileError(
            f"expected {name!r} to grow at most {_MOST_TIMES} times when unpacked, it declares "
            f"{info.compress_size} bytes that become {size}"
        )
    with archive.open(info) as file:
        content = file.read(size + 1)  # zipfile stops at what it declares, and checks its sum
    if len(content) != size:
        raise RefusedFileError(f"expected {size} bytes in {name!r}, got {len(content)}")
    return content


def _json(text: bytes | str, name: str) -> Mapping[str, Any]:
    if len(text) > _MOST_TEXT:
        raise RefusedFileError(f"expected at most {_MOST_TEXT} bytes in {name!r}, got {len(text)}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RefusedFileError(f"expected JSON in {name!r}: {error}") from error
    if not isinstance(value, Mapping):
        raise RefusedFileError(f"expected an object of JSON in {name!r}")
    return value


def _major(version: Any) -> int:
    """Return the first number of Keras' version; 3 where it is not said."""
    first = str("3" if version is None else version).split(".", maxsplit=1)[0]
    return int(first) if first.isdecimal() and len(first) < 4 else 3


def _read_old(data: bytes) -> tuple[Mapping[str, Any], Store, int]:
    file = Hdf5File(data)
    text = file.text("model_config")
    if text is None:
        raise RefusedFileError(
            "expected a whole model, got HDF5 without model_config: weights alone do not tell "
            "what is computed; save the whole model"
        )
    config = _json(text, "model_config")
    return config, OldStore(file), _major(file.text("keras_version"))
