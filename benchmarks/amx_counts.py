"""``python -m benchmarks.amx_counts FILE``: a roofline measured on AMX, beside what was counted.

The tiles' kernels were written without such a CPU: what they take was counted in cycles. The file
is that of ``python -m benchmarks.roofline --isa amx --json FILE``. ``--check`` says whether this
machine has AMX, and ends with status 1 where it has not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import slidecell as sc
from benchmarks.roofline.model import ON_TILES
from slidecell.bench.report import markdown
from slidecell.config import config

CYCLES = 16  # a tile product: 16 x 16 sums of 32 products each
TILE_PRODUCTS = 16 * 16 * 32
# Cycles a window: the limits that LSTM 64 with W=7 was counted to keep.
AIMS = {
    ("LSTM 64", "highest"): 2000,
    ("LSTM 64", "high"): 1750,
    ("LSTM 64", "medium"): 900,
    ("LSTM 64", "low"): 850,
}


def refusal() -> str:
    """Return why this process cannot measure AMX; empty if it can."""
    reason = config()["refused_isas"].get("amx")
    if reason:
        return f"no AMX here: {reason}"
    if "amx" not in sc.available_isas():
        return "no AMX here: this build is for another kind of processor"
    cpu = Path("/proc/cpuinfo")
    if not cpu.is_file() or "amx_bf16" not in cpu.read_text(encoding="utf-8").split():
        return "no AMX here: the tiles of this build are emulated"
    return ""


def permission() -> str:
    """Return why the operating system refuses the tile registers; empty if it grants them."""
    from slidecell.training import Forecaster

    model = sc.SequenceModel.from_torch(Forecaster(1, 1, window=1))
    before = sc.active_isa()
    try:
        sc.set_isa("amx")
        model.plan(kernel="matrix")
    except sc.UnsupportedError as error:
        return str(error)
    finally:
        sc.set_isa(before)
    return ""


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """Return a line for each kernel on tiles: cycles of its products, measured, and the aim.

    A cycle is a sixteenth of a tile product, whose time the same file holds.
    """
    cycle = found["machines"]["amx"]["units"]["amx"] * TILE_PRODUCTS / CYCLES
    lines = []
    for kernel in found["kernels"]:
        if kernel["isa"] != "amx" or kernel["kernel"]["family"] not in ON_TILES:
            continue
        if "time" not in kernel:
            continue
        precision = kernel["kernel"]["precision"]
        measured = kernel["time"] / cycle
        aim = AIMS.get((kernel["case"], precision))
        verdict = "" if aim is None else f"{aim}: {'confirmed' if measured <= aim else 'missed'}"
        products = kernel["least"]["products"] / cycle
        lines.append([kernel["case"], precision, f"{products:.0f}", f"{measured:.0f}", verdict])
    return lines


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.amx_counts", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("file", nargs="?", type=Path, help="a roofline's JSON")
    what.add_argument("--check", action="store_true", help="is there AMX? status 1 if not")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = parse(arguments)
    if options.check:
        why = refusal() or permission()
        print(why or "AMX is there", file=sys.stderr if why else sys.stdout)
        return 1 if why else 0
    found = json.loads(options.file.read_text(encoding="utf-8"))
    if "amx" not in found.get("machines", {}) or not found["machines"]["amx"]["units"].get("amx"):
        print(f"{options.file}: no AMX was measured", file=sys.stderr)
        return 1
    header = ["case", "precision", "cycles of products", "cycles measured", "counted limit"]
    print(markdown([header, *rows(found)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
