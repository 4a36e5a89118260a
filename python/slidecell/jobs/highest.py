"""Rows with the highest scores, and what each of these scores is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from slidecell.jobs.report import Table
from slidecell.thresholds.scores import Floats

__all__ = ["highest_rows", "highest_table", "label_texts"]

Ints = npt.NDArray[np.int64]

_ROWS = 20
_PARTS = 3  # named for each row


def highest_rows(scores: npt.NDArray[np.floating], *, most: int = _ROWS) -> Ints:
    """Return the rows of the highest scores [S], best first; rows without a score are none.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.jobs.highest import highest_rows
    >>> highest_rows(np.array([0.1, np.nan, 3.0, 0.2]), most=2).tolist()
    [2, 3]
    """
    order = np.argsort(-scores, kind="stable")[:most]  # NaN sorts last
    return np.asarray(order[~np.isnan(scores[order])], np.int64)


def highest_table(
    rows: Ints,  # [n]
    scores: npt.NDArray[np.floating],  # [n]
    parts: Floats | None,  # [n,M]
    names: Sequence[str],  # [M]
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    shares: bool = False,
    caption: str = "",
    terminal: int = 0,
) -> Table:
    """List rows, best first, with the largest parts of their scores.

    Parameters
    ----------
    rows : ndarray of int64, [n]
    scores : ndarray, [n]
    parts : ndarray, [n, M], optional
        Of M features or detectors. Default: nothing is said of them.
    names : sequence of str, [M]
    columns : mapping of str to sequence of str, [n] each, optional
        What else is known of the rows: entity, time, label. Columns without a text are left out.
    shares : bool
        The parts are of one sign and are given as shares of their sum.
    caption : str
    terminal : int
        How many rows a terminal shows.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.jobs.highest import highest_table
    >>> parts = np.array([[0.5, 0.0], [-0.1, 0.3]])
    >>> names, known = ["load", "heat"], {"time": ["12:00", "13:00"]}
    >>> table = highest_table(np.array([7, 2]), parts.sum(axis=1), parts, names, columns=known)
    >>> table.columns
    ['rank', 'row', 'time', 'score', 'largest parts']
    >>> table.rows
    [['1', '7', '12:00', '0.5', 'load 0.5'], ['2', '2', '13:00', '0.2', 'heat 0.3, load -0.1']]
    >>> parts = np.array([[3.0, 1.0]])
    >>> highest_table(np.array([7]), parts[:, 0], parts, names, shares=True).rows
    [['1', '7', '3', 'load 75 %, heat 25 %']]
    """
    cells: dict[str, Sequence[str]] = {
        "rank": [str(rank) for rank in range(1, len(rows) + 1)],
        "row": [f"{row:,}" for row in rows.tolist()],
        **{name: texts for name, texts in (columns or {}).items() if any(texts)},
        "score": [f"{score:.4g}" for score in scores.tolist()],
    }
    if parts is not None and shares:
        cells["share of the score"] = [_name_shares(own, names) for own in _as_shares(parts)]
    elif parts is not None:
        cells["largest parts"] = [_name_parts(own, names) for own in parts]
    return Table(
        list(cells),
        [list(row) for row in zip(*cells.values(), strict=True)],
        caption,
        tuple(range(min(terminal, len(rows)))),
    )


def label_texts(labels: npt.NDArray[np.integer]) -> list[str]:
    """Return labels [n] as words; one that is not known (below 0) as no text.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.jobs.highest import label_texts
    >>> label_texts(np.array([0, 1, -1]))
    ['normal', 'anomalous', '']
    """
    return [{0: "normal", 1: "anomalous"}.get(label, "") for label in labels.tolist()]


def _as_shares(parts: Floats) -> Floats:
    """Return parts [n, M] as shares of their sums; infinite ones share them equally."""
    infinite = np.isinf(parts)
    parts = np.where(infinite.any(axis=1, keepdims=True), infinite, parts)
    totals = parts.sum(axis=1, keepdims=True)
    shares = np.zeros(parts.shape)
    np.divide(parts, totals, out=shares, where=totals > 0.0)
    return shares


def _name_shares(shares: Floats, names: Sequence[str]) -> str:
    order = np.argsort(-shares, kind="stable")[:_PARTS]
    return ", ".join(f"{names[m]} {100 * shares[m]:.0f} %" for m in order if shares[m] >= 0.005)


def _name_parts(parts: Floats, names: Sequence[str]) -> str:
    order = np.argsort(-np.abs(parts), kind="stable")[:_PARTS]
    return ", ".join(f"{names[m]} {parts[m]:.3g}" for m in order if parts[m] != 0.0)
