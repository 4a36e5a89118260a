"""telemanom's dynamic threshold as published: on a whole series, batch by batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from slidecell.evaluate.inputs import runs_of
from slidecell.thresholds.base import Bools
from slidecell.thresholds.dynamic_parts import Average, best_epsilon, near
from slidecell.thresholds.scores import Floats, as_scores, entity_slices

__all__ = ["DynamicAnomalies", "dynamic_threshold"]

Ints = npt.NDArray[np.int64]

_CHUNK = 256  # windows that are compared at a time: 4 MB each way
_SMALL = 0.05  # errors below this share of the values' range, or below it at all, are no anomalies


@dataclass(frozen=True)
class DynamicAnomalies:
    """What `dynamic_threshold` found.

    Parameters
    ----------
    smoothed : ndarray, [S]
        Errors after averaging; NaN where they are.
    sequences : int64 array, [n, 2]
        First and last rows.
    flags : bool array, [S]
        The rows of the sequences that have an error.
    """

    smoothed: Floats
    sequences: Ints
    flags: Bools


@dataclass(frozen=True)
class _Settings:
    batch: int
    window: int
    span: int
    buffer: int
    separation: float
    warmup: int


def dynamic_threshold(
    errors: npt.ArrayLike,
    values: npt.ArrayLike | None = None,
    offsets: npt.ArrayLike | None = None,
    *,
    batch: int = 70,
    window: int = 2100,
    smoothing: float = 0.05,
    buffer: int = 100,
    separation: float = 0.13,
    warmup: int = 250,
) -> DynamicAnomalies:
    """Find sequences of anomalous errors [S] by non-parametric dynamic thresholds [1]_.

    Errors are averaged; the errors of each batch are then compared with a threshold that its
    window chooses (section 3.2), the batch itself included, above and, mirrored at the mean,
    below; sequences that do not stand out from the next lower one are dropped (section 3.3). The
    answers are those of the authors' program telemanom, with its habits: the first window is
    judged whole but for a warm-up, each later one in its last batch, so that up to batch - 1 errors
    before the last batch of all are never judged.

    It looks ahead: up to a batch, and further in the first window. `DynamicThreshold` does not.

    Parameters
    ----------
    errors : array_like, [S]
        Absolute prediction errors, not averaged. Rows with NaN are left out.
    values : array_like, [S], optional
        The series itself. Then errors that are small beside its range (or below 0.05: telemetry
        in [-1, 1]) are no anomalies.
    offsets : array_like of int, [G+1], optional
        Entity g owns rows ``offsets[g]:offsets[g+1]``. Default: one entity.
    batch : int
        Errors that are judged together.
    window : int
        Errors that choose a threshold; fewer, where there are no more.
    smoothing : float
        Span of the average as a share of the window.
    buffer : int
        Errors on both sides of an anomalous one that belong to its sequence.
    separation : float
        The least drop, as a share, from a sequence's greatest error to the next lower one.
    warmup : int
        The first averages are replaced by the mean of twice as many. Twice as many raise no alarm
        in series of 2,500 and more, as many in those of 1,800 and more.

    Returns
    -------
    DynamicAnomalies

    References
    ----------
    .. [1] K. Hundman, V. Constantinou, C. Laporte, I. Colwell, T. Soderstrom (2018), "Detecting
       Spacecraft Anomalies Using LSTMs and Nonparametric Dynamic Thresholding", KDD, 387-395.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.thresholds import dynamic_threshold
    >>> errors = np.random.default_rng(0).random(5000) / 10
    >>> errors[4000:4030] += 1.0
    >>> dynamic_threshold(errors).sequences.tolist()
    [[3990, 4183]]
    """
    series = _checked("errors", errors)
    truth = None if values is None else _checked("values", values)
    if truth is not None and truth.shape != series.shape:
        raise ValueError(f"values: expected [{len(series)}] (rows of errors), got [{len(truth)}]")
    settings = _settings(
        batch=batch,
        window=window,
        smoothing=smoothing,
        buffer=buffer,
        separation=separation,
        warmup=warmup,
    )
    smoothed = np.full(len(series), np.nan)
    flags = np.zeros(len(series), np.bool_)
    sequences = []
    for rows in entity_slices(offsets, len(series)):
        usable = ~np.isnan(series[rows])
        if truth is not None:
            usable &= ~np.isnan(truth[rows])
        kept = rows.start + np.flatnonzero(usable)
        if len(kept) == 0:
            continue
        averaged = _averaged(series[kept], settings)
        judged = _judge(averaged, None if truth is None else truth[kept], settings)
        smoothed[kept] = averaged
        for first, last in _runs(judged):
            sequences.append((kept[first], kept[last]))
            flags[kept[first : last + 1]] = True
    found = np.array(sequences, np.int64).reshape(-1, 2)
    return DynamicAnomalies(smoothed, found, flags)


def _checked(name: str, values: npt.ArrayLike) -> Floats:
    series = as_scores(values, name=name)
    if np.isinf(series).any():
        row = int(np.isinf(series).argmax())
        raise ValueError(f"{name}: expected finite numbers or NaN, got {series[row]} in row {row}")
    return series


def _settings(
    *, batch: int, window: int, smoothing: float, buffer: int, separation: float, warmup: int
) -> _Settings:
    for name, value, least in (
        ("batch", batch, 1),
        ("window", window, batch),
        ("buffer", buffer, 1),
        ("warmup", warmup, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name}: expected a whole number >= {least}, got {value!r}")
    if not 0.0 < smoothing <= 1.0 or window * smoothing < 1.0:
        raise ValueError(f"smoothing: expected {1.0 / window:.3g} to 1, got {smoothing!r}")
    if not 0.0 <= separation < 1.0:
        raise ValueError(f"separation: expected 0 <= separation < 1, got {separation!r}")
    return _Settings(batch, window, int(window * smoothing), buffer, separation, warmup)


def _averaged(errors: Floats, settings: _Settings) -> Floats:
    """Averages of the errors of an entity, [n]; the first ones are all alike."""
    average = Average(settings.span)
    smoothed = np.array([average.push(error) for error in errors.tolist()])
    if settings.warmup:
        smoothed[: settings.warmup] = smoothed[: 2 * settings.warmup].mean()
    return smoothed


def _judge(smoothed: Floats, values: Floats | None, settings: _Settings) -> Bools:
    """Tell which averages of an entity are anomalous: [n] -> [n]."""
    n, batch = len(smoothed), settings.batch
    later = max(0, (n - settings.window) // batch)  # windows after the first one
    flags = np.zeros(n, np.bool_)
    for begin in range(0, later, _CHUNK):
        starts = np.arange(begin, min(begin + _CHUNK, later)) * batch
        _judge_windows(smoothed, values, starts, settings.window, flags=flags, settings=settings)
    # The last window has what is left over, too.
    last = np.array([later * batch])
    _judge_windows(smoothed, values, last, n - later * batch, flags=flags, settings=settings)
    return flags


def _judge_windows(
    smoothed: Floats,
    values: Floats | None,
    starts: npt.NDArray[np.intp],
    length: int,
    *,
    flags: Bools,
    settings: _Settings,
) -> None:
    """Set the flags [n] that windows of one length add, each knowing those of the ones before."""
    windows = np.lib.stride_tricks.sliding_window_view(smoothed, length)[starts]
    mean, sd = windows.mean(axis=1), windows.std(axis=1)
    mirrored = mean[:, None] + (mean[:, None] - windows)
    tails = [(tail, best_epsilon(tail, mean, sd, settings.buffer)) for tail in (windows, mirrored)]
    over = np.any([(tail >= epsilon[:, None]).any(axis=1) for tail, epsilon in tails], axis=0)
    for i in np.flatnonzero(over & (sd > 0.0)):
        rows = slice(starts[i], starts[i] + length)
        floor = _floor(windows[i], float(sd[i]), None if values is None else values[rows])
        first = (
            _unjudged(len(flags), settings.warmup) if starts[i] == 0 else length - settings.batch
        )
        added = [
            _anomalous(
                tail[i], float(epsilon[i]), floor, flags[rows], first=first, settings=settings
            )
            for tail, epsilon in tails
        ]
        flags[rows] |= added[0] | added[1]


def _unjudged(n: int, warmup: int) -> int:
    """How many errors raise no alarm in a series of n, for want of history."""
    return 2 * warmup if n >= 2500 else warmup if n >= 1800 else 0


def _floor(window: Floats, sd: float, values: Floats | None) -> float:
    """Errors up to here are too small to be anomalous; infinity if all of the window's are."""
    if values is None:
        return -math.inf
    high, low = np.percentile(values, [95, 5])
    floor = _SMALL * float(high - low)
    largest = float(window.max())
    spread_out = sd > _SMALL * float(values.std()) or largest > floor
    return floor if spread_out and largest > _SMALL else math.inf


