"""What is told: Markdown tables, and everything as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import told
from benchmarks.roofline.measure import Row
from benchmarks.roofline.model import Machine

MACHINE_HEADER = (
    "isa",
    "multiply-adds/ns",
    "bf16 dot",
    "AMX",
    "LSTM set, ns",
    "beside products",
    "GRU set, ns",
    "beside products",
    "L1, GB/s",
    "L2, GB/s",
)
NOT_HERE = "not on this machine"

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


def machines(found: Mapping[str, Machine]) -> str:
    """One line for each instruction set."""
    return told.markdown(MACHINE_HEADER, [machine(isa, m) for isa, m in found.items()])


def machine(isa: str, found: Machine) -> list[str]:
    """One line of the table, in the order of `MACHINE_HEADER`."""
    v = found.vectors
    beside_vectors = {"avx512": ("bf16", "amx"), "amx": ("bf16", "amx")}.get(isa, ())
    units = [
        f"{1 / found.units[unit]:.1f}"
        if unit in found.units
        else NOT_HERE
        if unit in beside_vectors
        else ""
        for unit in ("bf16", "amx")
    ]
    return [
        isa,
        f"{1 / v.fma:.1f}",
        *units,
        *(f"{time:.3f}" for time in (v.lstm, v.lstm_beside, v.gru, v.gru_beside)),
        f"{1 / v.l1:.0f}",
        f"{1 / v.l2:.0f}",
    ]


def kernels(rows: Sequence[Row]) -> str:
    """One line for each kernel, those that only might be among them."""
    return told.markdown(KERNEL_HEADER, [kernel(row) for row in rows])


def kernel(row: Row) -> list[str]:
    """One line of the table, in the order of `KERNEL_HEADER`."""
    least = row.least
    stated = [least.products, least.sets, least.l1, least.l2, least.time]
    measured = ["not run", "", "", ""]
    if row.samples:
        measured = [
            microseconds(row.time),
            told.short_number(1e9 / row.time),
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
    """Three digits."""
    return f"{nanoseconds / 1e3:.3g}"


def as_json(row: Row) -> dict[str, Any]:
    """Every figure and sample; times in nanoseconds per window."""
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
