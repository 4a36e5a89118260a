"""What both forms of the dynamic threshold share: the average, the search for epsilon, buffers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from slidecell.thresholds.base import Bools
from slidecell.thresholds.scores import Floats

__all__ = ["MOST_SD", "Average", "best_epsilon", "near"]

MOST_SD = 12.0  # where no candidate separates anything, epsilon is so many sd above the mean
_CANDIDATES = np.arange(2.5, MOST_SD, 0.5)  # in sd above the mean
_MOST_SEQUENCES = 5


class Average:
    """Exponentially weighted average that weighs its first scores fully.

    The weights of the scores so far are 1, 1 - alpha, (1 - alpha)^2 .. from the newest one back,
    with alpha = 2 / (span + 1), and are divided by their sum.

    Examples
    --------
    >>> from slidecell.thresholds.dynamic_parts import Average
    >>> average = Average(span=3)
    >>> average.push(1.0), average.push(4.0)
    (1.0, 3.0)
    """

    def __init__(self, span: int) -> None:
        self.decay = 1.0 - 2.0 / (span + 1.0)
        self.value = 0.0
        self.weight = 0.0  # of all scores so far, before the next one's decay

    def push(self, score: float) -> float:
        """Take the next score and return the average."""
        older = self.weight * self.decay
        if self.value != score:  # equal scores have exactly that average
            self.value = (older * self.value + score) / (older + 1.0)
        self.weight = older + 1.0
        return self.value

    def needed(self, level: float) -> float:
        """Return the score that would make the average ``level``."""
        older = self.weight * self.decay
        return level * (older + 1.0) - older * self.value


def best_epsilon(windows: Floats, mean: Floats, sd: Floats, buffer: int) -> Floats:
    """Find the threshold of each window of smoothed errors: [N, n] -> [N] [1]_.

    Of mean + z sd (z = 2.5, 3 .. 11.5) the one whose excesses, when they are left out, lower mean
    and sd most for their number and that of their sequences (section 3.2). Each excess takes
    ``buffer`` - 1 errors on both sides with it. More than 5 sequences, or half of the errors, are
    no anomalies. Without a candidate: 12 sd.

    Parameters
    ----------
    windows : ndarray, [N, n]
    mean, sd : ndarray, [N]
        Of the windows.
    buffer : int

    References
    ----------
    .. [1] K. Hundman, V. Constantinou, C. Laporte, I. Colwell, T. Soderstrom (2018), "Detecting
       Spacecraft Anomalies Using LSTMs and Nonparametric Dynamic Thresholding", KDD, 387-395.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.thresholds.dynamic_parts import best_epsilon
    >>> errors = np.append(np.tile([0.9, 1.1], 50), 9.0)[None]
    >>> mean, sd = errors.mean(axis=1), errors.std(axis=1)
    >>> bool(1.1 < best_epsilon(errors, mean, sd, buffer=3)[0] < 9.0)
    True
    """
    N, n = windows.shape
    found = mean + MOST_SD * sd
    best = np.full(N, -np.inf)
    usable = (sd > 0.0) & (mean != 0.0)
    row, place = np.nonzero((windows >= (mean + sd * _CANDIDATES[0])[:, None]) & usable[:, None])
    value = windows[row, place]
    away = value - mean[row]
    for z in _CANDIDATES:
        epsilon = mean + sd * z
        above = value >= epsilon[row]
        row, place, value, away = row[above], place[above], value[above], away[above]
        if len(row) == 0:
            break
        sequences, covered = _sequences(row, place, N, n, buffer - 1)
        # All deviations from the mean sum to 0, their squares to n sd^2.
        left = np.maximum(n - np.bincount(row, minlength=N), 1)
        shift = np.bincount(row, away, N) / left
        squares = (n * sd * sd - np.bincount(row, away * away, N)) / left
        rest = np.sqrt(np.maximum(squares - shift * shift, 0.0))
        worth = _share(shift, np.abs(mean)) + _share(sd - rest, sd)
        worth = _share(worth, sequences * sequences + covered)
        taken = (worth >= best) & (covered > 0)
        taken &= (sequences <= _MOST_SEQUENCES) & (covered < 0.5 * n)
        best[taken], found[taken] = worth[taken], epsilon[taken]
    return found


def _sequences(
    row: npt.NDArray[np.intp], place: npt.NDArray[np.intp], N: int, n: int, reach: int
) -> tuple[Floats, Floats]:
    """Count sequences of more than one error, and errors in all, when each excess takes its reach.

    Excesses [e] come by window and place; the counts are [N].
    """
    fresh = np.ones(len(row), np.bool_)
    fresh[1:] = (row[1:] != row[:-1]) | (place[1:] - place[:-1] > 2 * reach + 1)
    first = np.flatnonzero(fresh)
    last = np.append(first[1:], len(row)) - 1
    length = np.minimum(place[last] + reach, n - 1) - np.maximum(place[first] - reach, 0) + 1
    owner = row[first]
    sequences = np.bincount(owner, length > 1, N).astype(np.float64)
    return sequences, np.bincount(owner, length, N).astype(np.float64)


def _share(part: Floats, whole: Floats) -> Floats:
    """Divide; 0 where there is nothing to divide by: such windows are not looked at."""
    share: Floats = np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0.0)
    return share


def near(places: npt.NDArray[np.intp], n: int, reach: int) -> Bools:
    """Mark what is at most ``reach`` away from one of the places: bool [n].

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.thresholds.dynamic_parts import near
    >>> np.flatnonzero(near(np.array([0, 5]), 9, 2)).tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    steps = np.bincount(np.maximum(places - reach, 0), minlength=n + 1)
    steps = steps - np.bincount(np.minimum(places + reach + 1, n), minlength=n + 1)
    marked: Bools = np.cumsum(steps[:n]) > 0
    return marked
