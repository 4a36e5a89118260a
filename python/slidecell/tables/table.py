"""A file of series as arrays: features, entities, times and labels, sorted, with a way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from slidecell.tables.columns import (
    feature_numbers,
    find_column,
    is_unnamed,
    parse_labels,
    split_names,
)
from slidecell.tables.files import FileKind, file_kind, read_frame
from slidecell.tables.filling import fill_forward
from slidecell.tables.times import Times, parse_gap, parse_times
from slidecell.windows import entity_offsets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Table", "TableOptions", "make_table", "read_table"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TableOptions:
    """Which columns mean what, and what to do about holes.

    Parameters
    ----------
    time, entity, label : str, optional
        Columns; none of them is ever a feature.
    features : tuple of str
        Feature columns in this order. Empty: every other column, all of which must be numeric.
    exclude : tuple of str
        Columns that are no features.
    max_gap : str, optional
        A longer step in time starts a new segment: a number, or a duration such as ``2h``.
    missing : {"skip", "ffill"}
        ``skip``: windows that touch a missing or infinite cell get no score. ``ffill``: such a
        cell takes the last value before it in its segment.
    duplicates : {"error", "keep", "last"}
        Rows of one entity with the same time: refused, all kept, or all but the last left out.
    """

    time: str | None = None
    entity: str | None = None
    label: str | None = None
    features: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_gap: str | None = None
    missing: Literal["skip", "ffill"] = "skip"
    duplicates: Literal["error", "keep", "last"] = "error"

    def __post_init__(self) -> None:
        if self.missing not in {"skip", "ffill"}:
            raise ValueError(f"--missing: expected skip or ffill, got {self.missing!r}")
        if self.duplicates not in {"error", "keep", "last"}:
            raise ValueError(f"--duplicates: expected error, keep or last, got {self.duplicates!r}")
        if self.max_gap is not None and self.time is None:
            raise ValueError("--max-gap: needs --time, the column to measure the gap in")
        roles = {"--time": self.time, "--entity": self.entity, "--label": self.label}
        seen: dict[str, str] = {}
        for name, column in roles.items():
            if column is not None and column in seen:
                raise ValueError(f"{name}: column {column!r} is already given as {seen[column]}")
            if column is not None:
                seen[column] = name


@dataclass(frozen=True)
class Table:
    """Rows of a file in order of entity and time: S rows of R in the file, F features."""

    source: str
    kind: FileKind
    keys: pd.DataFrame  # [R] rows in input order: the time and entity columns as they stand
    features: Floats  # [S, F]
    names: tuple[str, ...]  # [F]
    order: Ints  # [S]: the input row of each row
    offsets: Ints  # [G+1]: segments, cut at entities and gaps
    entities: Ints  # [S]: index into entity_names
    entity_names: tuple[str, ...]
    times: Times | None  # [S]
    labels: npt.NDArray[np.int8] | None  # [S]: 0, 1, or -1 where a file has no label column
    notes: tuple[str, ...]  # what was done to the data that a reader should know
    missing_cells: int  # missing or infinite cells of the features, before filling

    @property
    def input_rows(self) -> int:
        """Rows in the file, R."""
        return len(self.keys)

    @property
    def gaps(self) -> int:
        """Cuts inside entities."""
        return len(self.offsets) - 1 - len(self.entity_names)

    def restore(self, values: npt.NDArray[Any], fill: object) -> npt.NDArray[Any]:
        """Bring [S] values to input order, [R]; rows that were left out get ``fill``."""
        out = np.full(self.input_rows, fill, dtype=values.dtype)
        out[self.order] = values
        return out

    def summary(self) -> dict[str, Any]:
        """Return counts and names for a report."""
        found: dict[str, Any] = {
            "rows": self.input_rows,
            "rows_used": len(self.order),
            "entities": len(set(self.entity_names)),
            "gaps": self.gaps,
            "features": list(self.names),
            "missing_cells": self.missing_cells,
            "notes": list(self.notes),
        }
        if self.times is not None and len(self.order):
            first, last = int(self.times.values.argmin()), int(self.times.values.argmax())
            found["first_time"], found["last_time"] = self.times.text(first), self.times.text(last)
        if self.labels is not None:
            found["labelled_anomalous"] = int((self.labels == 1).sum())
        return found


def read_table(path: str | Path, options: TableOptions, *, label_optional: bool = False) -> Table:
    """Read a CSV or Parquet file, see `make_table`.

    With ``label_optional`` a file that lacks the label column is read without labels.

    Raises
    ------
    ValueError
        Damaged or empty file, unknown column, text among the features, duplicate times, ...
    OSError
        The file cannot be opened.
    """
    path = Path(path)
    kind = file_kind(path)
    keys = [name for name in (options.time, options.entity) if name is not None]
    frame = read_frame(path, keys=keys)
    if label_optional and options.label not in [str(name) for name in frame.columns]:
        options = replace(options, label=None)
    return make_table(frame, options, source=str(path), kind=kind)


def make_table(
    frame: pd.DataFrame,
    options: TableOptions,
    *,
    source: str = "the table",
    kind: FileKind = "csv",
) -> Table:
    """Turn a DataFrame of R rows into a `Table`.

    Rows are sorted stably by entity (in order of first appearance) and time; without a time
    column the order of the file is the order in time. ``order`` leads back.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell.tables.table import TableOptions, make_table
    >>> frame = pd.DataFrame({"t": [2, 1, 1], "id": ["b", "b", "a"], "x": [2.0, 1.0, 0.0]})
    >>> table = make_table(frame, TableOptions(time="t", entity="id"))
    >>> table.features[:, 0].tolist(), table.offsets.tolist(), table.order.tolist()
    ([1.0, 2.0, 0.0], [0, 2, 3], [1, 0, 2])
    """
    roles = {"time": options.time, "entity": options.entity, "label": options.label}
    for role, name in roles.items():
        if name is not None:
            find_column(frame, name, flag=f"--{role}", source=source)
    notes: list[str] = []
    names = _feature_names(frame, options, source, notes)
    columns = [feature_numbers(frame[name], source=source) for name in names]
    times = None if options.time is None else parse_times(frame[options.time], source=source)
    codes, entity_names = _entities(frame, options, source)
    order = _order(codes, times, notes)
    if times is not None:
        order = _settle_duplicates(order, codes, times, options, notes, source=source)
    features = np.stack(columns, axis=1)[order]
    missing = ~np.isfinite(features)
    features[missing] = np.nan  # infinity is a missing value too
    codes = codes[order]
    times = None if times is None else times.take(order)
    offsets = _segments(codes, times, options)
    if options.missing == "ffill" and missing.any():
        fill_forward(features, offsets)
    labels = None
    if options.label is not None:
        labels = parse_labels(frame[options.label], source=source)[order]
    keys = [name for name in map(str, frame.columns) if name in {options.time, options.entity}]
    return Table(
        source=source,
        kind=kind,
        keys=frame[keys],
        features=features,
        names=names,
        order=order,
        offsets=offsets,
        entities=codes,
        entity_names=entity_names,
        times=times,
        labels=labels,
        notes=tuple(notes),
        missing_cells=int(missing.sum()),
    )


def join_tables(first: Table, second: Table) -> Table:
    """Append a table's rows to another's, as entities of their own: windows never cross.

    Input rows of the second follow those of the first.
    """
    import pandas as pd

    if first.kind != second.kind:
        raise ValueError(
            f"{second.source}: expected a {first.kind} file, as {first.source} is one, "
            f"got {second.kind}"
        )
    times = first.times
    if first.times is not None and second.times is not None:
        if first.times.kind != second.times.kind:
            raise ValueError(
                f"{second.source}: its time column holds {second.times.kind}s, "
                f"that of {first.source} {first.times.kind}s"
            )
        values = np.concatenate([first.times.values, second.times.values])
        times = Times(values, first.times.kind)
    labels = None
    if first.labels is not None or second.labels is not None:
        unknown = [np.full(len(table.order), -1, np.int8) for table in (first, second)]
        parts = zip((first.labels, second.labels), unknown, strict=True)
        labels = np.concatenate([none if given is None else given for given, none in parts])
    return replace(
        first,
        keys=pd.concat([first.keys, second.keys], ignore_index=True),
        features=np.concatenate([first.features, second.features]),
        order=np.concatenate([first.order, second.order + first.input_rows]),
        offsets=np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        entities=np.concatenate([first.entities, second.entities + len(first.entity_names)]),
        entity_names=first.entity_names + second.entity_names,
        times=times,
        labels=labels,
        notes=first.notes + tuple(f"{second.source}: {note}" for note in second.notes),
        missing_cells=first.missing_cells + second.missing_cells,
    )


def with_features(options: TableOptions, names: tuple[str, ...]) -> TableOptions:
    """Ask for exactly these features, as a second file or a saved model needs them."""
    return replace(options, features=names, exclude=())


def _feature_names(
    frame: pd.DataFrame, options: TableOptions, source: str, notes: list[str]
) -> tuple[str, ...]:
    columns = [str(column) for column in frame.columns]
    exclude = split_names(options.exclude, columns)
    for name in exclude:
        find_column(frame, name, flag="--exclude", source=source)
    roles = {options.time: "--time", options.entity: "--entity", options.label: "--label"}
    if options.features:
        asked = split_names(options.features, columns)
        for name in asked:
            find_column(frame, name, flag="--features", source=source)
            if name in roles:
                raise ValueError(
                    f"--features: column {name!r} is given as {roles[name]} and can be no feature"
                )
        names = [name for name in asked if name not in exclude]
    else:
        names = [name for name in columns if name not in roles and name not in exclude]
        unnamed = [name for name in names if is_unnamed(name)]
        if unnamed:
            notes.append(
                f"{len(unnamed)} column(s) without a name (a saved row index?) left out; "
                f"--features {unnamed[0]!r} would use it"
            )
        names = [name for name in names if name not in unnamed]
    if not names:
        raise ValueError(f"{source}: no feature column left; it has: {', '.join(columns)}")
    return tuple(names)


def _entities(
    frame: pd.DataFrame, options: TableOptions, source: str
) -> tuple[Ints, tuple[str, ...]]:
    """Return an integer per row [R] and the entities' names, in order of first appearance."""
    import pandas as pd

    if options.entity is None:
        return np.zeros(len(frame), np.int64), ("",)
    column = frame[options.entity]
    empty = np.flatnonzero(column.isna().to_numpy())
    if len(empty):
        raise ValueError(
            f"{source}: entity column {options.entity!r}: {len(empty)} empty, "
            f"the first in data row {empty[0] + 1}"
        )
    codes, unique = pd.factorize(column)
    return codes.astype(np.int64), tuple(map(str, unique))


