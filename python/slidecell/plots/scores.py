"""Series above their scores: threshold, flagged rows, labels, parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.plots.bands import (
    mark_parts,
    name_parts,
    part_bounds,
    shade_labels,
    shade_spans,
)
from slidecell.plots.lines import draw_flags, draw_measured, draw_score
from slidecell.plots.style import (
    FLAG,
    LABEL,
    fewer_dates,
    legend_below,
    new_figure,
    shown_times,
)
from slidecell.plots.text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_scores"]

# With at least so many rows that are not flagged, these rows define the usual values.
_USUAL = 10
_LONGEST_NAME = 80  # of an entity, in the title
_LETTERS = 11  # of the title, for each inch of the figure

_LOOKED_AT = 20_000  # rows, at most, that say which features deviate
_NUMBERED = 9  # of the events
_APART = 0.3  # inches between two numbers

Bools = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Rows:
    """One entity's rows, [S] each."""

    x: Array
    series: Array  # [S, F]
    scores: Array
    first: int  # of these rows, in the series that was given
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
    flags: npt.ArrayLike | None = None,
    events: Sequence[tuple[int, int]] | None = None,
    features: Sequence[int] | None = None,
    width: float = 12.0,
) -> Figure:
    """Draw series [S, F] above their scores [S]: threshold, flagged rows, labels, parts.

    Long series are drawn as envelopes: the least and the greatest value of each pixel. Of several
    entities one is drawn and named in the title: that of the first event or, without events, that
    with the most labelled rows or, without labels, the most flagged ones, counted in the test part
    where parts are given. Of many features those are drawn that leave their usual values most at
    the flagged rows.

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
    flags : array_like of 0 and 1 (or bool), [S], optional
        Default: rows above the threshold.
    events : sequence of (int, int), optional
        First and last row of each, the worst first. They are bands over all axes, the worst are
        numbered, and flagged and labelled rows have one axis of their own at the foot. Without
        events, flagged rows are marked on each axis.
    features : sequence of int, optional
        The features to draw, of which the first ``max_features`` are.
    width : float
        Of the figure, in inches.

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
    >>> figure = plot_scores(rows, rows[:, 0], threshold=0.9, events=[(3, 5)], features=[1])
    >>> [axis.get_ylabel() for axis in figure.axes]
    ['feature 1', 'score', '']
    """
    columns = {"scores": scores, "labels": labels, "part": part, "times": times, "flags": flags}
    rows, who = _pick(series, threshold, columns | {"entities": entities}, events)
    number = rows.series.shape[1]
    named = [f"feature {f}" for f in range(number)] if names is None else list(names)
    if len(named) != number:
        raise ValueError(f"names: expected {number} (columns of series), got {len(named)}")
    if features is None:
        shown = _features_to_show(rows, max_features)
    else:
        shown = [_known_feature(feature, number) for feature in features][:max_features]
    heights = [1.0] * len(shown) + [1.7]
    lanes = {} if events is None else {"flagged": (rows.flagged, FLAG)}
    if lanes and labels is not None:
        lanes["labelled"] = (rows.labels, LABEL)
    if lanes:
        heights.append(0.25 + 0.22 * len(lanes))
    figure = new_figure(width, 1.4 + 1.25 * sum(heights))
    axes = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    nowhere = np.zeros(len(rows.x), np.bool_)
    for axis, feature in zip(axes, shown, strict=False):
        marked = nowhere if lanes else rows.flagged
        draw_measured(axis, rows.x, rows.series[:, feature], marked, named[feature])
    scored = axes[len(shown)]
    draw_score(scored, rows.x, rows.scores, None if lanes else rows.flagged, threshold)
    if lanes:
        draw_flags(axes[-1], rows.x, lanes)
    bounds = part_bounds(rows.part)
    for axis in axes:
        if lanes:
            _shade_events(axis, rows, events or ())
        else:
            shade_labels(axis, rows.x, rows.labels, name="labelled anomalous")
        mark_parts(axis, rows.x, bounds)
        axis.margins(x=0.01)
    if lanes:
        _number_events(scored, rows, events or (), apart=_APART / width)
    name_parts(axes[0], rows.x, rows.part, bounds)
    figure.align_ylabels(axes)
    more = f"{len(shown)} of {number} features" if 0 < len(shown) < number else ""
    letters = int(_LETTERS * width)
    words = list(filter(None, (plain(title or "", letters), plain(who, letters), more)))
    joined = ", ".join(words)
    figure.suptitle(joined if len(joined) <= letters else "\n".join(words), fontsize=11)
    shown_times(axes[-1], rows.x, given=times is not None)
    fewer_dates(axes[-1], rows.x, width)
    legend_below(figure, [scored])
    return figure


def _known_feature(feature: int, number: int) -> int:
    if not 0 <= feature < number:
        raise ValueError(f"features: expected 0 to {number - 1} (columns of series), got {feature}")
    return int(feature)


