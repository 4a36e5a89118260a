"""The CUDA kernels as they are, compiled for the host, against the CPU's own kernels."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell.cuda import whole_series
from slidecell.cuda.device import DEVICES, Device
from slidecell.cuda.engine import Engine, ScoreOptions, head_of
from slidecell.cuda.network_weights import network_of_model
from slidecell.cuda.pipeline import CHUNK_BYTES
from tests.cuda_emulated import EmulatedRuntime, can_emulate, compiled_text
from tests.models import MODELS, layer, random_model
from tests.score_cases import case

pytestmark = pytest.mark.skipif(not can_emulate(), reason="needs g++ and a CPU with AVX2 and FMA")

# One layer or several in one direction, without projection.
SUPPORTED = [
    name
    for name, model in MODELS.items()
    if not any(
        spec["bidirectional"] or spec["proj_size"]
        for spec in model["encoder"] + (model.get("decoder") or [])
    )
]


@pytest.fixture(autouse=True)
def avx2() -> Iterator[None]:
    """Compare with the CPU's AVX2 kernels, whose bits the float32 kernel gives."""
    before = sc.active_isa()
    sc.set_isa("avx2")
    yield
    sc.set_isa(before)


def engine_for(metadata: Any, tensors: Any, device: Device | str, seed: int = 0) -> Engine:
    runtime = EmulatedRuntime(device, seed)
    return Engine(runtime, network_of_model(metadata, tensors), head_of(metadata))


def emulate(
    data: Any,
    device: Device | str = "sm_90",
    *,
    seed: int = 0,
    most_blocks: int = 2**31,
    chunk_bytes: int = CHUNK_BYTES,
    stride: int = 1,
    **options: Any,
) -> np.ndarray:
    metadata, tensors, series, offsets = data
    engine = engine_for(metadata, tensors, device, seed)
    engine.runtime.most_blocks = most_blocks  # type: ignore[attr-defined]
    window = (metadata["window"], metadata["horizon"], stride)
    scores: np.ndarray = whole_series.score(
        engine,
        series,
        offsets,
        window,
        options=ScoreOptions(**options),
        chunk_bytes=chunk_bytes,
    )
    engine.runtime.finish()  # type: ignore[attr-defined]
    return scores


@functools.cache
def on_cpu(name: str, **options: Any) -> np.ndarray:
    metadata, tensors, series, offsets = case(name)
    return sc.SequenceModel(metadata, tensors).score(series, offsets, **options)


@pytest.mark.parametrize("name", SUPPORTED)
def test_cuda_kernels_float32_has_the_bits_of_avx2(name: str) -> None:
    np.testing.assert_array_equal(emulate(case(name)), on_cpu(name))


@pytest.mark.parametrize(
    "name", ["lstm_horizon3", "lstm_targets", "ae_relu_stack", "ae_gru_before", "rnn_autoencoder"]
)
def test_cuda_kernels_every_option_has_the_bits_of_avx2(name: str) -> None:
    aggregates = ("window",) if case(name)[0]["horizon"] else ("window", "last", "mean")
    for aggregate in aggregates:
        for reduction in ("mse", "mae", "mahalanobis"):
            for per_feature in (False, True) if reduction != "mahalanobis" else (False,):
                options: dict[str, Any] = {
                    "aggregate": aggregate,
                    "reduction": reduction,
                    "per_feature": per_feature,
                }
                # Chunks of a few dozen rows, with threads in another order.
                got = emulate(case(name), chunk_bytes=4000, seed=3, **options)
                np.testing.assert_array_equal(got, on_cpu(name, **options), str(options))


# A small GPU, on which weights stream and projected rows lie in device memory, and one on which
# only the latter do.
TINY = Device("tiny", 75, 2, 6 * 1024, 12 * 1024)
SMALL = Device("small", 80, 3, 26 * 1024, 54 * 1024)


