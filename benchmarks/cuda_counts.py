"""What the score of a window takes on a GPU, by count: nothing here is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from slidecell._cells import CellName
from slidecell.bench.report import markdown
from slidecell.cuda.cell_traits import CELLS
from slidecell.cuda.device import DEVICES
from slidecell.cuda.kernel_plan import KernelPlan
from slidecell.cuda.network_weights import network_of_layers
from slidecell.cuda.packing import tiles_of
from slidecell.cuda.plan import plan_network

WINDOW, FEATURES = 7, 7  # of the insider-threat forecaster


@dataclass(frozen=True)
class Case:
    """One forecaster over one long series."""

    cell: CellName
    hidden_size: int
    window: int = WINDOW

    @property
    def name(self) -> str:
        """What ``--only`` looks at."""
        return f"{self.cell.upper()} {self.hidden_size}, W={self.window}"


CASES = [
    *(Case("lstm", size) for size in (16, 32, 64, 128)),
    *(Case("gru", size) for size in (32, 64)),
    Case("rnn", 64),
    Case("lstm", 64, 50),
]


@dataclass(frozen=True)
class Counts:
    """What the score of one window takes, whoever computes it (the first step has no h)."""

    fused_multiply_adds: int
    activations: int
    series_bytes: float  # read and written once per window
    cudnn_bytes: float  # windows read, hidden sequence written and its last step read

    @classmethod
    def of(cls, case: Case, features: int = FEATURES) -> Counts:
        """Return the counts of a case."""
        traits = CELLS[case.cell]
        gates, H, W = traits.gates, case.hidden_size, case.window
        recurrent = (W - 1) * gates * H * H
        head = H * features
        per_row = gates * H * features  # the projection of a row, shared by all windows
        activations = W * H * (gates + len(traits.states) - 1)  # of the gates, and of c
        return cls(
            recurrent + per_row + head,
            activations,
            4.0 * (features + 1),
            4.0 * (W * features + W * H + H),
        )


def _cycles_of_groups(plan: KernelPlan, case: Case, features: int) -> float:
    """For 64 windows each weight once: of 16 inputs and 8 columns 256 bytes, two cycles.

    The head is the other kernel's, for each of four warps.
    """
    hidden, inputs = tiles_of(case.hidden_size), plan.packed.layers[0]["input_tiles"]
    columns = 2 * hidden * CELLS[case.cell].gates
    steps = case.window * inputs + (case.window - 1) * hidden
    head = 4 * 2 * hidden * tiles_of(features)
    return (2 * columns * steps + head) / 64


def shared_cycles(case: Case, features: int = FEATURES) -> float:
    """Return the cycles that a window's shared-memory traffic takes, at `medium` on an H200.

    128 bytes a cycle: of a warp's 16-byte accesses each takes four. Beside them, for 8 units: a
    cycle for a row of biases, two for a matrix tile of weights, and two for the new h of 16
    windows. Weights that stream take none.
    """
    traits, H, W = CELLS[case.cell], case.hidden_size, case.window
    spec = {"cell": case.cell, "input_size": features, "hidden_size": H, "proj_size": 0}
    spec |= {"bidirectional": False, "reset_after": True}
    spec |= {"activation": "tanh", "recurrent_activation": "sigmoid"}
    tensors = {
        "weight_ih_l0": np.zeros((traits.gates * H, features), np.float32),
        "weight_hh_l0": np.zeros((traits.gates * H, H), np.float32),
    }
    plan = plan_network(
        network_of_layers([spec], tensors), DEVICES["sm_90"], window=W, precision="medium"
    )
    if plan.kernel == "wgmma":
        return _cycles_of_groups(plan, case, features)
    rows, on_chip = plan.columns // 16, plan.describe()["weights"] == "shared"
    hidden, inputs = tiles_of(H), tiles_of(features)
    tile = 2 * on_chip
    of_input = tile * inputs * traits.gates + on_chip * (traits.gates + traits.apart)
    of_hidden = tile * hidden * traits.gates
    state, new_h, operand = 4 * rows, 2 * rows, 4 * rows * hidden
    first = of_input + state + new_h  # the state is stored
    later = first + of_hidden + state  # and loaded
    units = 2 * hidden
    head = tile * hidden * tiles_of(features) + operand
    step = units * later + operand
    return (units * first + (W - 1) * step + head) / plan.columns


@dataclass(frozen=True)
class Limits:
    """Rates that a GPU cannot exceed, per second."""

    name: str
    float32: float  # fused multiply-adds
    matrix: float  # bf16 multiply-adds, dense
    special: float  # special-function results
    shared: float  # cycles of shared memory
    memory: float  # bytes

    @classmethod
    def of(cls, multiprocessors: int, clock_hz: float, name: str, memory: float) -> Limits:
        """Return Hopper's limits: 128 FMA, 2048 bf16 multiply-adds, 16 special results."""
        cycles = multiprocessors * clock_hz
        return cls(name, 128 * cycles, 2048 * cycles, 16 * cycles, cycles, memory)


H200 = Limits.of(132, 1.83e9, "H200, datasheet", 4.8e12)


def bounds(case: Case, limits: Limits) -> dict[str, float]:
    """Return the windows per second at which each unit alone would be busy all the time."""
    counts = Counts.of(case)
    # A sigmoid or tanh in float32: 12 instructions of its exponential and half a quotient of 6,
    # with one special-function result; the hardware's tanh is one special-function result.
    float32 = counts.fused_multiply_adds + 15 * counts.activations
    return {
        "float32": limits.float32 / float32,
        "matrix": limits.matrix / counts.fused_multiply_adds,
        "special": limits.special / counts.activations,
        "shared, medium": limits.shared / shared_cycles(case),
        "memory": limits.memory / counts.series_bytes,
        "memory, cuDNN": limits.memory / counts.cudnn_bytes,
    }


def counts_table() -> str:
    """Return the bounds of all cases on an H200: analytic, nothing is measured."""
    lines = [["case", *bounds(CASES[0], H200)]]
    lines += [[c.name, *(f"{value:.2e}" for value in bounds(c, H200).values())] for c in CASES]
    title = f"Windows/s at which a unit of an {H200.name} is busy all the time (not measured)"
    return f"{title}\n\n{markdown(lines)}"
