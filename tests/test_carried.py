"""Scores by carried states: SequenceModel.score(windows="carried")."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from tests.carried_reference import block_rows, carried_reference
from tests.models import FORECASTERS, MODELS, layer, random_model
from tests.score_cases import assert_close, case

BIDIRECTIONAL = [
    name
    for name, model in FORECASTERS.items()
    if any(spec.get("bidirectional") for spec in model["encoder"])
]
CARRIED = [name for name in FORECASTERS if name not in BIDIRECTIONAL]


def options_of(name: str) -> list[dict[str, Any]]:
    """Every reduction that the model of `case` has, and the scores per feature."""
    options: list[dict[str, Any]] = [{"reduction": r} for r in ("mse", "mae", "mahalanobis")]
    return [*options, {"per_feature": True}, {"per_feature": True, "reduction": "mae"}]


@functools.cache
def truth(name: str, **options: Any) -> np.ndarray:
    return carried_reference(*case(name), **options)


@pytest.mark.parametrize("name", CARRIED)
def test_carried_equals_reference(isa: str, name: str) -> None:
    metadata, tensors, series, offsets = case(name)
    model = sc.SequenceModel(metadata, tensors)
    for options in options_of(name):
        got = model.score(series, offsets, windows="carried", **options)
        assert_close(got, truth(name, **options))


@pytest.mark.parametrize("kind", ["calibrated", "nll"])
def test_carried_other_reductions(isa: str, kind: str, rng: np.random.Generator) -> None:
    scaler = {"kind": "standard", "center": [1.0, -2.0, 30.0], "scale": [2.0, 0.5, 10.0]}
    metadata, tensors = random_model(
        rng,
        [layer("gru", 9)],
        window=4,
        horizon=2,
        scaler=scaler,
        error=True,
        gaussian=kind == "nll",
    )
    series = rng.normal(scaler["center"], scaler["scale"], (150, 3))
    offsets = [0, 90, 95, 150]
    model = sc.SequenceModel(metadata, tensors)
    got = model.score(series, offsets, windows="carried", reduction=kind)
    want = carried_reference(metadata, tensors, series, offsets, reduction=kind)
    np.testing.assert_allclose(got, want, rtol=3e-6, atol=1e-6)
    assert np.isfinite(got).sum() == 135


@functools.cache
def holed(window: int = 7, horizon: int = 2) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """A model and rows of which many are missing: first, last, whole blocks, two in a window."""
    rng = np.random.default_rng(3)
    metadata, tensors = random_model(
        rng, [layer("lstm", 17), layer("gru", 5)], window=window, horizon=horizon
    )
    B = block_rows(window)
    offsets = np.cumsum([0, 5 * B, 2 * B + 3, 1, window + horizon, 3 * B])
    series = rng.normal(size=(offsets[-1], 3))
    for row in (0, 1, B - 1, B, B + window, B + window + 1, 3 * B - window, 5 * B - 1):
        series[row, row % 3] = np.nan
    series[2 * B : 3 * B - 2] = np.inf  # nearly a whole block
    series[offsets[1] : offsets[1] + B + 1, 1] = np.nan  # more than an entity's first block
    series[offsets[2]] = np.nan
    return metadata, tensors, series, offsets


def test_carried_missing_rows(isa: str) -> None:
    metadata, tensors, series, offsets = holed()
    model = sc.SequenceModel(metadata, tensors)
    got = model.score(series, offsets, windows="carried")
    assert_close(got, carried_reference(metadata, tensors, series, offsets))
    exact = model.score(series, offsets)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(exact))
    # The first window behind a missing row is exact, in bits.
    B = block_rows(7)
    first = B + 7 + 1 + 7 + 2  # rows B+8 .. B+15
    assert got[first] == model.score(series, offsets, kernel="fma")[first] != exact[first + 1]


def test_carried_too_large_rows_are_infinite_and_cut_the_chain(isa: str) -> None:
    metadata, tensors, series, offsets = holed()
    rows = np.nan_to_num(series, nan=0.5, posinf=0.5)
    large, missing = rows.copy(), rows.copy()
    at = [3, 40, 41, 100, int(offsets[1]) - 1, int(offsets[3]), len(rows) - 1]
    for row in at:
        large[row, 2] = 1e300
        missing[row, 2] = np.nan
    model = sc.SequenceModel(metadata, tensors)
    got = model.score(large, offsets, windows="carried")
    want = model.score(missing, offsets, windows="carried")
    want[at] = np.inf
    np.testing.assert_array_equal(got, want)
    by_feature = model.score(large, offsets, windows="carried", per_feature=True)
    exact = model.score(large, offsets, per_feature=True)
    np.testing.assert_array_equal(np.isinf(by_feature), np.isinf(exact))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_carried_window_of_one_row_and_short_series(isa: str, cell: str) -> None:
    rng = np.random.default_rng(5)
    metadata, tensors = random_model(rng, [layer(cell, 7)], window=1)
    model = sc.SequenceModel(metadata, tensors)
    series = rng.normal(size=(23, 3)).astype(np.float32)
    for rows in (0, 1, 2, 3, 4, 5, 6, 7, 23):
        got = model.score(series[:rows], windows="carried")
        assert_close(got, carried_reference(metadata, tensors, series[:rows], [0, rows]))
    offsets = [0, 0, 1, 2, 4, 4, 23]
    got = model.score(series, offsets, windows="carried")
    assert_close(got, carried_reference(metadata, tensors, series, offsets))


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_carried_stride_takes_every_nth_window(isa: str, stride: int) -> None:
    metadata, tensors, series, offsets = case("lstm_64_32")
    model = sc.SequenceModel(metadata, tensors)
    some = model.score(series, offsets, windows="carried", stride=stride)
    want = carried_reference(metadata, tensors, series, offsets, stride=stride)
    np.testing.assert_array_equal(np.isnan(some), np.isnan(want))
    every = model.score(series, offsets, windows="carried")
    np.testing.assert_array_equal(some, np.where(np.isnan(want), np.float32(np.nan), every))


@pytest.mark.parametrize("name", ["lstm16", "gru_before", "mixed", "lstm_projected", "rnn"])
def test_carried_bits_depend_on_neither_threads_nor_cuts_nor_entity_order(
    isa: str, name: str
) -> None:
    metadata, tensors, series, offsets = case(name)
    model = sc.SequenceModel(metadata, tensors)
    score = functools.partial(model.score, windows="carried")
    whole = score(series, offsets, num_threads=1)
    for threads in (2, 3, 7):
        np.testing.assert_array_equal(score(series, offsets, num_threads=threads), whole)
    # Entities one by one, and in another order.
    parts = [slice(a, b) for a, b in itertools.pairwise(offsets)]
    for part in parts:
        np.testing.assert_array_equal(score(series[part]), whole[part])
    backwards = np.concatenate([series[part] for part in parts[::-1]])
    ends = np.concatenate([[0], np.cumsum(np.diff(offsets)[::-1])])
    got = score(backwards, ends)
    np.testing.assert_array_equal(got, np.concatenate([whole[part] for part in parts[::-1]]))
    # A series that ends earlier: at a block's end, beside it, anywhere.
    longest = max(parts, key=lambda part: part.stop - part.start)
    B, K = block_rows(metadata["window"]), metadata["horizon"]
    for rows in (B, B + K - 1, B + K, 2 * B - 1, 2 * B + 1, 100):
        cut = series[longest][:rows]
        np.testing.assert_array_equal(score(cut), whole[longest][:rows])


def test_carried_many_short_entities_follow_one_another_in_a_lane(isa: str) -> None:
    rng = np.random.default_rng(6)
    metadata, tensors = random_model(rng, [layer("lstm", 8)], window=5, horizon=2)
    model = sc.SequenceModel(metadata, tensors)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 30, 400))])
    series = rng.normal(size=(offsets[-1], 3)).astype(np.float32)
    series[rng.integers(0, len(series), 40)] = np.nan
    got = model.score(series, offsets, windows="carried", num_threads=1)
    assert_close(got, carried_reference(metadata, tensors, series, offsets))
    more = model.score(series, offsets, windows="carried", num_threads=3)
    np.testing.assert_array_equal(got, more)


def test_carried_more_chains_than_are_listed_at_once() -> None:
    rng = np.random.default_rng(7)
    metadata, tensors = random_model(rng, [layer("rnn", 2)], features=1, window=1)
    model = sc.SequenceModel(metadata, tensors)
    series = rng.normal(size=(5 * 2**15 + 77, 1)).astype(np.float32)  # blocks of 5 rows
    got = model.score(series, windows="carried")
    tail = 5 * (2**15 - 3)
    np.testing.assert_array_equal(got[:tail], model.score(series[:tail], windows="carried"))
    want = carried_reference(metadata, tensors, series[tail:], [0, len(series) - tail])
    assert_close(got[tail + 5 :], want[5:])


@pytest.mark.parametrize("name", ["lstm16", "gru_stack3", "lstm_horizon3"])
def test_carried_first_window_of_a_block_is_exact_in_bits(isa: str, name: str) -> None:
    metadata, tensors, series, offsets = case(name)
    model = sc.SequenceModel(metadata, tensors)
    longest = int(np.argmax(np.diff(offsets)))
    rows = series[offsets[longest] : offsets[longest + 1]]
    W, K, B = metadata["window"], metadata["horizon"], block_rows(metadata["window"])
    carried = model.score(rows, windows="carried", kernel="fma")
    exact = model.score(rows, kernel="fma")
    first = np.array([W, *range(B, len(rows) - K + 1, B)]) + K - 1
    np.testing.assert_array_equal(carried[first], exact[first])
    assert (carried[first[1:] - 1] != exact[first[1:] - 1]).any()


@pytest.mark.parametrize("name", ["lstm16", "lstm_64_32", "gru_before", "gru_stack3", "rnn"])
def test_carried_medium_is_near_highest(name: str) -> None:
    metadata, tensors, series, offsets = case(name)
    model = sc.SequenceModel(metadata, tensors)
    highest = model.score(series, offsets, windows="carried")
    medium = model.score(series, offsets, windows="carried", precision="medium")
    np.testing.assert_array_equal(np.isnan(medium), np.isnan(highest))
    error = np.nanmax(abs(medium - highest))
    assert error <= 0.02 * np.nanmax(highest)
    assert (error > 0) == (model.plan("medium")["precision"] == "medium")
    for threads in (2, 3):
        again = model.score(
            series, offsets, windows="carried", precision="medium", num_threads=threads
        )
        np.testing.assert_array_equal(again, medium)
    missing = series.copy()
    missing[len(series) // 2 :: 11] = np.nan
    got = model.score(missing, offsets, windows="carried", precision="medium")
    want = carried_reference(metadata, tensors, missing, offsets)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=0, atol=0.02 * np.nanmax(want))


def unforgetting(rng: np.random.Generator, **options: Any) -> tuple[Any, Any]:
    """Make an LSTM whose forget gates stay open: its cells keep what they have seen."""
    metadata, tensors = random_model(rng, [layer("lstm", 8)], window=7, **options)
    tensors["encoder.0.bias_ih_l0"][8:16] += 10.0
    return metadata, tensors


def test_carried_states_of_a_net_that_does_not_forget(isa: str) -> None:
    rng = np.random.default_rng(8)
    metadata, tensors = unforgetting(rng)
    model = sc.SequenceModel(metadata, tensors)
    series = rng.normal(size=(200, 3)).astype(np.float32)
    got = model.score(series, windows="carried")
    want = carried_reference(metadata, tensors, series, [0, 200])
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)
    assert np.nanmax(abs(got - model.score(series))) > 0.05 * np.nanmedian(got)


def test_carried_takes_any_dtype_layout_and_out(
    poisoned: Callable[..., np.ndarray],
) -> None:
    rng = np.random.default_rng(9)
    scaler = {"kind": "minmax", "center": [0.0, 5.0, 1.0], "scale": [1.0, 100.0, 3.0]}
    metadata, tensors = random_model(rng, [layer("lstm", 6)], window=5, scaler=scaler)
    model = sc.SequenceModel(metadata, tensors)
    series = np.round(rng.normal(0, 30, (120, 3)))
    want = model.score(series, [0, 70, 120], windows="carried")
    assert_close(want, carried_reference(metadata, tensors, series, [0, 70, 120]))
    for dtype in (np.float32, np.int16, np.float16):
        wide = np.zeros((240, 6), dtype)
        wide[::2, ::2] = series
        out = poisoned(120)
        got = model.score(wide[::2, ::2], [0, 70, 120], windows="carried", out=out)
        assert got is out
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in CARRIED])
def test_carried_refuses_models_whose_windows_share_no_state(name: str) -> None:
    model = sc.SequenceModel(*case(name)[:2])
    text = "bidirectional layer" if name in BIDIRECTIONAL else "autoencoder"
    with pytest.raises(sc.UnsupportedError, match=rf"windows: expected 'exact' for .*{text}"):
        model.score(case(name)[2], windows="carried")


def test_carried_refuses_strides_that_do_not_pay() -> None:
    metadata, tensors, series, offsets = case("lstm_64_32")  # a window of 9
    model = sc.SequenceModel(metadata, tensors)
    text = (
        r"windows: expected 'exact' where stride is above 4 \(0.48 times the model's window, 9\), "
        r"got 'carried' with stride=5"
    )
    with pytest.raises(sc.UnsupportedError, match=text):
        model.score(series, offsets, windows="carried", stride=5)
    with pytest.raises(ValueError, match="windows: expected one of 'exact', 'carried', got 'all'"):
        model.score(series, offsets, windows="all")  # type: ignore[arg-type]