def _own_events(rows: _Rows, events: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return rank, first and last row of the events among the rows that are drawn."""
    size, start = len(rows.x), rows.first
    return [
        (rank, max(first - start, 0), min(last - start, size - 1))
        for rank, (first, last) in enumerate(events, 1)
        if first < start + size and last >= start
    ]


def _shade_events(axis: Axes, rows: _Rows, events: Sequence[tuple[int, int]]) -> None:
    own = np.array(_own_events(rows, events), np.int64).reshape(-1, 3)
    own = own[np.argsort(own[:, 1], kind="stable")]
    shade_spans(
        axis,
        rows.x,
        (own[:, 1], own[:, 2]),
        (0.0, 1.0),
        FLAG,
        alpha=0.25,
        name="event",
        of_height=True,
        below=True,
    )


def _number_events(
    axis: Axes, rows: _Rows, events: Sequence[tuple[int, int]], *, apart: float
) -> None:
    """Write the ranks of the worst events at the top of their bands, where there is room."""
    x = rows.x.astype(np.int64) if rows.x.dtype.kind == "M" else rows.x
    span = float(x.max() - x.min()) or 1.0
    written: list[float] = []
    for rank, first, last in _own_events(rows, events)[:_NUMBERED]:
        place = float(x[first] - x.min() + (x[last] - x[first]) / 2) / span
        if any(abs(place - other) < apart for other in written):
            continue
        written.append(place)
        axis.annotate(
            str(rank),
            (rows.x[first] + (rows.x[last] - rows.x[first]) / 2, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            fontweight="bold",
            color=FLAG,
            annotation_clip=False,
        )


def _pick(
    series: npt.ArrayLike,
    threshold: float | None,
    columns: Mapping[str, npt.ArrayLike | None],
    events: Sequence[tuple[int, int]] | None,
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
    for first, last in events or ():
        if not 0 <= first <= last < len(table):
            raise ValueError(
                f"events: expected first and last rows within 0 to {len(table) - 1}, "
                f"got {(first, last)}"
            )
    score = given["scores"].astype(np.float64, copy=False)
    if "flags" in given:
        flagged = given["flags"].astype(np.bool_, copy=False)
    else:
        flagged = np.zeros(len(table), np.bool_) if threshold is None else score > threshold
    marked = given["labels"] == 1 if "labels" in given else np.zeros(len(table), np.bool_)
    parts = given.get("part")
    keep: npt.NDArray[np.int64] | slice = slice(0, len(table))
    who = ""
    if "entities" in given and events:
        keep, who = _entity_of(given["entities"], events[0][0])
    elif "entities" in given:
        # What training saw counts only where nothing else is there to see.
        test = np.ones(len(table), np.bool_) if parts is None else parts == "test"
        test |= not test.any()
        keep, who = _pick_entity(given["entities"], flagged & test, marked & test)
    own = flagged[keep]
    times = given["times"][keep] if "times" in given else np.arange(len(own))
    part = None if parts is None else parts[keep]
    first = keep.start if isinstance(keep, slice) else int(keep[0])
    return _Rows(times, table[keep], score[keep], first, own, marked[keep], part), who


def _entity_of(entities: Array, row: int) -> tuple[slice, str]:
    """Return the rows of the entity of a row, which are neighbours, and its name."""
    others = np.flatnonzero(entities != entities[row])
    after = int(np.searchsorted(others, row))
    first = int(others[after - 1]) + 1 if after else 0
    end = int(others[after]) if after < len(others) else len(entities)
    why = " (its events are the worst)" if len(others) else ""
    return slice(first, end), _short(str(entities[row])) + why


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _pick_entity(
    entities: Array, flagged: Bools, marked: Bools
) -> tuple[npt.NDArray[np.int64], str]:
    """Return the rows of the entity with most labelled, then flagged, then most rows; and why."""
    known: dict[Any, int] = {}  # np.unique would sort the names of all rows
    seen = np.fromiter((known.setdefault(e, len(known)) for e in entities.tolist()), np.int64)
    unique = sorted(known)
    codes = np.argsort([known[name] for name in unique])[seen]
    labels, flags = (np.bincount(codes, mask, len(unique)) for mask in (marked, flagged))
    best = int(np.lexsort((np.bincount(codes), flags, labels))[-1])
    why = "labelled " if labels[best] else "flagged " if flags[best] else ""
    who = _short(str(unique[best]))
    if len(unique) > 1:
        who += f" (most {why}rows of {len(unique)} entities)"
    return np.flatnonzero(codes == best), who


def _features_to_show(rows: _Rows, most: int) -> list[int]:
    """Columns in order, at most ``most``: those that deviate most where it matters."""
    features = rows.series.shape[1]
    if features <= most:
        return list(range(features))
    series, flagged, labels = _some_rows(rows)
    values = np.where(np.isfinite(series), series, np.nan).astype(np.float64)
    values[:, np.isnan(values).all(axis=0)] = 0.0
    spread = np.nanstd(values, axis=0)
    where = flagged if flagged.any() else labels
    if not where.any():
        return sorted(np.argsort(-spread, kind="stable")[:most].tolist())
    usual = values[~where] if (~where).sum() >= _USUAL else values
    usual = np.where(np.isnan(usual).all(axis=0), 0.0, usual)
    # A column that never moves in the usual rows would win by a single small step elsewhere.
    floor = np.maximum(np.nanstd(usual, axis=0), 0.1 * spread)
    deviation = np.nan_to_num(np.abs(values[where] - np.nanmedian(usual, axis=0))).mean(axis=0)
    merit = np.divide(deviation, floor, out=np.zeros(features), where=floor > 0)
    return sorted(np.argsort(-merit, kind="stable")[:most].tolist())


def _some_rows(rows: _Rows) -> tuple[Array, Bools, Bools]:
    """Return series, flags and labels of some rows: half of them, if there are, are marked."""
    if len(rows.x) <= _LOOKED_AT:
        return rows.series, rows.flagged, rows.labels
    marked = rows.flagged if rows.flagged.any() else rows.labels
    chosen = []
    for mask in (marked, ~marked):
        of_these = np.flatnonzero(mask)
        most = min(len(of_these), _LOOKED_AT // 2)
        places = np.linspace(0, len(of_these) - 1, most).round().astype(np.int64)
        chosen.append(of_these[places])
    picked = np.sort(np.concatenate(chosen))
    return rows.series[picked], rows.flagged[picked], rows.labels[picked]
