"""Scalers that a model carries, from what rows were scaled with in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["as_scaler"]


def as_scaler(scaler: Mapping[str, Any] | object, columns: int) -> dict[str, Any]:
    """Return a scaler as models carry it: scaled = (x - center) / scale.

    Parameters
    ----------
    scaler : mapping or object
        What `slidecell.scaling.fit_scaler` returns or another model carries; or a fitted
        ``StandardScaler``, ``MinMaxScaler``, ``MaxAbsScaler`` or ``RobustScaler`` of scikit-learn.
    columns : int
        F.

    Raises
    ------
    TypeError
        If it is none of them.
    ValueError
        If it has not F finite numbers of each, or clips.

    Examples
    --------
    >>> from sklearn.preprocessing import MinMaxScaler
    >>> from slidecell.convert.scalers import as_scaler
    >>> as_scaler(MinMaxScaler().fit([[0.0], [4.0]]), 1)
    {'kind': 'minmax', 'center': [0.0], 'scale': [4.0], 'constant': []}
    """
    if isinstance(scaler, Mapping):
        kind, constant = scaler.get("kind", "standard"), list(scaler.get("constant", ()))
        missing = [key for key in ("center", "scale") if key not in scaler]
        if missing:
            raise ValueError(f"scaler: expected the keys center and scale, {missing[0]} is missing")
        center, scale = scaler["center"], scaler["scale"]
    else:
        kind, center, scale = _of_sklearn(scaler, columns)
        constant = []
    result = {"center": np.asarray(center, np.float64), "scale": np.asarray(scale, np.float64)}
    for name, numbers in result.items():
        if numbers.shape != (columns,) or not np.isfinite(numbers).all():
            raise ValueError(
                f"scaler: expected {columns} finite numbers as {name} (input_size={columns}), got "
                f"{np.shape(numbers)}"
            )
    return {
        "kind": kind,
        "center": result["center"].tolist(),
        "scale": result["scale"].tolist(),
        "constant": [int(column) for column in constant],
    }


def _of_sklearn(scaler: Any, columns: int) -> tuple[str, Any, Any]:
    """Return kind, center and scale of a fitted scaler."""
    name = type(scaler).__name__
    if not hasattr(scaler, "n_features_in_"):
        fitted = " (it is not fitted)" if hasattr(scaler, "fit") else ""
        raise TypeError(
            "scaler: expected what fit_scaler returns, or a fitted scaler of scikit-learn, got "
            f"{name}{fitted}"
        )
    if scaler.n_features_in_ != columns:
        raise ValueError(
            f"scaler: expected one of {columns} columns (input_size={columns}), got one of "
            f"{scaler.n_features_in_}"
        )
    zeros, ones = np.zeros(columns), np.ones(columns)
    if name == "MinMaxScaler":
        if scaler.clip:
            raise ValueError("scaler: expected one that does not clip, got MinMaxScaler(clip=True)")
        # scaled = x scale_ + min_
        return "minmax", 0.0 - scaler.min_ / scaler.scale_, 1.0 / scaler.scale_
    if name == "StandardScaler":
        return (
            "standard",
            scaler.mean_ if scaler.with_mean else zeros,
            scaler.scale_ if scaler.with_std else ones,
        )
    if name == "RobustScaler":
        return (
            "robust",
            scaler.center_ if scaler.with_centering else zeros,
            scaler.scale_ if scaler.with_scaling else ones,
        )
    if name == "MaxAbsScaler":
        return "minmax", zeros, scaler.scale_
    raise TypeError(
        "scaler: expected StandardScaler, MinMaxScaler, MaxAbsScaler or RobustScaler, got "
        f"{name}; scale the rows yourself and pass none"
    )
