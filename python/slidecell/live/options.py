"""The options of `run_live`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidecell._arguments import as_bytes

if TYPE_CHECKING:
    from slidecell.model import SequenceModel

__all__ = ["DEFAULT_ENTITIES", "LiveOptions"]

DEFAULT_ENTITIES = 1024


@dataclass(frozen=True)
class LiveOptions:
    """The options of `run_live`; those that are None are taken from the model.

    Parameters
    ----------
    model : Path
        A model file, or what ``slidecell detect`` or `Detector.save` wrote.
    format : {"csv", "jsonl"}
    time, entity, max_gap, missing : str, optional
        As in `slidecell.tables.options.TableOptions`. An empty ``time`` or ``entity`` says that
        there is no such column.
    state : Path, optional
        Where to go on from, if it exists, and to save to at the end.
    listen : int, optional
        Port on loopback to read from, 0 for a free one. Default: standard input.
    on_error : {"skip", "fail"}
        What a line that cannot be used does; either way it is reported with its number.
    max_entities : int, optional
        Entities that there is room for. Default: the state's, or 1,024 (1 without an entity
        column).
    max_memory : str, optional
        Memory that a new stream may take: bytes, or with a unit, as 4GiB. Default: 1GiB.
    equal_times : bool
        Whether rows of one entity may share a time; the model's, as it was trained.
    """

    model: Path
    format: str = "csv"
    time: str | None = None
    entity: str | None = None
    max_gap: str | None = None
    missing: str | None = None
    state: Path | None = None
    listen: int | None = None
    on_error: str = "skip"
    max_entities: int | None = None
    max_memory: str | None = None
    equal_times: bool = False

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("--format", self.format, ("csv", "jsonl")),
            ("--on-error", self.on_error, ("skip", "fail")),
            ("--missing", self.missing, (None, "skip", "ffill")),
        ):
            if value not in allowed:
                known = ", ".join(text for text in allowed if text)
                raise ValueError(f"{name}: expected {known}, got {value!r}")
        if self.max_entities is not None and self.max_entities < 1:
            raise ValueError(f"--max-entities: expected at least 1, got {self.max_entities}")
        if self.max_memory is not None:
            as_bytes("--max-memory", self.max_memory)
        if self.listen is not None and not 0 <= self.listen <= 65535:
            raise ValueError(f"--listen: expected a port, 0 to 65535, got {self.listen}")

    def stream_bytes(self) -> dict[str, int]:
        """Return `SequenceModel.stream`'s argument for the memory, if it is not the default."""
        memory = self.max_memory
        return {} if memory is None else {"max_bytes": as_bytes("--max-memory", memory)}

    def with_model(self, model: SequenceModel) -> LiveOptions:
        """Return the options, completed by what the model knows of its training file."""
        stored = (model.metadata.get("extra") or {}).get("detect")
        known: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
        found: dict[str, Any] = {}
        for name in ("time", "entity", "max_gap", "missing"):
            value = getattr(self, name)
            value = known.get(name) if value is None else value
            found[name] = value if isinstance(value, str) and value else None
        if found["time"] is None:
            if self.max_gap is not None:
                raise ValueError("--max-gap: name the time column with --time")
            found["max_gap"] = None
        if found["time"] is not None and found["time"] == found["entity"]:
            raise ValueError(f"--time and --entity both name column {found['time']!r}")
        return replace(self, **found, equal_times=known.get("duplicates") == "keep")
