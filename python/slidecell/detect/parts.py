"""Which rows train a network and which are held out, to stop in time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slidecell.tables.rows import Rows
from slidecell.training.train_network import Part

__all__ = ["held_out_rows", "part_of"]


def held_out_rows(
    rows: Rows, *, window: int, horizon: int, fraction: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Choose rows to hold out, bool [S]: whole entities, of one entity the last part by time.

    Raises
    ------
    ValueError
        If no window is without a missing value, or too few are there to hold some out.

    Examples
    --------
    >>> from slidecell.detect.parts import held_out_rows
    >>> from slidecell.tables.rows import Source, take_rows
    >>> rows = take_rows([[0.0]] * 10, None, Source())
    >>> held_out_rows(rows, window=1, horizon=1, fraction=0.3, seed=0).astype(int)
    array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    """
    from slidecell.training.split import split_windows, usable_windows

    windows = usable_windows(
        rows.complete(), rows.offsets, window=window, horizon=horizon, stride=1
    )
    if len(windows.starts) == 0:
        raise ValueError(
            f"X: all {windows.skipped} windows of {window + horizon} rows have a missing value; "
            "missing='ffill' fills them from the past"
        )
    try:
        split = split_windows(
            windows,
            rows.offsets,
            rows=len(rows),
            length=window + horizon,
            fraction=fraction,
            seed=seed,
        )
    except ValueError as error:
        raise ValueError(str(error).replace("series:", "X:", 1)) from error
    return split.validation_rows


def part_of(rows: Rows, mask: npt.NDArray[np.bool_]) -> Part:
    """Rows of one part, which are neighbours within each entity, and their offsets.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.parts import part_of
    >>> from slidecell.tables.rows import Source, take_rows
    >>> rows = take_rows([[1.0], [2.0], [3.0]], [0, 1, 3], Source())
    >>> values, offsets = part_of(rows, np.array([False, True, True]))
    >>> values[:, 0].tolist(), offsets.tolist()
    ([2.0, 3.0], [0, 0, 2])
    """
    before = np.concatenate(([0], np.cumsum(mask, dtype=np.int64)))
    return rows.values[mask], before[rows.offsets]
