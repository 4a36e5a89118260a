"""The labelled series that are judged: local folders of published sets, and TSB-AD's CSV files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from slidecell import datasets
from slidecell.datasets import LabelledSeries
from slidecell.datasets.folders import as_labels, check_columns, existing_folder
from slidecell.tables.files import read_frame

LABEL = "Label"
FORMATS = ("slidecell", "tsb")

# The number of training rows in a name such as 001_NAB_id_1_Facility_tr_1007_1st_2014.csv.
_TRAINING = re.compile(r"_tr_([^_.]*)(?=[_.])")

_LISTED = 12  # names in an error


@dataclass(frozen=True)
class TsbFile:
    """A CSV file of TSB-AD, read only where it is judged: there are hundreds."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without ``.csv``."""
        return self.path.stem

    @property
    def set(self) -> str:
        """The data set: what stands after the number in the name, or TSB."""
        parts = self.name.split("_")
        return parts[1] if len(parts) > 1 and parts[0].isdecimal() else "TSB"

    def training_rows(self) -> int:
        """Return the training length that the name states."""
        found = _TRAINING.findall(self.path.name)
        if not found or not found[-1].isdecimal() or int(found[-1]) < 1:
            raise ValueError(
                f"{self.path.name}: expected the training length in the name, as in "
                f"_tr_1007_, got {found[-1] if found else 'none'}"
            )
        return int(found[-1])

    def read(self) -> LabelledSeries:
        """Return the training rows, and as the test part all rows: TSB-AD judges all of them."""
        training = self.training_rows()
        frame = read_frame(self.path)
        check_columns(self.path, frame.columns, [LABEL], f"of values, and {LABEL}")
        columns = [name for name in frame.columns if name != LABEL]
        if not columns:
            raise ValueError(f"{self.path}: expected columns of values beside {LABEL}, got none")
        if training >= len(frame):
            raise ValueError(
                f"{self.path}: expected a training length below its {len(frame)} rows, "
                f"got {training} in the name"
            )
        try:
            values = frame[columns].to_numpy(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{self.path}: expected numbers, got {error}") from error
        label = as_labels(self.path, frame[LABEL].to_numpy(), len(frame))
        return LabelledSeries(
            self.name, values[:training], values, label, columns=tuple(map(str, columns))
        )


@dataclass(frozen=True)
class Listed:
    """A series, the set whose mean it counts in, and its names in a list of series."""

    set: str
    names: tuple[str, ...]  # the first one is whole
    series: LabelledSeries | TsbFile


def slidecell_series(folder: Path, nab_train: float | None = None) -> Iterator[Listed]:
    """Yield all series of the folders smap_msl, smd, asd and nab that are there.

    The training part of a file of NAB is that of `load_nab`, or the given share of its rows.
    """
    existing_folder(folder, "smap_msl, smd, asd, nab")
    loaders: tuple[tuple[str, Callable[[Path], list[LabelledSeries]]], ...] = (
        ("smap_msl", datasets.load_smap_msl),
        ("smd", datasets.load_smd),
        ("asd", datasets.load_asd),
        ("nab", lambda nab: datasets.load_nab(nab, train_share=nab_train)),
    )
    for name, load in loaders:
        if (folder / name).is_dir():
            for series in load(folder / name):
                title = name.upper()
                if name == "smap_msl":  # SMAP's channels have 25 columns, MSL's 55
                    title = "SMAP" if series.test.shape[1] == 25 else "MSL"
                yield Listed(title, _names(name, series.name), series)


def _names(folder: str, name: str) -> tuple[str, ...]:
    """Return ``nab/group/file`` and ``nab/file``; one name where there is no group."""
    whole = f"{folder}/{name.removesuffix('.csv')}"
    return tuple(dict.fromkeys((whole, f"{folder}/{PurePosixPath(whole).name}")))


def tsb_series(folder: Path) -> Iterator[Listed]:
    """Yield all CSV files of the folder."""
    for path in sorted(existing_folder(folder, "TSB-AD's CSV files").glob("*.csv")):
        file = TsbFile(path)
        yield Listed(file.set, (file.name, path.name), file)


def chosen(listed: Sequence[Listed], file: Path) -> list[Listed]:
    """Return the series that the file names, one a line, in its order.

    Blank lines and what follows ``#`` do not count.

    Raises
    ------
    ValueError
        If a name is not there, is that of several series, or comes twice; if there is none.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"--series: {file}: expected a text file of names, got {error}") from error
    by_name: dict[str, list[Listed]] = {}
    for one in listed:
        for name in one.names:
            by_name.setdefault(name, []).append(one)
    wanted = [line for line in lines if line]
    if not wanted:
        raise ValueError(f"--series: {file}: expected names of series, one a line, got none")
    if unknown := [name for name in wanted if name not in by_name]:
        known = _few([one.names[0] for one in listed]) or "no series"
        raise ValueError(f"--series: {file}: not there: {_few(unknown)}; the folder holds {known}")
    found: list[Listed] = []
    for name in wanted:
        same = by_name[name]
        if len(same) > 1:
            whole = ", ".join(one.names[0] for one in same)
            raise ValueError(f"--series: {file}: {name} may be each of {whole}")
        if any(one is same[0] for one in found):
            raise ValueError(f"--series: {file}: {name} comes twice")
        found.append(same[0])
    return found


def _few(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
