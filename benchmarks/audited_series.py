"""Series for audited flags: files of a local folder, scaled, repeated with noise to a length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from slidecell.bench.workloads import Floats
from slidecell.datasets import CARD_FEATURES

__all__ = ["NOISE", "series_of", "series_paths"]

PATTERNS = (
    "asd/*.npz",
    "smd/*.npz",
    "smap_msl/channels/*.npz",
    "nab/data/*/*.csv",
    "creditcard/*.parquet",
)
NOISE = 0.01  # of the range of a column


def series_paths(data: Path) -> dict[str, Path]:
    """Return every series of the folder by its name, the name of its file.

    Raises
    ------
    ValueError
        If there is none, or two have the same name.
    """
    found: dict[str, Path] = {}
    for pattern in PATTERNS:
        for path in sorted(data.glob(pattern)):
            if path.stem in found:
                raise ValueError(f"{data}: expected one series {path.stem}, got {path}, too")
            found[path.stem] = path
    if not found:
        raise ValueError(f"{data}: expected one of {', '.join(PATTERNS)}, got none of them")
    return found


def parts(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return training and test rows [S, F]: the halves of a file that does not part them."""
    if path.suffix == ".npz":
        with np.load(path) as file:
            return file["train"].astype(np.float64), file["test"].astype(np.float64)
    import pandas as pd

    if path.suffix == ".csv":
        whole = pd.read_csv(path)[["value"]].to_numpy(np.float64)
    else:
        whole = pd.read_parquet(path)[list(CARD_FEATURES)].to_numpy(np.float64)
    half = len(whole) // 2
    return whole[:half], whole[half:]


def series_of(paths: Mapping[str, Path], name: str, length: int) -> tuple[Floats, Floats]:
    """Return training rows, and test rows repeated to `length`, both scaled by the former's range.

    Raises
    ------
    ValueError
        If no series has the name.
    """
    if name not in paths:
        raise ValueError(f"series: expected one of {', '.join(paths)}, got {name!r}")
    train, test = parts(paths[name])
    low, span = train.min(axis=0), np.ptp(train, axis=0)
    span[span == 0] = 1
    repeats = -(-length // len(test))
    many = np.tile((test - low) / span, (repeats, 1))[: max(length, len(test))]
    many[len(test) :] += np.random.default_rng(0).normal(0, NOISE, many[len(test) :].shape)
    return ((train - low) / span).astype(np.float32), many.astype(np.float32)
