"""Plans, packed weights, chunks and structs of the CUDA kernels: all that the host decides."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slidecell as sc
from slidecell import cuda
from slidecell.cuda import structs, whole_series
from slidecell.cuda.cell_traits import CELLS
from slidecell.cuda.chunks import Vectors
from slidecell.cuda.device import DEVICES, Device
from slidecell.cuda.engine import Engine, ScoreOptions, head_of
from slidecell.cuda.kernel_plan import KernelPlan
from slidecell.cuda.network_weights import network_of_model
from slidecell.cuda.packing import bf16, pack_fma, pack_mma, pack_wgmma
from slidecell.cuda.plan import PRECISIONS, plan_network
from slidecell.cuda.runtime import Entry
from slidecell.cuda.source import kernel_source
from slidecell.cuda.structs import Struct
from tests.cuda_emulated import PLATFORM, EmulatedRuntime, can_emulate
from tests.models import layer, random_model


def network(*sizes: int, cell: str = "lstm", features: int = 7, **options: Any) -> Any:
    rng = np.random.default_rng(0)
    encoder = [layer(cell, size, **options) for size in sizes]
    return network_of_model(*random_model(rng, encoder, features=features, window=7))


def plan(device: str, *sizes: int, precision: str = "highest", **options: Any) -> KernelPlan:
    return plan_network(network(*sizes, **options), DEVICES[device], window=7, precision=precision)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("sizes", [(1,), (16,), (64,), (128,), (64, 32), (200, 200, 7)])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_cuda_plan_fits_the_device(
    device: str, precision: str, sizes: tuple[int, ...], cell: str
) -> None:
    limits = DEVICES[device]
    found = plan(device, *sizes, precision=precision, cell=cell)
    assert found.shared_bytes <= limits.shared_per_block
    reserved = found.blocks * (found.shared_bytes + 1024)
    assert reserved <= limits.shared_per_multiprocessor
    assert found.threads % 32 == 0
    assert found.threads * found.blocks <= limits.threads_per_multiprocessor
    assert found.grid == found.blocks * limits.multiprocessors
    assert PRECISIONS.index(found.precision) <= PRECISIONS.index(precision)
    if found.kernel == "mma":  # a multiprocessor's four parts have as many warps each, or few
        assert found.threads <= 8 * 32 or found.threads % 128 == 0
    if found.kernel == "fma":
        assert found.columns <= found.threads  # a thread owns each window's result
        assert found.arguments["x_stride"] % 4 == 0
        assert all(found.arguments[name] % 4 == 0 for name in ("x", "p", "p_stride", "prediction"))


def test_cuda_plan_of_well_known_shapes() -> None:
    """The forecasters of system A on an H200: what its figures rest on."""
    by_size = {size: plan("sm_90", size).describe() for size in (16, 32, 64, 128)}
    assert [p["weights"] for p in by_size.values()] == ["shared"] * 3 + ["streamed"]
    assert [p["tile"] for p in by_size.values()] == [128, 128, 128, 64]
    assert by_size[16]["projection"] == by_size[32]["projection"] == "shared"
    medium = plan("sm_90", 64, precision="medium").describe()
    assert (medium["kernel"], medium["tile"], medium["weights"]) == ("wgmma", 64, "shared")
    medium = plan("sm_100", 64, precision="medium").describe()
    assert (medium["kernel"], medium["tile"], medium["weights"]) == ("mma", 32, "shared")
    assert medium["threads"] >= 256
    assert plan("sm_90", 128, precision="high").describe()["weights"] == "streamed"


@pytest.mark.parametrize(
    ("registers", "warps"), [(255, 8), (169, 8), (168, 12), (129, 12), (128, 16), (40, 48)]
)
def test_cuda_plan_registers_belong_to_a_part_of_the_multiprocessor(
    registers: int, warps: int
) -> None:
    """Thirteen warps of 156 registers would take 65,000 of 65,536, but four of them one part."""
    assert DEVICES["sm_90"].warps_of(registers) == warps


def test_cuda_plan_projects_half_of_the_steps_on_chip_rather_than_all_in_device_memory() -> None:
    found = plan("sm_90", 128, cell="gru")
    assert found.describe()["projection"] == "shared"
    assert found.arguments["steps"] == 4  # of 7


@pytest.mark.parametrize(
    ("device", "sizes", "options", "columns", "tile"),
    [
        ("sm_90", (64,), {}, 8, 128),
        ("sm_90", (64,), {"cell": "gru"}, 8, 128),
        ("sm_80", (64,), {"cell": "gru"}, 8, 128),
        ("sm_90", (128,), {"cell": "rnn"}, 8, 64),
        ("sm_90", (32,), {}, 4, 128),  # half of the threads would have nothing to do
        ("sm_90", (128,), {}, 4, 64),  # weights stream
        ("sm_80", (64,), {}, 4, 64),  # the states of 128 windows do not fit beside the weights
        ("sm_90", (64, 64), {"cell": "gru"}, 4, 64),  # stacked layers would spill
        ("sm_90", (64,), {"cell": "rnn"}, 4, 64),  # two blocks of eight warps are better than one
    ],
)
def test_cuda_plan_eight_columns_a_thread_where_they_take_no_warps(
    device: str, sizes: tuple[int, ...], options: dict[str, Any], columns: int, tile: int
) -> None:
    """Half the reads of weights, for as many warps on a multiprocessor."""
    found = plan(device, *sizes, **options)
    assert int(found.config["kQuads"]) * 4 == columns
    assert found.columns == tile
    assert found.warps >= 8
    blocks_of_units = max(sizes) // 4 * (found.columns // columns)
    assert blocks_of_units >= found.threads  # none is idle


class Launches(EmulatedRuntime):
    """Grids of the kernels that would run."""

    def launch(self, entry: Entry, grid: int, arguments: Struct) -> None:
        self.launched.append((entry, grid))


@pytest.mark.parametrize(
    ("precision", "windows", "most"), [("medium", 10_000, 132), ("medium", 100, 2), ("high", 1, 1)]
)
def test_cuda_plan_few_windows_are_spread_over_the_multiprocessors(
    precision: str, windows: int, most: int
) -> None:
    rng = np.random.default_rng(0)
    data = random_model(rng, [layer("lstm", 64)], features=7, window=7)
    engine = Engine(Launches("sm_90"), network_of_model(*data), head_of(data[0]))
    series, options = np.zeros((windows + 7, 7), np.float32), ScoreOptions(precision=precision)
    whole_series.score(engine, series, None, (7, 1, 1), options=options)
    grids = [grid for entry, grid in engine.runtime.launched if "mma" in entry.name]  # type: ignore[attr-defined]
    assert grids == [most]


def test_cuda_plan_without_matrix_unit_is_float32() -> None:
    found = plan("sm_75", 64, precision="medium")
    assert (found.kernel, found.precision, found.asked) == ("fma", "highest", "medium")


def test_cuda_plan_beyond_registers_is_float32() -> None:
    assert plan("sm_90", 1024, precision="medium").precision == "highest"


def test_cuda_plan_refuses_states_beyond_shared_memory() -> None:
    with pytest.raises(
        sc.UnsupportedError, match=r"T4 \(sm_75, 65536 bytes\): hidden sizes \[1024"
    ):
        plan("sm_75", 1024)


def test_cuda_plan_does_not_depend_on_rows() -> None:
    """Only shapes decide: nothing else is even handed over."""
    one, two = plan("sm_90", 64), plan("sm_90", 64)
    assert (one.columns, one.threads, one.config) == (two.columns, two.threads, two.config)


def test_cuda_plan_public() -> None:
    rng = np.random.default_rng(0)
    model = sc.SequenceModel(*random_model(rng, [layer("gru", 32)], features=7, window=7))
    found = cuda.plan(model, "sm_80", precision="high")
    assert found["precision"] == "high"
    assert cuda.plan(model, Device("other", 75, 3, 48 * 1024, 64 * 1024))["grid"] >= 3
    with pytest.raises(ValueError, match="device: expected one of 'sm_75'"):
        cuda.plan(model, "sm_10")
    with pytest.raises(ValueError, match="precision: expected one of 'highest'"):
        cuda.plan(model, "sm_90", precision="lowest")
    with pytest.raises(sc.UnsupportedError, match=r"no int8 products \('low'\).*'medium'"):
        cuda.plan(model, "sm_90", precision="low")


def test_cuda_plan_leaves_room_for_the_targets(capsys: pytest.CaptureFixture[str]) -> None:
    """The rates that are aimed at lie below what an H200's units can do, by count."""
    from benchmarks import bench_cuda, cuda_counts

    assert bench_cuda.main(["--counts"]) == 0
    assert "not measured" in capsys.readouterr().out
    medium = cuda_counts.bounds(cuda_counts.Case("lstm", 64), cuda_counts.H200)
    limits = [medium[unit] for unit in ("special", "matrix", "shared, medium", "memory")]
    assert min(limits) > 2 * 0.5e9


