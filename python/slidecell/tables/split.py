"""Which rows train, which validate and which test; no training window straddles a boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from slidecell.tables.table import Table
from slidecell.tables.times import parse_time

__all__ = ["DEFAULT_TRAIN_FRACTION", "Split", "split_table"]

DEFAULT_TRAIN_FRACTION = 0.7

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """Parts of a table's S rows, and the T rows that windows are trained on."""

    part: npt.NDArray[Any]  # [S]: "train", "validation" or "test"
    rows: Ints  # [T]: rows of the table, ascending
    validates: Bools  # [T]
    segments: Ints  # [T]: segment of the table
    length: int  # rows that a window needs, its target included

    def take(
        self, features: npt.NDArray[Any], *, validation: bool
    ) -> tuple[npt.NDArray[Any], Ints]:
        """Rows of one part from [S, F], and the offsets [G+1] that windows must not cross."""
        rows, segments = self._of(validation)
        return features[rows], _run_offsets(rows, segments)

    def training_window_ends(self) -> Ints:
        """Rows of the table at which a window of training rows alone ends."""
        rows, segments = self._of(validation=False)
        offsets = _run_offsets(rows, segments)
        starts = np.repeat(offsets[:-1], np.diff(offsets))
        ends: Ints = rows[np.arange(len(rows)) - starts >= self.length - 1]
        return ends

    def _of(self, validation: bool) -> tuple[Ints, Ints]:
        mask = self.validates == validation
        return self.rows[mask], self.segments[mask]


def split_table(
    table: Table,
    *,
    window: int,
    horizon: int,
    train_until: str | None = None,
    test_from_row: int | None = None,
    train_on: Literal["all", "normal"] = "all",
    validation: float = 0.2,
    seed: int = 0,
) -> Split:
    """Split a table's rows into train, validation and test.

    Parameters
    ----------
    table : Table
    window, horizon : int
        A window and its target take ``window + horizon`` rows.
    train_until : str, optional
        A fraction above 0 and up to 1: the first rows by time *of each entity*, so that every
        entity's past trains and its future tests, whenever its series begins. Or a time: rows
        before it train. Default: `DEFAULT_TRAIN_FRACTION`.
    test_from_row : int, optional
        Rows of the table from here on test, all before train; replaces ``train_until``.
    train_on : {"all", "normal"}
        ``normal``: rows labelled 1 cut the training series, no training window touches them.
    validation : float
        Share of the training windows held out for early stopping: whole entities or, with one
        entity, the last part by time.
    seed : int
        Draws the entities that validate.
    """
    past = _past_rows(table, train_until, test_from_row)
    use = past.copy()
    if train_on == "normal":
        if table.labels is None:
            raise ValueError("--train-on normal: needs --label, the column that tells normal rows")
        use &= table.labels != 1
    rows = np.flatnonzero(use)
    segments = np.searchsorted(table.offsets, rows, side="right").astype(np.int64) - 1
    validates = _validation_rows(
        table, rows, segments, window=window, horizon=horizon, fraction=validation, seed=seed
    )
    part = np.where(past, "train", "test").astype("<U10")
    part[_spread(validates, rows, past, table.entities)] = "validation"
    return Split(part, rows, validates, segments, window + horizon)


def _past_rows(table: Table, train_until: str | None, test_from_row: int | None) -> Bools:
    """Rows that train or validate, [S]."""
    size = len(table.order)
    if test_from_row is not None:
        return np.arange(size) < test_from_row
    text = str(DEFAULT_TRAIN_FRACTION) if train_until is None else train_until
    try:
        fraction = float(text)
    except ValueError:
        fraction = np.nan
    if 0.0 < fraction <= 1.0:
        counts = np.bincount(table.entities, minlength=len(table.entity_names))
        starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
        position = np.arange(size) - starts[table.entities]
        past: Bools = position < np.rint(fraction * counts)[table.entities]
        return past
    if table.times is None:
        raise ValueError(
            f"--train-until: expected a fraction above 0 and up to 1 "
            f"(a time needs --time, the column it is of), got {text!r}"
        )
    cut = parse_time(text, table.times, flag="--train-until")
    past = table.times.values < cut
    if not past.any() or past.all():
        values = table.times.values
        first, last = (table.times.text(int(row)) for row in (values.argmin(), values.argmax()))
        side = "at or after" if past.all() else "before"
        raise ValueError(f"--train-until: no row {side} {text}; times run from {first} to {last}")
    return past


def _validation_rows(
    table: Table,
    rows: Ints,
    segments: Ints,
    *,
    window: int,
    horizon: int,
    fraction: float,
    seed: int,
) -> Bools:
    """Which of the T training rows validate, [T]."""
    from slidecell.training.split import split_windows, usable_windows

    offsets = _run_offsets(rows, segments)
    finite = np.asarray(np.isfinite(table.features[rows]).all(axis=1))
    windows = usable_windows(finite, offsets, window=window, horizon=horizon, stride=1)
    if len(windows.starts) == 0:
        longest = int(np.diff(offsets).max(initial=0))
        holes = f", {windows.skipped} windows touch missing cells" if windows.skipped else ""
        raise ValueError(
            f"{table.source}: no window to train on: one takes {window + horizon} rows "
            f"(window {window} + horizon {horizon}) and the longest stretch of training rows "
            f"has {longest}{holes}; give more rows or a smaller --window"
        )
    keys = table.entities[rows][offsets[:-1]]
    try:
        held: Bools = split_windows(
            windows,
            offsets,
            rows=len(rows),
            length=window + horizon,
            fraction=fraction,
            keys=keys,
            seed=seed,
        ).validation_rows
    except ValueError as error:
        raise ValueError(
            f"{table.source}: {len(windows.starts)} training windows of {window + horizon} rows "
            f"are too few to hold out --validation {fraction:g}: give more rows, a smaller "
            "--window, or --validation 0"
        ) from error
    return held


def _run_offsets(rows: Ints, segments: Ints) -> Ints:
    """Offsets [G+1] of runs of neighbouring rows in one segment."""
    if len(rows) == 0:
        return np.zeros(1, np.int64)
    cut = (np.diff(rows) != 1) | (np.diff(segments) != 0)
    return np.concatenate([[0], np.flatnonzero(cut) + 1, [len(rows)]]).astype(np.int64)


def _spread(validates: Bools, rows: Ints, past: Bools, entities: Ints) -> Bools:
    """Rows of the validation part, [S]: also those between that no window is trained on."""
    held = np.zeros(len(past), np.bool_)
    held[rows] = validates
    left_out = np.flatnonzero(past)[~np.isin(np.flatnonzero(past), rows, assume_unique=True)]
    if len(left_out) and len(rows):
        # The used row before it in its entity decides, or else the one after it.
        after = np.searchsorted(rows, left_out)
        before = np.maximum(after - 1, 0)
        after = np.minimum(after, len(rows) - 1)
        same = (entities[rows[before]] == entities[left_out]) & (rows[before] < left_out)
        nearest = np.where(same, before, after)
        known = entities[rows[nearest]] == entities[left_out]
        held[left_out] = validates[nearest] & known
    return held
