"""How the columns of training lay in each stretch of it, and how far other stretches are from that.

A series wanders: its level follows the hour, its spread the load. Rows are therefore not compared
with all rows of training at once, but with the stretch of training that is most like them, and what
counts as far is how far the stretches of training are from each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "DEFAULT",
    "LEAST_ROWS",
    "LEAST_TRAINING",
    "QUANTILES",
    "STRETCHES",
    "StretchSettings",
    "Stretches",
    "columns_of",
    "quantiles_of",
    "unit_of",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

QUANTILES: Floats = (np.arange(20) + 0.5) / 20

LEAST_ROWS = 20  # of a stretch, where training is short
STRETCHES = 8  # of training, at least, that do not overlap
LEAST_TRAINING = LEAST_ROWS * STRETCHES
_MOST, _OVERLAP = 128, 4  # stretches that are kept; how many share a row
_CELLS = 1 << 20  # of all that is kept: of very many columns fewer stretches are

_ARRAYS = ("stretch_quantiles", "stretch_limits")


@dataclass(frozen=True)
class StretchSettings:
    """From where on rows are far; the defaults are what ``benchmarks/drift.py --choose`` found.

    Parameters
    ----------
    rows : int
        Of a stretch, and of the window that is compared with it; fewer where training is short.
    usual : float
        Rows are far beyond this quantile of the distances between stretches of training.
    least_far : float
        A smaller distance, in standard deviations of training, is never far.
    middle : float
        Share of the values, the middle ones, whose range is the unit where it is less than the
        standard deviation says.
    least_still, still : float
        Repetitions of a value that are stillness: so many rows, and so many times as long as the
        longest ones of training.
    missing : float
        Share of missing values that is much, beyond what the worst stretch of training lacks.
    """

    rows: int = 150
    usual: float = 1.0
    least_far: float = 0.4
    middle: float = 0.9
    least_still: float = 50
    still: float = 1.5
    missing: float = 0.1


DEFAULT = StretchSettings()


@dataclass(frozen=True)
class Stretches:
    """What is kept of the stretches of training, of C columns.

    Attributes
    ----------
    rows : int
        Of a stretch.
    unit : ndarray of float64, [C]
        A standard deviation of training, of its middle 90 % where that is less.
    quantiles : ndarray of float64, [C, B, Q]
        Of B stretches, at `QUANTILES`, in units; NaN where less than half of a stretch is known.
    far : ndarray of float64, [C]
        From which distance on rows are far from all stretches.
    still : ndarray of float64, [C]
        From how many repetitions of its last value on a column stands still.
    missing : ndarray of float64, [C]
        From which share on a column lacks much.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.stretches import Stretches
    >>> rng = np.random.default_rng(0)
    >>> kept = Stretches.of(rng.normal(size=(4000, 1)))
    >>> usual, moved = rng.normal(size=(2, 200, 1))
    >>> bool(kept.distance(usual)[0] < kept.far[0] < kept.distance(moved + 1.0)[0])
    True
    """

    rows: int
    unit: Floats
    quantiles: Floats
    far: Floats
    still: Floats
    missing: Floats

    @classmethod
    def of(
        cls,
        values: npt.NDArray[Any],  # [S, C]
        order: Ints | None = None,  # [S]
        entities: Ints | None = None,  # [S]
        *,
        settings: StretchSettings = DEFAULT,
    ) -> Stretches | None:
        """Return those of the rows of training; None where they are fewer than `LEAST_TRAINING`.

        Parameters
        ----------
        values : ndarray, [S, C]
            In the order of entity and time.
        order : ndarray of int, [S], optional
            The rows in the order in which a stream would give them. Default: as they are.
        entities : ndarray of int, [S], optional
            Whose row each is: only rows of one entity repeat a value. Default: all of one.
        settings : StretchSettings
        """
        count, columns = values.shape
        if count < LEAST_TRAINING or columns == 0:
            return None
        rows = min(settings.rows, count // STRETCHES)
        most = max(STRETCHES, min(_MOST, _CELLS // (columns * len(QUANTILES))))
        step = max(rows // _OVERLAP, -(-(count - rows) // most))
        starts = np.arange(0, count - rows + 1, step)
        places = (np.arange(count) if order is None else order)[starts[:, None] + np.arange(rows)]
        limits, quantiles = [], []
        for column in columns_of(values):
            unit = unit_of(column, settings.middle)
            found = quantiles_of(column[places]) / unit
            inside = _distances_inside(found, apart=-(-rows // step))
            missing = np.isnan(column[places]).mean(axis=1).max()
            longest = _longest_run(column, entities)
            quantiles.append(found)
            still = max(settings.least_still, settings.still * longest)
            limits.append((unit, _far(inside, settings), still, missing + settings.missing))
        unit, far, standing, lacking = np.array(limits).T
        return cls(rows, unit, np.stack(quantiles), far, standing, lacking)

    def distance(self, values: Floats) -> Floats:
        """Return how far rows [n, C] are from the stretch of training that is most like them: [C].

        It is Wasserstein's distance of the two samples in units: a column whose level has moved by
        one standard deviation is about 1 from where it was. NaN where less than half is known.
        """
        return self.nearest(self.sketch(values))[1]

    def sketch(self, values: Floats) -> Floats:
        """Return the quantiles of rows [n, C] in units: [C, Q]."""
        return quantiles_of(np.ascontiguousarray(values.T)) / self.unit[:, None]

    def nearest(self, sketch: Floats) -> tuple[Ints, Floats]:
        """Return which stretch of training a `sketch` is most like, and how far it is: [C] each."""
        apart = np.abs(self.quantiles - sketch[:, None]).mean(axis=2)
        apart[np.isnan(apart)] = np.inf
        places = apart.argmin(axis=1)
        least = np.take_along_axis(apart, places[:, None], axis=1)[:, 0]
        return places, np.where(np.isinf(least), np.nan, least)

    def at(self, places: Ints) -> Floats:
        """Return one stretch of each column, those at ``places`` [C]: [C, Q]."""
        return np.asarray(self.quantiles[np.arange(len(places)), places])

    def is_near(self, sketch: Floats, stretches: Floats) -> bool:
        """Tell whether a `sketch` is near to some stretches, one of each column [C, Q].

        Where it is, it is near to the most similar ones too, which are dear to find.
        """
        apart = np.abs(stretches - sketch).sum(axis=1)
        return bool((apart <= len(QUANTILES) * self.far).all())

    def fingerprint(self) -> str:
        """Return 64 digits that other stretches do not have."""
        digest = hashlib.sha256()
        for array in self.arrays().values():
            digest.update(array.astype("<f8").tobytes())
        return digest.hexdigest()

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays that a folder keeps."""
        rows = np.full(len(self.unit), float(self.rows))
        limits = np.column_stack([rows, self.unit, self.far, self.still, self.missing])
        return dict(zip(_ARRAYS, (self.quantiles, limits), strict=True))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], features: int) -> Stretches | None:
        """Return what `arrays` had; None where they are absent: training was short, or is older.

        Raises
        ------
        ValueError
            If an array has another type or shape than `arrays` gives it, or holds no such values.
        """
        if not any(name in arrays for name in _ARRAYS):
            return None
        quantiles, limits = (_checked(arrays, name, features) for name in _ARRAYS)
        rows, unit, far, still, missing = limits.T
        if not (
            np.isfinite(limits).all()
            and (rows == rows[0]).all()
            and (limits[:, :2] > 0.0).all()
            and float(rows[0]).is_integer()
        ):
            raise ValueError(
                "arrays.safetensors: 'stretch_limits': expected a number of rows and positive units"
            )
        return cls(int(rows[0]), unit, quantiles, far, still, missing)


