"""``python -m benchmarks.cold_start``: from a fresh process to the first scores.

Each contestant imports what it needs, loads an LSTM 64 from its own kind of file (slidecell's
``.safetensors``, torch's state dict, ONNX for the two runtimes) and scores one user's year. Fresh
processes in turn, a b c a b c ..., on default settings; files are in the system's cache. The
scores are held against float64.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.command import conditions, print_conditions
from slidecell.bench.cases import ScoreCase
from slidecell.bench.peers import absent
from slidecell.bench.report import markdown
from slidecell.bench.workloads import ScoreWorkload

PHASES = ("import", "load", "first score", "whole process")

WINDOWS = """
view = np.lib.stride_tricks.sliding_window_view
x = np.ascontiguousarray(view(series[:-1], 7, axis=0).transpose(0, 2, 1))
y = series[7:]
"""


@dataclass(frozen=True)
class Script:
    """What a fresh process runs, by phase; `series` [S, 7] is there when scores are made."""

    imports: str
    load: str
    score: str

    @property
    def text(self) -> str:
        """The whole program: folder and name as arguments, times on stdout."""
        return f"""
import sys, time
times = [time.perf_counter()]
folder, name = sys.argv[1:]
import numpy as np
{self.imports}
times.append(time.perf_counter())
{self.load}
times.append(time.perf_counter())
series = np.load(folder + "/series.npy")
{self.score}
times.append(time.perf_counter())
np.save(folder + "/" + name + ".npy", scores)
print(*times)
"""


SCRIPTS = {
    "slidecell": Script(
        "import slidecell",
        'model = slidecell.SequenceModel.load(folder + "/model.safetensors")',
        "scores = model.score(series)[7:]",
    ),
    "torch": Script(
        "import torch",
        """
lstm, head = torch.nn.LSTM(7, 64, batch_first=True), torch.nn.Linear(64, 7)
model = torch.nn.ModuleDict({"lstm": lstm, "head": head}).eval()
model.load_state_dict(torch.load(folder + "/model.pt", weights_only=True))
""",
        WINDOWS
        + """
with torch.inference_mode():
    predicted = head(lstm(torch.from_numpy(x))[0][:, -1])
    scores = (predicted - torch.from_numpy(y)).square().mean(1).numpy()
""",
    ),
    "onnxruntime": Script(
        "import onnxruntime",
        """
model = onnxruntime.InferenceSession(folder + "/model.onnx", providers=["CPUExecutionProvider"])
""",
        WINDOWS + 'scores = model.run(None, {"x": x, "y": y[:, None]})[0]',
    ),
    "openvino": Script(
        "import openvino",
        """
model = openvino.Core().compile_model(
    folder + "/model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
)
""",
        WINDOWS + 'scores = model({"x": x, "y": y[:, None]})[0]',
    ),
}


@dataclass(frozen=True)
class Start:
    """What one contestant took, in seconds: a list per phase."""

    contestant: str
    seconds: dict[str, list[float]]
    max_error: float
    right: bool


def write_files(workload: ScoreWorkload, folder: Path, names: Sequence[str]) -> None:
    """Write the series, and the model as each contestant wants it."""
    np.save(folder / "series.npy", workload.series)
    workload.model.save(folder / "model.safetensors")
    if "torch" in names:
        import torch

        def renamed(name: str) -> str:
            return name.replace("encoder.0.", "lstm.")

        state = {renamed(k): torch.from_numpy(v) for k, v in workload.model.tensors.items()}
        torch.save(state, folder / "model.pt")
    if {"onnxruntime", "openvino"} & set(names):
        from slidecell.bench.peers_onnx import score_graph

        (folder / "model.onnx").write_bytes(score_graph(workload.model, time_major=False))


def run_once(name: str, folder: Path) -> list[float]:
    """Run a fresh process; return the seconds of each of `PHASES`."""
    command = [sys.executable, "-c", SCRIPTS[name].text, str(folder), name]
    began = perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    whole = perf_counter() - began
    times = [float(part) for part in done.stdout.split()]
    return [*np.diff(times).tolist(), whole]


def measure(repeats: int) -> list[Start]:
    """Start every contestant that is installed so many times, in turn."""
    workload = ScoreCase("cold start", "lstm", (64,), entities=1).workload(10_000)
    names = [name for name in SCRIPTS if name not in absent()]
    seconds: dict[str, list[list[float]]] = {name: [] for name in names}
    starts = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_files(workload, folder, names)
        for name in names:  # so that every file is in the system's cache
            run_once(name, folder)
        for _ in range(repeats):
            for name in names:
                seconds[name].append(run_once(name, folder))
        for name in names:
            verdict = workload.judge(np.load(folder / f"{name}.npy"), "highest")
            by_phase = zip(PHASES, map(list, zip(*seconds[name], strict=True)), strict=True)
            starts.append(Start(name, dict(by_phase), verdict.max_error, verdict.right))
    return starts


def table(starts: Sequence[Start]) -> str:
    """Milliseconds by phase, as Markdown."""

    def cell(seconds: Sequence[float]) -> str:
        lowest, middle, highest = (1e3 * f(seconds) for f in (min, median, max))
        return f"{middle:.0f} ({lowest:.0f} - {highest:.0f})"

    lines = [["cold start", *PHASES, "max error", "check"]]
    lines += [
        [
            start.contestant,
            *(cell(start.seconds[phase]) for phase in PHASES),
            f"{start.max_error:.1e}",
            "ok" if start.right else "WRONG",
        ]
        for start in starts
    ]
    return markdown(lines)


def main() -> int:
    """Measure and print; the exit status is 1 if an answer was wrong."""
    about = conditions("benchmarks.cold_start", "7 processes of each", "default", absent=absent())
    starts = measure(7)
    print_conditions(about)
    print(f"\n{table(starts)}")
    return 0 if all(start.right for start in starts) else 1


if __name__ == "__main__":
    sys.exit(main())
