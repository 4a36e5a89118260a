"""The Numenta Anomaly Benchmark from a local folder: one value over time per file."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from slidecell._extras import require
from slidecell.datasets.folders import existing_folder, load_named
from slidecell.datasets.labelled import LabelledSeries

if TYPE_CHECKING:
    from slidecell.tables.times import Times

__all__ = ["load_nab"]

_SHARE, _LONGEST = 0.15, 5000


@overload
def load_nab(
    folder: str | Path, file: str, *, train_share: float | None = None
) -> LabelledSeries: ...
@overload
def load_nab(
    folder: str | Path, file: None = None, *, train_share: float | None = None
) -> list[LabelledSeries]: ...
def load_nab(
    folder: str | Path, file: str | None = None, *, train_share: float | None = None
) -> LabelledSeries | list[LabelledSeries]:
    r"""Load files of the Numenta Anomaly Benchmark: rows [S, 1] with their times.

    A row is labelled if its time lies in a window of ``combined_windows.json``, both ends
    included.

    Parameters
    ----------
    folder : str or Path
        As published: ``data/<group>/<name>.csv`` (timestamp, value) and
        ``labels/combined_windows.json``.
    file : str, optional
        ``"realKnownCause/nyc_taxi.csv"``. Default: all that are there.
    train_share : float, optional
        Share of the rows, from the beginning, to train on. Default: the benchmark's own
        probation, 15 % of the first 5,000 rows (Lavin and Ahmad 2015).

    Returns
    -------
    LabelledSeries, or a list of them
        With ``train_time``, ``test_time`` and ``train_label``. Times may be irregular.

    Raises
    ------
    FileNotFoundError
        If folder or files are absent.
    ValueError
        If a file is damaged or not there; the text says which.

    Examples
    --------
    >>> import json
    >>> from pathlib import Path
    >>> from slidecell.datasets import load_nab
    >>> for name in ("data/made", "labels"):
    ...     Path("nab", name).mkdir(parents=True)
    >>> lines = [f"2024-01-01 00:{minute:02d}:00,{minute}" for minute in range(10)]
    >>> _ = Path("nab/data/made/up.csv").write_text("\n".join(["timestamp,value", *lines]))
    >>> windows = {"made/up.csv": [["2024-01-01 00:04:00", "2024-01-01 00:05:00"]]}
    >>> _ = Path("nab/labels/combined_windows.json").write_text(json.dumps(windows))
    >>> load_nab("nab", "made/up.csv", train_share=0.3).test_label
    array([0, 1, 1, 0, 0, 0, 0])
    """
    require("pandas", extra="detect")
    if train_share is not None and not 0.0 < train_share < 1.0:
        raise ValueError(f"train_share: expected between 0 and 1, got {train_share}")
    where = existing_folder(folder, "data/*/*.csv and labels/combined_windows.json")
    names = sorted(
        path.relative_to(where / "data").as_posix() for path in where.glob("data/*/*.csv")
    )
    if not names:
        raise FileNotFoundError(f"folder: expected data/*/*.csv files in {where}, got none")
    spans = _read_windows(where / "labels" / "combined_windows.json")
    load = functools.partial(_load, where, spans, train_share)
    return load_named(names, file, load, argument="file")


def _read_windows(path: Path) -> dict[str, Any]:
    try:
        spans = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got {error}") from error
    if not isinstance(spans, dict):
        raise ValueError(f"{path}: expected windows by file name, got {type(spans).__name__}")
    return spans


def _load(
    folder: Path, spans: dict[str, Any], train_share: float | None, name: str
) -> LabelledSeries:
    """Read one file and cut it in two."""
    path = folder / "data" / name
    time, values = _read_values(path)
    if name not in spans:
        raise ValueError(f"labels/combined_windows.json: expected windows of {name}, got none")
    label = np.zeros(len(time), np.int64)
    for span in spans[name]:
        first, last = _as_times(path, span)
        label[(time >= first) & (time <= last)] = 1
    if train_share is None:
        cut = int(_SHARE * min(len(time), _LONGEST))
    else:
        cut = int(train_share * len(time))
    if not 0 < cut < len(time):
        raise ValueError(f"{path}: {len(time)} rows are too few for a training and a test part")
    return LabelledSeries(
        name,
        train=values[:cut],
        test=values[cut:],
        test_label=label[cut:],
        columns=("value",),
        train_time=time[:cut],
        test_time=time[cut:],
        train_label=label[:cut],
    )


def _read_values(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """Read times [S] and values [S, 1]."""
    from slidecell.tables.files import read_frame
    from slidecell.tables.times import parse_times

    table = read_frame(path, keys=("timestamp",))
    try:
        time, values = table["timestamp"], table[["value"]].to_numpy(np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected timestamp,value lines, got {error}") from error
    return _as_dates(parse_times(time, source=str(path)), str(path)), values


def _as_times(path: Path, span: Any) -> tuple[np.datetime64, np.datetime64]:
    """Return the two ends of a labelled window."""
    import pandas as pd

    from slidecell.tables.times import parse_times

    where = "labels/combined_windows.json"
    try:
        first, last = _as_dates(parse_times(pd.Series(list(span)), source=where), where)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: expected [first, last] times for {path.name}, got {span!r}"
        ) from error
    return first, last


def _as_dates(times: Times, source: str) -> npt.NDArray[Any]:
    """Return dates as datetime64, [S]."""
    if times.kind != "date":
        raise ValueError(f"{source}: expected dates, got numbers such as {times.text(0)}")
    return times.values.view("datetime64[ns]")