def _anomalous(
    errors: Floats, epsilon: float, floor: float, known: Bools, *, first: int, settings: _Settings
) -> Bools:
    """Tell which errors [n] of a window, from ``first`` on, are in an anomalous sequence.

    ``known`` [n] are those that windows before have flagged.
    """
    places = np.flatnonzero((errors >= epsilon) & (errors > floor))
    anomalous = near(places, len(errors), settings.buffer)
    anomalous[:first] = False
    if not anomalous.any():
        return anomalous
    highest_normal = float(errors[~(anomalous | known)].max(initial=-math.inf))
    return _pruned(errors, anomalous, highest_normal, settings.separation)


def _pruned(errors: Floats, anomalous: Bools, highest_normal: float, separation: float) -> Bools:
    """Keep the sequences down to the last one that stands out from what comes next, [n]."""
    sequences = _runs(anomalous)
    if not sequences:
        return anomalous  # a single error, at the border of a batch: it may join one there
    peaks = [float(errors[first : last + 1].max()) for first, last in sequences]
    least = math.inf
    for high, low in pairwise([*sorted(peaks, reverse=True), highest_normal]):
        if high == 0.0 or (high - low) / high >= separation:
            least = high
    kept = np.zeros(len(errors), np.bool_)
    for (first, last), peak in zip(sequences, peaks, strict=True):
        if peak >= least:
            kept[first : last + 1] = True
    return kept


def _runs(rows: Bools) -> list[tuple[int, int]]:
    """First and last places of the runs of at least two, [n] -> pairs."""
    first, end = runs_of(rows, np.array([0, len(rows)]))
    long = end - first > 1
    return list(zip(first[long].tolist(), (end[long] - 1).tolist(), strict=True))
