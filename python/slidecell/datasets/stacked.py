"""A table of plant sensors with a time column: about a thousand rows for a stacked forecaster."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from slidecell._arguments import at_least
from slidecell._extras import require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["stacked_lstm_table"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_FIRST_HOUR = "2025-01-06"  # a Monday

# Level, height of the daily and of the weekly wave, hour of the daily peak, noise.
_SENSORS = {
    "temperature": (62.0, 6.0, 1.5, 15.0, 0.45),
    "pressure": (4.1, 0.30, 0.10, 9.0, 0.025),
    "flow": (180.0, 35.0, 12.0, 13.0, 2.6),
    "vibration": (1.2, 0.25, 0.08, 14.0, 0.025),
    "power": (75.0, 18.0, 7.0, 14.0, 1.3),
}

# One event per this many rows.
_ROWS_PER_EVENT = 160


def stacked_lstm_table(*, rows: int = 1000, seed: int = 0) -> tuple[pd.DataFrame, Ints]:
    """Generate [S, 6] hourly rows of five sensors with a few faults.

    Each sensor follows the day and the week with noise of its own, and a slow load that all
    share. About one fault in 160 rows: a spike in one sensor, a shift of three, a sensor that
    freezes, a swing that is turned over for half a day.

    Parameters
    ----------
    rows : int
        S, at least 100.
    seed : int
        Same arguments, same rows.

    Returns
    -------
    frame : pandas.DataFrame
        ``time`` (hours from 2025-01-06 on) and the five sensors: no labels, as a file that
        nobody has labelled.
    label : ndarray of int64, [S]
        1 in the rows of a fault.

    Examples
    --------
    >>> from slidecell.datasets import stacked_lstm_table
    >>> frame, label = stacked_lstm_table(seed=0)
    >>> frame.shape, list(frame.columns[:3]), int(label.sum())
    ((1000, 6), ['time', 'temperature', 'pressure'], 40)
    """
    require("pandas", extra="detect")
    import pandas as pd

    rows = at_least("rows", rows, 100)
    rng = np.random.default_rng(seed)
    values = _normal(rng, rows)
    spread = values.std(axis=0)
    label = np.zeros(rows, np.int64)
    # One fault in each equal stretch of rows: they never meet, and every part of the table has
    # some.
    edges = np.linspace(0, rows, max(2, round(rows / _ROWS_PER_EVENT)) + 1).astype(int).tolist()
    faults = (_spike, _shift, _freeze, _turn)
    for number, (first, stop) in enumerate(itertools.pairwise(edges)):
        label[faults[number % len(faults)](rng, values[first:stop], spread, first)] = 1
    hours = pd.date_range(_FIRST_HOUR, periods=rows, freq="h")
    frame = pd.DataFrame(values, columns=list(_SENSORS)).round(4)
    frame.insert(0, "time", hours)
    return frame, label


def _normal(rng: np.random.Generator, rows: int) -> Floats:
    """Draw the sensors without faults, [S, 5]."""
    hour = np.arange(rows)
    load = _slow(rng, rows)
    columns = []
    for level, day, week, peak, noise in _SENSORS.values():
        daily = day * np.cos(2 * np.pi * (hour - peak) / 24)
        weekly = week * np.cos(2 * np.pi * hour / 168)
        columns.append(level + daily + weekly + 0.3 * day * load + rng.normal(0, noise, rows))
    return np.stack(columns, axis=1)


def _slow(rng: np.random.Generator, rows: int) -> Floats:
    """Draw three waves of 10 to 19 days, their mean: between -1 and 1, [S]."""
    hour = np.arange(rows)
    periods, phases = rng.uniform(250, 450, 3), rng.uniform(0, 2 * np.pi, 3)
    waves = np.sin(2 * np.pi * hour[:, None] / periods + phases)
    mean: Floats = waves.mean(axis=1)
    return mean


def _start(rng: np.random.Generator, part: Floats, length: int) -> int:
    """Draw where a fault of some rows begins inside its stretch."""
    return int(rng.integers(len(part) // 4, len(part) - length))


def _spike(rng: np.random.Generator, part: Floats, spread: Floats, first: int) -> slice:
    row, sensor = _start(rng, part, 1), int(rng.integers(part.shape[1]))
    part[row, sensor] += rng.choice([-1, 1]) * rng.uniform(3.0, 5.0) * spread[sensor]
    return slice(first + row, first + row + 1)


def _shift(rng: np.random.Generator, part: Floats, spread: Floats, first: int) -> slice:
    length = int(rng.integers(4, 9))
    start = _start(rng, part, length)
    sensors = rng.choice(part.shape[1], 3, replace=False)
    part[start : start + length, sensors] += rng.uniform(1.5, 2.5, 3) * spread[sensors]
    return slice(first + start, first + start + length)


def _freeze(rng: np.random.Generator, part: Floats, spread: Floats, first: int) -> slice:
    length = int(rng.integers(8, 15))
    start, sensor = _start(rng, part, length), int(rng.integers(part.shape[1]))
    part[start : start + length, sensor] = part[start, sensor]
    return slice(first + start, first + start + length)


def _turn(rng: np.random.Generator, part: Floats, spread: Floats, first: int) -> slice:
    length = int(rng.integers(8, 15))
    start, sensor = _start(rng, part, length), int(rng.integers(part.shape[1]))
    span = slice(start, start + length)
    part[span, sensor] = 2 * part[:, sensor].mean() - part[span, sensor]
    return slice(first + start, first + start + length)
