"""The words that arguments choose among, for type checkers; the core says which there are."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = [
    "Activation",
    "Aggregate",
    "Backend",
    "Kernel",
    "Precision",
    "RecurrentActivation",
    "Reduction",
    "ScalerKind",
    "Speculate",
    "Windows",
]

Precision: TypeAlias = Literal["highest", "high", "medium", "low"]
Kernel: TypeAlias = Literal["auto", "fma", "matrix"]
Reduction: TypeAlias = Literal["mse", "mae", "mahalanobis", "nll", "calibrated"]
Aggregate: TypeAlias = Literal["window", "last", "mean"]
Speculate: TypeAlias = Literal["auto", "carried", "carried_low", "low", "medium", "none"]
Windows: TypeAlias = Literal["exact", "carried"]
Activation: TypeAlias = Literal["tanh", "relu", "sigmoid", "linear"]
RecurrentActivation: TypeAlias = Literal["sigmoid", "hard_sigmoid"]
ScalerKind: TypeAlias = Literal["minmax", "standard", "robust"]
Backend: TypeAlias = Literal["cupy", "numba", "cpu"]
