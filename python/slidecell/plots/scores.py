"""Series above their scores: threshold, flagged rows, labels, parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.plots.bands import mark_parts, name_parts, shade_labels
from slidecell.plots.lines import draw_measured, draw_score
from slidecell.plots.style import legend_below, new_figure, shown_times
from slidecell.plots.text import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_scores"]

# With at least so many rows that are not flagged, these rows define the usual values.
_USUAL = 10
_LONGEST_NAME = 80  # of an entity, in the title

Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Rows:
    """One entity's rows, [S] each."""

    x: Array
    series: Array  # [S, F]
    scores: Array
    flagged: Bools
    labels: Bools
    part: Array | None


def plot_scores(
    series: npt.ArrayLike,
    scores: npt.ArrayLike,
    *,
    threshold: float | None = None,
    labels: npt.ArrayLike | None = None,
    part: npt.ArrayLike | None = None,
    times: npt.ArrayLike | None = None,
    entities: npt.ArrayLike | None = None,
    names: Sequence[str] | None = None,
    max_features: int = 4,
    title: str | None = None,
) -> Figure:
    """Draw series [S, F] above their scores [S]: threshold, flagged rows, labels, parts.

    Of several entities one is drawn and named in the title: that with the most labelled rows or,
    without labels, the most flagged ones, counted in the test part where parts are given. Of
    many features those are drawn that leave their usual values most at the flagged rows.

    Parameters
    ----------
    series : array_like, [S, F]
        Raw rows; those of one entity together and in order of time.
    scores : array_like, [S]
        NaN where there is none.
    threshold : float, optional
        Rows with a larger score are flagged.
    labels : array_like of 0 and 1, [S], optional
        Shaded where 1.
    part : array_like of str, [S], optional
        ``train``, ``validation`` or ``test``; the boundaries are marked.
    times : array_like, [S], optional
        Numbers or datetime64. Default: row numbers.
    entities : array_like, [S], optional
        Name of each row's entity.
    names : sequence of str, [F], optional
        Names of the features.
    max_features : int
        Features drawn at most; 0 draws the scores alone.
    title : str, optional
        First part of the title.

    Returns
    -------
    matplotlib.figure.Figure
        Write it with ``figure.savefig("scores.png")``.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.plots import plot_scores
    >>> rows = np.random.default_rng(0).random((50, 2))
    >>> figure = plot_scores(rows, rows[:, 0], threshold=0.9, names=["load", "heat"])
    >>> len(figure.axes)
    3
    """
    columns = {"scores": scores, "labels": labels, "part": part, "times": times}
    rows, who = _pick(series, threshold, columns | {"entities": entities})
    features = rows.series.shape[1]
    named = [f"feature {f}" for f in range(features)] if names is None else list(names)
    if len(named) != features:
        raise ValueError(f"names: expected {features} (columns of series), got {len(named)}")
    shown = _features_to_show(rows, max_features)
    heights = [1.0] * len(shown) + [1.7]
    figure = new_figure(12, 1.4 + 1.25 * sum(heights))
    axes = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axis, feature in zip(axes, shown, strict=False):
        draw_measured(axis, rows.x, rows.series[:, feature], rows.flagged, named[feature])
    draw_score(axes[-1], rows.x, rows.scores, rows.flagged, threshold)
    for axis in axes:
        shade_labels(axis, rows.x, rows.labels, name="labelled anomalous")
        mark_parts(axis, rows.x, rows.part)
        axis.margins(x=0.01)
    name_parts(axes[0], rows.x, rows.part)
    figure.align_ylabels(axes)
    more = f"{len(shown)} of {features} features" if 0 < len(shown) < features else ""
    words = filter(None, (plain(title or ""), plain(who), more))
    figure.suptitle(", ".join(words), fontsize=11)
    shown_times(axes[-1], rows.x, given=times is not None)
    legend_below(figure, axes[-1:])
    return figure


def _pick(
    series: npt.ArrayLike, threshold: float | None, columns: Mapping[str, npt.ArrayLike | None]
) -> tuple[_Rows, str]:
    """Check the arguments and choose the entity to draw; also says which and why."""
    table = np.asarray(series)
    if table.ndim != 2 or len(table) == 0 or table.shape[1] == 0:
        raise ValueError(f"series: expected [S, F] with S, F >= 1, got {list(table.shape)}")
    # Names stay objects: as text of a fixed width each would take as much as the longest.
    kinds = {"entities": object}
    given = {
        name: np.asarray(value, dtype=None if hasattr(value, "__array__") else kinds.get(name))
        for name, value in columns.items()
        if value is not None
    }
    for name, column in given.items():
        if column.shape != (len(table),):
            raise ValueError(f"{name}: expected [{len(table)}], got {list(column.shape)}")
    score = given["scores"].astype(np.float64)
    flagged = np.zeros(len(table), np.bool_) if threshold is None else score > threshold
    marked = given["labels"] == 1 if "labels" in given else np.zeros(len(table), np.bool_)
    parts = given.get("part")
    keep = np.arange(len(table))
    who = ""
    if "entities" in given:
        # What training saw counts only where nothing else is there to see.
        test = np.ones(len(table), np.bool_) if parts is None else parts == "test"
        test |= not test.any()
        keep, who = _pick_entity(given["entities"], flagged & test, marked & test)
    times = given["times"][keep] if "times" in given else np.arange(len(keep))
    part = None if parts is None else parts[keep]
    return _Rows(times, table[keep], score[keep], flagged[keep], marked[keep], part), who


def _pick_entity(
    entities: Array, flagged: Bools, marked: Bools
) -> tuple[npt.NDArray[np.int64], str]:
    """Return the rows of the entity with most labelled, then flagged, then most rows; and why."""
    unique, codes = np.unique(entities, return_inverse=True)
    labels, flags = (np.bincount(codes, mask, len(unique)) for mask in (marked, flagged))
    best = int(np.lexsort((np.bincount(codes), flags, labels))[-1])
    why = "labelled " if labels[best] else "flagged " if flags[best] else ""
    who = str(unique[best])
    if len(who) > _LONGEST_NAME:
        who = f"{who[: _LONGEST_NAME - 3]}..."
    if len(unique) > 1:
        who += f" (most {why}rows of {len(unique)} entities)"
    return np.flatnonzero(codes == best), who


def _features_to_show(rows: _Rows, most: int) -> list[int]:
    """Columns in order, at most ``most``: those that deviate most where it matters."""
    features = rows.series.shape[1]
    if features <= most:
        return list(range(features))
    values = np.where(np.isfinite(rows.series), rows.series, np.nan).astype(np.float64)
    values[:, np.isnan(values).all(axis=0)] = 0.0
    spread = np.nanstd(values, axis=0)
    where = rows.flagged if rows.flagged.any() else rows.labels
    if not where.any():
        return sorted(np.argsort(-spread, kind="stable")[:most].tolist())
    usual = values[~where] if (~where).sum() >= _USUAL else values
    usual = np.where(np.isnan(usual).all(axis=0), 0.0, usual)
    # A column that never moves in the usual rows would win by a single small step elsewhere.
    floor = np.maximum(np.nanstd(usual, axis=0), 0.1 * spread)
    deviation = np.nan_to_num(np.abs(values[where] - np.nanmedian(usual, axis=0))).mean(axis=0)
    merit = np.divide(deviation, floor, out=np.zeros(features), where=floor > 0)
    return sorted(np.argsort(-merit, kind="stable")[:most].tolist())