def _checked(arrays: Mapping[str, npt.NDArray[Any]], name: str, features: int) -> Floats:
    if name not in arrays:
        raise ValueError(f"arrays.safetensors: missing array {name!r}")
    array = arrays[name]
    shape: tuple[int, ...] = (features, 5)
    if name == "stretch_quantiles" and array.ndim == 3:
        shape = (features, array.shape[1], len(QUANTILES))
    if array.dtype != np.float64 or array.shape != shape or array.size == 0:
        raise ValueError(
            f"arrays.safetensors: {name!r}: expected float64 {list(shape)}, "
            f"got {array.dtype} {list(array.shape)}"
        )
    return array


def columns_of(values: npt.NDArray[Any]) -> Iterator[Floats]:
    """Yield the columns [S] of a table one by one, NaN where a value is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.stretches import columns_of
    >>> [column.tolist() for column in columns_of(np.array([[1, 2], [3, 4]]))]
    [[1.0, 3.0], [2.0, 4.0]]
    """
    for place in range(values.shape[1]):
        column = values[:, place].astype(np.float64)
        column[np.isinf(column)] = np.nan
        yield column


def unit_of(column: Floats, share: float) -> float:
    """Return the standard deviation, or that of a normal distribution with the same middle.

    Whichever is less; ``share`` is that of the values in the middle.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.stretches import unit_of
    >>> values = np.random.default_rng(0).normal(size=10_000)
    >>> values[0] = 1e6
    >>> round(unit_of(values, 0.9), 1)
    1.0
    """
    known = column[~np.isnan(column)]
    if len(known) == 0:
        return 1.0
    low, high = np.quantile(known, [0.5 - share / 2, 0.5 + share / 2])
    with np.errstate(over="ignore"):
        spread = float(known.std())
        middle = float(high - low) / (2.0 * NormalDist().inv_cdf(0.5 + share / 2))
    unit = min(spread, middle) if middle > 0.0 else spread
    if known.min() == known.max() or not 0.0 < unit < np.inf:
        # A column that never moved has no unit of its own: a hundredth of its value is one.
        unit = 0.01 * float(np.abs(known).max())
    return unit if 0.0 < unit < np.inf else 1.0


