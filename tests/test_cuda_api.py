"""The public functions of slidecell.cuda: without a GPU, and with the emulated one."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell import cuda
from slidecell.cuda import availability, calls
from slidecell.cuda.arrays import device_array, host_array, is_device_array, same_device
from tests.cuda_emulated import EmulatedRuntime, FakeDeviceArray, Stream, can_emulate
from tests.models import layer, random_model
from tests.score_cases import case

SERIES = np.random.default_rng(0).random((40, 7), dtype=np.float32)

emulated = pytest.mark.skipif(not can_emulate(), reason="needs g++ and a CPU with AVX2 and FMA")


def make(encoder: Any = None, decoder: Any = None, **options: Any) -> Any:
    rng = np.random.default_rng(0)
    encoder = encoder or [layer("lstm", 5)]
    return sc.SequenceModel(*random_model(rng, encoder, decoder, features=7, window=4, **options))


# --- without a GPU --------------------------------------------------------------------------------


def test_cuda_api_import_needs_no_gpu_library() -> None:
    code = (
        "import sys; from slidecell import cuda; "
        "assert not {'cupy', 'numba', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CuPy and no Numba, wherever the tests run."""
    for name in ("cupy", "numba", "numba.cuda"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("backend", ["cupy", "numba"])
def test_cuda_api_never_runs_on_the_cpu_instead(backend: str) -> None:
    model, lstm = make(), sc.LSTM(7, 2, bias=False)
    lstm.load_state_dict({"weight_ih": np.ones((8, 7)), "weight_hh": np.ones((8, 2))})
    calls_ = [
        lambda: cuda.score(model, SERIES, backend=backend),
        lambda: cuda.predict(model, SERIES, backend=backend),
        lambda: cuda.encode(model, SERIES, backend=backend),
        lambda: cuda.forward(lstm, SERIES[None], backend=backend),
        lambda: cuda.step(lstm, SERIES, backend=backend),
        lambda: cuda.sliding_windows(SERIES, window=4, backend=backend),
    ]
    for call in calls_:
        with pytest.raises(sc.UnsupportedError, match=f"backend '{backend}' is not available"):
            call()
    assert not cuda.is_available()
    assert not cuda.is_available(backend)


@pytest.mark.usefixtures("no_gpu")
def test_cuda_api_plan_of_this_gpu_needs_one() -> None:
    with pytest.raises(sc.UnsupportedError, match="cupy"):
        cuda.plan(make())


def test_cuda_api_missing_driver_device_and_compiler_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Runtime:
        @staticmethod
        def getDeviceCount() -> int:  # noqa: N802
            raise RuntimeError("cudaErrorInsufficientDriver")

    class Compiler:
        @staticmethod
        def getVersion() -> tuple[int, int]:  # noqa: N802
            raise RuntimeError("Failure finding libnvrtc.so.13")

    fake = type("cupy", (), {"cuda": type("cuda", (), {"runtime": Runtime, "nvrtc": Compiler})})
    monkeypatch.setitem(sys.modules, "cupy", fake)  # type: ignore[arg-type]
    assert "cudaErrorInsufficientDriver" in str(availability.why_not("cupy"))
    Runtime.getDeviceCount = staticmethod(lambda: 0)  # type: ignore[method-assign]
    assert availability.why_not("cupy") == "CuPy finds no GPU"
    Runtime.getDeviceCount = staticmethod(lambda: 1)  # type: ignore[method-assign]
    with pytest.raises(sc.UnsupportedError, match=r"no compiler, NVRTC \(.*libnvrtc.*cuda13"):
        cuda.score(make(), SERIES)
    Compiler.getVersion = staticmethod(lambda: (13, 0))  # type: ignore[method-assign]
    assert availability.why_not("cupy") is None


def test_cuda_api_backend_cpu_is_the_cpu() -> None:
    model = make()
    np.testing.assert_array_equal(cuda.score(model, SERIES, backend="cpu"), model.score(SERIES))
    np.testing.assert_array_equal(
        cuda.score(model, SERIES, backend="cpu", windows="carried"),
        model.score(SERIES, windows="carried"),
    )
    for backend in ("cupy", "numba"):
        with pytest.raises(sc.UnsupportedError, match=r"windows: backend='.*' has no 'carried'"):
            cuda.score(model, SERIES, backend=backend, windows="carried")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="windows: expected one of 'exact', 'carried', got 'all'"):
        cuda.score(model, SERIES, backend="cpu", windows="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="backend: expected one of 'cupy', 'numba', 'cpu'"):
        cuda.score(model, SERIES, backend="opencl")
    with pytest.raises(TypeError, match="series: expected a host array for backend='cpu'"):
        cuda.score(model, FakeDeviceArray(SERIES), backend="cpu")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reduction": "rmse"}, "reduction: expected one of"),
        ({"aggregate": "first"}, "aggregate: expected one of"),
        ({"aggregate": "mean"}, "aggregate: expected 'window' for a forecaster"),
        ({"precision": "lowest"}, "precision: expected one of"),
        ({"reduction": "mahalanobis"}, "needs error statistics"),
    ],
)
def test_cuda_api_options_are_checked_first(options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        cuda.score(make(), SERIES, **options)


@pytest.mark.parametrize("backend", ["cupy", "numba"])
def test_cuda_api_int8_products_are_the_cpus(backend: str) -> None:
    """Said before a GPU is looked for, with what to do instead."""
    text = rf"precision: backend='{backend}' has no int8 products.*'medium'.*or backend='cpu'"
    with pytest.raises(sc.UnsupportedError, match=text):
        cuda.score(make(), SERIES, backend=backend, precision="low")


# --- arrays ---------------------------------------------------------------------------------------


def test_cuda_arrays_device() -> None:
    found = device_array(FakeDeviceArray(SERIES, device=1), "series", ["S", 7])
    assert (found.shape, found.dtype, found.device) == ((40, 7), np.float32, 1)
    assert found.ptr == SERIES.ctypes.data
    assert is_device_array(FakeDeviceArray(SERIES))
    assert not is_device_array(SERIES)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (SERIES, TypeError, "series: expected a device array like the others, got ndarray"),
        (FakeDeviceArray(SERIES[:, :6].copy()), ValueError, r"expected \[S, 7\], got \[40, 6\]"),
        (FakeDeviceArray(SERIES[:, 0].copy()), ValueError, r"expected \[S, 7\], got \[40\]"),
        (FakeDeviceArray(SERIES[::2]), ValueError, "expected a C-contiguous device array"),
        (FakeDeviceArray(SERIES.astype("c8")), TypeError, "expected real numbers, got dtype compl"),
        (FakeDeviceArray(SERIES.astype(">f4")), TypeError, "expected real numbers, got dtype >f4"),
        (FakeDeviceArray(SERIES, mask=1), TypeError, "expected no mask"),
    ],
)
def test_cuda_arrays_device_errors(value: Any, error: type, text: str) -> None:
    with pytest.raises(error, match=text):
        device_array(value, "series", ["S", 7])


