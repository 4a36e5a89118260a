"""Cycles that are counted from the instructions of kernels: the trace, the core, the table."""

from __future__ import annotations

import doctest
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kernel_cycles import __main__ as command
from benchmarks.kernel_cycles import core, trace
from benchmarks.kernel_cycles.trace import Instruction

TRACED = """
#include <signal.h>
#include <sys/ptrace.h>
int main(void) {
  ptrace(PTRACE_TRACEME, 0, 0, 0);
  raise(SIGSTOP);
  __asm__ volatile(
      "mov $3, %%ecx\\n tilezero %%tmm1\\n int3\\n"
      "1: tdpbssd %%tmm0, %%tmm1, %%tmm2\\n dec %%ecx\\n jne 1b\\n"
      "int3" : : : "ecx");
  return 0;
}
"""


NEEDS_TOOLS = pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("gcc") and shutil.which("objdump")),
    reason="needs gcc and objdump on Linux",
)


def names_of(folder: Path, code: str) -> list[str]:
    source, program = folder / "traced.c", folder / "traced"
    source.write_text(code)
    built = subprocess.run(
        ["gcc", "-O1", "-no-pie", "-fno-pie", source, "-o", program], check=False
    )
    if built.returncode != 0:
        pytest.skip("this compiler has no tile instructions")
    return [one.name for one in trace.follow(program, [], trace.disassemble(program))]


@NEEDS_TOOLS
def test_instructions_are_followed_and_tiles_passed_over(tmp_path: Path) -> None:
    assert names_of(tmp_path, TRACED) == ["tdpbssd", "dec", "jne"] * 3


@NEEDS_TOOLS
def test_an_instruction_that_the_cpu_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="this CPU has no ud2"):
        names_of(tmp_path, TRACED.replace("tilezero %%tmm1", "ud2"))


@pytest.mark.parametrize("module", [core, trace, command])
def test_examples(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def instruction(text: str) -> Instruction:
    name, _, operands = text.partition(" ")
    return Instruction(name, operands, 5)


def test_products_of_tiles_take_sixteen_cycles_each() -> None:
    apart = [instruction(f"tdpbssd %tmm6,%tmm5,%tmm{i % 4}") for i in range(40)]
    assert core.cycles(apart) == 1 + 39 * 16 + 52
    # One sum waits for itself.
    assert core.cycles([instruction("tdpbssd %tmm6,%tmm5,%tmm0")] * 10) == 1 + 10 * 52


def test_vectors_fill_the_time_of_tiles_within_the_window() -> None:
    tiles = [instruction(f"tdpbssd %tmm6,%tmm5,%tmm{i % 4}") for i in range(8)]
    vectors = [instruction(f"vmulps %zmm31,%zmm30,%zmm{i % 16}") for i in range(240)]
    together = core.cycles([*tiles, *vectors])
    assert together == core.cycles(tiles) > core.cycles(vectors) > 120
    # The core looks ahead by fewer instructions than these: tiles among them start earlier.
    behind = [*vectors * 4, *tiles * 4]
    between = [one for tile in tiles * 4 for one in (tile, *vectors[:30])]
    assert len(behind) == len(between)
    assert core.cycles(behind) > core.cycles(between) + 150


@pytest.mark.parametrize(
    ("text", "unit", "count"),
    [
        ("vpdpbusd 0x40(%rax){1to16},%zmm1,%zmm0", "loads", 1),
        ("vpermt2ps %zmm1,%zmm2,%zmm0", "second", 1),
        ("vpslld $0x8,%zmm1,%zmm0", "first", 1),
        ("vdivps %zmm1,%zmm2,%zmm0", "first", 10),
        ("vmovaps %zmm1,0x80(%rdi,%rax,4)", "stores", 1),
        ("vmovaps 0x80(%rdi,%rax,4),%zmm1", "loads", 1),
        ("tileloadd (%rdi,%rax,1),%tmm4", "loads", 16),
        ("tilestored %tmm0,(%rdi,%rax,1)", "stores", 16),
    ],
)
def test_units_of_instructions(text: str, unit: str, count: int) -> None:
    assert getattr(core.need_of(instruction(text)), unit) == count


def test_registers_wait_for_what_writes_them() -> None:
    load = instruction("vmovaps (%rax),%zmm1")
    product = instruction("vpdpbusd %zmm2,%zmm1,%zmm0")
    clear = instruction("vpxord %zmm0,%zmm0,%zmm0")
    alone = core.cycles([product])
    assert core.cycles([load, product]) == alone + 7
    assert core.cycles([product, product]) == alone + 5
    assert core.cycles([product, clear, product]) == alone + 1


def test_the_table_compares_with_dot_products(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    class Fake:
        def __init__(self, program: Path) -> None:
            assert program == Path("built")

        def step(self, kernel: str, cell: str, hidden: int, **how: bool) -> dict[str, float]:
            cycles = {"int8 vnni": 200.0, "int8 amx": 100.0}[kernel] + (20.0 * how["started"])
            return {"cycles": cycles, "products": 8.0, "instructions": 500.0}

        rows = command.Counter.rows

    monkeypatch.setattr(command, "Counter", Fake)
    given = ["--program", "built", "--kernels", "int8 vnni", "int8 amx", "--windows", "7"]
    path = tmp_path / "cycles.json"
    assert command.main([*given, "--json", str(path)]) == 0
    printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert printed[2:] == [
        "| lstm 64 | 7 | int8 vnni | 8 | 220 | 500 | 1,520 | 1.00x |",
        "| lstm 64 | 7 | int8 amx | 8 | 120 | 500 | 820 | 1.85x |",
    ]
    assert '"cycles": 820.0' in path.read_text()
