"""A cell of the CUDA kernels is one description: both languages agree, and a further cell runs."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.cuda import cell_traits, whole_series
from slidecell.cuda.cell_traits import CELLS, CellTraits, cell_name
from slidecell.cuda.engine import Engine, ScoreOptions, head_of
from slidecell.cuda.network_weights import Layer, Network, network_of_model
from slidecell.cuda.source import kernel_source
from tests import cuda_emulated
from tests.cuda_emulated import FLAGS, PLATFORM, EmulatedRuntime, can_emulate
from tests.models import layer, random_model

needs_compiler = pytest.mark.skipif(not can_emulate(), reason="needs g++ and AVX2 with FMA")


def compiled(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "text.cpp").write_text(text)
    command = ["g++", *FLAGS, str(folder / "text.cpp"), "-o", str(folder / "text.so")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@needs_compiler
def test_cuda_cell_traits_are_those_of_cpp(tmp_path: Path) -> None:
    text = kernel_source(PLATFORM)
    names = re.findall(r"^struct (\w+Traits) {$", text, re.MULTILINE)
    assert len(names) == len(CELLS)
    fields = ("kCell", "kGates", "kWaiting", "kApart", "kCarries")
    values = ", ".join(f"int(slidecell::{name}::{field})" for name in names for field in fields)
    done = compiled(f'{text}extern "C" const int values[] = {{{values}}};\n', tmp_path)
    assert done.returncode == 0, done.stderr
    library = ctypes.CDLL(str(tmp_path / "text.so"))
    got = (ctypes.c_int * (len(names) * len(fields))).in_dll(library, "values")
    carries = ["", "h", "c"]  # of enum class Carries
    want = [
        (n, cell.gates, cell.waiting, cell.apart, carries.index(cell.carries))
        for n, cell in enumerate(CELLS.values())
    ]
    assert sorted(zip(*[iter(got)] * len(fields), strict=True)) == want
    for cell in CELLS.values():
        assert ("c" in cell.states) == (cell.carries == "c")


def test_cuda_cell_without_traits_is_refused() -> None:
    with pytest.raises(sc.UnsupportedError, match=r"cell to be one of 'lstm', .* got 'cnn'"):
        cell_name("cnn", reset_after=True)
    metadata, tensors = random_model(np.random.default_rng(0), [layer("gru", 3)])
    metadata["encoder"][0]["cell"] = "cnn"
    with pytest.raises(sc.UnsupportedError, match="got 'cnn'"):
        network_of_model(metadata, tensors)


@needs_compiler
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("kRnn, kCellCount", "kRnn, kElse, kCellCount", "has no traits"),
        ("kSigmoid, kLinear }", "kSigmoid, kLinear, kElu }", "kElu"),
        ("kGateHardSigmoid }", "kGateHardSigmoid, kGateElu }", "kGateElu"),
        ("kU64, kBool }", "kU64, kBool, kF8 }", "kF8"),
    ],
)
def test_cuda_cell_or_activation_without_formula_does_not_compile(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    text = kernel_source(PLATFORM)
    assert before in text
    use = "float used(int k, float x) { return slidecell::any_candidate<slidecell::FastMath>(k, x)"
    use += " + slidecell::any_gate<slidecell::FastMath>(k, x); }\n"
    assert compiled(text + use, tmp_path).returncode == 0
    done = compiled(text.replace(before, after) + use, tmp_path)
    assert done.returncode != 0
    assert message in done.stderr


# --- a further cell -------------------------------------------------------------------------------

MGU = """
// A minimal gated unit, gates f n: n = act(W_in x + b + W_hn (f h)), h = (1-f) h + f n.
struct MguTraits {
  static constexpr Cell kCell = kMgu;
  static constexpr int kGates = 2, kWaiting = 1, kApart = 0;
  static constexpr Carries kCarries = Carries::kHidden;

