"""What the tests of heads share: models by name, rows for them, the reductions that they have."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.models import HEADS, Model, random_model

ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "gelu", "gelu_tanh", "leaky_relu")


def parts(name: str, seed: int = 3, **options: Any) -> Model:
    return random_model(np.random.default_rng(seed), **(HEADS[name] | {"error": True} | options))


def rows_for(metadata: dict[str, Any], S: int, *, missing: bool = False) -> np.ndarray:
    rng = np.random.default_rng(4)
    series = rng.random((S, metadata["encoder"][0]["input_size"]), dtype=np.float32)
    if missing:
        series[S // 3, 0] = np.nan
        series[S // 2, -1] = np.inf
    return series


def reductions(metadata: dict[str, Any]) -> list[str]:
    return ["mse", "mae", "mahalanobis", *(["nll"] if metadata.get("distribution") else [])]