# --- packed weights -------------------------------------------------------------------------------


def test_cuda_packing_by_depth() -> None:
    net = network(5, features=3)
    packed = pack_fma(net)
    data, entry = packed.data().view(np.float32), packed.layers[0]
    w = data[entry["w_ih"] :][: 3 * 4 * 8].reshape(3, 4, 8)
    np.testing.assert_array_equal(
        w[:, :, :5], net.encoder[0].w_ih.reshape(4, 5, 3).transpose(2, 0, 1)
    )
    assert not w[:, :, 5:].any()
    assert all(value % 4 == 0 for name, value in entry.items())


@pytest.mark.parametrize("parts", [1, 2])
def test_cuda_packing_for_the_matrix_unit(parts: int) -> None:
    """Lane 4g+t holds inputs 2t, 2t+1, 2t+8, 2t+9 of unit g, as PTX says of operand B."""
    net = network(19, cell="gru", features=21)
    packed, weights = pack_mma(net, parts), net.encoder[0].w_ih  # [57, 21]
    entry = packed.layers[0]
    words = packed.data()[entry["w_ih"] :]
    for gate, unit, k in ((0, 0, 0), (1, 9, 3), (2, 18, 20), (2, 7, 9)):
        block, tile, within = unit // 8, k // 16, k % 16
        lane = unit % 8 * 4 + within % 8 // 2
        total = 0.0
        for part in range(parts):
            index = (((block * 2 + tile) * 3 + gate) * parts + part) * 64 + lane * 2 + within // 8
            half = int(words[index]) >> 16 * (within % 2) & 0xFFFF
            total += float(np.array([half << 16], np.uint32).view(np.float32)[0])
        want = float(weights[gate * 19 + unit, k])
        if parts == 1 and gate < 2:  # r and z: the kernel takes the sigmoid of half the sum
            want *= 0.5
        assert abs(total - want) <= abs(want) * 2.0 ** (-8 * parts - (parts - 1))


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("size", [1, 5, 8, 9])
def test_cuda_packing_of_one_gate_has_all_units_that_the_matrix_kernel_computes(
    size: int, parts: int
) -> None:
    packed = pack_mma(network(size, cell="rnn", features=3), parts)
    entry, words = packed.layers[0], 16 // 8 * 64 * parts  # two blocks, one tile
    assert entry["w_hh"] - entry["w_ih"] == entry["bias"] - entry["w_hh"] == words


