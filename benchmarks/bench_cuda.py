"""Scores on a GPU against torch's on the same GPU: builds, checks, then times, in one run.

    python -m benchmarks.bench_cuda                   # all cases; a few minutes
    python -m benchmarks.bench_cuda --counts          # what a window takes; needs no GPU
    python -m benchmarks.bench_cuda --only "LSTM 64" --rows 4000000 --json found.json
    python -m benchmarks.bench_cuda --first-call 1    # exit status 1: a first call took longer

torch runs `nn.LSTM`, `nn.GRU` or `nn.RNN` (cuDNN), last step, head and squared error on windows
that were built on the GPU beforehand, step by step in memory, as cuDNN reads them, and are not
counted: in float32, TF32, float16 and bfloat16, each at the best of several batches, eagerly or
from a CUDA graph, as one run of some of the rows finds it. Exit status 1: an answer was wrong.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import command
from benchmarks.cuda_counts import (
    CASES,
    FEATURES,
    WINDOW,
    Case,
    Counts,
    Limits,
    bounds,
    counts_table,
)
from slidecell.bench.report import markdown, write_json
from slidecell.cuda.availability import require

TYPES = {"float32": "float32", "TF32": "float32", "float16": "float16", "bfloat16": "bfloat16"}
BATCHES = (4096, 16384, 65536, 262144, 1048576)
SCREEN_ROWS = 2_200_000  # by which torch's settings are chosen: two of the largest batch


@dataclass(frozen=True)
class Setting:
    """One of torch's ways."""

    kind: str  # of TYPES
    batch: int
    graph: bool

    def __str__(self) -> str:
        """Return what the table says of it."""
        return f"{self.kind}, batch {self.batch}" + (", graph" if self.graph else "")


@dataclass(frozen=True)
class Result:
    """One contestant."""

    case: str
    contestant: str
    setting: str
    windows_per_second: float
    spread: tuple[float, float]
    max_difference: float  # from float64, of a few windows


def timed(run: Callable[[], Any], repeats: int) -> list[float]:
    """Return the seconds of each call by the GPU's clock, after two warm-ups."""
    import torch

    for _ in range(2):
        run()
    seconds = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        seconds.append(begin.elapsed_time(end) / 1000)
    return seconds


def graph_of(run: Callable[[], Any]) -> Callable[[], Any]:
    """Capture a call once; return a call that replays it and gives the captured call's result."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run()  # what a first call sets up cannot be captured
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = run()

    def replay() -> Any:
        graph.replay()
        return result  # the same memory at every replay

    return replay


def torch_run(module: Any, series: Any, case: Case, setting: Setting) -> Callable[[], Any]:
    """Build the windows of a setting; return a call that scores them all."""
    import torch

    network = module.time_major().to(getattr(torch, TYPES[setting.kind]))
    rows = series.to(getattr(torch, TYPES[setting.kind]))
    truths = rows[case.window :].split(setting.batch)
    first, inputs = 0, []
    for truth in truths:
        covered = rows[first : first + len(truth) + case.window - 1]
        # [n, F, W] -> [W, n, F]
        inputs.append(covered.unfold(0, case.window, 1).permute(2, 0, 1).contiguous())
        first += len(truth)

    def run() -> Any:
        pairs = zip(inputs, truths, strict=True)
        return torch.cat([(network(x) - truth).square().mean(1) for x, truth in pairs])

    torch.backends.cudnn.allow_tf32 = setting.kind == "TF32"
    torch.backends.cuda.matmul.allow_tf32 = setting.kind == "TF32"
    return graph_of(run) if setting.graph else run


def best_settings(seconds_of: Callable[[Setting], float]) -> list[Setting]:
    """Return the fastest setting of each type."""
    best: dict[str, tuple[float, Setting]] = {}
    for kind in TYPES:
        for batch in BATCHES:
            for graph in (False, True):
                setting = Setting(kind, batch, graph)
                try:
                    seconds = seconds_of(setting)
                except RuntimeError as error:  # too little memory, or cuDNN refuses to be captured
                    print(f"not {setting}: {error}", file=sys.stderr)
                    continue
                if kind not in best or seconds < best[kind][0]:
                    best[kind] = seconds, setting
    return [setting for _, setting in best.values()]


def measure(case: Case, rows: int, repeats: int) -> list[Result]:
    """Time ours at each precision and the best of torch's settings of each type."""
    import torch

    import slidecell as sc
    from benchmarks.networks import forecaster
    from slidecell import cuda

    torch.manual_seed(0)
    module = forecaster(case.cell, FEATURES, case.hidden_size).eval()
    model = sc.SequenceModel.from_torch(module, window=case.window, horizon=1)
    host = np.random.default_rng(0).random((rows, FEATURES), dtype=np.float32)
    truth = model.score(host[:20_000])[case.window :].astype(np.float64)
    series = torch.as_tensor(host, device="cuda")
    windows = rows - case.window
    results = []

    def add(contestant: str, setting: str, run: Callable[[], Any], first: int) -> None:
        seconds = timed(run, repeats)
        answer = run()[first : first + len(truth)].float().cpu().numpy()
        rates = [windows / each for each in seconds]
        results.append(
            Result(
                case.name,
                contestant,
                setting,
                statistics.median(rates),
                (min(rates), max(rates)),
                float(np.abs(answer - truth).max()),
            )
        )

    for precision in ("highest", "high", "medium"):
        begin = perf_counter()
        cuda.score(model, series, precision=precision)
        torch.cuda.synchronize()
        plan = cuda.plan(model, precision=precision)
        setting = f"{plan['kernel']}, tile {plan['tile']}, first call {perf_counter() - begin:.2f}s"
        add(
            f"slidecell {precision}",
            setting,
            lambda precision=precision: cuda.score(model, series, precision=precision),
            case.window,
        )
    with torch.inference_mode():
        network, some = module.cuda(), series[:SCREEN_ROWS]
        chosen = best_settings(lambda each: timed(torch_run(network, some, case, each), 1)[0])
        for each in chosen:
            add(f"torch {each.kind}", str(each), torch_run(network, series, case, each), 0)
    return results


