"""slidecell itself, at each precision that has a kernel of its own; and a plain NumPy loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from slidecell._choices import Precision
from slidecell.bench.contestants import Ways
from slidecell.bench.ratios import PRECISIONS
from slidecell.bench.reference import scores_of_windows
from slidecell.bench.workloads import ScoreWorkload

__all__ = ["numpy_loop", "runs_otherwise", "score"]


def score(workload: ScoreWorkload, threads: int, *, precision: Precision = "highest") -> Ways:
    """Straight from the series. Prepared: the model."""
    model = workload.model
    return {
        "": lambda: model.score(
            workload.rows, workload.offsets, precision=precision, num_threads=threads
        )
    }


def runs_otherwise(precision: Precision) -> Callable[[Any], bool]:
    """Return whether another kernel runs at this precision than at the one above, of workloads."""
    above: Precision = PRECISIONS[PRECISIONS.index(precision) - 1]

    def takes(workload: ScoreWorkload) -> bool:
        keys = ("isa", "kernel")
        here, there = (workload.model.plan(name) for name in (precision, above))
        return any(here[key] != there[key] for key in keys)

    return takes


def numpy_loop(workload: ScoreWorkload, threads: int) -> Ways:
    """Loop over the steps of 512 windows at a time. Prepared: all windows and targets."""
    windows = workload.windows
    return {"": lambda: scores_of_windows(workload.model, *windows, dtype=np.float32)}
