"""What `score` makes of rows: missing values, scalers, dtypes and layouts."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import slidecell as sc
from tests.models import AUTOENCODERS, layer, random_model
from tests.reference import predict_reference, scaled_rows, score_reference, window_starts
from tests.score_cases import all_scores, assert_close, case


@dataclass(frozen=True)
class Holes:
    """A case's series with missing values, and what the reference makes of it."""

    rows: np.ndarray
    columns: np.ndarray
    near: np.ndarray  # [S] rows that may share a window with a bad one
    ends: np.ndarray  # [N] where windows are scored
    touched: np.ndarray  # [N] windows with a bad row, their targets included
    input_touched: np.ndarray  # [N]
    scores: np.ndarray  # [S]


@functools.cache
def holes_of(name: str) -> Holes:
    """Rows that are missing; how they are written makes no difference to the reference."""
    metadata, tensors, series, offsets = case(name)
    W, K, rng = metadata["window"], metadata["horizon"], np.random.default_rng(20240229)
    rows = np.sort(rng.choice(len(series), 25, replace=False))
    columns = rng.integers(0, series.shape[1], len(rows))
    near, missing = np.zeros(len(series), bool), np.zeros(len(series), bool)
    missing[rows] = True
    for row in rows:
        near[max(0, row - W - K + 1) : row + W + K] = True
    starts = np.array(window_starts(len(series), offsets, W, K))
    holes = series.copy()
    holes[rows, columns] = np.nan
    options: dict[str, Any] = {"aggregate": "mean"} if K == 0 else {}
    return Holes(
        rows,
        columns,
        near,
        starts + W + K - 1,
        np.array([missing[s : s + W + K].any() for s in starts]),
        np.array([missing[s : s + W].any() for s in starts]),
        score_reference(metadata, tensors, holes, offsets, **options),
    )


@pytest.mark.parametrize("name", ["lstm16", "lstm_horizon3", "lstm_targets", *AUTOENCODERS])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_score_missing_values(isa: str, name: str, bad: float) -> None:
    """Every window that touches a bad row scores NaN; all others keep their bits."""
    metadata, tensors, series, offsets = case(name)
    model, want = sc.SequenceModel(metadata, tensors), holes_of(name)
    holes = series.copy()
    holes[want.rows, want.columns] = bad
    for clean, got in zip(
        all_scores(model, series, offsets), all_scores(model, holes, offsets), strict=True
    ):
        np.testing.assert_array_equal(got[~want.near], clean[~want.near])
        assert not np.isinf(got).any()
    clean, got = model.score(series, offsets), model.score(holes, offsets)
    kept = want.ends[~want.touched]
    assert np.isnan(got[want.ends[want.touched]]).all()
    np.testing.assert_array_equal(got[kept], clean[kept])
    options: dict[str, Any] = {"aggregate": "mean"} if model.horizon == 0 else {}
    assert_close(model.score(holes, offsets, **options), want.scores)
    for method in (model.predict, model.encode):
        full, with_holes = method(series, offsets), method(holes, offsets)
        np.testing.assert_array_equal(with_holes[~want.input_touched], full[~want.input_touched])
        assert np.isnan(with_holes[want.input_touched]).all()


def test_score_all_missing(isa: str) -> None:
    for name in ("lstm16", "ae_lstm"):
        metadata, tensors, series, offsets = case(name)
        model = sc.SequenceModel(metadata, tensors)
        nothing = np.full_like(series, np.nan)
        for scores in all_scores(model, nothing, offsets):
            assert np.isnan(scores).all()


SCALERS: dict[str, Any] = {
    "minmax": {"center": [1e6, -3.0, 5.0], "scale": [4.0, 1e-3, 1.0], "constant": [2]},
    "standard": {"center": [1e6, -3.0, 5.0], "scale": [2.0, 1e-3, 1.0], "constant": []},
    "robust": {"center": [1e6, -3.0, 5.0], "scale": [1.0, 5e-4, 2.0], "constant": []},
}