def first_calls(limit: float) -> int:
    """Time the first call at each precision; 1 if one takes longer than ``limit`` seconds.

    It compiles, or reads what an earlier process left in CuPy's cache (CUPY_CACHE_DIR).
    """
    import cupy

    import slidecell as sc
    from benchmarks.networks import lstm
    from slidecell import cuda

    model = sc.SequenceModel.from_torch(lstm(FEATURES, 64).eval(), window=WINDOW, horizon=1)
    series = cupy.zeros((1000, FEATURES), np.float32)  # the device is started
    slowest = 0.0
    for precision in ("highest", "high", "medium"):
        begin = perf_counter()
        cuda.score(model, series, precision=precision)
        cupy.cuda.get_current_stream().synchronize()
        seconds = perf_counter() - begin
        print(f"first call at {precision!r}: {seconds:.2f} s")
        slowest = max(slowest, seconds)
    return 1 if slowest > limit else 0


def clock_hz() -> float:
    """Return the highest clock of a multiprocessor, as the driver tells it."""
    command_line = ["nvidia-smi", "--id=0", "--query-gpu=clocks.max.sm"]
    done = subprocess.run(
        [*command_line, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True
    )
    return float(done.stdout) * 1e6


def conditions(rows: int, repeats: int, arguments: Sequence[str] | None) -> dict[str, Any]:
    """Return the GPU, and what every benchmark says of its run."""
    import cupy
    import torch

    properties = torch.cuda.get_device_properties(0)
    effort = f"{rows:,} rows, {repeats} repeats"
    about = command.conditions("benchmarks.bench_cuda", effort, 1, arguments=arguments)
    return about | {
        "gpu": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "cudnn": torch.backends.cudnn.version(),
        "cupy": cupy.__version__,
    }


# Largest difference of a score that counts as right; torch's half types are shown, not judged.
RIGHT = {"slidecell highest": 1e-6, "slidecell high": 1e-5, "slidecell medium": 1e-2}


def table(results: Sequence[Result]) -> str:
    """Return a row for each contestant of each case, in Markdown."""
    header = ["case", "contestant", "setting", "windows/s", "lowest - highest", "max difference"]
    lines = [
        [
            r.case,
            r.contestant,
            r.setting,
            f"{r.windows_per_second:.3g}",
            f"{r.spread[0]:.3g} - {r.spread[1]:.3g}",
            f"{r.max_difference:.1e}",
        ]
        for r in results
    ]
    return markdown([header, *lines])


def shares(results: Sequence[Result], limits: Limits) -> str:
    """Return how much of each unit's limit our rates take."""
    cases = {case.name: case for case in CASES}
    lines = []
    for r in results:
        if not r.contestant.startswith("slidecell"):
            continue
        found = bounds(cases[r.case], limits)
        units = ["float32" if r.contestant.endswith("highest") else "matrix", "special"]
        if r.contestant.endswith("medium"):
            units.append("shared, medium")
        names = {"special": "special-function", "shared, medium": "shared-memory"}
        rates = [
            f"{r.windows_per_second / found[unit]:.0%} of the {names.get(unit, unit)} limit"
            for unit in units
        ]
        lines.append(
            f"{r.case}, {r.contestant}: {', '.join(rates)}, "
            f"{r.windows_per_second * Counts.of(cases[r.case]).series_bytes / 1e9:.0f} GB/s"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", action="store_true", help="print what a window takes, and stop")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--repeats", type=int, default=9)
    command.add_json(parser)
    parser.add_argument("--first-call", type=float, metavar="SECONDS", help="time this alone")
    options = parser.parse_args(arguments)
    if options.first_call is not None:
        require("cupy")
        return first_calls(options.first_call)
    print(counts_table())
    if options.counts:
        return 0
    from slidecell.cuda.cupy_runtime import CupyRuntime

    require("cupy")
    about = conditions(options.rows, options.repeats, arguments)
    found = []
    for case in CASES:
        if options.only.lower() in case.name.lower():
            rows = options.rows * WINDOW // case.window
            found += measure(case, rows, options.repeats)
    multiprocessors = CupyRuntime(0).device.multiprocessors
    limits = Limits.of(multiprocessors, clock_hz(), about["gpu"], 4.8e12)
    print()
    command.print_conditions(about)
    print(f"\n{table(found)}\n\n{shares(found, limits)}")
    if options.json:
        write_json(options.json, {"conditions": about, "results": [asdict(r) for r in found]})
    wrong = [r for r in found if r.max_difference > RIGHT.get(r.contestant, float("inf"))]
    for r in wrong:
        print(f"WRONG: {r.case}, {r.contestant}: {r.max_difference:.1e}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
