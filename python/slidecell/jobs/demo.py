"""The main job on built-in data, and the same windows scored by torch's own layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slidecell.jobs.detect import DetectOptions
from slidecell.jobs.outputs import OutputFolder
from slidecell.jobs.results import Result
from slidecell.tables.options import TableOptions

__all__ = ["compare_with_torch", "demo_options", "write_demo_data"]


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
        detector="forecast",
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

    See `slidecell.bench.torch_demo.compare_scoring`.
    """
    from slidecell.bench.torch_demo import compare_scoring

    assert result.model is not None  # the demo's detector is a network
    rows = result.table
    return compare_scoring(
        result.model, rows.features, rows.offsets, num_threads=options.num_threads
    )
