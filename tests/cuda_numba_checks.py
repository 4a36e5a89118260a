"""Run by test_cuda_numba.py in a process of its own, under Numba's CUDA simulator.

Compares the Numba kernels with the float64 reference and the CPU's kernels on tiny cases: the
simulator takes milliseconds for what a thread does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import slidecell as sc
from slidecell import cuda
from slidecell.cuda import numba_arrays
from tests.cuda_emulated import FakeDeviceArray
from tests.models import layer, random_model
from tests.reference import (
    encode_reference,
    gru_forward,
    lstm_forward,
    predict_reference,
    rnn_forward,
    score_reference,
)

ATOL = 1e-6
OFFSETS = np.array([0, 2, 7, 14])
SCALER = {"kind": "standard", "center": [0.3, 0.4], "scale": [0.7, 2.0], "constant": []}

MODELS: dict[str, dict[str, Any]] = {
    "lstm": {"encoder": [layer("lstm", 3)], "horizon": 1},
    "gru": {"encoder": [layer("gru", 2)], "horizon": 2, "targets": [1]},
    "gru_before": {"encoder": [layer("gru", 3, reset_after=False), layer("gru", 2)]},
    "autoencoder": {
        "encoder": [layer("lstm", 2, activation="relu", recurrent_activation="hard_sigmoid")],
        "decoder": [layer("lstm", 3)],
    },
    "rnn": {"encoder": [layer("rnn", 3, activation="relu"), layer("rnn", 2)]},
    "rnn_autoencoder": {"encoder": [layer("rnn", 2)], "decoder": [layer("rnn", 3)]},
}


def check_model(name: str) -> None:
    rng = np.random.default_rng(len(name))
    metadata, tensors = random_model(rng, features=2, window=2, scaler=SCALER, **MODELS[name])
    model = sc.SequenceModel(metadata, tensors)
    series = rng.random((14, 2))
    series[12, 1] = np.nan
    options: list[dict[str, Any]] = [{}, {"reduction": "mae", "per_feature": True, "stride": 2}]
    if model.horizon == 0:
        options.append({"aggregate": "last"})
    for each in options:
        got = cuda.score(model, series, OFFSETS, backend="numba", **each)
        want = score_reference(metadata, tensors, series, OFFSETS, **each)
        np.testing.assert_allclose(got, want, rtol=0, atol=ATOL)
        assert got.dtype == np.float32
    for function, reference in (
        (cuda.predict, predict_reference),
        (cuda.encode, encode_reference),
    ):
        got = function(model, series, OFFSETS, backend="numba")
        want = reference(metadata, tensors, series, OFFSETS)
        np.testing.assert_allclose(got, want, rtol=0, atol=ATOL)


def check_cells() -> None:
    rng = np.random.default_rng(7)
    x = rng.random((2, 3, 2), dtype=np.float32)
    for kind, reference, options in (
        (sc.LSTM, lstm_forward, {}),
        (sc.GRU, gru_forward, {}),
        (sc.GRU, gru_forward, {"reset_after": False}),
        (sc.RNN, rnn_forward, {}),
        (sc.RNN, rnn_forward, {"nonlinearity": "relu"}),
    ):
        module: Any = kind(2, 3, 2, **options)
        module.load_state_dict(
            {k: rng.uniform(-0.5, 0.5, shape) for k, shape in module._shapes().items()}
        )
        h0, c0 = rng.random((2, 2, 2, 3), dtype=np.float32)
        state, starts = ((h0, c0), {"h0": h0, "c0": c0}) if kind is sc.LSTM else (h0, {"h0": h0})
        out, final = cuda.forward(module, x, state, backend="numba")
        known = {"activation" if k == "nonlinearity" else k: v for k, v in options.items()}
        want, want_final = reference(x, module.state_dict(), **starts, **known)
        np.testing.assert_allclose(out, want, rtol=0, atol=ATOL)
        np.testing.assert_allclose(np.asarray(final), np.asarray(want_final), rtol=0, atol=ATOL)
        got = cuda.step(module, x[:, 0], state, backend="numba")
        want_step = np.asarray(module.step(x[:, 0], state))
        np.testing.assert_allclose(np.asarray(got), want_step, rtol=0, atol=ATOL)


def check_saturated() -> None:
    """Sums far beyond any scale: gates saturate, as on the CPU, and nothing becomes NaN."""
    x = np.random.default_rng(3).standard_normal((2, 3, 2)).astype(np.float32)
    for module in (sc.LSTM(2, 3), sc.GRU(2, 3), sc.GRU(2, 3, reset_after=False), sc.RNN(2, 3)):
        rng = np.random.default_rng(7)
        module.load_state_dict(
            {k: rng.uniform(-0.5, 0.5, shape) for k, shape in module._shapes().items()}
        )
        for size in (1e3, 1e16, 1e36):
            large = x * np.float32(size)
            out, _ = cuda.forward(module, large, backend="numba")
            np.testing.assert_allclose(out, module.forward(large)[0], rtol=0, atol=ATOL)


def check_windows() -> None:
    series = np.arange(28.0).reshape(14, 2)
    for horizon, stride in ((0, 1), (2, 1), (1, 3)):
        options = {"window": 2, "horizon": horizon, "stride": stride, "offsets": OFFSETS}
        got = cuda.sliding_windows(series, backend="numba", **options)
        want = sc.sliding_windows(series, **options)
        for a, b in zip(got if horizon else (got,), want if horizon else (want,), strict=True):
            np.testing.assert_array_equal(a, b)


def check_device_arrays() -> None:
    """Arrays on the device, which the simulator does not know: their values, taken and given."""
    # On a GPU this makes a view; what is given is an array of Numba's for unknown libraries.
    numba_arrays.cuda.as_cuda_array = lambda array: numba_arrays.cuda.to_device(array.values)
    metadata, tensors = random_model(np.random.default_rng(0), [layer("lstm", 2)], window=2)
    model, series = sc.SequenceModel(metadata, tensors), np.random.default_rng(1).random((6, 3))
    for function, reference in ((cuda.score, score_reference), (cuda.encode, encode_reference)):
        got = function(model, FakeDeviceArray(series), backend="numba").copy_to_host()
        np.testing.assert_allclose(got, reference(metadata, tensors, series), rtol=0, atol=ATOL)
    x, state = series.astype(np.float32)[None], np.ones((1, 1, 2), np.float32)
    gru: Any = sc.GRU(3, 2, bias=False)
    gru.load_state_dict({k: np.full(shape, 0.1) for k, shape in gru._shapes().items()})
    out, _ = cuda.forward(gru, FakeDeviceArray(x), FakeDeviceArray(state), backend="numba")
    np.testing.assert_allclose(out.copy_to_host(), gru.forward(x, state)[0], rtol=0, atol=ATOL)
    for rows, h0, error, text in (
        (x, FakeDeviceArray(state), TypeError, "h0: expected a host array"),
        (FakeDeviceArray(x), state, TypeError, "h0: expected a device array"),
        (FakeDeviceArray(x), FakeDeviceArray(state, device=1), ValueError, "h0: expected an array"),
        (FakeDeviceArray(x), FakeDeviceArray(state.astype("f8")), TypeError, "expected float32"),
        (FakeDeviceArray(x[:, ::2]), None, ValueError, "x: expected a C-contiguous"),
    ):
        refused(error, text, lambda: cuda.forward(gru, rows, h0, backend="numba"))  # noqa: B023


def check_too_little_memory() -> None:
    """Numba's own error becomes Python's, and the next call is as good as any."""
    gru: Any = sc.GRU(3, 2, bias=False)
    gru.load_state_dict({k: np.full(shape, 0.1) for k, shape in gru._shapes().items()})
    x, before = np.ones((1, 4, 3), np.float32), numba_arrays.cuda.to_device

    def full(_array: Any) -> Any:
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    numba_arrays.cuda.to_device = full
    refused(MemoryError, "works by chunks", lambda: cuda.forward(gru, x, backend="numba"))
    numba_arrays.cuda.to_device = before
    assert np.isfinite(cuda.forward(gru, x, backend="numba")[0]).all()


def refused(error: type[Exception], text: str, call: Callable[[], Any]) -> None:
    try:
        call()
    except error as found:
        assert text in str(found), found  # noqa: PT017 (no pytest in this process)
    else:
        raise AssertionError(f"accepted: {text}")


def check_refusals() -> None:
    model = sc.SequenceModel(
        *random_model(np.random.default_rng(0), [layer("lstm", 2)], [layer("lstm", 2)], error=True)
    )
    lstm = sc.LSTM(3, 2, bias=False)
    lstm.load_state_dict({"weight_ih": np.ones((8, 3)), "weight_hh": np.ones((8, 2))})
    series = np.zeros((6, 3))
    for call in (
        lambda: cuda.score(model, series, backend="numba", reduction="mahalanobis"),
        lambda: cuda.score(model, series, backend="numba", aggregate="mean"),
        lambda: cuda.score(model, series, backend="numba", out=np.zeros(6, np.float32)),
        lambda: cuda.forward(lstm, series[None], lengths=[3], backend="numba"),
    ):
        refused(sc.UnsupportedError, "cupy", call)
    refused(
        ValueError,
        "state: expected (h0, c0), got 1 arrays",
        lambda: cuda.forward(lstm, series[None], (np.zeros((1, 1, 2)),), backend="numba"),
    )
    for rows in (0, 3):
        assert cuda.score(model, series[:rows], backend="numba").shape == (rows,)
        assert cuda.predict(model, series[:rows], backend="numba").shape == (0, 5, 3)


if __name__ == "__main__":
    assert cuda.is_available("numba")
    if sys.argv[1] == "models":
        for model_name in MODELS:
            check_model(model_name)
    else:
        check_cells()
        check_saturated()
        check_windows()
        check_refusals()
        check_too_little_memory()
        check_device_arrays()
