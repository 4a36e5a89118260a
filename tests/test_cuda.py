"""slidecell.cuda on a GPU; what can be checked without one is in the test_cuda_*.py beside this.

.ci/gpu runs them, compute-sanitizer on the small ones, and the benchmark.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell import cuda
from slidecell.cuda.availability import why_not
from tests.models import MODELS, layer, random_model
from tests.score_cases import case

REASON = why_not("cupy")
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no GPU: {REASON}")

SUPPORTED = [
    name
    for name, model in MODELS.items()
    if not any(
        spec["bidirectional"] or spec["proj_size"]
        for spec in model["encoder"] + (model.get("decoder") or [])
    )
]


@pytest.fixture(autouse=True, scope="module")
def plain_memory() -> Iterator[None]:
    """Allocate each array by itself if SLIDECELL_TEST_PLAIN_MEMORY is set.

    CuPy's pool cuts arrays out of large blocks, within which compute-sanitizer sees no overrun and
    takes what an earlier array left for initialised memory.
    """
    if not os.environ.get("SLIDECELL_TEST_PLAIN_MEMORY"):
        yield
        return
    import cupy

    cupy.cuda.set_allocator(None)
    cupy.cuda.set_pinned_memory_allocator(None)
    yield
    cupy.cuda.set_allocator(cupy.get_default_memory_pool().malloc)
    cupy.cuda.set_pinned_memory_allocator(cupy.get_default_pinned_memory_pool().malloc)


@pytest.fixture(autouse=True)
def avx2() -> Iterator[None]:
    """Compare with the AVX2 kernels where the CPU has them."""
    before = sc.active_isa()
    if "avx2" in sc.available_isas():
        sc.set_isa("avx2")
    yield
    sc.set_isa(before)


def small(name: str) -> tuple[Any, np.ndarray, np.ndarray]:
    metadata, tensors, series, offsets = case(name)
    series = series.copy()
    series[[3, 100]] = np.nan
    return sc.SequenceModel(metadata, tensors), series, offsets


@pytest.mark.parametrize("name", SUPPORTED)
def test_cuda_small_scores_predictions_and_codes(name: str) -> None:
    model, series, offsets = small(name)
    for function, method in (
        (cuda.score, model.score),
        (cuda.predict, model.predict),
        (cuda.encode, model.encode),
    ):
        got, want = function(model, series, offsets), method(series, offsets)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=3e-7)


@pytest.mark.parametrize(("precision", "bound"), [("high", 1e-5), ("medium", 1e-2)])
@pytest.mark.parametrize(
    "name", ["lstm16", "gru", "gru_before", "lstm_64_32", "ae_relu_stack", "rnn", "rnn_relu_stack"]
)
def test_cuda_small_precisions(name: str, precision: str, bound: float) -> None:
    model, series, offsets = small(name)
    got = cuda.score(model, series, offsets, precision=precision)
    want = model.score(series, offsets)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    assert np.nanmax(np.abs(got - want)) < bound


@pytest.mark.parametrize("name", ["lstm_horizon3", "ae_lstm"])
def test_cuda_small_options(name: str) -> None:
    model, series, offsets = small(name)
    aggregates = ("window",) if model.horizon else ("window", "last", "mean")
    for aggregate in aggregates:
        for reduction in ("mse", "mae", "mahalanobis"):
            options = {"aggregate": aggregate, "reduction": reduction}
            got = cuda.score(model, series, offsets, chunk_bytes=5000, **options)
            want = model.score(series, offsets, **options)
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("cell", "size"), [("lstm", 64), ("gru", 64), ("rnn", 128)])
def test_cuda_small_wide_layers_of_many_short_entities(cell: str, size: int) -> None:
    """Eight columns a thread where the GPU has room for them; lanes that look for entities."""
    rng = np.random.default_rng(size)
    data = random_model(rng, [layer(cell, size)], features=7, window=4)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(0, 12, 300))])
    series, model = rng.random((offsets[-1], 7), dtype=np.float32), sc.SequenceModel(*data)
    want = model.score(series, offsets)
    for precision, bound in (("highest", 3e-7), ("high", 2e-5), ("medium", 2e-2)):
        got = cuda.score(model, series, offsets, precision=precision)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=bound)


@pytest.mark.parametrize(
    ("size", "features", "window"), [(1, 1, 1), (16, 14, 7), (32, 30, 3), (48, 7, 4), (64, 30, 7)]
)
def test_cuda_small_groups_of_four_warps(size: int, features: int, window: int) -> None:
    import cupy

    if cupy.cuda.Device().compute_capability != "90":
        pytest.skip("needs Hopper's matrix unit")
    rng = np.random.default_rng(size)
    data = random_model(rng, [layer("lstm", size)], features=features, window=window)
    model, series = sc.SequenceModel(*data), rng.random((1500, features), dtype=np.float32)
    series[700, 0] = np.nan
    assert cuda.plan(model, precision="medium")["kernel"] == "wgmma"
    got, want = cuda.score(model, series, precision="medium"), model.score(series)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-2)


@pytest.mark.skipif((REASON or why_not("numba")) is not None, reason="Numba finds no GPU")
@pytest.mark.parametrize(
    "name",
    ["lstm16", "gru", "gru_before", "lstm_targets", "ae_relu_stack", "rnn", "rnn_relu_stack"],
)
def test_cuda_small_numba(name: str) -> None:
    import cupy

    model, series, offsets = small(name)
    for function, method in (
        (cuda.score, model.score),
        (cuda.predict, model.predict),
        (cuda.encode, model.encode),
    ):
        want = method(series, offsets)
        for rows in (series, cupy.asarray(series)):
            got = cupy.asnumpy(function(model, rows, offsets, backend="numba"))
            np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 17, 33, 64, 100, 200])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_cuda_awkward_sizes(cell: str, size: int) -> None:
    rng = np.random.default_rng(size)
    metadata, tensors = random_model(
        rng, [layer(cell, size)], features=size % 9 + 1, window=size % 11 + 1
    )
    series = rng.random((5000, size % 9 + 1))
    model = sc.SequenceModel(metadata, tensors)
    want = model.score(series)
    np.testing.assert_allclose(cuda.score(model, series), want, rtol=1e-6, atol=3e-7)
    for precision, bound in (("high", 2e-5), ("medium", 2e-2)):
        got = cuda.score(model, series, precision=precision)
        np.testing.assert_allclose(got, want, rtol=0, atol=bound)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_cuda_same_bits_however_launched(precision: str) -> None:
    """Poisoned outputs, chunks, parts of a series, repeated calls."""
    import cupy

    model, series, _ = small("lstm16")
    out = cupy.full(len(series), 12345.0, cupy.float32)
    first = cupy.asnumpy(cuda.score(model, cupy.asarray(series), precision=precision, out=out))
    for chunk_bytes in (2000, 2**26):
        again = cuda.score(model, series, precision=precision, chunk_bytes=chunk_bytes)
        np.testing.assert_array_equal(again, first)
    part = cuda.score(model, series[120:260], precision=precision)
    np.testing.assert_array_equal(part[7:], first[127:260])


def test_cuda_arrays_of_cupy_and_torch_in_their_streams() -> None:
    import cupy
    import torch

    model, series, offsets = small("lstm16")
    want = cuda.score(model, series, offsets)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        got = cuda.score(model, cupy.asarray(series), offsets)
        stream.synchronize()
    assert isinstance(got, cupy.ndarray)
    np.testing.assert_array_equal(cupy.asnumpy(got), want)
    if torch.cuda.is_available():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            scores = cuda.score(model, torch.as_tensor(series, device="cuda"), offsets)
        stream.synchronize()
        assert isinstance(scores, torch.Tensor)
        np.testing.assert_array_equal(scores.cpu().numpy(), want)


@pytest.mark.parametrize("kind", [sc.LSTM, sc.GRU, sc.RNN])
def test_cuda_forward_and_step(kind: Any) -> None:
    module, rng = kind(5, 24, 2), np.random.default_rng(0)
    module.load_state_dict({k: rng.uniform(-0.3, 0.3, s) for k, s in module._shapes().items()})
    x = rng.random((100, 9, 5), dtype=np.float32)
    out, final = cuda.forward(module, x, lengths=rng.integers(0, 10, 100))
    assert np.isfinite(out).all()
    out, final = cuda.forward(module, x)
    np.testing.assert_allclose(out, module.forward(x)[0], rtol=0, atol=1e-6)
    got, want = cuda.step(module, x[:, 0], final), module.step(x[:, 0], final)
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=0, atol=1e-6)


def test_cuda_sliding_windows() -> None:
    series = np.random.default_rng(0).random((1000, 3))
    got = cuda.sliding_windows(series, window=7, stride=2, offsets=[0, 400, 405, 1000])
    want = sc.sliding_windows(series, window=7, stride=2, offsets=[0, 400, 405, 1000])
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_cuda_usable_after_errors() -> None:
    import cupy

    model, series, _ = small("lstm16")
    with pytest.raises(ValueError, match="C-contiguous"):
        cuda.score(model, cupy.asarray(series)[::2])
    with pytest.raises(TypeError, match="real numbers"):
        cuda.score(model, cupy.asarray(series).astype(cupy.complex64))
    if cupy.cuda.runtime.getDeviceCount() > 1:
        with cupy.cuda.Device(1):
            out = cupy.zeros(len(series), cupy.float32)
        with pytest.raises(ValueError, match="out: expected an array on device 0"):
            cuda.score(model, cupy.asarray(series), out=out)
    pool = cupy.get_default_memory_pool()
    before = pool.get_limit()
    pool.set_limit(size=pool.total_bytes() + 1)
    try:
        with pytest.raises(MemoryError, match="chunk_bytes"):
            cuda.score(model, np.zeros((10**6, model.input_size), np.float32))
    finally:  # later tests would fail for want of memory
        pool.set_limit(size=before)
    np.testing.assert_array_equal(cuda.score(model, series), cuda.score(model, series))
