"""The model of least time on cases counted by hand, and the command; no time is looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import slidecell as sc
from benchmarks.roofline.__main__ import main, parse
from benchmarks.roofline.cases import CASES
from benchmarks.roofline.measure import Kernel, kernels_of
from benchmarks.roofline.model import (
    Carried,
    Layer,
    Machine,
    Network,
    Sets,
    best_of,
    families,
    least_time,
    network,
    operand_bytes,
    weight_bytes,
)
from benchmarks.roofline.probes import Probes
from benchmarks.roofline.tables import NOT_HERE, machine, set_times


def spec(cell: str, input_size: int, hidden_size: int, **changes: Any) -> dict[str, Any]:
    sizes = {"input_size": input_size, "hidden_size": hidden_size}
    return {"cell": cell, **sizes, "bidirectional": False, "proj_size": 0, **changes}


def metadata(window: int, encoder: list[Any], decoder: list[Any], horizon: int) -> dict[str, Any]:
    return {"window": window, "horizon": horizon, "encoder": encoder, "decoder": decoder}


def sets(lstm: float, gru: float, saved: float) -> Sets:
    return Sets(lstm, lstm - saved + 48, gru, gru - saved + 48, fma=1.0, mixed=48.0)


# Costs that tell a count from another in the sum: 1 ns a product, sets of 100 and 1000 ns.
PLAIN = sets(100.0, 1000.0, 10.0)
BARE = Machine(16, 32, 1.0, 0.0, 0.0, {"plain": PLAIN}, {}, 32_768)
FULL = replace(
    BARE,
    sets={"plain": PLAIN, "fine": sets(80.0, 800.0, 8.0), "rough": sets(60.0, 600.0, 6.0)},
    units={"bf16": 0.5, "amx": 0.01},
)
CODES = replace(
    BARE,
    sets={**BARE.sets, "int8": sets(70.0, 700.0, 7.0), "int8 coarse": sets(50.0, 500.0, 5.0)},
    units={"int8": 0.25},
)
CODE_TILES = replace(CODES, units={"int8": 0.25, "int8 amx": 0.001})


@pytest.mark.parametrize(
    ("encoder", "decoder", "horizon", "multiply_adds", "lstm_sets", "gru_sets"),
    [
        # W=4, 3 features. 8 rows of gates: recurrent 8*2 in three steps, input 8*3 for a row of
        # which there are 1.5 per window, head 2*3 for each row ahead.
        ([("lstm", 3, 2)], [], 1, 48 + 36 + 6, 8, 0),
        ([("lstm", 3, 2)], [], 2, 48 + 36 + 12, 8, 0),
        # 6 rows of gates.
        ([("gru", 3, 2)], [], 1, 36 + 27 + 6, 0, 8),
        # The layer above: 20 rows, recurrent 20*5 in three steps, input 20*2 in all four.
        ([("lstm", 3, 2), ("lstm", 2, 5)], [], 1, 48 + 36 + 300 + 160 + 15, 28, 0),
        # Decoder: 15 rows of 5, its input 15*2 once; the layer above 12 rows of 3 and of 5; the
        # head 3*3 in each of four steps.
        (
            [("lstm", 3, 2)],
            [("gru", 2, 5), ("lstm", 5, 3)],
            0,
            48 + 36 + 15 * 5 * 3 + 15 * 2 + 12 * 3 * 3 + 12 * 5 * 4 + 36,
            8 + 12,
            20,
        ),
    ],
    ids=["lstm", "two rows ahead", "gru", "two layers", "autoencoder"],
)
def test_roofline_counts_equal_those_by_hand(
    encoder, decoder, horizon, multiply_adds, lstm_sets, gru_sets
) -> None:
    data = metadata(4, [spec(*s) for s in encoder], [spec(*s) for s in decoder], horizon)
    found = network(data, targets=3, rows_per_window=1.5)
    assert found.multiply_adds == multiply_adds
    assert (found.sets("lstm"), found.sets("gru")) == (lstm_sets, gru_sets)


def test_roofline_first_step_has_no_recurrent_product() -> None:
    found = network(metadata(1, [spec("lstm", 3, 50)], [], 1), targets=3)
    assert found.multiply_adds == 200 * 3 + 50 * 3


@pytest.mark.parametrize("change", [{"bidirectional": True}, {"proj_size": 1}])
def test_roofline_refuses_what_it_does_not_count(change) -> None:
    with pytest.raises(ValueError, match="neither bidirectional nor projected"):
        network(metadata(4, [spec("lstm", 3, 2, **change)], [], 1), targets=3)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_roofline_counts_the_models(case) -> None:
    model = case.model()
    assert case.series(50).shape == (case.rows(50), model.input_size)
    assert sc.WindowPlan([0, case.rows(50)], window=case.window, horizon=case.horizon).starts(
    ).size == 50  # fmt: skip
    chains = case.chains(3)
    found = network(model.metadata, targets=model.num_targets, carried=chains)
    recurrent, inputs, sets = 0, 0, 0
    if chains:  # blocks of 211: 161 windows by 210 steps, then 211 by 260 twice
        assert (case.window, chains.windows, case.windows_of(3)) == (50, 583, 583)
        steps, products, projections = 730 / 583, 727 / 583, 730 / 583
    else:
        steps, products, projections = case.window, case.window - 1, 1
    for name, tensor in model.tensors.items():
        if "weight_hh" in name:
            recurrent += tensor.size * products
            sets += tensor.shape[1] * steps
        elif "weight_ih" in name:
            inputs += tensor.size * (projections if name.split(".")[1] == "0" else case.window)
    head = model.tensors["head.weight"].size * (1 if case.horizon else case.window)
    assert found.multiply_adds == pytest.approx(recurrent + inputs + head, rel=1e-12)
    assert found.sets("lstm") + found.sets("gru") == pytest.approx(sets, rel=1e-12)


ONE = Network(3, (Layer("lstm", 1, 2, 1.0), Layer("gru", 2, 2, 3.0)), head=10.0)
# 8*2*2 + 8 + 6*2*2 + 6*2*3 + 10 multiply-adds; six sets of each cell.
ONE_PRODUCTS = 32 + 8 + 24 + 36 + 10


def test_roofline_adds_products_and_activations_on_vectors() -> None:
    least = least_time(ONE, BARE, "fma", "highest")
    assert least.products == ONE_PRODUCTS
    assert least.sets == 6 * 90 + 6 * 990
    assert least.sets_alone == 6 * 100 + 6 * 1000
    assert least.time == least.products + least.sets
    assert least.in_turn == least.products + least.sets_alone
    assert least.limit == "products + activations"


@pytest.mark.parametrize(("precision", "number", "set_ns"), [("high", 3, 864), ("medium", 1, 648)])
def test_roofline_bf16_products_add_on_vectors_too(precision, number, set_ns) -> None:
    least = least_time(ONE, FULL, "bf16", precision)
    assert least.products == ONE_PRODUCTS * number * 0.5
    assert least.time == least.products + least.sets == least.products + 6 * set_ns


@pytest.mark.parametrize(
    ("precision", "number", "set_ns"), [("highest", 6, 880), ("high", 3, 880), ("medium", 1, 660)]
)
def test_roofline_tiles_overlap_with_activations(precision, number, set_ns) -> None:
    least = least_time(ONE, FULL, "amx", precision)
    assert least.products == pytest.approx(ONE_PRODUCTS * number * 0.01, rel=1e-12)
    assert least.time == least.sets == 6 * set_ns  # alone: nothing else is on the vector pipes
    assert least.limit == "activations"
    least = least_time(ONE, replace(FULL, units={"amx": 100.0}), "amx", precision)
    assert least.time == least.products == ONE_PRODUCTS * number * 100
    assert least.limit == "products"


@pytest.mark.parametrize(("machine", "unit"), [(CODES, 0.25), (CODE_TILES, 0.001)])
def test_roofline_codes_multiply_h_alone(machine, unit) -> None:
    # 8*2*2 + 6*2*2 multiply-adds of h; those of inputs and head stay float32's.
    least = least_time(ONE, machine, "int8", "low")
    assert least.products == 56 * 0.25 + (ONE_PRODUCTS - 56)
    assert least.sets_alone == 6 * 50 + 6 * 500  # three rows: coarse gates
    assert least.time == least.products + 6 * 45 + 6 * 495
    long = replace(ONE, window=33)
    least = least_time(long, machine, "int8", "low")
    assert least.sets_alone == 66 * 70 + 66 * 700
    assert least_time(replace(ONE, window=32), machine, "int8", "low").sets_alone == 64 * 550
    if "int8 amx" in machine.units:
        tiles = least_time(ONE, machine, "int8 amx", "low")
        # Beside the tiles' products run those of float32, and then all sets.
        assert tiles.time == ONE_PRODUCTS - 56 + 6 * 50 + 6 * 500
        assert tiles.products == pytest.approx(ONE_PRODUCTS - 56 + 56 * unit, rel=1e-12)
        slow = replace(machine, units={**machine.units, "int8 amx": 100.0})
        assert least_time(ONE, slow, "int8 amx", "low").time == 5600


def test_roofline_chains_take_a_step_a_row_and_warm_up() -> None:
    # W=2: blocks of 11 rows. Chains of 10, 12 and 12 steps serve 9, 11 and 11 windows.
    chains = Carried.of(window=2, block=11, chains=3)
    assert (chains.windows, chains.steps, chains.products) == (31, 34 / 31, 31 / 31)
    data = metadata(2, [spec("lstm", 3, 2)], [], 1)
    found = network(data, targets=3, carried=chains)
    # 8 rows of gates: h 8*2 in 31 of the steps, the input 8*3 in all 34, the head 2*3 a window.
    assert found.multiply_adds * 31 == pytest.approx(16 * 31 + 24 * 34 + 6 * 31, rel=1e-12)
    assert found.sets("lstm") * 31 == pytest.approx(2 * 34, rel=1e-12)
    # No gate is coarse in so many steps.
    assert least_time(found, CODES, "int8", "low").sets_alone * 31 == pytest.approx(
        2 * 34 * 70, rel=1e-12
    )
    longer = Carried.of(window=50, block=211, chains=10**6)
    assert longer.steps == pytest.approx(1 + 49 / 211, abs=1e-6)


def test_roofline_set_beside_products_is_between_nothing_and_alone() -> None:
    def beside(mixed: float) -> float:
        return Sets(5.0, mixed, 7.0, mixed, fma=1.0, mixed=48.0).beside(ONE)

    assert beside(51.0) == 6 * 3 + 6 * 3
    assert beside(60.0) == 6 * 5 + 6 * 7
    assert beside(40.0) == 0


@pytest.mark.parametrize(("level", "limit"), [("l1", "L1"), ("l2", "L2")])
def test_roofline_caches_bind_where_they_are_slower(level, limit) -> None:
    slow = replace(BARE, fma=1e-3, sets={"plain": Sets(0, 0, 0, 0, 0, 0)}, **{level: 1.0})
    wide = Network(7, (Layer("lstm", 7, 128, 1.0),), 0.0)
    least = least_time(wide, slow, "fma", "highest")
    expected = {
        "l1": wide.multiply_adds * 10 * 4 / 25,  # 5 x 5 sums in 32 registers
        # 262,144 bytes of weights in six steps, for 32 windows with 512 bytes of h each
        "l2": 262_144 * 6 / 32,
    }
    assert least.limit == limit
    assert least.time == least.in_turn == pytest.approx(expected[level], rel=1e-12)


def test_roofline_operand_bytes_equal_those_by_hand() -> None:
    few = replace(BARE, lanes=8, registers=16)
    assert operand_bytes(few, "fma", "highest") == 4 * 7 / 12  # 4 x 3 sums, 3 columns, 1 weight
    assert operand_bytes(FULL, "bf16", "medium") == operand_bytes(FULL, "fma", "highest") / 2
    assert operand_bytes(FULL, "bf16", "high") == operand_bytes(FULL, "fma", "highest")
    # Four tiles of 1 KB for 4 * 8,192 multiply-adds.
    assert operand_bytes(FULL, "amx", "medium") == 1 / 8
    assert operand_bytes(FULL, "amx", "highest") == 3 / 8
    # Four codes in a lane, or two; four tiles of 1 KB for 4 * 16,384.
    assert operand_bytes(CODES, "int8", "low") == operand_bytes(CODES, "fma", "highest") / 4
    wide = replace(CODES, code_bytes=2)
    assert operand_bytes(wide, "int8", "low") == operand_bytes(CODES, "fma", "highest") / 2
    assert operand_bytes(CODE_TILES, "int8 amx", "low") == 1 / 16


def test_roofline_weights_in_l1_are_free() -> None:
    narrow = Network(7, (Layer("lstm", 7, 40, 1.0),), 0.0)  # 6,400 weights
    small = replace(BARE, l1_bytes=16_384)
    assert weight_bytes(narrow, BARE, "fma", "highest") == 0
    assert weight_bytes(narrow, small, "fma", "highest") > 0
    assert weight_bytes(narrow, small, "bf16", "medium") == 0
    assert weight_bytes(narrow, replace(BARE, l1_bytes=6_399), "int8", "low") > 0
    assert weight_bytes(narrow, replace(BARE, l1_bytes=6_400), "int8", "low") == 0
    upper = Network(7, (Layer("lstm", 40, 40, 7.0),), 0.0)  # its input's weights in each step, too
    assert weight_bytes(upper, BARE, "fma", "highest") > 0
    # 6,400 codes and 6,400 float32 weights in six steps, for 204.8 windows with 40 bytes of h each.
    assert weight_bytes(upper, small, "int8", "low") == 32_000 * 6 / 204.8


def test_roofline_families_are_those_of_the_machine() -> None:
    assert families(BARE) == [("fma", "highest")]
    assert families(FULL) == [
        ("fma", "highest"),
        ("bf16", "high"),
        ("bf16", "medium"),
        ("amx", "highest"),
        ("amx", "high"),
        ("amx", "medium"),
    ]
    assert families(CODE_TILES) == [("fma", "highest"), ("int8", "low"), ("int8 amx", "low")]


@pytest.mark.parametrize(
    ("plans", "expected"),
    [
        (
            {"highest": ("fma 8x48", "highest"), "high": ("fma 8x48", "highest"),
             "medium": ("bf16 4x48", "medium"), "low": ("int8 vnni 8x48", "low")},
            [Kernel("fma", "highest", ("highest", "high"), "fma 8x48"), Kernel("bf16", "high"),
             Kernel("bf16", "medium", ("medium",), "bf16 4x48"),
             Kernel("int8", "low", ("low",), "int8 vnni 8x48")],
        ),
        (
            {"highest": ("amx 16x32", "highest"), "high": ("amx 16x32", "high"),
             "medium": ("amx 16x32", "medium"), "low": ("int8 amx 16x32", "low")},
            [Kernel("fma", "highest"), Kernel("bf16", "high"), Kernel("bf16", "medium"),
             *(Kernel("amx", p, (p,), "amx 16x32") for p in ("highest", "high", "medium")),
             Kernel("int8 amx", "low", ("low",), "int8 amx 16x32")],
        ),
        (
            {**dict.fromkeys(("highest", "high"), ("fma 8x48", "highest")),
             **dict.fromkeys(("medium", "low"), ("bf16 4x48", "medium"))},
            [Kernel("fma", "highest", ("highest", "high"), "fma 8x48"), Kernel("bf16", "high"),
             Kernel("bf16", "medium", ("medium", "low"), "bf16 4x48")],
        ),
    ],
    ids=["dots", "tiles", "no codes"],
)  # fmt: skip
def test_roofline_kernels_are_those_of_the_plan(plans, expected) -> None:
    def plan(precision: str) -> dict[str, str]:
        kernel, products = plans[precision]
        return {"kernel": kernel, "precision": products}

    units = {k.family: 1.0 for k in expected if k.family != "fma"}
    model: Any = SimpleNamespace(plan=plan)
    assert kernels_of(model, replace(BARE, units=units)) == expected


def test_roofline_best_of_takes_each_least() -> None:
    def machine_of(a: float, b: float) -> Machine:
        sets = {"plain": Sets(a, b, a, b, a, 48)}
        return Machine(16, 32, a, b, a, sets, {"bf16": b}, 32_768)

    assert best_of([machine_of(1, 9), machine_of(9, 1)]) == machine_of(1, 1)


def test_roofline_table_says_what_is_not_there() -> None:
    bare = replace(BARE, fma=0.5, l1=0.01, l2=0.02)
    line = machine("avx512", bare, amx=False)
    assert line == ["avx512", "2.0", NOT_HERE, NOT_HERE, "100", "50", "", NOT_HERE]
    coded = replace(bare, units=CODE_TILES.units)
    assert machine("amx", coded, amx=True)[-2:] == ["4.0", "1000.0"]
    full = replace(bare, units=FULL.units)
    assert machine("amx", full, amx=True)[2:4] == ["2.0", "100.0"]
    assert machine("avx512", replace(full, units={"bf16": 0.5}), amx=True)[2:4] == ["2.0", ""]
    assert machine("avx2", bare, amx=False)[2:4] == ["", ""]
    assert set_times(PLAIN) == [100, 90, 1000, 990]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--isa", "z80"], "argument --isa: invalid choice: 'z80'"),
        (["--only", "?"], "--only: expected a part of one of LSTM 16, "),
        (["--json", "no/such/folder.json"], "--json: expected a file in a folder that is there"),
        (["--repeats", "3"], "unrecognized arguments: --repeats"),
    ],
)
def test_roofline_refuses_bad_options(arguments, text, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(arguments)
    assert text in capsys.readouterr().err


def test_roofline_names_the_reason_if_the_probes_do_not_build(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--only", "LSTM 16"]) == 1
    assert capsys.readouterr().err == "cmake: No such file or directory; it builds the probes\n"


def test_roofline_command_prints_tables_and_writes_json(
    tmp_path: Path, capsys, monkeypatch
) -> None:
    made: list[Probes] = []
    make = Probes.__init__

    def remembered(self: Probes) -> None:
        make(self)
        made.append(self)

    monkeypatch.setattr(Probes, "__init__", remembered)
    file, before = tmp_path / "found.json", sc.active_isa()
    assert main(["--quick", "--only", "LSTM 16", "--json", str(file)]) == 0
    assert sc.active_isa() == before
    out = capsys.readouterr().out
    found = json.loads(file.read_text())
    assert found["conditions"]["effort"] == "quick"
    assert set(found["machines"]) == set(sc.available_isas())
    for isa in sc.available_isas():
        kernels = [k for k in found["kernels"] if k["isa"] == isa]
        asked = [p for k in kernels for p in k["kernel"]["asked"]]
        assert sorted(asked) == ["high", "highest", "low", "medium"]
        for k in kernels:
            assert k["multiply_adds"] >= 7 * 64 + 16 * 64 * 6 + 7 * 16
            assert (k["kernel"]["family"] == "int8") == ("low" in k["kernel"]["asked"])
            assert len(k["samples"]) == len(k["least_samples"])
            assert 0 < k["least"]["time"] <= k["least"]["in_turn"]
            assert ("share" in k) == bool(k["kernel"]["asked"])
        assert f"| {isa} " in out
    assert list(tmp_path.iterdir()) == [file]

    # What the CPU lacks is reported as absent, and not executed.
    probes = made[0]
    assert probes.vectors("z80", 1) is None
    assert probes.codes("z80", 1) is None
    for isa in sc.available_isas():
        if isa != "amx":
            found_codes = probes.codes(isa, 1)
            assert found_codes is not None
            assert found_codes[10] in (2, 4)
            assert all(0 < time < 1e4 for time in found_codes[:9])
    with pytest.raises(ValueError, match="isa: expected one of scalar, avx2, avx512, neon and amx"):
        probes.machine("z80", 1)
    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text(encoding="utf-8") if cpu.is_file() else ""
    assert (probes.bf16(1) is None) == ("avx512_bf16" not in flags)
    if "amx_bf16" not in flags:
        assert probes.amx(1) is None
    if "avx512" in sc.available_isas() and "amx_bf16" not in flags:
        assert NOT_HERE in out
