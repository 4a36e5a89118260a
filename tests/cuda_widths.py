"""Compile the kernel of every supported width, as planned, and print the table of what each takes.

    python -m tests.cuda_widths          # needs nvcc; exit status 1: one is beyond its limits
    python -m tests.cuda_widths sm_90    # for one architecture

A row for each architecture, precision, cell and hidden size: windows of a tile, columns of a thread
(float32 kernel), warps, blocks of a multiprocessor, shared memory, and what the compiler reports of
registers and spilled bytes.
`.ci/run` runs it after `.ci/cuda`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from slidecell.cuda.cupy_runtime import OPTIONS
from slidecell.cuda.device import DEVICES
from slidecell.cuda.kernel_plan import KernelPlan
from slidecell.cuda.network_weights import network_of_model
from slidecell.cuda.plan import PRECISIONS, plan_network
from slidecell.cuda.runtime import entry_of
from slidecell.cuda.source import kernel_source
from tests.models import layer, random_model

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")
CELLS = {
    "LSTM": layer("lstm", 0),
    "GRU": layer("gru", 0),
    "GRU, reset before": layer("gru", 0, reset_after=False),
    "RNN": layer("rnn", 0),
    "RNN, relu": layer("rnn", 0, activation="relu"),
}
WIDTHS = (16, 32, 64, 128)
# Spilled bytes, in stores. Two blocks of the float32 kernel share a multiprocessor's registers; and
# 32 windows a warp read streamed weights half as often as 16 would, which is worth a few spills.
MOST_SPILLED = {("fma", "shared"): 128, ("fma", "streamed"): 128}
MOST_SPILLED |= {("mma", "shared"): 0, ("mma", "streamed"): 96, ("wgmma", "shared"): 0}

Key = tuple[str, str, str, int]  # architecture, precision, cell, hidden size


def plans(architectures: Sequence[str]) -> dict[Key, KernelPlan]:
    """Return the plans of all widths, for windows of 7 rows of 7 features."""
    found = {}
    for arch in architectures:
        for precision in PRECISIONS:
            for cell, spec in CELLS.items():
                for size in WIDTHS:
                    rng = np.random.default_rng(0)
                    encoder = [spec | {"hidden_size": size}]
                    network = network_of_model(*random_model(rng, encoder, features=7, window=7))
                    plan = plan_network(network, DEVICES[arch], window=7, precision=precision)
                    if plan.precision == precision:
                        found[arch, precision, cell, size] = plan
    return found


def compiled(arch: str, texts: dict[str, str], folder: Path) -> dict[str, tuple[int, int]]:
    """Compile entry points, text by name; return registers and spilled bytes of each."""
    source = folder / f"{arch}-{next(iter(texts))}.cu"
    source.write_text(kernel_source() + "".join(texts.values()))
    own = "a" * any("run_wgmma" in text for text in texts.values())
    command = ["nvcc", f"-arch={arch}{own}", *OPTIONS, "-ftz=true", "-Xptxas", "-v", "-cubin"]
    done = subprocess.run(
        [*command, str(source), "-o", str(source.with_suffix(".cubin"))],
        capture_output=True,
        text=True,
        check=False,
    )
    slow = "warning" in done.stderr or "Performance Loss" in done.stderr
    if done.returncode != 0 or slow:
        raise SystemExit(done.stderr)
    found = {}
    for report in done.stderr.split("Compiling entry function")[1:]:
        name = re.search(r"'(\w+)'", report)
        registers = re.search(r"Used (\d+) registers", report)
        spilled = re.search(r"(\d+) bytes spill stores", report)
        assert name
        assert registers
        assert spilled
        found[name[1]] = int(registers[1]), int(spilled[1])
    assert found.keys() == texts.keys()
    return found


def reports(found: dict[Key, KernelPlan]) -> dict[Key, tuple[int, int]]:
    """Return registers and spilled bytes of each plan's kernel."""
    names: dict[tuple[str, str], str] = {}  # by architecture and text: plans share kernels
    jobs: dict[tuple[str, str, str], dict[str, str]] = {}
    of_key = {}
    for key, plan in found.items():
        arch, _, cell, _ = key
        text = entry_of(plan).text()
        name = names.setdefault((arch, text), f"kernel{len(names)}")
        of_key[key] = name
        renamed = text.replace("Config", f"Config_{name}")
        renamed = renamed.replace(f"\nrun_{plan.kernel}(", f"\n{name}(")
        jobs.setdefault((arch, plan.kernel, cell), {})[name] = renamed
    results: dict[str, tuple[int, int]] = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        for one in pool.map(lambda job: compiled(job[0][0], job[1], Path(folder)), jobs.items()):
            results |= one
    return {key: results[name] for key, name in of_key.items()}


def main(architectures: Sequence[str]) -> int:
    """Print the table; return 1 if a kernel is beyond its limits."""
    found, wrong = plans(architectures or ARCHITECTURES), []
    reported = reports(found)
    header = ["arch", "precision", "cell", "H", "kernel", "tile", "columns", "warps", "blocks"]
    header += ["KB", "registers", "spilled"]
    print("| " + " | ".join(header) + " |")
    print("|---" * len(header) + "|")
    for key, plan in found.items():
        registers, spilled = reported[key]
        row = [*key, plan.kernel, plan.columns, 4 * int(plan.config.get("kQuads", 0)) or "-"]
        row += [plan.threads // 32, plan.blocks]
        row += [round(plan.shared_bytes / 1024), registers, spilled]
        print("| " + " | ".join(map(str, row)) + " |")
        device = DEVICES[key[0]]
        if spilled > MOST_SPILLED[plan.kernel, plan.describe()["weights"]]:
            wrong.append(f"{key}: spills {spilled} bytes")
        if plan.warps > device.warps_of(registers):
            wrong.append(f"{key}: {registers} registers are too many for all warps")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
