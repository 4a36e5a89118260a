"""How the columns of each entity lay in training, and how far an entity's later rows are from that.

Entities differ: a level that is usual for one is a fault of another. The rows of an entity are
therefore compared with its own stretches of training, and those of an entity that training did not
have with the stretches of all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell.detect.stretches import (
    DEFAULT,
    LEAST_ROWS,
    QUANTILES,
    STRETCHES,
    StretchSettings,
    columns_of,
    quantiles_of,
    unit_of,
)

__all__ = ["EntityStretches", "key_of"]

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_MOST, _LEAST = 128, 2  # stretches of an entity
_OVERLAP = 4  # stretches that share a row
_CELLS = 1 << 19  # of all quantiles that are kept: 2 MiB
_COMPARED = 128  # stretches, at most, with which an unknown entity is compared

_ARRAYS = ("entity_keys", "entity_owners", "entity_quantiles", "entity_limits")
_TYPES = (np.dtype(np.uint64), np.dtype(np.int64), np.dtype(np.float32), np.dtype(np.float64))
_LIMITS = 5


def key_of(name: Hashable) -> int:
    """Return a number of 64 bits by which an entity is known again: names themselves are not kept.

    Examples
    --------
    >>> from slidecell.detect.entity_stretches import key_of
    >>> key_of("pump"), key_of("pump") == key_of("valve"), key_of(7) == key_of("7")
    (4392929317953479902, False, True)
    """
    digest = hashlib.blake2b(str(name).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@dataclass(frozen=True)
class EntityStretches:
    """What is kept of E entities of training: B stretches of their C columns.

    Attributes
    ----------
    rows : int
        Of a stretch: all are of one entity.
    center, unit : ndarray of float64, [C]
        Values are kept less the one and divided by the other. The unit is a standard deviation
        within entities, of the middle 90 % where that is less.
    quantiles : ndarray of float32, [B, C, Q]
        Of the stretches, at `QUANTILES`; NaN where less than half of a stretch is known.
    keys : ndarray of uint64, [E]
        Of the entities: see `key_of`.
    owners : ndarray of int64, [B]
        Whose each stretch is: a place in ``keys``, in order.
    far : ndarray of float64, [C]
        From which distance on an entity is far from its own stretches.
    missing : ndarray of float64, [C]
        From which share on an entity lacks much of a column.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.entity_stretches import EntityStretches
    >>> rng = np.random.default_rng(0)
    >>> levels = np.repeat([0.0, 50.0], 2000)
    >>> kept = EntityStretches.of(
    ...     rng.normal(levels)[:, None], np.repeat([0, 1], 2000), ["low", "high"]
    ... )
    >>> usual = kept.scaled(rng.normal(50.0, size=(150, 1)))
    >>> near, far = (kept.distance(kept.sketch(usual), name)[0] for name in ("high", "low"))
    >>> bool(near < kept.far[0] < far)
    True
    """

    rows: int
    center: Floats
    unit: Floats
    quantiles: Singles
    keys: npt.NDArray[np.uint64]
    owners: Ints
    far: Floats
    missing: Floats

    @classmethod
    def of(
        cls,
        values: npt.NDArray[Any],  # [S, C]
        entities: Ints,  # [S]
        names: Sequence[Hashable],  # [E]
        *,
        settings: StretchSettings = DEFAULT,
    ) -> EntityStretches | None:
        """Return those of the rows of training.

        None where they are of one entity, or where most entities are shorter than eight stretches
        of 20 rows.

        Parameters
        ----------
        values : ndarray, [S, C]
            The rows of each entity in the order of time.
        entities : ndarray of int, [S]
            Whose row each is: a place in ``names``.
        names : sequence, [E]
        settings : StretchSettings
        """
        counts = np.bincount(entities, minlength=len(names))
        several = counts[counts > 0]
        columns = values.shape[1]
        if len(several) < 2 or columns == 0:
            return None
        rows = min(settings.rows, int(np.median(several)) // STRETCHES)
        if rows < LEAST_ROWS:
            return None
        known = np.flatnonzero(counts >= _LEAST * rows)
        each = columns * len(QUANTILES)
        room = max(_CELLS // each, STRETCHES)  # stretches
        if len(known) * _LEAST > room:  # the others are compared with all stretches
            known = known[np.linspace(0, len(known) - 1, room // _LEAST).astype(np.int64)]
        most = min(_MOST, room // len(known))
        order = np.argsort(entities, kind="stable")
        first = np.cumsum(counts) - counts
        starts = [first[e] + _starts(int(counts[e]), rows, most) for e in known.tolist()]
        owners = np.repeat(np.arange(len(known)), [len(found) for found in starts])
        places = order[np.concatenate(starts)[:, None] + np.arange(rows)]
        quantiles = np.empty((len(places), columns, len(QUANTILES)), np.float32)
        limits = np.empty((columns, 3))
        for number, column in enumerate(columns_of(values)):
            middle, width = _within(column, entities, counts, settings.middle)
            taken = column[places]
            quantiles[:, number] = quantiles_of((taken - middle) / width)
            limits[number] = middle, width, np.isnan(taken).mean(axis=1).max() + settings.missing
        keys = np.array([key_of(names[e]) for e in known.tolist()], np.uint64)
        far = np.maximum(settings.least_far, _farthest_inside(quantiles, starts, rows))
        center, unit, missing = limits.T
        return cls(rows, center, unit, quantiles, keys, owners, far, missing)

    def scaled(self, values: Floats) -> Singles:
        """Return values [n, C] as they are kept, NaN where one is missing."""
        with np.errstate(over="ignore"):
            found = ((values - self.center) / self.unit).astype(np.float32)
        found[np.isinf(found)] = np.nan
        return found

    @staticmethod
    def sketch(scaled: Singles) -> Singles:
        """Return the quantiles of rows [..., n, C]: [..., C, Q]."""
        return quantiles_of(np.swapaxes(scaled, -1, -2)).astype(np.float32, copy=False)

    def of_entity(self, name: Hashable) -> Singles:
        """Return the stretches with which an entity is compared, [n, C, Q]."""
        place = self._places.get(key_of(name))
        if place is None:
            return self.quantiles[:: -(-len(self.owners) // _COMPARED)]
        first, last = np.searchsorted(self.owners, [place, place + 1])
        return self.quantiles[first:last]

    def distance(self, sketch: Singles, name: Hashable) -> Floats:
        """Return how far an entity's rows are from its stretch that is most like them: [C].

        Wasserstein's distance of the two samples in units, by the `sketch` [C, Q] of the rows. NaN
        where less than half is known.
        """
        apart = np.abs(self.of_entity(name) - sketch).mean(axis=2)
        return np.asarray(np.fmin.reduce(apart, axis=0), np.float64)

    @property
    def _places(self) -> dict[int, int]:
        found: dict[int, int] | None = self.__dict__.get("_by_key")
        if found is None:
            found = {key: place for place, key in enumerate(self.keys.tolist())}
            object.__setattr__(self, "_by_key", found)
        return found

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that a folder keeps."""
        rows = np.full(len(self.unit), float(self.rows))
        limits = np.column_stack([rows, self.center, self.unit, self.far, self.missing])
        kept = (self.keys, self.owners, self.quantiles, limits)
        return dict(zip(_ARRAYS, kept, strict=True))

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, npt.NDArray[Any]], features: int
    ) -> EntityStretches | None:
        """Return what `arrays` had; None where they are absent: of one entity, or older.

        Raises
        ------
        ValueError
            If an array has another type or shape than `arrays` gives it, or holds no such values.
        """
        if not any(name in arrays for name in _ARRAYS):
            return None
        for name in _ARRAYS:
            if name not in arrays:
                raise ValueError(f"arrays.safetensors: missing array {name!r}")
        keys, owners, quantiles, limits = (arrays[name] for name in _ARRAYS)
        shapes = (len(keys),), (len(owners),), (len(owners), features, len(QUANTILES))
        for name, dtype, shape in zip(_ARRAYS, _TYPES, (*shapes, (features, _LIMITS)), strict=True):
            array = arrays[name]
            if array.dtype != dtype or array.shape != shape or array.size == 0:
                raise ValueError(
                    f"arrays.safetensors: {name!r}: expected {dtype} {list(shape)}, "
                    f"got {array.dtype} {list(array.shape)}"
                )
        rows, center, unit, far, missing = limits.T
        if not (np.isfinite(limits).all() and (unit > 0.0).all() and (rows == rows[0]).all()):
            raise ValueError("arrays.safetensors: 'entity_limits': expected positive units")
        if not float(rows[0]).is_integer() or not 1 <= rows[0] <= 1 << 20:
            raise ValueError("arrays.safetensors: 'entity_limits': expected a number of rows")
        if np.any(np.diff(owners) < 0) or owners[0] < 0 or owners[-1] >= len(keys):
            raise ValueError("arrays.safetensors: 'entity_owners': expected places in order")
        return cls(int(rows[0]), center, unit, quantiles, keys, owners, far, missing)


