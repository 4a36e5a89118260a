"""Bad input to SequenceModel: the text names the argument, what was expected and what came."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests.models import layer, random_model

SERIES = np.zeros((40, 7), np.float32)


def make(autoencoder: bool = False, **options: Any) -> Any:
    rng = np.random.default_rng(0)
    decoder = [layer("lstm", 5)] if autoencoder else None
    return sc.SequenceModel(
        *random_model(rng, [layer("lstm", 5)], decoder, features=7, window=4, **options)
    )


@pytest.mark.parametrize(
    ("series", "error", "text"),
    [
        (SERIES[:, :6], ValueError, "series: expected [S, 7] (model input_size=7), got [40, 6]"),
        (SERIES[:, 0], ValueError, "series: expected [S, 7]"),
        (SERIES[None], ValueError, "series: expected [S, 7]"),
        (SERIES.astype(complex), TypeError, "series: expected real numbers, got dtype complex128"),
        (SERIES.astype(object), TypeError, "series: expected real numbers, got dtype object"),
        (SERIES.astype(str), TypeError, "series: expected real numbers, got dtype <U"),
        (SERIES.astype("M8[s]"), TypeError, "series: expected real numbers, got dtype datetime64"),
    ],
)
@pytest.mark.parametrize("method", ["score", "predict", "encode"])
def test_score_series_errors(method: str, series: Any, error: type, text: str) -> None:
    with pytest.raises(error) as caught:
        getattr(make(), method)(series)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("offsets", "error"),
    [
        ([0, 39], ValueError),
        ([0, 41], ValueError),
        ([1, 40], ValueError),
        ([0, 30, 20, 40], ValueError),
        ([0, -1, 40], ValueError),
        ([], ValueError),
        ([[0, 40]], ValueError),
        ([0.0, 40.0], TypeError),
        (["a", "b"], TypeError),
    ],
)
@pytest.mark.parametrize("method", ["score", "predict", "encode"])
def test_score_offsets_errors(method: str, offsets: Any, error: type) -> None:
    with pytest.raises(error, match="offsets: expected"):
        getattr(make(), method)(SERIES, offsets)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"reduction": "rmse"}, ValueError, "reduction: "),
        ({"aggregate": "first"}, ValueError, "aggregate: "),
        ({"precision": "lowest"}, ValueError, "precision: "),
        ({"reduction": "mahalanobis"}, ValueError, "mahalanobis"),
        ({"num_threads": 0}, ValueError, "num_threads: expected at least 1, got 0"),
        ({"out": np.zeros(39, np.float32)}, ValueError, "out: expected"),
        ({"out": np.zeros(40)}, ValueError, "out: expected"),
        ({"out": np.zeros((40, 7), np.float32)}, ValueError, "out: expected"),
        ({"out": np.zeros(80, np.float32)[::2]}, ValueError, "out: expected"),
        ({"out": [0.0] * 40}, TypeError, "out: expected"),
        ({"out": SERIES.reshape(-1)[:40]}, ValueError, "out: shares memory"),
        ({"stride": 0}, ValueError, "stride: expected"),
        ({"stride": -1}, ValueError, "stride: expected"),
    ],
)
def test_score_option_errors(options: Any, error: type, text: str) -> None:
    with pytest.raises(error) as caught:
        make().score(SERIES, **options)
    assert text in str(caught.value)


def test_score_mahalanobis_has_no_features() -> None:
    with pytest.raises(ValueError, match="per_feature"):
        make(error=True).score(SERIES, reduction="mahalanobis", per_feature=True)


def test_score_aggregate_is_for_autoencoders() -> None:
    with pytest.raises(ValueError, match="aggregate"):
        make().score(SERIES, aggregate="mean")
    assert make(autoencoder=True).score(SERIES, aggregate="mean").shape == (40,)


def test_score_model_is_checked() -> None:
    rng = np.random.default_rng(0)
    metadata, tensors = random_model(rng, [layer("lstm", 5)], features=7, window=4)
    faults: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({}, {"encoder.0.weight_hh_l0": np.zeros((20, 4), np.float32)}, "encoder.0.weight_hh_l0"),
        ({}, {"encoder.0.weight_ih_l0": np.full((20, 7), np.nan)}, "encoder.0.weight_ih_l0"),
        ({}, {"head.weight": np.zeros((6, 5), np.float32)}, "head.weight"),
        ({}, {"head.weight": None}, "head.weight"),
        ({}, {"encoder.0.weight_hh_l0": None}, "encoder.0.weight_hh_l0"),
        ({}, {"encoder.0.bias_ih_l0": np.zeros(19, np.float32)}, "encoder.0.bias_ih_l0"),
        ({"window": 0}, {}, "window"),
        ({"window": "4"}, {}, "window"),
        ({"horizon": -1}, {}, "horizon"),
        ({"horizon": 0}, {}, "horizon"),
        ({"encoder": []}, {}, "encoder"),
        ({"targets": [0, 7]}, {}, "targets"),
    ]
    for changes, others, text in faults:
        changed = {k: v for k, v in (tensors | others).items() if v is not None}
        with pytest.raises(ValueError, match=text):
            sc.SequenceModel({**metadata, **changes}, changed)


def test_score_a_missing_bias_is_zero(rng: np.random.Generator) -> None:
    """One bias per gate, as in Keras, needs no second tensor."""
    metadata, tensors = random_model(rng, [layer("lstm", 5)], features=7, window=4)
    tensors["encoder.0.bias_hh_l0"][:] = 0.0
    want = sc.SequenceModel(metadata, tensors).score(SERIES)
    del tensors["encoder.0.bias_hh_l0"]
    np.testing.assert_array_equal(sc.SequenceModel(metadata, tensors).score(SERIES), want)
