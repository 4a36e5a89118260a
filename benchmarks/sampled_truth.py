"""Scores in float64 of some windows of a series, where all of them would take too long."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from slidecell.bench.peers_torch import squared_errors
from slidecell.bench.workloads import Floats, Ints, window_starts

# Float32 accuracy: an answer is right if |answer - truth| <= ATOL + RTOL |truth|. It leaves room
# for float32 sums in other orders than ours: NumPy's cell adds one product per gate after another.
RTOL, ATOL = 2e-6, 5e-7


def sample(offsets: Ints, span: int, count: int) -> Ints:
    """Return first rows [n] of at most `count` windows of `span` rows: the last, others by lot."""
    starts = window_starts(offsets, span)
    if len(starts) > count:
        chosen = np.random.default_rng(0).choice(len(starts) - 1, count - 1, replace=False)
        starts = starts[np.append(np.sort(chosen), len(starts) - 1)]
    return starts


def true_scores(
    module: nn.Module, rows: Floats, starts: Ints, window: int
) -> npt.NDArray[np.float64]:
    """Return the mean squared error of the row after each window [N], by torch in float64."""
    x = torch.from_numpy(rows[starts[:, None] + np.arange(window)])
    y = torch.from_numpy(rows[starts + window])
    exact = copy.deepcopy(module).double().eval()
    with torch.inference_mode():
        return squared_errors(exact(x.double()), y.double()).numpy()


def largest_error(
    answer: npt.ArrayLike, truth: npt.NDArray[np.float64]
) -> tuple[float | None, bool]:
    """Return the largest absolute error, and whether all scores are right.

    The error is None where the answer has another shape or is not finite.
    """
    found = np.asarray(answer, np.float64)
    if found.shape != truth.shape or not np.isfinite(found).all():
        return None, False
    error = np.abs(found - truth)
    return float(error.max(initial=0.0)), bool((error <= ATOL + RTOL * np.abs(truth)).all())
