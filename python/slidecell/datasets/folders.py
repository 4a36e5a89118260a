"""Read labelled series from a local folder; an error names the file that is absent or damaged."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._regular_files import open_regular
from slidecell.datasets.labelled import LabelledSeries

Array = npt.NDArray[Any]

_NAMED = 4  # of the columns that a file lacks

_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, MemoryError)


def existing_folder(folder: str | Path, what: str) -> Path:
    """Return the folder as a path, or raise FileNotFoundError that says what was expected in it.

    Examples
    --------
    >>> from slidecell.datasets.folders import existing_folder
    >>> existing_folder(".", "channels/*.npz").is_dir()
    True
    """
    path = Path(folder)
    if not path.is_dir():
        found = "a file" if path.exists() else "not there"
        raise FileNotFoundError(f"folder: expected a folder with {what}, got {path}: {found}")
    return path


def check_columns(
    file: Path, given: Iterable[object], needed: Sequence[str], expected: str
) -> None:
    """Raise ValueError that names the file and the columns that it lacks, the first ones of many.

    Examples
    --------
    >>> from pathlib import Path
    >>> from slidecell.datasets.folders import check_columns
    >>> check_columns(Path("a.csv"), ["day", "load"], ["day", "heat"], "day, heat")
    Traceback (most recent call last):
        ...
    ValueError: a.csv: expected the columns day, heat, but heat is missing
    """
    there = set(given)
    missing = [name for name in needed if name not in there]
    if missing:
        more = len(missing) - _NAMED
        listed = ", ".join(missing[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        verb = "is" if len(missing) == 1 else "are"
        raise ValueError(f"{file}: expected the columns {expected}, but {listed} {verb} missing")


def load_named(
    names: list[str], name: str | None, load: Callable[[str], LabelledSeries], *, argument: str
) -> LabelledSeries | list[LabelledSeries]:
    """Load the one that is asked for, or all; a name that is not there is a ValueError.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets import LabelledSeries
    >>> from slidecell.datasets.folders import load_named
    >>> def load(name):
    ...     return LabelledSeries(name, np.zeros((2, 1)), np.zeros((1, 1)), np.zeros(1, int))
    >>> load_named(["a", "b"], "b", load, argument="channel").name
    'b'
    """
    if name is None:
        return [load(each) for each in names]
    if name not in names:
        known = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        raise ValueError(f"{argument}: expected one of {known}, got {name!r}")
    return load(name)


def read_npz(path: Path) -> dict[str, Array]:
    """Read all arrays of a ``.npz`` file without pickles.

    Raises
    ------
    ValueError
        If the file is damaged or holds anything but plain arrays.
    OSError
        If it cannot be read.
    """
    try:
        # Opened here: numpy leaves the file open where it turns out not to be an archive.
        with open_regular(path) as stream:
            arrays = np.load(stream, allow_pickle=False)
            if isinstance(arrays, np.ndarray):
                raise ValueError("one array without a name")
            with arrays:
                return {name: arrays[name] for name in arrays}
    except _DAMAGED as error:
        raise ValueError(f"{path}: expected a .npz file of plain arrays, got {error}") from error


def read_npy(path: Path) -> Array:
    """Read the one array of a ``.npy`` file without pickles; errors as `read_npz`."""
    try:
        with open_regular(path) as stream:
            array = np.load(stream, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("several arrays")
        return array
    except _DAMAGED as error:
        raise ValueError(f"{path}: expected a .npy file of one array, got {error}") from error


def read_text(path: Path) -> Array:
    """Read comma-separated numbers, [S, F]; errors as `read_npz`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # it warns where there are no lines
            with open_regular(path) as stream:
                return np.loadtxt(stream, delimiter=",", ndmin=2)
    except (ValueError, UserWarning) as error:
        raise ValueError(f"{path}: expected comma-separated numbers: {error}") from error


def labelled_series(
    path: Path, name: str, *, train: Array, test: Array, test_label: Array
) -> LabelledSeries:
    """Check shapes and labels and put the parts together; errors name the file.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from slidecell.datasets.folders import labelled_series
    >>> rows, label = np.zeros((4, 3)), np.array([0, 1, 1, 0])
    >>> labelled_series(Path("a.npz"), "a", train=rows, test=rows, test_label=label).test_label
    array([0, 1, 1, 0])
    """
    for part, array in (("train", train), ("test", test)):
        if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "biuf":
            raise ValueError(
                f"{path}: {part}: expected numbers [S, F] with S, F >= 1, "
                f"got {list(array.shape)} of dtype {array.dtype}"
            )
    if train.shape[1] != test.shape[1]:
        raise ValueError(
            f"{path}: expected as many columns in train as in test, "
            f"got {train.shape[1]} and {test.shape[1]}"
        )
    return LabelledSeries(name, train, test, as_labels(path, test_label, len(test)))


def as_labels(path: Path, label: Array, rows: int) -> npt.NDArray[np.int64]:
    """Return labels [rows] of 0 and 1 as int64, or raise ValueError that names the file.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from slidecell.datasets.folders import as_labels
    >>> as_labels(Path("a.npz"), np.array([False, True]), 2)
    array([0, 1])
    """
    if label.shape != (rows,):
        raise ValueError(f"{path}: labels: expected [{rows}], one per row, got {list(label.shape)}")
    if label.dtype.kind not in "biuf" or not np.isin(label, (0, 1)).all():
        raise ValueError(f"{path}: labels: expected 0 and 1, got other values")
    return label.astype(np.int64)
