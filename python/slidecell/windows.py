"""Sliding windows over a series of one or many entities."""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from slidecell import _core
from slidecell._arguments import whole_number
from slidecell._arrays import integer_array, real_array
from slidecell.entities import entity_offsets

__all__ = ["WindowPlan", "entity_offsets", "sliding_windows"]

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int64]
Output: TypeAlias = Floats | tuple[Floats, Floats]


def _int64(name: str, value: int) -> int:
    number = whole_number(name, value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name}: expected a 64-bit integer, got {number}")
    return number


class WindowPlan:
    """The windows of a series, in memory proportional to the number of entities.

    Entity g owns rows `offsets[g]:offsets[g+1]`. An entity of n rows has no window if
    `n < window + horizon`, else `(n - window - horizon) // stride + 1`; its window i covers its
    rows `i*stride .. i*stride+window-1`, and the target is the `horizon` rows after them. A window
    never crosses an entity. Windows are numbered through, entity by entity.

    Parameters
    ----------
    offsets : array_like of int, [G+1]
        Starts at 0, never decreases and ends at S, the number of rows.
    window : int
        W >= 1, rows in a window.
    horizon : int
        K >= 0, rows to forecast after the window; 0: reconstruct the window itself.
    stride : int
        Rows from one window of an entity to the next, >= 1.

    Raises
    ------
    ValueError
        If a number is out of its range; the text names it.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> plan = sc.WindowPlan([0, 6, 8, 11], window=2, horizon=1, stride=2)
    >>> len(plan), plan.starts(), plan.rows()
    (3, array([0, 2, 8]), array([ 2,  4, 10]))
    >>> X, y = plan.gather(np.arange(11.0)[:, None], [2, 0])
    >>> X[:, :, 0], y[:, :, 0]
    (array([[8., 9.],
           [0., 1.]], dtype=float32), array([[10.],
           [ 2.]], dtype=float32))
    """

    def __init__(
        self, offsets: npt.ArrayLike, *, window: int, horizon: int = 1, stride: int = 1
    ) -> None:
        self._core = _core.WindowPlan(
            offsets,
            _int64("window", window),
            _int64("horizon", horizon),
            _int64("stride", stride),
        )

    @classmethod
    def from_lengths(
        cls, lengths: npt.ArrayLike, *, window: int, horizon: int = 1, stride: int = 1
    ) -> WindowPlan:
        """Plan for entities of these numbers of rows, one after the other.

        Parameters
        ----------
        lengths : array_like of int, [G]
            Rows of each entity, >= 0.
        window, horizon, stride : int
            As in the constructor.

        Examples
        --------
        >>> import slidecell as sc
        >>> sc.WindowPlan.from_lengths([6, 2, 3], window=2).offsets
        array([ 0,  6,  8, 11])
        """
        rows = integer_array(lengths, name="lengths")
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise ValueError(
                f"lengths: expected [G] integers, got {list(rows.shape)} of dtype {rows.dtype}"
            )
        rows = rows.astype(np.int64)
        if (rows < 0).any():
            raise ValueError(f"lengths: expected at least 0, got {rows.min()}")
        offsets = np.concatenate(([0], np.cumsum(rows)))
        return cls(offsets, window=window, horizon=horizon, stride=stride)

    def __len__(self) -> int:
        """Return the number of windows of all entities."""
        return len(self._core)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the constructor's arguments."""
        make = functools.partial(
            type(self), window=self.window, horizon=self.horizon, stride=self.stride
        )
        return make, (self.offsets,)

    def __repr__(self) -> str:
        return (
            f"WindowPlan({len(self)} windows of {self._core.num_rows} rows and "
            f"{self._core.num_entities} entities, window={self.window}, horizon={self.horizon}, "
            f"stride={self.stride})"
        )

    @property
    def window(self) -> int:
        """W, rows in a window."""
        return int(self._core.window)

    @property
    def horizon(self) -> int:
        """K, rows in a target; 0: the window is its own target."""
        return int(self._core.horizon)

    @property
    def stride(self) -> int:
        """Rows from one window of an entity to the next."""
        return int(self._core.stride)

    @property
    def offsets(self) -> Ints:
        """A copy of the offsets, int64 `[G+1]`."""
        offsets: Ints = self._core.offsets
        return offsets

    def starts(self) -> Ints:
        """First row of each window, int64 `[n]`."""
        starts: Ints = self._core.starts(0)
        return starts

    def rows(self) -> Ints:
        """Row of each window's score, int64 `[n]`: the last row it needs, its target included."""
        rows: Ints = self._core.starts(self.window + self.horizon - 1)
        return rows

    def gather(
        self,
        series: npt.ArrayLike,
        indices: npt.ArrayLike,
        *,
        out: Output | None = None,
        num_threads: int | None = None,
    ) -> Output:
        """Copy windows out of a series, cast to float32.

        Parameters
        ----------
        series : array_like of real numbers, [S, F]
            Any dtype and any strides.
        indices : array_like of int, [n]
            Windows `0 .. len(plan)-1`, in any order, also repeatedly.
        out : float32 array [n, W, F], or with a horizon a pair of it and [n, K, F], optional
            C-contiguous buffers to write to, for reuse between calls.
        num_threads : int, optional
            Default: one per core.

        Returns
        -------
        X : float32 array [n, W, F]
            The windows; with a horizon the pair `(X, y)`.
        y : float32 array [n, K, F]
            The `horizon` rows after each window.

        Raises
        ------
        IndexError
            If an index is not that of a window; nothing has been written then.
        ValueError, TypeError
            If a shape or a dtype does not fit.

        Examples
        --------
        >>> import numpy as np
        >>> import slidecell as sc
        >>> plan = sc.WindowPlan([0, 100], window=7, horizon=0)
        >>> batch = np.empty((32, 7, 3), np.float32)
        >>> plan.gather(np.ones((100, 3)), np.arange(32), out=batch) is batch
        True
        """
        result: Output = self._core.gather(series, indices, out, num_threads)
        return result