def _within(column: Floats, entities: Ints, counts: Ints, middle: float) -> tuple[float, float]:
    """Return the middle of a column, and how wide the values of an entity lie about its mean."""
    known = ~np.isnan(column)
    if not known.any():
        return 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.bincount(entities, np.where(known, column, 0.0), minlength=len(counts))
        sizes = np.bincount(entities, known, minlength=len(counts))
        inside = column - (sums / np.maximum(sizes, 1))[entities]
        center = float(np.median(column[known]))
    moves = known & np.isfinite(inside) & (inside != 0.0)
    unit = unit_of(inside if moves.any() else column, middle)
    return center if np.isfinite(center) else 0.0, unit


def _starts(count: int, rows: int, most: int) -> Ints:
    """Return where stretches of an entity's ``count`` rows begin, evenly: at most ``most``."""
    number = min(1 + _OVERLAP * (count - rows) // rows, most)
    return np.linspace(0, count - rows, number).astype(np.int64)


def _farthest_inside(quantiles: Singles, starts: Sequence[Ints], rows: int) -> Floats:
    """Return how far a stretch is, at most, from the most similar other one of its entity: [C].

    Others share no row with it.
    """
    farthest = np.zeros(quantiles.shape[1])
    last = 0
    for begun in starts:
        own = quantiles[last : last + len(begun)]
        last += len(begun)
        for sketch, start in zip(own, begun.tolist(), strict=True):
            others = own[np.abs(begun - start) >= rows]
            if len(others):
                nearest = np.fmin.reduce(np.abs(others - sketch).mean(axis=2), axis=0)
                farthest = np.fmax(farthest, nearest)
    return farthest