def test_cuda_packing_halves_sums_of_sigmoid_gates_alone() -> None:
    """Biases [G (+ that of W_hn h), 16] at `medium`; any other activation gets whole sums."""
    for options, factors in (
        ({}, [0.5, 0.5, 1.0, 1.0]),
        ({"recurrent_activation": "hard_sigmoid"}, [1.0, 1.0, 1.0, 1.0]),
        ({"activation": "sigmoid"}, [0.5, 0.5, 1.0, 1.0]),
    ):
        net = network(5, cell="gru", features=3, **options)
        for parts in (1, 2):
            packed = pack_mma(net, parts)
            rows = packed.data().view(np.float32)[packed.layers[0]["bias"] :][: 4 * 16]
            of_gate = net.encoder[0].bias.reshape(3, 5)
            want = np.vstack([of_gate, net.encoder[0].b_hn])
            if parts == 1:
                want *= np.float32(factors)[:, None]
            np.testing.assert_array_equal(rows.reshape(4, 16)[:, :5], want)


def test_cuda_packing_rounds_bf16_to_even() -> None:
    values = np.array([1.0, 1.00390625, 1.01171875, -3.0e38], np.float32)
    assert [hex(int(v)) for v in bf16(values)] == ["0x3f80", "0x3f80", "0x3f82", "0xff62"]


# --- chunks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 3, 20])
@pytest.mark.parametrize("rows", [1, 15, 40, 10_000])
def test_cuda_chunks_cover_every_window_once(stride: int, rows: int) -> None:
    rng = np.random.default_rng(stride)
    lengths = np.concatenate([rng.integers(0, 30, 20), [200], [0, 3]])
    windows = sc.WindowPlan.from_lengths(lengths, window=4, horizon=2, stride=stride)
    vectors = Vectors.of(windows)
    assert vectors.windows == len(windows)
    starts = windows.starts()
    vector = window = 0
    for chunk in vectors.chunks(rows):
        assert (chunk.first, chunk.first_window) == (vector, window)
        vector, window = chunk.last, chunk.last_window
        assert chunk.first_row == starts[chunk.first_window]
        assert chunk.last_row == starts[chunk.last_window - 1] + 6
        assert chunk.rows <= rows or chunk.last == chunk.first + 1
    assert (vector, window) == (len(vectors), len(windows))