@pytest.mark.parametrize(
    "name", ["lstm16", "gru_before", "gru_stack3", "mixed", "ae_lstm", "rnn", "rnn_relu_stack"]
)
def test_cuda_kernels_every_path_gives_the_same_bits(name: str) -> None:
    for device in (TINY, SMALL, DEVICES["sm_90"]):
        for seed, most_blocks in ((0, 1), (11, 2**31)):
            got = emulate(case(name), device, seed=seed, most_blocks=most_blocks)
            np.testing.assert_array_equal(got, on_cpu(name))


def test_cuda_kernels_paths_are_different_ones() -> None:
    metadata, tensors, _, _ = case("lstm16")
    plans = [
        engine_for(metadata, tensors, device).plan(7, 1, "highest").describe()
        for device in (TINY, SMALL, DEVICES["sm_90"])
    ]
    assert [plan["weights"] for plan in plans] == ["streamed", "shared", "shared"]
    assert [plan["projection"] for plan in plans] == ["scratch", "scratch", "shared"]


SEARCH = """
static slidecell::int64 first[100001];
static int found[32], turns;  // the most of any search

template <int kLanes>
static int search(int entities, slidecell::int64 index) {
  const int fault = emulator::launch(
      [=] {
        // Neighbouring groups look for different numbers.
        const slidecell::int64 own = index + threadIdx.x / kLanes;
        const slidecell::int64 last = first[entities] - 1;
        found[threadIdx.x] =
            slidecell::entity_by_lanes<kLanes>(first, entities, own < last ? own : last);
        if (static_cast<int>(emulator::current->turn) > turns) turns = emulator::current->turn;
      },
      1, 32, 0, 0);
  return fault;
}
extern "C" int emulate(int lanes, int entities, slidecell::int64 index) {
  return lanes == 8 ? search<8>(entities, index) : search<16>(entities, index);
}
extern "C" slidecell::int64* numbers() { return first; }
extern "C" int* results() { return found; }
extern "C" int rounds() { return turns / 2; }  // each shows twice: whether it goes on, what is read
"""