def test_cuda_arrays_on_different_devices() -> None:
    one = device_array(FakeDeviceArray(SERIES), "x", ["S", 7])
    two = device_array(FakeDeviceArray(SERIES, device=1), "h0", ["S", 7])
    with pytest.raises(ValueError, match="h0: expected an array on device 0 like x, got device 1"):
        same_device([one, two])


def test_cuda_arrays_dlpack_only_is_told_what_to_do() -> None:
    class OnlyDlpack:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

    with pytest.raises(TypeError, match=r"pass cupy.from_dlpack\(series\)"):
        device_array(OnlyDlpack(), "series", ["S", 7])


def test_cuda_arrays_host() -> None:
    assert host_array(SERIES.astype(">f8"), "series", ["S", 7]).dtype.isnative
    assert host_array(np.ones((3, 7), np.longdouble), "series", ["S", 7]).dtype == np.float64
    with pytest.raises(TypeError, match="got a device array"):
        host_array(FakeDeviceArray(SERIES), "c0", ["S", 7])
    with pytest.raises(TypeError, match="expected real numbers, got dtype"):
        host_array(np.array([["a"] * 7]), "series", ["S", 7])


# --- the emulated GPU -----------------------------------------------------------------------------


@emulated
@pytest.mark.parametrize(
    "name", ["lstm_horizon3", "lstm_targets", "ae_relu_stack", "gru_before", "rnn_relu_stack"]
)
def test_cuda_api_scores_predictions_and_codes(emulated_gpu: EmulatedRuntime, name: str) -> None:
    metadata, tensors, series, offsets = case(name)
    features = series.shape[1]
    scaler = {"kind": "standard", "center": [0.3] * features, "scale": [0.7] * features}
    model = sc.SequenceModel({**metadata, "scaler": {**scaler, "constant": []}}, tensors)
    series = series.astype(np.float64)
    series[[3, 77]] = np.nan
    for chunk_bytes in (2**20, 3000):
        for function, method in (
            (cuda.score, model.score),
            (cuda.predict, model.predict),
            (cuda.encode, model.encode),
        ):
            got = function(model, series, offsets, chunk_bytes=chunk_bytes)
            np.testing.assert_array_equal(got, method(series, offsets))
    if model.horizon == 0:
        got = cuda.score(model, series, offsets, aggregate="mean", chunk_bytes=3000)
        np.testing.assert_array_equal(got, model.score(series, offsets, aggregate="mean"))


@emulated
def test_cuda_api_device_arrays_are_neither_copied_nor_waited_for(
    emulated_gpu: EmulatedRuntime,
) -> None:
    model = make()
    out = FakeDeviceArray(np.full(40, 12345.0, np.float32))
    given = cuda.score(model, FakeDeviceArray(SERIES), out=out)
    assert given is out
    assert (out.values == 12345.0).all()  # nothing has run: the stream was not waited for
    made = cuda.predict(model, FakeDeviceArray(SERIES))
    emulated_gpu.finish()
    np.testing.assert_array_equal(out.values, model.score(SERIES))
    np.testing.assert_array_equal(made.values, model.predict(SERIES))


