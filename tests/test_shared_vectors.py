"""Windows of different entities in one vector: the same bits as each entity alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests.models import layer, random_model

FEATURES = 3
# Windows of each entity: left over from one vector, whole ones, none, some more than a tile.
COUNTS = [1, 2, 3, 4, 17, 1, 0, 16, 1, 31, 4, 8, 2, 1, 3, 17, 100, 1, 5, 7, 15, 1, 1, 2, 33]
STRIDES = (1, 2, 9)
MODELS: dict[str, dict[str, Any]] = {
    "lstm_targets_horizon": {
        "encoder": [layer("lstm", 24)],
        "targets": [0, 2],
        "horizon": 2,
        "scaler": {
            "kind": "standard",
            "center": [0.5] * FEATURES,
            "scale": [0.3] * FEATURES,
            "constant": [],
        },
    },
    "gru_stack": {"encoder": [layer("gru", 16), layer("gru", 9, reset_after=False)]},
    "lstm_bidirectional": {"encoder": [layer("lstm", 8, bidirectional=True)]},
    "ae": {"encoder": [layer("lstm", 16)], "decoder": [layer("lstm", 16)], "horizon": 0},
}


def entities(reach: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """A series of entities of so many windows, with missing and too large rows, and its offsets."""
    lengths = [reach + (n - 1) * stride if n else reach - 1 for n in COUNTS]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rng = np.random.default_rng(5)
    series = rng.random((offsets[-1], FEATURES))
    for start in offsets[7:-1:5]:  # entities of one window among them
        series[start + int(rng.integers(reach - 1)), 1] = np.nan
    series[offsets[4] + 6, 2] = 1e300
    return series, offsets


def alone(call: Any, series: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    parts = [call(series[a:b], [0, b - a]) for a, b in itertools.pairwise(offsets)]
    return np.concatenate([part for part in parts if part.shape[0]])


def assert_equal_bits(got: np.ndarray, want: np.ndarray) -> None:
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    assert np.isfinite(got).mean() > 0.05  # windows have answers, and not all of them
    assert np.isnan(got).any()


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("name", MODELS)
def test_scores_of_mixed_entities_have_the_bits_of_each_alone(
    isa: str, name: str, stride: int
) -> None:
    model = sc.SequenceModel(
        *random_model(np.random.default_rng(3), features=FEATURES, window=7, **MODELS[name])
    )
    series, offsets = entities(model.window + model.horizon, stride)
    for aggregate in ("window", "last", "mean") if model.horizon == 0 else ("window",):
        for per_feature in (False, True):
            for precision in ("highest", "medium"):
                options: dict[str, Any] = {
                    "aggregate": aggregate,
                    "per_feature": per_feature,
                    "stride": stride,
                    "precision": precision,
                }
                want = alone(
                    lambda x, o, options=options: model.score(x, o, num_threads=1, **options),
                    series,
                    offsets,
                )
                for threads in (1, 2):
                    got = model.score(series, offsets, num_threads=threads, **options)
                    assert_equal_bits(got, want)


@pytest.mark.parametrize("name", MODELS)
def test_predictions_and_codes_of_mixed_entities(isa: str, name: str) -> None:
    model = sc.SequenceModel(
        *random_model(np.random.default_rng(3), features=FEATURES, window=7, **MODELS[name])
    )
    series, offsets = entities(model.window + model.horizon, 1)
    for method in (model.predict, model.encode):
        want = alone(lambda x, o, method=method: method(x, o), series, offsets)
        assert_equal_bits(method(series, offsets), want)


@pytest.mark.parametrize("kernel", ["fma", "matrix"])
def test_wide_layers_on_both_kernels(isa: str, kernel: str) -> None:
    model = sc.SequenceModel(
        *random_model(
            np.random.default_rng(4), [layer("lstm", 64)], features=FEATURES, window=20, horizon=1
        )
    )
    series, offsets = entities(21, 1)
    for precision in ("highest", "high", "medium"):
        options: dict[str, Any] = {"precision": precision, "kernel": kernel}
        try:
            want = alone(
                lambda x, o, options=options: model.score(x, o, **options), series, offsets
            )
        except sc.UnsupportedError:
            pytest.skip(f"{isa} has no {kernel} kernels")
        assert_equal_bits(model.score(series, offsets, **options), want)
