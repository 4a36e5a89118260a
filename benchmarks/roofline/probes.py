"""The machine's own figures, timed by a small library that is built here from the C++ sources."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from pathlib import Path

import slidecell as sc
from benchmarks.roofline.model import Machine, Sets

HERE = Path(__file__).parent
USUAL_L1_BYTES = 32 * 1024

# lanes and registers
SHAPES = {"scalar": (4, 16), "avx2": (8, 16), "avx512": (16, 32), "neon": (4, 32)}


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

    def vectors(self, isa: str, repeats: int) -> list[float] | None:
        """Time the loops of one instruction set in turn; None if it is not on this machine.

        In nanoseconds: a multiply-add; LSTM and GRU sets, each alone and mixed with multiply-adds;
        a byte from L1 and L2. Then how many multiply-adds a set was mixed with.
        """
        found = (ctypes.c_double * 8)()
        there = self._library.roofline_vectors(isa.encode(), ctypes.c_int(repeats), found)
        return list(found) if there else None

    def bf16(self, repeats: int) -> list[float] | None:
        """Time AVX512-BF16's products and its kernels' sets; None if the CPU lacks them.

        In nanoseconds: a multiply-add; fine sets as `vectors` gives them, then rough ones. Then how
        many multiply-adds a set was mixed with, and how many numbers lie in a lane of 32 bits.
        """
        return self._dots("bf16", repeats)

    def codes(self, isa: str, repeats: int) -> list[float] | None:
        """Time an instruction set's products of 8-bit codes and its kernels' sets, as `bf16`."""
        return self._dots(isa, repeats)

    def _dots(self, kind: str, repeats: int) -> list[float] | None:
        found = (ctypes.c_double * 11)()
        there = self._library.roofline_dots(kind.encode(), ctypes.c_int(repeats), found)
        return list(found) if there else None

    def amx(self, repeats: int) -> list[float] | None:
        """Nanoseconds per multiply-add of tiles, of bf16 and of codes; None if there are none."""
        found = (ctypes.c_double * 2)()
        if "amx" not in sc.available_isas():  # a hypervisor may show it without its tiles
            return None
        return list(found) if self._library.roofline_amx(ctypes.c_int(repeats), found) else None

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
        fma, *_, l1, l2, mixed = vectors
        sets = {"plain": _sets(vectors[1:5], fma, mixed)}
        units: dict[str, float] = {}
        bf16 = self.bf16(repeats) if name == "avx512" else None
        if bf16:
            units["bf16"] = bf16[0]
            sets |= {
                "fine": _sets(bf16[1:5], fma, bf16[9]),
                "rough": _sets(bf16[5:9], fma, bf16[9]),
            }
        codes = self.codes(name, repeats)
        if codes:
            units["int8"] = codes[0]
            # Mixed with products of codes.
            sets |= {
                "int8": _sets(codes[1:5], codes[0], codes[9]),
                "int8 coarse": _sets(codes[5:9], codes[0], codes[9]),
            }
        amx = self.amx(repeats) if isa == "amx" else None
        if amx:
            units["amx"], units["int8 amx"] = amx
        code_bytes = 4 // int(codes[10]) if codes else 1
        return Machine(*SHAPES[name], fma, l1, l2, sets, units, self._l1_bytes, code_bytes)


def _sets(times: list[float], product: float, mixed: float) -> Sets:
    lstm, lstm_mixed, gru, gru_mixed = times
    return Sets(lstm, lstm_mixed, gru, gru_mixed, product, mixed)


def l1_bytes() -> int:
    """Size of the first core's L1 data cache, or the usual one where the system does not say."""
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