@emulated
@pytest.mark.parametrize(
    "dtype", ["f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"]
)
def test_cuda_api_every_dtype(emulated_gpu: EmulatedRuntime, dtype: str) -> None:
    model = make()
    series = (SERIES * 3).astype(dtype)
    np.testing.assert_array_equal(cuda.score(model, series), model.score(series))


@emulated
def test_cuda_api_strided_and_empty_series(emulated_gpu: EmulatedRuntime) -> None:
    model = make()
    wide = np.asfortranarray(np.random.default_rng(1).random((80, 9)))
    view = wide[::-2, 1:8]
    np.testing.assert_array_equal(cuda.score(model, view), model.score(view))
    for rows in (0, 3, 5):
        np.testing.assert_array_equal(cuda.score(model, SERIES[:rows]), model.score(SERIES[:rows]))
        assert cuda.predict(model, SERIES[:rows]).shape == model.predict(SERIES[:rows]).shape


@emulated
def test_cuda_api_models_of_the_cpu_only(emulated_gpu: EmulatedRuntime) -> None:
    for cell, options in (
        ("lstm", {"bidirectional": True}),
        ("lstm", {"proj_size": 2}),
        ("rnn", {"bidirectional": True}),
    ):
        with pytest.raises(sc.UnsupportedError, match="CPU only"):
            cuda.score(make([layer(cell, 5, **options)]), SERIES)


def stack(kind: type, layers: int, **options: Any) -> Any:
    module = kind(7, 6, layers, **options)
    rng = np.random.default_rng(layers)
    shapes = module._shapes()
    module.load_state_dict({k: rng.uniform(-0.5, 0.5, s) for k, s in shapes.items()})
    return module


@emulated
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (sc.LSTM, {}),
        (sc.GRU, {}),
        (sc.GRU, {"reset_after": False}),
        (sc.RNN, {}),
        (sc.RNN, {"nonlinearity": "relu"}),
    ],
)
def test_cuda_api_forward_and_step(
    emulated_gpu: EmulatedRuntime, kind: type, options: Any, layers: int
) -> None:
    module, rng = stack(kind, layers, **options), np.random.default_rng(5)
    x = rng.random((11, 5, 7), dtype=np.float32)
    h0, c0 = rng.random((2, layers, 11, 6), dtype=np.float32)
    state = (h0, c0) if kind is sc.LSTM else h0
    lengths = rng.integers(0, 6, 11)
    for given, n in ((None, None), (state, None), (state, lengths), (None, lengths)):
        out, final = cuda.forward(module, x, given, lengths=n)
        want, want_final = module.forward(x, given, lengths=n)
        np.testing.assert_array_equal(out, want)
        np.testing.assert_array_equal(np.asarray(final), np.asarray(want_final))
    parts = tuple(part[0] if layers == 1 else part for part in (h0, c0))
    state = parts if kind is sc.LSTM else parts[0]
    for given in (None, state):
        np.testing.assert_array_equal(
            np.asarray(cuda.step(module, x[:, 0], given)), np.asarray(module.step(x[:, 0], given))
        )
    out, final = cuda.forward(module, FakeDeviceArray(x))
    emulated_gpu.finish()
    np.testing.assert_array_equal(out.values, module.forward(x)[0])


@emulated
@pytest.mark.parametrize("horizon", [0, 2])
def test_cuda_api_sliding_windows(emulated_gpu: EmulatedRuntime, horizon: int) -> None:
    offsets = [0, 3, 20, 20, 40]
    for stride in (1, 4):
        options: dict[str, Any] = {"window": 5, "horizon": horizon, "stride": stride}
        got = cuda.sliding_windows(SERIES, offsets=offsets, **options)
        want = sc.sliding_windows(SERIES, offsets=offsets, **options)
        for a, b in zip(got if horizon else (got,), want if horizon else (want,), strict=True):
            np.testing.assert_array_equal(a, b)


@emulated
def test_cuda_api_weights_come_from_another_stream(emulated_gpu: EmulatedRuntime) -> None:
    """A call in one stream waits for the uploads that an earlier one left in another."""
    model = make()
    cuda.score(model, FakeDeviceArray(SERIES))
    emulated_gpu.main = Stream()
    got = cuda.score(model, FakeDeviceArray(SERIES))
    emulated_gpu.finish()
    np.testing.assert_array_equal(got.values, model.score(SERIES))


@emulated
def test_cuda_api_weights_are_uploaded_once(emulated_gpu: EmulatedRuntime) -> None:
    model = make()
    cuda.score(model, SERIES)
    held = len(calls._ENGINES[model][0]._kept)
    cuda.score(model, SERIES)
    assert len(calls._ENGINES[model][0]._kept) == held == 2  # weights, and the targets' columns
    lstm = stack(sc.LSTM, 1)
    x = SERIES[None]
    first, _ = cuda.forward(lstm, x)
    lstm.load_state_dict({k: v * 0.5 for k, v in lstm.state_dict().items()})
    np.testing.assert_array_equal(cuda.forward(lstm, x)[0], lstm.forward(x)[0])
    assert (first != lstm.forward(x)[0]).any()