def test_cuda_chunks_refuse_a_stride_beyond_32_bits() -> None:
    vectors = Vectors.of(sc.WindowPlan([0, 2**33], window=4, horizon=1, stride=2**30))
    with pytest.raises(ValueError, match="stride: expected 8 windows to span at most"):
        list(vectors.chunks(1000))


# --- structs --------------------------------------------------------------------------------------

STRUCTS = {
    "SeriesArgs": structs.SERIES,
    "WindowArgs": structs.WINDOWS,
    "LayerArgs": structs.LAYER,
    "NetArgs": structs.NET,
    "SinkArgs": structs.SINK,
    "FmaArgs": structs.FMA,
    "MmaArgs": structs.MMA,
    "RowsArgs": structs.ROWS,
    "ReduceArgs": structs.REDUCE,
    "GatherArgs": structs.GATHER,
}


@pytest.mark.skipif(not can_emulate(), reason="needs g++")
def test_cuda_structs_are_laid_out_as_in_cpp(tmp_path: Path) -> None:
    lines, want = [], []
    for name, dtype in STRUCTS.items():
        lines.append(f"sizeof(slidecell::{name})")
        want.append(dtype.itemsize)
        for field in dtype.names or ():
            lines.append(f"offsetof(slidecell::{name}, {field})")
            want.append(dtype.fields[field][1])  # type: ignore[index]
    code = kernel_source(PLATFORM) + (
        f'#include <cstddef>\nextern "C" const unsigned long values[] = {{{", ".join(lines)}}};\n'
    )
    source, library = tmp_path / "structs.cpp", tmp_path / "structs.so"
    source.write_text(code)
    subprocess.run(
        [
            "g++",
            "-std=c++17",
            "-w",
            "-mavx2",
            "-mfma",
            "-shared",
            "-fPIC",
            str(source),
            "-o",
            str(library),
        ],
        check=True,
    )
    got = (ctypes.c_ulong * len(want)).in_dll(ctypes.CDLL(str(library)), "values")
    assert dict(zip(lines, got, strict=True)) == dict(zip(lines, want, strict=True))


def test_cuda_names_are_numbered_as_in_cpp() -> None:
    text = kernel_source()

    def enumerators(name: str) -> list[str]:
        body = re.search(rf"enum {name} {{(.*?)}}", text, re.DOTALL)
        assert body
        return [re.sub(r"(?<!^)(?=[A-Z])", "_", e.strip()[1:]).lower() for e in body[1].split(",")]

    assert [n.replace("gru_reset_after", "gru") for n in enumerators("Cell")] == [
        *CELLS,
        "cell_count",
    ]
    assert enumerators("Activation") == list(structs.ACTIVATIONS)
    assert [n.removeprefix("gate_") for n in enumerators("RecurrentActivation")] == list(
        structs.RECURRENT_ACTIVATIONS
    )
    assert enumerators("Sink") == list(structs.SINKS)
    assert len(enumerators("DType")) == len(structs.DTYPES)


# --- what CI compiles -----------------------------------------------------------------------------

CUDA = Path(__file__).parents[1] / "csrc" / "cuda"  # an installed package has no entry points

COMPILED: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "lstm16_medium": ("medium", (16,), {}),
    "lstm64_medium": ("medium", (64,), {}),
    "lstm64_high": ("high", (64,), {}),
    "lstm128_medium": ("medium", (128,), {}),
    "gru64_medium": ("medium", (64,), {"cell": "gru"}),
    "gru_before64_medium": ("medium", (64,), {"cell": "gru", "reset_after": False}),
    "rnn64_medium": ("medium", (64,), {"cell": "rnn"}),
    "rnn64_high": ("high", (64,), {"cell": "rnn"}),
    "lstm64_32_medium": ("medium", (64, 32), {}),
}


