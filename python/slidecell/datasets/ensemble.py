"""Eight channels of mixed sine waves with four kinds of anomaly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from slidecell._arguments import at_least
from slidecell.datasets.labelled import LabelledRows

__all__ = ["ENSEMBLE_KINDS", "ensemble_series"]

Floats = npt.NDArray[np.float64]
# Changes a series [S, F] in place and returns the rows to be labelled.
Injector = Callable[[np.random.Generator, Floats], slice]

ENSEMBLE_KINDS = ("none", "point", "contextual", "collective", "variance")

# How many of each kind, in the order in which they are drawn.
_COUNTS = {"point": 120, "contextual": 8, "collective": 6, "variance": 5}

# Spans start at row 200 or later and at least 500 rows before the end.
_LEAST_ROWS = 1000


def ensemble_series(*, rows: int = 15_000, channels: int = 8, seed: int = 123) -> LabelledRows:
    """Generate [S, F] rows of sine waves with point, contextual, collective, variance anomalies.

    Every channel is a sum of two sine waves of its own frequencies, with noise of 0.12 and a slow
    drift that all share. 120 spikes of 3.5 to 6 in one channel; 8 spans of 30 to 79 rows in which
    one channel is turned over and stretched by 1.2; 6 spans of 40 to 99 rows in which all
    channels are shifted by 0.9 to 2.8; 5 spans of 50 to 119 rows with noise of 1.8 in one channel.

    Random numbers are drawn in the order of the published system that this series comes from, so
    that the default arguments give its very numbers.

    Parameters
    ----------
    rows : int
        S, at least 1000.
    channels : int
        F.
    seed : int
        Same arguments, same rows.

    Returns
    -------
    LabelledRows
        With ``kind``: a place in `ENSEMBLE_KINDS`, of a row with two kinds the later one.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.datasets import ENSEMBLE_KINDS, ensemble_series
    >>> rows = ensemble_series()
    >>> rows.series.shape, round(float(rows.label.mean()), 4)
    ((15000, 8), 0.0872)
    >>> dict(zip(ENSEMBLE_KINDS, np.bincount(rows.kind).tolist()))
    {'none': 13692, 'point': 111, 'contextual': 347, 'collective': 383, 'variance': 467}
    """
    rows = at_least("rows", rows, _LEAST_ROWS)
    channels = at_least("channels", channels)
    rng = np.random.default_rng(seed)
    series = _normal(rng, rows, channels)
    kind = np.zeros(rows, np.int64)
    for name, count in _COUNTS.items():
        for _ in range(count):
            kind[_INJECTORS[name](rng, series)] = ENSEMBLE_KINDS.index(name)
    label = (kind > 0).astype(np.int64)
    names = tuple(f"channel_{channel}" for channel in range(channels))
    return LabelledRows("ensemble", series, label, names, kind=kind, kinds=ENSEMBLE_KINDS)


def _normal(rng: np.random.Generator, rows: int, channels: int) -> Floats:
    """Draw the series without anomalies, [S, F]."""
    t = np.linspace(0.0, 100.0, rows)
    series = np.empty((rows, channels))
    for channel in range(channels):
        slow = np.sin(2 * np.pi * (0.1 + 0.05 * channel) * t + channel)
        fast = np.sin(2 * np.pi * (0.3 + 0.08 * channel) * t + 0.7 * channel)
        series[:, channel] = slow + 0.5 * fast + rng.normal(0.0, 0.12, rows)
    series += 0.3 * np.sin(t / 30.0)[:, None]
    return series


def _span(
    rng: np.random.Generator, series: Floats, first: int, last: int, lengths: tuple[int, int]
) -> slice:
    """Draw rows: a start from `first` on, at least `last` before the end, and a length."""
    start = int(rng.integers(first, len(series) - last))
    return slice(start, start + int(rng.integers(*lengths)))


def _channel(rng: np.random.Generator, series: Floats) -> int:
    return int(rng.integers(0, series.shape[1]))


def _point(rng: np.random.Generator, series: Floats) -> slice:
    row = int(rng.integers(50, len(series) - 50))
    channel = _channel(rng, series)
    sign = rng.choice([-1, 1])
    series[row, channel] += sign * rng.uniform(3.5, 6.0)
    return slice(row, row + 1)


def _contextual(rng: np.random.Generator, series: Floats) -> slice:
    span = _span(rng, series, 200, 500, (30, 80))
    series[span, _channel(rng, series)] *= -1.2
    return span


def _collective(rng: np.random.Generator, series: Floats) -> slice:
    span = _span(rng, series, 300, 300, (40, 100))
    shift = rng.uniform(1.5, 2.8)
    series[span] += shift * rng.uniform(0.6, 1.0, series.shape[1])
    return span


def _variance(rng: np.random.Generator, series: Floats) -> slice:
    span = _span(rng, series, 200, 400, (50, 120))
    channel = _channel(rng, series)
    series[span, channel] += rng.normal(0.0, 1.8, span.stop - span.start)
    return span


_INJECTORS: dict[str, Injector] = {
    "point": _point,
    "contextual": _contextual,
    "collective": _collective,
    "variance": _variance,
}
