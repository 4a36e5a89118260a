"""How often the columns of each entity have repeated their last value."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from slidecell.detect.streams.state import Saved, array_of

__all__ = ["Repetitions"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_MOST_CELLS = 1 << 22  # entities times columns: those that come later are not watched


class Repetitions:
    """Counts for C columns of many entities; a missing value ends a repetition.

    Parameters
    ----------
    limits : ndarray of float64, [C]
        From how many repetitions on a column stands still.

    Attributes
    ----------
    names : list
        Of the entities that are watched.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.repetitions import Repetitions
    >>> runs = Repetitions(np.array([3.0]))
    >>> runs.add(np.array([[5.0], [5.0], [5.0], [1.0], [5.0]]), ["a", "a", "a", "b", "a"])
    >>> runs.still.tolist(), runs.longest(0)
    ([True], (3, 'a'))
    """

    def __init__(self, limits: Floats) -> None:
        self._limits = limits
        self._codes: dict[Hashable, int] = {}
        self.names: list[Hashable] = []
        self._most = max(_MOST_CELLS // len(limits), 1)
        self._last: Floats = np.full((1, len(limits)), np.nan)
        self._counts: Ints = np.zeros((1, len(limits)), np.int64)
        self._standing: Ints = np.zeros(len(limits), np.int64)
        self._any = False  # whether some value is a repetition: in most series none is

    @property
    def still(self) -> npt.NDArray[np.bool_]:
        """Columns that stand still in some entity, [C]."""
        return self._standing > 0

    def longest(self, column: int) -> tuple[int, Hashable]:
        """Return the most repetitions of a column, and of which entity; None: of the only one."""
        place = int(self._counts[:, column].argmax())
        return int(self._counts[place, column]), self.names[place] if self.names else None

    def add(self, values: Floats, entities: Sequence[Hashable] | None = None) -> None:
        """Take rows [n, C] and whose each of them is; None: all are of one."""
        self._take(values, entities, at_all=True)

    def add_if_none_stands(
        self, values: Floats, entities: Sequence[Hashable] | None = None
    ) -> bool:
        """Do as `add` where no column stands still before, at or between these rows.

        Returns
        -------
        bool
            Whether they were taken. They were not where a column stands still at one of them.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.detect.repetitions import Repetitions
        >>> runs = Repetitions(np.array([2.0]))
        >>> [runs.add_if_none_stands(np.array([[value]])) for value in (1.0, 5.0, 5.0, 5.0)]
        [True, True, True, False]
        """
        return not self._standing.any() and self._take(values, entities, at_all=False)

    def _take(self, values: Floats, entities: Sequence[Hashable] | None, *, at_all: bool) -> bool:
        """Count; without ``at_all`` nothing is changed, and False, where a column stands still."""
        codes = self._codes_of([None] * len(values) if entities is None else entities)
        if (codes < 0).any():
            values, codes = values[codes >= 0], codes[codes >= 0]
        if len(codes) == 0:
            return True
        if (codes != codes[0]).any():
            order = np.argsort(codes, kind="stable")
            values, codes = values[order], codes[order]
        starts, ends = _runs_of(codes)
        before = np.concatenate([values[:1], values[:-1]])
        before[starts] = self._last[codes[starts]]
        places, same = codes[ends], values == before
        if not self._any and not same.any():
            self._last[places] = values[ends]
            return True
        number = np.arange(len(codes))[:, None]
        broken = np.maximum.accumulate(np.where(same, -1, number), axis=0)
        first = np.repeat(starts, ends - starts + 1)[:, None]
        counts = np.where(
            broken >= first, number - broken, self._counts[codes] + number - first + 1
        )
        if not at_all and (counts >= self._limits).any():
            return False
        self._last[places] = values[ends]
        self._standing -= (self._counts[places] >= self._limits).sum(axis=0)
        self._counts[places] = counts[ends]
        self._standing += (self._counts[places] >= self._limits).sum(axis=0)
        self._any = bool(self._counts.any())
        return True

    def saved(self) -> Saved:
        """Return the state, to go on from elsewhere.

        Examples
        --------
        >>> import numpy as np
        >>> from slidecell.detect.repetitions import Repetitions
        >>> first, second = Repetitions(np.array([3.0])), Repetitions(np.array([3.0]))
        >>> first.add(np.array([[5.0], [5.0], [5.0]]), ["a", "a", "a"])
        >>> second.restore(first.saved())
        >>> second.add(np.array([[5.0]]), ["a"])
        >>> second.longest(0)
        (3, 'a')
        """
        count = max(len(self.names), 1)
        parts = {
            "last": self._last[:count].astype("<f8").tobytes(),
            "counts": self._counts[:count].astype("<i8").tobytes(),
        }
        return Saved({"names": self.names}, parts)

    def restore(self, saved: Saved) -> None:
        """Take what `saved` returned of as many columns, with the same limits.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        names = saved.text["names"]
        shape = max(len(names), 1), len(self._limits)
        last = array_of(saved, "last", np.empty(shape))
        counts = array_of(saved, "counts", np.empty(shape, np.int64))
        if len(set(names)) != len(names) or len(names) > self._most or (counts < 0).any():
            raise ValueError("repetitions: expected different names, and counts of at least 0")
        self.names, self._codes = list(names), {name: n for n, name in enumerate(names)}
        self._last, self._counts = last, counts
        self._standing = (counts >= self._limits).sum(axis=0)
        self._any = bool(counts.any())

    def _codes_of(self, entities: Sequence[Hashable]) -> Ints:
        """Return the entities as places; -1 where there is no room for one."""
        codes = np.empty(len(entities), np.int64)
        only = len(set(entities)) == 1
        for row, name in enumerate(entities[:1] if only else entities):
            code = self._codes.get(name, -1)
            if code < 0 and len(self._codes) < self._most:
                code = self._codes[name] = len(self._codes)
                self.names.append(name)
            codes[row] = code
        if only:
            codes[:] = codes[0]
        if len(self._codes) > len(self._last):
            more = 2 * len(self._codes) - len(self._last)
            self._last = np.pad(self._last, ((0, more), (0, 0)), constant_values=np.nan)
            self._counts = np.pad(self._counts, ((0, more), (0, 0)))
        return codes


def _runs_of(codes: Ints) -> tuple[Ints, Ints]:
    """Return where each run of equal codes [n] begins, and where its last one is."""
    cuts = np.flatnonzero(codes[1:] != codes[:-1])
    return np.concatenate([[0], cuts + 1]), np.concatenate([cuts, [len(codes) - 1]])
