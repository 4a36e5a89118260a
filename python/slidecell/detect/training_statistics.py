"""What training looked like, in few numbers, and how far other rows are from it.

A detector keeps the statistics of the rows that it was fitted on, and of their scores. Rows that
are scored later are compared with them: has the level moved, the spread, do values leave the range,
are more of them missing? A `Sketch` takes rows piece by piece, in memory that does not grow with
them, so that a stream compares its last rows as a file does.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.entity_stretches import EntityStretches
from slidecell.detect.streams.state import Saved, array_of
from slidecell.detect.stretches import Stretches

__all__ = ["LEVELS", "Drift", "Sketch", "Statistics", "TrainingStatistics", "compare"]

Floats = npt.NDArray[np.float64]

# Levels of the quantiles that are kept: each percent, and more at the ends, where alarms are.
LEVELS: Floats = np.concatenate([[0, 0.001, 0.005], np.arange(1, 100) / 100, [0.995, 0.999, 1]])

_CHUNK = 1 << 16  # rows at a time: their float64 copies stay small
_CELLS = 1 << 20  # of the sample, at most, so that many columns take no more memory
_MOST_ROWS, _LEAST_ROWS = 8192, 512  # of the sample: its quantiles are about 0.5 % of rows off
_FEW = 1e-4  # the least share of a bin, where population stability divides by it

_SUMS = ("count", "outside", "mean", "squares", "least", "greatest")


@dataclass(frozen=True)
class Statistics:
    """Level, spread, range and quantiles of C columns.

    Values that are NaN or infinite are missing and count for nothing else. A column without a value
    has NaN.

    Attributes
    ----------
    rows : int
    missing : ndarray of float64, [C]
        Missing values.
    outside : ndarray of float64, [C]
        Values outside the range that the sketch was given; 0 without one.
    mean, sd : ndarray of float64, [C]
    quantiles : ndarray of float64, [C, len(LEVELS)]
        The first and the last are the least and the greatest value, exactly; those between are
        taken from a sample where there are many rows.
    """

    rows: int
    missing: Floats
    outside: Floats
    mean: Floats
    sd: Floats
    quantiles: Floats

    @property
    def low(self) -> Floats:
        """The least values, [C]."""
        return self.quantiles[:, 0]

    @property
    def high(self) -> Floats:
        """The greatest values, [C]."""
        return self.quantiles[:, -1]

    def at(self, level: float) -> Floats:
        """Return the quantiles of one of `LEVELS`, [C]."""
        return self.quantiles[:, int(np.argmin(np.abs(LEVELS - level)))]

    def share_below(self, values: Floats) -> Floats:
        """Return the share of each column's values up to and including ``values`` [C, n]: [C, n].

        To the nearest of `LEVELS`.
        """
        reached = [
            np.searchsorted(own, asked, side="right")
            for own, asked in zip(self.quantiles, values, strict=True)
        ]
        return np.concatenate([[0.0], LEVELS])[np.array(reached, np.int64).reshape(values.shape)]

    def take(self, columns: npt.NDArray[np.int64]) -> Statistics:
        """Return the statistics of some columns, in their order."""
        return Statistics(
            self.rows,
            self.missing[columns],
            self.outside[columns],
            self.mean[columns],
            self.sd[columns],
            self.quantiles[columns],
        )

    def sketch(self) -> Sketch:
        """Return a new sketch of as many columns, which counts what lies outside their range."""
        return Sketch(len(self.mean), low=self.low, high=self.high)


class Sketch:
    """Statistics of rows that come piece by piece.

    Means, deviations, ranges and counts are of all rows. Quantiles are those of a random sample of
    about 8,000 rows (fewer of very many columns), which is drawn alike however the rows are cut.

    Parameters
    ----------
    columns : int
        C.
    low, high : ndarray of float64, [C], optional
        Values below or above are counted as outside.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.drift import Sketch
    >>> sketch = Sketch(1)
    >>> for piece in (np.arange(50.0), np.arange(50.0, 101.0)):
    ...     sketch.add(piece[:, None])
    >>> found = sketch.statistics()
    >>> found.rows, found.mean.tolist(), found.low.tolist(), found.at(0.9).tolist()
    (101, [50.0], [0.0], [90.0])
    """

    def __init__(self, columns: int, *, low: Floats | None = None, high: Floats | None = None):
        self._most = max(_LEAST_ROWS, min(_MOST_ROWS, _CELLS // max(columns, 1)))
        self._low, self._high = low, high
        self._rows = 0
        self._count = np.zeros(columns)
        self._outside = np.zeros(columns)
        self._mean = np.zeros(columns)
        self._squares = np.zeros(columns)  # sum of squared deviations from the mean
        self._least = np.full(columns, np.inf)
        self._greatest = np.full(columns, -np.inf)
        self._generator = np.random.default_rng(0)
        self._share = 1.0  # of the rows that the sample has
        self._draws: Floats = np.empty(0)
        self._sample: Floats = np.empty((0, columns))

    def add(self, values: npt.NDArray[Any]) -> None:
        """Take rows [n, C]."""
        for first in range(0, len(values), _CHUNK):
            self._add_chunk(values[first : first + _CHUNK].astype(np.float64))

    def _add_chunk(self, values: Floats) -> None:
        values[~np.isfinite(values)] = np.nan
        known = ~np.isnan(values)
        count = known.sum(axis=0).astype(np.float64)
        self._rows += len(values)
        self._least = np.fmin(self._least, np.fmin.reduce(values, axis=0, initial=np.inf))
        self._greatest = np.fmax(self._greatest, np.fmax.reduce(values, axis=0, initial=-np.inf))
        if self._low is not None and self._high is not None:
            self._outside += ((values < self._low) | (values > self._high)).sum(axis=0)
        self._add_moments(np.where(known, values, 0.0), known, count)
        draws = self._generator.random(len(values))
        taken = draws < self._share
        self._draws = np.concatenate([self._draws, draws[taken]])
        self._sample = np.concatenate([self._sample, values[taken]])
        while len(self._draws) > 2 * self._most:
            self._share /= 2
            kept = self._draws < self._share
            self._draws, self._sample = self._draws[kept], self._sample[kept]

    def _add_moments(self, values: Floats, known: npt.NDArray[np.bool_], count: Floats) -> None:
        """Join mean and squared deviations with those of a piece (Chan, Golub, LeVeque 1979)."""
        total = np.maximum(self._count + count, 1.0)
        # Values near the end of float64 overflow: mean or deviation is not known then.
        with np.errstate(over="ignore", invalid="ignore"):
            mean = values.sum(axis=0) / np.maximum(count, 1.0)
            squares = np.square(np.where(known, values - mean, 0.0)).sum(axis=0)
            step = mean - self._mean
            self._squares += squares + step * step * (self._count * count / total)
            self._mean += step * (count / total)
        self._count += count

    def saved(self) -> Saved:
        """Return the state, to go on from elsewhere as if it were one sketch.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.detect.training_statistics import Sketch
        >>> first, second = Sketch(1), Sketch(1)
        >>> first.add(np.arange(50.0)[:, None])
        >>> second.restore(first.saved())
        >>> second.statistics().rows
        50
        """
        text = {
            "rows": self._rows,
            "share": self._share,
            "generator": self._generator.bit_generator.state,
        }
        parts = {
            name: getattr(self, f"_{name}").astype("<f8").tobytes()
            for name in (*_SUMS, "draws", "sample")
        }
        return Saved(text, parts)

    def restore(self, saved: Saved) -> None:
        """Take what `saved` returned of a sketch of as many columns, and of the same range."""
        for name in _SUMS:
            setattr(self, f"_{name}", array_of(saved, name, getattr(self, f"_{name}")))
        self._draws = np.frombuffer(saved.parts["draws"], "<f8").astype(np.float64)
        like = np.empty((len(self._draws), len(self._mean)))
        self._sample = array_of(saved, "sample", like)
        self._rows, self._share = int(saved.text["rows"]), float(saved.text["share"])
        self._generator.bit_generator.state = saved.text["generator"]

    def statistics(self) -> Statistics:
        """Return what is known of the rows so far."""
        empty = self._count == 0
        mean, sd = self._mean.copy(), np.sqrt(self._squares / np.maximum(self._count, 1.0))
        mean[empty] = sd[empty] = np.nan
        # Rounding of the mean leaves a deviation to equal values.
        sd[self._least == self._greatest] = 0.0
        quantiles = np.full((len(mean), len(LEVELS)), np.nan)
        for column, values in enumerate(self._sample.T):
            found = values[~np.isnan(values)]
            if len(found):
                quantiles[column] = np.quantile(found, LEVELS, method="inverted_cdf")
        # A value that few rows have may be in no row of the sample.
        bare = np.isnan(quantiles[:, 0]) & ~empty
        quantiles[bare] = self._least[bare, None]
        quantiles[:, 0] = np.where(empty, np.nan, self._least)
        quantiles[:, -1] = np.where(empty, np.nan, self._greatest)
        return Statistics(
            self._rows, self._rows - self._count, self._outside.copy(), mean, sd, quantiles
        )


@dataclass(frozen=True)
class Drift:
    """How rows differ from those of training: [C] each, NaN where nobody can tell.

    A column without a value has NaN everywhere; one that is constant in training no level and no
    spread; one that leaves its usual value in less than a tenth of the rows of training no spread.

    Attributes
    ----------
    level : ndarray of float64
        How far the values have moved, in standard deviations of training: the less of what mean and
        median have moved, so that neither a few large values nor a column of two values, whose
        median jumps, is taken for it. 0 where they moved in opposite directions.
    spread : ndarray of float64
        How many times as wide the values lie: by standard deviation or by the range of the middle
        90 %, whichever has changed less.
    outside : ndarray of float64
        Share of the values that lie outside the range of training.
    missing : ndarray of float64
        Share of missing values, less that of training.
    distance : ndarray of float64
        Greatest difference between the two distribution functions (Kolmogorov and Smirnov).
    stability : ndarray of float64
        Population stability index over the tenths of training: below 0.1 is usual, above 0.25 is
        much.
    """

    level: Floats
    spread: Floats
    outside: Floats
    missing: Floats
    distance: Floats
    stability: Floats


def compare(training: Statistics, recent: Statistics) -> Drift:
    """Return how the columns of recent rows differ from those of training.

    Parameters
    ----------
    training : Statistics
    recent : Statistics
        Of `Statistics.sketch` of the training's, so that what lies outside is counted.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.drift import Sketch, compare
    >>> rng = np.random.default_rng(0)
    >>> sketch = Sketch(2)
    >>> sketch.add(rng.normal(size=(5000, 2)))
    >>> training = sketch.statistics()
    >>> recent = training.sketch()
    >>> recent.add(rng.normal(size=(5000, 2)) * [1.0, 3.0] + [2.0, 0.0])
    >>> drift = compare(training, recent.statistics())
    >>> drift.level.round(1).tolist(), drift.spread.round(1).tolist()
    ([2.0, 0.0], [1.0, 3.0])
    """
    with np.errstate(all="ignore"):
        spans = [(found.at(0.95) - found.at(0.05)) for found in (training, recent)]
        # The range of the middle 90 % is that of a normal distribution with this deviation.
        unit = np.where(spans[0] > 0.0, np.fmin(training.sd, spans[0] / 3.29), training.sd)
        moved = recent.mean - training.mean, recent.at(0.5) - training.at(0.5)
        less = np.where(np.abs(moved[0]) < np.abs(moved[1]), *moved)
        level = np.where(moved[0] * moved[1] > 0.0, less, 0.0) / unit
        level[unit == 0.0] = np.nan
        ratios = recent.sd / training.sd, spans[1] / spans[0]
        nearer = np.abs(np.log(ratios[0])) < np.abs(np.log(ratios[1]))
        spread = np.where(nearer, *ratios)
        # Events so rare that the middle 90 % is one value may be absent by chance.
        spread[~(spans[0] > 0.0)] = np.nan
        known = recent.rows - recent.missing
        outside = recent.outside / known
        missing = recent.missing / recent.rows - training.missing / training.rows
    nowhere = np.isnan(training.mean) | np.isnan(recent.mean)
    level[nowhere] = spread[nowhere] = np.nan
    return Drift(
        level,
        spread,
        outside,
        missing,
        np.where(nowhere, np.nan, _distance(training, recent)),
        np.where(nowhere, np.nan, _stability(training, recent)),
    )


def _distance(training: Statistics, recent: Statistics) -> Floats:
    """Return the greatest difference of the distribution functions, [C]."""
    places = np.concatenate([training.quantiles, recent.quantiles], axis=1)
    return np.asarray(
        np.abs(training.share_below(places) - recent.share_below(places)).max(axis=1, initial=0.0)
    )


def _stability(training: Statistics, recent: Statistics) -> Floats:
    """Return the population stability index over the tenths of training, [C]."""
    edges = np.stack([training.at(tenth / 10) for tenth in range(1, 10)], axis=1)
    shares = []
    for found in (training, recent):
        below = found.share_below(edges)
        bins = np.diff(below, axis=1, prepend=0.0, append=1.0)
        shares.append(bins)
    # Bins between equal edges have nothing in both.
    held = (shares[0] > 0.0) | (shares[1] > 0.0)
    usual, now = (np.maximum(bins, _FEW) for bins in shares)
    return np.asarray(np.where(held, (now - usual) * np.log(now / usual), 0.0).sum(axis=1))


@dataclass(frozen=True)
class TrainingStatistics:
    """What a detector keeps of the rows that it was fitted on.

    Attributes
    ----------
    columns : Statistics
        Of the F features.
    scores : Statistics
        Of the scores, one column; rows without one are its missing values.
    stretches : Stretches or None
        Of the features; None of short trainings and of older folders.
    entities : EntityStretches or None
        Of the features of each entity; None where there was one entity, or entities were short.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect import ZScoreDetector
    >>> detector = ZScoreDetector(contamination=0.1).fit(np.arange(100.0)[:, None])
    >>> kept = detector.training_statistics_
    >>> kept.columns.low.tolist(), kept.columns.high.tolist(), kept.scores.high.round(2).tolist()
    ([0.0], [99.0], [1.71])
    """

    columns: Statistics
    scores: Statistics
    stretches: Stretches | None = None
    entities: EntityStretches | None = None

    @classmethod
    def of(
        cls,
        features: npt.NDArray[Any],  # [S,F]
        scores: npt.NDArray[Any],  # [S]
        *,
        order: npt.NDArray[np.int64] | None = None,  # [S]
        segments: npt.NDArray[np.int64] | None = None,  # [S]
        entities: npt.NDArray[np.int64] | None = None,  # [S]
        names: Sequence[Hashable] = (),  # [E]
    ) -> TrainingStatistics:
        """Return the statistics of fitted rows and their scores.

        Parameters
        ----------
        features : ndarray, [S, F]
            In the order of entity and time.
        scores : ndarray, [S]
        order : ndarray of int, [S], optional
            The rows in the order of time. Default: as they are.
        segments : ndarray of int, [S], optional
            Which rows follow each other. Default: all.
        entities : ndarray of int, [S], optional
            Whose row each is: a place in ``names``. Default: all are of one.
        names : sequence, [E]
        """
        found = []
        for values in (features, scores[:, None]):
            sketch = Sketch(values.shape[1])
            sketch.add(values)
            found.append(sketch.statistics())
        columns, scored = found
        stretches = Stretches.of(features, order, segments)
        if entities is None or stretches is None:
            return cls(columns, scored, stretches)
        return cls(columns, scored, stretches, EntityStretches.of(features, entities, names))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that a folder keeps."""
        return {
            "training_columns": _packed(self.columns),
            "training_scores": _packed(self.scores),
            **({} if self.stretches is None else self.stretches.arrays()),
            **({} if self.entities is None else self.entities.arrays()),
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, npt.NDArray[Any]], features: int
    ) -> TrainingStatistics | None:
        """Return what `arrays` had; None where they are absent, as in folders of version 0.1.

        Raises
        ------
        ValueError
            If an array has another type or shape than `arrays` gives it.
        """
        expected = {
            "training_columns": (features, 4 + len(LEVELS)),
            "training_scores": (1, 4 + len(LEVELS)),
        }
        if not any(name in arrays for name in expected):
            return None
        for name, shape in expected.items():
            if name not in arrays:
                raise ValueError(f"arrays.safetensors: missing array {name!r}")
            array = arrays[name]
            if array.dtype != np.float64 or array.shape != shape:
                raise ValueError(
                    f"arrays.safetensors: {name!r}: expected float64 {list(shape)}, "
                    f"got {array.dtype} {list(array.shape)}"
                )
        columns, scores = (_unpacked(arrays[name], name) for name in expected)
        return cls(
            columns,
            scores,
            Stretches.from_arrays(arrays, features),
            EntityStretches.from_arrays(arrays, features),
        )


def _packed(found: Statistics) -> Floats:
    """Return statistics as one array [C, 4 + Q]: rows, missing, mean, sd, quantiles."""
    rows = np.full(len(found.mean), float(found.rows))
    return np.column_stack([rows, found.missing, found.mean, found.sd, found.quantiles])


def _unpacked(array: Floats, name: str) -> Statistics:
    rows, missing, mean, sd = array[:, :4].T
    if not (np.isfinite(rows).all() and (rows >= 1).all() and np.ptp(rows) == 0):
        raise ValueError(f"arrays.safetensors: {name!r}: expected a number of rows, got {rows[0]}")
    return Statistics(int(rows[0]), missing, np.zeros(len(mean)), mean, sd, array[:, 4:])
