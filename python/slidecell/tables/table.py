"""Files of series as rows: features, entities, times and labels, in order, with a way back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from slidecell.tables.columns import (
    feature_numbers,
    find_column,
    flag,
    is_unnamed,
    parse_labels,
    split_names,
)
from slidecell.tables.files import FileKind, file_kind, read_file
from slidecell.tables.header import counted_names
from slidecell.tables.options import TableOptions
from slidecell.tables.row_error import RowError
from slidecell.tables.rows import Floats, Ints, Rows
from slidecell.tables.sorting import sort_rows
from slidecell.tables.source import Source
from slidecell.tables.times import join_times
from slidecell.tables.unasked import column_notes, gap_notes

if TYPE_CHECKING:
    import pandas as pd

    from slidecell.tables.files import FileFrame

__all__ = ["join_tables", "make_table", "read_table"]

_LISTED = 20  # columns that are no features, in one error


def read_table(
    path: str | Path,
    options: TableOptions,
    *,
    label_optional: bool = False,
    features_of: str = "--features",
) -> Rows:
    """Read a CSV or Parquet file, see `make_table`. The path ``-`` is standard input.

    With ``label_optional`` a file that lacks the label column is read without labels.
    ``features_of`` is what an error blames where a feature column is absent.

    Raises
    ------
    ValueError
        Damaged or empty file, unknown column, text among the features, duplicate times, ...
    OSError
        The file cannot be opened.
    """
    file = Source.of(path, max_bytes=options.max_bytes)
    kind = file_kind(file)
    keys = [str(name) for name in (options.time, options.entity) if name is not None]
    roles = [options.time, options.entity, options.label]
    asked = [str(name) for name in (*options.features, *roles) if name is not None]
    found = read_file(
        file,
        keys=keys,
        asked=asked if options.features else (),
        max_bytes=options.max_bytes,
    )
    frame = found.frame
    if label_optional and options.label not in [str(name) for name in frame.columns]:
        options = replace(options, label=None)
    try:
        rows = make_table(frame, options, source=str(file), kind=kind, features_of=features_of)
    except RowError as error:
        if found.lines is None:
            raise
        raise error.with_lines(found.lines) from error
    return replace(rows, notes=(*rows.notes, *_notes_of_reading(found, kind)))


def _notes_of_reading(found: FileFrame, kind: FileKind) -> list[str]:
    """Return what a reader should know of how a file was read."""
    notes = []
    names = [str(name) for name in found.frame.columns]
    cells = ["" if is_unnamed(name) else name for name in names]
    if kind == "csv" and counted_names(cells):
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        notes.append(f"the first line was read as the names of the columns: {shown}")
    if found.blank_lines:
        notes.append(
            f"{found.blank_lines} blank line(s) were left out: nobody knows whose row or which "
            "time they are, and windows reach across them"
        )
    return notes


def make_table(
    frame: pd.DataFrame,
    options: TableOptions,
    *,
    source: str = "the table",
    kind: FileKind = "csv",
    features_of: str = "--features",
) -> Rows:
    """Turn a DataFrame of R rows into a `Rows`.

    They are sorted stably by entity (in the order of the keys) and time; without a time column an
    index of dates says the order, or else the order of the file is the order in time. ``order``
    leads back.

    Examples
    --------
    >>> import pandas as pd
    >>> from slidecell.tables.options import TableOptions
    >>> from slidecell.tables.table import make_table
    >>> frame = pd.DataFrame({"t": [2, 1, 1], "id": ["b", "b", "a"], "x": [2.0, 1.0, 0.0]})
    >>> table = make_table(frame, TableOptions(time="t", entity="id"))
    >>> table.features[:, 0].tolist(), table.offsets.tolist(), table.order.tolist()
    ([0.0, 1.0, 2.0], [0, 1, 3], [2, 1, 0])
    """
    if options.label is not None:
        find_column(frame, options.label, flag="--label", source=source)
    order = sort_rows(frame, options, source=source, prefix="--")
    notes: list[str] = []
    names = _feature_names(frame, options, source, notes, features_of)
    may_exclude = features_of == "--features"
    columns = _feature_columns(frame, names, source=source, may_exclude=may_exclude)
    if may_exclude and not options.features:  # nobody has chosen them
        notes += column_notes(columns, names, has_label=options.label is not None)
    if order.times is not None and options.max_gap is None:
        notes += gap_notes(order.times, order.offsets, named=options.time is not None)
    features = np.stack(columns, axis=1)[order.rows]
    missing = ~np.isfinite(features)
    features[missing] = np.nan  # infinity is a missing value too
    labels = None
    if options.label is not None:
        given = frame[options.label]
        blank = frame.isna().all(axis=1).to_numpy() if given.isna().any() else None
        labels = parse_labels(given, source=source, blank=blank)[order.rows]
    keys = [name for name in map(str, frame.columns) if name in {options.time, options.entity}]
    rows = Rows(
        features,
        order.offsets,
        order.rows,
        names,
        order.entities,
        order.entity_names,
        order.times,
        labels,
        keys=frame[keys],
        input_rows=len(frame),
        missing_cells=int(missing.sum()),
        missing_rows=int(missing.all(axis=1).sum()),
        notes=(*notes, *order.notes),
        source=source,
        kind=kind,
        options=options.read_from(order.times),
    )
    return rows.filled() if options.missing == "ffill" else rows


def join_tables(first: Rows, second: Rows) -> Rows:
    """Append the rows of one file to another's, as entities of their own: windows never cross.

    Input rows of the second follow those of the first.
    """
    import pandas as pd

    if first.kind != second.kind:
        raise ValueError(
            f"{second.source}: expected a {first.kind} file, as {first.source} is one, "
            f"got {second.kind}"
        )
    times = None
    if first.times is not None and second.times is not None:
        times = join_times(
            first.times, second.times, source=second.source, first_source=first.source
        )
    labels = None
    if first.labels is not None or second.labels is not None:
        unknown = [np.full(len(table), -1, np.int8) for table in (first, second)]
        parts = zip((first.labels, second.labels), unknown, strict=True)
        labels = np.concatenate([none if given is None else given for given, none in parts])
    return replace(
        first,
        keys=pd.concat([first.keys, second.keys], ignore_index=True),
        features=np.concatenate([first.features, second.features]),
        order=np.concatenate([_known(first.order), _known(second.order) + first.input_rows]),
        offsets=np.concatenate([first.offsets, second.offsets[1:] + first.offsets[-1]]),
        entities=np.concatenate(
            [_known(first.entities), _known(second.entities) + len(first.entity_names)]
        ),
        entity_names=first.entity_names + second.entity_names,
        times=times,
        labels=labels,
        notes=first.notes + tuple(f"{second.source}: {note}" for note in second.notes),
        input_rows=first.input_rows + second.input_rows,
        missing_cells=first.missing_cells + second.missing_cells,
        missing_rows=first.missing_rows + second.missing_rows,
    )


def _known(values: Ints | None) -> Ints:
    assert values is not None  # files have an order and entities
    return values


def _feature_columns(
    frame: pd.DataFrame, names: Sequence[str], *, source: str, may_exclude: bool
) -> list[Floats]:
    """Return the features as float64, [R] each; what is wrong with some is said of all at once."""
    columns, wrong = [], {}
    for name in names:
        try:
            columns.append(feature_numbers(frame[name], source=source, may_exclude=may_exclude))
        except ValueError as error:
            wrong[name] = error
    if len(wrong) == 1:
        raise next(iter(wrong.values()))
    if wrong:
        texts = [str(error).removeprefix(f"{source}: ") for error in wrong.values()]
        more = [f"and {len(texts) - _LISTED} more"] if len(texts) > _LISTED else []
        listed = "".join(f"\n  {text}" for text in [*texts[:_LISTED], *more])
        together = not any("," in name for name in wrong)
        excluded = [",".join(wrong)] if together else list(wrong)
        mend = "; to leave them all out: " + " ".join(flag("exclude", name) for name in excluded)
        raise ValueError(
            f"{source}: {len(wrong)} columns are no features{mend if may_exclude else ''}{listed}"
        )
    return columns


def _feature_names(
    frame: pd.DataFrame,
    options: TableOptions,
    source: str,
    notes: list[str],
    features_of: str,
) -> tuple[str, ...]:
    columns = [str(column) for column in frame.columns]
    exclude = split_names(options.exclude, columns)
    known = Counter(columns)
    for name in exclude:
        if known[name] != 1:
            find_column(frame, name, flag="--exclude", source=source)
    roles = {options.time: "--time", options.entity: "--entity", options.label: "--label"}
    if options.features:
        asked = split_names(options.features, columns)
        for name in asked:
            if known[name] != 1:
                find_column(frame, name, flag=features_of, source=source)
            if name in roles:
                raise ValueError(
                    f"{features_of}: column {name!r} is given as {roles[name]} and can be no "
                    "feature"
                )
        left_out = set(exclude)
        names = [name for name in asked if name not in left_out]
    else:
        left_out = set(exclude)
        names = [name for name in columns if name not in roles and name not in left_out]
        unnamed = [name for name in names if is_unnamed(name)]
        if unnamed:
            notes.append(
                f"{len(unnamed)} column(s) without a name (a saved row index?) left out; "
                f"--features {unnamed[0]!r} would use it"
            )
        names = [name for name in names if not is_unnamed(name)]
    if not names:
        raise ValueError(f"{source}: no feature column left; it has: {', '.join(columns)}")
    return tuple(names)
