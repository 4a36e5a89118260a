"""``python -m benchmarks.kernel_cycles``: cycles a window of tiles and of dot products, counted.

Kernels of 8-bit and of bf16 products ("low" and "medium") are compiled from this tree, and their
instructions followed one by one on a CPU with AMX or without; tile instructions are passed over.
How long they take is counted by a model of a core (`core`), not by a clock, so it is the same on
every machine. A window takes one step without products and W - 1 with them; its input projection,
its head and its error are not counted. Needs Linux on a CPU with AVX-512 and what else the kernels'
vectors take (VNNI, BF16, FP16), a compiler and objdump.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.kernel_cycles.core import TILE_PRODUCT, cycles
from benchmarks.kernel_cycles.trace import disassemble, follow
from slidecell.bench.command import positive
from slidecell.bench.report import markdown, write_json

HERE = Path(__file__).parent
LANES = 16
COARSE_WINDOW = 32  # rows of the longest window whose gates are all coarse at "low"
KERNELS = ("int8 vnni", "int8 amx", "bf16", "amx", "amx fp16")
CELLS = ("lstm", "gru", "gru_reset_before", "rnn")


def groups(hidden: int, kernel: str) -> int:
    """Return the vectors of windows in a tile, as the library chooses them.

    Examples
    --------
    >>> groups(64, "int8 vnni"), groups(64, "int8 amx"), groups(64, "amx"), groups(128, "amx")
    (3, 4, 6, 4)
    """
    vectors = 6 if hidden <= 64 and "int8" not in kernel else 3
    return vectors + vectors % 2 if "amx" in kernel else vectors


def build(folder: Path) -> Path:
    """Build one_step.cpp."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL}
    release = "-DCMAKE_BUILD_TYPE=Release"
    subprocess.run(["cmake", "-S", HERE, "-B", folder, release], check=True, **quiet)
    subprocess.run(["cmake", "--build", folder], check=True, **quiet)
    return folder / "one_step"


class Counter:
    """Steps of the kernels of a program."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._code = disassemble(program)

    def step(self, kernel: str, cell: str, hidden: int, *, started: bool, coarse: bool) -> Any:
        """Return what a step takes, for each window: cycles, those of products, instructions."""
        vectors = groups(hidden, kernel)
        arguments = [kernel, cell, str(hidden), str(vectors), str(int(started)), str(int(coarse))]
        found = list(follow(self._program, arguments, self._code))
        tiles = sum(one.name.startswith("tdp") for one in found)
        dots = sum(one.name.startswith(("vpdp", "vdpbf16")) for one in found)
        windows = vectors * LANES
        return {
            "cycles": cycles(found) / windows,
            "products": (tiles * TILE_PRODUCT + dots / 2) / windows,
            "instructions": len(found) / windows,
        }

    def rows(
        self, kernels: Sequence[str], cell: str, hidden: int, windows: Sequence[int]
    ) -> Iterator[dict[str, Any]]:
        """Yield what each kernel takes for a window of a layer."""
        for kernel in kernels:
            for coarse in sorted({rows <= COARSE_WINDOW for rows in windows}):
                first = self.step(kernel, cell, hidden, started=False, coarse=coarse)
                other = self.step(kernel, cell, hidden, started=True, coarse=coarse)
                for rows in windows:
                    if (rows <= COARSE_WINDOW) != coarse:
                        continue
                    yield {
                        "cell": cell,
                        "hidden": hidden,
                        "window": rows,
                        "kernel": kernel,
                        "step": other,
                        "cycles": first["cycles"] + (rows - 1) * other["cycles"],
                    }


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return the rows as Markdown: cycles a window, and times fewer than those of VNNI."""
    base = {
        (one["cell"], one["hidden"], one["window"]): one["cycles"]
        for one in found
        if one["kernel"] == "int8 vnni"
    }
    header = ["layer", "W", "kernel", "cycles of a step's products", "of a step", "instructions",
              "cycles a window", "against VNNI"]  # fmt: skip
    lines = [header]
    for one in found:
        key = (one["cell"], one["hidden"], one["window"])
        step = one["step"]
        lines.append(
            [
                f"{one['cell'].replace('_', ' ')} {one['hidden']}",
                str(one["window"]),
                one["kernel"],
                f"{step['products']:.0f}",
                f"{step['cycles']:.0f}",
                f"{step['instructions']:.0f}",
                f"{one['cycles']:,.0f}",
                f"{base[key] / one['cycles']:.2f}x" if key in base else "",
            ]
        )
    return markdown(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel_cycles", description=__doc__)
    parser.add_argument("--kernels", nargs="+", choices=KERNELS, default=KERNELS)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=["lstm"])
    parser.add_argument("--hidden", nargs="+", type=positive, default=[64])
    parser.add_argument("--windows", nargs="+", type=positive, default=[7, 50])
    parser.add_argument("--program", type=Path, help="one_step, if it is built already")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        counter = Counter(options.program or build(Path(folder)))
        found = [
            row
            for cell in options.cells
            for hidden in options.hidden
            for row in counter.rows(options.kernels, cell, hidden, options.windows)
        ]
    print(table(found))
    if options.json:
        write_json(options.json, {"kernels": found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
