"""Fixtures of all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest

import slidecell as sc

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
