"""Fixtures of all tests."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

import slidecell as sc

if TYPE_CHECKING:
    from tests.cuda_emulated import EmulatedRuntime

# Tests that run in the background ignore SIGINT, under nohup SIGHUP too, and children inherit that;
# a handler they do not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)

POISON = 12345.0  # in an output before a call: what is left of it was not written


@pytest.fixture(params=sc.available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the test once with the kernels of each instruction set of this machine."""
    before = sc.active_isa()
    sc.set_isa(request.param)
    yield request.param
    sc.set_isa(before)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240229)


@pytest.fixture
def poisoned() -> Callable[..., npt.NDArray[np.float32]]:
    """Make a float32 array full of a value that no kernel computes."""

    def make(*shape: int) -> npt.NDArray[np.float32]:
        return np.full(shape, POISON, np.float32)

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks as small as the tests' only lose by threads, most of all on a busy machine."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def emulated_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedRuntime]:
    """Let backend="cupy" run on the emulated GPU, and compare with the AVX2 kernels."""
    from slidecell.cuda import api, calls, cells
    from tests.cuda_emulated import EmulatedRuntime

    runtime = EmulatedRuntime()

    @contextlib.contextmanager
    def stream(_value: Any, _name: str) -> Iterator[EmulatedRuntime]:
        yield runtime

    monkeypatch.setattr(api, "cupy_runtime", stream)
    monkeypatch.setattr(cells, "cupy_runtime", stream)
    monkeypatch.setattr(cells, "require", lambda _backend: None)
    monkeypatch.setattr(calls, "_ENGINES", type(calls._ENGINES)())
    before = sc.active_isa()
    sc.set_isa("avx2")
    yield runtime
    runtime.finish()
    sc.set_isa(before)