def test_cuda_compiled_entry_points_are_those_of_plans() -> None:
    """The launch bounds that the compiler's reports are for are those of plans.

    For a GPU with an H200's memory, but without the kernel of groups of four warps.
    """
    text = (CUDA / "instances_mma.cu").read_text()
    found = dict(re.findall(r"^SLIDECELL_MMA\((\w+), (.*)\)$", text, re.MULTILINE))
    cells = {"1": "kLstmOnly", "2": "kGruOnly", "4": "kResetBeforeOnly", "8": "kRnnOnly"}
    want = {}
    for name, (precision, sizes, options) in COMPILED.items():
        made = plan("sm_100", *sizes, precision=precision, **options)
        config = made.config
        values = [str(made.threads), cells[config["kCells"]], config["kParts"], config["kRows"]]
        values += [config["kHiddenTiles"], config["Math"]]
        want[name] = ", ".join(values + ["false"] * (config["kExact"] == "false"))
    assert found == want


def test_cuda_compiled_entry_points_of_groups_are_those_of_plans() -> None:
    text = (CUDA / "instances_wgmma.cu").read_text()
    found = re.findall(r"^SLIDECELL_WGMMA\(lstm(\d+)\w*, (\d+), (\d), (\d)\)$", text, re.MULTILINE)
    assert len(found) == 7
    for size, threads, input_tiles, hidden_tiles in found:
        features = 7 if input_tiles == "1" else 30
        made = plan("sm_90", int(size), precision="medium", features=features)
        assert (made.kernel, str(made.threads)) == ("wgmma", threads)
        assert made.config["kInputTiles"] == input_tiles
        assert made.config["kHiddenTiles"] == hidden_tiles


@pytest.mark.parametrize(
    ("device", "sizes", "precision", "options"),
    [
        ("sm_80", (64,), "medium", {}),
        ("sm_100", (64,), "medium", {}),  # later ones lack the instructions
        ("sm_90", (64,), "high", {}),
        ("sm_90", (65,), "medium", {}),
        ("sm_90", (64, 32), "medium", {}),
        ("sm_90", (64,), "medium", {"cell": "gru"}),
        ("sm_90", (64,), "medium", {"activation": "relu"}),
        ("sm_90", (64,), "medium", {"features": 31}),
    ],
)
def test_cuda_plan_groups_of_four_warps_are_for_one_small_lstm_on_hopper(
    device: str, sizes: tuple[int, ...], precision: str, options: dict[str, Any]
) -> None:
    assert plan(device, *sizes, precision=precision, **options).kernel == "mma"


def test_cuda_packing_for_groups_of_four_warps() -> None:
    """Squares of 8 rows and 8 columns, as the instruction's descriptor says; biases as weights."""
    net = network(19, features=13)
    packed, layer_ = pack_wgmma(net), net.encoder[0]
    entry = packed.layers[0]
    assert (entry["padded"], entry["input_tiles"], entry["hidden_tiles"]) == (32, 1, 2)
    for name, tiles, weights in (("w_ih", 1, layer_.w_ih), ("w_hh", 2, layer_.w_hh)):
        halves = packed.data()[entry[name] :][: 2 * tiles * 512].view(np.uint16)
        for gate, unit, k in ((0, 0, 0), (1, 9, 3), (2, 18, 12), (3, 7, 9)):
            square = ((unit // 16 * tiles + k // 16) * 2 + unit % 16 // 8) * 4 + gate
            at = (square * 2 + k % 16 // 8) * 64 + unit % 8 * 8 + k % 8
            got = float((halves[at : at + 1].astype(np.uint32) << 16).view(np.float32)[0])
            want = float(weights[gate * 19 + unit, k]) * (1.0 if gate == 2 else 0.5)
            assert abs(got - want) <= abs(want) * 2.0**-8
    ones = packed.data()[entry["w_ih"] :][: 2 * 512].view(np.uint16).reshape(2, 2, 4, 2, 8, 8)
    parts = (ones[:, :, :, 1, :, 5:7].astype(np.uint32) << 16).view(np.float32)  # inputs 13, 14
    bias = parts.sum(axis=-1).transpose(2, 0, 1, 3).reshape(4, 32)[:, :19]
    want = layer_.bias.reshape(4, 19) * np.float32([[0.5], [0.5], [1.0], [0.5]])
    np.testing.assert_allclose(bias, want, rtol=2.0**-16)


def test_cuda_instructions_of_a_whole_warp_are_volatile() -> None:
    """A compiler may move other assembly into a branch that not all lanes of a warp take."""
    text = re.sub(r"\s+", " ", kernel_source())
    statements = re.findall(r'asm( volatile)?\( ?((?:"[^"]*" ?)+)', text)
    assert len(statements) > 5
    whole_warp = [volatile for volatile, body in statements if ".sync" in body]
    # A product of a warp; two of a group, and what begins, ends and awaits them.
    assert whole_warp == [" volatile"] * 6