def sliding_windows(
    series: npt.ArrayLike,
    *,
    window: int,
    horizon: int = 1,
    stride: int = 1,
    offsets: npt.ArrayLike | None = None,
    out: Output | None = None,
    num_threads: int | None = None,
) -> Output:
    """Copy all windows of a series, cast to float32.

    This takes W times the memory of the series; `WindowPlan.gather` copies a batch at a time, and
    scoring a series with a model needs no windows at all.

    Parameters
    ----------
    series : array_like of real numbers, [S, F]
        Rows in time order, any dtype and any strides.
    window, horizon, stride : int
        As in `WindowPlan`.
    offsets : array_like of int, [G+1], optional
        Entity g owns rows `offsets[g]:offsets[g+1]`. Default: one entity.
    out, num_threads
        As in `WindowPlan.gather`.

    Returns
    -------
    X : float32 array [N, W, F]
        The windows; with a horizon the pair `(X, y)`.
    y : float32 array [N, K, F]
        The `horizon` rows after each window.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> X, y = sc.sliding_windows(np.arange(20).reshape(10, 2), window=3, offsets=[0, 6, 10])
    >>> X.shape, y.shape, y[-1]
    ((4, 3, 2), (4, 1, 2), array([[18., 19.]], dtype=float32))
    """
    rows = real_array(series, name="series")
    S = len(rows) if rows.ndim else 0
    plan = WindowPlan(
        [0, S] if offsets is None else offsets, window=window, horizon=horizon, stride=stride
    )
    if plan.offsets[-1] != S:
        raise ValueError(
            f"offsets: expected to end at {S} (rows of series), got {plan.offsets[-1]}"
        )
    result: Output = plan._core.gather(rows, None, out, num_threads)
    return result
