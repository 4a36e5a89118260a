"""The machine's own figures, timed by a small library that is built here from the C++ sources."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.roofline.model import Machine, Vectors, best_of

HERE = Path(__file__).parent
USUAL_L1_BYTES = 32 * 1024

# lanes and registers
SHAPES = {"scalar": (4, 16), "avx2": (8, 16), "avx512": (16, 32), "neon": (4, 32)}
UNITS = ("bf16", "amx")
FIGURES = 8


def build(folder: Path) -> Path:
    """Build the library; it needs cmake and a C++17 compiler."""
    for command in (
        ["cmake", "-S", str(HERE), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release"],
        ["cmake", "--build", str(folder), "--parallel", "2"],
    ):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except OSError as error:
            raise RuntimeError(f"{command[0]}: {error.strerror}; it builds the probes") from error
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"{' '.join(command)} failed:\n{error.stderr}") from error
    return next(folder.glob("libroofline.*"))


class Probes:
    """The built and loaded library.

    Parameters
    ----------
    library : path, optional
        One that `build` made; by default it is built, which takes some seconds.
    """

    def __init__(self, library: Path | None = None) -> None:
        if library is not None:
            self._library = ctypes.CDLL(str(library))
        else:
            with tempfile.TemporaryDirectory() as folder:
                self._library = ctypes.CDLL(str(build(Path(folder))))
        self._l1_bytes = l1_bytes()

    def vectors(self, isa: str, repeats: int) -> Vectors | None:
        """Time the loops of one instruction set in turn; None if it is not on this machine."""
        found = (ctypes.c_double * FIGURES)()
        if not self._library.roofline_vectors(isa.encode(), ctypes.c_int(repeats), found):
            return None
        return Vectors(*SHAPES[isa], *found)

    def unit(self, name: str, repeats: int) -> float | None:
        """Nanoseconds per multiply-add of "bf16" or "amx"; None if not on this machine."""
        found = (ctypes.c_double * 1)()
        if not self._library.roofline_unit(name.encode(), ctypes.c_int(repeats), found):
            return None
        return found[0]

    def machine(self, isa: str, repeats: int) -> Machine:
        """Measure all that kernels of slidecell's `isa` may use.

        Raises
        ------
        ValueError
            If nothing is known of the instruction set.
        """
        name = "avx512" if isa == "amx" else isa  # tiles multiply, vectors do all else
        vectors = self.vectors(name, repeats)
        if vectors is None:
            raise ValueError(f"isa: expected one of {', '.join(SHAPES)} and amx, got {isa!r}")
        wanted = {"avx512": ("bf16",), "amx": UNITS}.get(isa, ())
        units = {unit: self.unit(unit, repeats) for unit in wanted}
        there = {unit: time for unit, time in units.items() if time is not None}
        return Machine(vectors, there, self._l1_bytes)


def best_machine(samples: Sequence[Machine]) -> Machine:
    """Take the least of every figure."""
    units = {name: min(s.units[name] for s in samples) for name in samples[0].units}
    return Machine(best_of([s.vectors for s in samples]), units, samples[0].l1_bytes)


def l1_bytes() -> int:
    """Size of the first core's L1 data cache, or the usual one where the system does not tell."""
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (folder / name).read_text(encoding="ascii").strip()
                for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if (level, kind) == ("1", "Data") and size.endswith("K"):
            return int(size[:-1]) * 1024
    return USUAL_L1_BYTES