@pytest.mark.parametrize("kind", SCALERS)
@pytest.mark.parametrize("autoencoder", [False, True])
def test_score_scales_raw_rows(
    isa: str, kind: str, autoencoder: bool, rng: np.random.Generator
) -> None:
    """In float64, before the cast: float32 holds a million and a quarter only to 1/16."""
    decoder = [layer("lstm", 7)] if autoencoder else None
    scaler = {"kind": kind, **SCALERS[kind]}
    metadata, tensors = random_model(
        rng,
        [layer("lstm", 7)],
        decoder,
        scaler=scaler,
        targets=None if autoencoder else [1, 0],
        horizon=2,
        error=True,
    )
    raw = np.array([1e6, -3.0, 5.0]) + rng.random((60, 3)) * [4.0, 1e-3, 2.0]
    offsets = np.array([0, 25, 60])
    model = sc.SequenceModel(metadata, tensors)
    for reduction in ("mse", "mae", "mahalanobis"):
        assert_close(
            model.score(raw, offsets, reduction=reduction),
            score_reference(metadata, tensors, raw, offsets, reduction=reduction),
        )
    plain = sc.SequenceModel({**metadata, "scaler": None}, tensors)
    rows = scaled_rows(metadata, raw).astype(np.float32)
    np.testing.assert_array_equal(model.score(raw, offsets), plain.score(rows, offsets))
    np.testing.assert_array_equal(model.encode(raw, offsets), plain.encode(rows, offsets))
    want = predict_reference(metadata, tensors, raw, offsets)
    np.testing.assert_allclose(model.predict(raw, offsets), want, rtol=1e-6, atol=1e-6)


def test_score_beyond_float32_is_infinite_and_missing_for_other_windows(isa: str) -> None:
    metadata, tensors, series, offsets = case("lstm16")
    model = sc.SequenceModel(metadata, tensors)
    large, missing = series.astype(np.float64), series.copy()
    large[20, 3], missing[20, 3] = 1e300, np.nan
    want = model.score(missing, offsets)
    assert np.isnan(want[20])
    want[20] = np.inf
    np.testing.assert_array_equal(model.score(large, offsets), want)


def test_score_layouts_and_dtypes(isa: str, rng: np.random.Generator) -> None:
    metadata, tensors, series, offsets = case("lstm16")
    model = sc.SequenceModel(metadata, tensors)
    want = model.score(series, offsets)
    wide = np.full((2 * len(series), 2 * series.shape[1]), np.nan, np.float32)
    wide[::2, ::2] = series
    raw = np.zeros(series.nbytes + 1, np.uint8)
    unaligned = np.frombuffer(raw.data, np.float32, series.size, offset=1).reshape(series.shape)
    unaligned[...] = series
    views = {
        "strided": wide[::2, ::2],
        "fortran": np.asfortranarray(series),
        "reversed": series[::-1].copy()[::-1],
        "columns reversed": series[:, ::-1].copy()[:, ::-1],
        "unaligned": unaligned,
        "big-endian": series.astype(">f4"),
        "float64": series.astype(np.float64),
        "tensor": torch.from_numpy(series),
        "lists": series.tolist(),
    }
    for name, view in views.items():
        np.testing.assert_array_equal(model.score(view, offsets), want, err_msg=name)
    for dtype in ("f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"):
        rows = rng.integers(0, 2, series.shape).astype(dtype)
        np.testing.assert_array_equal(
            model.score(rows, offsets), model.score(rows.astype(np.float32), offsets), err_msg=dtype
        )
    one_row = np.broadcast_to(series[0], series.shape)
    np.testing.assert_array_equal(
        model.score(one_row, offsets), model.score(one_row.copy(), offsets)
    )


def test_score_masked_cells_are_missing() -> None:
    metadata, tensors, series, offsets = case("lstm16")
    model = sc.SequenceModel(metadata, tensors)
    mask = np.zeros(series.shape, bool)
    mask[40, 1] = True
    holes = np.where(mask, np.nan, series)
    masked = np.ma.masked_array(series, mask)
    np.testing.assert_array_equal(model.score(masked, offsets), model.score(holes, offsets))
    np.testing.assert_array_equal(model.encode(masked, offsets), model.encode(holes, offsets))
