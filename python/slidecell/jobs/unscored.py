"""Rows without a score: how many, why, and which option mends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.base import Detector
from slidecell.tables.rows import Ints, Rows

__all__ = ["unscored_note", "unscored_rows"]

Bools = npt.NDArray[np.bool_]

# Of the rows: fewer that only come before the first window of their entity are no surprise.
_FEW = 0.01


def unscored_rows(
    detector: Detector, rows: Rows, scores: npt.NDArray[np.floating[Any]]
) -> dict[str, int]:
    """Count the rows without a score by what is in the way, each row once.

    Parameters
    ----------
    detector : Detector
    rows : Rows
        In order of entity and time, [S].
    scores : ndarray, [S]

    Returns
    -------
    dict of str to int
        ``entity too short``, ``between gaps``: the whole segment is shorter than a window;
        ``before the first window`` of an entity; ``after a gap``: the same behind a gap;
        ``missing cells``, ``cells too large``: one lies in each window that would tell; ``other``:
        the detector gives none. Reasons that do not occur are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import RollingVarianceDetector
    >>> from slidecell.jobs.unscored import unscored_rows
    >>> from slidecell.tables.rows import Rows
    >>> X = np.random.default_rng(0).normal(size=(100, 1))
    >>> detector = RollingVarianceDetector(window=5).fit(X)
    >>> X[50] = np.nan
    >>> rows = Rows(X, np.array([0, 100]))
    >>> unscored_rows(detector, rows, detector.score_rows(rows))
    {'before the first window': 4, 'missing cells': 5}
    """
    left = np.isnan(scores)
    needed = detector.shortest_series()
    ahead = needed - 1 if detector.alignment == "cover" else 0
    starts, lengths = _segments(rows)
    short = lengths < needed
    first = _begins_entity(rows)
    early = np.arange(len(rows)) - starts < needed - 1
    reasons = [
        ("entity too short", short & first & _ends_entity(rows)),
        ("between gaps", short),
    ]
    of_place = [("before the first window", early & first), ("after a gap", early)]
    of_cells = [
        (reason, _near(cells, rows, before=needed - 1, after=ahead))
        for reason, cells in (
            ("missing cells", ~rows.complete()),
            ("cells too large", detector.too_large_rows(rows)),
        )
    ]
    # Later windows cover early rows too, if their cells are there.
    reasons += [*of_cells, *of_place] if ahead else [*of_place, *of_cells]
    found = {}
    for reason, mask in (*reasons, ("other", left)):
        here = left & mask
        if here.any():
            found[reason] = int(here.sum())
        left = left & ~here
    return found


def _segments(rows: Rows) -> tuple[Ints, Ints]:
    """Return the first row, and the length, of the segment of each row [S]."""
    lengths = np.diff(rows.offsets)
    return np.repeat(rows.offsets[:-1], lengths), np.repeat(lengths, lengths)


def _entities(rows: Rows) -> Ints:
    """Return the entity of each segment that is not empty, and repeat none."""
    lengths = np.diff(rows.offsets)
    if rows.entities is None:
        return np.arange(len(lengths))[lengths > 0]
    return rows.entities[rows.offsets[:-1][lengths > 0]]


def _begins_entity(rows: Rows) -> Bools:
    """Tell the rows [S] whose segment is the first of its entity."""
    entities = _entities(rows)
    lengths = np.diff(rows.offsets)
    return np.repeat(
        np.append(True, entities[1:] != entities[:-1])[: len(entities)], lengths[lengths > 0]
    )


def _ends_entity(rows: Rows) -> Bools:
    """Tell the rows [S] whose segment is the last of its entity."""
    entities = _entities(rows)
    lengths = np.diff(rows.offsets)
    return np.repeat(
        np.append(entities[1:] != entities[:-1], True)[: len(entities)], lengths[lengths > 0]
    )


def _near(marked: Bools, rows: Rows, *, before: int, after: int) -> Bools:
    """Tell the rows [S] that have a marked one of their segment near: so many before or after."""
    sums = np.concatenate([[0], np.cumsum(marked)])
    starts, lengths = _segments(rows)
    place = np.arange(len(rows))
    low = np.maximum(place - before, starts)
    high = np.minimum(place + after + 1, starts + lengths)
    return np.asarray(sums[high] > sums[low])


def unscored_note(counts: Mapping[str, int], rows: Rows, *, window_option: bool) -> str:
    """Return a note on rows without a score; it is empty where there is nothing to be said.

    A few rows before the first windows alone are no surprise.

    Parameters
    ----------
    counts : mapping of str to int
        Of `unscored_rows`.
    rows : Rows
    window_option : bool
        Whether a shorter window can be asked for.
    """
    total = sum(counts.values())
    expected = counts.get("before the first window", 0)
    if total == 0 or (total == expected and total < _FEW * len(rows)):
        return ""
    cells = _share(rows.missing_cells, max(1, rows.features.size))
    filled = rows.options is not None and rows.options.missing == "ffill"
    shorter = ": a shorter --window leaves fewer out" if window_option else ""
    texts = {
        "entity too short": f"of entities that are shorter than a window{shorter}",
        "between gaps": "between gaps that lie closer than a window: a longer --max-gap joins them",
        "before the first window": "before the first window of their entity",
        "after a gap": "before the first window after a gap: a longer --max-gap cuts less",
        "missing cells": (
            f"with a missing cell in their window ({cells} of the cells)"
            + ("" if filled else ": --missing ffill fills them from the past")
        ),
        "cells too large": "with a cell in their window that is too large for float32",
        "other": "that the detector gives none",
    }
    if expected == total:
        texts["before the first window"] += shorter
    parts = [f"{count:,} {texts[reason]}" for reason, count in counts.items()]
    return (
        f"{total:,} of {len(rows):,} rows ({_share(total, len(rows))}) have no score: "
        + "; ".join(parts)
    )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2g} %" if part < whole else "100 %"
