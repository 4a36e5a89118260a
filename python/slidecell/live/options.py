"""The options of `run_live`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slidecell._arguments import as_bytes

if TYPE_CHECKING:
    from slidecell.live.live_detector import LiveDetector
    from slidecell.model import SequenceModel

__all__ = ["DEFAULT_ENTITIES", "EVENT_COLUMNS", "LiveOptions", "driving_columns"]

DEFAULT_ENTITIES = 1024
EVENT_COLUMNS = ("event", "start", "end", "rows", "flagged", "peak", "area")


def driving_columns(columns: int) -> list[str]:
    """Return the names of what lines of events say of so many columns that drive them.

    Examples
    --------
    >>> from slidecell.live.options import driving_columns
    >>> driving_columns(2)
    ['column_1', 'share_1', 'column_2', 'share_2']
    """
    return [f"{what}_{n + 1}" for n in range(columns) for what in ("column", "share")]


@dataclass(frozen=True)
class LiveOptions:
    """The options of `run_live`; those that are None are taken from the model.

    Parameters
    ----------
    model : Path
        A model file, or what ``slidecell detect`` or `Detector.save` wrote.
    format : {"csv", "jsonl"}
    output : {"scores", "events", "both"}
        Lines that are written: the score and alarm of every row; of every event, when it opens and
        when it closes, then with the columns that drive it where a saved detector tells them; or
        both.
    event_gap : int, optional
        Flagged rows with at most so many others between them are one event, as in
        `slidecell.jobs.score.ScoreOptions`. Default: the state's, or the detector's own.
    time, entity, max_gap, missing : str, optional
        As in `slidecell.tables.options.TableOptions`. An empty ``time`` or ``entity`` says that
        there is no such column.
    state : Path, optional
        Where to go on from, if it exists, and to save to at the end.
    listen : int, optional
        Port on loopback to read from, 0 for a free one. Default: standard input.
    on_error : {"skip", "fail"}
        What a line that cannot be used does; either way it is reported with its number. What is
        skipped is a missing row, as `run_live` says.
    max_entities : int, optional
        Entities that there is room for at most; memory is taken as they come. Default: the
        state's, or 1,024 (1 without an entity column).
    duplicates : {"error", "keep"}, optional
        Rows of one entity with equal times: use the first and report the others, or use all. A
        stream cannot use the last, as it has answered the first by then.
    max_memory : str, optional
        Memory that a new stream may take: bytes, or with a unit, as 4GiB. Default: 1GiB.
    drift : bool
        Compare the rows with those of training, where the detector keeps what they looked like, and
        report when they are far from them: see `slidecell.detect.drift`.
    shadow : Path, optional
        What was saved of a challenger, which scores the same rows and decides nothing.
    shadow_report : Path, optional
        JSON file to write at the end: how far champion and challenger agree.
    label : str, optional
        Column of labels (1 for an anomaly, 0 for a normal row), by which both are measured, and
        which is kept with the rows.
    keep_rows : Path, optional
        Folder that keeps the last rows and the advisory, for ``slidecell retrain --if-drift``.
    keep : int
        Rows that are kept at least, once they came.
    equal_times : bool
        Whether rows of one entity may share a time; follows from ``duplicates``.
    time_format : str, optional
        As in `slidecell.tables.options.TableOptions`; the model's, as it was trained.
    metrics : int, optional
        Port that Prometheus reads counts, scores and latencies from, at ``/metrics``, with
        ``/healthz`` and ``/readyz``; 0 for a free one. Default: none.
    page : int, optional
        Port of a page for browsers, which shows the run as it goes on; may be that of ``metrics``.
    bind : str
        Address of this machine that both are served on.
    metrics_entities : bool
        Whether there are metrics of each entity too.
    log : {"text", "json"}
        Form of the reports on standard error.
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
    duplicates: str | None = None
    max_memory: str | None = None
    equal_times: bool = False
    time_format: str | None = None
    output: str = "scores"
    event_gap: int | None = None
    metrics: int | None = None
    page: int | None = None
    bind: str = "127.0.0.1"
    metrics_entities: bool = False
    log: str = "text"
    drift: bool = True
    shadow: Path | None = None
    shadow_report: Path | None = None
    label: str | None = None
    keep_rows: Path | None = None
    keep: int = 100_000

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("--format", self.format, ("csv", "jsonl")),
            ("--output", self.output, ("scores", "events", "both")),
            ("--on-error", self.on_error, ("skip", "fail")),
            ("--log", self.log, ("text", "json")),
            ("--missing", self.missing, (None, "skip", "ffill")),
            ("--duplicates", self.duplicates, (None, "error", "keep", "last")),
        ):
            if value not in allowed:
                known = ", ".join(text for text in allowed if text)
                raise ValueError(f"{name}: expected {known}, got {value!r}")
        if self.shadow_report is not None and self.shadow is None:
            raise ValueError("--shadow-report: expected with --shadow, whose report it is")
        if self.label is not None and self.shadow is None and self.keep_rows is None:
            raise ValueError("--label: expected with --shadow or --keep-rows, which use labels")
        if self.keep < 1:
            raise ValueError(f"--keep: expected at least 1, got {self.keep}")
        if self.max_entities is not None and self.max_entities < 1:
            raise ValueError(f"--max-entities: expected at least 1, got {self.max_entities}")
        if self.event_gap is not None and self.event_gap < 0:
            raise ValueError(f"--event-gap: expected at least 0, got {self.event_gap}")
        if self.max_memory is not None:
            as_bytes("--max-memory", self.max_memory)
        for name, port in (
            ("--listen", self.listen),
            ("--metrics", self.metrics),
            ("--page", self.page),
        ):
            if port is not None and not 0 <= port <= 65535:
                raise ValueError(f"{name}: expected a port, 0 to 65535, got {port}")
        if self.metrics_entities and self.metrics is None:
            raise ValueError("--metrics-entities: expected with --metrics")

    def stream_bytes(self) -> dict[str, int]:
        """Return `SequenceModel.stream`'s argument for the memory, if it is not the default."""
        memory = self.max_memory
        return {} if memory is None else {"max_bytes": as_bytes("--max-memory", memory)}

    def with_model(self, model: SequenceModel | LiveDetector) -> LiveOptions:
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
        for role in ("time", "entity"):
            if self.label is not None and self.label == found[role]:
                raise ValueError(f"--label and --{role} both name column {self.label!r}")
        duplicates = known.get("duplicates") if self.duplicates is None else self.duplicates
        if duplicates == "last" and found["time"] is not None:
            whose = " from the model" if self.duplicates is None else ""
            raise ValueError(
                f"--duplicates: expected error or keep, got last{whose}: a row is answered when "
                "it comes, before a later one of the same time is known. With error the first row "
                "is used and the others are reported and skipped"
            )
        self._refuse_event_columns(found, EVENT_COLUMNS)
        form = known.get("time_format")
        return replace(
            self,
            **found,
            duplicates=duplicates,
            equal_times=duplicates == "keep",
            time_format=form if isinstance(form, str) else None,
        )

    def refuse_driving_columns(self, columns: int) -> None:
        """Refuse key columns that have the name of what events say of so many columns."""
        keys = {"time": self.time, "entity": self.entity}
        self._refuse_event_columns(keys, driving_columns(columns))

    def _refuse_event_columns(
        self, keys: Mapping[str, str | None], columns: Collection[str]
    ) -> None:
        """Refuse key columns that a column of events, which stand in the same lines, would hide."""
        if self.output != "both":
            return
        for role in ("time", "entity"):
            if keys[role] in columns:
                raise ValueError(
                    f"--{role}: column {keys[role]!r} has the name of a column of events: choose "
                    "--output scores or events, or rename it"
                )
