"""Sums far beyond any scale on the CUDA kernels: gates saturate, and nothing becomes NaN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.cuda import sequences, whole_series
from slidecell.cuda.engine import Engine, ScoreOptions, head_of
from slidecell.cuda.network_weights import network_of_layers, network_of_model
from tests.cuda_emulated import EmulatedRuntime, can_emulate
from tests.models import layer, random_model
from tests.reference import score_reference

pytestmark = pytest.mark.skipif(not can_emulate(), reason="needs g++ and a CPU with AVX2 and FMA")


@pytest.fixture
def avx2() -> Iterator[None]:
    """The CPU's kernels whose bits the float32 kernel gives."""
    before = sc.active_isa()
    sc.set_isa("avx2")
    yield
    sc.set_isa(before)


CELLS: dict[str, Any] = {
    "lstm": layer("lstm", 9),
    "gru": layer("gru", 9),
    "gru_before": layer("gru", 9, reset_after=False),
    "rnn": layer("rnn", 9),
}


@pytest.mark.parametrize(
    ("precision", "bound"), [("highest", 1e-6), ("high", 1e-5), ("medium", 2e-2)]
)
@pytest.mark.parametrize("exponent", [54, 120])
@pytest.mark.parametrize("cell", CELLS)
def test_cuda_saturated_scores(cell: str, exponent: int, precision: str, bound: float) -> None:
    """Odd weights times a power of two, rows of 1 and -1: all precisions get the sums' signs."""
    rng = np.random.default_rng(0)
    metadata, tensors = random_model(rng, [CELLS[cell]], window=4)
    odd = rng.integers(-3, 3, tensors["encoder.0.weight_ih_l0"].shape) * 2 + 1
    tensors["encoder.0.weight_ih_l0"] = np.ldexp(odd.astype(np.float32), exponent)
    series = rng.choice([-1.0, 1.0], (60, 3)).astype(np.float32)
    engine = Engine(EmulatedRuntime(), network_of_model(metadata, tensors), head_of(metadata))
    options = ScoreOptions(precision=precision)
    got = whole_series.score(engine, series, None, (4, 1, 1), options=options)
    want = score_reference(metadata, tensors, series)
    np.testing.assert_allclose(got, want, rtol=0, atol=bound)
    assert np.isfinite(got[4:]).all()


@pytest.mark.usefixtures("avx2")
@pytest.mark.parametrize("size", [1e10, 1e16, 1e36])
@pytest.mark.parametrize(
    ("kind", "options"),
    [(sc.LSTM, {}), (sc.GRU, {}), (sc.GRU, {"reset_after": False}), (sc.RNN, {})],
)
def test_cuda_saturated_forward(
    kind: Any, options: Any, size: float, rng: np.random.Generator
) -> None:
    """As on the CPU bit for bit, whose kernels test_recurrent_saturated.py compares with torch."""
    module = kind(3, 8, **options)
    module.load_state_dict({k: rng.uniform(-0.4, 0.4, s) for k, s in module._shapes().items()})
    x = (rng.standard_normal((10, 4, 3)) * size).astype(np.float32)
    network = network_of_layers(module._specs(), module.state_dict())
    out, _ = sequences.forward(Engine(EmulatedRuntime(), network), x, None, None)
    np.testing.assert_array_equal(out, module.forward(x)[0])
    assert np.isfinite(out).all()
