"""What a plan says of a kernel, and what the plans of all kernels share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from slidecell.cuda.cell_traits import number_of
from slidecell.cuda.network_weights import Network
from slidecell.cuda.packing import Packed, round_up


@dataclass(frozen=True)
class KernelPlan:
    """How one network runs on one device.

    ``layers`` has one dict per layer with the fields of `structs.LAYER` that tell of states, and
    ``arguments`` those of `structs.FMA` or `MMA` that the plan decides.
    """

    kernel: str  # "fma", "mma" or "wgmma"
    precision: str  # that runs: never lower than asked for
    asked: str
    columns: int  # windows of a tile: of a block ("fma"), a warp ("mma") or four warps ("wgmma")
    threads: int
    blocks: int  # per multiprocessor
    grid: int
    shared_bytes: int
    config: dict[str, str]  # what the kernel is compiled for
    packed: Packed
    layers: list[dict[str, int]]
    arguments: dict[str, int] = field(default_factory=dict)

    @property
    def warps(self) -> int:
        """Warps that share a multiprocessor."""
        return self.blocks * self.threads // 32

    def describe(self) -> dict[str, Any]:
        """Tell the plan as `plan` returns it."""
        on_chip = self.config["kOnChip"] == "true"
        if self.kernel != "fma":
            projection = "per window"
        elif self.config["kProjectOnChip"] == "true":
            projection = "shared"
        else:
            projection = "scratch"
        return {
            "kernel": self.kernel,
            "precision": self.precision,
            "tile": self.columns,
            "threads": self.threads,
            "blocks_per_multiprocessor": self.blocks,
            "grid": self.grid,
            "shared_bytes": self.shared_bytes,
            "weights": "shared" if on_chip else "streamed",
            "projection": projection,
        }


def flag(value: bool) -> str:
    """Return a truth value as C++ writes it.

    Examples
    --------
    >>> from slidecell.cuda.kernel_plan import flag
    >>> flag(True)
    'true'
    """
    return "true" if value else "false"


def common_config(network: Network, on_chip: bool) -> dict[str, str]:
    """Return what kernels of any cell are compiled for; on_chip: weights lie in shared memory."""
    cells = {1 << number_of(layer.cell) for layer in network.layers}
    return {
        "kOnChip": flag(on_chip),
        "kUsual": flag(network.usual),
        "kCells": str(sum(cells)),
    }


class SharedMemory:
    """Hands out shared memory in words, 16-byte aligned."""

    def __init__(self, first: int) -> None:
        self.words = first

    def take(self, words: int) -> int:
        """Return where so many words begin."""
        at = self.words
        self.words += round_up(words, 4)
        return at
