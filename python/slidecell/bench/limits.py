"""Environment variables that limit the libraries before they load, so that a comparison is fair.

``--isa avx2`` compares kernels of one generation. oneDNN (torch's and OpenVINO's), torch's own
kernels, MKL and OpenBLAS each read an environment variable when they are loaded, so the command
starts itself once more. Of OpenVINO that limits the recurrent layers, which are oneDNN's; its own
kernels for the head and the error heed a variable in builds after 2026.4 only. ONNX Runtime looks
at the processor itself and cannot be limited: it uses all instructions, is marked in the table, and
counts in no mean.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

__all__ = ["LIMITS", "limited", "limits_of", "run_again"]

LIMITS: dict[str, dict[str, str]] = {
    "avx2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "DNNL_MAX_CPU_ISA": "AVX2",  # the name in older versions
        "OV_CPU_MAX_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
}
# NumPy's products otherwise start threads on all cores, whose idle ones spin beside the others.
ALWAYS = {"OPENBLAS_NUM_THREADS": "1"}


def limits_of(isa: str | None) -> dict[str, str]:
    """Return the environment variables that limit the libraries.

    Examples
    --------
    >>> from slidecell.bench.limits import limits_of
    >>> limits_of(None), limits_of("avx2")["ONEDNN_MAX_CPU_ISA"]
    ({'OPENBLAS_NUM_THREADS': '1'}, 'AVX2')
    """
    return ALWAYS | LIMITS.get(isa or "", {})


def limited(isa: str | None, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process runs with those variables.

    Examples
    --------
    >>> from slidecell.bench.limits import limited, limits_of
    >>> limited("avx2", {}), limited("avx2", limits_of(None)), limited("avx2", limits_of("avx2"))
    (False, False, True)
    """
    return all(environment.get(name) == value for name, value in limits_of(isa).items())


def run_again(isa: str | None, module: str, arguments: Sequence[str]) -> NoReturn:
    """Replace this process by ``python -m module arguments`` with those variables set."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = [sys.executable, "-m", module, *arguments]
    os.execve(sys.executable, command, {**os.environ, **limits_of(isa)})
