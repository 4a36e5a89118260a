"""Scores by carried states as their definition says, in float64: every window from its own rows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.reference import _own_errors, _targets, network, scaled_rows

Array = npt.NDArray[np.float64]


def block_rows(window: int) -> int:
    """Return the least prime that is at least four windows."""
    n = 4 * window
    while any(n % d == 0 for d in range(2, n)):
        n += 1
    return n


def carried_start(bad: npt.NDArray[np.bool_], first: int, target: int, window: int) -> int:
    """Return the row from whose zero state the window before row `target` is scored.

    first: the entity's first row.
    """
    B = block_rows(window)
    start = first + max(0, (target - first) // B * B - window)
    before = np.flatnonzero(bad[start:target])
    return start if len(before) == 0 else start + int(before[-1]) + 1


def carried_reference(
    metadata: Mapping[str, Any],
    tensors: Mapping[str, npt.NDArray[np.float32]],
    series: npt.ArrayLike,
    offsets: npt.ArrayLike,
    *,
    reduction: str = "mse",
    per_feature: bool = False,
    stride: int = 1,
) -> Array:
    """Series [S,F] -> score [S], or [S,targets] per feature; NaN where a row has none."""
    W, K = metadata["window"], metadata["horizon"]
    rows = scaled_rows(metadata, series)
    bad = ~np.isfinite(rows).all(axis=1)
    rows[bad] = 0.0
    targets = _targets(metadata, rows.shape[1])
    by_length: dict[int, list[int]] = defaultdict(list)  # rows taken -> first target rows
    ends = [int(n) for n in np.asarray(offsets)]
    for first, end in itertools.pairwise(ends):
        for target in range(first + W, end - K + 1, stride):
            if not bad[target - W : target + K].any():
                start = carried_start(bad, first, target, W)
                by_length[target - start].append(target)
    scores = np.full((len(rows), len(targets) if per_feature else 1), np.nan)
    for length, at in by_length.items():
        _, errors = network(metadata, tensors, np.stack([rows[t - length : t] for t in at]))
        errors[:, :, : len(targets)] -= np.stack([rows[t : t + K] for t in at])[:, :, targets]
        own = _own_errors(metadata, errors, reduction, per_feature).mean(axis=1)
        scores[np.array(at) + K - 1] = own if per_feature else own.mean(axis=1, keepdims=True)
    return scores if per_feature else scores[:, 0]
