"""Which rows windows end at, and what is said where there is none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slidecell.tables.rows import Rows

__all__ = ["TooFewWindowsError", "refuse_no_window", "window_ends"]


class TooFewWindowsError(ValueError):
    """Rows have fewer windows than are needed to learn from them."""


def window_ends(
    rows: Rows, *, window: int, horizon: int, usable: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.bool_]:
    """Tell the rows at which a window without a missing value ends, its target included: [S].

    ``usable`` [S] are the rows that a window may touch. Default: those without a missing value.

    Examples
    --------
    >>> from slidecell.tables.arrays import take_rows
    >>> from slidecell.tables.options import TableOptions
    >>> from slidecell.tables.windowed import window_ends
    >>> rows = take_rows([[0.0]] * 5, [0, 3, 5], TableOptions())
    >>> window_ends(rows, window=1, horizon=1).tolist()
    [False, True, True, False, True]
    """
    length = window + horizon
    starts = np.repeat(rows.offsets[:-1], np.diff(rows.offsets))
    index = np.arange(len(rows))
    ends = index - starts >= length - 1
    # The last row with a missing value lies before the window.
    usable = rows.complete() if usable is None else usable
    last_bad = np.maximum.accumulate(np.where(usable, -1, index))
    return np.asarray(ends & (last_bad <= index - length))


def refuse_no_window(rows: Rows, *, window: int, horizon: int) -> None:
    """Raise a TooFewWindowsError if no entity is as long as a window and its target."""
    longest = int(np.diff(rows.offsets).max(initial=0))
    if longest < window + horizon:
        ahead = f" + horizon {horizon}" if horizon else ""
        raise TooFewWindowsError(
            f"{rows.source}: no window: one takes {window + horizon} rows (window {window}{ahead}) "
            f"and the longest entity has {longest}; give more rows or a smaller window"
        )
