"""Scaling of rows in float64, for detectors that no network scales for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from slidecell._arguments import as_choice
from slidecell._choices import ScalerKind
from slidecell.scaling import fit_scaler
from slidecell.tables.rows import Floats, Rows

__all__ = ["SCALERS", "ScalerKind", "fit_rows_scaler", "scale"]

SCALERS = ("minmax", "standard", "robust", None)  # None: features stay as they are


def fit_rows_scaler(rows: Rows, kind: ScalerKind | None) -> dict[str, Any] | None:
    """Fit a scaler on the complete rows; None for ``kind=None``.

    Examples
    --------
    >>> from slidecell.tables.arrays import take_rows
    >>> from slidecell.tables.options import TableOptions
    >>> from slidecell.detect.scales import fit_rows_scaler
    >>> fit_rows_scaler(take_rows([[1.0], [3.0]], None, TableOptions()), "minmax")["scale"]
    [2.0]
    """
    as_choice("scaler", kind, SCALERS)
    if kind is None:
        return None
    if not rows.complete().any():
        raise ValueError(
            f"{rows.source}: expected at least one row without a missing value, got none"
        )
    return fit_scaler(rows.features, kind)


def scale(scaler: Mapping[str, Any] | None, values: Floats) -> Floats:
    """Scale [S, F]: (x - center) / scale; NaN stays NaN. None: as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from slidecell.detect.scales import scale
    >>> scale({"center": [1.0], "scale": [2.0]}, np.array([[5.0]])).tolist()
    [[2.0]]
    """
    if scaler is None:
        return values
    with np.errstate(over="ignore"):
        scaled: Floats = (values - np.asarray(scaler["center"])) / np.asarray(scaler["scale"])
    return scaled
