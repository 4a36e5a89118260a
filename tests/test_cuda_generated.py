"""The text that CuPy hands to the compiler, through nvcc: it needs no GPU."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from slidecell.cuda.device import DEVICES
from slidecell.cuda.engine import elementwise
from slidecell.cuda.network_weights import network_of_model
from slidecell.cuda.plan import plan_network
from slidecell.cuda.runtime import Entry, entry_of
from slidecell.cuda.source import kernel_source
from tests.models import layer, random_model

pytestmark = pytest.mark.skipif(shutil.which("nvcc") is None, reason="needs nvcc")


def planned(arch: str, precision: str, cell: str) -> Entry:
    rng = np.random.default_rng(0)
    network = network_of_model(*random_model(rng, [layer(cell, 16)], features=7, window=7))
    return entry_of(plan_network(network, DEVICES[arch], window=7, precision=precision))


@pytest.mark.parametrize(
    ("arch", "entry"),
    [
        ("sm_75", planned("sm_75", "highest", "gru")),
        ("sm_80", planned("sm_80", "medium", "lstm")),
        ("sm_90", planned("sm_90", "high", "rnn")),
        ("sm_90a", planned("sm_90", "medium", "lstm")),
        ("sm_90", elementwise("gather_windows", "GatherArgs")),
    ],
)
def test_cuda_generated_text_compiles(arch: str, entry: Entry, tmp_path: Path) -> None:
    source, options = tmp_path / "kernel.cu", ["--fmad=false", "-ftz=true", "-std=c++17", "-cubin"]
    source.write_text(kernel_source() + entry.text())
    done = subprocess.run(
        ["nvcc", f"-arch={arch}", *options, source, "-o", tmp_path / "cubin"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    assert entry.name.encode() in (tmp_path / "cubin").read_bytes()
