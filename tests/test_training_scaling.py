"""Scalers: what is fitted, how constant and missing values are treated."""

from __future__ import annotations

import json

import numpy as np
import pytest

from slidecell.scaling import apply_scaler, fit_scaler


def test_scalers_of_every_kind_equal_their_formulas() -> None:
    rng = np.random.default_rng(0)
    series = rng.normal(5, 3, (1001, 4))
    minmax, standard, robust = (fit_scaler(series, k) for k in ("minmax", "standard", "robust"))
    np.testing.assert_array_equal(minmax["center"], series.min(axis=0))
    np.testing.assert_array_equal(minmax["scale"], np.ptp(series, axis=0))
    np.testing.assert_allclose(standard["center"], series.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(standard["scale"], series.std(axis=0), rtol=1e-14)
    low, median, high = np.percentile(series, (25, 50, 75), axis=0)
    np.testing.assert_allclose(robust["center"], median, rtol=1e-14)
    np.testing.assert_allclose(robust["scale"], high - low, rtol=1e-14)
    for scaler in (minmax, standard, robust):
        assert scaler["constant"] == []
        assert json.loads(json.dumps(scaler)) == scaler


def test_scaled_values_are_computed_in_float64() -> None:
    series = (1e9 + np.arange(20_001) / 10)[:, None]  # in float32 all equal within 64
    scaled = apply_scaler(fit_scaler(series, "minmax"), series)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[:, 0], np.linspace(0, 1, 20_001), rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["minmax", "standard", "robust"])
def test_constant_columns_are_centred_and_listed(kind: str) -> None:
    series = np.column_stack([np.arange(10.0), np.full(10, 0.1), np.full(10, 7.0)])
    scaler = fit_scaler(series, kind)
    assert scaler["constant"] == [1, 2]
    assert scaler["scale"][1:] == [1.0, 1.0]
    np.testing.assert_allclose(apply_scaler(scaler, series)[:, 1:], 0, atol=1e-15)


def test_robust_column_without_a_spread_of_its_quartiles() -> None:
    series = np.zeros((100, 1))
    series[:10] = 3.0  # a rare event: both quartiles are 0
    scaler = fit_scaler(series, "robust")
    assert (scaler["center"], scaler["scale"], scaler["constant"]) == ([0.0], [1.0], [0])


def test_rows_with_missing_values_are_left_out() -> None:
    series = np.array([[0.0, 1.0], [np.nan, 100.0], [2.0, np.inf], [4.0, 3.0]])
    scaler = fit_scaler(series, "minmax")
    assert (scaler["center"], scaler["scale"]) == ([0.0, 1.0], [4.0, 2.0])
    scaled = apply_scaler(scaler, series)
    assert np.isnan(scaled[1, 0])
    assert np.isinf(scaled[2, 1])


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint64", "bool", ">f8"])
def test_series_of_any_dtype_are_scaled_alike(dtype: str) -> None:
    series = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    expected = np.array([[0, 1], [1, 0], [1, 1]], np.float32)
    np.testing.assert_array_equal(apply_scaler(fit_scaler(series, "minmax"), series), expected)
    np.testing.assert_array_equal(apply_scaler(None, series), expected)


def test_bad_series_and_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"kind: expected one of 'minmax', .*, got 'max'"):
        fit_scaler([[1.0]], "max")
    with pytest.raises(ValueError, match="series: expected at least one row of finite numbers"):
        fit_scaler([[np.nan]], "minmax")
    with pytest.raises(ValueError, match=r"series: expected \[S, F\] with F >= 1, got \[3\]"):
        fit_scaler([1.0, 2.0, 3.0], "minmax")
    with pytest.raises(TypeError, match="got dtype <U1"):
        fit_scaler([["a"]], "minmax")
    with pytest.raises(ValueError, match="series: column 0 is too large to scale in float64"):
        fit_scaler([[-1.7e308], [1.7e308]], "minmax")
    with pytest.raises(ValueError, match=r"series: expected \[S, 1\] .*, got \[1, 2\]"):
        apply_scaler(fit_scaler([[1.0], [2.0]], "minmax"), [[1.0, 2.0]])
