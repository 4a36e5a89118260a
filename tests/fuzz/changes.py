"""Small changes of JSON, bytes and safetensors that leave most of a file as it was."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from random import Random
from typing import Any

__all__ = ["any_value", "change_bytes", "change_json", "change_tensors", "change_text", "json_text"]

NUMBERS = (
    0, 1, 2, 3, -1, 7, 2**20, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.5, -0.0,
    1e-320,
    1e300, -1e300, 3.5e38, float("nan"), float("inf"),
)  # fmt: skip
TEXTS = (
    "",
    "a",
    "nan",
    "1",
    "\x00",
    "é\u20ac",
    "\ud800",
    "x" * 300,
    "../a",
    "None",
    "fixed",
    "zscore",
)
DEPTHS = (1, 2, 20, 400, 900, 990, 5000, 200_000)
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "C64", "F8_E4M3", "x", "")


def any_value(random: Random, depth: int = 2) -> Any:
    """Return a value of any of JSON's types."""
    what = random.randrange(8 if depth else 6)
    if what < 3:
        return random.choice(NUMBERS)
    if what == 3:
        return random.choice(TEXTS)
    if what < 6:
        return random.choice((None, True, False))
    items = [any_value(random, depth - 1) for _ in range(random.randrange(4))]
    if what == 6:
        return items
    return {random.choice(TEXTS): item for item in items}


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Return the places of a tree: what holds them, and the key or index there."""
    found: list[tuple[Any, Any]] = []
    left = [tree]
    while left:
        holder = left.pop()
        keys: Sequence[Any] = ()
        if isinstance(holder, dict):
            keys = list(holder)
        elif isinstance(holder, list):
            keys = range(min(len(holder), 20))
        for key in keys:
            found.append((holder, key))
            left.append(holder[key])
    return found


def change_json(tree: Any, random: Random) -> Any:
    """Change one place of a tree, which must hold something."""
    places = _places(tree)
    if not places:
        return any_value(random)
    holder, key = random.choice(places)
    what = random.randrange(10)
    if what < 5:
        holder[key] = any_value(random)
    elif what == 5:
        del holder[key]
    elif what == 6:
        other, there = random.choice(places)
        if there in other if isinstance(other, dict) else there < len(other):
            holder[key] = json.loads(json.dumps(other[there])) if random.random() < 0.9 else None
    elif what == 7 and isinstance(holder, dict):
        holder[random.choice((*TEXTS, str(key) + "_"))] = holder.pop(key)
    elif what == 8 and isinstance(holder, list):
        holder.insert(key, any_value(random))
    elif isinstance(holder[key], bool) or not isinstance(holder[key], (int, float)):
        holder[key] = any_value(random)
    else:
        holder[key] += random.choice((-1, 1, 0.5))
    return tree


def json_text(tree: Any, random: Random) -> bytes:
    """Return the text of a tree; now and then it is nested too deeply, or not JSON."""
    text = json.dumps(tree)
    what = random.randrange(24)
    if what == 0:
        depth = random.choice(DEPTHS)
        opened, closed = random.choice((("[", "]"), ('{"a":', "}")))
        places = [place for place, letter in enumerate(text) if letter == ":"]
        place = 1 + random.choice(places) if places else 0
        rest = text[place:].split(",", 1)
        nested = opened * depth + rest[0].strip().rstrip("}]") + closed * depth
        text = text[:place] + nested + ("," + rest[1] if len(rest) > 1 else "}" * text.count("{"))
    elif what == 1:
        return change_text(text, random).encode("utf-8", "surrogatepass")
    return text.encode("utf-8", "surrogatepass")


def change_text(text: str, random: Random) -> str:
    """Remove, double or add some letters."""
    at = random.randrange(len(text) + 1)
    end = min(len(text), at + random.choice((1, 1, 2, 8, 50)))
    what = random.randrange(4)
    if what == 0:
        return text[:at] + text[end:]
    if what == 1:
        return text[:end] + text[at:]
    if what == 2:
        return text[:at]
    return (
        text[:at] + random.choice((*TEXTS, *'",:;[]{}\t\n\\', "1e999", "NaN", "\ufeff")) + text[at:]
    )


def change_bytes(data: bytes, random: Random) -> bytes:
    """Change, remove or add some bytes."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.randrange(len(out) + 1)
        what = random.randrange(5)
        if what == 0:
            del out[at : at + random.choice((1, 4, 8, 100))]
        elif what == 1:
            out[at:at] = random.randbytes(random.choice((1, 4, 8)))
        elif what == 2 and random.random() < 0.3:
            del out[at:]
        elif at < len(out):
            out[at] = random.choice((0, 1, 127, 128, 255, out[at] ^ 1 << random.randrange(8)))
    return bytes(out)


def change_tensors(data: bytes, random: Random) -> bytes:
    """Change a safetensors file: its header, whose length is made right, or its numbers."""
    try:
        (length,) = struct.unpack_from("<Q", data)
        header, numbers = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    except (struct.error, ValueError):
        return change_bytes(data, random)
    what = random.randrange(8)
    tensors = [value for key, value in header.items() if isinstance(value, dict)]
    if what < 3 and isinstance(header, dict):
        header = change_json(header, random)
    elif what == 3 and tensors:
        tensor = random.choice(tensors)
        tensor["dtype"] = random.choice(DTYPES)
    elif what == 4 and isinstance(header.get("__metadata__"), dict):
        metadata = header["__metadata__"]
        if isinstance(metadata.get("slidecell"), str):
            tree = change_json(json.loads(metadata["slidecell"]), random)
            metadata["slidecell"] = json_text(tree, random).decode("utf-8", "replace")
    elif what < 7 and numbers:
        form, size = random.choice((("<d", 8), ("<f", 4)))
        at = random.randrange(max(1, len(numbers) // size)) * size
        value = random.choice((0.0, -1.0, 1e300, float("nan"), float("inf"), 1e-320))
        if size == 4 and abs(value) > 1e38:
            value = 3e38
        if at + size <= len(numbers):
            struct.pack_into(form, numbers, at, value)
    else:
        return change_bytes(data, random)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + bytes(numbers)
