"""What slidecell.cuda refuses, on the emulated GPU: nothing is written, and the device goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell import cuda
from tests.cuda_emulated import EmulatedRuntime, FakeDeviceArray, can_emulate
from tests.models import layer, random_model

pytestmark = pytest.mark.skipif(not can_emulate(), reason="needs g++ and a CPU with AVX2 and FMA")

SERIES = np.random.default_rng(0).random((40, 7), dtype=np.float32)
Faults = list[tuple[Any, dict[str, Any], type[Exception], str]]


def on_device(values: Any, **changes: Any) -> FakeDeviceArray:
    return FakeDeviceArray(np.asarray(values), **changes)


@pytest.fixture
def model(emulated_gpu: EmulatedRuntime) -> Iterator[sc.SequenceModel]:
    """A model whose scores are right before and after the test."""
    metadata, tensors = random_model(
        np.random.default_rng(0), [layer("lstm", 5)], features=7, window=4
    )
    made = sc.SequenceModel(metadata, tensors)
    np.testing.assert_array_equal(cuda.score(made, SERIES), made.score(SERIES))
    yield made
    np.testing.assert_array_equal(cuda.score(made, SERIES), made.score(SERIES))


def test_cuda_bad_input_of_host_series(model: sc.SequenceModel) -> None:
    faults: Faults = [
        (SERIES[:, :6], {}, ValueError, r"series: expected \[S, 7\], got \[40, 6\]"),
        (SERIES[0], {}, ValueError, r"series: expected \[S, 7\], got \[7\]"),
        (SERIES.astype("c8"), {}, TypeError, "series: expected real numbers, got dtype complex64"),
        (SERIES, {"offsets": [0, 39]}, ValueError, "offsets: expected to end at 40"),
        (SERIES, {"offsets": on_device([0, 40])}, TypeError, "offsets: expected a host array"),
        (SERIES, {"chunk_bytes": 0}, ValueError, "chunk_bytes: expected an integer >= 1"),
        (SERIES, {"chunk_bytes": 1e6}, TypeError, "chunk_bytes: expected an integer"),
    ]
    for series, options, error, text in faults:
        for function in (cuda.score, cuda.predict, cuda.encode):
            with pytest.raises(error, match=text):
                function(model, series, **options)


def test_cuda_bad_input_of_device_series(model: sc.SequenceModel) -> None:
    faults: Faults = [
        (on_device(SERIES, device=1), {}, ValueError, "expected an array on device 0"),
        (on_device(SERIES[::2]), {}, ValueError, "series: expected a C-contiguous device array"),
        (on_device(SERIES.T.copy().T), {}, ValueError, "series: expected a C-contiguous device"),
        (on_device(SERIES[:, :6].copy()), {}, ValueError, r"expected \[S, 7\], got \[40, 6\]"),
        (on_device(SERIES.astype("c8")), {}, TypeError, "expected real numbers, got dtype compl"),
    ]
    for series, options, error, text in faults:
        for function in (cuda.score, cuda.predict, cuda.encode):
            with pytest.raises(error, match=text):
                function(model, series, **options)


def test_cuda_bad_input_of_host_out(model: sc.SequenceModel) -> None:
    fixed, shared = np.zeros(40, np.float32), SERIES.copy()
    fixed.flags.writeable = False
    faults: Faults = [
        (SERIES, {"out": np.zeros(39, np.float32)}, ValueError, r"out: expected a float32 array"),
        (SERIES, {"out": np.zeros(40)}, ValueError, r"out: expected a float32 .* float64"),
        (SERIES, {"out": np.zeros(80, np.float32)[::2]}, ValueError, "C-contiguous"),
        (SERIES, {"out": fixed}, ValueError, "out: expected a writeable array"),
        (shared, {"out": shared.reshape(-1)[:40]}, ValueError, "out: shares memory with series"),
        (SERIES, {"out": on_device(SERIES)}, TypeError, "out: expected a numpy array"),
        (SERIES, {"out": [0.0] * 40}, TypeError, "out: expected a numpy array, got list"),
    ]
    for series, options, error, text in faults:
        with pytest.raises(error, match=text):
            cuda.score(model, series, **options)
    np.testing.assert_array_equal(shared, SERIES)


def test_cuda_bad_input_of_device_out(
    model: sc.SequenceModel, emulated_gpu: EmulatedRuntime
) -> None:
    shared, series = SERIES.copy(), on_device(SERIES)
    fixed = on_device(np.zeros(40, np.float32), data=(0, True))
    faults: Faults = [
        (series, {"out": np.zeros(40, np.float32)}, TypeError, "out: expected a device array"),
        (
            series,
            {"out": on_device(np.zeros(40))},
            ValueError,
            "out: expected float32, got float64",
        ),
        (series, {"out": on_device(np.zeros(41, "f4"))}, ValueError, r"out: expected \[40\]"),
        (series, {"out": on_device(np.zeros(80, "f4")[::2])}, ValueError, "out: expected a C-cont"),
        (series, {"out": fixed}, ValueError, "out: expected a writeable device array"),
        (
            series,
            {"out": on_device(np.zeros(40, "f4"), device=1)},
            ValueError,
            "out: expected an array on device 0 like series, got device 1",
        ),
        (
            on_device(shared),
            {"out": on_device(shared.reshape(-1)[240:])},
            ValueError,
            "out: shares memory with series",
        ),
    ]
    for rows, options, error, text in faults:
        with pytest.raises(error, match=text):
            cuda.score(model, rows, **options)
    emulated_gpu.finish()
    np.testing.assert_array_equal(shared, SERIES)


@pytest.mark.parametrize("limit", [1, 100, 1000])
def test_cuda_bad_input_beyond_the_memory(
    model: sc.SequenceModel, emulated_gpu: EmulatedRuntime, limit: int
) -> None:
    emulated_gpu.limit = limit
    for series in (SERIES, on_device(SERIES)):
        with pytest.raises(MemoryError):
            cuda.score(model, series)
    emulated_gpu.limit = 2**30


def test_cuda_bad_input_states_beyond_shared_memory(model: sc.SequenceModel) -> None:
    wide = random_model(np.random.default_rng(0), [layer("lstm", 3000)], features=7, window=4)
    with pytest.raises(sc.UnsupportedError, match=r"hidden sizes \[3000\]"):
        cuda.score(sc.SequenceModel(*wide), SERIES)


def lstm_of_one_layer() -> sc.LSTM:
    module = sc.LSTM(7, 6)
    module.load_state_dict({k: np.full(s, 0.1) for k, s in module._shapes().items()})
    return module


@pytest.mark.usefixtures("emulated_gpu")
def test_cuda_bad_input_of_forward() -> None:
    module, x = lstm_of_one_layer(), np.zeros((3, 2, 7), np.float32)
    h0 = np.zeros((1, 3, 6), np.float32)
    near, far = on_device(h0), on_device(h0, device=1)
    faults: list[tuple[Any, Any, Any, type[Exception], str]] = [
        (x[:, :, :5], None, None, ValueError, r"x: expected \[N, T, 7\]"),
        (x, (h0,), None, ValueError, r"state: expected \(h0, c0\)"),
        (x, (), None, ValueError, r"state: expected \(h0, c0\), got 0 arrays"),
        (x, (h0, h0[:, :2]), None, ValueError, r"c0: expected \[1, 3, 6\]"),
        (x, (near, h0), None, TypeError, "h0: expected a host array"),
        (on_device(x), (h0, h0), None, TypeError, "h0: expected a device array"),
        (on_device(x), (near, far), None, ValueError, "c0: expected an array on device 0 like x"),
        (on_device(x), (on_device(h0.astype("f8")), near), None, TypeError, "h0: expected float32"),
        (on_device(x[::2]), None, None, ValueError, "x: expected a C-contiguous device array"),
        (x, None, [1, 2, 3], ValueError, "lengths: expected 0 to 2"),
        (x, None, [1.0, 2.0, 2.0], ValueError, r"lengths: expected \[3\] integers"),
        (x[:, :0], None, None, ValueError, "T >= 1"),
    ]
    for values, state, lengths, error, text in faults:
        with pytest.raises(error, match=text):
            cuda.forward(module, values, state, lengths=lengths)
    with pytest.raises(ValueError, match="no weights yet"):
        cuda.forward(sc.GRU(7, 3), x)
    with pytest.raises(ValueError, match=r"x: expected \[N, 7\]"):
        cuda.step(module, x)
    with pytest.raises(ValueError, match=r"state: expected \(h0, c0\)"):
        cuda.step(module, x[:, 0], ())
    np.testing.assert_array_equal(cuda.forward(module, x)[0], module.forward(x)[0])


@pytest.mark.usefixtures("emulated_gpu")
def test_cuda_step_takes_lists() -> None:
    module, rows = lstm_of_one_layer(), [[0.1 * n for n in range(7)]] * 2
    state = ([[0.2] * 6] * 2, [[0.3] * 6] * 2)
    for got, want in zip(cuda.step(module, rows, state), module.step(rows, state), strict=True):
        np.testing.assert_array_equal(got, want)