  static __device__ __forceinline__ float held(const float (&sums)[1]) { return sums[0]; }
  template <class Act>
  static __device__ __forceinline__ float gated(const Act& act, const float (&sums)[1],
                                                float state) {
    return act.gate(sums[0]) * state;
  }
  template <class Act>
  static __device__ __forceinline__ float step(const Act& act, const float (&sums)[1], float held,
                                               float& state) {
    return state = fma(act.gate(held), act.candidate(sums[0]) - state, state);
  }
};

template <class... All>
struct CellList {"""


@pytest.fixture
def further_cell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Add a struct, its places in the enumeration and the list, a row in Python."""
    text = kernel_source(PLATFORM)
    for before, after in (
        ("kRnn, kCellCount", "kRnn, kMgu, kCellCount"),
        ("RnnTraits>;", "RnnTraits, MguTraits>;"),
        ("\ntemplate <class... All>\nstruct CellList {", MGU),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    monkeypatch.setitem(cell_traits.CELLS, "mgu", CellTraits(2, 1, 0, 1, ("h",), "h"))
    monkeypatch.setattr(cuda_emulated, "kernel_source", lambda _platform: text)
    compiler = cuda_emulated.Compiler(tmp_path)
    monkeypatch.setattr(cuda_emulated, "TOGETHER", cuda_emulated.TOGETHER[:1])
    monkeypatch.setattr(cuda_emulated, "compiler", lambda: compiler)


def mgu(rng: np.random.Generator, inputs: int, size: int) -> Layer:
    w_ih, w_hh = (rng.uniform(-0.4, 0.4, (2 * size, n)).astype(np.float32) for n in (inputs, size))
    bias = rng.uniform(-0.4, 0.4, 2 * size).astype(np.float32)
    return Layer("mgu", inputs, size, "tanh", "sigmoid", w_ih, w_hh, bias, None)


def mgu_step(layer_: Layer, x: Any, h: Any) -> Any:
    H = layer_.hidden_size
    of_input = layer_.w_ih @ x + layer_.bias
    f = 1 / (1 + np.exp(-(of_input[:H] + layer_.w_hh[:H] @ h)))
    n = np.tanh(of_input[H:] + layer_.w_hh[H:] @ (f * h))
    return (1 - f) * h + f * n


@needs_compiler
@pytest.mark.usefixtures("further_cell")
@pytest.mark.parametrize(("precision", "bound"), [("highest", 1e-6), ("medium", 2e-2)])
def test_cuda_further_cell_runs_from_its_description(precision: str, bound: float) -> None:
    rng = np.random.default_rng(0)
    metadata, tensors = random_model(rng, [layer("gru", 5)], window=4)  # for its head
    layers = (mgu(rng, 3, 9), mgu(rng, 9, 5))
    head_w, head_b = tensors["head.weight"], tensors["head.bias"]
    engine = Engine(EmulatedRuntime(), Network(layers, (), head_w, head_b), head_of(metadata))
    series = rng.random((30, 3), dtype=np.float32)
    options = ScoreOptions(precision=precision)
    got = whole_series.score(engine, series, None, (4, 1, 1), options=options)
    assert engine.plan(4, 1, precision).kernel == ("fma" if precision == "highest" else "mma")
    for row in range(4, 30):
        states: list[Any] = [np.zeros(9), np.zeros(5)]
        for t in range(row - 4, row):
            below = series[t].astype(np.float64)
            for n, each in enumerate(layers):
                below = states[n] = mgu_step(each, below, states[n])
        want = np.square(head_w @ states[1] + head_b - series[row]).mean()
        np.testing.assert_allclose(got[row], want, rtol=0, atol=bound)


@pytest.mark.usefixtures("further_cell")
def test_cuda_further_cell_is_refused_where_it_has_no_plain_kernel() -> None:
    numba_backend = pytest.importorskip("slidecell.cuda.numba_backend")
    with pytest.raises(sc.UnsupportedError, match="'numba' has no kernel of cell 'mgu'"):
        numba_backend._sequence(mgu(np.random.default_rng(0), 3, 4), None, 5, None)
