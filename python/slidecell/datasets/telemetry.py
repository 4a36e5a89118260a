"""SMAP and MSL, SMD, ASD: telemetry of spacecraft and servers from a local folder."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path
from typing import overload

import numpy as np

from slidecell.datasets.folders import (
    Array,
    existing_folder,
    labelled_series,
    load_named,
    read_npy,
    read_npz,
    read_text,
)
from slidecell.datasets.labelled import LabelledSeries

__all__ = ["load_asd", "load_smap_msl", "load_smd"]

# Published without labels: to score it as if nothing in it were anomalous would be wrong.
_UNLABELLED = "T-10"


@overload
def load_smap_msl(folder: str | Path, channel: str) -> LabelledSeries: ...
@overload
def load_smap_msl(folder: str | Path, channel: None = None) -> list[LabelledSeries]: ...
def load_smap_msl(
    folder: str | Path, channel: str | None = None
) -> LabelledSeries | list[LabelledSeries]:
    """Load NASA's SMAP (25 columns) and MSL (55 columns) telemetry channels.

    Column 0 is the telemetry value, the others are commands.

    Parameters
    ----------
    folder : str or Path
        With ``channels/A-1.npz`` (arrays ``train``, ``test``, ``test_label``), or as published:
        ``train/A-1.npy``, ``test/A-1.npy`` and ``labeled_anomalies.csv``.
    channel : str, optional
        Default: all channels in the folder but T-10, which has no labels.

    Returns
    -------
    LabelledSeries, or a list of them

    Raises
    ------
    FileNotFoundError
        If folder or files are absent.
    ValueError
        If a file is damaged, or the channel is not there or T-10; the text says which.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from slidecell.datasets import load_smap_msl
    >>> Path("smap/channels").mkdir(parents=True)
    >>> rows, label = np.zeros((5, 25)), np.array([0, 0, 1, 1, 0])
    >>> np.savez("smap/channels/A-1.npz", train=rows, test=rows, test_label=label)
    >>> load_smap_msl("smap", "A-1").test.shape
    (5, 25)
    """
    if channel == _UNLABELLED:
        raise ValueError(f"channel: {_UNLABELLED} has no labels, choose another one")
    where = existing_folder(folder, "channels/*.npz, or train/*.npy and test/*.npy")
    if (where / "channels").is_dir():
        names = _stems(where / "channels", ".npz")
        load = functools.partial(_load_archive, where / "channels")
    else:
        names = _stems(where / "test", ".npy")
        load = functools.partial(_load_published_channel, where)
    names = [name for name in names if name != _UNLABELLED]
    return load_named(names, channel, load, argument="channel")


@overload
def load_smd(folder: str | Path, machine: str) -> LabelledSeries: ...
@overload
def load_smd(folder: str | Path, machine: None = None) -> list[LabelledSeries]: ...
def load_smd(
    folder: str | Path, machine: str | None = None
) -> LabelledSeries | list[LabelledSeries]:
    """Load machines of the Server Machine Dataset (38 columns).

    Parameters
    ----------
    folder : str or Path
        With ``machine-1-1.npz`` (arrays ``train``, ``test``, ``test_label``), or as published:
        ``train/machine-1-1.txt``, ``test/...`` and ``test_label/...``.
    machine : str, optional
        Default: all that are there.

    Returns
    -------
    LabelledSeries, or a list of them

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_smap_msl`.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from slidecell.datasets import load_smd
    >>> Path("smd").mkdir()
    >>> rows, label = np.zeros((5, 38)), np.array([0, 0, 1, 1, 0])
    >>> np.savez("smd/machine-1-6.npz", train=rows, test=rows, test_label=label)
    >>> [series.name for series in load_smd("smd")]
    ['machine-1-6']
    """
    where = existing_folder(folder, "machine-*.npz, or train/*.txt, test/*.txt, test_label/*.txt")
    if (where / "test_label").is_dir():
        names = _stems(where / "test_label", ".txt")
        return load_named(
            names, machine, functools.partial(_load_published_machine, where), argument="machine"
        )
    names = _stems(where, ".npz")
    return load_named(names, machine, functools.partial(_load_archive, where), argument="machine")


@overload
def load_asd(folder: str | Path, server: str) -> LabelledSeries: ...
@overload
def load_asd(folder: str | Path, server: None = None) -> list[LabelledSeries]: ...
def load_asd(
    folder: str | Path, server: str | None = None
) -> LabelledSeries | list[LabelledSeries]:
    """Load servers of the Application Server Dataset (19 columns).

    Parameters
    ----------
    folder : str or Path
        With ``omi-1.npz`` (arrays ``train``, ``test``, ``test_label``). The published pickles are
        not read: a pickle runs what it likes.
    server : str, optional
        Default: all that are there.

    Returns
    -------
    LabelledSeries, or a list of them

    Raises
    ------
    FileNotFoundError, ValueError
        As `load_smap_msl`.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from slidecell.datasets import load_asd
    >>> Path("asd").mkdir()
    >>> rows, label = np.zeros((5, 19)), np.array([0, 0, 1, 1, 0])
    >>> np.savez("asd/omi-1.npz", train=rows, test=rows, test_label=label)
    >>> load_asd("asd", "omi-1").prevalence
    0.4
    """
    where = existing_folder(folder, "omi-*.npz")
    load = functools.partial(_load_archive, where)
    return load_named(_stems(where, ".npz"), server, load, argument="server")


def _stems(folder: Path, suffix: str) -> list[str]:
    """Names of the files with a suffix, A-2 before A-10."""
    names = [path.stem for path in folder.glob(f"*{suffix}")] if folder.is_dir() else []
    if not names:
        raise FileNotFoundError(f"folder: expected *{suffix} files in {folder}, got none")
    return sorted(names, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split("-")]


def _load_archive(folder: Path, name: str) -> LabelledSeries:
    """Read ``name.npz`` with train, test and test_label."""
    path = folder / f"{name}.npz"
    arrays = read_npz(path)
    expected = ("train", "test", "test_label")
    if missing := [key for key in expected if key not in arrays]:
        raise ValueError(
            f"{path}: expected the arrays {', '.join(expected)}, got no {', '.join(missing)}"
        )
    return labelled_series(path, name, **{key: arrays[key] for key in expected})


def _load_published_machine(folder: Path, name: str) -> LabelledSeries:
    """Read the three text files of one machine."""
    train, test, label = (
        read_text(folder / part / f"{name}.txt") for part in ("train", "test", "test_label")
    )
    path = folder / "test_label" / f"{name}.txt"
    return labelled_series(path, name, train=train, test=test, test_label=label.reshape(-1))


def _load_published_channel(folder: Path, name: str) -> LabelledSeries:
    """Read the two arrays of one channel and its labelled spans."""
    table = folder / "labeled_anomalies.csv"
    train, test = (read_npy(folder / part / f"{name}.npy") for part in ("train", "test"))
    label = _span_labels(table, name, len(test))
    path = folder / "test" / f"{name}.npy"
    return labelled_series(path, name, train=train, test=test, test_label=label)


def _span_labels(table: Path, name: str, rows: int) -> Array:
    """Labels [rows] of one channel from the table of spans, whose last rows are inclusive."""
    label = np.zeros(rows, np.int64)
    with table.open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line.get("chan_id") == name]
    if not lines:
        raise ValueError(f"{table}: expected a line for channel {name}, got none")
    for line in lines:
        try:
            spans = json.loads(line["anomaly_sequences"])
            for first, last in spans:
                label[int(first) : int(last) + 1] = 1
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{table}: channel {name}: expected anomaly_sequences as [[first, last], ...], "
                f"got {line.get('anomaly_sequences')!r}"
            ) from error
    return label
