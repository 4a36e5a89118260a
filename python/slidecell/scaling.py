"""Scaling of columns: fitted on training rows, kept with the model, applied in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._arrays import real_array
from slidecell._choices import ScalerKind

# Rows scaled at a time: bounds the float64 copy to a few MB at a hundred columns.
_CHUNK = 8192
_TINY = float(np.finfo(np.float64).tiny)


def as_series(series: npt.ArrayLike, *, name: str = "series") -> npt.NDArray[Any]:
    """Return `series` as an array [S, F] of real numbers, without a copy where it is one.

    Masked and null cells are missing: NaN. TypeError on complex, text, dates and objects;
    ValueError unless it has two dimensions and at least one column.
    """
    array = real_array(series, name=name)
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name}: expected [S, F] with F >= 1, got {list(array.shape)}")
    return array


def finite_rows(series: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """[S, F] -> bool [S]: rows without NaN or infinity."""
    if series.dtype.kind != "f":
        return np.ones(series.shape[0], dtype=np.bool_)
    result: npt.NDArray[np.bool_] = np.isfinite(series).all(axis=1)
    return result


def too_large_cells(
    scaler: Mapping[str, Any] | None, series: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """[S, F] -> bool [S, F]: finite cells that float32 cannot hold once they are scaled.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.scaling import too_large_cells
    >>> too_large_cells(None, np.array([[1e38, 1e39], [np.inf, np.nan]])).tolist()
    [[False, True], [False, False]]
    """
    if scaler is None and (series.dtype.kind != "f" or series.dtype.itemsize < 8):
        return np.zeros(series.shape, np.bool_)
    large: npt.NDArray[np.bool_] = ~np.isfinite(apply_scaler(scaler, series))
    return large & np.isfinite(series) if large.any() else large


def _minmax(column: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(column.min()), float(column.max())
    return low, high - low


def _standard(column: npt.NDArray[np.float64]) -> tuple[float, float]:
    center, scale = float(column.mean()), float(column.std())
    if np.isfinite(center) and _TINY <= scale < np.inf:
        return center, scale
    # Squares beyond float64, or below it, of numbers that lie within.
    size = float(np.abs(column).max()) or 1.0
    return float((column / size).mean() * size), float((column / size).std() * size)


def _robust(column: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, median, high = np.percentile(column, (25.0, 50.0, 75.0))
    return float(median), float(high - low)


_KINDS: dict[str, Callable[[npt.NDArray[np.float64]], tuple[float, float]]] = {
    "minmax": _minmax,
    "standard": _standard,
    "robust": _robust,
}


def fit_scaler(series: npt.ArrayLike, kind: ScalerKind) -> dict[str, Any]:
    """`series` [S, F] -> a scaler, in the form that models carry: scaled = (x - center) / scale.

    Parameters
    ----------
    series : array_like, [S, F]
        Training rows. Rows with NaN or infinity are left out.
    kind : {"minmax", "standard", "robust"}
        center and scale are minimum and range, mean and standard deviation (ddof 0), or median
        and interquartile range.

    Returns
    -------
    dict
        ``kind``, ``center`` and ``scale`` (F floats each), and ``constant``: the columns that
        have no spread of this kind and get scale 1, so that they are centred only.

    Examples
    --------
    >>> from slidecell.scaling import fit_scaler
    >>> fit_scaler([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]], "minmax")
    {'kind': 'minmax', 'center': [0.0, 5.0], 'scale': [4.0, 1.0], 'constant': [1]}
    """
    if kind not in _KINDS:
        raise ValueError(f"kind: expected one of {', '.join(map(repr, _KINDS))}, got {kind!r}")
    rows = as_series(series)
    finite = finite_rows(rows)
    if not finite.any():
        raise ValueError(f"series: expected at least one row of finite numbers, got {len(rows)}")
    center: list[float] = []
    scale: list[float] = []
    constant: list[int] = []
    for index in range(rows.shape[1]):
        column = rows[finite, index].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            middle, spread = _KINDS[kind](column)
            ends = np.array([column.min(), column.max()]) - middle
        if not (np.isfinite(spread) and np.isfinite(ends).all()):
            raise ValueError(f"series: column {index} is too large to scale in float64")
        # Rounding may leave a spread of 1e-17 in a column of equal values, and dividing by a
        # subnormal number overflows.
        if column.min() == column.max() or spread < _TINY:
            constant.append(index)
            spread = 1.0
        center.append(middle)
        scale.append(spread)
    return {"kind": kind, "center": center, "scale": scale, "constant": constant}


def apply_scaler(
    scaler: Mapping[str, Any] | None, series: npt.ArrayLike
) -> npt.NDArray[np.float32]:
    """`series` [S, F] -> float32 [S, F]: (x - center) / scale in float64, then cast.

    NaN stays NaN and what float32 cannot hold becomes infinite. Without a scaler (None) the
    series is cast only.

    Examples
    --------
    >>> from slidecell.scaling import apply_scaler, fit_scaler
    >>> series = [[0.0], [2.0], [4.0]]
    >>> apply_scaler(fit_scaler(series, "minmax"), series).ravel().tolist()
    [0.0, 0.5, 1.0]
    """
    rows = as_series(series)
    with np.errstate(over="ignore", invalid="ignore"):
        if scaler is None:
            return rows.astype(np.float32)
        center = np.asarray(scaler["center"], dtype=np.float64)
        scale = np.asarray(scaler["scale"], dtype=np.float64)
        if rows.shape[1] != len(center):
            raise ValueError(
                f"series: expected [S, {len(center)}] (the scaler's columns), "
                f"got {list(rows.shape)}"
            )
        result = np.empty(rows.shape, dtype=np.float32)
        for first in range(0, len(rows), _CHUNK):
            part = rows[first : first + _CHUNK].astype(np.float64)
            result[first : first + _CHUNK] = (part - center) / scale
    return result