@pytest.mark.parametrize("lanes", [8, 16])
def test_cuda_kernels_lanes_find_an_entity_together(lanes: int, tmp_path: Path) -> None:
    """As one search by halves does, entities without windows among them, in fewer steps."""
    library = compiled_text(SEARCH, tmp_path)
    library.emulate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_longlong]
    library.numbers.restype = ctypes.POINTER(ctypes.c_longlong)
    library.results.restype = ctypes.POINTER(ctypes.c_int)
    first = np.ctypeslib.as_array(library.numbers(), (100_001,))
    results = np.ctypeslib.as_array(library.results(), (32,))
    rng = np.random.default_rng(0)
    for entities in [*range(1, 20), 80, 81, 82, 100_000]:
        counts = rng.integers(0, 3, entities)
        counts[-1] = 1  # the last entity has windows, as a launch's last vector says
        first[: entities + 1] = np.concatenate([[0], np.cumsum(counts)])
        numbers = range(first[entities]) if entities < 100 else rng.integers(0, first[-1], 20)
        for index in [*numbers, int(first[entities]) - 1]:
            assert library.emulate(lanes, entities, int(index)) == 0
            own = np.minimum(index + np.arange(32) // lanes, first[entities] - 1)
            want = np.searchsorted(first[: entities + 1], own, side="right") - 1
            np.testing.assert_array_equal(results, want)
    assert library.rounds() == {8: 6, 16: 5}[lanes]  # of 100,000 entities; by halves 17


OPERAND = """
static slidecell::uint32 stored[2][128];
static float loaded[32][4];

extern "C" int emulate() {
  return emulator::launch(
      [] {
        const int lane = slidecell::lane_id();
        // Columns 0 .. 7 and then 8 .. 15, of 16 windows: a lane's numbers tell its own.
        for (int u = 0; u < 2; ++u) {
          const float value = lane + 1;
          const float values[4] = {value, value, value, value};
          slidecell::store_columns<1, 1>(stored[u], u, 0, values);
        }
        slidecell::uint32 both[128];
        for (int i = 0; i < 128; ++i) both[i] = stored[0][i] | stored[1][i];
        slidecell::Operand<1, 1, 1, true> operand;
        slidecell::load_operand(both, 1, operand);
        for (int i = 0; i < 4; ++i) {
          loaded[lane][i] = slidecell::from_bits(operand.at[0][0][0][i] << 16);
        }
      },
      1, 32, 0, 0);
}
extern "C" slidecell::uint32* words() { return stored[0]; }
extern "C" float* operands() { return loaded[0]; }
"""


def test_cuda_kernels_lanes_store_h_in_different_banks(tmp_path: Path) -> None:
    """Of shared memory's 32 banks; 16 lanes store 8 bytes each at a time, and read back theirs."""
    library = compiled_text(OPERAND, tmp_path)
    library.words.restype = ctypes.POINTER(ctypes.c_uint32)
    library.operands.restype = ctypes.POINTER(ctypes.c_float)
    assert library.emulate() == 0
    stored = np.ctypeslib.as_array(library.words(), (2, 128))
    for half in stored:
        # bf16 of a small whole number is exact: its bits are float32's upper ones.
        lanes = ((half & 0xFFFF) << 16).view(np.float32).astype(int)
        for first in (1, 17):
            words = np.flatnonzero((lanes >= first) & (lanes < first + 16))
            assert sorted(words % 32) == list(range(32))
    operands = np.ctypeslib.as_array(library.operands(), (32, 4))
    np.testing.assert_array_equal(operands, np.repeat(np.arange(1, 33)[:, None], 4, axis=1))


def test_cuda_kernels_many_short_entities() -> None:
    """Nearly all vectors of a tile belong to different entities, some of which have no window."""
    metadata, tensors, _, _ = case("lstm16")
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 12, 700)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    series = rng.random((offsets[-1], metadata["encoder"][0]["input_size"]), dtype=np.float32)
    data = (metadata, tensors, series, offsets)
    want = sc.SequenceModel(metadata, tensors).score(series, offsets)
    assert np.isfinite(want).sum() > 500
    np.testing.assert_array_equal(emulate(data, seed=1), want)
    got = emulate(data, precision="medium", seed=1)
    np.testing.assert_allclose(got, want, rtol=0, atol=MEDIUM_BOUND)


@pytest.mark.parametrize("stride", [2, 3, 9, 50])
def test_cuda_kernels_stride(stride: int) -> None:
    for name in ("lstm_horizon3", "ae_lstm"):
        got = emulate(case(name), TINY, stride=stride, chunk_bytes=3000)
        np.testing.assert_array_equal(got, on_cpu(name, stride=stride))


@pytest.mark.parametrize("size", [1, 3, 8, 17, 33, 40])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_cuda_kernels_awkward_sizes(cell: str, size: int) -> None:
    """Hidden sizes, features and windows around four, eight and sixteen; missing rows."""
    rng = np.random.default_rng(size)
    features, window = (size * 5) % 19 + 1, (size * 7) % 13 + 1
    encoder = [layer(cell, size, reset_after=size % 2 == 0)]
    metadata, tensors = random_model(rng, encoder, features=features, window=window)
    offsets = np.concatenate([[0], np.cumsum([window + 40, 3, window + 1, window])])
    series = rng.random((offsets[-1], features))
    series[[5, window + 20], 0] = np.nan, np.inf
    want = sc.SequenceModel(metadata, tensors).score(series, offsets)
    data = (metadata, tensors, series, offsets)
    np.testing.assert_array_equal(emulate(data), want)
    assert np.isnan(want).sum() > 5
    # Two-part products err by 2^-16 of each; single ones by 2^-8.
    for precision, bound in (("high", 1e-5), ("medium", 2e-2)):
        got = emulate(data, precision=precision)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=0, atol=bound)


