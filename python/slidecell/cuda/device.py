"""What a GPU offers a kernel: the limits that plans are made for."""

from __future__ import annotations

from dataclasses import dataclass

RESERVED_BYTES = 1024  # of shared memory, by the driver, for each block


@dataclass(frozen=True)
class Device:
    """Limits of one GPU.

    Examples
    --------
    >>> from slidecell.cuda import DEVICES
    >>> DEVICES["sm_90"].shared_per_block
    232448
    """

    name: str
    capability: int  # 90 for 9.0
    multiprocessors: int
    shared_per_block: int  # bytes that a block may ask for
    shared_per_multiprocessor: int
    registers: int = 65536  # 32-bit, per multiprocessor and per block
    threads_per_multiprocessor: int = 2048

    @property
    def matrix_unit(self) -> bool:
        """Whether it multiplies bf16 tiles."""
        return self.capability >= 80

    def warps_of(self, registers: int) -> int:
        """Return how many warps of one block may have so many registers a thread.

        Each of a multiprocessor's four parts has a quarter of the registers, and gives them to a
        warp by 256: with 13 warps one part has four, so none may have more than with 16.
        """
        of_warp = -(-32 * registers // 256) * 256
        return 4 * (self.registers // 4 // of_warp)

    @property
    def arch(self) -> str:
        """As compilers name it: ``sm_90``."""
        return f"sm_{self.capability}"


_KIB = 1024

DEVICES: dict[str, Device] = {
    "sm_75": Device("T4", 75, 40, 64 * _KIB, 64 * _KIB, threads_per_multiprocessor=1024),
    "sm_80": Device("A100", 80, 108, 163 * _KIB, 164 * _KIB),
    "sm_86": Device("A10", 86, 72, 99 * _KIB, 100 * _KIB, threads_per_multiprocessor=1536),
    "sm_89": Device("L4", 89, 58, 99 * _KIB, 100 * _KIB, threads_per_multiprocessor=1536),
    "sm_90": Device("H200", 90, 132, 227 * _KIB, 228 * _KIB),
    "sm_100": Device("B200", 100, 148, 227 * _KIB, 228 * _KIB),
    "sm_120": Device("RTX 5090", 120, 170, 99 * _KIB, 100 * _KIB, threads_per_multiprocessor=1536),
}
"""Known GPUs by architecture, for plans where there is none."""
