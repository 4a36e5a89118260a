"""The last rows of a live run, and the drift advisory, in a folder that retraining reads."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from slidecell._whole_files import replacing
from slidecell.live.observers import Observer, ScoredBlock

if TYPE_CHECKING:
    from slidecell.detect.drift import Advisory
    from slidecell.live.rows import Row

__all__ = ["KeptAdvisory", "RowLog", "kept_rows", "read_advisory"]

_ADVISORY = "advisory.json"
_FILES = 8  # that hold the rows to be kept; the oldest one goes as a whole


@dataclass(frozen=True)
class KeptAdvisory:
    """The advisory of a run, as its folder has it.

    Attributes
    ----------
    advice : str
    text : str
        The advisory in words.
    rows : int
        Rows of the run then.
    since : int or None
        After how many of them it was fine no more.
    run : float
        When the run began, in seconds since 1970, or the first one of those that went on from each
        other: other runs have other advisories.
    """

    advice: str
    text: str
    rows: int
    since: int | None
    run: float

    @property
    def key(self) -> list[Any]:
        """What tells one spell of drift from another."""
        return [self.run, self.since]


class RowLog(Observer):
    """Keeps the last rows as they came, in files of CSV, and the advisory beside them.

    Parameters
    ----------
    folder : Path
        Made if it is not there. Only files that this class has named are removed.
    keys : sequence of str
        The columns of time and entity, as far as there are some.
    features : sequence of str
    label : str, optional
    keep : int
        Rows that are kept at least, once they came.
    advisory : callable, optional
        Returns the advisory that holds.
    began : float, optional
        When its rows began, in seconds since 1970. Default: now.

    Raises
    ------
    OSError
        If the folder cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from slidecell.live.formats import Row
    >>> from slidecell.live.row_log import RowLog, kept_rows
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> log = RowLog(folder, keys=["t"], features=["heat"])
    >>> log.missed(Row("", "8:00", [], ["8:00"]))
    >>> log.close()
    >>> kept_rows(folder)
    (['t', 'heat'], [['8:00', '']])
    """

    name = "the log of rows"
    in_order = False

    def __init__(
        self,
        folder: Path,
        *,
        keys: Sequence[str],
        features: Sequence[str],
        label: str | None = None,
        keep: int = 100_000,
        advisory: Callable[[], Advisory] | None = None,
        began: float | None = None,
    ) -> None:
        self._folder, self._advisory = folder, advisory
        self._header = [*keys, *features, *([] if label is None else [label])]
        self._empty = [""] * len(features)
        self._label = label is not None
        self._most = max(-(-keep // _FILES), 1)
        self._started = time.time() if began is None else began
        self._said: tuple[Any, ...] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = self._open()
        except OSError as error:
            raise OSError(f"--keep-rows {folder}: {error.strerror or error}") from error

    def scored(self, rows: ScoredBlock) -> None:
        """Keep rows as they came."""
        block = rows.rows
        with self._closed_on_error():
            for place, row in enumerate(block.values.tolist()):
                values = ["" if v != v else repr(v) for v in row]  # noqa: PLR0124
                label = math.nan if block.labels is None else block.labels[place]
                self._add([column[place] for column in block.keys], values, label)

    def missed(self, row: Row) -> None:
        """Keep a row without values, if it is known whose and when."""
        if len(row.keys) == len(self._header) - len(self._empty) - self._label:
            with self._closed_on_error():
                self._add(row.keys, self._empty, math.nan)

    def attend(self) -> None:
        """Give the rows to the system, and write the advisory if it has changed."""
        with self._closed_on_error():
            self._file.flush()
            if self._advisory is not None:
                self._write_advisory(self._advisory())

    def _write_advisory(self, found: Advisory) -> None:
        told = (sorted(found.columns), sorted(map(str, found.entities)))
        now = (found.advice, found.since, told)
        if now == self._said:
            return
        facts = {
            "advice": found.advice,
            "text": str(found),
            "columns": list(found.columns),
            "entities": list(map(str, found.entities)),
            "rows": found.rows,
            "since": found.since,
            "run": self._started,
        }
        with replacing(self._folder / _ADVISORY) as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        self._said = now

    def close(self) -> None:
        """Write what is left."""
        self.attend()
        self._file.close()

    @contextlib.contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        """Leave no file open: the run goes on without this log."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(OSError):
                self._file.close()
            raise

    def _add(self, keys: Sequence[Any], values: list[str], label: float) -> None:
        if self._count == self._most:
            self._file.close()
            self._file = self._open()
        told = [] if not self._label else ["" if math.isnan(label) else str(int(label))]
        self._writer.writerow([*keys, *values, *told])
        self._count += 1

    def _open(self) -> IO[str]:
        """Begin a file, and remove the oldest ones."""
        files = _files(self._folder)
        number = int(files[-1].stem.rpartition("-")[2]) + 1 if files else 1
        for path in files[: max(len(files) - _FILES, 0)]:
            path.unlink(missing_ok=True)
        file = (self._folder / f"rows-{number:08d}.csv").open("x", encoding="utf-8", newline="")
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(self._header)
        self._count = 0
        return file


def read_advisory(folder: Path) -> KeptAdvisory | None:
    """Return the advisory of the run whose rows a folder keeps; None before there is one.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is damaged.
    """
    file = folder / _ADVISORY
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        since = found["since"]
        return KeptAdvisory(
            str(found["advice"]),
            str(found["text"]),
            int(found["rows"]),
            None if since is None else int(since),
            float(found["run"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: not an advisory, or damaged: {error!r}") from None


def kept_rows(folder: Path, most: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns, and the cells of the last rows.

    Files of other columns than those of the last file are left out, and a row that is not all
    written yet.

    Parameters
    ----------
    folder : Path
        Of a `RowLog`.
    most : int, optional
        Rows, the newest ones. Default: all.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If there is none.
    """
    files = _files(folder)
    if not files:
        raise ValueError(
            f"{folder}: expected a folder in which 'slidecell stream --keep-rows' keeps rows, got "
            + ("one without rows" if folder.is_dir() else "no folder")
        )
    header: list[str] = []
    parts: list[list[list[str]]] = []
    for path in reversed(files):
        text = path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        names, *rows = list(csv.reader(io.StringIO(whole, newline=""))) or [[]]
        header = header or names
        if names == header:
            parts.insert(0, [row for row in rows if len(row) == len(header)])
        if most is not None and sum(map(len, parts)) >= most:
            break
    found = [row for part in parts for row in part]
    return header, found if most is None else found[max(len(found) - most, 0) :]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("rows-????????.csv"))
