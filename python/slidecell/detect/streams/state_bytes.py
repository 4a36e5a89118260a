"""The state of one entity as bytes: versioned, of one detector, checked as a whole."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

from slidecell.detect.streams.state import Saved

__all__ = ["pack_state", "unpack_state"]

VERSION = 1
_MAGIC = b"SCDS"
_HEAD = struct.Struct("<4sI32sII")  # magic, version, fingerprint, bytes of the text, parts
_CHECK = struct.Struct("<I")


def pack_state(saved: Saved, fingerprint: str) -> bytes:
    """Return a state as bytes.

    Beside the parts they are a head of 48, the names of the parts as text, 4 for each part and 4
    for a check sum.

    Parameters
    ----------
    saved : Saved
    fingerprint : str
        Of the detector, in hexadecimal digits.

    Examples
    --------
    >>> from slidecell.detect.streams.state import Saved
    >>> from slidecell.detect.streams.state_bytes import pack_state, unpack_state
    >>> state = pack_state(Saved({"fill": False}, {"seen": bytes(8)}), "ab" * 32)
    >>> len(state), unpack_state(state, "ab" * 32, kind="ZScoreDetector").text
    (95, {'fill': False})
    """
    text = json.dumps({**saved.text, "parts": list(saved.parts)}, separators=(",", ":")).encode()
    sizes = [len(part) for part in saved.parts.values()]
    head = _HEAD.pack(_MAGIC, VERSION, bytes.fromhex(fingerprint), len(text), len(sizes))
    body = b"".join([head, text, struct.pack(f"<{len(sizes)}I", *sizes), *saved.parts.values()])
    return body + _CHECK.pack(zlib.crc32(body))


def unpack_state(state: bytes, fingerprint: str, *, kind: str) -> Saved:
    """Return what `pack_state` was given.

    Parameters
    ----------
    state : bytes
    fingerprint : str
        Of the detector that is to go on.
    kind : str
        What an error calls it.

    Raises
    ------
    ValueError
        If it is damaged, of another version or of another detector.
    """
    if len(state) < _HEAD.size + _CHECK.size or not state.startswith(_MAGIC):
        raise ValueError("state: expected what state_bytes of a detector's stream returned")
    magic, version, owner, length, count = _HEAD.unpack_from(state)
    del magic
    if version != VERSION:
        raise ValueError(f"state: version: expected {VERSION}, got {version}")
    body = state[: -_CHECK.size]
    if _CHECK.unpack(state[len(body) :])[0] != zlib.crc32(body):
        raise ValueError("state: damaged: its check sum is another one")
    if owner != bytes.fromhex(fingerprint):
        raise ValueError(f"state: the state of another detector than this {kind}")
    text: dict[str, Any] = json.loads(body[_HEAD.size : _HEAD.size + length])
    names = text.pop("parts")
    place = _HEAD.size + length
    sizes = struct.unpack_from(f"<{count}I", body, place)
    place += 4 * count
    parts = {}
    for name, size in zip(names, sizes, strict=True):
        parts[name] = body[place : place + size]
        place += size
    return Saved(text, parts)
