"""The main job on built-in data, and the same windows scored by torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slidecell.jobs.detect import DetectOptions, make_module
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.results import Result
from slidecell.tables.table import TableOptions

if TYPE_CHECKING:
    from torch import nn

__all__ = ["compare_with_torch", "demo_options", "write_demo_data"]

_BATCHES = (512, 2048, 8192)
_REPEATS = 5

Floats = npt.NDArray[np.float32]


def write_demo_data(out: Path, *, users: int, days: int, seed: int) -> Path:
    """Write the generated activity of users to ``out/insider_threat.csv``; return its path."""
    from slidecell.datasets import insider_threat

    frame = insider_threat(users=users, days=days, seed=seed)
    with OutputFolder(out) as folder:
        folder.add("insider_threat.csv", lambda path: frame.to_csv(path, index=False))
    return out / "insider_threat.csv"


def demo_options(file: Path, out: Path, *, seed: int, num_threads: int | None) -> DetectOptions:
    """Return the options of `slidecell detect` that the demo runs with."""
    return DetectOptions(
        file=file,
        out=out,
        table=TableOptions(time="day", entity="user", label="label"),
        window=7,
        horizon=1,
        epochs=12,
        patience=3,
        batch_size=256,
        seed=seed,
        num_threads=num_threads,
    )


def compare_with_torch(result: Result, options: DetectOptions) -> dict[str, Any]:
    """Time the scoring of all windows of a result by slidecell and by torch's own layers.

    Torch runs the module that was trained, in inference mode, on windows that were built
    beforehand and with the best of several batch sizes; both run on the same number of threads.
    """
    import torch

    from slidecell.scaling import apply_scaler
    from slidecell.windows import WindowPlan, sliding_windows

    model, table = result.model, result.table
    before = torch.get_num_threads()
    threads = options.num_threads or before
    scaled = apply_scaler(model.scaler, table.features)
    began = time.perf_counter()
    windows, targets = sliding_windows(
        scaled, window=model.window, horizon=model.horizon, offsets=table.offsets
    )
    build_seconds = time.perf_counter() - began
    module = make_module(options, len(table.names))
    module.load_state_dict({name: torch.from_numpy(v) for name, v in model.tensors.items()})
    module.eval()
    timings: dict[int, float] = {}
    torch.set_num_threads(threads)
    try:
        for batch in _BATCHES:
            timings[batch], torch_scores = _fastest(_scorer(module, windows, targets, batch))
    finally:
        torch.set_num_threads(before)
    best = min(timings, key=lambda batch: timings[batch])
    seconds, scores = _fastest(
        lambda: model.score(table.features, table.offsets, num_threads=threads)
    )
    plan = WindowPlan(table.offsets, window=model.window, horizon=model.horizon)
    ends = plan.starts() + model.window + model.horizon - 1
    difference = np.abs(scores[ends] - torch_scores)
    return {
        "windows": len(windows),
        "window": model.window,
        "threads": threads,
        "slidecell_seconds": seconds,
        "torch_seconds": timings[best],
        "torch_batch": best,
        "torch_version": torch.__version__,
        "build_seconds": build_seconds,
        "max_difference": float(np.nanmax(difference)),
        "max_score": float(np.nanmax(torch_scores)),
    }


def _scorer(
    module: nn.Module, windows: Floats, targets: Floats, batch: int
) -> Callable[[], Floats]:
    """Return what scores windows [N, W, F] against targets [N, K, F] in torch: [N]."""
    import torch

    x, y = torch.from_numpy(windows), torch.from_numpy(targets).flatten(1)

    def score() -> Floats:
        with torch.inference_mode():
            parts = [
                (module(x[first : first + batch]) - y[first : first + batch]).square().mean(dim=1)
                for first in range(0, len(x), batch)
            ]
            scores: Floats = torch.cat(parts).numpy()
        return scores

    return score


def _fastest(run: Callable[[], Floats]) -> tuple[float, Floats]:
    """Best time of a few runs after one to warm up, and the scores."""
    scores = run()
    seconds = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds), scores