def _order(codes: Ints, times: Times | None, notes: list[str]) -> Ints:
    """Sort rows stably by entity and time: the input rows in their new order, [R]."""
    if times is None:
        return np.argsort(codes, kind="stable").astype(np.int64)
    order = np.lexsort((times.values, codes)).astype(np.int64)
    same_entity = codes[order][1:] == codes[order][:-1]
    if (np.diff(order)[same_entity] < 0).any():
        notes.append("rows were not in order of time; they were sorted for scoring")
    return order


def _settle_duplicates(
    order: Ints,
    codes: Ints,
    times: Times,
    options: TableOptions,
    notes: list[str],
    *,
    source: str,
) -> Ints:
    """Apply ``options.duplicates`` to sorted rows: the input rows to use, [S]."""
    sorted_times, sorted_codes = times.values[order], codes[order]
    repeated = (sorted_codes[1:] == sorted_codes[:-1]) & (sorted_times[1:] == sorted_times[:-1])
    count = int(repeated.sum())
    if count == 0 or options.duplicates == "keep":
        return order
    if options.duplicates == "last":
        notes.append(f"{count} row(s) with a later duplicate of the same time left out")
        kept: Ints = order[np.append(~repeated, True)]
        return kept
    first, second = order[int(np.flatnonzero(repeated)[0]) :][:2].tolist()
    one_series = "" if options.entity else "; several series in one file need --entity COLUMN"
    raise ValueError(
        f"{source}: time column {options.time!r}: {count} duplicate time(s), data rows "
        f"{first + 1} and {second + 1} share {times.text(first)}: choose --duplicates keep "
        f"or --duplicates last{one_series}"
    )


def _segments(codes: Ints, times: Times | None, options: TableOptions) -> Ints:
    if times is None or options.max_gap is None:
        return np.asarray(entity_offsets(codes), np.int64)
    gap = parse_gap(options.max_gap, times)
    return np.asarray(entity_offsets(codes, time=times.values, max_gap=gap), np.int64)
