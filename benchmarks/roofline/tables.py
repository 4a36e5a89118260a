"""The results as Markdown tables, and everything as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.roofline.measure import Row
from benchmarks.roofline.model import PROBED, Layer, Machine, Network, Sets
from slidecell.bench.report import markdown, short_number

MACHINE_HEADER = (
    "isa",
    "multiply-adds/ns",
    "bf16 dot",
    "AMX",
    "L1, GB/s",
    "L2, GB/s",
    "int8",
    "int8 AMX",
)
SETS_HEADER = ("isa", "activations", "LSTM set, ns", "beside products", "GRU set, ns", "beside")
NOT_HERE = "not on this machine"
# Kernels of these instruction sets use units that a CPU may lack.
WITH_UNITS = ("avx512", "amx")

KERNEL_HEADER = (
    "case",
    "isa",
    "precision",
    "kernel",
    "products",
    "activations",
    "L1",
    "L2",
    "least, us",
    "limit",
    "measured, us",
    "windows/s",
    "share",
    "in turn",
)


def machines(found: Mapping[str, Machine], *, amx: bool) -> str:
    """Return the peaks of each instruction set and its activations; `amx`: the CPU has tiles."""
    peaks = markdown([MACHINE_HEADER, *(machine(isa, m, amx=amx) for isa, m in found.items())])
    lines = [
        [isa, kind, *(f"{time:.3f}" for time in set_times(sets))]
        for isa, m in found.items()
        for kind, sets in m.sets.items()
    ]
    return f"{peaks}\n\n{markdown([SETS_HEADER, *lines])}"


def machine(isa: str, found: Machine, *, amx: bool) -> list[str]:
    """Return a line of the table, in the order of `MACHINE_HEADER`."""
    units = {unit: f"{1 / time:.1f}" for unit, time in found.units.items()}
    lacking = NOT_HERE if isa in WITH_UNITS else ""
    return [
        isa,
        f"{1 / found.fma:.1f}",
        units.get("bf16", lacking),
        units.get("amx", "" if amx else lacking),
        f"{1 / found.l1:.0f}",
        f"{1 / found.l2:.0f}",
        units.get("int8", ""),
        units.get("int8 amx", "" if amx else lacking),
    ]


def set_times(sets: Sets) -> list[float]:
    """Return the times of a set of each cell, alone and beside products."""
    cells = [Network(1, (Layer(cell, 1, 1, 1.0),), 0.0) for cell in PROBED]
    return [time for cell in cells for time in (sets.alone(cell), sets.beside(cell))]


def kernels(rows: Sequence[Row]) -> str:
    """Return a line for each kernel, also for those that are possible and not run."""
    return markdown([KERNEL_HEADER, *(kernel(row) for row in rows)])


def kernel(row: Row) -> list[str]:
    """Return a line of the table, in the order of `KERNEL_HEADER`."""
    least = row.least
    stated = [least.products, least.sets, least.l1, least.l2, least.time]
    measured = ["not run", "", "", ""]
    if row.samples:
        measured = [
            microseconds(row.time),
            short_number(1e9 / row.time),
            f"{row.share:.0%}",
            f"{row.share_in_turn:.0%}",
        ]
    return [
        row.case,
        row.isa,
        ", ".join(row.kernel.asked) or row.kernel.precision,
        row.kernel.name or row.kernel.family,
        *(microseconds(time) for time in stated),
        least.limit,
        *measured,
    ]


def microseconds(nanoseconds: float) -> str:
    """Return microseconds with three digits."""
    return f"{nanoseconds / 1e3:.3g}"


def as_json(row: Row) -> dict[str, Any]:
    """Return every figure and sample; times in nanoseconds per window."""
    found = asdict(row)
    found["multiply_adds"] = row.network.multiply_adds
    if row.samples:
        found |= {
            "time": row.time,
            "share": row.share,
            "share_in_turn": row.share_in_turn,
            "median_share": row.median_share,
        }
    return found
