"""Several streams, threads and failing calls on the emulated GPU: who waits for whom, and when."""

from __future__ import annotations

import ctypes
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell import cuda
from slidecell.cuda import calls
from slidecell.cuda.engine import Engine
from slidecell.cuda.kept import KeptArrays
from slidecell.cuda.runtime import Entry
from slidecell.cuda.structs import Struct
from tests.cuda_emulated import EmulatedRuntime, FakeDeviceArray, Stream, can_emulate
from tests.models import layer, random_model

SERIES = np.random.default_rng(0).random((60, 7), dtype=np.float32)

emulated = pytest.mark.skipif(not can_emulate(), reason="needs g++ and a CPU with AVX2 and FMA")


def make(**options: Any) -> sc.SequenceModel:
    rng = np.random.default_rng(0)
    return sc.SequenceModel(*random_model(rng, [layer("lstm", 5)], features=7, window=4, **options))


def read(runtime: EmulatedRuntime, ptr: int) -> np.ndarray:
    """Four numbers, as a copy in the main stream finds them; other streams do what it waits for."""
    got = np.zeros(4, np.int32)
    runtime.main.work.append(lambda: ctypes.memmove(got.ctypes.data, ptr, got.nbytes))
    runtime.main.run_to(len(runtime.main.work))
    return got


def test_cuda_streams_a_use_waits_for_the_upload_of_its_own_array() -> None:
    """Not only for the latest one, which another thread may have begun in a third stream."""
    runtime = EmulatedRuntime()
    kept = KeptArrays(runtime)
    kept.use("weights", lambda: np.arange(4, dtype=np.int32))
    runtime.main = Stream()
    kept.use("others", lambda: np.arange(5, 9, dtype=np.int32))
    for name, want in (("weights", [0, 1, 2, 3]), ("others", [5, 6, 7, 8])):
        runtime.main = Stream()
        memory = kept.use(name, lambda: np.zeros(4, np.int32))
        np.testing.assert_array_equal(read(runtime, memory.ptr), want)


def test_cuda_streams_threads_upload_an_array_once() -> None:
    runtime, made = EmulatedRuntime(), []
    kept, gate = KeptArrays(runtime), threading.Barrier(4)

    def values() -> np.ndarray:
        made.append(threading.get_ident())
        return np.zeros(4, np.int32)

    def use(_: int) -> int:
        gate.wait()
        return kept.use("weights", values).ptr

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(use, range(4)))) == 1
    assert len(made) == 1


def test_cuda_streams_threads_make_one_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_ENGINES", type(calls._ENGINES)())
    runtime, gate, made = EmulatedRuntime(), threading.Barrier(4), []

    def engine() -> Any:
        made.append(object())
        return made[-1]

    def call(_: int) -> Engine:
        gate.wait()
        return calls.engine_of(runtime, runtime, engine)

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(call, range(4)))) == len(made) == 1


def test_cuda_streams_notes_only_uses_that_the_allocator_does_not_order() -> None:
    runtime = EmulatedRuntime()
    kept = KeptArrays(runtime)
    kept.use("weights", lambda: np.zeros(4, np.int32))
    kept.used()
    assert kept._uses == []
    for _ in range(3):  # streams that have done their work are forgotten
        runtime.main = Stream()
        kept.use("weights", lambda: np.zeros(4, np.int32))
        kept.used()
        runtime.main.run_to(len(runtime.main.work))
    assert len(kept._uses) == 1


@emulated
@pytest.mark.parametrize("reduction", ["mse", "mahalanobis"])
def test_cuda_streams_arrays_of_a_dead_model_outlive_their_last_use(
    emulated_gpu: EmulatedRuntime, reduction: str
) -> None:
    """The pool gives them away in the order of the stream that uploaded them."""
    model = make(error=True)
    want = model.score(SERIES, reduction=reduction)
    uploading, using = emulated_gpu.main, Stream()
    cuda.score(model, FakeDeviceArray(SERIES), reduction=reduction)
    emulated_gpu.main = using
    got = cuda.score(model, FakeDeviceArray(SERIES), reduction=reduction)
    del model
    gc.collect()
    uploading.run_to(len(uploading.work))  # the pool's next user writes to them
    emulated_gpu.finish()
    np.testing.assert_array_equal(got.values, want)


class Interrupted(EmulatedRuntime):
    """Fails at a launch: as a Ctrl-C, or a kernel that finds too little memory for its scratch."""

    left = 0

    def launch(self, entry: Entry, grid: int, arguments: Struct) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        super().launch(entry, grid, arguments)


@emulated
@pytest.mark.parametrize("launches", range(6))
@pytest.mark.parametrize("what", ["score", "predict", "encode", "windows", "forward"])
def test_cuda_streams_a_failed_call_leaves_no_copy_under_way(
    emulated_gpu: EmulatedRuntime, what: str, launches: int
) -> None:
    emulated_gpu.__class__ = Interrupted
    emulated_gpu.left = launches  # type: ignore[attr-defined]
    model, lstm = make(), sc.LSTM(7, 3, bias=False)
    rng = np.random.default_rng(1)
    lstm.load_state_dict({k: rng.uniform(-0.5, 0.5, s) for k, s in lstm._shapes().items()})
    functions: dict[str, Any] = {
        "score": lambda: cuda.score(model, SERIES, chunk_bytes=500),
        "predict": lambda: cuda.predict(model, SERIES, chunk_bytes=500),
        "encode": lambda: cuda.encode(model, SERIES, chunk_bytes=500),
        "windows": lambda: cuda.sliding_windows(SERIES, window=4)[0],
        "forward": lambda: cuda.forward(lstm, SERIES[None])[0],
    }
    wanted: dict[str, Any] = {
        "score": lambda: model.score(SERIES),
        "predict": lambda: model.predict(SERIES),
        "encode": lambda: model.encode(SERIES),
        "windows": lambda: sc.sliding_windows(SERIES, window=4)[0],
        "forward": lambda: lstm.forward(SERIES[None])[0],
    }
    call = functions[what]
    if what in {"score", "predict", "encode"} or launches < 2:
        with pytest.raises(KeyboardInterrupt):
            call()
    gc.collect()  # with the error its frames go, and what they held
    assert emulated_gpu.faults == []
    emulated_gpu.left = 10**6  # type: ignore[attr-defined]
    np.testing.assert_array_equal(call(), wanted[what]())


def test_cuda_streams_emulation_finds_pinned_memory_that_is_free_too_early() -> None:
    runtime = EmulatedRuntime()
    stream, memory = runtime.new_stream(), runtime.memory(64)
    host = runtime.pinned(64)
    runtime.copy_in(memory.ptr, host[16:], stream)
    del host
    gc.collect()
    with pytest.raises(AssertionError, match="64 bytes of pinned memory are free under a copy"):
        runtime.finish()
