"""What the engine asks of a GPU library: memory, copies, streams and launches.

`CupyRuntime` does it with CuPy; the tests have one that runs the kernels on the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from slidecell.cuda.arrays import DeviceArray
from slidecell.cuda.device import Device
from slidecell.cuda.kernel_plan import KernelPlan
from slidecell.cuda.structs import Struct

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Entry:
    """An entry point: a kernel's body with what it is compiled for.

    Examples
    --------
    >>> from slidecell.cuda.runtime import Entry
    >>> print(Entry("copy_rows", "RowsArgs", threads=256).text())
    extern "C" __global__ void __launch_bounds__(256, 1)
    copy_rows(const __grid_constant__ slidecell::RowsArgs args) {
      slidecell::copy_rows(args);
    }
    <BLANKLINE>
    """

    name: str
    arguments: str  # their type
    threads: int
    blocks: int = 1  # per multiprocessor
    shared_bytes: int = 0
    config: tuple[tuple[str, str], ...] = ()

    @property
    def own_architecture(self) -> str | None:
        """Of a kernel that is compiled for one alone: with instructions that no other has."""
        return "sm_90a" if self.name == "run_wgmma" else None

    def text(self) -> str:
        """C++ to append to the kernels' source."""
        lines = []
        if self.config:
            lines.append("struct Config {")
            for name, value in self.config:
                kind = "bool" if value in {"true", "false"} else "int"
                if name == "Math":
                    lines.append(f"  using {name} = {value};")
                else:
                    lines.append(f"  static constexpr {kind} {name} = {value};")
            lines.append("};")
        lines += [
            f'extern "C" __global__ void __launch_bounds__({self.threads}, {self.blocks})',
            f"{self.name}(const __grid_constant__ slidecell::{self.arguments} args) {{",
        ]
        if self.config:
            lines.append("  extern __shared__ float4 shared[];")
            lines.append(f"  slidecell::{self.name}<Config>(args, shared);")
        else:
            lines.append(f"  slidecell::{self.name}(args);")
        return "\n".join([*lines, "}", ""])


def entry_of(plan: KernelPlan) -> Entry:
    """Entry point of a plan."""
    return Entry(
        f"run_{plan.kernel}",
        "FmaArgs" if plan.kernel == "fma" else "MmaArgs",
        threads=plan.threads,
        blocks=plan.blocks,
        shared_bytes=plan.shared_bytes,
        config=tuple(plan.config.items()),
    )


@dataclass(frozen=True)
class Memory:
    """Device memory; it lives as long as ``owner``."""

    ptr: int
    nbytes: int
    owner: Any


class Runtime(Protocol):
    """One device, and the caller's stream on it. Streams and events are the library's own."""

    @property
    def device(self) -> Device:
        """Limits of the device."""

    @property
    def main(self) -> Any:
        """The caller's current stream."""

    def memory(self, nbytes: int) -> Memory:
        """Allocate, in the main stream's order. MemoryError where there is too little."""

    def array(self, shape: tuple[int, ...], library: str) -> Any:
        """Make a float32 array for the caller, of the library that its arrays are of."""

    def adopt(self, array: DeviceArray) -> None:
        """Let the main stream wait for an array of the caller; ValueError on another device."""

    def copy_on_device(self, to: int, from_: int, nbytes: int) -> None:
        """Copy in the main stream."""

    def upload(self, array: npt.NDArray[Any]) -> Memory:
        """Copy an array in the main stream; it may be overwritten at once."""

    def pinned(self, nbytes: int) -> Bytes:
        """Host memory that copies overlap with."""

    def new_stream(self) -> Any:
        """Make a stream of its own."""

    def copy_in(self, ptr: int, host: Bytes, stream: Any) -> None:
        """Start a copy of pinned host memory to the device."""

    def copy_out(self, host: Bytes, ptr: int, stream: Any) -> None:
        """Start a copy from the device to pinned host memory."""

    def fill(self, ptr: int, nbytes: int, byte: int, stream: Any) -> None:
        """Set bytes."""

    def record(self, stream: Any) -> Any:
        """Event of all that was started in the stream so far."""

    def wait(self, stream: Any, event: Any) -> None:
        """Let the stream wait for the event, not the host."""

    def done(self, event: Any) -> bool:
        """Return whether all is done that the event stands for, without waiting."""

    def synchronize(self, event: Any) -> None:
        """Let the host wait for the event."""

    def launch(self, entry: Entry, grid: int, arguments: Struct) -> None:
        """Start a kernel in the main stream."""