def quantiles_of(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the quantiles of samples [..., n]: [..., Q]; NaN where less than half is known.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.stretches import quantiles_of
    >>> quantiles_of(np.arange(20.0)).astype(int).tolist() == list(range(20))
    True
    """
    size = values.shape[-1]
    if np.isfinite(values).all():
        return np.sort(values, axis=-1)[..., np.floor(QUANTILES * size).astype(np.int64)]
    values = np.sort(np.where(np.isinf(values), np.nan, values), axis=-1)  # NaN comes last
    known = size - np.isnan(values).sum(axis=-1)
    places = np.floor(QUANTILES * known[..., None]).astype(np.int64)
    found = np.take_along_axis(values, np.minimum(places, size - 1), axis=-1)
    found[2 * known < size] = np.nan
    return np.asarray(found)


def _distances_inside(quantiles: Floats, *, apart: int) -> Floats:
    """Return how far each stretch [B, Q] is from the most similar one that shares no row: [B]."""
    nearest = np.full(len(quantiles), np.nan)
    for place, own in enumerate(quantiles):
        others = np.concatenate(
            [quantiles[: max(place - apart + 1, 0)], quantiles[place + apart :]]
        )
        if len(others):
            nearest[place] = np.fmin.reduce(np.abs(others - own).mean(axis=1))
    return np.asarray(nearest[~np.isnan(nearest)])


def _far(inside: Floats, settings: StretchSettings) -> float:
    """Return the distance that few stretches of training have to the one most like them."""
    usual = float(np.quantile(inside, settings.usual)) if len(inside) else 0.0
    return max(settings.least_far, usual)


def _longest_run(column: Floats, entities: Ints | None) -> int:
    """Return how often a value is repeated without a break, at most."""
    same = column[1:] == column[:-1]
    if entities is not None:
        same &= entities[1:] == entities[:-1]
    breaks = np.flatnonzero(np.concatenate([[True], ~same, [True]]))
    return int(np.diff(breaks).max(initial=1)) - 1