@pytest.mark.parametrize(
    ("cell", "size", "options", "decoder"),
    [
        ("lstm", 64, {}, False),
        ("gru", 66, {}, False),
        ("gru", 64, {"reset_after": False}, False),
        ("rnn", 64, {}, True),
        ("rnn", 128, {"activation": "relu"}, False),
    ],
)
def test_cuda_kernels_eight_columns_a_thread_have_the_bits_of_avx2(
    cell: str, size: int, options: dict[str, Any], decoder: bool
) -> None:
    rng = np.random.default_rng(size)
    spec = layer(cell, size, **options)
    data = random_model(rng, [spec], [spec] if decoder else None, features=3, window=4)
    offsets = np.cumsum([0, 100, 2, 5, 90])
    series = rng.random((offsets[-1], 3), dtype=np.float32)
    series[120] = np.nan
    window = (4, data[0]["horizon"], 1)
    one_block = dataclasses.replace(DEVICES["sm_90"], threads_per_multiprocessor=512)
    engine = engine_for(*data, one_block, seed=2)
    assert engine.plan(4, 1, "highest").config["kQuads"] == "2"
    got = whole_series.score(engine, series, offsets, window, options=ScoreOptions())
    engine.runtime.finish()  # type: ignore[attr-defined]
    want = sc.SequenceModel(*data).score(series, offsets)
    assert np.isfinite(want).sum() > 150
    np.testing.assert_array_equal(got, want)


# Largest difference of a score from the float32 one, of scores up to 2: models of the size that
# torch initialises, activations and products with the errors that the GPU's may have.
HIGH_BOUND, MEDIUM_BOUND = 4e-6, 3e-3


@pytest.mark.parametrize("precision", ["high", "medium"])
@pytest.mark.parametrize(
    "name",
    [
        "lstm16",
        "gru",
        "gru_before",
        "lstm_targets",
        "mixed",
        "ae_gru_before",
        "ae_lstm",
        "rnn",
        "rnn_relu_stack",
        "rnn_autoencoder",
    ],
)
def test_cuda_kernels_matrix_units_within_bound(name: str, precision: str) -> None:
    want = on_cpu(name)
    got = emulate(case(name), precision=precision)
    bound = HIGH_BOUND if precision == "high" else MEDIUM_BOUND
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    assert np.nanmax(np.abs(got - want)) < bound
    assert (got != want).any() or precision == "highest"


