"""What the tests of `score` share: one series per model, and the tolerance of a score."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tests.models import MODELS, random_model
from tests.reference import score_reference

RTOL, ATOL = 1e-6, 1e-7  # of a score, against windows -> network -> error

# Models whose outputs are compared bit for bit.
DETERMINISTIC = (
    "lstm16",
    "lstm_bidirectional_stack",
    "lstm_64_32",
    "gru_before",
    "mixed",
    "ae_relu_stack",
    "ae_mixed_bidirectional",
)


def awkward_offsets(window: int, horizon: int) -> np.ndarray:
    """Entities too short for a window, just long enough, many short ones and a long one."""
    W, K = window, horizon
    lengths = [0, 1, W - 1, W, W + K - 1, W + K, W + K + 1, 0, 300]
    lengths += [int(n) for n in np.random.default_rng(1).integers(0, 2 * W + 3, 40)]
    return np.concatenate([[0], np.cumsum(lengths)])


@functools.cache
def case(name: str) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Metadata, tensors, series [S,F] and offsets of a model in `models.MODELS`."""
    rng = np.random.default_rng(sorted(MODELS).index(name))
    metadata, tensors = random_model(rng, error=True, **MODELS[name])
    offsets = awkward_offsets(metadata["window"], metadata["horizon"])
    features = metadata["encoder"][0]["input_size"]
    series = rng.random((offsets[-1], features), dtype=np.float32)
    return metadata, tensors, series, offsets


@functools.cache
def truth(name: str, **options: Any) -> np.ndarray:
    return score_reference(*case(name), **options)


def assert_close(got: np.ndarray, want: np.ndarray) -> None:
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=RTOL, atol=ATOL)


def all_scores(model: Any, series: Any, offsets: Any, **options: Any) -> list[np.ndarray]:
    """Every aggregate and reduction, and the scores per feature."""
    aggregates = ("window", "last", "mean") if model.horizon == 0 else ("window",)
    scores = [
        model.score(series, offsets, aggregate=aggregate, reduction=reduction, **options)
        for aggregate in aggregates
        for reduction in ("mse", "mae", "mahalanobis")
    ]
    if model.scaler is not None and model.horizon > 0:
        scores.append(model.score(series, offsets, reduction="calibrated", **options))
    return [*scores, model.score(series, offsets, per_feature=True, **options)]
