"""Figures of scores and of training, drawn without pyplot: no window, no global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell._extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_history", "plot_scores"]

_SERIES, _SCORE, _THRESHOLD, _FLAG, _LABEL = "#41506b", "#2f6fb0", "#e08a1e", "#c8283c", "#f2c14e"

# Longer lines are drawn as the minimum and maximum of this many bins, about two per pixel:
# the picture is the same and a million rows cost no more than ten thousand.
_BINS = 2500

# Above this ratio of largest score to threshold a linear axis would flatten everything below.
_LOG_RATIO = 25.0

# More flagged rows than this would cover a feature's line with markers: ticks at its foot instead.
_MARKERS = 150

# Rows that are not flagged, from which on they tell what is usual.
_USUAL = 10

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
        Features drawn at most.
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
    require("matplotlib", extra="detect")
    from matplotlib.figure import Figure

    columns = {"scores": scores, "labels": labels, "part": part, "times": times}
    rows, who = _pick(series, threshold, columns | {"entities": entities})
    features = rows.series.shape[1]
    labelled = [f"feature {f}" for f in range(features)] if names is None else list(names)
    if len(labelled) != features:
        raise ValueError(f"names: expected {features} (columns of series), got {len(labelled)}")
    shown = _features_to_show(rows, max_features)
    heights = [1.0] * len(shown) + [1.7]
    figure = Figure(figsize=(12, 1.4 + 1.25 * sum(heights)), dpi=110, layout="constrained")
    axes = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axis, feature in zip(axes, shown, strict=False):
        _draw_feature(axis, rows, feature, labelled[feature])
    _draw_scores(axes[-1], rows, threshold)
    for axis in axes:
        _shade_labels(axis, rows)
        _mark_parts(axis, rows)
    _name_parts(axes[0], rows)
    figure.align_ylabels(axes)
    more = "" if len(shown) == features else f"{len(shown)} of {features} features"
    figure.suptitle(", ".join(filter(None, (title, who, more))), fontsize=11)
    if rows.x.dtype.kind != "M":
        axes[-1].set_xlabel("row" if times is None else "time")
    for axis in axes:
        axis.margins(x=0.01)
    return figure


def plot_history(history: Any, *, title: str | None = None) -> Figure:
    """Draw training and validation loss per epoch; the epoch whose weights were kept is marked.

    Parameters
    ----------
    history : slidecell.training.History or mapping
        With ``train_loss``, ``validation_loss`` and ``best_epoch``.
    title : str, optional

    Examples
    --------
    >>> from slidecell.plots import plot_history
    >>> history = {"train_loss": [0.3, 0.2], "validation_loss": [0.3, 0.25], "best_epoch": 2}
    >>> len(plot_history(history).axes)
    1
    """
    require("matplotlib", extra="detect")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    course = dict(history) if isinstance(history, Mapping) else vars(history)
    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axis = figure.subplots()
    for name, colour in (("train_loss", _SCORE), ("validation_loss", _THRESHOLD)):
        losses = list(course.get(name) or [])
        if losses:
            epochs = range(1, len(losses) + 1)
            axis.plot(epochs, losses, color=colour, marker=".", label=name.replace("_", " "))
    best = int(course.get("best_epoch") or 0)
    if best > 0:
        axis.axvline(best, color=_SERIES, linestyle=":", linewidth=1.2, label="weights kept")
    lines = [loss for line in axis.get_lines()[:2] for loss in np.atleast_1d(line.get_ydata())]
    if lines and min(lines) > 0 and max(lines) > 10 * min(lines):
        axis.set_yscale("log")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("epoch")
    axis.set_ylabel("loss")
    axis.set_title(title or "training", fontsize=11)
    _style(axis)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(frameon=False)
    return figure


def _pick(
    series: npt.ArrayLike, threshold: float | None, columns: Mapping[str, npt.ArrayLike | None]
) -> tuple[_Rows, str]:
    """Check the arguments and choose the entity to draw; also says which and why."""
    table = np.asarray(series)
    if table.ndim != 2 or len(table) == 0 or table.shape[1] == 0:
        raise ValueError(f"series: expected [S, F] with S, F >= 1, got {list(table.shape)}")
    given = {name: np.asarray(value) for name, value in columns.items() if value is not None}
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


def _thin(x: Array, y: Array) -> tuple[Array, Array]:
    """Minimum and maximum per bin of a long line, in their order; NaN where a bin has no value."""
    size = len(x) // _BINS
    if size < 2:
        return x, y
    rows = len(x) // size * size
    bins = y[:rows].astype(np.float64).reshape(-1, size)
    low = np.where(np.isnan(bins), np.inf, bins).argmin(axis=1)
    high = np.where(np.isnan(bins), -np.inf, bins).argmax(axis=1)
    pair = np.sort(np.stack([low, high], axis=1), axis=1) + size * np.arange(len(bins))[:, None]
    picked = np.concatenate([pair.ravel(), np.arange(rows, len(x))])
    return x[picked], y[picked]


def _draw_feature(axis: Axes, rows: _Rows, feature: int, name: str) -> None:
    column = np.where(np.isfinite(rows.series[:, feature]), rows.series[:, feature], np.nan)
    axis.plot(*_thin(rows.x, column), color=_SERIES, linewidth=0.9)
    x = rows.x[rows.flagged]
    if len(x) <= _MARKERS:
        y = column[rows.flagged]
        axis.plot(x, y, ".", color=_FLAG, markersize=_marker_size(rows), alpha=0.8)
    else:
        floor = axis.get_xaxis_transform()
        axis.vlines(x, 0.0, 0.06, color=_FLAG, linewidth=0.5, alpha=0.5, transform=floor)
    short = name if len(name) <= 22 else name[:21] + "…"
    axis.set_ylabel(short, rotation=0, ha="right", va="center", fontsize=9)
    _style(axis)


def _draw_scores(axis: Axes, rows: _Rows, threshold: float | None) -> None:
    finite = rows.scores[np.isfinite(rows.scores)]
    width = 0.9 if len(rows.x) <= _BINS else 0.5
    axis.plot(*_thin(rows.x, rows.scores), color=_SCORE, linewidth=width, label="score")
    if threshold is not None:
        axis.axhline(threshold, color=_THRESHOLD, linestyle="--", linewidth=1.3, label="threshold")
        axis.plot(
            rows.x[rows.flagged],
            rows.scores[rows.flagged],
            "o",
            color=_FLAG,
            markersize=_marker_size(rows) * 0.7,
            markeredgewidth=0,
            label=f"flagged ({int(rows.flagged.sum()):,})",
        )
    if rows.labels.any():
        axis.fill_between([], [], color=_LABEL, alpha=0.5, label="labelled anomalous")
    reference = threshold or (float(np.median(finite)) if len(finite) else 0.0)
    if len(finite) and reference > 0 and finite.max() > _LOG_RATIO * reference:
        axis.set_yscale("log")
        axis.set_ylim(bottom=max(float(np.quantile(finite, 0.1)), reference * 1e-3) * 0.5)
    axis.set_ylabel("score", rotation=0, ha="right", va="center", fontsize=9)
    _style(axis)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4, fontsize=9, frameon=False)


def _marker_size(rows: _Rows) -> float:
    """Smaller where there are many, so that clusters stay readable."""
    return float(np.interp(np.log10(max(1, len(rows.x))), [2.0, 4.5], [7.0, 3.5]))


def _shade_labels(axis: Axes, rows: _Rows) -> None:
    if not rows.labels.any():
        return
    # Steps in the middle between rows, so that a single labelled row has a width; the outline
    # keeps a short span visible in a long series.
    axis.fill_between(
        rows.x,
        0.0,
        1.0,
        where=rows.labels.tolist(),
        step="mid",
        transform=axis.get_xaxis_transform(),
        color=_LABEL,
        alpha=0.35,
        linewidth=1.0,
        zorder=0,
    )


def _boundaries(rows: _Rows) -> list[int]:
    """First row of each part but the first."""
    if rows.part is None:
        return []
    return [int(row) + 1 for row in np.flatnonzero(rows.part[1:] != rows.part[:-1])]


def _mark_parts(axis: Axes, rows: _Rows) -> None:
    for row in _boundaries(rows):
        axis.axvline(rows.x[row], color="#6b7280", linestyle=(0, (4, 3)), linewidth=1.1)


def _name_parts(axis: Axes, rows: _Rows) -> None:
    if rows.part is None:
        return
    starts = [0, *_boundaries(rows)]
    if len(starts) > 6:  # parts that alternate have no room for names
        return
    for start in starts:
        axis.annotate(
            f" {rows.part[start]}",
            (rows.x[start], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, 3),
            textcoords="offset points",
            fontsize=8,
            color="#6b7280",
            annotation_clip=False,
        )


def _style(axis: Axes) -> None:
    axis.grid(visible=True, color="#d9dde3", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color("#9aa3af")
    axis.tick_params(labelsize=8, color="#9aa3af")