@pytest.mark.parametrize("name", ["lstm16", "ae_gru_before", "rnn"])
def test_cuda_kernels_matrix_units_do_not_depend_on_the_launch(name: str) -> None:
    first = emulate(case(name), precision="medium")
    for seed, most_blocks, chunk_bytes in ((5, 1, CHUNK_BYTES), (6, 3, 4000)):
        again = emulate(
            case(name),
            precision="medium",
            seed=seed,
            most_blocks=most_blocks,
            chunk_bytes=chunk_bytes,
        )
        np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_cuda_kernels_one_block_for_all_tiles(seed: int) -> None:
    """Persistent blocks: what is left of a tile must not disturb the next one."""
    metadata, tensors, series, offsets = case("gru_before")
    engine = engine_for(metadata, tensors, TINY, seed)
    engine.runtime.most_blocks = 1  # type: ignore[attr-defined]
    window = (metadata["window"], metadata["horizon"])
    model = sc.SequenceModel(metadata, tensors)
    np.testing.assert_array_equal(
        whole_series.encode(engine, series, offsets, window), model.encode(series, offsets)
    )
    np.testing.assert_array_equal(
        whole_series.predict(engine, series, offsets, window), model.predict(series, offsets)
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cuda_kernels_many_targets(seed: int) -> None:
    """More predictions than are held at once."""
    rng = np.random.default_rng(4)
    data = random_model(rng, [layer("lstm", 6)], [layer("lstm", 5)], features=70, window=3)
    series, offsets = rng.random((60, 70), dtype=np.float32), np.array([0, 40, 60])
    model = sc.SequenceModel(*data)
    for options in ({}, {"per_feature": True}):
        got = emulate((*data, series, offsets), seed=seed, most_blocks=1, **options)
        np.testing.assert_array_equal(got, model.score(series, offsets, **options))


@pytest.mark.parametrize(
    ("size", "features", "window"),
    [(1, 1, 1), (5, 14, 3), (16, 7, 7), (17, 15, 4), (32, 30, 2), (56, 3, 5), (64, 7, 7)],
)
def test_cuda_kernels_groups_of_four_warps(size: int, features: int, window: int) -> None:
    """Within the bound of the other kernel of bf16 products, whatever the order of launches."""
    rng = np.random.default_rng(size)
    data = random_model(rng, [layer("lstm", size)], features=features, window=window)
    offsets = np.cumsum([0, window + 150, 3, window + 1, window, 0, 40])
    series = rng.random((offsets[-1], features), dtype=np.float32)
    series[window + 60, 0] = np.nan
    want = sc.SequenceModel(*data).score(series, offsets)
    assert np.isfinite(want).sum() > 150
    engine = engine_for(*data, "sm_90")
    assert engine.plan(window, 1, "medium").kernel == "wgmma"
    first = emulate((*data, series, offsets), precision="medium")
    np.testing.assert_array_equal(np.isnan(first), np.isnan(want))
    np.testing.assert_allclose(first, want, rtol=0, atol=MEDIUM_BOUND)
    # The other kernel rounds the same operands; only the biases come in two parts here.
    other = emulate((*data, series, offsets), "sm_80", precision="medium")
    np.testing.assert_allclose(first, other, rtol=0, atol=2e-3)
    for seed, most_blocks in ((5, 1), (6, 2)):
        again = emulate(
            (*data, series, offsets), precision="medium", seed=seed, most_blocks=most_blocks
        )
        np.testing.assert_array_equal(again, first)


def test_cuda_kernels_groups_of_four_warps_options() -> None:
    """Horizons, chosen targets, two passes and chunks."""
    for name, options in (
        ("lstm_horizon3", {}),
        ("lstm_targets", {"per_feature": True}),
        ("lstm16", {"reduction": "mahalanobis"}),
        ("lstm16", {"reduction": "mae"}),
    ):
        metadata, tensors, _, _ = case(name)
        engine = engine_for(metadata, tensors, "sm_90")
        assert engine.plan(metadata["window"], 1, "medium").kernel == "wgmma"
        got = emulate(case(name), precision="medium", chunk_bytes=4000, **options)
        want = on_cpu(name, **options)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=2e-2, atol=MEDIUM_BOUND)


def test_cuda_kernels_matrix_units_two_passes() -> None:
    """The Mahalanobis distance and averaged rows, from predictions of the matrix kernel."""
    for options in ({"reduction": "mahalanobis"}, {"aggregate": "mean"}):
        got = emulate(case("ae_lstm"), precision="high", **options)
        want = on_cpu("ae_lstm", **options)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=HIGH_BOUND)


def test_cuda_kernels_matrix_units_stream_weights() -> None:
    """Where the weights do not fit beside the states of four warps."""
    data = case("lstm16")
    narrow = Device("narrow", 80, 2, 16 * 1024, 32 * 1024)
    metadata, tensors, _, _ = data
    plan = engine_for(metadata, tensors, narrow).plan(7, 1, "high").describe()
    assert plan["kernel"] == "mma"
    assert plan["weights"] == "streamed"
    got = emulate(data, narrow, precision="high")
    np.testing.assert_allclose(got, emulate(data, precision="high"), rtol=0, atol=1e-6)
